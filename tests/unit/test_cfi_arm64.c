// SPDX-License-Identifier: GPL-2.0-only
/* user/unwind/cfi_arm64.c and arm64's part of unwind.c, on any machine: hand-made sections, rows and stacks. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "user/unwind/cfi.h"
#include "user/unwind/unwind.h"

#define VADDR	  0x200000
#define START	  0x1000
#define LEN	  0x100
#define MAX_ROWS  100
#define NEGATE_RA 0x2d /* DW_CFA_AARCH64_negate_ra_state */

enum {
	FP = 29,
	LR = 30,
	SP = 31
};

/* ---- Sections of one CIE and one FDE */

struct bytes {
	uint8_t b[512];
	size_t n;
};

static void put(struct bytes *o, uint64_t v, size_t sz)
{
	assert_true(o->n + sz <= sizeof(o->b));
	memcpy(o->b + o->n, &v, sz);
	o->n += sz;
}

static void put_uleb(struct bytes *o, uint64_t v)
{
	do {
		put(o, (v & 0x7f) | (v > 0x7f ? 0x80 : 0), 1);
		v >>= 7;
	} while (v);
}

/* Ten bytes are always enough. */
static void put_sleb(struct bytes *o, int64_t v)
{
	int i;

	for (i = 0; i < 9; i++, v >>= 7)
		put(o, (v & 0x7f) | 0x80, 1);
	put(o, v & 0x7f, 1);
}

static void close_entry(struct bytes *o, size_t at)
{
	uint32_t len;

	while (o->n % 4)
		put(o, DW_CFA_nop, 1);
	len = o->n - at - 4;
	memcpy(o->b + at, &len, 4);
}

/* As gcc's: code in words of 4 bytes, data in -8, CFA = sp at the start, addresses absolute. */
static void put_section(struct bytes *o, const char *aug, const struct bytes *prog)
{
	size_t at = o->n, i;

	put(o, 0, 4);
	put(o, 0, 4);
	put(o, 1, 1);
	for (i = 0; i <= strlen(aug); i++)
		put(o, aug[i], 1);
	put_uleb(o, 4);
	put(o, 0x78, 1); /* -8 as a sleb128 */
	put_uleb(o, LR);
	put_uleb(o, 1); /* of augmentation data: the encoding, for R */
	put(o, DW_EH_PE_absptr, 1);
	put(o, DW_CFA_def_cfa, 1);
	put_uleb(o, SP);
	put_uleb(o, 0);
	close_entry(o, at);
	at = o->n;
	put(o, 0, 4);
	put(o, o->n, 4); /* back to the CIE at 0 */
	put(o, START, 8);
	put(o, LEN, 8);
	put_uleb(o, 0);
	memcpy(o->b + o->n, prog->b, prog->n);
	o->n += prog->n;
	close_entry(o, at);
}

static struct cfi_table *build(uint16_t machine, const char *aug, const struct bytes *prog)
{
	struct bytes o = { .n = 0 };
	struct cfi_section sec = { .vaddr = VADDR, .machine = machine };
	struct cfi_table *t;

	put_section(&o, aug, prog);
	sec.data = o.b;
	sec.sz = o.n;
	assert_int_equal(cfi__build(&sec, 1, 0, MAX_ROWS, &t), 0);
	return t;
}

static void def_cfa(struct bytes *p, unsigned int reg, uint64_t off)
{
	put(p, DW_CFA_def_cfa, 1);
	put_uleb(p, reg);
	put_uleb(p, off);
}

/* off: from the CFA, in bytes */
static void saved(struct bytes *p, unsigned int reg, int64_t off)
{
	put(p, DW_CFA_offset_extended_sf, 1);
	put_uleb(p, reg);
	put_sleb(p, off / -8);
}

/* The row of a function whose rules are these from its start on. */
static struct hu_row row_of(const struct bytes *prog)
{
	struct cfi_table *t = build(EM_AARCH64, "zR", prog);
	struct hu_row row = *cfi__find(t, START);

	assert_int_equal(t->stats.malformed, 0);
	assert_int_equal(t->stats.unsupported, HU_ROW_CFA(row.kind) == HU_CFA_BAD);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, START + LEN)->kind), HU_CFA_GAP);
	cfi__free(t);
	return row;
}

static void expect_row(const struct bytes *prog, enum hu_row_cfa cfa, int cfa_off,
		       enum hu_row_fp fp, int fp_off)
{
	struct hu_row row = row_of(prog);

