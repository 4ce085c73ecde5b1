// SPDX-License-Identifier: GPL-2.0-only
/* The negative control: each thread locks a mutex of its own, a million times. Nobody waits. */
#include "truth.h"

#define BATCH 1000 /* calls between two looks at the count of switches */

static struct {
	pthread_mutex_t lock;
	uint64_t value;
} __attribute__((aligned(64))) own[TRUTH_MAX_THREADS];
static int own_site[TRUTH_MAX_THREADS];

TRUTH_FRAME static void lock_own(int i)
{
	int calls;

	for (calls = 0; calls < BATCH; calls++) {
		truth_ok(pthread_mutex_lock(&own[i].lock));
		own[i].value++;
		truth_ok(pthread_mutex_unlock(&own[i].lock));
	}
}

TRUTH_FRAME static void *worker(void *arg)
{
	int i = (int)(intptr_t)arg;
	struct truth_mark mark;
	uint64_t batches = 0;

	while (!truth_stopped() && (!truth_opt.count || batches * BATCH < truth_opt.count)) {
		truth_before(&mark);
		lock_own(i);
		truth_after(own_site[i], &mark, BATCH);
		batches++;
	}
	truth_worker_ends();
	return NULL;
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.seconds = 0;
	truth_opt.count = 1000000;
	truth_start(argc, argv, "uncontended");
	for (i = 0; i < truth_opt.threads; i++) {
		truth_ok(pthread_mutex_init(&own[i].lock, NULL));
		own_site[i] = truth_lock_of("own", own, i, sizeof(own[0]), "mutex",
					    TRUTH_CONTENTION, "lock_own worker");
	}
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, (void *)(intptr_t)i);
	return truth_finish();
}
