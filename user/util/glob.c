// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/glob.h"

#include <errno.h>
#include <string.h>

#define TOKENS_MAX 31 /* one bit of the state each, and one for "all matched" */

/* Marks what a bracket matches; returns its end, NULL when it has none. */
static const char *compile_bracket(const char *p, struct hu_glob *g, __u32 bit)
{
	__u8 from, to;
	int negate = *p == '!' || *p == '^';
	const char *first = p += negate;

	if (negate)
		for (int c = 1; c < 256; c++)
			g->match[c] |= bit;
	for (; *p && (*p != ']' || p == first); p++) {
		from = to = *p;
		if (p[1] == '-' && p[2] && p[2] != ']') {
			to = p[2];
			p += 2;
		}
		for (int c = from; c <= to; c++) {
			if (negate)
				g->match[c] &= ~bit;
			else
				g->match[c] |= bit;
		}
	}
	return *p ? p : NULL;
}

int glob__compile(const char *pattern, struct hu_glob *ret)
{
	struct hu_glob g;
	__u32 tokens = 0;

	memset(&g, 0, sizeof(g));
	for (const char *p = pattern; *p; p++) {
		__u32 bit = 1u << tokens;

		if (*p == '*') {
			g.stay |= bit;
			continue;
		}
		if (tokens == TOKENS_MAX)
			return -E2BIG;
		if (*p == '?') {
			for (int c = 1; c < 256; c++)
				g.match[c] |= bit;
		} else if (*p == '[') {
			p = compile_bracket(p + 1, &g, bit);
			if (!p)
				return -EINVAL;
		} else {
			if (*p == '\\' && p[1])
				p++;
			g.match[(__u8)*p] |= bit;
		}
		tokens++;
	}
	g.accept = 1u << tokens;
	*ret = g;
	return 0;
}
