// SPDX-License-Identifier: GPL-2.0-only
/* Locks without a symbol: in allocated objects, and one on the stack of main(). */
#include "truth.h"

#define SESSIONS 3

struct session {
	char user[72];
	pthread_mutex_t lock;
	uint64_t requests;
};

static struct session *sessions[SESSIONS];
static int session_site[SESSIONS];
static int stack_site;

TRUTH_FRAME static void on_heap(int i)
{
	TRUTH_WAIT(session_site[i], truth_ok(pthread_mutex_lock(&sessions[i]->lock)));
	sessions[i]->requests++;
	truth_hold();
	truth_ok(pthread_mutex_unlock(&sessions[i]->lock));
}

TRUTH_FRAME static void on_stack(pthread_mutex_t *lock)
{
	TRUTH_WAIT(stack_site, truth_ok(pthread_mutex_lock(lock)));
	truth_hold();
	truth_ok(pthread_mutex_unlock(lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	pthread_mutex_t *lock = arg;
	uint64_t requests = 0;

	while (truth_more(&requests)) {
		int i = (int)truth_random(SESSIONS + 1);

		if (i < SESSIONS)
			on_heap(i);
		else
			on_stack(lock);
		truth_pause();
	}
	truth_worker_ends();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int i;

	truth_opt.threads = 8;
	truth_start(argc, argv, "heap");
	for (i = 0; i < SESSIONS; i++) {
		sessions[i] = calloc(1, sizeof(*sessions[i]));
		if (!sessions[i])
			truth_die("calloc", ENOMEM);
		truth_ok(pthread_mutex_init(&sessions[i]->lock, NULL));
		session_site[i] = truth_lock("lock in on_heap", &sessions[i]->lock,
					     sizeof(sessions[i]->lock), "mutex", TRUTH_CONTENTION,
					     "on_heap worker");
	}
	stack_site = truth_lock("lock in on_stack", &lock, sizeof(lock), "mutex", TRUTH_CONTENTION,
				"on_stack worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, &lock);
	return truth_finish();
}
