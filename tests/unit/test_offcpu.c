// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel side computes (bpf/offcpu_pure.h, bpf/interval.h), and sums of intervals from its counters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/interval.h"
#include "bpf/offcpu_pure.h"
#include "user/aggregate/offcpu.h"

#define MS 1000000ULL

/* ---- histograms */

static void test_buckets(void **state)
{
	uint32_t last = 0;

	assert_int_equal(off__bucket(0), 0);
	assert_int_equal(off__bucket(127), 0);
	assert_int_equal(off__bucket(128), 1);
	assert_int_equal(off__bucket(UINT64_MAX), HU_OFF_BUCKETS - 1);
	assert_int_equal(off__bucket(1ULL << 44), HU_OFF_BUCKETS - 1);
	assert_int_equal(off__bucket((1ULL << 44) - 1), HU_OFF_BUCKETS - 2);
	/* Ever longer times are in ever later buckets, none is left out, and each middle is near. */
	for (uint64_t ns = 0; ns < 1ULL << 44; ns += 1 + ns / 100) {
		uint32_t bucket = off__bucket(ns);
		uint64_t middle = off__middle_ns(bucket);

		assert_in_range(bucket, last, last + 1);
		assert_int_equal(off__bucket(middle), bucket);
		assert_true((middle > ns ? middle - ns : ns - middle) <= ns / 15 + 128);
		last = bucket;
	}
	assert_int_equal(last, HU_OFF_BUCKETS - 2);
}

static void test_msb(void **state)
{
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(off__msb(1ULL << i), i);
		assert_int_equal(off__msb((1ULL << i) | ((1ULL << i) - 1)), i);
	}
}

static void test_percentiles(void **state)
{
	uint64_t hist[HU_OFF_BUCKETS] = { 0 };

	assert_int_equal(offcpu__percentile(hist, 50, 5), 0);
	hist[off__bucket(1 * MS)] = 98;
	hist[off__bucket(50 * MS)] = 2;
	assert_in_range(offcpu__percentile(hist, 50, 60 * MS), 94 * MS / 100, 107 * MS / 100);
	assert_in_range(offcpu__percentile(hist, 98, 60 * MS), 94 * MS / 100, 107 * MS / 100);
	assert_in_range(offcpu__percentile(hist, 99, 60 * MS), 47 * MS, 54 * MS);
	/* Never more than the longest that there was. */
	assert_int_equal(offcpu__percentile(hist, 100, 48 * MS), 48 * MS);
}

/* ---- times */

static void check_divided(uint64_t out, uint64_t wake, uint64_t now, uint64_t blocked,
			  uint64_t runq)
{
	__u64 b, r;

	interval__divide(out, wake, now, &b, &r);
	assert_int_equal(b, blocked);
	assert_int_equal(r, runq);
}

static void test_divide(void **state)
{
	check_divided(100, 150, 180, 50, 30);
	check_divided(100, 100, 180, 0, 80); /* preempted */
	check_divided(100, 0, 180, 80, 0);   /* no waking was seen */
	/* Clocks of two CPUs that differ: never negative, and the sum is that of the interval. */
	check_divided(100, 90, 180, 0, 80);
	check_divided(100, 190, 180, 80, 0);
	check_divided(100, 0, 90, 0, 0);
}

static void test_resumed(void **state)
{
	assert_int_equal(interval__resumed(100, 120, 500, 80), 420);
	assert_int_equal(interval__resumed(100, 0, 500, 80), 420);
	/* It can't have run before it was woken, nor before it left. */
	assert_int_equal(interval__resumed(100, 450, 500, 80), 450);
	assert_int_equal(interval__resumed(100, 0, 500, 900), 100);
	assert_int_equal(interval__resumed(100, 600, 500, 80), 500);
}

static void test_site_names(void **state)
{
	struct hu_off_what a = { .proc_start = 5, .tgid = 7, .reason = 9, .state = 1 }, b = a;

	b.args[0] = 3;
	b.flags = HU_OFF_ARGS;
	memcpy(b.comm, "x", 2);
	assert_int_equal(off__site(&a), off__site(&b));
#define DIFFERS(field) \
	b = a;         \
	b.field += 1;  \
	assert_int_not_equal(off__site(&a), off__site(&b))
	DIFFERS(proc_start);
	DIFFERS(tgid);
	DIFFERS(tid);
	DIFFERS(reason);
	DIFFERS(user_stack);
	DIFFERS(kernel_stack);
	DIFFERS(state);
	DIFFERS(flags);
}

