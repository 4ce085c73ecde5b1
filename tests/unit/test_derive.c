// SPDX-License-Identifier: GPL-2.0-only
/*
 * user/unwind/derive*.c: small functions whose rows are known, and files that say themselves what is right. x86-64:
 * elsewhere nothing is derived, and that is the test.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unwind/derive_oracle.h"
#include "user/sym/module.h"
#include "user/unwind/cfi.h"
#include "user/unwind/derive.h"
#include "user/unwind/derive_op.h"

#define BASE	 0x1000
#define MAX_ROWS 100000
#define FP(kind) ((kind) << 4)

#if defined(__x86_64__)

/* Code of a test, from NAME to NAME_end; it is only read. Labels .L… become offsets by POINT. */
#define CODE(name, text)                           \
	extern const uint8_t name[], name##_end[]; \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n")
#define POINT(name)    #name ":\n"
#define DECLARE(point) extern const uint8_t point[]

struct result {
	struct hu_row *row;
	size_t cnt;
	struct derive_stats stats;
	const uint8_t *code;
};

static void derive(const uint8_t *code, const uint8_t *end, const struct derive_start *start,
		   size_t start_cnt, struct result *r)
{
	struct derive_code piece = { code, BASE, (size_t)(end - code) };
	struct derive_input in = { &piece, 1, start, start_cnt, BASE, false, NULL, 0 };
	struct derive *d;

	*r = (struct result){ .code = code };
	assert_int_equal(derive__new(&in, &d), 0);
	assert_int_equal(derive__rows(d, MAX_ROWS, &r->row, &r->cnt), 0);
	derive__stats(d, &r->stats);
	derive__free(d);
}

static void derive_first(const uint8_t *code, const uint8_t *end, struct result *r)
{
	derive(code, end, &(struct derive_start){ BASE, 0, DERIVE_SURE }, 1, r);
}

static void expect(const struct result *r, const uint8_t *at, unsigned int kind, int cfa_off,
		   int fp_off)
{
	const struct hu_row *row = oracle__find(r->row, r->cnt, at - r->code);

	assert_non_null(row);
	assert_int_equal(row->kind, kind ? kind | HU_ROW_DERIVED : 0);
	assert_int_equal(row->cfa_off, cfa_off);
	assert_int_equal(row->fp_off, fp_off);
}

CODE(saved,
     "push %rbp\n" POINT(
	     saved_1) "push %rbx\n"
		      "sub $40, %rsp\n" POINT(
			      saved_2) "xor %ebp, %ebp\n"
				       "call saved_end + 64\n" POINT(
					       saved_3) "add $40, %rsp\n"
							"pop %rbx\n"
							"pop %rbp\n" POINT(saved_4) "ret\n" POINT(
								saved_5) "nop");
DECLARE(saved_1);
DECLARE(saved_2);
DECLARE(saved_3);
DECLARE(saved_4);
DECLARE(saved_5);

