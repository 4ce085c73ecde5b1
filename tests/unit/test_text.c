// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/util/text.h"

static void check_len(const char *in, size_t len, const char *expected)
{
	char out[256];

	assert_ptr_equal(text__escape(in, len, out, sizeof(out)), out);
	assert_string_equal(out, expected);
}

static void check(const char *in, const char *expected)
{
	char *copy = text__escape_dup(in);

	check_len(in, strlen(in), expected);
	assert_non_null(copy);
	assert_string_equal(copy, expected);
	free(copy);
}

static void test_printable_stays(void **state)
{
	check("", "");
	check("nginx: worker process", "nginx: worker process");
	check("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~");
	check("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");			   /* 2 bytes */
	check("\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac");		   /* 3 */
	check("\xf0\x9f\x94\x92", "\xf0\x9f\x94\x92");				   /* 4 */
	check("\xc2\xa0|\xdf\xbf|\xe0\xa0\x80", "\xc2\xa0|\xdf\xbf|\xe0\xa0\x80"); /* edges */
	check("\xed\x9f\xbf|\xee\x80\x80", "\xed\x9f\xbf|\xee\x80\x80");
	check("\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf");
}

static void test_control_characters(void **state)
{
	check("\033[31mred", "\\x1b[31mred");
	check("a\nb\rc\td\be\a", "a\\x0ab\\x0dc\\x09d\\x08e\\x07");
	check("\177", "\\x7f");
	check("\xc2\x80\xc2\x9b\x33\xc2\x9f", "\\xc2\\x80\\xc2\\x9b3\\xc2\\x9f"); /* C1, CSI */
	for (int c = 1; c < 0x20; c++) {
		char in[2] = { (char)c, 0 }, expected[8];

		snprintf(expected, sizeof(expected), "\\x%02x", c);
		check(in, expected);
	}
}

/* Unicode's Bidi_Control property, and what shows nothing at all or starts a line. */
static void test_invisible_and_bidi(void **state)
{
	static const uint32_t bidi[] = { 0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c,
					 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069,
					 0x200b, 0x200c, 0x200d, 0x2028, 0x2029, 0xfeff };

	for (size_t i = 0; i < sizeof(bidi) / sizeof(bidi[0]); i++) {
		char in[4] = { 0 }, out[32];

		if (bidi[i] < 0x800) {
			in[0] = (char)(0xc0 | bidi[i] >> 6);
			in[1] = (char)(0x80 | (bidi[i] & 0x3f));
		} else {
			in[0] = (char)(0xe0 | bidi[i] >> 12);
			in[1] = (char)(0x80 | (bidi[i] >> 6 & 0x3f));
			in[2] = (char)(0x80 | (bidi[i] & 0x3f));
		}
		text__escape(in, strlen(in), out, sizeof(out));
		if (strncmp(out, "\\x", 2))
			fail_msg("U+%04X is not escaped", bidi[i]);
		assert_int_equal(strlen(out), 4 * strlen(in));
	}
}

