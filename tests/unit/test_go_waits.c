// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/aggregate/go_waits.h"

#define MS	 1000000ULL
#define BEGAN_NS (100 * MS)

struct stack {
	struct go_stack head;
	uint64_t pcs[3];
};

static struct stack lock_stack = { { .hash = 1, .complete = true, .frames = 3 },
				   { 0x10, 0x20, 0x30 } };
static struct stack other_stack = { { .hash = 2, .complete = true, .frames = 3 },
				    { 0x10, 0x20, 0x40 } };

static struct go_waiter waiter(uint64_t goid, uint8_t seq, uint64_t word, struct stack *stack)
{
	return (struct go_waiter){ .g = 0x1000 * goid,
				   .goid = goid,
				   .sp = 8,
				   .word = word,
				   .stack = stack ? &stack->head : NULL,
				   .seq = seq };
}

/* Gone before it could be read. */
static struct go_waiter lost(uint64_t goid, uint64_t word)
{
	return (struct go_waiter){ .g = 0x1000 * goid, .word = word };
}

static void look(struct go_waits *w, unsigned ms, const struct go_waiter *waiters, size_t cnt)
{
	assert_int_equal(go_waits__add(w, GO_LOOK_SEMAPHORES, BEGAN_NS + ms * MS, waiters, cnt), 0);
}

static const struct go_waited *at(const struct go_waits *w, uint64_t word, bool has_stack)
{
	const struct go_waited *place, *found = NULL;

	for (size_t i = 0; (place = table__next(&w->places, &i));)
		if (place->word == word && !place->stack == !has_stack)
			found = place;
	assert_non_null(found);
	return found;
}

/* Each look stands for the time since the one before, whatever that was. */
static void test_time(void **state)
{
	struct go_waiter one = waiter(1, 0, 0x500, &lock_stack);
	struct go_waits w = { 0 };

	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, &one, 1);
	look(&w, 40, &one, 1);
	look(&w, 60, NULL, 0);
	look(&w, 65, &one, 1);
	assert_int_equal(at(&w, 0x500, true)->wait_ns, (10 + 30 + 5) * MS);
	assert_int_equal(at(&w, 0x500, true)->looks, 3);
	go_waits__free(&w);
}

static void test_waits_are_told_apart(void **state)
{
	struct go_waiter both[] = { waiter(1, 0, 0x500, &lock_stack),
				    waiter(2, 7, 0x500, &lock_stack) };
	struct go_waits w = { 0 };
	const struct go_waited *place;

	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, both, 2);
	look(&w, 20, both, 2);
	both[1].seq++; /* it ran in between */
	look(&w, 30, both, 2);
	place = at(&w, 0x500, true);
	assert_int_equal(place->waits, 3);
	assert_int_equal(place->before, 2);
	assert_int_equal(place->now, 2);
	assert_int_equal(place->max, 2);
	assert_int_equal(place->longest_ns, 20 * MS);
	look(&w, 40, both, 1);
	assert_int_equal(place->now, 1);
	assert_int_equal(place->max, 2);
	assert_int_equal(place->longest_ns, 30 * MS);
	go_waits__free(&w);
}

static void test_places(void **state)
{
	struct go_waiter three[] = { waiter(1, 0, 0x500, &lock_stack),
				     waiter(2, 0, 0x500, &other_stack),
				     waiter(3, 0, 0x600, &lock_stack) };
	struct go_waits w = { 0 };

	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, three, 3);
	assert_int_equal(w.places.cnt, 3);
	assert_int_equal(w.stacks.cnt, 2);
	assert_int_equal(at(&w, 0x600, true)->stack->pcs[2], 0x30);
	go_waits__free(&w);
}

/* It was there in the look before, so it is the same wait, which has just ended. */
static void test_lost(void **state)
{
	struct go_waiter seen = waiter(1, 0, 0x500, &lock_stack),
			 gone[] = { lost(1, 0x500), lost(2, 0x500) };
	struct go_waits w = { 0 };

	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, &seen, 1);
	look(&w, 20, gone, 2);
	assert_int_equal(at(&w, 0x500, true)->waits, 1);
	assert_int_equal(at(&w, 0x500, false)->waits, 1);
	assert_int_equal(at(&w, 0x500, false)->wait_ns, 20 * MS);
	go_waits__free(&w);
}

static void test_intervals(void **state)
{
	struct go_waiter one = waiter(1, 0, 0x500, &lock_stack);
	struct go_waits w = { 0 };

	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, &one, 1);
	go_waits__next(&w);
	assert_int_equal(w.places.cnt, 0);
	look(&w, 30, &one, 1);
	assert_int_equal(at(&w, 0x500, true)->wait_ns, 20 * MS);
	assert_int_equal(at(&w, 0x500, true)->waits, 1);
	assert_int_equal(at(&w, 0x500, true)->before, 0);
	go_waits__free(&w);
}

/* A sort of looks that begins later has nothing to say about the time before. */
static void test_start(void **state)
{
	struct go_waiter one = waiter(1, 0, 0x500, &lock_stack);
	struct go_waits w = { 0 };

	go_waits__init(&w, BEGAN_NS);
	go_waits__start(&w, GO_LOOK_SEMAPHORES, BEGAN_NS + 70 * MS);
	look(&w, 80, &one, 1);
	assert_int_equal(at(&w, 0x500, true)->wait_ns, 10 * MS);
	go_waits__free(&w);
}

/* More places than are kept: their time is known all the same. */
static void test_beyond(void **state)
{
	struct go_waiter *many = calloc(GO_WAITED_MAX + 10, sizeof(*many));
	struct go_waits w = { 0 };

	assert_non_null(many);
	for (size_t i = 0; i < GO_WAITED_MAX + 10; i++)
		many[i] = waiter(1 + i, 0, 0x500 + 8 * i, &lock_stack);
	go_waits__init(&w, BEGAN_NS);
	look(&w, 10, many, GO_WAITED_MAX + 10);
	look(&w, 20, many, GO_WAITED_MAX + 10);
	assert_int_equal(w.places.cnt, GO_WAITED_MAX);
	assert_int_equal(w.beyond_ns, 10 * 20 * MS);
	go_waits__free(&w);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),	  cmocka_unit_test(test_waits_are_told_apart),
		cmocka_unit_test(test_places),	  cmocka_unit_test(test_lost),
		cmocka_unit_test(test_intervals), cmocka_unit_test(test_start),
		cmocka_unit_test(test_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
