// SPDX-License-Identifier: GPL-2.0-only
/* What grows for good, and what only seems to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdlib.h>

#include "user/model/trend.h"

#define POINTS	120
#define STEP_NS 250000000ULL

static struct trend_point series[POINTS];

static struct trend test(uint64_t (*value)(unsigned i))
{
	struct trend t;

	for (unsigned i = 0; i < POINTS; i++)
		series[i] = (struct trend_point){ 7000000000ULL + i * STEP_NS, value(i) };
	trend__test(series, POINTS, 3, &t);
	return t;
}

static uint64_t line(unsigned i)
{
	return 10 + i / 4;
}

static uint64_t slow(unsigned i)
{
	return 5 + i / 12;
}

static uint64_t noisy(unsigned i)
{
	return 100 + i + (i * 7919 % 23);
}

static uint64_t saw(unsigned i)
{
	return 8 + i % 20;
}

static uint64_t long_saw(unsigned i)
{
	return 8 + i % 45;
}

static uint64_t fills(unsigned i)
{
	return i < 60 ? 1 + i : 61;
}

static uint64_t fills_late(unsigned i)
{
	return i < 90 ? 1 + i : 91;
}

static uint64_t jumps(unsigned i)
{
	return i < 50 ? 4 : 3000;
}

static uint64_t steady(unsigned i)
{
	return 64;
}

static uint64_t falls(unsigned i)
{
	return 1000 - i;
}

static uint64_t little(unsigned i)
{
	return 7 + i / 60;
}

static uint64_t busy(unsigned i)
{
	return 20 + (i * 2654435761u >> 7) % 40;
}

/* A leak under requests that come and go: the lows rise. */
static uint64_t leak_in_saw(unsigned i)
{
	return 8 + i % 20 + i / 4;
}

/* Threads are made one after the other at the end of the time: not seen long enough to be a trend. */
static uint64_t begins_late(unsigned i)
{
	return i < 115 ? 4 : 4 + (i - 115);
}

static void grows(void **state)
{
	struct trend t = test(line);

	assert_true(t.grows);
	assert_true(t.per_min > 55 && t.per_min < 65); /* one a second */
	assert_true(t.sure > 0.999 && t.sure <= 1);
	assert_true(test(slow).grows);
	assert_true(test(slow).per_min > 15 && test(slow).per_min < 25);
	assert_true(test(noisy).grows);
	t = test(leak_in_saw);
	assert_true(t.grows);
	assert_true(t.per_min > 50 && t.per_min < 70);
}

static void does_not_grow(void **state)
{
	assert_false(test(saw).grows);
	assert_false(test(long_saw).grows);
	assert_false(test(fills).grows);
	assert_false(test(fills_late).grows);
	assert_false(test(jumps).grows);
	assert_false(test(steady).grows);
	assert_false(test(falls).grows);
	assert_false(test(little).grows);
	assert_false(test(busy).grows);
	assert_false(test(begins_late).grows);
}

static void too_few(void **state)
{
	struct trend t;

	for (size_t n = 0; n < 2 * TREND_POINTS_LEAST; n++) {
		for (unsigned i = 0; i < n; i++)
			series[i] = (struct trend_point){ i * STEP_NS, 100 * i };
		trend__test(series, n, 3, &t);
		assert_false(t.grows);
	}
	/* All at one moment */
	for (unsigned i = 0; i < POINTS; i++)
		series[i] = (struct trend_point){ 5, i };
	trend__test(series, POINTS, 3, &t);
	assert_false(t.grows);
}

/* Random walks are no trend: how many of them are taken for one. */
static void chance(void **state)
{
	unsigned found = 0;
	struct trend t;

	srandom(4711);
	for (unsigned n = 0; n < 2000; n++) {
		uint64_t level = 50;

		for (unsigned i = 0; i < POINTS; i++) {
			level = 30 + random() % 40;
			series[i] = (struct trend_point){ i * STEP_NS, level };
		}
		trend__test(series, POINTS, 3, &t);
		found += t.grows;
	}
	assert_true(found <= 6); /* of 2000, at p < 0.001 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),
		cmocka_unit_test(does_not_grow),
		cmocka_unit_test(too_few),
		cmocka_unit_test(chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