static void test_broken_utf8(void **state)
{
	check("\x80", "\\x80"); /* a continuation alone */
	check("\xbf", "\\xbf");
	check("\xc3", "\\xc3"); /* cut */
	check("\xc3z", "\\xc3z");
	check("\xe6\x97", "\\xe6\\x97");
	check("\xe6\x97z", "\\xe6\\x97z");
	check("\xf0\x9f\x94", "\\xf0\\x9f\\x94");
	check("\xc0\xaf", "\\xc0\\xaf"); /* overlong forms */
	check("\xc1\x9b", "\\xc1\\x9b");
	check("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
	check("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");
	check("\xf0\x80\x80\x9b", "\\xf0\\x80\\x80\\x9b");
	check("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf");
	check("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* surrogates */
	check("\xed\xbf\xbf", "\\xed\\xbf\\xbf");
	check("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	check("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
	check("\xff\xfe", "\\xff\\xfe");
	check("\xe6\xc3\xbc", "\\xe6\xc3\xbc"); /* goes on with the next good one */
}

/* Reads neither past len nor past a NUL. */
static void test_length(void **state)
{
	char *exact = malloc(3);

	memcpy(exact, "ab\xc3", 3); /* the sanitizer sees a look at the fourth byte */
	check_len(exact, 3, "ab\\xc3");
	check_len(exact, 2, "ab");
	check_len(exact, 0, "");
	free(exact);
	check_len("ab\0cd", 5, "ab");
	check_len("\xc3\xbc", 1, "\\xc3");
}

static void test_cut(void **state)
{
	static const char in[] = "a\xc3\xbc\033b\xf0\x9f\x94\x92z";
	static const char whole[] = "a\xc3\xbc\\x1bb\xf0\x9f\x94\x92z";
	/* Where the output may end: between characters only. */
	static const bool may_end[] = { 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1 };

	_Static_assert(sizeof(may_end) == sizeof(whole), "one for each length");
	for (size_t cap = 1; cap <= sizeof(whole); cap++) {
		char *out = malloc(cap); /* exact, so that the sanitizer sees one byte too many */
		size_t len;

		text__escape(in, sizeof(in) - 1, out, cap);
		len = strlen(out);
		assert_true(len < cap);
		assert_memory_equal(out, whole, len);
		assert_true(may_end[len]);
		/* As much as fits. */
		for (size_t more = len + 1; more < cap; more++)
			assert_false(may_end[more]);
		free(out);
	}
	text__escape(in, sizeof(in) - 1, NULL, 0);
}

/* All bytes, alone and in pairs: what comes out never holds a control byte. */
static void test_nothing_slips_through(void **state)
{
	char in[3] = { 0 }, out[16];

	for (int a = 1; a < 256; a++)
		for (int b = 1; b < 256; b++) {
			in[0] = (char)a;
			in[1] = (char)b;
			text__escape(in, 2, out, sizeof(out));
			assert_int_not_equal(strlen(out), 0);
			for (const unsigned char *p = (unsigned char *)out; *p; p++) {
				assert_true(*p >= 0x20 && *p != 0x7f);
				if (*p >= 0x80 && (p[0] == 0xc2)) {
					assert_true(p[1] >= 0xa0);
				}
			}
		}
}

static void test_columns(void **state)
{
	assert_int_equal(text__columns(""), 0);
	assert_int_equal(text__columns("abc"), 3);
	assert_int_equal(text__columns("gr\xc3\xbc\xc3\x9f"), 4);
	assert_int_equal(text__columns("\xf0\x9f\x94\x92"), 1);
	assert_int_equal(text__columns("\\x1b"), 4);
}

static void test_duration(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} samples[] = {
		{ 0, "0 ns" },
		{ 1, "1 ns" },
		{ 80, "80 ns" },
		{ 999, "999 ns" },
		{ 1000, "1.00 us" },
		{ 31000, "31.0 us" },
		{ 9990, "9.99 us" },
		{ 9994, "9.99 us" },
		{ 9996, "10.0 us" },
		{ 99940, "99.9 us" },
		{ 99960, "100 us" },
		{ 6270000, "6.27 ms" },
		{ 999400000, "999 ms" },
		{ 999950000, "1.00 s" },
		{ 1000000000, "1.00 s" },
		{ 29610000000, "29.6 s" },
		{ 60000000000, "60.0 s" },
		{ 119000000000, "119 s" },
		{ 120000000000, "2.00 min" },
		{ 7199000000000, "120 min" },
		{ 7200000000000, "2.00 h" },
		{ 360000000000000, "100 h" },
		{ UINT64_MAX, "5124096 h" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char buf[TEXT_DURATION_SZ];

		assert_ptr_equal(text__duration(samples[i].ns, buf), buf);
		assert_string_equal(buf, samples[i].text);
	}
}

/* Below a second nobody should read "1000 ms": the next unit begins where rounding gets there. */
static void test_duration_never_prints_1000(void **state)
{
	static const uint64_t limits[] = { 1000, 1000000, 1000000000 };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (int permyriad = 9900; permyriad <= 10100; permyriad++) {
			uint64_t ns = limits[i] / 10000 * permyriad;
			char buf[TEXT_DURATION_SZ];

			if (!strncmp(text__duration(ns, buf), "1000", 4))
				fail_msg("%llu ns: %s", (unsigned long long)ns, buf);
		}
}

static void test_count(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} samples[] = {
		{ 0, "0" },
		{ 999, "999" },
		{ 1000, "1,000" },
		{ 4726, "4,726" },
		{ 24310, "24,310" },
		{ 999999, "999,999" },
		{ 1000000, "1,000,000" },
		{ UINT64_MAX, "18,446,744,073,709,551,615" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char buf[TEXT_COUNT_SZ];

		assert_string_equal(text__count(samples[i].n, buf), samples[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printable_stays),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_invisible_and_bidi),
		cmocka_unit_test(test_broken_utf8),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_nothing_slips_through),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_never_prints_1000),
		cmocka_unit_test(test_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
