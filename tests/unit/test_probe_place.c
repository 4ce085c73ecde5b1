// SPDX-License-Identifier: GPL-2.0-only
/* Where a probe goes: functions of real libraries, byte by byte as objdump shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user/util/probe_place.h"

#define FIND(args, ...)                                             \
	({                                                          \
		static const uint8_t code_[] = { __VA_ARGS__ };     \
		(int)probe_place__find(code_, sizeof(code_), args); \
	})

#if defined(__x86_64__)
/* pthread_create of glibc 2.36: push %r15 first. */
static void test_push(void **state)
{
	assert_int_equal(FIND(6, 0x41, 0x57, 0x41, 0x56, 0x55), 0);
	/* Behind endbr64. */
	assert_int_equal(FIND(6, 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5), 4);
	/* sub $8, %rsp; push %rbx */
	assert_int_equal(FIND(1, 0x48, 0x83, 0xec, 0x08, 0x53), 4);
}

/* pthread_join of glibc 2.36: it puts constants into other registers, and jumps. */
static void test_jump(void **state)
{
#define JOIN 0x41, 0xb8, 0x01, 0, 0, 0, 0x31, 0xc9, 0x31, 0xd2, 0xe9, 0x21, 0, 0, 0
	assert_int_equal(FIND(1, JOIN), 10);
	/* With an argument in rdx or rcx it would be too late. */
	assert_int_equal(FIND(4, JOIN), 0);
	assert_int_equal(FIND(8, JOIN), 0);
	assert_int_equal(FIND(2, JOIN), 10);
}

/* pthread_detach: mov 0x2d0(%rdi), %eax; test %eax, %eax; js */
static void test_branch(void **state)
{
	assert_int_equal(FIND(1, 0x8b, 0x87, 0xd0, 0x02, 0, 0, 0x85, 0xc0, 0x78, 0x36), 8);
	assert_int_equal(FIND(1, 0x8b, 0x87, 0xd0, 0x02, 0, 0, 0x85, 0xc0, 0x0f, 0x88, 1, 0, 0, 0),
			 8);
}

/* What does not go on with the next one ends the search; so do bytes that are no code, and the end. */
static void test_ends(void **state)
{
	assert_int_equal(FIND(1, 0x31, 0xc0, 0xc3, 0x55), 0); /* ret */
	assert_int_equal(FIND(1, 0x0f, 0x05, 0x55), 0);	      /* syscall */
	assert_int_equal(FIND(1, 0xff, 0xd0, 0x55), 0);	      /* call *%rax */
	assert_int_equal(FIND(1, 0x31, 0xc0, 0x06, 0x55), 0); /* no instruction */
	assert_int_equal(FIND(1, 0x31, 0xc0), 0);
	assert_int_equal(FIND(1, 0x48), 0);
	/* A prefix, which the kernel would not take for a push of its kind. */
	assert_int_equal(FIND(1, 0x31, 0xc0, 0x66, 0x55, 0xc3), 0);
	/* xchg %edi, %eax */
	assert_int_equal(FIND(1, 0x97, 0x55), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_jump),
		cmocka_unit_test(test_branch),
		cmocka_unit_test(test_ends),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
