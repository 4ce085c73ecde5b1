/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A text report in the making, and the call stacks in it (stack_text.c). Internal to the text views.
 * Whatever comes from a watched process is escaped before it is printed.
 */
#ifndef HOLDUP_VIEW_PAGE_H
#define HOLDUP_VIEW_PAGE_H

#include <string.h>

#include "user/util/text.h"
#include "user/view/view.h"

#define NAME_SZ 512

struct page {
	FILE *out;
	const struct locks_report *r;
	const struct view_style *style;
	const char *dot, *from, *times, *bold, *dim, *plain;
};

static inline const char *escaped(const char *text, char buf[NAME_SZ])
{
	return text__escape(text, strlen(text), buf, NAME_SZ);
}

static inline const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* Totals and gaps; verbose: how good the stacks are. */
void page__print_head(const struct page *p);
/* Where the waits of a row happened: the longest of them, or all if verbose. */
void page__print_sites(const struct page *p, const struct lock_row *row);
/* What a holder whose stack is known does. */
void page__print_holder(const struct page *p, const struct lock_holder *h);

#endif
