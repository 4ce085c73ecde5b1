// SPDX-License-Identifier: GPL-2.0-only
/* Hold times: what the kernel adds up and the percentiles of it; which instruction is probed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/aggregate/hold.h"
#include "user/collect/hold_points.h"

/* ---- sums */

static struct hu_hold hold_of(uint64_t cnt, uint64_t ns, unsigned bucket)
{
	struct hu_hold h = { .cnt = cnt, .ns = ns, .longest.ns = ns / (cnt ? cnt : 1) };

	h.hist[bucket] = cnt;
	return h;
}

static int no_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	return -1;
}

static void test_adds_up(void **state)
{
	struct agg_hooks hooks = { .stack = no_stack };
	struct hu_hold_key key = {
		.proc_start = 1, .lock = 0x1000, .site = 7, .tgid = 42, .mode = HU_HOLD_MUTEX
	};
	struct hu_stack stack = { .tgid = 42, .frames = 1, .exact = 1, .pcs = { 0x400000 } };
	struct hu_hold hold = hold_of(3, 300, 10);
	struct hu_held_record held = { .tgid = 42,
				       .tid = 43,
				       .proc_start = 1,
				       .lock = 0x1000,
				       .site = 7,
				       .since_ns = 5,
				       .mode = HU_HOLD_MUTEX };
	const struct agg_hold *sum;
	struct aggregate a;
	struct hold_set set;
	size_t i = 0;

	aggregate__init(&a, &hooks, 0);
	hold_set__init(&set, &a);
	assert_int_equal(hold_set__add(&set, &key, &hold), 0);
	/* The same stack, which came raw under another id at first. */
	assert_int_equal(aggregate__stack_unwound(&a, 99, &stack, 0), 0);
	key.site = 99;
	assert_int_equal(hold_set__add(&set, &key, &hold), 0);
	assert_int_equal(set.holds.cnt, 2);
	key.site = 7;
	hold = hold_of(1, 1000, 20);
	assert_int_equal(hold_set__add(&set, &key, &hold), 0);
	assert_int_equal(hold_set__add_held(&set, &held), 0);
	assert_int_equal(set.holds.cnt, 2);
	while ((sum = table__next(&set.holds, &i)))
		if (sum->stack_id == 7) {
			assert_int_equal(sum->sum.cnt, 4);
			assert_int_equal(sum->sum.ns, 1300);
			assert_int_equal(sum->sum.longest.ns, 1000);
			assert_int_equal(sum->held_now, 1);
			assert_int_equal(sum->oldest_ns, 5);
		}
	key.mode = HU_HOLD_READ;
	assert_int_equal(hold_set__add(&set, &key, &hold), 0);
	assert_int_equal(set.holds.cnt, 3);
	hold_set__reset(&set);
	assert_int_equal(set.holds.cnt, 0);
	hold_set__free(&set);
	aggregate__free(&a);
}

static void test_percentiles(void **state)
{
	uint64_t hist[HU_HOLD_BUCKETS] = { 0 };

	assert_int_equal(hold_hist__percentile(hist, 50, 0), 0);
	hist[0] = 1; /* below 32 ns */
	assert_in_range(hold_hist__percentile(hist, 50, 31), 0, 31);
	/* Bucket 1 + 8 * n begins at 32 << n. */
	hist[0] = 0;
	hist[1 + 8 * 5] = 99; /* [1024, 1152) */
	hist[1 + 8 * 15] = 1; /* [2^20, …) */
	assert_in_range(hold_hist__percentile(hist, 50, 1 << 21), 1024, 1152);
	assert_in_range(hold_hist__percentile(hist, 99, 1 << 21), 1024, 1152);
	assert_in_range(hold_hist__percentile(hist, 99.5, 1 << 21), 1 << 20, (1 << 20) * 9 / 8);
	assert_int_equal(hold_hist__percentile(hist, 100, 1000),
			 1000); /* never above the maximum */
	memset(hist, 0, sizeof(hist));
	hist[HU_HOLD_BUCKETS - 1] = 1;
	assert_int_equal(hold_hist__percentile(hist, 50, 1ULL << 40), 1ULL << 40);
}

/* ---- instructions */
#if defined(__x86_64__)

static size_t entry(const uint8_t *byte, size_t sz, unsigned needs, bool *stepped, bool *tried)
{
	struct hold_code code = { byte, sz };

	return hold_code__entry(&code, needs, stepped, tried);
}