/* ---- intervals */

struct fixture {
	struct aggregate aggregate;
	struct offcpu offcpu;
	unsigned asked;
};

static int no_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	return -ENOENT;
}

static int kernel_stack(void *ctx, uint64_t id, struct hu_kernel_stack *ret)
{
	struct fixture *f = ctx;

	f->asked++;
	*ret = (struct hu_kernel_stack){ .frames = 2, .pcs = { 0x10, 0x20 } };
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct agg_hooks hooks = { .stack = no_stack };
	struct off_hooks off_hooks = { .kernel_stack = kernel_stack, .ctx = f };

	if (!f)
		return -1;
	aggregate__init(&f->aggregate, &hooks, 0);
	offcpu__init(&f->offcpu, &f->aggregate, &off_hooks);
	f->offcpu.until_ns = UINT64_MAX;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	offcpu__free(&f->offcpu);
	aggregate__free(&f->aggregate);
	free(f);
	return 0;
}

static struct hu_off_site *counted(uint64_t waits, uint64_t blocked_ns, uint64_t runq_ns)
{
	static struct hu_off_site s;

	s = (struct hu_off_site){
		.what = { .proc_start = 1, .tgid = 10, .kernel_stack = 77, .comm = "shop" },
		.waits = waits,
		.blocked_ns = blocked_ns,
		.runq_ns = runq_ns,
		.max_ns = blocked_ns + runq_ns,
		.max_tid = 11,
	};
	s.hist[3] = waits;
	return &s;
}

static const struct off_site *only(const struct fixture *f)
{
	size_t i = 0;

	assert_int_equal(f->offcpu.sites.cnt, 1);
	return table__next(&f->offcpu.sites, &i);
}

static void test_differences(void **state)
{
	struct fixture *f = *state;
	const struct hu_off_key cpu0 = { .site = 5, .cpu = 0 }, cpu1 = { .site = 5, .cpu = 1 };
	const struct off_site *s;
	bool settled;

	assert_int_equal(offcpu__site(&f->offcpu, &cpu0, counted(3, 300, 30), &settled), 0);
	assert_false(settled);
	assert_int_equal(offcpu__site(&f->offcpu, &cpu1, counted(1, 100, 10), &settled), 0);
	/* Twice in one interval: what is new since the last pass. */
	assert_int_equal(offcpu__site(&f->offcpu, &cpu0, counted(4, 400, 40), &settled), 0);
	assert_int_equal(offcpu__site(&f->offcpu, &cpu0, counted(4, 400, 40), &settled), 0);
	assert_true(settled);
	s = only(f);
	assert_int_equal(s->waits, 5);
	assert_int_equal(s->blocked_ns, 500);
	assert_int_equal(s->runq_ns, 50);
	assert_int_equal(s->hist[3], 5);
	assert_int_equal(s->max_ns, 440);
	assert_string_equal(s->process->comm, "shop");
	assert_int_equal(f->asked, 1); /* a kernel stack is fetched once */
	assert_int_equal(offcpu__kernel_stack(&f->offcpu, 77)->frames, 2);
	assert_null(offcpu__kernel_stack(&f->offcpu, 78));

	offcpu__next(&f->offcpu);
	assert_int_equal(f->offcpu.sites.cnt, 0);
	assert_int_equal(offcpu__site(&f->offcpu, &cpu0, counted(6, 700, 40), &settled), 0);
	s = only(f);
	assert_int_equal(s->waits, 2);
	assert_int_equal(s->blocked_ns, 300);
	assert_int_equal(s->max_ns, 0); /* of an earlier turn */
	assert_int_equal(f->asked, 1);
}

static void test_dropped(void **state)
{
	struct fixture *f = *state;
	const struct hu_off_key key = { .site = 5 };
	bool settled;

	offcpu__site(&f->offcpu, &key, counted(3, 300, 30), &settled);
	offcpu__dropped(&f->offcpu, &key, false);
	/* It counts from nothing again. */
	offcpu__site(&f->offcpu, &key, counted(2, 50, 5), &settled);
	assert_int_equal(only(f)->waits, 5);
	assert_int_equal(only(f)->blocked_ns, 350);
	offcpu__dropped(&f->offcpu, &key, false);
	assert_int_equal(offcpu__end(&f->offcpu), 0);
	assert_int_equal(f->offcpu.seen.cnt, 0);
}

static struct hu_off_now now_off(uint64_t blocked_ns, uint64_t runq_ns)
{
	return (struct hu_off_now){
		.what = counted(0, 0, 0)->what,
		.site = 5,
		.blocked_ns = blocked_ns,
		.runq_ns = runq_ns,
		.tid = 12,
	};
}

