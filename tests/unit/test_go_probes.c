// SPDX-License-Identifier: GPL-2.0-only
/* A goroutine's wait for a semaphore, as its probes tell it (bpf/golang_wait.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/golang_wait.h"
#include "bpf/hist.h"

#define PROCESS 7
#define SEMA	0xc000010008ull
#define OTHER	0xc000020008ull

static void sleep_is(struct hu_go_pending *p, uint64_t now_ns, uint64_t ns, uint64_t total_ns,
		     int first)
{
	struct go_sleep s = { 0 };

	assert_true(go_wait__resume(p, now_ns, &s));
	assert_int_equal(s.ns, ns);
	assert_int_equal(s.is_ns, total_ns);
	assert_int_equal(s.was_ns, total_ns - ns);
	assert_int_equal(s.began_ns + s.ns, now_ns);
	assert_int_equal(s.first, first);
}

static void test_one_sleep(void **state)
{
	struct hu_go_pending p = { 0 };
	struct go_sleep s = { 0 };

	assert_false(go_wait__resume(&p, 100, &s));
	assert_true(go_wait__ask(&p, PROCESS, SEMA, 0, 100));
	assert_int_equal(p.state, HU_GO_ASKS);
	sleep_is(&p, 150, 50, 50, 1);
	assert_int_equal(p.state, HU_GO_RAN);
	/* The next one, though for the same semaphore, is another wait. */
	assert_true(go_wait__ask(&p, PROCESS, SEMA, 0, 200));
	sleep_is(&p, 230, 30, 30, 1);
}

/* lockSlow() has lost the mutex to another, and asks again: in between the goroutine ran. */
static void test_asked_again(void **state)
{
	struct hu_go_pending p = { 0 };

	go_wait__ask(&p, PROCESS, SEMA, 0, 100);
	p.site = 42;
	sleep_is(&p, 150, 50, 50, 1);
	assert_false(go_wait__ask(&p, PROCESS, SEMA, 1, 170));
	assert_int_equal(p.site, 42);
	sleep_is(&p, 190, 20, 70, 0);
	/* It got the semaphore without sleep, and lost again. */
	assert_false(go_wait__ask(&p, PROCESS, SEMA, 1, 200));
	assert_false(go_wait__ask(&p, PROCESS, SEMA, 1, 300));
	sleep_is(&p, 301, 1, 71, 0);
}

/* semacquire1() itself sleeps again. */
static void test_slept_again(void **state)
{
	struct hu_go_pending p = { 0 };

	go_wait__ask(&p, PROCESS, SEMA, 0, 100);
	sleep_is(&p, 150, 50, 50, 1);
	sleep_is(&p, 155, 5, 55, 0);
}

/* Who got it at once is seen to ask, and no more. */
static void test_never_slept(void **state)
{
	struct hu_go_pending p = { 0 };

	go_wait__ask(&p, PROCESS, SEMA, 0, 100);
	assert_true(go_wait__ask(&p, PROCESS, OTHER, 0, 500));
	assert_int_equal(p.sema, OTHER);
	sleep_is(&p, 510, 10, 10, 1);
}

/* Only who has waited already is first in the queue: for another semaphore, or before we looked. */
static void test_began_before(void **state)
{
	struct hu_go_pending p = { 0 };
	struct go_sleep s = { 0 };

	assert_true(go_wait__ask(&p, PROCESS, SEMA, 1, 100));
	assert_true(go_wait__resume(&p, 110, &s));
	assert_true(s.before && s.first);
	assert_true(go_wait__ask(&p, PROCESS, OTHER, 1, 200));
	assert_true(go_wait__resume(&p, 210, &s));
	assert_true(s.before && s.first);
	assert_int_equal(s.is_ns, 10);
	/* The address is used again by another process. */
	assert_true(go_wait__ask(&p, PROCESS + 1, OTHER, 1, 300));
	assert_true(go_wait__ask(&p, PROCESS + 1, OTHER, 0, 400));
	assert_true(go_wait__resume(&p, 410, &s));
	assert_false(s.before);
}

/* A goroutine that the loader has told of. */
static void adopted(uint64_t proc_start)
{
	struct hu_go_pending p = { .proc_start = proc_start,
				   .sema = SEMA,
				   .site = 9,
				   .since_ns = 20,
				   .state = HU_GO_ASKS,
				   .flags = HU_GO_BEFORE | HU_GO_ADOPTED };
	struct go_sleep s = { 0 };

	assert_true(go_wait__resume(&p, 100, &s));
	assert_int_equal(s.ns, 80);
	assert_true(s.first && s.before);
	assert_false(go_wait__ask(&p, PROCESS, SEMA, 1, 120));
	assert_true(go_wait__resume(&p, 150, &s));
	assert_int_equal(s.is_ns, 110);
	assert_false(s.first);
	assert_int_equal(p.site, 9);
	assert_int_equal(p.proc_start, PROCESS);
}

static void test_adopted(void **state)
{
	adopted(PROCESS);
	adopted(0);
}

/* Clocks of two CPUs may differ by a little: no time is below nothing. */
static void test_clock(void **state)
{
	struct hu_go_pending p = { 0 };
	struct go_sleep s = { 0 };

	go_wait__ask(&p, PROCESS, SEMA, 0, 100);
	assert_true(go_wait__resume(&p, 99, &s));
	assert_int_equal(s.ns, 0);
}

static void test_stack_ids(void **state)
{
	uint64_t one = go_stack__mix(go_stack__mix(1, 0x401000), 0x402000);

	assert_int_equal(one, go_stack__mix(go_stack__mix(1, 0x401000), 0x402000));
	assert_int_not_equal(one, go_stack__mix(go_stack__mix(1, 0x402000), 0x401000));
	assert_int_not_equal(one, go_stack__mix(go_stack__mix(2, 0x401000), 0x402000));
}

static void test_buckets(void **state)
{
	uint32_t last = 0;

	assert_int_equal(hold__bucket(0), 0);
	assert_int_equal(hold__bucket(31), 0);
	assert_int_equal(hold__bucket(32), 1);
	for (uint64_t ns = 1; ns < 1ull << 40; ns += ns / 5 + 1) {
		uint32_t bucket = hold__bucket(ns);

		assert_true(bucket >= last && bucket < HU_HOLD_BUCKETS);
		last = bucket;
	}
	assert_int_equal(last, HU_HOLD_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_sleep),    cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_slept_again),  cmocka_unit_test(test_never_slept),
		cmocka_unit_test(test_began_before), cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_clock),	     cmocka_unit_test(test_stack_ids),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