	assert_int_equal(HU_ROW_CFA(row.kind), cfa);
	assert_int_equal(row.cfa_off, cfa_off);
	assert_int_equal(HU_ROW_FP(row.kind), fp);
	assert_int_equal(row.fp_off, fp_off);
}

static void expect_bad(const struct bytes *prog)
{
	expect_row(prog, HU_CFA_BAD, 0, HU_FP_SAME, 0);
}

/* ---- Rows */

static void test_leaf(void **state)
{
	struct bytes p = { .n = 0 };

	expect_row(&p, HU_CFA_SP, 0, HU_FP_SAME, 0);
	def_cfa(&p, SP, 48);
	expect_row(&p, HU_CFA_SP, 6, HU_FP_SAME, 0);
	saved(&p, FP, -16); /* used as any other register */
	expect_row(&p, HU_CFA_SP, 6, HU_FP_CFA, -2);
}

static void test_pair(void **state)
{
	struct bytes p = { .n = 0 };

	def_cfa(&p, SP, 32);
	saved(&p, FP, -32);
	saved(&p, LR, -24);
	expect_row(&p, HU_CFA_SP, 4, HU_FP_PAIR, -4);
	def_cfa(&p, FP, 32);
	expect_row(&p, HU_CFA_FP, 4, HU_FP_PAIR, -4);
}

static void test_return_address_alone(void **state)
{
	struct bytes p = { .n = 0 };

	def_cfa(&p, SP, 16);
	saved(&p, LR, -16);
	expect_row(&p, HU_CFA_SP, 2, HU_FP_RA, -2);
}

/* The frame is larger than the offset reaches: from the CFA's register it does. */
static void test_far(void **state)
{
	struct bytes pair = { .n = 0 }, ra = { .n = 0 };

	def_cfa(&pair, SP, 4096);
	saved(&pair, FP, -4096 + 16);
	saved(&pair, LR, -4096 + 24);
	expect_row(&pair, HU_CFA_SP, 512, HU_FP_PAIR_BASE, 2);
	def_cfa(&ra, SP, 4096);
	saved(&ra, LR, -4096 + 8);
	expect_row(&ra, HU_CFA_SP, 512, HU_FP_RA_BASE, 1);
}

/* The last offsets that fit, and the first that do not. */
static void test_limits(void **state)
{
	struct bytes near = { .n = 0 }, beyond = { .n = 0 }, middle = { .n = 0 };

	def_cfa(&near, SP, 32767 * 8);
	saved(&near, LR, -128 * 8);
	expect_row(&near, HU_CFA_SP, 32767, HU_FP_RA, -128);
	saved(&near, LR, -32767 * 8 + 127 * 8);
	expect_row(&near, HU_CFA_SP, 32767, HU_FP_RA_BASE, 127);
	def_cfa(&beyond, SP, 32768 * 8);
	expect_bad(&beyond);
	def_cfa(&middle, SP, 4096);
	saved(&middle, LR, -129 * 8);
	expect_bad(&middle);
}

static void test_unsupported(void **state)
{
	struct bytes apart = { .n = 0 }, other = { .n = 0 }, moved = { .n = 0 }, odd = { .n = 0 };
	struct bytes wrap = { .n = 0 };

	saved(&apart, FP, -32);
	saved(&apart, LR, -16);
	expect_bad(&apart);
	def_cfa(&other, 11, 16);
	expect_bad(&other);
	put(&moved, DW_CFA_register, 1);
	put_uleb(&moved, LR);
	put_uleb(&moved, 17);
	expect_bad(&moved);
	def_cfa(&odd, SP, 20);
	expect_bad(&odd);
	def_cfa(&wrap, SP, 16);
	saved(&wrap, FP, INT64_MAX - 7);
	saved(&wrap, LR, INT64_MIN);
	expect_bad(&wrap);
}

static void test_end(void **state)
{
	struct bytes p = { .n = 0 };

	put(&p, DW_CFA_undefined, 1);
	put_uleb(&p, LR);
	expect_row(&p, HU_CFA_END, 0, HU_FP_SAME, 0);
}

