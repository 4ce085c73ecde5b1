// SPDX-License-Identifier: GPL-2.0-only
/* What a lock's holders are charged with: the very functions that the BPF programs run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/blame.h"

#define SYNC  HU_REASON(HU_WHY_CALL, 75, 4) /* fdatasync(3) */
#define SLEEP HU_REASON(HU_WHY_CALL, 230, 0)
#define ANNA  101
#define BERT  102
#define CARLA 103

/* A thread goes to sleep for the lock, whose word names owner (0: none). */
static void sleeps(struct hu_blame *b, uint64_t owner, uint64_t now, uint64_t now_ns)
{
	blame__accrue(b, now_ns);
	if (owner)
		blame__hold(b, owner, 1, now);
	b->waiters++;
}

/* One that was woken runs on, and takes it if nobody else has. */
static void runs(struct hu_blame *b, uint64_t who, uint64_t now_ns)
{
	blame__accrue(b, now_ns);
	b->waiters--;
	if (blame__in_transit(b))
		blame__hold(b, who, 0, REASON_RUNNING);
}

static uint64_t blocked(const struct hu_blame *b, uint64_t reason)
{
	for (int i = 0; i < HU_BLAME_CALLS; i++)
		if (b->blocked[i].reason == reason)
			return b->blocked[i].ns;
	return 0;
}

static uint64_t total(const struct hu_blame *b)
{
	uint64_t sum =
		b->running_ns + b->runnable_ns + b->handover_ns + b->unknown_ns + b->other_ns;

	for (int i = 0; i < HU_BLAME_CALLS; i++)
		sum += b->blocked[i].ns;
	for (int i = 0; i < HU_BLAME_TENT; i++)
		sum += b->tent[i].ns;
	return sum;
}

static void test_states_of_an_owner(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, REASON_RUNNING, 1000);
	blame__change(&b, REASON_RUNNING, SYNC, 1100);
	blame__change(&b, SYNC, REASON_RUNNABLE, 1400);
	blame__change(&b, REASON_RUNNABLE, REASON_RUNNING, 1450);
	blame__release(&b, ANNA, 1500);
	runs(&b, BERT, 1530);
	assert_int_equal(b.running_ns, 150);
	assert_int_equal(blocked(&b, SYNC), 300);
	assert_int_equal(b.runnable_ns, 50);
	blame__refute(&b);
	assert_int_equal(b.handover_ns, 30);
	assert_int_equal(b.inferred_ns, 0);
	assert_int_equal(total(&b), 530);
}

static void test_every_waiter_counts(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, SLEEP, 0);
	sleeps(&b, ANNA, SLEEP, 100);
	sleeps(&b, ANNA, SLEEP, 200);
	blame__accrue(&b, 300);
	assert_int_equal(blocked(&b, SLEEP), 100 + 2 * 100 + 3 * 100);
	assert_int_equal(total(&b), 600);
}

/* Nobody waits: time passes for free. */
static void test_nobody_waits(void **state)
{
	struct hu_blame b = { .holder = ANNA, .sure = 1, .now = SLEEP };

	blame__accrue(&b, 1000);
	blame__change(&b, SLEEP, REASON_RUNNING, 2000);
	assert_int_equal(total(&b), 0);
}

/* The clocks of two CPUs are not the same. */
static void test_clock_goes_back(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, SLEEP, 1000);
	blame__accrue(&b, 990);
	assert_int_equal(total(&b), 0);
	blame__accrue(&b, 1100);
	assert_in_range(total(&b), 100, 110);
}

/* What the owner does is not known when it is named: its first switch tells. */
static void test_pending(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, 0, 0);
	sleeps(&b, ANNA, 0, 100);
	blame__accrue(&b, 200);
	assert_int_equal(total(&b), 300);
	assert_int_equal(b.unknown_ns, 0);
	blame__change(&b, SYNC, REASON_RUNNABLE, 300);
	assert_int_equal(blocked(&b, SYNC), 500);
	assert_int_equal(b.now, REASON_RUNNABLE);
}

static void test_never_told(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, 0, 0);
	blame__accrue(&b, 100);
	sleeps(&b, BERT, SLEEP, 100);
	assert_int_equal(b.unknown_ns, 100);
	assert_int_equal(total(&b), 100);
}

/* Who lets go while its state is pending has run. */
static void test_pending_until_release(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, 0, 0);
	blame__release(&b, ANNA, 70);
	assert_int_equal(b.running_ns, 70);
}

/* A queue for a lock whose word names nobody: three threads wait, one of them has got it. */
static struct hu_blame inferred(void)
{
	struct hu_blame b = { 0 };

	sleeps(&b, 0, 0, 0);
	sleeps(&b, 0, 0, 0);
	blame__release(&b, ANNA, 0);
	runs(&b, BERT, 10);
	blame__change(&b, REASON_RUNNING, SYNC, 20);
	return b;
}

static void test_inferred_and_proven(void **state)
{
	struct hu_blame b = inferred();

	assert_int_equal(b.handover_ns, 20); /* of both */
	blame__change(&b, SYNC, REASON_RUNNABLE, 120);
	assert_int_equal(blocked(&b, SYNC), 0);
	blame__change(&b, REASON_RUNNABLE, REASON_RUNNING, 125);
	blame__release(&b, BERT, 130);
	assert_int_equal(blocked(&b, SYNC), 100);
	assert_int_equal(b.running_ns, 15);
	assert_int_equal(b.runnable_ns, 5);
	assert_int_equal(b.inferred_ns, 120);
	assert_int_equal(b.unknown_ns, 0);
	assert_int_equal(total(&b), 140);
}