static void test_entry(void **state)
{
	/* mov 0x10(%rdi),%eax; and $0x7c,%eax; jne +2; ret; nop; ret */
	static const uint8_t branch[] = { 0x8b, 0x47, 0x10, 0x83, 0xe0, 0x7c,
					  0x75, 0x02, 0xc3, 0x90, 0xc3 };
	/* push %rbx; ret */
	static const uint8_t push[] = { 0x53, 0xc3 };
	/* mov %rsi,%rdi; push %rbx; ret: the argument is gone before the push */
	static const uint8_t spoiled[] = { 0x48, 0x89, 0xf7, 0x53, 0xc3 };
	/* 0: mov (%rdi),%eax; test %eax,%eax; jne 0b; ret: it comes by more than once */
	static const uint8_t loop[] = { 0x8b, 0x07, 0x85, 0xc0, 0x75, 0xfa, 0xc3 };
	/* 0: lock decl (%rdi); jne 0b; xor %eax,%eax; ret: each time is an attempt */
	static const uint8_t spin[] = { 0xf0, 0xff, 0x0f, 0x75, 0xfb, 0x31, 0xc0, 0xc3 };
	/* movl $1,(%rdi); xor %eax,%eax; ret */
	static const uint8_t none[] = { 0xc7, 0x07, 1, 0, 0, 0, 0x31, 0xc0, 0xc3 };
	bool stepped, tried;

	assert_int_equal(entry(branch, sizeof(branch), HOLD_NEED_ARG0, &stepped, &tried), 6);
	assert_false(stepped || tried);
	assert_int_equal(entry(push, sizeof(push), HOLD_NEED_ARG0, &stepped, &tried), 0);
	assert_false(stepped || tried);
	assert_int_equal(entry(spoiled, sizeof(spoiled), HOLD_NEED_ARG0, &stepped, &tried), 0);
	assert_true(stepped);
	assert_int_equal(entry(spoiled, sizeof(spoiled), 0, &stepped, &tried), 3);
	assert_int_equal(entry(loop, sizeof(loop), HOLD_NEED_ARG0, &stepped, &tried), 0);
	assert_true(stepped);
	assert_int_equal(entry(spin, sizeof(spin), HOLD_NEED_ARG0, &stepped, &tried), 3);
	assert_true(tried && !stepped);
	assert_int_equal(entry(none, sizeof(none), HOLD_NEED_ARG0, &stepped, &tried), 0);
	assert_true(stepped);
	assert_int_equal(entry(NULL, 0, HOLD_NEED_ARG0, &stepped, &tried), 0);
	assert_true(stepped);
}

static void test_returns(void **state)
{
	/* jne +1; ret; xor %eax,%eax; ret */
	static const uint8_t two[] = { 0x75, 0x01, 0xc3, 0x31, 0xc0, 0xc3 };
	/* jmp 2f; int3; 1: xor %eax,%eax; ret; 2: test %eax,%eax; jne 1b; call on; ud2 */
	static const uint8_t parts[] = { 0xeb, 0x04, 0xcc, 0x31, 0xc0, 0xc3, 0x85, 0xc0, 0x75,
					 0xf9, 0xe8, 0,	   0,	 0,    0,    0x0f, 0x0b, 0xc3 };
	/* jmp far out of what is known */
	static const uint8_t tail[] = { 0xe9, 0x00, 0x10, 0x00, 0x00, 0xc3 };
	static const uint8_t bad[] = { 0x06, 0xc3 }; /* no instruction in 64-bit mode */
	struct hold_code code = { two, sizeof(two) };
	size_t off[4];

	assert_int_equal(hold_code__returns(&code, 0, off, 4), 2);
	assert_int_equal(off[0] + off[1], 2 + 5);
	assert_int_equal(hold_code__returns(&code, 0, off, 1), 0);
	code = (struct hold_code){ parts, sizeof(parts) };
	assert_int_equal(hold_code__returns(&code, 0, off, 4), 1);
	assert_int_equal(off[0], 5); /* not what comes after it */
	code = (struct hold_code){ tail, sizeof(tail) };
	assert_int_equal(hold_code__returns(&code, 0, off, 4), 0);
	code = (struct hold_code){ bad, sizeof(bad) };
	assert_int_equal(hold_code__returns(&code, 0, off, 4), 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_percentiles),
#if defined(__x86_64__)
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_returns),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
