// SPDX-License-Identifier: GPL-2.0-only
/* Patterns over comm: the automaton that the kernel runs must say what fnmatch(3) says. */
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/glob.h"
#include "user/util/glob.h"

/* xorshift64: the same patterns in each run. */
static uint64_t random_state;

static unsigned int random_below(unsigned int n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

static int matches(const struct hu_glob *g, const char *text)
{
	char comm[HU_COMM_LEN] = { 0 };

	memcpy(comm, text, strnlen(text, sizeof(comm))); /* 16 leave no room for a NUL */
	return glob__matches(g, comm);
}

static void check(const char *pattern, const char *text, int expected)
{
	struct hu_glob g;

	assert_int_equal(glob__compile(pattern, &g), 0);
	if (matches(&g, text) != expected)
		fail_msg("'%s' %s '%s'", pattern, expected ? "does not match" : "matches", text);
}

static void test_examples(void **state)
{
	check("nginx", "nginx", 1);
	check("nginx", "nginx2", 0);
	check("nginx", "ngin", 0);
	check("nginx*", "nginx: worker", 1);
	check("*sql*", "mysqld", 1);
	check("*", "", 1);
	check("", "", 1);
	check("", "a", 0);
	check("?", "", 0);
	check("java?", "java", 0);
	check("w[0-9]", "w7", 1);
	check("w[!0-9]", "w7", 0);
	check("w[^0-9]", "wx", 1);
	check("[]x]", "]", 1);
	check("[!]x]", "]", 0);
	check("[a-]", "-", 1);
	check("\\*", "*", 1);
	check("\\*", "x", 0);
	check("*a*b*c*", "xaxbxcx", 1);
	check("*a*b*c*", "xaxcxbx", 0);
	check("\xff*", "\xff\xfe", 1);
	check("[\xf0-\xff]", "\xf8", 1);
	check("?", "\xe9", 1); /* a byte is a character: comm may be cut anywhere */
}

static void test_whole_comm(void **state)
{
	check("abcdefghijklmnop", "abcdefghijklmnop", 1); /* 16, without a NUL */
	check("abcdefghijklmno?", "abcdefghijklmnop", 1);
	check("abcdefghijklmno", "abcdefghijklmnop", 0);
	check("*p", "abcdefghijklmnop", 1);
	check("abcdefghijklmnopq", "abcdefghijklmnop", 0);
}

static void test_stops_at_nul(void **state)
{
	static const char comm[HU_COMM_LEN] = "ab\0cd";
	struct hu_glob g;

	assert_int_equal(glob__compile("ab", &g), 0);
	assert_true(glob__matches(&g, comm));
	assert_int_equal(glob__compile("*cd", &g), 0);
	assert_false(glob__matches(&g, comm));
}

static void test_errors(void **state)
{
	static const char *const unclosed[] = { "[", "a[", "[]", "[!]", "[^", "[a-", "x[a-z" };
	char pattern[80];
	struct hu_glob g, untouched;

	memset(&g, 0x5a, sizeof(g));
	untouched = g;
	for (size_t i = 0; i < sizeof(unclosed) / sizeof(unclosed[0]); i++)
		assert_int_equal(glob__compile(unclosed[i], &g), -EINVAL);
	memset(pattern, '?', sizeof(pattern));
	pattern[32] = '\0';
	assert_int_equal(glob__compile(pattern, &g), -E2BIG);
	assert_memory_equal(&g, &untouched, sizeof(g)); /* never written on failure */
	pattern[31] = '\0';
	assert_int_equal(glob__compile(pattern, &g), 0);
	assert_false(matches(&g, "abcdefghijklmnop"));
	/* Stars are no characters. */
	memset(pattern, '*', sizeof(pattern) - 1);
	pattern[sizeof(pattern) - 1] = '\0';
	assert_int_equal(glob__compile(pattern, &g), 0);
	assert_true(matches(&g, "x"));
}

/* A bracket that means the same to fnmatch(3): no classes ([:), no escapes. */
static char *add_bracket(char *p)
{
	static const char inside[] = "abcxyz-.*?";
	unsigned int n = 1 + random_below(3);

	*p++ = '[';
	if (!random_below(3))
		*p++ = random_below(2) ? '!' : '^';
	if (!random_below(6))
		*p++ = ']';
	for (unsigned int i = 0; i < n; i++) {
		if (random_below(3)) {
			*p++ = inside[random_below(sizeof(inside) - 1)];
		} else {
			*p++ = 'a' + random_below(4);
			*p++ = '-';
			*p++ = 'a' + random_below(4); /* may run backwards: matches nothing */
		}
	}
	*p++ = ']';
	return p;
}

static void make_pattern(char *p)
{
	unsigned int tokens = random_below(8);

	for (unsigned int i = 0; i < tokens; i++) {
		switch (random_below(6)) {
		case 0:
		case 1:
			*p++ = '*';
			break;
		case 2:
			*p++ = '?';
			break;
		case 3:
			p = add_bracket(p);
			break;
		case 4:
			if (!random_below(4))
				*p++ = '\\';
			/* fall through */
		default:
			*p++ = "abcd-."[random_below(6)];
		}
	}
	*p = '\0';
}

static void make_comm(char *text)
{
	unsigned int len = random_below(HU_COMM_LEN + 1);

	/* Mostly short ones over few letters, so that a good part matches. */
	if (random_below(4))
		len %= 6;
	for (unsigned int i = 0; i < len; i++)
		text[i] = "abcd-.]*x\xe9"[random_below(10)];
	text[len] = '\0';
}

static void test_like_fnmatch(void **state)
{
	unsigned int matched = 0, rounds = 0;
	char pattern[128], text[HU_COMM_LEN + 1];
	struct hu_glob g;

	random_state = 0x9e3779b97f4a7c15ULL;
	for (int i = 0; i < 20000; i++) {
		make_pattern(pattern);
		assert_int_equal(glob__compile(pattern, &g), 0);
		for (int k = 0; k < 20; k++) {
			make_comm(text);
			int expected = !fnmatch(pattern, text, 0);

			if (matches(&g, text) != expected)
				fail_msg("fnmatch says %d: '%s' on '%s'", expected, pattern, text);
			matched += expected;
			rounds++;
		}
	}
	/* Neither always nor never: otherwise the generator proves nothing. */
	assert_in_range(matched, rounds / 20, rounds - rounds / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),     cmocka_unit_test(test_whole_comm),
		cmocka_unit_test(test_stops_at_nul), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_like_fnmatch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
