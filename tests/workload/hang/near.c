// SPDX-License-Identifier: GPL-2.0-only
/*
 * Busy programs that look like hung ones: nothing here is stuck. --how
 *   hold      a thread that computes with the lock in its hands, while others wait
 *   trylock   two threads, each with one lock, that keep trying to get the other's
 *   queue     eight threads take turns, slowly
 *   timed     two threads, each with one lock, wait for the other's for 300 ms, again and again
 *   handover  two threads hand a mutex over as fast as they can, each with another one in its hands
 *   exits     threads that wait for a lock, get it, give it back and end at once, one after the other
 */
#include "hang.h"

#define TURNS	8
#define HOLD_NS 10000000
#define TRY_MS	300

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t audit_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_id;

struct pair {
	char role[16];
	pthread_mutex_t *own, *wanted;
};

static void rest(long ns)
{
	struct timespec time = { 0, ns };

	nanosleep(&time, NULL);
}

HANG_FRAME static void *compute(void *arg)
{
	volatile uint64_t sum = 0;

	hang_enter("computer", "compute");
	hang_ok(pthread_mutex_lock(&ledger_lock));
	hang_took(ledger_id);
	hang_arrive(1);
	hang_moves();
	while (++sum)
		;
	return arg;
}

HANG_FRAME static void *wait_long(void *arg)
{
	hang_enter("waiter", "wait_long");
	hang_will("futex", ledger_id);
	hang_ok(pthread_mutex_lock(&ledger_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void hold(void)
{
	int i;

	ledger_id = hang_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex");
	hang_spawn(compute, NULL);
	hang_await(&hang_all->arrived, 1);
	for (i = 0; i < 2; i++)
		hang_spawn(wait_long, NULL);
	hang_ready(3);
}

HANG_FRAME static void *keep_trying(void *arg)
{
	const struct pair *pair = arg;

	hang_enter(pair->role, "keep_trying");
	hang_ok(pthread_mutex_lock(pair->own));
	hang_arrive(2);
	hang_moves();
	while (pthread_mutex_trylock(pair->wanted))
		rest(100000);
	return arg;
}

HANG_FRAME static void *wait_a_while(void *arg)
{
	const struct pair *pair = arg;
	struct timespec end;
	int rc;

	hang_enter(pair->role, "wait_a_while");
	hang_ok(pthread_mutex_lock(pair->own));
	hang_arrive(2);
	hang_moves();
	do {
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_nsec += TRY_MS * 1000000L;
		end.tv_sec += end.tv_nsec / 1000000000;
		end.tv_nsec %= 1000000000;
		rc = pthread_mutex_timedlock(pair->wanted, &end);
	} while (rc == ETIMEDOUT);
	hang_die("got the other's lock", rc);
	return arg;
}

static void in_pairs(void *(*run)(void *))
{
	static struct pair pair[2] = { { "one", &ledger_lock, &audit_lock },
				       { "two", &audit_lock, &ledger_lock } };

	hang_spawn(run, &pair[0]);
	hang_spawn(run, &pair[1]);
	hang_ready(2);
}

HANG_FRAME static void *take_turns(void *arg)
{
	hang_enter("queuer", "take_turns");
	hang_moves();
	for (;;) {
		hang_ok(pthread_mutex_lock(&ledger_lock));
		rest(HOLD_NS);
		hang_ok(pthread_mutex_unlock(&ledger_lock));
		rest(HOLD_NS / 10);
	}
	return arg;
}

static void queue(void)
{
	int i;

	for (i = 0; i < TURNS; i++)
		hang_spawn(take_turns, NULL);
	hang_ready(TURNS);
}

HANG_FRAME static void *hand_over(void *arg)
{
	static pthread_mutex_t own[2] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER };
	pthread_mutex_t *mine = &own[(intptr_t)arg];

	hang_enter("runner", "hand_over");
	hang_moves();
	for (;;) {
		hang_ok(pthread_mutex_lock(mine));
		hang_ok(pthread_mutex_lock(&ledger_lock));
		sched_yield();
		hang_ok(pthread_mutex_unlock(&ledger_lock));
		hang_ok(pthread_mutex_unlock(mine));
	}
	return arg;
}

HANG_FRAME static void *lock_and_end(void *arg)
{
	hang_ok(pthread_mutex_lock(&ledger_lock));
	hang_ok(pthread_mutex_unlock(&ledger_lock));
	return arg;
}

HANG_FRAME static void *start_many(void *arg)
{
	pthread_t thread[TURNS];
	int i;

	hang_enter("starter", "start_many");
	hang_moves();
	for (;;) {
		hang_ok(pthread_mutex_lock(&ledger_lock));
		for (i = 0; i < TURNS; i++)
			thread[i] = hang_spawn(lock_and_end, NULL);
		rest(1000000);
		hang_ok(pthread_mutex_unlock(&ledger_lock));
		for (i = 0; i < TURNS; i++)
			hang_ok(pthread_join(thread[i], NULL));
	}
	return arg;
}

int main(int argc, char **argv)
{
	hang_opt.how = "hold";
	hang_start(argc, argv, "near", "hold trylock queue timed handover exits");
	if (hang_is("hold"))
		hold();
	else if (hang_is("trylock"))
		in_pairs(keep_trying);
	else if (hang_is("timed"))
		in_pairs(wait_a_while);
	else if (hang_is("queue"))
		queue();
	else if (hang_is("handover")) {
		hang_spawn(hand_over, (void *)0);
		hang_spawn(hand_over, (void *)1);
		hang_ready(2);
	} else {
		hang_spawn(start_many, NULL);
		hang_ready(1);
	}
}
