// SPDX-License-Identifier: GPL-2.0-only
/* Ten thousand threads (--count) that take a lock once and are gone; --threads of them at a time. */
#include "truth.h"

static pthread_mutex_t pond_lock = PTHREAD_MUTEX_INITIALIZER;
static int pond_site, alive;

TRUTH_FRAME static void dance(void)
{
	TRUTH_WAIT(pond_site, truth_ok(pthread_mutex_lock(&pond_lock)));
	truth_hold();
	truth_ok(pthread_mutex_unlock(&pond_lock));
}

TRUTH_FRAME static void *mayfly(void *arg)
{
	dance();
	truth_worker_ends();
	__atomic_fetch_add(&alive, -1, __ATOMIC_RELEASE);
	return arg;
}

static void hatch(pthread_attr_t *attr)
{
	pthread_t thread;

	__atomic_fetch_add(&alive, 1, __ATOMIC_ACQUIRE);
	truth_ok(pthread_create(&thread, attr, mayfly, NULL));
}

int main(int argc, char **argv)
{
	uint64_t hatched = 0;
	pthread_attr_t attr;

	truth_opt.threads = 8;
	truth_opt.hold_ns = 20000;
	truth_opt.seconds = 0;
	truth_opt.count = 10000;
	truth_start(argc, argv, "mayflies");
	pond_site = truth_lock("pond_lock", &pond_lock, sizeof(pond_lock), "mutex",
			       TRUTH_CONTENTION, "dance mayfly");
	truth_ok(pthread_attr_init(&attr));
	truth_ok(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	truth_ok(pthread_attr_setstacksize(&attr, 64 * 1024));
	while (!truth_signalled(0, 0) && truth_more(&hatched)) {
		hatch(&attr);
		while (__atomic_load_n(&alive, __ATOMIC_ACQUIRE) >= truth_opt.threads)
			truth_sleep(10000);
	}
	return truth_finish();
}
