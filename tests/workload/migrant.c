// SPDX-License-Identifier: GPL-2.0-only
/* Threads that are moved from one CPU to another while they wait, are woken, and run. */
#include "truth.h"
#include <sched.h>

#define EVERY_NS 300000

static pthread_mutex_t border_lock = PTHREAD_MUTEX_INITIALIZER;
static int border_site, workers_left;
static pid_t tids[TRUTH_MAX_THREADS];

TRUTH_FRAME static void cross_border(void)
{
	TRUTH_WAIT(border_site, truth_ok(pthread_mutex_lock(&border_lock)));
	truth_took(border_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&border_lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	__atomic_store_n((pid_t *)arg, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (truth_more(&calls)) {
		cross_border();
		truth_pause();
	}
	__atomic_fetch_add(&workers_left, 1, __ATOMIC_ACQ_REL);
	truth_worker_ends();
	return NULL;
}

/* A thread is moved to the next CPU that the program may use, wherever it is and whatever it does. */
static void move(pid_t tid, const cpu_set_t *may, unsigned int to)
{
	cpu_set_t set;
	int cpu;

	to %= (unsigned int)CPU_COUNT(may);
	CPU_ZERO(&set);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, may) && !to--)
			break;
	CPU_SET(cpu, &set);
	if (sched_setaffinity(tid, sizeof(set), &set) && errno != ESRCH)
		truth_die("sched_setaffinity", errno);
}

static void *mover(void *arg)
{
	unsigned int moves = 0;
	cpu_set_t may;

	truth_ok(sched_getaffinity(0, sizeof(may), &may));
	while (__atomic_load_n(&workers_left, __ATOMIC_ACQUIRE) < truth_opt.threads) {
		unsigned int i = moves % (unsigned int)truth_opt.threads;
		pid_t tid = __atomic_load_n(&tids[i], __ATOMIC_ACQUIRE);

		if (tid)
			move(tid, &may, truth_random(64));
		moves++;
		truth_sleep(EVERY_NS);
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.pause_ns = 1000000;
	truth_start(argc, argv, "migrant");
	border_site = truth_lock("border_lock", &border_lock, sizeof(border_lock), "mutex",
				 TRUTH_CONTENTION, "cross_border worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, &tids[i]);
	truth_spawn(mover, NULL);
	return truth_finish();
}
