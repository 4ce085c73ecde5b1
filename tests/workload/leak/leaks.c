// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that leak, --count of them or a new one every so often. --how
 *   unjoined   end, are joinable, and nobody joins them
 *   running    compute for ever
 *   timed      look for work every millisecond, which never comes
 *   growing    one more for each request, which then waits for an answer that does not come
 *   growing-unjoined  one more for each request; they end, and nobody joins them
 *   unbounded  five more at once under load; each works for an hour
 *   blocked    each waits for a semaphore on the heap that nobody else has
 *   same-line  all wait for one mutex, whose owner sleeps
 *   orphaned   two wait for a mutex whose owner has ended
 *   died       one ended with a mutex that nobody waits for; it was joined
 */
#include "leak.h"
#include <semaphore.h>

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int arrived;

static void arrive(void)
{
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
}

LEAK_FRAME static void *work_once(void *arg)
{
	arrive();
	LEAK_NO_TAIL_CALL();
	return arg;
}

LEAK_FRAME static void create_unjoined(void)
{
	pthread_t thread;

	for (int i = 0; i < leak.count; i++)
		LEAK_CREATE(&thread, NULL, work_once, NULL);
	leak_await(&arrived, leak.count);
	leak_await_threads(1);
	leak_tell("unjoined", leak.count, "work_once");
}

LEAK_FRAME static void *compute(void *arg)
{
	volatile unsigned long sum = 0;

	arrive();
	while (++sum)
		;
	return arg;
}

LEAK_FRAME static void *look_for_work(void *arg)
{
	arrive();
	for (;;)
		usleep(1000);
	return arg;
}

LEAK_FRAME static void create_workers(void *(*run)(void *), const char *start)
{
	pthread_t thread;

	for (int i = 0; i < leak.count; i++) {
		LEAK_CREATE(&thread, NULL, run, NULL);
		leak_ok(pthread_detach(thread));
	}
	leak_await(&arrived, leak.count);
	leak_tell("still running", leak.count, start);
}

/* ---- what waits for ever */

LEAK_FRAME static void wait_for_answer(sem_t *answer)
{
	while (sem_wait(answer))
		;
	LEAK_NO_TAIL_CALL();
}

LEAK_FRAME static void *handle_request(void *arg)
{
	sem_t *answer = malloc(sizeof(*answer));

	if (!answer || sem_init(answer, 0, 0))
		leak_die("sem_init", errno);
	arrive();
	wait_for_answer(answer);
	free(answer);
	return arg;
}

LEAK_FRAME static void serve_request(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	leak_ok(pthread_attr_init(&attr));
	leak_ok(pthread_attr_setstacksize(&attr, 128 * 1024));
	leak_ok(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	LEAK_CREATE(&thread, &attr, handle_request, NULL);
	leak_ok(pthread_attr_destroy(&attr));
}

static void create_blocked(const char *reason)
{
	for (int i = 0; i < leak.count; i++)
		serve_request();
	leak_await(&arrived, leak.count);
	leak_tell(reason, leak_is("growing") ? 0 : leak.count, "handle_request");
}

LEAK_FRAME static void fire_and_forget(void)
{
	pthread_t thread;

	LEAK_CREATE(&thread, NULL, work_once, NULL);
}

LEAK_FRAME static void *work_for_long(void *arg)
{
	leak_rest(3600 * 1000L);
	return arg;
}

LEAK_FRAME static void accept_load(void)
{
	pthread_t thread;

	for (int i = 0; i < 5; i++) {
		LEAK_CREATE(&thread, NULL, work_for_long, NULL);
		leak_ok(pthread_detach(thread));
	}
}

/* ---- locks */

LEAK_FRAME static void *keep_lock(void *arg)
{
	leak_ok(pthread_mutex_lock(&ledger_lock));
	arrive();
	leak_rest(3600 * 1000L);
	return arg;
}

LEAK_FRAME static void *die_with_lock(void *arg)
{
	leak_ok(pthread_mutex_lock(&ledger_lock));
	return arg;
}

LEAK_FRAME static void append_entry(void)
{
	leak_ok(pthread_mutex_lock(&ledger_lock));
	LEAK_NO_TAIL_CALL();
}

LEAK_FRAME static void *write_ledger(void *arg)
{
	arrive();
	append_entry();
	LEAK_NO_TAIL_CALL();
	return arg;
}

LEAK_FRAME static void create_waiters(const char *reason, int count)
{
	pthread_t thread;

	for (int i = 0; i < count; i++)
		LEAK_CREATE(&thread, NULL, write_ledger, NULL);
	leak_await(&arrived, count);
	leak_tell(reason, count, "write_ledger");
}

static void lose_lock(void)
{
	pthread_t thread;

	leak_ok(pthread_create(&thread, NULL, die_with_lock, NULL));
	leak_ok(pthread_join(thread, NULL));
}

static void keep(void)
{
	pthread_t thread;

	leak_ok(pthread_create(&thread, NULL, keep_lock, NULL));
	leak_await(&arrived, 1);
}

int main(int argc, char **argv)
{
	void (*again)(void) = NULL;

	leak_start(argc, argv, "leaks",
		   "unjoined running timed growing growing-unjoined unbounded blocked same-line "
		   "orphaned died");
	if (leak_is("unjoined")) {
		create_unjoined();
	} else if (leak_is("running")) {
		create_workers(compute, "compute");
	} else if (leak_is("timed")) {
		create_workers(look_for_work, "look_for_work");
	} else if (leak_is("blocked")) {
		create_blocked("blocked-forever");
	} else if (leak_is("growing")) {
		create_blocked("growing");
		again = serve_request;
	} else if (leak_is("growing-unjoined")) {
		fire_and_forget();
		leak_tell("unjoined", 0, "work_once");
		again = fire_and_forget;
	} else if (leak_is("unbounded")) {
		accept_load();
		leak_tell("growing", 0, "work_for_long");
		again = accept_load;
	} else if (leak_is("same-line")) {
		keep();
		create_waiters("same-line", leak.count);
	} else if (leak_is("orphaned")) {
		lose_lock();
		create_waiters("orphaned", 2);
	} else {
		lose_lock();
		leak_site.function = NULL;
		leak_site.line = 0;
		leak_tell("died", 1, "die_with_lock");
	}
	return leak_ready(again);
}
