// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int parse__u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL; /* strtoull() would take blanks and signs */
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int parse__duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 },  { "ns", 1 },   { "us", 1e3 },   { "ms", 1e6 },
		      { "s", 1e9 }, { "m", 60e9 }, { "min", 60e9 }, { "h", 3600e9 } };
	double value;
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return -EINVAL;
	if (strpbrk(text, "xXeEpP"))
		return -EINVAL; /* strtod() would take hexadecimal and exponents */
	value = strtod(text, &end);
	if (end == text || !isfinite(value))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		value *= units[i].ns;
		if (value > 1e18) /* 31 years, and far below UINT64_MAX */
			return -ERANGE;
		*ret_ns = (uint64_t)(value + 0.5);
		return 0;
	}
	return -EINVAL;
}

int parse__size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMG";
	unsigned long long value;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		for (const char *u = units; u <= unit; u++) {
			if (value > UINT64_MAX / 1024)
				return -ERANGE;
			value *= 1024;
		}
	}
	*ret = value;
	return 0;
}