/* What says that return addresses are signed means something else, or nothing, on other machines. */
static void test_signed(void **state)
{
	struct bytes p = { .n = 0 };
	struct cfi_table *t;

	put(&p, NEGATE_RA, 1);
	def_cfa(&p, SP, 16);
	saved(&p, LR, -16);
	expect_row(&p, HU_CFA_SP, 2, HU_FP_RA, -2);
	t = build(EM_AARCH64, "zRB", &p);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, START)->kind), HU_CFA_SP);
	cfi__free(t);
	t = build(EM_X86_64, "zR", &p);
	assert_int_equal(t->stats.malformed, 1);
	cfi__free(t);
	t = build(EM_X86_64, "zRB", &p);
	assert_int_equal(t->cnt, 0);
	cfi__free(t);
}

static void test_sigreturn(void **state)
{
	static const uint32_t text[] = { 0xd503201f, 0xd503201f, 0xd2801168, 0xd4000001,
					 0xd503201f };
	const uint8_t *bytes = (const uint8_t *)text;
	struct bytes p = { .n = 0 };
	struct cfi_table *t = build(EM_AARCH64, "zR", &p);

	assert_int_equal(cfi__mark_sigreturn(EM_X86_64, t, bytes, sizeof(text), 0x3000), 0);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x3008)->kind), HU_CFA_GAP);
	/* cut off: half of it is not it */
	assert_int_equal(cfi__mark_sigreturn(EM_AARCH64, t, bytes, 12, 0x3000), 0);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x3008)->kind), HU_CFA_GAP);
	assert_int_equal(cfi__mark_sigreturn(EM_AARCH64, t, bytes, sizeof(text), 0x3000), 0);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x3003)->kind), HU_CFA_GAP);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x3007)->kind), HU_CFA_SIGNAL);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x300f)->kind), HU_CFA_SIGNAL);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, 0x3010)->kind), HU_CFA_GAP);
	/* Where CFI speaks of it, that counts. */
	assert_int_equal(cfi__mark_sigreturn(EM_AARCH64, t, bytes, sizeof(text), START), 0);
	assert_int_equal(HU_ROW_CFA(cfi__find(t, START + 8)->kind), HU_CFA_SP);
	cfi__free(t);
}

/* ---- Walks. Functions are 0x100 bytes from TEXT on, each with one row; the stack is an array. */

#define TEXT	  0xaaaa00000000ULL
#define STACK	  0xffff00001000ULL
#define WORDS	  128
#define SIGNATURE 0x002b000000000000ULL /* bits 48 to 54, which a 48-bit address leaves to it */

enum {
	LEAF = 0,
	PAIR,
	ALONE,
	FAR,
	SIGNAL,
	NO_ROW,
	BY_FP,
	END,
	FUNCTIONS
};

static const struct hu_row rows[FUNCTIONS] = {
	[LEAF] = { LEAF * 0x100, 0, HU_CFA_SP, 0 },
	[PAIR] = { PAIR * 0x100, 4, HU_CFA_SP | HU_FP_PAIR << 4, -4 },
	[ALONE] = { ALONE * 0x100, 2, HU_CFA_SP | HU_FP_RA << 4, -2 },
	[FAR] = { FAR * 0x100, 8, HU_CFA_SP | HU_FP_PAIR_BASE << 4, 2 },
	[SIGNAL] = { SIGNAL * 0x100, 0, HU_CFA_SIGNAL, 0 },
	[NO_ROW] = { NO_ROW * 0x100, 0, HU_CFA_GAP, 0 },
	[BY_FP] = { BY_FP * 0x100, 2, HU_CFA_FP | HU_FP_PAIR << 4, -2 },
	[END] = { END * 0x100, 0, HU_CFA_END, 0 },
};

static uint64_t in(int function)
{
	return TEXT + function * 0x100 + 0x10;
}

static int read_words(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	const uint64_t *stack = ctx;

	if (addr < STACK || addr > STACK + WORDS * 8 - sz)
		return -EFAULT;
	memcpy(buf, (const uint8_t *)stack + (addr - STACK), sz);
	return 0;
}

static int find_rows(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	static const struct cfi_table table = { .row = (struct hu_row *)rows, .cnt = FUNCTIONS };

	if (pc < TEXT || pc >= TEXT + FUNCTIONS * 0x100)
		return -ENOENT;
	*ret_table = &table;
	*ret_pc = (uint32_t)(pc - TEXT);
	return 0;
}

/* Walks from the function leaf at the stack's start, with x29 = fp and x30 = ra. */
static void walk(uint64_t *stack, int leaf, uint64_t fp, uint64_t ra, struct hu_stack *ret)
{
	struct unwind_regs regs = {
		.ip = in(leaf), .sp = STACK, .fp = fp, .ra_reg = ra, .machine = EM_AARCH64
	};
	struct unwind_ops ops = { .read = read_words, .find = find_rows, .ctx = stack };

	unwind__walk(&regs, &ops, ret);
}

