// SPDX-License-Identifier: GPL-2.0-only
/* How symbols read: parts and versions of functions as compilers name them, and names made to hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "user/sym/module.h"

static void assert_reads(const char *name, const char *want)
{
	char *got = demangle__name(name);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void test_parts(void **state)
{
	static const char *const same[] = {
		"lock_slow",
		"lock_slow.constprop.0",
		"lock_slow.isra.0.part.12",
		"lock_slow.lto_priv.3",
		"lock_slow.localalias",
		"lock_slow.llvm.1234567890123456789",
		"lock_slow.__uniq.77.llvm.1",
		"lock_slow.0",
		"lock_slow.5.constprop.1",
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_reads(same[i], "lock_slow");
	assert_reads("lock_slow.cold", "lock_slow [cold]");
	assert_reads("lock_slow.isra.0.cold", "lock_slow [cold]");
	assert_reads("lock_slow.cold.7", "lock_slow [cold]");
	assert_reads("_ZN1a1bEv.part.0", "a::b");
	assert_reads("_ZN1a1bEv.part.0.cold", "a::b [cold]");
	assert_reads("_RNvCs1234_7mycrate3foo.llvm.99", "mycrate::foo");
}

/* Dots that mean something else. */
static void test_other_dots(void **state)
{
	static const char *const kept[] = {
		"main.main.func1.1",
		"runtime.(*mheap).alloc",
		"memcpy.avx2",
		"coro.actor",
		".cold",
		".part.0",
		".0",
		"a.b.0",
		"",
		".",
		"..",
		"part.0.x",
		"5",
	};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		assert_reads(kept[i], kept[i]);
}

/* What gcc makes of a function with an unlikely part, and of one with a constant argument. */
static const char source[] = "#include <stdlib.h>\n"
			     "__attribute__((cold, noinline)) void complain(int);\n"
			     "__attribute__((noinline)) int splits(int n)\n"
			     "{\n"
			     "	if (__builtin_expect(n > 100, 0)) { complain(n); complain(n + 1); "
			     "abort(); }\n"
			     "	return n * 3;\n"
			     "}\n"
			     "int shared_data[4];\n"
			     "int counts(void) { static int counter; return counter++ + "
			     "shared_data[1]; }\n"
			     "void complain(int n) { exit(n); }\n"
			     "int main(int argc, char **argv) { return splits(argc) + counts(); "
			     "}\n";

static struct module *build(const char *flags, const char *after)
{
	struct module *m;
	int fd;

	scratch__write("parts.c", source);
	scratch__run("gcc -O2 %s -freorder-blocks-and-partition -o parts parts.c && %s", flags,
		     after);
	fd = open(scratch__path("parts"), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(module__open(fd, scratch__path("parts"), "", &m), 0);
	close(fd);
	return m;
}

static void test_gcc(void **state)
{
	struct module *m = build("-fPIE -pie", "true");
	struct symbol sym;
	unsigned long addr;
	char line[128];
	FILE *f;

	scratch__run("nm parts | grep -E ' t splits\\.cold$' >cold");
	f = fopen(scratch__path("cold"), "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_int_equal(sscanf(line, "%lx", &addr), 1);
	assert_true(module__func(m, addr, &sym));
	assert_string_equal(sym.name, "splits.cold"); /* raw */
	assert_reads(sym.name, "splits [cold]");
	assert_true(module__by_name(m, "splits", &sym));
	assert_true(sym.addr != addr);
	module__free(m);
}

/* With .dynsym alone, sizes tell where names end: what follows has none, though one is near. */
static void test_dynsym(void **state)
{
	struct module *m = build("-shared -fPIC -Wl,--version-script=map", "strip parts && ! nm "
									   "parts 2>/dev/null | "
									   "grep -q .");
	struct symbol sym, next;
	uint64_t start;

	assert_false(module__has_symtab(m));
	assert_true(module__by_name(m, "splits", &sym));
	assert_true(sym.size > 0);
	assert_true(module__func(m, sym.addr + sym.size - 1, &next));
	assert_int_equal(next.addr, sym.addr);
	/* main is not exported: its code has an FDE and no name. */
	assert_false(module__by_name(m, "main", &next));
	assert_false(module__func(m, sym.addr + sym.size, &next) && next.addr == sym.addr);
	assert_true(module__fde_start(m, sym.addr + sym.size - 1, &start));
	assert_int_equal(start, sym.addr);
	/* Its version is not part of a name. */
	assert_true(module__by_name(m, "counts", &sym));
	assert_null(strchr(sym.name, '@'));
	module__free(m);
}

static int write_map(void **state)
{
	if (scratch__make(state))
		return -1;
	scratch__write("map", "PARTS_1.0 { global: splits; counts; local: *; };\n");
	return 0;
}

/* ---- Hostile names, in a child with the stack that threads get, or less */

#define STACK_SZ (256 << 10)

static char *repeat(const char *head, const char *part, size_t cnt, const char *tail)
{
	char *name = malloc(strlen(head) + cnt * strlen(part) + strlen(tail) + 1), *p = name;

	assert_non_null(name);
	p = stpcpy(p, head);
	while (cnt--)
		p = stpcpy(p, part);
	strcpy(p, tail);
	return name;
}

static void *read_names(void *arg)
{
	char **name = arg;

	for (; *name; name++)
		free(demangle__name(*name));
	return NULL;
}

/*
 * Deep nesting, references back that double at each step, and templates within scopes, which the
 * demangler keeps lists of: none may take the stack or hours. They are right to be left as they are.
 */
static void test_hostile(void **state)
{
	char *name[] = {
		repeat("_Z1f", "P", 4000, "i"),
		repeat("_Z1fI", "I", 1000, "iE"),
		repeat("_ZN", "1a", 1900, "E"),
		repeat("_Z1fI1aI", "S0_IS1_E", 400, "EEvv"),
		repeat("_Z", "1fIiEv", 600, ""),
		repeat("_Z1fIJ", "PFvT_E", 120, "EEvT_T_T_T_T_T_T_T_T_T_T_T_T_"),
		repeat("_Z1fI", "Li1EN1aIiE1bE", 70, "EvDpT_"),
		repeat("_Z1fI", "1xIT_T_E", 120, "EvT_"),
		repeat("_R", "INvC1a1b", 400, "E"),
		repeat("_RINvC1a1b", "TB7_B7_E", 400, "E"),
		repeat("_RNvC1a1b", ".llvm.1", 550, ""),
		repeat("_R", "Nv", 2000, "C1a1b"),
		repeat("x", ".cold", 800, ""),
		NULL,
	};
	pthread_attr_t attr;
	pthread_t thread;

	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, STACK_SZ * 4), 0);
	assert_int_equal(pthread_create(&thread, &attr, read_names, name), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	for (char **p = name; *p; p++)
		free(*p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),	cmocka_unit_test(test_other_dots),
		cmocka_unit_test(test_gcc),	cmocka_unit_test(test_dynsym),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, write_map, scratch__remove);
}
