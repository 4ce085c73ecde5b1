// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPED_MAX 4 /* \xNN */

/*
 * Length of the well-formed UTF-8 character at p (Unicode 15, table 3-7), 0 when it is none or when
 * it is a control character: C0, DEL, C1, or one that reorders text (bidirectional controls).
 */
static size_t printable(const unsigned char *p, size_t len)
{
	uint32_t cp;
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	cp = p[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000) || (n == 3 && cp < 0x800) ||
	    (n == 4 && cp < 0x10000))
		return 0;
	if (cp < 0xa0 || cp == 0x061c || (cp >= 0x200b && cp <= 0x200f) ||
	    (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff)
		return 0;
	return n;
}

char *text__escape(const char *in, size_t len, char *out, size_t cap)
{
	const unsigned char *p = (const unsigned char *)in;
	size_t used = 0, n;

	for (size_t i = 0; i < len && p[i];) {
		n = printable(p + i, len - i);
		if (used + (n ? n : ESCAPED_MAX) >= cap)
			break;
		if (n) {
			memcpy(out + used, p + i, n);
			used += n;
			i += n;
		} else {
			snprintf(out + used, cap - used, "\\x%02x", p[i++]);
			used += ESCAPED_MAX;
		}
	}
	if (cap)
		out[used] = '\0';
	return out;
}

char *text__escape_dup(const char *in)
{
	size_t len = strlen(in);
	char *out = malloc(len * ESCAPED_MAX + 1);

	return out ? text__escape(in, len, out, len * ESCAPED_MAX + 1) : NULL;
}

size_t text__columns(const char *text)
{
	size_t columns = 0;

	for (; *text; text++)
		columns += (*text & 0xc0) != 0x80;
	return columns;
}

const char *text__duration(uint64_t ns, char buf[TEXT_DURATION_SZ])
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = { { 3600e9, "h" }, { 60e9, "min" }, { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double value = ns / units[i].ns;

		/* 999.5 ms and more would read 1000 ms; minutes only from two on. */
		if (value < (i < 2 ? 2 : 0.9995))
			continue;
		snprintf(buf, TEXT_DURATION_SZ, "%.*f %s",
			 value < 9.995	 ? 2
			 : value < 99.95 ? 1
					 : 0,
			 value, units[i].unit);
		return buf;
	}
	snprintf(buf, TEXT_DURATION_SZ, "%u ns", (unsigned int)ns);
	return buf;
}

const char *text__count(uint64_t n, char buf[TEXT_COUNT_SZ])
{
	char digits[TEXT_COUNT_SZ];
	size_t len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), out = 0;

	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = digits[i];
	}
	buf[out] = '\0';
	return buf;
}

const char *text__size(uint64_t bytes, char buf[TEXT_SIZE_SZ])
{
	if (bytes >= 10ULL << 30)
		snprintf(buf, TEXT_SIZE_SZ, "%.0f GiB", bytes / (double)(1ULL << 30));
	else if (bytes >= 1 << 20)
		snprintf(buf, TEXT_SIZE_SZ, "%.1f MiB", bytes / (double)(1 << 20));
	else
		snprintf(buf, TEXT_SIZE_SZ, "%llu KiB", (unsigned long long)(bytes >> 10));
	return buf;
}
