// SPDX-License-Identifier: GPL-2.0-only
/* user/unwind/unwind.c: our own stacks against libgcc's unwinder, and made-up ones. x86-64. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "user/unwind/unwind.h"

/* ---- This process */

struct module {
	uint64_t lo, hi, bias; /* pc - bias is what rows count in */
	struct cfi_table *table;
};

static struct module modules[32];
static size_t module_cnt;

static int add_module(struct dl_phdr_info *info, size_t sz, void *ctx)
{
	const char *path = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
	struct module *m = &modules[module_cnt];
	int i, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0; /* the vdso */
	assert_true(module_cnt < sizeof(modules) / sizeof(modules[0]));
	assert_int_equal(cfi__build_file(fd, 1 << 20, &m->table), 0);
	close(fd);
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		m->lo = info->dlpi_addr + ph->p_vaddr;
		m->hi = m->lo + ph->p_memsz;
	}
	m->bias = info->dlpi_addr + m->table->base;
	module_cnt++;
	return 0;
}

static int load_modules(void **state)
{
	dl_iterate_phdr(add_module, NULL);
	return module_cnt ? 0 : -1;
}

static int free_modules(void **state)
{
	while (module_cnt)
		cfi__free(modules[--module_cnt].table);
	return 0;
}

static int find_self(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	size_t i;

	for (i = 0; i < module_cnt; i++) {
		if (pc < modules[i].lo || pc >= modules[i].hi)
			continue;
		*ret_table = modules[i].table;
		*ret_pc = (uint32_t)(pc - modules[i].bias);
		return 0;
	}
	return -ENOENT;
}

/* As of another process: an address that is not mapped is an error, not a crash. */
static int read_self(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	struct iovec to = { .iov_base = buf, .iov_len = sz };
	struct iovec from = { .iov_base = (void *)addr, .iov_len = sz };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)sz ? 0 : -EFAULT;
}

static const struct unwind_ops self = { .read = read_self, .find = find_self };

/* ---- Real stacks */

#define DEPTH 20

struct captured {
	struct unwind_regs regs;
	struct hu_stack stack;
	uint64_t want[HU_MAX_FRAMES];
	int want_cnt;
};

/* Not backtrace(): the address sanitizer wraps it, which adds a frame. */
static _Unwind_Reason_Code want_frame(struct _Unwind_Context *frame, void *arg)
{
	struct captured *c = arg;
	int interrupted = 0;
	uint64_t ip = _Unwind_GetIPInfo(frame, &interrupted);

	if (ip && c->want_cnt < HU_MAX_FRAMES)
		c->want[c->want_cnt++] = ip + (interrupted ? 1 : 0);
	return _URC_NO_REASON;
}

/* The frame that calls this is live while the stack is walked, so both see the same memory. */
static __attribute__((noinline)) void capture(struct captured *c)
{
	ucontext_t uc;

	c->want_cnt = 0;
	_Unwind_Backtrace(want_frame, c);
	getcontext(&uc);
	c->regs.ip = (uint64_t)uc.uc_mcontext.gregs[REG_RIP];
	c->regs.sp = (uint64_t)uc.uc_mcontext.gregs[REG_RSP];
	c->regs.fp = (uint64_t)uc.uc_mcontext.gregs[REG_RBP];
	c->regs.ra_reg = (uint64_t)uc.uc_mcontext.gregs[REG_RDI];
	unwind__walk(&c->regs, &self, &c->stack);
}

/* All but the leaf, where the two were called from different lines. */
static void expect_same(const struct captured *c)
{
	int i;

	assert_true(c->want_cnt > 3);
	for (i = 1; i < c->want_cnt && i < c->stack.frames; i++)
		if (c->want[i] != c->stack.pcs[i])
			fail_msg("frame %d: 0x%llx, not 0x%llx", i, (unsigned long long)c->want[i],
				 (unsigned long long)c->stack.pcs[i]);
	assert_int_equal(c->stack.frames, c->want_cnt);
	assert_int_equal(c->stack.flags, HU_STACK_COMPLETE);
}

