// SPDX-License-Identifier: GPL-2.0-only
/* Reads that take too long are given up, with the thread that is stuck in them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/util/patience.h"

#define SLOW	  4711 /* process IDs, of which nothing is read here */
#define OTHER	  4712
#define MS	  1000000L
#define LONG	  3600000000000ULL /* nothing here takes so long, however busy the machine is */
#define TRIES_MAX 30000		   /* of a millisecond each */

static int asleep[2]; /* a pipe */
static pid_t stuck_tid;
static bool went_on;

static void rest(long ns)
{
	struct timespec time = { ns / (1000 * MS), ns % (1000 * MS) };

	nanosleep(&time, NULL);
}

static int hang(void *ctx)
{
	char byte;

	assert_int_equal(patience__begin(SLOW), 0);
	__atomic_store_n(&stuck_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	if (read(asleep[0], &byte, 1) != 1)
		abort();
	patience__end();
	__atomic_store_n(&went_on, true, __ATOMIC_RELEASE);
	return 0;
}

static int ask(void *ctx)
{
	int *ret = ctx;

	ret[0] = patience__begin(SLOW);
	if (!ret[0])
		patience__end();
	ret[1] = patience__begin(OTHER);
	if (!ret[1])
		patience__end();
	ret[2] = patience__is_over(SLOW);
	return 42;
}

static int read_slowly(void *ctx)
{
	assert_int_equal(patience__begin(SLOW), 0);
	rest(3 * MS);
	patience__end();
	return ask(ctx);
}

static void check_asked(struct patience *p, int (*fn)(void *ctx), int slow)
{
	int said[3], ret = 0;

	assert_int_equal(patience__run(p, fn, said, &ret), 0);
	assert_int_equal(ret, 42);
	assert_int_equal(said[0], slow);
	assert_int_equal(said[1], 0);
	assert_int_equal(said[2], slow != 0);
}

static void test_in_time(void **state)
{
	struct patience p = { .read_max_ns = LONG, .sum_max_ns = LONG };

	check_asked(&p, ask, 0);
}

/* No run, no limit. */
static void test_outside(void **state)
{
	assert_int_equal(patience__begin(SLOW), 0);
	patience__end();
	assert_false(patience__is_over(SLOW));
}

static void test_sum(void **state)
{
	struct patience p = { .read_max_ns = LONG, .sum_max_ns = LONG };

	check_asked(&p, read_slowly, 0);
	p.sum_max_ns = 1;
	check_asked(&p, ask, -EBUSY);
	patience__renew(&p);
	check_asked(&p, read_slowly, -EBUSY);
	patience__renew(&p);
	p.sum_max_ns = LONG;
	check_asked(&p, ask, 0);
}

/* The number of the call that a thread of ours sleeps in; -1: none. */
static long call_of(pid_t tid)
{
	char path[64];
	long nr = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	file = fopen(path, "r");
	assert_non_null(file);
	if (fscanf(file, "%ld", &nr) != 1)
		nr = -1;
	fclose(file);
	return nr;
}

static bool is_parked(pid_t tid)
{
	long nr = call_of(tid);

#ifdef SYS_pause
	if (nr == SYS_pause)
		return true;
#endif
	return nr == SYS_ppoll;
}

static void test_hang(void **state)
{
	struct patience p = { .read_max_ns = 20 * MS };
	int ret = 7, tries = 0;

	assert_int_equal(pipe(asleep), 0);
	assert_int_equal(patience__run(&p, hang, NULL, &ret), -ETIMEDOUT);
	assert_int_equal(ret, 7);
	p.read_max_ns = p.sum_max_ns = LONG;
	check_asked(&p, ask, -EBUSY);
	patience__renew(&p);
	check_asked(&p, ask, -EBUSY); /* who hung once may hang again */

	/* The read ends after all: whose it was is not there any more. */
	assert_int_equal(write(asleep[1], "", 1), 1);
	while (!is_parked(stuck_tid) && tries++ < TRIES_MAX)
		rest(MS);
	assert_true(is_parked(stuck_tid));
	assert_false(__atomic_load_n(&went_on, __ATOMIC_ACQUIRE));
	close(asleep[0]);
	close(asleep[1]);
}

/* ---- a machine that stands still */

static int reading[2], released[2];

static int read_across(void *ctx)
{
	char byte;

	if (patience__begin(SLOW) || write(reading[1], "", 1) != 1 ||
	    read(released[0], &byte, 1) != 1)
		return -1;
	patience__end();
	return 42;
}

/* The clock runs on while nobody runs: a read of that time did not hang. */
static void test_standstill(void **state)
{
	struct patience p = { .read_max_ns = 1000 * MS, .sum_max_ns = LONG };
	int ret = 0, status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(reading), 0);
	assert_int_equal(pipe(released), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(patience__run(&p, read_across, NULL, &ret) || ret != 42);
	assert_int_equal(read(reading[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	rest(2000 * MS);
	assert_int_equal(kill(pid, SIGCONT), 0);
	rest(100 * MS); /* some ticks, for who goes by the clock */
	assert_int_equal(write(released[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(reading[i]);
		close(released[i]);
	}
}

/* More than can be remembered: the first ones are. */
static int read_many(void *ctx)
{
	for (pid_t tgid = 1; tgid <= PATIENCE_SLOW_MAX + 2; tgid++) {
		assert_int_equal(patience__begin(tgid), 0);
		rest(2 * MS);
		patience__end();
	}
	return patience__begin(1);
}

static void test_many(void **state)
{
	struct patience p = { .read_max_ns = LONG, .sum_max_ns = 1 };
	int ret = 0;

	assert_int_equal(patience__run(&p, read_many, NULL, &ret), 0);
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(p.cnt, PATIENCE_SLOW_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_time),	   cmocka_unit_test(test_outside),
		cmocka_unit_test(test_sum),	   cmocka_unit_test(test_hang),
		cmocka_unit_test(test_standstill), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
