// SPDX-License-Identifier: GPL-2.0-only
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/aggregate/hist.h"

static uint64_t random_state;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* |a - b| / b */
static double error_of(uint64_t a, uint64_t b)
{
	return a == b ? 0 : fabs((double)a - (double)b) / (double)b;
}

static uint64_t alone(uint64_t ns)
{
	struct hist h = { 0 };
	uint64_t value;

	hist__add(&h, ns);
	assert_int_equal(h.cnt, 1);
	assert_int_equal(h.dropped, 0);
	value = hist__percentile(&h, 50, UINT64_MAX);
	hist__free(&h);
	return value;
}

static void test_small_values_are_exact(void **state)
{
	for (uint64_t ns = 0; ns < HIST_SUBS; ns++)
		assert_int_equal(alone(ns), ns);
}

/* The contract: a bucket's middle is at most 1/64 of the value off, in each power of two. */
static void test_error_bound(void **state)
{
	for (int power = 0; power < 64; power++)
		for (int step = 0; step < 64; step++) {
			uint64_t low = 1ULL << power;
			uint64_t ns = low + (uint64_t)((__uint128_t)low * step / 64);

			assert_true(error_of(alone(ns), ns) <= 1.0 / 64);
			assert_true(error_of(alone(ns - 1), ns - 1) <= 1.0 / 64);
		}
	assert_true(error_of(alone(UINT64_MAX), UINT64_MAX) <= 1.0 / 64);
}

static void test_powers_are_allocated_when_used(void **state)
{
	struct hist h = { 0 };
	int used = 0;

	hist__add(&h, 1000000);
	hist__add(&h, 1000001);
	for (int i = 0; i < HIST_POWERS; i++)
		used += h.power[i] != NULL;
	assert_int_equal(used, 1);
	hist__free(&h);
	for (int i = 0; i < HIST_POWERS; i++)
		assert_null(h.power[i]);
	assert_int_equal(h.cnt, 0);
}

static void test_empty(void **state)
{
	struct hist h = { 0 };

	assert_int_equal(hist__percentile(&h, 50, 0), 0);
	assert_int_equal(hist__percentile(&h, 99, 1000), 0);
	hist__free(&h);
}

static void test_never_above_the_maximum(void **state)
{
	struct hist h = { 0 };

	hist__add(&h, 1000000); /* lies below its bucket's middle */
	assert_int_equal(hist__percentile(&h, 99, 1000000), 1000000);
	assert_int_equal(hist__percentile(&h, 100, 1000000), 1000000);
	hist__free(&h);
}

/* Values that have a bucket each: ranks must be exact (the smallest value at or below which lie so
 * many percent). */
static void test_ranks(void **state)
{
	struct hist h = { 0 };

	for (uint64_t ns = 1; ns <= 20; ns++)
		hist__add(&h, ns);
	assert_int_equal(hist__percentile(&h, 0, 20), 1);
	assert_int_equal(hist__percentile(&h, 1, 20), 1);
	assert_int_equal(hist__percentile(&h, 5, 20), 1);
	assert_int_equal(hist__percentile(&h, 5.01, 20), 2);
	assert_int_equal(hist__percentile(&h, 50, 20), 10);
	assert_int_equal(hist__percentile(&h, 51, 20), 11);
	assert_int_equal(hist__percentile(&h, 95, 20), 19);
	assert_int_equal(hist__percentile(&h, 99, 20), 20);
	assert_int_equal(hist__percentile(&h, 100, 20), 20);
	hist__free(&h);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against a sorted array: sizes around which ranks round, values over all magnitudes. */
static void test_against_sorted(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 19, 20, 21, 99, 100, 101, 1000, 12345 };
	static const int percents[] = { 1, 5, 25, 50, 75, 90, 95, 99, 100 };
	static uint64_t value[12345];

	random_state = 0x2545f4914f6cdd1dULL;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct hist h = { 0 };
		size_t n = sizes[s];

		for (size_t i = 0; i < n; i++) {
			value[i] = random64() >> (random64() % 50);
			hist__add(&h, value[i]);
		}
		qsort(value, n, sizeof(value[0]), compare);
		assert_int_equal(h.cnt, n);
		for (size_t p = 0; p < sizeof(percents) / sizeof(percents[0]); p++) {
			size_t rank = (percents[p] * n + 99) / 100; /* rounded up, from 1 */
			uint64_t got = hist__percentile(&h, percents[p], value[n - 1]);

			if (error_of(got, value[rank - 1]) > 1.0 / 64)
				fail_msg("p%d of %zu: %llu, not %llu", percents[p], n,
					 (unsigned long long)got,
					 (unsigned long long)value[rank - 1]);
		}
		hist__free(&h);
	}
}

static void test_merge(void **state)
{
	struct hist a = { 0 }, b = { 0 }, both = { 0 }, empty = { 0 };

	random_state = 99;
	for (int i = 0; i < 1000; i++) {
		uint64_t ns = random64() >> (random64() % 60);

		hist__add(i & 1 ? &a : &b, ns);
		hist__add(&both, ns);
	}
	hist__merge(&a, &b);
	hist__merge(&a, &empty);
	assert_int_equal(a.cnt, both.cnt);
	for (int p = 0; p < HIST_POWERS; p++) {
		assert_int_equal(a.power[p] != NULL, both.power[p] != NULL);
		if (a.power[p])
			assert_memory_equal(a.power[p], both.power[p],
					    HIST_SUBS * sizeof(uint64_t));
	}
	assert_int_equal(b.cnt, 500); /* the other one stays as it is */
	hist__merge(&empty, &a);
	assert_int_equal(empty.cnt, 1000);
	assert_int_equal(hist__percentile(&empty, 95, UINT64_MAX),
			 hist__percentile(&both, 95, UINT64_MAX));
	hist__free(&a);
	hist__free(&b);
	hist__free(&both);
	hist__free(&empty);
}

static void test_merge_keeps_dropped(void **state)
{
	struct hist a = { .dropped = 3 }, b = { .dropped = 4 };

	hist__merge(&a, &b);
	assert_int_equal(a.dropped, 7);
	hist__free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_error_bound),
		cmocka_unit_test(test_powers_are_allocated_when_used),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_never_above_the_maximum),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_against_sorted),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merge_keeps_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
