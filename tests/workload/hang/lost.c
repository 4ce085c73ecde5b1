// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waits for what no longer comes, or for each other, without a lock being to blame alone. --how
 *   signal    a condition variable that was signalled before anyone waited
 *   join      for the end of a thread that never ends
 *   joins     three threads, each for the end of the next
 *   mixed     a thread joins another one with the lock in its hands that that one waits for
 */
#include "hang.h"

#define CIRCLE 3

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_nonempty = PTHREAD_COND_INITIALIZER;
static pthread_t circle[CIRCLE], other;
static int queue_id;

HANG_FRAME static void *next_job(void *arg)
{
	hang_enter("worker", "next_job");
	hang_ok(pthread_mutex_lock(&queue_lock));
	hang_will("futex", *(int *)arg);
	for (;;)
		hang_ok(pthread_cond_wait(&queue_nonempty, &queue_lock));
	return NULL;
}

static void lost_signal(void)
{
	int id = hang_lock("queue_nonempty", &queue_nonempty, sizeof(queue_nonempty), "condvar");

	hang_ok(pthread_cond_signal(&queue_nonempty));
	hang_spawn(next_job, &id);
	hang_ready(1);
}

HANG_FRAME static void *never_end(void *arg)
{
	hang_enter("endless", "hang_sleep never_end");
	hang_sleep();
	return arg;
}

HANG_FRAME static void *collect(void *arg)
{
	hang_enter("joiner", "collect");
	hang_will("futex", HANG_NO_LOCK);
	hang_ok(pthread_join(*(pthread_t *)arg, NULL));
	HANG_NO_TAIL_CALL();
	return NULL;
}

static void join_endless(void)
{
	static pthread_t endless;

	endless = hang_spawn(never_end, NULL);
	hang_spawn(collect, &endless);
	hang_ready(2);
}

/* glibc refuses to join a thread that joins the caller, but sees no further than that. */
HANG_FRAME static void *join_next(void *arg)
{
	int i = (int)(intptr_t)arg;
	char role[16];

	snprintf(role, sizeof(role), "joiner-%d", i);
	hang_enter(role, "join_next");
	hang_arrive(CIRCLE + 1); /* all know each other */
	hang_will("futex", HANG_NO_LOCK);
	hang_ok(pthread_join(circle[(i + 1) % CIRCLE], NULL));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void join_circle(void)
{
	int i;

	for (i = 0; i < CIRCLE; i++)
		circle[i] = hang_spawn(join_next, (void *)(intptr_t)i);
	hang_arrive(CIRCLE + 1);
	hang_ready(CIRCLE);
}

HANG_FRAME static void *need_lock(void *arg)
{
	hang_enter("worker", "need_lock");
	hang_arrive(2);
	hang_will("futex", queue_id);
	hang_ok(pthread_mutex_lock(&queue_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *stop_worker(void *arg)
{
	hang_enter("stopper", "stop_worker");
	hang_ok(pthread_mutex_lock(&queue_lock));
	hang_took(queue_id);
	hang_arrive(2);
	hang_will("futex", HANG_NO_LOCK);
	hang_ok(pthread_join(other, NULL));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void mixed(void)
{
	queue_id = hang_lock("queue_lock", &queue_lock, sizeof(queue_lock), "mutex");
	other = hang_spawn(need_lock, NULL);
	hang_spawn(stop_worker, NULL);
	hang_ready(2);
}

int main(int argc, char **argv)
{
	hang_opt.how = "signal";
	hang_start(argc, argv, "lost", "signal join joins mixed");
	if (hang_is("signal"))
		lost_signal();
	else if (hang_is("join"))
		join_endless();
	else if (hang_is("joins"))
		join_circle();
	else
		mixed();
}
