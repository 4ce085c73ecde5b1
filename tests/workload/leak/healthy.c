// SPDX-License-Identifier: GPL-2.0-only
/*
 * What looks like a leak, and is none. --how
 *   pool         a pool that grows to --count and shrinks to one, again and again; all are joined
 *   fill         a pool that gets one more thread after the other, and then stays
 *   detach-before, detach-after  threads that are detached before they end, or long after
 *   join-later   threads that end and are joined some time later
 *   join-all     one joins all, in order; the first works for long, the others have ended
 *   idle-pool    threads that wait for work which does not come
 *   workers      a pool with work now and then
 *   watchdog     a thread that looks every now and then whether all is well
 *   connections  threads that wait for what a client sends
 *   fork         a threaded program that forks, and goes on
 *   exec         a program with unjoined threads that becomes another one, without any
 *   timers       timers that run in threads (SIGEV_THREAD)
 *   load         threads that come and go, with a little more load at times
 */
#include "leak.h"
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int arrived, work, over;

/* ---- a pool of one queue */

LEAK_FRAME static void *serve(void *arg)
{
	leak_ok(pthread_mutex_lock(&lock));
	arrived++;
	while (!over) {
		while (!work && !over)
			leak_ok(pthread_cond_wait(&changed, &lock));
		work -= work > 0;
	}
	leak_ok(pthread_mutex_unlock(&lock));
	return arg;
}

static void set(int *what, int value)
{
	leak_ok(pthread_mutex_lock(&lock));
	*what = value;
	leak_ok(pthread_cond_broadcast(&changed));
	leak_ok(pthread_mutex_unlock(&lock));
}

static pthread_t *threads;

static void fill_pool(int count)
{
	threads = calloc(count, sizeof(*threads));
	for (int i = 0; i < count; i++)
		LEAK_CREATE(&threads[i], NULL, serve, NULL);
	leak_await(&arrived, count);
}

static void give_work(void)
{
	set(&work, 3);
}

/* ---- pools that change */

LEAK_FRAME static void *work_a_while(void *arg)
{
	leak_rest((long)(intptr_t)arg);
	return NULL;
}

/* Threads for so many turns each, so that --count of them live at the peak, and one in the valley. */
static void swing(void)
{
	static pthread_t ring[256];
	static int at, dir = 1, live;

	if (live >= leak.count || live >= 256)
		dir = -1;
	if (live <= 1)
		dir = 1;
	if (dir > 0) {
		LEAK_CREATE(&ring[(at + live) % 256], NULL, work_a_while, (void *)(intptr_t)1);
		live++;
	} else {
		leak_ok(pthread_join(ring[at], NULL));
		at = (at + 1) % 256;
		live--;
	}
}

LEAK_FRAME static void *live_on(void *arg)
{
	for (;;) {
		leak_ok(pthread_mutex_lock(&lock));
		while (!work && !over)
			leak_ok(pthread_cond_wait(&changed, &lock));
		work = 0;
		leak_ok(pthread_mutex_unlock(&lock));
	}
	return arg;
}

static void fill_more(void)
{
	static int cnt;
	pthread_t thread;

	if (cnt++ < leak.count)
		LEAK_CREATE(&thread, NULL, live_on, NULL);
	else
		set(&work, 1);
}

/* ---- detached and joined */

static void detach(void)
{
	static pthread_t last;
	static bool has_last;
	pthread_t thread;

	if (leak_is("detach-after") && has_last)
		leak_ok(pthread_detach(last)); /* it ended some time ago */
	LEAK_CREATE(&thread, NULL, work_a_while, (void *)(intptr_t)1);
	if (leak_is("detach-before"))
		leak_ok(pthread_detach(thread));
	last = thread;
	has_last = true;
}

static void join_later(void)
{
	static pthread_t ring[4];
	static int cnt;

	if (cnt >= 4)
		leak_ok(pthread_join(ring[cnt % 4], NULL));
	LEAK_CREATE(&ring[cnt % 4], NULL, work_a_while, (void *)(intptr_t)1);
	cnt++;
}

