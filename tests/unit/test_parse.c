// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user/util/parse.h"

#define UNTOUCHED 0x5a5a5a5a5a5aULL

struct sample {
	const char *text;
	int err;
	uint64_t value; /* when err is 0 */
};

static void check(const struct sample *s, int err, uint64_t value)
{
	if (err != s->err)
		fail_msg("'%s': %d, not %d", s->text, err, s->err);
	if (value != (err ? UNTOUCHED : s->value))
		fail_msg("'%s': the value is %llu", s->text, (unsigned long long)value);
}

static void test_u64(void **state)
{
	static const struct sample samples[] = {
		{ "10", 0, 10 },
		{ "100", 0, 100 },
		{ "0042", 0, 42 },
		{ "9", -ERANGE, 0 },
		{ "101", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " 10", -EINVAL, 0 },
		{ "10 ", -EINVAL, 0 },
		{ "+10", -EINVAL, 0 },
		{ "-10", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "10s", -EINVAL, 0 },
		{ "1e1", -EINVAL, 0 },
		{ "ten", -EINVAL, 0 },
	};
	uint64_t value;
	int err;

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		value = UNTOUCHED;
		err = parse__u64(samples[i].text, 10, 100, &value);
		check(&samples[i], err, value);
	}
	assert_int_equal(parse__u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse__u64("18446744073709551616", 0, UINT64_MAX, &value), -ERANGE);
	assert_int_equal(parse__u64("0", 0, 0, &value), 0);
	assert_int_equal(value, 0);
}

static void test_duration(void **state)
{
	static const struct sample samples[] = {
		{ "10s", 0, 10000000000ULL },
		{ "10", 0, 10000000000ULL },
		{ "1.5ms", 0, 1500000 },
		{ ".5s", 0, 500000000 },
		{ "2m", 0, 120000000000ULL },
		{ "2min", 0, 120000000000ULL },
		{ "1h", 0, 3600000000000ULL },
		{ "500us", 0, 500000 },
		{ "80ns", 0, 80 },
		{ "0.1us", 0, 100 },
		{ "0", 0, 0 },
		{ "1000000000s", 0, 1000000000000000000ULL },
		{ "1000000001s", -ERANGE, 0 },
		{ "99999999999999999999h", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "+1s", -EINVAL, 0 },
		{ " 1s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1s ", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
		{ "1ks", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1E3s", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "1,5s", -EINVAL, 0 },
		{ "1m30s", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		uint64_t value = UNTOUCHED;
		int err = parse__duration(samples[i].text, &value);

		check(&samples[i], err, value);
	}
}

/* strtod(3) would take them. */
static void test_duration_is_decimal(void **state)
{
	static const char *const hex[] = { "0x10", "0x10s", "0X10", "0X10s", "0XAs", "0x.8s" };

	for (size_t i = 0; i < sizeof(hex) / sizeof(hex[0]); i++) {
		struct sample s = { hex[i], -EINVAL, 0 };
		uint64_t value = UNTOUCHED;
		int err = parse__duration(s.text, &value);

		check(&s, err, value);
	}
}

static void test_size(void **state)
{
	static const struct sample samples[] = {
		{ "4096", 0, 4096 },
		{ "64K", 0, 65536 },
		{ "64k", 0, 65536 },
		{ "8M", 0, 8 << 20 },
		{ "1G", 0, 1 << 30 },
		{ "0", 0, 0 },
		{ "17179869183G", 0, 17179869183ULL << 30 },
		{ "17179869184G", -ERANGE, 0 },
		{ "18014398509481983K", 0, 18014398509481983ULL << 10 },
		{ "18014398509481984K", -ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1.5M", -EINVAL, 0 },
		{ "1T", -EINVAL, 0 },
		{ "1MB", -EINVAL, 0 },
		{ "1 M", -EINVAL, 0 },
		{ "1M ", -EINVAL, 0 },
		{ "0x1000", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		uint64_t value = UNTOUCHED;
		int err = parse__size(samples[i].text, &value);

		check(&samples[i], err, value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_is_decimal),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
