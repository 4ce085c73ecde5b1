// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "user/aggregate/go_counts.h"

#define SEMA 0x5000
#define SITE 7
#define MS   1000000ULL

static const struct hu_go_key key = { .sema = SEMA, .site = SITE };

static const struct go_counted *the_place(const struct go_counts *c)
{
	size_t i = 0;

	assert_int_equal(c->places.cnt, 1);
	return table__next(&c->places, &i);
}

/* What is read is all since the start; an interval has what came in it. */
static void test_intervals(void **state)
{
	struct hu_go_wait wait = { .waits = 3, .sleeps = 4, .ns = 30 * MS, .max_ns = 20 * MS };
	struct go_counts c = { 0 };
	struct go_share share;

	assert_int_equal(go_counts__wait(&c, &key, &wait), 0);
	share = go_counted__share(the_place(&c));
	assert_int_equal(share.waits, 3);
	assert_int_equal(share.sleeps, 4);
	assert_int_equal(share.ns, 30 * MS);
	assert_int_equal(share.max_ns, 20 * MS);
	go_counts__next(&c);
	assert_int_equal(go_counted__share(the_place(&c)).waits, 0);
	wait.waits = 5;
	wait.ns = 33 * MS;
	assert_int_equal(go_counts__wait(&c, &key, &wait), 0);
	share = go_counted__share(the_place(&c));
	assert_int_equal(share.waits, 2);
	assert_int_equal(share.ns, 3 * MS);
	go_counts__free(&c);
}

/* The longest of an interval that is not the longest of all is known by its bucket. */
static void test_histogram(void **state)
{
	struct hu_go_wait wait = { .waits = 1, .max_ns = 20 * MS };
	struct go_counts c = { 0 };
	struct hist hist = { 0 };
	struct go_share share;

	wait.hist[100] = 1;
	assert_int_equal(go_counts__wait(&c, &key, &wait), 0);
	go_counts__next(&c);
	wait.hist[90] = 3;
	assert_int_equal(go_counts__wait(&c, &key, &wait), 0);
	share = go_counted__share(the_place(&c));
	assert_true(share.max_ns > 0 && share.max_ns < 20 * MS);
	go_counted__add_hist(the_place(&c), &hist);
	assert_int_equal(hist.cnt, 3);
	assert_in_range(hist__percentile(&hist, 50, 20 * MS), share.max_ns - share.max_ns / 16,
			share.max_ns + share.max_ns / 16);
	hist__free(&hist);
	go_counts__free(&c);
}

static void test_ongoing(void **state)
{
	struct hu_go_pending pending = { .sema = SEMA, .site = SITE, .since_ns = 100 * MS };
	struct go_counts c = { 0 };

	assert_int_equal(go_counts__ongoing(&c, &pending, 150 * MS, false), 0);
	assert_int_equal(the_place(&c)->waiting, 1);
	assert_int_equal(the_place(&c)->ongoing, 0);
	assert_int_equal(the_place(&c)->ongoing_ns, 0);
	go_counts__next(&c);
	assert_int_equal(the_place(&c)->waiting, 0);
	assert_int_equal(go_counts__ongoing(&c, &pending, 150 * MS, true), 0);
	/* It has slept before in the same wait, which is one of those that were counted. */
	pending.flags = HU_GO_COUNTED;
	assert_int_equal(go_counts__ongoing(&c, &pending, 160 * MS, true), 0);
	assert_int_equal(the_place(&c)->waiting, 2);
	assert_int_equal(the_place(&c)->ongoing, 1);
	assert_int_equal(the_place(&c)->ongoing_ns, 110 * MS);
	go_counts__free(&c);
}

static void test_releasers(void **state)
{
	struct hu_go_release_key who = { .sema = SEMA, .site = SITE, .releaser = 1 };
	struct hu_go_release release = { .waits = 1, .ns = 5 * MS, .goid = 3 };
	struct go_counts c = { 0 };
	const struct go_counted *p;

	assert_int_equal(go_counts__release(&c, &who, &release), 0);
	who.releaser = 2;
	assert_int_equal(go_counts__release(&c, &who, &release), 0);
	go_counts__next(&c);
	release.ns = 9 * MS;
	assert_int_equal(go_counts__release(&c, &who, &release), 0);
	p = the_place(&c);
	assert_int_equal(p->released_cnt, 2);
	assert_int_equal(p->released[0].now.ns - p->released[0].base.ns, 0);
	assert_int_equal(p->released[1].now.ns - p->released[1].base.ns, 4 * MS);
	go_counts__free(&c);
}

/* The kernel's first is the next instruction; stacks of goroutines have places behind calls. */
static void test_stacks(void **state)
{
	struct hu_go_stack stack = { .frames = 2, .pcs = { 0x10, 0x20 } };
	struct go_counts c = { 0 };
	const struct go_stack *kept;

	assert_null(go_counts__stack(&c, SITE));
	assert_int_equal(go_counts__keep_stack(&c, SITE, &stack), 0);
	kept = go_counts__stack(&c, SITE);
	assert_non_null(kept);
	assert_true(kept->complete);
	assert_int_equal(kept->frames, 2);
	assert_int_equal(kept->pcs[0], 0x11);
	assert_int_equal(kept->pcs[1], 0x20);
	stack.frames = UINT16_MAX; /* hostile: more than there is room for */
	stack.broken = 1;
	assert_int_equal(go_counts__keep_stack(&c, SITE + 1, &stack), 0);
	kept = go_counts__stack(&c, SITE + 1);
	assert_int_equal(kept->frames, HU_GO_FRAMES_MAX);
	assert_false(kept->complete);
	go_counts__free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intervals), cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_ongoing),	  cmocka_unit_test(test_releasers),
		cmocka_unit_test(test_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
