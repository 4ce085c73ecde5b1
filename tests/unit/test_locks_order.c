// SPDX-License-Identifier: GPL-2.0-only
/* Circles in the order of locks: the pure graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/locks_order.h"

#define EDGE(a, b)                          \
	{                                   \
		.first = (a), .second = (b) \
	}

static struct order_result *find(const struct order_edge *edge, size_t cnt)
{
	static struct order_result result;

	assert_int_equal(locks_order__find(edge, cnt, &result), 0);
	return &result;
}

#define FIND(edges) find(edges, sizeof(edges) / sizeof((edges)[0]))

static void test_nothing(void **state)
{
	const struct order_edge line[] = { EDGE(1, 2), EDGE(2, 3), EDGE(1, 3), EDGE(3, 4) };

	assert_int_equal(find(NULL, 0)->cnt, 0);
	assert_int_equal(FIND(line)->cnt, 0);
	assert_false(FIND(line)->cut);
}

static void test_two_ways(void **state)
{
	const struct order_edge edge[] = { EDGE(7, 9), EDGE(1, 7), EDGE(9, 7) };
	const struct order_result *r = FIND(edge);

	assert_int_equal(r->cnt, 1);
	assert_int_equal(r->circle[0].cnt, 2);
	assert_int_equal(r->circle[0].edge[0], 0); /* from the lowest lock on */
	assert_int_equal(r->circle[0].edge[1], 2);
}

/* A circle through a pair that contradicts anyway says nothing new; another pair does. */
static void test_each_once(void **state)
{
	const struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 1), EDGE(2, 3), EDGE(3, 1),
					   EDGE(1, 2), EDGE(5, 6), EDGE(6, 5) };
	const struct order_result *r = FIND(edge);

	assert_int_equal(r->cnt, 2);
	assert_int_equal(r->circle[0].cnt, 2);
	assert_int_equal(r->circle[1].cnt, 2);
}

static void test_long_circle(void **state)
{
	struct order_edge edge[ORDER_LOCKS_MAX + 1] = { 0 };

	for (uint64_t n = 3; n <= ORDER_LOCKS_MAX + 1; n++) {
		const struct order_result *r;

		for (uint64_t i = 0; i < n; i++)
			edge[i] = (struct order_edge)EDGE(i + 1, (i + 1) % n + 1);
		r = find(edge, n);
		assert_int_equal(r->cnt, n <= ORDER_LOCKS_MAX);
		if (r->cnt)
			assert_int_equal(r->circle[0].cnt, n);
	}
}

static void test_gates(void **state)
{
	struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 1) };

	edge[0].gate_cnt = edge[1].gate_cnt = 1;
	edge[0].gate[0] = edge[1].gate[0] = 50;
	assert_int_equal(FIND(edge)->cnt, 0);
	edge[0].gate_shared[0] = true; /* a reader and a writer exclude one another */
	assert_int_equal(FIND(edge)->cnt, 0);
	edge[1].gate_shared[0] = true; /* two readers do not */
	assert_int_equal(FIND(edge)->cnt, 1);
	edge[0].gate_shared[0] = edge[1].gate_shared[0] = false;
	edge[1].gate[0] = 51;
	assert_int_equal(FIND(edge)->cnt, 1);
}

/* What one side holds first is a gate as well, where the other has it among its locks. */
static void test_first_is_gate(void **state)
{
	struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 3), EDGE(3, 1) };

	edge[1].gate_cnt = 1;
	edge[1].gate[0] = 1;
	assert_int_equal(FIND(edge)->cnt, 0);
}

/* A way without the gate is enough. */
static void test_one_way_round_the_gate(void **state)
{
	struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 1), EDGE(2, 1) };
	const struct order_result *r;

	edge[0].gate_cnt = edge[1].gate_cnt = 1;
	edge[0].gate[0] = edge[1].gate[0] = 50;
	r = FIND(edge);
	assert_int_equal(r->cnt, 1);
	assert_int_equal(r->circle[0].edge[1], 2);
}

static void test_readers(void **state)
{
	struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 1) };

	/* Both hold for reading, and ask for reading. */
	edge[0].first_shared = edge[0].second_shared = true;
	edge[1].first_shared = edge[1].second_shared = true;
	assert_int_equal(FIND(edge)->cnt, 0);
	edge[0].second_shared =
		false; /* a writer waits for the reader of 2; nobody for that of 1 */
	assert_int_equal(FIND(edge)->cnt, 0);
	edge[1].second_shared = false;
	assert_int_equal(FIND(edge)->cnt, 1);
}

static void test_spaces(void **state)
{
	struct order_edge edge[] = { EDGE(1, 2), EDGE(2, 1) };

	edge[1].space = 1;
	assert_int_equal(FIND(edge)->cnt, 0);
}

/* Bounded, and says so: every order of many locks. */
static void test_bounds(void **state)
{
	enum {
		LOCKS = 60
	};
	struct order_edge *edge = calloc(LOCKS * LOCKS, sizeof(*edge));
	size_t cnt = 0;

	assert_non_null(edge);
	for (uint64_t a = 1; a <= LOCKS; a++)
		for (uint64_t b = 1; b <= LOCKS; b++)
			if (a != b)
				edge[cnt++] = (struct order_edge)EDGE(a, b);
	assert_int_equal(find(edge, cnt)->cnt, ORDER_CIRCLES_MAX);
	assert_true(find(edge, cnt)->cut);
	free(edge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	  cmocka_unit_test(test_two_ways),
		cmocka_unit_test(test_each_once), cmocka_unit_test(test_long_circle),
		cmocka_unit_test(test_gates),	  cmocka_unit_test(test_first_is_gate),
		cmocka_unit_test(test_readers),	  cmocka_unit_test(test_one_way_round_the_gate),
		cmocka_unit_test(test_spaces),	  cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