/* Another one lets go: nobody knows who had it. */
static void test_inferred_and_refuted(void **state)
{
	struct hu_blame b = inferred();

	blame__release(&b, CARLA, 120);
	assert_int_equal(blocked(&b, SYNC), 0);
	assert_int_equal(b.unknown_ns, 110);
	assert_int_equal(b.handover_ns, 20);
	assert_int_equal(b.inferred_ns, 0);
}

/* The word names the one that was inferred. */
static void test_inferred_and_named(void **state)
{
	struct hu_blame b = inferred();

	sleeps(&b, BERT, SYNC, 120);
	assert_int_equal(blocked(&b, SYNC), 100);
	assert_int_equal(b.sure, 1);
	blame__accrue(&b, 130);
	assert_int_equal(blocked(&b, SYNC), 120);
}

/* Taken again before the one that was woken ran: the word says so when that one sleeps again. */
static void test_kept(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, REASON_RUNNING, 0);
	blame__release(&b, ANNA, 100);
	blame__accrue(&b, 140);
	blame__hold(&b, ANNA, 1, REASON_RUNNING);
	assert_int_equal(b.running_ns, 140);
	assert_int_equal(b.inferred_ns, 40);
	assert_int_equal(b.handover_ns, 0);
}

/* It had left the CPU without the lock in between: it can't be told for how long it has it. */
static void test_left_and_came_back(void **state)
{
	struct hu_blame b = { 0 };

	sleeps(&b, ANNA, REASON_RUNNING, 0);
	blame__release(&b, ANNA, 100);
	b.left = 1;
	blame__accrue(&b, 140);
	blame__hold(&b, ANNA, 1, REASON_RUNNING);
	assert_int_equal(b.running_ns, 100);
	assert_int_equal(b.handover_ns, 40);
}

/* More calls than there is room for are counted together. */
static void test_many_calls(void **state)
{
	struct hu_blame b = { 0 };
	uint64_t at = 0;

	sleeps(&b, ANNA, HU_REASON(HU_WHY_CALL, 1, 0), 0);
	for (int nr = 2; nr < HU_BLAME_CALLS + 4; nr++)
		blame__change(&b, 0, HU_REASON(HU_WHY_CALL, nr, 0), at += 10);
	blame__accrue(&b, at += 10);
	assert_int_equal(b.other_ns, 30);
	assert_int_equal(total(&b), at);
}

static void test_many_tentative(void **state)
{
	struct hu_blame b = inferred();

	for (int nr = 1; nr < HU_BLAME_TENT + 3; nr++)
		blame__change(&b, 0, HU_REASON(HU_WHY_CALL, nr, 0), 20 + 10 * nr);
	blame__release(&b, BERT, 200);
	assert_int_equal(total(&b), 210);
	assert_true(b.unknown_ns > 0);
}

/* A word that only looks like an owner's is not believed for ever. */
static void test_misled(void **state)
{
	struct hu_blame b = { 0 };

	for (int i = 0; i < BLAME_MISLED_MAX; i++) {
		assert_true(blame__believes_word(&b));
		sleeps(&b, 7, 0, 10 * i);
		blame__release(&b, ANNA, 10 * i + 5);
		runs(&b, BERT, 10 * i + 5);
		blame__nobody(&b);
	}
	assert_false(blame__believes_word(&b));
}

static void test_sum_is_all_time(void **state)
{
	struct hu_blame b = { 0 };
	uint64_t rest = 12345, at = 0, sum = 0, step;

	for (int i = 0; i < 20000; i++) {
		rest = rest * 6364136223846793005ULL + 1442695040888963407ULL;
		step = rest >> 54;
		sum += step * (b.waiters > 0 ? b.waiters : 0);
		at += step;
		switch (rest >> 33 & 7) {
		case 0:
		case 1:
			if (b.waiters < 9)
				sleeps(&b, rest >> 40 & 3 ? 0 : 100 + (rest >> 42 & 3),
				       rest >> 45 & 1 ? SYNC : 0, at);
			else
				blame__accrue(&b, at);
			break;
		case 2:
			blame__release(&b, 100 + (rest >> 42 & 3), at);
			break;
		case 3:
			if (b.waiters)
				runs(&b, 100 + (rest >> 42 & 3), at);
			else
				blame__accrue(&b, at);
			break;
		case 4:
			blame__accrue(&b, at);
			blame__nobody(&b);
			break;
		default:
			blame__change(&b, SLEEP, HU_REASON(HU_WHY_CALL, rest >> 47 & 15, 0), at);
		}
		assert_int_equal(total(&b), sum);
	}
	assert_true(b.inferred_ns <= sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_of_an_owner),
		cmocka_unit_test(test_every_waiter_counts),
		cmocka_unit_test(test_nobody_waits),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_never_told),
		cmocka_unit_test(test_pending_until_release),
		cmocka_unit_test(test_inferred_and_proven),
		cmocka_unit_test(test_inferred_and_refuted),
		cmocka_unit_test(test_inferred_and_named),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_left_and_came_back),
		cmocka_unit_test(test_many_calls),
		cmocka_unit_test(test_many_tentative),
		cmocka_unit_test(test_misled),
		cmocka_unit_test(test_sum_is_all_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