static __attribute__((noinline)) int deep(int n, struct captured *c)
{
	volatile char *frame = __builtin_alloca(64 + n * 16); /* of a size that only rbp tells */

	frame[0] = (char)n;
	if (!n)
		capture(c);
	else
		frame[1] = (char)deep(n - 1, c);
	return frame[0] + 1;
}

static void test_own_stack(void **state)
{
	struct captured c;

	deep(DEPTH, &c);
	expect_same(&c);
	assert_true(c.stack.frames > DEPTH);
}

static struct captured by_compare;

static int compare(const void *a, const void *b)
{
	if (!by_compare.want_cnt)
		capture(&by_compare);
	return *(const int *)a - *(const int *)b;
}

static void test_through_libc(void **state)
{
	int v[] = { 3, 1, 2, 5 };

	qsort(v, 4, sizeof(v[0]), compare);
	expect_same(&by_compare);
}

static void *in_thread(void *arg)
{
	deep(5, arg);
	return NULL;
}

/* clone3's child ends with an undefined return address */
static void test_thread(void **state)
{
	struct captured c;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, in_thread, &c), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	expect_same(&c);
}

static __attribute__((noinline)) int realigned(struct captured *c)
{
	_Alignas(64) volatile char v[64];

	v[0] = 1;
	capture(c);
	return v[0];
}

static void test_realigned(void **state)
{
	struct captured c;

	assert_int_equal(realigned(&c), 1);
	expect_same(&c);
}

static struct captured by_signal;

static void on_signal(int sig)
{
	capture(&by_signal);
}

static void raise_and_compare(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags }, old;

	memset(&by_signal, 0, sizeof(by_signal));
	assert_int_equal(sigaction(SIGUSR1, &sa, &old), 0);
	raise(SIGUSR1);
	sigaction(SIGUSR1, &old, NULL);
	expect_same(&by_signal);
}

static void test_signal(void **state)
{
	stack_t alt = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	stack_t none = { .ss_flags = SS_DISABLE };

	raise_and_compare(0);
	/* on a stack of its own, which lies below or above the other */
	assert_non_null(alt.ss_sp);
	assert_int_equal(sigaltstack(&alt, NULL), 0);
	raise_and_compare(SA_ONSTACK);
	assert_int_equal(sigaltstack(&none, NULL), 0);
	free(alt.ss_sp);
}

/* Damage anywhere must end the walk, in bounds, with a reason. */
static void test_wild_registers(void **state)
{
	struct captured c;
	uint64_t seed = 88172645463325252;
	int i;

	deep(3, &c);
	for (i = 0; i < 20000; i++) {
		struct unwind_regs r = c.regs;
		struct hu_stack s;

		seed ^= seed << 13; /* xorshift64 (Marsaglia 2003) */
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (i % 3 == 0)
			r.sp = i % 2 ? seed : r.sp + seed % 4096;
		if (i % 3 == 1)
			r.fp = i % 2 ? seed : r.sp + seed % 4096 * 8;
		if (i % 3 == 2)
			r.ip = i % 2 ? seed
				     : modules[0].lo + seed % (modules[0].hi - modules[0].lo);
		unwind__walk(&r, &self, &s);
		assert_in_range(s.frames, 1, HU_MAX_FRAMES);
		assert_int_equal(s.pcs[0], r.ip);
		assert_true(s.flags & (HU_STACK_COMPLETE | HU_STACK_TRUNCATED | HU_STACK_NOMAP |
				       HU_STACK_NOROW | HU_STACK_BADREAD));
	}
}

/* ---- Made-up rows and memory */

#define TEXT  0x400000
#define STACK 0x7f0000000000
#define FP(k) ((k) << 4)

