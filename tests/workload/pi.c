// SPDX-License-Identifier: GPL-2.0-only
/* Every sort of mutex that a glibc program can have, any thread on any of them. */
#include "truth.h"

static pthread_mutex_t pi_lock, recursive_lock, errorcheck_lock, adaptive_lock, robust_lock,
	pi_robust_lock, shared_lock;

static const struct sort {
	const char *name;
	pthread_mutex_t *lock;
	int type, protocol, robust, pshared;
} sorts[] = {
	{ "pi_lock", &pi_lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0 },
	{ "recursive_lock", &recursive_lock, PTHREAD_MUTEX_RECURSIVE, 0, 0, 0 },
	{ "errorcheck_lock", &errorcheck_lock, PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0 },
	{ "adaptive_lock", &adaptive_lock, PTHREAD_MUTEX_ADAPTIVE_NP, 0, 0, 0 },
	{ "robust_lock", &robust_lock, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_MUTEX_ROBUST, 0 },
	{ "pi_robust_lock", &pi_robust_lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT,
	  PTHREAD_MUTEX_ROBUST, 0 },
	{ "shared_lock", &shared_lock, PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED },
};
#define SORTS (int)(sizeof(sorts) / sizeof(sorts[0]))

static int sort_site[SORTS];

TRUTH_FRAME static void take_lock(int i)
{
	TRUTH_WAIT(sort_site[i], truth_ok(pthread_mutex_lock(sorts[i].lock)));
	if (sorts[i].type == PTHREAD_MUTEX_RECURSIVE) {
		truth_ok(pthread_mutex_lock(sorts[i].lock));
		truth_ok(pthread_mutex_unlock(sorts[i].lock));
	}
	truth_hold();
	truth_ok(pthread_mutex_unlock(sorts[i].lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		take_lock((int)truth_random(SORTS));
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

static void make_lock(int i)
{
	const struct sort *sort = &sorts[i];
	pthread_mutexattr_t attr;

	truth_ok(pthread_mutexattr_init(&attr));
	truth_ok(pthread_mutexattr_settype(&attr, sort->type));
	truth_ok(pthread_mutexattr_setprotocol(&attr, sort->protocol));
	truth_ok(pthread_mutexattr_setrobust(&attr, sort->robust));
	truth_ok(pthread_mutexattr_setpshared(&attr, sort->pshared));
	truth_ok(pthread_mutex_init(sort->lock, &attr));
	truth_ok(pthread_mutexattr_destroy(&attr));
	sort_site[i] = truth_lock(sort->name, sort->lock, sizeof(*sort->lock), "mutex",
				  TRUTH_CONTENTION, "take_lock worker");
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.threads = 14;
	truth_start(argc, argv, "pi");
	for (i = 0; i < SORTS; i++)
		make_lock(i);
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