static void expect_stack(const struct hu_stack *s, unsigned int flags, int cnt, ...)
{
	va_list functions;
	int i;

	assert_int_equal(s->flags, flags);
	assert_int_equal(s->frames, cnt);
	va_start(functions, cnt);
	for (i = 0; i < cnt; i++)
		assert_int_equal(s->pcs[i], in(va_arg(functions, int)));
	va_end(functions);
}

static void test_walk(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;

	/* LEAF, of no size, ← PAIR ← FAR ← ALONE ← END */
	stack[0] = STACK + 0x40;
	stack[1] = in(FAR);
	stack[4 + 2] = 0;
	stack[4 + 3] = in(ALONE) | SIGNATURE;
	stack[12] = in(END);
	walk(stack, LEAF, STACK, in(PAIR) | SIGNATURE, &s);
	expect_stack(&s, HU_STACK_COMPLETE, 5, LEAF, PAIR, FAR, ALONE, END);
	assert_int_equal(s.exact, 5);
}

/* x30 is the leaf's own: further up a row that says so is not believed. */
static void test_leaf_above(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;

	stack[0] = in(LEAF);
	walk(stack, ALONE, 0, in(PAIR), &s);
	expect_stack(&s, HU_STACK_NOROW, 2, ALONE, LEAF);
}

static void test_zero_ends(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;

	walk(stack, LEAF, 0, 0, &s);
	expect_stack(&s, HU_STACK_COMPLETE, 1, LEAF);
	walk(stack, ALONE, 0, in(PAIR), &s);
	expect_stack(&s, HU_STACK_COMPLETE, 1, ALONE);
}

/* What was interrupted may be a leaf with x30, and its stack another one. */
static void test_signal_frame(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;
	size_t regs = 2 + (128 + 176 + 8) / 8; /* siginfo, ucontext up to the registers */

	stack[0] = in(SIGNAL);
	stack[regs + 29] = 0;
	stack[regs + 30] = in(ALONE);
	stack[regs + 31] = STACK + 100 * 8;
	stack[regs + 32] = in(LEAF);
	stack[100] = in(END);
	walk(stack, ALONE, 0, 0, &s);
	/* The interrupted instruction's address, plus 1. */
	assert_int_equal(s.pcs[2], in(LEAF) + 1);
	s.pcs[2]--;
	expect_stack(&s, HU_STACK_COMPLETE, 5, ALONE, SIGNAL, LEAF, ALONE, END);
}

/*
 * After a frame record sp is not known: rows that count from it wait for one that counts from x29. The record
 * of PAIR tells where it returns to all the same.
 */
static void test_frame_record(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;

	stack[10] = STACK + 20 * 8;
	stack[11] = in(PAIR) | SIGNATURE;
	stack[20] = STACK + 30 * 8;
	stack[21] = in(BY_FP);
	stack[30] = 0;
	stack[31] = in(ALONE);
	stack[32] = in(END); /* ALONE's frame begins where BY_FP's ended */
	walk(stack, NO_ROW, STACK + 10 * 8, 0, &s);
	expect_stack(&s, HU_STACK_COMPLETE | HU_STACK_FRAMEPTR, 5, NO_ROW, PAIR, BY_FP, ALONE, END);
	assert_int_equal(s.exact, 1);
}

/* Hostile stacks end: a frame that does not grow, one that can't be read, code where none is. */
static void test_hostile(void **state)
{
	uint64_t stack[WORDS] = { 0 };
	struct hu_stack s;

	stack[2] = STACK; /* BY_FP's CFA below sp */
	walk(stack, BY_FP, STACK - 16, in(END), &s);
	expect_stack(&s, HU_STACK_BADREAD, 1, BY_FP);
	walk(stack, BY_FP, STACK + WORDS * 8, in(END), &s);
	expect_stack(&s, HU_STACK_BADREAD, 1, BY_FP);
	stack[0] = 0x123456789abcULL;
	walk(stack, ALONE, 0, 0, &s);
	assert_int_equal(s.flags, HU_STACK_NOMAP);
	assert_int_equal(s.frames, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_return_address_alone),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_sigreturn),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_leaf_above),
		cmocka_unit_test(test_zero_ends),
		cmocka_unit_test(test_signal_frame),
		cmocka_unit_test(test_frame_record),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