/* A wait of 1000 ns over three intervals: each has its part, the sum is the wait. */
static void test_ongoing(void **state)
{
	struct fixture *f = *state;
	const struct hu_off_key key = { .site = 5 };
	struct hu_off_now now = now_off(200, 0);
	bool settled;

	assert_int_equal(offcpu__now(&f->offcpu, &now), 0);
	assert_int_equal(offcpu__end(&f->offcpu), 0);
	assert_int_equal(only(f)->blocked_ns, 200);
	assert_int_equal(only(f)->waits, 0);
	assert_int_equal(only(f)->ongoing, 1);
	assert_int_equal(only(f)->max_ns, 200);
	assert_int_equal(only(f)->max_tid, 12);

	offcpu__next(&f->offcpu);
	now = now_off(700, 50); /* woken meanwhile */
	assert_int_equal(offcpu__now(&f->offcpu, &now), 0);
	assert_int_equal(offcpu__end(&f->offcpu), 0);
	assert_int_equal(only(f)->blocked_ns, 500);
	assert_int_equal(only(f)->runq_ns, 50);

	offcpu__next(&f->offcpu);
	assert_int_equal(offcpu__site(&f->offcpu, &key, counted(1, 700, 300), &settled), 0);
	assert_int_equal(offcpu__end(&f->offcpu), 0);
	assert_int_equal(only(f)->blocked_ns, 0);
	assert_int_equal(only(f)->runq_ns, 250);
	assert_int_equal(only(f)->waits, 1);
	assert_int_equal(only(f)->ongoing, 0);
	assert_int_equal(f->offcpu.so_far.cnt, 0);
}

/* What lies after the interval's end is not in it: of the run queue's time first, which comes last. */
static void test_cut(void **state)
{
	struct fixture *f = *state;
	struct hu_off_now now = now_off(600, 100);

	now.hdr.ts_ns = 10000;
	f->offcpu.until_ns = 9850;
	assert_int_equal(offcpu__now(&f->offcpu, &now), 0);
	assert_int_equal(offcpu__end(&f->offcpu), 0);
	assert_int_equal(only(f)->blocked_ns, 550);
	assert_int_equal(only(f)->runq_ns, 0);
}

static void test_wakers(void **state)
{
	struct fixture *f = *state;
	const struct hu_off_key key = { .site = 5 };
	const struct hu_off_waker_key early = { .site = 9, .waker = 1 },
				      own = { .site = 5, .waker = 1 };
	struct hu_off_waker w = { .proc_start = 2, .tgid = 20, .tid = 21, .comm = "waker" };
	bool settled;

	offcpu__site(&f->offcpu, &key, counted(3, 300, 30), &settled);
	w.samples = 2;
	w.wakes = 65;
	w.ns = 6500;
	assert_int_equal(offcpu__waker(&f->offcpu, &own, &w, &settled), 0);
	/* Whose site is not there yet waits for it. */
	assert_int_equal(offcpu__waker(&f->offcpu, &early, &w, &settled), 0);
	assert_int_equal(only(f)->waker_cnt, 1);
	assert_int_equal(only(f)->waker[0].what.wakes, 65);
	assert_string_equal(only(f)->waker[0].process->comm, "waker");

	offcpu__next(&f->offcpu);
	offcpu__site(&f->offcpu, &key, counted(4, 300, 30), &settled);
	w.samples = 3;
	w.wakes = 66;
	w.ns = 6600;
	offcpu__waker(&f->offcpu, &own, &w, &settled);
	assert_int_equal(only(f)->waker[0].what.wakes, 1);
	assert_int_equal(only(f)->waker[0].what.ns, 100);
}

/* What a hostile name is made of ends within its field. */
static void test_unterminated(void **state)
{
	struct fixture *f = *state;
	const struct hu_off_key key = { .site = 5 };
	struct hu_off_site *s = counted(1, 1, 1);
	bool settled;

	memset(s->what.comm, 'x', sizeof(s->what.comm));
	assert_int_equal(offcpu__site(&f->offcpu, &key, s, &settled), 0);
	assert_int_equal(strlen(only(f)->what.comm), HU_COMM_LEN - 1);
	assert_int_equal(strlen(only(f)->process->comm), HU_COMM_LEN - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_msb),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_divide),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_site_names),
		cmocka_unit_test_setup_teardown(test_differences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ongoing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wakers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unterminated, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