static void test_saved(void **state)
{
	struct result r;

	derive_first(saved, saved_end, &r);
	expect(&r, saved, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	expect(&r, saved_1, HU_CFA_SP | FP(HU_FP_CFA), 2, -2);
	expect(&r, saved_2, HU_CFA_SP | FP(HU_FP_CFA), 8, -2);
	expect(&r, saved_3, HU_CFA_SP | FP(HU_FP_CFA), 8, -2);
	expect(&r, saved_4, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	expect(&r, saved_5, HU_CFA_GAP, 0, 0);
	free(r.row);
}

CODE(frame, "push %rbp\n"
	    "mov %rsp, %rbp\n"
	    "sub %rdi, %rsp\n" POINT(frame_1) "and $-32, %rsp\n"
					      "call frame_end + 64\n" POINT(
						      frame_2) "leave\n" POINT(frame_3) "ret\n");
DECLARE(frame_1);
DECLARE(frame_2);
DECLARE(frame_3);

/* A height that only the frame pointer knows. */
static void test_frame_pointer(void **state)
{
	struct result r;

	derive_first(frame, frame_end, &r);
	expect(&r, frame_1, HU_CFA_FP | FP(HU_FP_CFA), 2, -2);
	expect(&r, frame_2, HU_CFA_FP | FP(HU_FP_CFA), 2, -2);
	expect(&r, frame_3, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	free(r.row);
}

CODE(lost, "mov %rdi, %rbp\n" POINT(lost_1) "mov %rsp, %r11\n"
					    "and $-16, %rsp\n" POINT(
						    lost_2) "mov %r11, %rsp\n" POINT(lost_3) "ud2"
											     "\n");
DECLARE(lost_1);
DECLARE(lost_2);
DECLARE(lost_3);

static void test_lost(void **state)
{
	struct result r;

	derive_first(lost, lost_end, &r);
	expect(&r, lost_1, HU_CFA_SP | FP(HU_FP_UNDEF), 1, 0);
	expect(&r, lost_2, HU_CFA_BAD, 0, 0); /* aligned, and no frame pointer */
	expect(&r, lost_3, HU_CFA_SP | FP(HU_FP_UNDEF), 1, 0);
	free(r.row);
}

CODE(conflict, "test %edi, %edi\n"
	       "je 1f\n"
	       "push %rdi\n" POINT(conflict_1) "1: nop\n" POINT(conflict_2) "ud2\n");
DECLARE(conflict_1);
DECLARE(conflict_2);

/* Two heights at one place are none. */
static void test_conflict(void **state)
{
	struct result r;

	derive_first(conflict, conflict_end, &r);
	expect(&r, conflict_1, HU_CFA_BAD, 0, 0);
	expect(&r, conflict_2, HU_CFA_BAD, 0, 0);
	assert_true(r.stats.conflicts > 0);
	free(r.row);
}

CODE(probes,
     "lea -0x4000(%rsp), %r11\n"
     "1: sub $0x1000, %rsp\n" POINT(
	     probes_1) "orq $0, (%rsp)\n"
		       "cmp %r11, %rsp\n"
		       "jne 1b\n" POINT(probes_2) "add $0x4000, %rsp\n" POINT(probes_3) "ret\n");
DECLARE(probes_1);
DECLARE(probes_2);
DECLARE(probes_3);

/* gcc -fstack-clash-protection: the loop's height is not known, the one behind it is. */
static void test_stack_probes(void **state)
{
	struct result r;

	derive_first(probes, probes_end, &r);
	expect(&r, probes_1, HU_CFA_BAD, 0, 0);
	expect(&r, probes_2, HU_CFA_SP | FP(HU_FP_SAME), 0x4008 / 8, 0);
	expect(&r, probes_3, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	free(r.row);
}

CODE(stops, "test %edi, %edi\n"
	    "jne 1f\n"
	    "ret\n"
	    "1: sub $24, %rsp\n"
	    "call stops_trap\n" POINT(stops_1) "2: ret\n" POINT(
		    stops_trap) "push %rax\n"
				"mov $231, %eax\n"
				"syscall\n" POINT(stops_2) "ret\n");
DECLARE(stops_trap);
DECLARE(stops_1);
DECLARE(stops_2);

/* What stands behind a call that does not come back is not reached from there. */
static void test_never_returns(void **state)
{
	struct result r;

	derive_first(stops, stops_end, &r);
	expect(&r, stops, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	expect(&r, stops_1, HU_CFA_GAP, 0, 0);
	expect(&r, stops_trap, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	expect(&r, stops_2, HU_CFA_GAP, 0, 0);
	free(r.row);
}

CODE(clone_like,
     "mov $56, %eax\n"
     "syscall\n"
     "test %eax, %eax\n"
     "jne 1f\n"
     "xor %ebp, %ebp\n"
     "pop %rdi\n" POINT(clone_1) "call *%r9\n" POINT(clone_2) "mov %eax, %edi\n"
							      "xor %eax, %eax\n"
							      "mov $60, %al\n"
							      "syscall\n"
							      "hlt\n" POINT(clone_3) "1: ret\n");
DECLARE(clone_1);
DECLARE(clone_2);
DECLARE(clone_3);

CODE(popped,
     "pop %rdx\n" POINT(popped_1) "mov $58, %eax\n"
				  "syscall\n" POINT(popped_2) "push %rdx\n" POINT(popped_3) "ret"
											    "\n");
DECLARE(popped_1);
DECLARE(popped_2);
DECLARE(popped_3);

/* The child of clone has no caller; vfork (musl's) has one that only a register knows. */
static void test_outermost(void **state)
{
	struct result r;

	derive_first(clone_like, clone_like_end, &r);
	expect(&r, clone_1, HU_CFA_END, 0, 0);
	expect(&r, clone_2, HU_CFA_END, 0, 0);
	expect(&r, clone_3, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	free(r.row);
	derive_first(popped, popped_end, &r);
	expect(&r, popped_1, HU_CFA_BAD, 0, 0);
	expect(&r, popped_2, HU_CFA_BAD, 0, 0);
	free(r.row);
}

CODE(entry, "xor %ebp, %ebp\n"
	    "mov %rsp, %rdi\n"
	    "and $-16, %rsp\n"
	    "call entry_main\n" POINT(entry_1) "hlt\n" POINT(entry_main) "push %rbx\n" POINT(
		    entry_2) "pop %rbx\n"
			     "ret\n");
DECLARE(entry_1);
DECLARE(entry_main);
DECLARE(entry_2);

static void test_entry(void **state)
{
	struct result r;

	derive(entry, entry_end, &(struct derive_start){ BASE, 0, DERIVE_ENTRY }, 1, &r);
	expect(&r, entry, HU_CFA_END, 0, 0);
	expect(&r, entry_1, HU_CFA_END, 0, 0);
	expect(&r, entry_main, HU_CFA_SP | FP(HU_FP_SAME), 1, 0);
	expect(&r, entry_2, HU_CFA_SP | FP(HU_FP_SAME), 2, 0);
	free(r.row);
}

CODE(labels,
     "push %rbx\n"
     "sub $16, %rsp\n"
     "lea labels_1(%rip), %rax\n"
     "jmp *%rax\n" POINT(labels_1) "add $16, %rsp\n"
				   "pop %rbx\n"
				   "ret\n" POINT(labels_2) "push %rcx\n" POINT(labels_3) "pop "
											 "%rcx\n"
											 "ret\n");
DECLARE(labels_1);
DECLARE(labels_2);
DECLARE(labels_3);

/* An address is taken of what is no function: what it leads to does not return as one does. */
static void test_labels(void **state)
{
	struct derive_start start[] = { { BASE, 0, DERIVE_SURE },
					{ BASE + (labels_2 - labels), 0, DERIVE_MAYBE } };
	struct result r;

	derive(labels, labels_end, start, 2, &r);
	expect(&r, labels_1, HU_CFA_GAP, 0, 0);
	expect(&r, labels_3, HU_CFA_SP | FP(HU_FP_SAME), 2, 0);
	free(r.row);
	/* within a function that its symbol covers nothing else begins, however right it looks */
	start[0].sz = labels_end - labels;
	derive(labels, labels_end, start, 2, &r);
	expect(&r, labels_1, HU_CFA_GAP, 0, 0);
	expect(&r, labels_3, HU_CFA_GAP, 0, 0);
	free(r.row);
}

/* ---- files */

static void test_pieces(void **state)
{
	const struct derive_code touching[] = { { saved, BASE, 4 }, { saved + 4, BASE + 4, 4 } };
	const struct derive_code crossing[] = { { saved, BASE, 4 }, { saved, BASE + 2, 4 } };
	struct derive_start start = { BASE, 0, DERIVE_SURE };
	struct derive_input in = { touching, 2, &start, 1, BASE, false, NULL, 0 };
	struct derive *d;

	assert_int_equal(derive__new(&in, &d), 0);
	derive__free(d);
	in.code = crossing;
	assert_int_equal(derive__new(&in, &d), -EINVAL);
	in.code_cnt = 1;
	in.base = BASE + 1; /* rows could not count from there */
	assert_int_equal(derive__new(&in, &d), -E2BIG);
}

static void check_file(const char *path, double least_same)
{
	struct derive_sum sum = { 0 };
	int err = derive_oracle__compare(path, 0, &sum);

	if (err == -ENOENT)
		skip();
	assert_int_equal(err, 0);
	assert_true(sum.insns > 1000);
	print_message("%s: same %.1f %%, bad %.1f %%, wrong %.3f %%\n", path,
		      100.0 * sum.same / sum.insns, 100.0 * sum.bad / sum.insns,
		      100.0 * sum.wrong / sum.insns);
	assert_true(sum.same >= sum.insns * least_same);
	/* in libc's mpn functions it is the CFI that is wrong: 134 instructions of 254,000 */
	assert_true(sum.wrong <= sum.same / 1000);
}

/* What compilers said of their own code is what the code says. */
static void test_against_cfi(void **state)
{
	check_file("/lib/x86_64-linux-gnu/libc.so.6", 0.5);
	check_file("/proc/self/exe", 0.4);
	check_file("/bin/sh", 0.4);
}

#define MUSL "/lib/ld-musl-x86_64.so.1"

/* Nearly all of musl's code, and each row of it derived. */
static void test_musl(void **state)
{
	uint64_t bytes[16] = { 0 }, known, ends = 0;
	struct cfi_table *t;
	int fd = open(MUSL, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		skip();
	assert_int_equal(cfi__build_file(fd, MAX_ROWS, &t), 0);
	close(fd);
	for (size_t i = 0; i + 1 < t->cnt; i++) {
		bytes[HU_ROW_CFA(t->row[i].kind)] += t->row[i + 1].pc - t->row[i].pc;
		ends += HU_ROW_CFA(t->row[i].kind) == HU_CFA_END;
		assert_true(t->row[i].pc < t->row[i + 1].pc);
	}
	known = bytes[HU_CFA_SP] + bytes[HU_CFA_FP];
	assert_true(t->func_cnt > 1000);
	assert_true(known > 300000);
	assert_true(bytes[HU_CFA_BAD] < known / 50);
	assert_true(bytes[HU_CFA_GAP] < known / 4);
	assert_true(ends >= 2); /* _dlstart and the child in __clone */
	cfi__free(t);
}

/*
 * The child's side of __clone(), a function without a symbol, lies behind memset, a symbol without a size: it has a
 * start of its own, and not that name.
 */
static void test_musl_names(void **state)
{
	struct cfi_table *t;
	struct symbol sym;
	struct module *m;
	size_t checked = 0;
	uint64_t start;
	int fd = open(MUSL, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		skip();
	assert_int_equal(module__open(fd, MUSL, "", &m), 0);
	close(fd);
	assert_int_equal(module__cfi(m, MAX_ROWS, &t), 0);
	assert_true(module__by_name(m, "memset", &sym));
	assert_true(module__func(m, sym.addr, &sym));
	for (size_t i = 0; i < t->cnt; i++) {
		uint64_t vaddr = t->base + t->row[i].pc;

		if (HU_ROW_CFA(t->row[i].kind) != HU_CFA_END || vaddr < sym.addr)
			continue;
		assert_true(module__fde_start(m, vaddr, &start));
		assert_true(start > sym.addr && start <= vaddr);
		assert_false(module__func(m, vaddr, &sym) && !strcmp(sym.name, "memset"));
		checked++;
	}
	assert_true(checked > 0);
	cfi__free(t);
	module__free(m);
}

/* Bytes that were no code end in some table, soon. */
static void test_noise(void **state)
{
	static uint8_t code[1 << 16];
	struct derive_start start[64];
	struct result r;
	uint32_t seed = 12345;

	for (size_t i = 0; i < sizeof(code); i++) {
		seed = seed * 1664525 + 1013904223;
		code[i] = seed >> 24;
	}
	for (size_t i = 0; i < 64; i++)
		start[i] = (struct derive_start){ BASE + i * 1000, 0, 1 + i % 3 };
	derive(code, code + sizeof(code), start, 64, &r);
	for (size_t i = 1; i < r.cnt; i++)
		assert_true(r.row[i - 1].pc < r.row[i].pc);
	free(r.row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_saved),	     cmocka_unit_test(test_frame_pointer),
		cmocka_unit_test(test_lost),	     cmocka_unit_test(test_conflict),
		cmocka_unit_test(test_stack_probes), cmocka_unit_test(test_never_returns),
		cmocka_unit_test(test_outermost),    cmocka_unit_test(test_entry),
		cmocka_unit_test(test_labels),	     cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_against_cfi),  cmocka_unit_test(test_musl),
		cmocka_unit_test(test_musl_names),   cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_not_here(void **state)
{
	struct derive_input in = { 0 };
	struct derive *d;

	assert_int_equal(derive__new(&in, &d), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_not_here) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