struct target {
	struct cfi_table table;
	struct hu_row row[8];
	uint64_t mem[256]; /* at STACK */
	bool no_table;
};

static int read_target(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	const struct target *t = ctx;

	if (addr < STACK || addr - STACK > sizeof(t->mem) || sz > sizeof(t->mem) - (addr - STACK))
		return -EFAULT;
	memcpy(buf, (const char *)t->mem + (addr - STACK), sz);
	return 0;
}

static int find_target(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	struct target *t = ctx;

	if (pc < TEXT || pc >= TEXT + 0x10000)
		return -ENOENT;
	*ret_table = t->no_table ? NULL : &t->table;
	*ret_pc = (uint32_t)(pc - TEXT);
	return 0;
}

static struct hu_stack walk(struct target *t, uint64_t ip, uint64_t bp)
{
	const struct unwind_regs r = { .ip = ip, .sp = STACK, .fp = bp, .ra_reg = TEXT + 0x501 };
	const struct unwind_ops ops = { .read = read_target, .find = find_target, .ctx = t };
	struct hu_stack s = { 0 };

	t->table.row = t->row;
	unwind__walk(&r, &ops, &s);
	return s;
}

/* 0x100: a frame of two words; 0x200: the outermost; 0x300: the row under test; from 0x400 on: a
 * gap */
static struct target target(struct hu_row tested)
{
	struct target t = { .row = { { 0x100, 2, HU_CFA_SP, 0 },
				     { 0x200, 0, HU_CFA_END, 0 },
				     { 0x300, tested.cfa_off, tested.kind, tested.fp_off },
				     { 0x400, 0, HU_CFA_GAP, 0 },
				     { 0x500, 1, HU_CFA_SP, 0 } },
			    .table.cnt = 5 };

	return t;
}

static void expect(const struct hu_stack *s, unsigned int flags, unsigned int frames, uint64_t last)
{
	assert_int_equal(s->flags, flags);
	assert_int_equal(s->frames, frames);
	assert_int_equal(s->pcs[frames - 1], last);
}

static void test_leaf_and_caller(void **state)
{
	struct target t = target((struct hu_row){ 0 });
	struct hu_stack s;

	/* a return address at the very end of a function belongs to it, a leaf's pc to the next */
	t.mem[1] = TEXT + 0x200;
	t.mem[3] = TEXT + 0x201;
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_COMPLETE, 3, TEXT + 0x201);
	s = walk(&t, TEXT + 0x200, 0);
	expect(&s, HU_STACK_COMPLETE, 1, TEXT + 0x200);
}

static void test_zero_ends(void **state)
{
	struct target t = target((struct hu_row){ 0 });
	struct hu_stack s = walk(&t, TEXT + 0x100, 0);

	expect(&s, HU_STACK_COMPLETE, 1, TEXT + 0x100);
	t.mem[1] = 123; /* no address of code */
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_NOMAP, 1, TEXT + 0x100);
}

