// SPDX-License-Identifier: GPL-2.0-only
/* What a stripped program has only in its debug file: call frame information. Rows by readelf's words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "user/sym/module.h"
#include "user/unwind/cfi.h"

#define ROWS_MAX 65536

static const char source[] = "#include <string.h>\n"
			     "static int pile[100];\n"
			     "__attribute__((noinline)) int with_frame(int n)\n"
			     "{\n"
			     "	char buf[256];\n"
			     "	memset(buf, n, sizeof(buf));\n"
			     "	__asm__ volatile(\"\" : : \"r\"(buf) : \"rbx\", \"r12\", "
			     "\"memory\");\n"
			     "	return buf[n & 255] + pile[n & 63];\n"
			     "}\n"
			     "int main(int argc, char **argv) { return with_frame(argc) + "
			     "with_frame(argc + 1); }\n";

static int build(void **state)
{
	if (scratch__make(state))
		return -1;
	scratch__write("prog.c", source);
	/* Enough code that the C library's own start files, which have .eh_frame, are a small part. */
	scratch__run("for i in $(seq 200); do echo \"int filler$i(int n) { return n %% $i + "
		     "with_frame(n); }\"; done >filler && { echo 'int with_frame(int);'; cat "
		     "filler; } "
		     ">filler.c");
	scratch__run("cc -O2 -g -fno-asynchronous-unwind-tables -fno-unwind-tables "
		     "-fomit-frame-pointer -o full prog.c filler.c");
	scratch__run("objcopy --only-keep-debug full full.debug");
	scratch__run("objcopy --strip-all --add-gnu-debuglink=full.debug full stripped");
	scratch__run("objcopy --strip-all full alone");
	return 0;
}

static struct module *open_module(const char *name)
{
	const char *path = scratch__path(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct module *m;

	assert_true(fd >= 0);
	assert_int_equal(module__open(fd, path, "", &m), 0);
	close(fd);
	return m;
}

/* The function's address as the debug file's symbol table has it. */
static uint64_t address_of(const char *function)
{
	unsigned long addr;
	char cmd[PATH_MAX + 64];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "nm %s | grep ' [Tt] %s$' | cut -d' ' -f1",
		 scratch__path("full"), function);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lx", &addr), 1);
	pclose(f);
	return addr;
}

static const struct hu_row *row_at(const struct cfi_table *t, uint64_t vaddr)
{
	const struct hu_row *row = cfi__find(t, vaddr - t->base);

	assert_non_null(row);
	return row;
}

static struct cfi_table *rows_of(const char *name)
{
	struct module *m = open_module(name);
	struct cfi_table *t;

	assert_int_equal(module__cfi(m, ROWS_MAX, &t), 0);
	module__free(m);
	return t;
}

/* The function's first instruction has CFA = sp + 8; further on its 256 bytes lie on the stack. */
static void assert_has_rows(const struct cfi_table *t)
{
	uint64_t addr = address_of("with_frame");
	const struct hu_row *row = row_at(t, addr);
	int deepest = 0;

	assert_int_equal(row->pc, addr - t->base);
	assert_int_equal(HU_ROW_CFA(row->kind), HU_CFA_SP);
	assert_int_equal(row->cfa_off, 1);
	for (int i = 0; i < 64; i++)
		if (row_at(t, addr + i)->cfa_off > deepest)
			deepest = row_at(t, addr + i)->cfa_off;
	assert_in_range(deepest, 128 / 8, 512 / 8); /* less the red zone */
}

static void test_full(void **state)
{
	struct cfi_table *t = rows_of("full");

	assert_has_rows(t);
	cfi__free(t);
}

/* Where there is none, rows may come from machine code, which says so. */
static void assert_no_cfi(const struct hu_row *row)
{
	assert_true(!row || row->kind == HU_CFA_GAP || (row->kind & HU_ROW_DERIVED));
}

static void assert_same_cfi(const struct cfi_table *t, const struct cfi_table *full)
{
	for (size_t i = 0; i < full->cnt; i++) {
		const struct hu_row *row = cfi__find(t, full->row[i].pc);

		if (full->row[i].kind & HU_ROW_DERIVED || full->row[i].kind == HU_CFA_GAP)
			assert_no_cfi(row);
		else
			assert_true(row && !memcmp(row, &full->row[i], sizeof(*row)));
	}
}

static void test_stripped(void **state)
{
	struct cfi_table *full = rows_of("full"), *t = rows_of("stripped");

	assert_has_rows(t);
	assert_same_cfi(t, full);
	cfi__free(full);
	cfi__free(t);
}

/* The control: without the debug file there is nothing to know. */
static void test_stripped_alone(void **state)
{
	struct cfi_table *t = rows_of("alone");

	assert_no_cfi(row_at(t, address_of("with_frame")));
	assert_true(t->gap_bytes > t->code_bytes / 8);
	cfi__free(t);
}

/* Names and rows of one module, in any order, and after its files are closed. */
static void test_order(void **state)
{
	uint64_t addr = address_of("with_frame");
	struct module *m = open_module("stripped");
	struct cfi_table *t;
	struct symbol sym;

	assert_true(module__func(m, addr, &sym));
	assert_string_equal(sym.name, "with_frame");
	assert_int_equal(module__cfi(m, ROWS_MAX, &t), 0);
	assert_has_rows(t);
	cfi__free(t);
	module__settle(m);
	assert_int_equal(module__cfi(m, ROWS_MAX, &t), -ENOENT);
	module__free(m);
}

/* Compressed sections, in both forms, and bombs. */
static void test_compressed(void **state)
{
	struct cfi_table *full = rows_of("full"), *t;

	for (int i = 0; i < 2; i++) {
		scratch__run("objcopy --compress-debug-sections=%s full packed && "
			     "readelf -SW packed | grep -q 'z\\?debug_frame'",
			     i ? "zlib-gnu" : "zlib");
		t = rows_of("packed");
		assert_same_cfi(t, full);
		cfi__free(t);
	}
	/* 2^40 bytes are promised. */
	scratch__run("cp packed bomb && off=$(readelf -SW bomb | sed -n 's/.*zdebug_frame "
		     "*PROGBITS "
		     "*[0-9a-f]* \\([0-9a-f]*\\) .*/\\1/p') && printf '\\0\\0\\1\\0\\0\\0\\0\\0' | "
		     "dd of=bomb bs=1 conv=notrunc seek=$((0x$off + 4)) status=none");
	t = rows_of("bomb");
	assert_no_cfi(row_at(t, address_of("with_frame")));
	assert_int_equal(t->stats.malformed, 1);
	cfi__free(t);
	cfi__free(full);
}

/* What is kept of all modules together is bounded: beyond, there are no names, and no harm. */
static void test_budget(void **state)
{
	uint64_t addr = address_of("with_frame"), budget = 1 << 20, before = budget, start;
	struct module *m = open_module("full");
	struct symbol sym;

	module__use_budget(m, &budget);
	assert_true(module__func(m, addr, &sym));
	assert_true(budget < before);
	module__free(m);
	budget = 100;
	m = open_module("full");
	module__use_budget(m, &budget);
	assert_false(module__func(m, addr, &sym));
	assert_false(module__by_name(m, "with_frame", &sym));
	assert_false(module__has_symtab(m));
	assert_false(module__fde_start(m, addr, &start));
	module__free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),	       cmocka_unit_test(test_stripped),
		cmocka_unit_test(test_stripped_alone), cmocka_unit_test(test_order),
		cmocka_unit_test(test_compressed),     cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, build, scratch__remove);
}
