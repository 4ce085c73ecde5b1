// SPDX-License-Identifier: GPL-2.0-only
/*
 * As many futex waits a second as the machine can do, for tests of overload and of cost.
 * --how sem (pairs of threads and two semaphores each), cond (pairs and a mutex with a condition
 * variable each) or mutex (all threads on one, with short sections).
 */
#include "truth.h"
#include <semaphore.h>

#define PAIRS (TRUTH_MAX_THREADS / 2)

static sem_t balls[TRUTH_MAX_THREADS]; /* one for each thread to wait for */
static struct court {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	int side; /* whose turn it is */
	bool over;
} courts[PAIRS];
static pthread_mutex_t hot_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t hot_value;
static int site[TRUTH_MAX_THREADS];

TRUTH_FRAME static void swap_balls(int i, bool serve)
{
	if (serve)
		truth_ok(sem_post(&balls[i ^ 1]));
	TRUTH_WAIT(site[i], truth_ok(sem_wait(&balls[i])));
}

TRUTH_FRAME static void *sem_player(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t turns = 0;

	if (i % 2)
		swap_balls(i, false);
	while (truth_more(&turns))
		swap_balls(i, true);
	truth_ok(sem_post(&balls[i ^ 1])); /* the other may wait for a last time */
	truth_worker_ends();
	return NULL;
}

/* Lock, wait and signal count as one call: all three can sleep, on the same court. */
TRUTH_FRAME static bool hit_back(struct court *court, int side, bool leave)
{
	bool over;

	truth_ok(pthread_mutex_lock(&court->lock));
	while (court->side != side && !court->over)
		truth_ok(pthread_cond_wait(&court->moved, &court->lock));
	court->side = !side;
	court->over |= leave;
	over = court->over;
	truth_ok(pthread_cond_signal(&court->moved));
	truth_ok(pthread_mutex_unlock(&court->lock));
	return !over;
}

TRUTH_FRAME static void *cond_player(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t turns = 0;
	bool more;

	do {
		bool leave = !truth_more(&turns);

		TRUTH_WAIT(site[i], more = hit_back(&courts[i / 2], i % 2, leave));
	} while (more);
	truth_worker_ends();
	return NULL;
}

TRUTH_FRAME static void *mutex_player(void *arg)
{
	uint64_t turns = 0;
	int i;

	while (truth_more(&turns)) {
		TRUTH_WAIT(site[0], truth_ok(pthread_mutex_lock(&hot_lock)));
		for (i = 0; i < 200; i++)
			hot_value++;
		truth_ok(pthread_mutex_unlock(&hot_lock));
	}
	truth_worker_ends();
	return arg;
}

static void add_player(int i, const char *how)
{
	void *arg = (void *)(intptr_t)i;

	if (!strcmp(how, "mutex")) {
		site[0] = truth_lock("hot_lock", &hot_lock, sizeof(hot_lock), "mutex",
				     TRUTH_CONTENTION, "mutex_player");
		truth_spawn(mutex_player, arg);
	} else if (!strcmp(how, "cond")) {
		site[i] = truth_lock_of("courts", courts, i / 2, sizeof(courts[0]), "condvar",
					TRUTH_IDLE, "hit_back cond_player");
		truth_spawn(cond_player, arg);
	} else {
		site[i] = truth_lock_of("balls", balls, i, sizeof(balls[0]), "semaphore",
					TRUTH_CONTENTION, "swap_balls sem_player");
		truth_spawn(sem_player, arg);
	}
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.how = "sem";
	truth_start(argc, argv, "storm");
	if (strcmp(truth_opt.how, "sem") && strcmp(truth_opt.how, "cond") &&
	    strcmp(truth_opt.how, "mutex")) {
		fprintf(stderr, "storm: --how sem, cond or mutex\n");
		return 2;
	}
	truth_opt.threads += truth_opt.threads % 2;
	for (i = 0; i < truth_opt.threads; i++) {
		truth_ok(sem_init(&balls[i], 0, 0));
		truth_ok(pthread_mutex_init(&courts[i / 2].lock, NULL));
		truth_ok(pthread_cond_init(&courts[i / 2].moved, NULL));
		courts[i / 2].side = 0;
	}
	for (i = 0; i < truth_opt.threads; i++)
		add_player(i, truth_opt.how);
	return truth_finish();
}