LEAK_FRAME static void *join_all(void *arg)
{
	pthread_t *all = calloc(leak.count, sizeof(*all));

	for (int i = 0; i < leak.count; i++)
		LEAK_CREATE(&all[i], NULL, work_a_while, (void *)(intptr_t)(i ? 1 : 600000));
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < leak.count; i++)
		leak_ok(pthread_join(all[i], NULL));
	return arg;
}

/* ---- others */

LEAK_FRAME static void *watch(void *arg)
{
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	for (;;)
		leak_rest(200);
	return arg;
}

LEAK_FRAME static void *serve_client(void *arg)
{
	char byte;

	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	while (read((int)(intptr_t)arg, &byte, 1) > 0)
		;
	return NULL;
}

static void connect_clients(void)
{
	pthread_t thread;
	int ends[2];

	for (int i = 0; i < leak.count; i++) {
		leak_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		LEAK_CREATE(&thread, NULL, serve_client, (void *)(intptr_t)ends[0]);
	}
	leak_await(&arrived, leak.count);
}

static void fork_one(void)
{
	int pid = fork();

	if (pid < 0)
		leak_die("fork", errno);
	if (!pid) {
		leak_rest(20);
		_exit(0);
	}
	if (waitpid(pid, NULL, 0) != pid)
		leak_die("waitpid", errno);
}

static void become_another(char **argv)
{
	static char how[] = "idle-pool";
	pthread_t thread;

	for (int i = 0; i < leak.count; i++)
		LEAK_CREATE(&thread, NULL, work_a_while, (void *)(intptr_t)1);
	leak_await_threads(1);
	for (char **arg = argv; *arg; arg++)
		if (!strcmp(*arg, "exec"))
			*arg = how;
	execv("/proc/self/exe", argv);
	leak_die("exec", errno);
}

static void on_timer(union sigval value)
{
	(void)value;
	leak_rest(1);
}

static void start_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD };
	struct itimerspec often = { { 0, 20000000 }, { 0, 20000000 } };
	timer_t timer;

	event.sigev_notify_function = on_timer;
	for (int i = 0; i < 3; i++) {
		leak_ok(timer_create(CLOCK_MONOTONIC, &event, &timer));
		leak_ok(timer_settime(timer, 0, &often, NULL));
	}
}

/* Each lives for about a second; how many there are goes up and down by chance. */
static void take_load(void)
{
	static unsigned int seed = 4711;
	pthread_t thread;

	for (unsigned int i = rand_r(&seed) % 4; i; i--) {
		LEAK_CREATE(&thread, NULL, work_a_while,
			    (void *)(intptr_t)(500 + rand_r(&seed) % 1000));
		leak_ok(pthread_detach(thread));
	}
}

int main(int argc, char **argv)
{
	void (*again)(void) = NULL;
	pthread_t thread;

	leak_start(argc, argv, "healthy",
		   "pool fill detach-before detach-after join-later join-all idle-pool workers "
		   "watchdog connections fork exec timers load");
	if (leak_is("pool")) {
		again = swing;
	} else if (leak_is("fill")) {
		again = fill_more;
	} else if (leak_is("detach-before") || leak_is("detach-after")) {
		again = detach;
	} else if (leak_is("join-later")) {
		again = join_later;
	} else if (leak_is("join-all")) {
		leak_ok(pthread_create(&thread, NULL, join_all, NULL));
		leak_await(&arrived, 1);
	} else if (leak_is("idle-pool")) {
		fill_pool(leak.count);
	} else if (leak_is("workers")) {
		fill_pool(leak.count);
		again = give_work;
	} else if (leak_is("watchdog")) {
		leak_ok(pthread_create(&thread, NULL, watch, NULL));
		leak_await(&arrived, 1);
	} else if (leak_is("connections")) {
		connect_clients();
	} else if (leak_is("fork")) {
		fill_pool(leak.count);
		again = fork_one;
	} else if (leak_is("exec")) {
		become_another(argv);
	} else if (leak_is("timers")) {
		start_timers();
	} else {
		again = take_load;
	}
	if (leak.end && threads) {
		set(&over, 1);
		for (int i = 0; i < leak.count; i++)
			leak_ok(pthread_join(threads[i], NULL));
	}
	return leak_ready(again);
}
