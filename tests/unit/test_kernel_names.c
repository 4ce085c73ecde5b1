// SPDX-License-Identifier: GPL-2.0-only
/* Functions of the kernel, from files in the format of /proc/kallsyms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/sym/kernel.h"

static struct kernel_names *from(const char *text)
{
	FILE *file = fmemopen((void *)text, strlen(text) + 1, "r");
	struct kernel_names *k = NULL;

	assert_non_null(file);
	assert_int_equal(kernel_names__read(file, &k), 0);
	fclose(file);
	return k;
}

static void test_find(void **state)
{
	/* Not in order; with data, modules, weak and local functions. */
	struct kernel_names *k = from("ffffffff81002000 T second\n"
				      "ffffffff81001000 t first\n"
				      "ffffffff81001800 d a_variable\n"
				      "ffffffff81001900 B bss\n"
				      "ffffffffc0000000 w in_module\t[nf_tables]\n");

	assert_string_equal(kernel_names__find(k, 0), "");
	assert_string_equal(kernel_names__find(k, 0xffffffff81000fff), "");
	assert_string_equal(kernel_names__find(k, 0xffffffff81001000), "first");
	assert_string_equal(kernel_names__find(k, 0xffffffff81001fff), "first");
	assert_string_equal(kernel_names__find(k, 0xffffffff81002000), "second");
	assert_string_equal(kernel_names__find(k, 0xffffffffc0000010), "in_module");
	assert_string_equal(kernel_names__find(k, UINT64_MAX), "in_module");
	kernel_names__free(k);
}

/* kernel.kptr_restrict hides addresses: nothing has a name then, rather than all the same one. */
static void test_hidden(void **state)
{
	struct kernel_names *k = from("0000000000000000 T first\n0000000000000000 T second\n");
	uint64_t pcs[] = { 0xffffffff81001000 };

	assert_string_equal(kernel_names__find(k, pcs[0]), "");
	assert_string_equal(kernel_names__place(k, pcs, 1), "");
	kernel_names__free(k);
}

static void test_garbage(void **state)
{
	char text[3000], name[600];
	struct kernel_names *k = from("");

	assert_string_equal(kernel_names__find(k, 1), "");
	kernel_names__free(k);
	k = from("\n\n T\nxyz T name\nffffffff81001000\nffffffff81001000 T\n%s%n T f\n1 T last");
	assert_string_equal(kernel_names__find(k, 5), "last");
	kernel_names__free(k);
	/* The longest name that there is, and a line longer than any. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text), "1000 T %.511s\n2000 T %s %s%s\n3000 T after\n", name, name,
		 name, name);
	k = from(text);
	assert_int_equal(strlen(kernel_names__find(k, 0x1000)), 511);
	assert_int_equal(strlen(kernel_names__find(k, 0x2000)), 512);
	assert_string_equal(kernel_names__find(k, 0x3000), "after");
	kernel_names__free(k);
}

static void test_place(void **state)
{
	struct kernel_names *k = from("1000 t __schedule\n2000 T schedule\n3000 T io_schedule\n"
				      "4000 T folio_wait_bit_common\n5000 T ext4_sync_file\n"
				      "6000 T __x64_sys_fdatasync\n");
	uint64_t pcs[] = { 0x1010, 0x2010, 0x3010, 0x4010, 0x5010, 0x6010 };

	assert_string_equal(kernel_names__place(k, pcs, 6), "ext4_sync_file");
	assert_string_equal(kernel_names__place(k, pcs, 4), ""); /* only what says nothing */
	assert_string_equal(kernel_names__place(k, pcs, 0), "");
	/* A return address at the end of a function that does not return is that one's still. */
	pcs[4] = 0x6000;
	assert_string_equal(kernel_names__place(k, pcs, 5), "ext4_sync_file");
	pcs[0] = 0x5000; /* the leaf is where it is */
	assert_string_equal(kernel_names__place(k, pcs, 1), "ext4_sync_file");
	/* Beyond what has no name nothing is guessed. */
	pcs[0] = 0x1010;
	pcs[1] = 0x10;
	assert_string_equal(kernel_names__place(k, pcs, 6), "");
	kernel_names__free(k);
}

/* Root sees addresses, others none: neither is an error. */
static void test_own_kernel(void **state)
{
	struct kernel_names *k;

	assert_int_equal(kernel_names__new(&k), 0);
	assert_string_equal(kernel_names__find(k, 0), "");
	assert_non_null(kernel_names__find(k, UINT64_MAX));
	kernel_names__free(k);
	kernel_names__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	   cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_garbage),	   cmocka_unit_test(test_place),
		cmocka_unit_test(test_own_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