static void test_kinds(void **state)
{
	static const struct {
		struct hu_row row;
		uint64_t pc_off;
		size_t ra, bp_at; /* words in mem */
	} kinds[] = {
		{ { 0, 3, HU_CFA_SP, 0 }, 0x300, 2, 0 },
		{ { 0, 2, HU_CFA_FP | FP(HU_FP_CFA), -2 }, 0x300, 17, 16 },
		{ { 0, 11, HU_CFA_PLT, 0 }, 0x30a, 0, 0 },
		{ { 0, 11, HU_CFA_PLT, 0 }, 0x30b, 1, 0 },
		{ { 0, -1, HU_CFA_DEREF_FP | FP(HU_FP_REL), 0 }, 0x300, 29, 16 },
		{ { 0, 4, HU_CFA_DEREF_SP, 0 }, 0x300, 39, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct target t = target(kinds[i].row);
		struct hu_stack s;

		/* bp is STACK + 128; the caller is in the gap, so its step goes by the bp it got
		 * back */
		t.mem[15] = STACK + 30 * 8;
		t.mem[4] = STACK + 40 * 8;
		t.mem[kinds[i].ra] = TEXT + 0x480;
		t.mem[kinds[i].bp_at ? kinds[i].bp_at : 16] = STACK + 60 * 8;
		t.mem[61] = TEXT + 0x201;
		if (!kinds[i].bp_at) /* bp is still ours: a frame record at it */
			t.mem[17] = TEXT + 0x201;
		if (kinds[i].ra == 39)
			t.mem[17] = 0;
		s = walk(&t, TEXT + kinds[i].pc_off, STACK + 128);
		if (kinds[i].ra == 39) { /* sp is above bp now: no frame record */
			expect(&s, HU_STACK_NOROW, 2, TEXT + 0x480);
			continue;
		}
		expect(&s, HU_STACK_COMPLETE | HU_STACK_FRAMEPTR, 3, TEXT + 0x201);
		assert_int_equal(s.pcs[1], TEXT + 0x480);
	}
}

static void test_vfork(void **state)
{
	struct target t = target((struct hu_row){ 0, 0, HU_CFA_RA_REG, 5 });
	struct hu_stack s;

	t.mem[0] = TEXT + 0x201; /* sp is as it was: the caller's frame is right there */
	s = walk(&t, TEXT + 0x300, 0);
	expect(&s, HU_STACK_COMPLETE, 3, TEXT + 0x201);
	assert_int_equal(s.pcs[1], TEXT + 0x501);
	t.mem[1] = TEXT + 0x301; /* as a caller, its rdi is long gone */
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_NOROW, 2, TEXT + 0x301);
}

static void test_lost_bp(void **state)
{
	struct target t = target((struct hu_row){ 0, 2, HU_CFA_SP | FP(HU_FP_UNDEF), 0 });
	struct hu_stack s;

	t.mem[1] = TEXT + 0x480; /* a gap: only bp could help */
	t.mem[16] = 0;
	t.mem[17] = TEXT + 0x201;
	s = walk(&t, TEXT + 0x300, STACK + 128);
	expect(&s, HU_STACK_NOROW, 2, TEXT + 0x480);
	t.row[2].kind = HU_CFA_SP; /* bp unchanged: it can */
	s = walk(&t, TEXT + 0x300, STACK + 128);
	expect(&s, HU_STACK_COMPLETE | HU_STACK_FRAMEPTR, 3, TEXT + 0x201);
	assert_int_equal(s.exact, 2); /* the one above the gap was a guess */
	t.mem[17] = 0x12345;
	s = walk(&t, TEXT + 0x300, STACK + 128);
	expect(&s, HU_STACK_NOROW, 2, TEXT + 0x480); /* no call comes from there */
}

/* Rows from machine code are as good as others, and say so. */
static void test_derived(void **state)
{
	struct target t = target((struct hu_row){ 0, 2, HU_CFA_SP | HU_ROW_DERIVED, 0 });
	struct hu_stack s;

	t.mem[1] = TEXT + 0x201;
	s = walk(&t, TEXT + 0x300, STACK);
	expect(&s, HU_STACK_COMPLETE | HU_STACK_DERIVED, 2, TEXT + 0x201);
	assert_int_equal(s.exact, 2);
}

/* Interrupted at its first instruction, a function is not the one before it. */
static void test_signal_pc(void **state)
{
	struct target t = target((struct hu_row){ 0, 0, HU_CFA_SIGNAL, 0 });
	struct hu_stack s;

	t.mem[5 + 10 + 5] = STACK + 100 * 8; /* RSP */
	t.mem[5 + 10 + 6] = TEXT + 0x200;    /* RIP */
	s = walk(&t, TEXT + 0x300, 0);
	expect(&s, HU_STACK_COMPLETE, 2, TEXT + 0x201); /* kept plus 1 */
	/* and its caller's pc is a return address again */
	t.mem[5 + 10 + 6] = TEXT + 0x100;
	t.mem[101] = TEXT + 0x300;
	s = walk(&t, TEXT + 0x300, 0);
	expect(&s, HU_STACK_COMPLETE, 3, TEXT + 0x300);
}

/* A return address behind a gap too small for a caller: a stack was made to begin there. */
static void test_made_start(void **state)
{
	struct target t = target((struct hu_row){ 0, 0, HU_CFA_GAP, 0 });
	struct hu_stack s;

	t.row[3] = (struct hu_row){ 0x4f8, HU_GAP_ENDS(TEXT + 0x500), HU_CFA_GAP, 0 };
	t.mem[1] = TEXT + 0x500;
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_COMPLETE, 2, TEXT + 0x501);
	t.mem[1] = TEXT + 0x4ff; /* within the gap */
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_NOROW, 2, TEXT + 0x4ff);
	s = walk(&t, TEXT + 0x4f8, 0); /* interrupted there */
	expect(&s, HU_STACK_NOROW, 1, TEXT + 0x4f8);
}

static void test_loop(void **state)
{
	struct target t = target((struct hu_row){ 0, 0, HU_CFA_SP, 0 });
	struct hu_stack s;

	t.mem[0] = TEXT + 0x301; /* its own return address, again and again */
	s = walk(&t, TEXT + 0x500, 0);
	expect(&s, HU_STACK_BADREAD, 2, TEXT + 0x301);
}

static void test_ends(void **state)
{
	struct target t = target((struct hu_row){ 0, 0, HU_CFA_SP, 0 });
	struct hu_stack s;
	size_t i;

	s = walk(&t, TEXT + 0x300, 0); /* a CFA that does not grow */
	expect(&s, HU_STACK_BADREAD, 1, TEXT + 0x300);
	s = walk(&t, TEXT + 0x99, 0); /* below the first row */
	expect(&s, HU_STACK_NOROW, 1, TEXT + 0x99);
	s = walk(&t, 0x12345, 0);
	expect(&s, HU_STACK_NOMAP, 1, 0x12345);
	t.row[2].kind = HU_CFA_BAD;
	s = walk(&t, TEXT + 0x300, STACK + 4); /* misaligned */
	expect(&s, HU_STACK_NOROW, 1, TEXT + 0x300);
	t.row[2].kind = HU_CFA_SIGNAL;
	t.row[0].cfa_off = 300; /* beyond the stack */
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_BADREAD, 1, TEXT + 0x100);
	t.no_table = true;
	s = walk(&t, TEXT + 0x100, 0);
	expect(&s, HU_STACK_NOROW, 1, TEXT + 0x100);
	t = target((struct hu_row){ 0 });
	for (i = 0; i < 256; i++)
		t.mem[i] = TEXT + 0x501; /* recursion without end */
	s = walk(&t, TEXT + 0x500, 0);
	expect(&s, HU_STACK_TRUNCATED, HU_MAX_FRAMES, TEXT + 0x501);
	t.mem[126] = TEXT + 0x201; /* frame 128 is one too many, whatever it is */
	s = walk(&t, TEXT + 0x500, 0);
	expect(&s, HU_STACK_TRUNCATED, HU_MAX_FRAMES, TEXT + 0x501);
	t.mem[125] = TEXT + 0x201;
	s = walk(&t, TEXT + 0x500, 0);
	expect(&s, HU_STACK_COMPLETE, HU_MAX_FRAMES, TEXT + 0x201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_stack),
		cmocka_unit_test(test_through_libc),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_realigned),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_wild_registers),
		cmocka_unit_test(test_leaf_and_caller),
		cmocka_unit_test(test_zero_ends),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_lost_bp),
		cmocka_unit_test(test_derived),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_signal_pc),
		cmocka_unit_test(test_made_start),
		cmocka_unit_test(test_loop),
	};

	return cmocka_run_group_tests(tests, load_modules, free_modules);
}
