/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Views: a finished report in, bytes out. They change nothing and know no kernel. Text of targets
 * is escaped here, on its way out. Errors: -EIO or the errno of writing; -ENOMEM.
 */
#ifndef HOLDUP_VIEW_VIEW_H
#define HOLDUP_VIEW_VIEW_H

#include <stdbool.h>
#include <stdio.h>

#include "user/golang/go_sched.h"
#include "user/model/leaks.h"
#include "user/model/leftovers.h"
#include "user/model/locks.h"
#include "user/model/stacks.h"
#include "user/model/threads.h"

struct view_style {
	bool colour;
	bool utf8;    /* the terminal's character set; else plain ASCII */
	bool verbose; /* every frame of every stack */
	bool compact; /* JSON: one line a document */
};

/* Colour only on a terminal without NO_COLOR (https://no-color.org), UTF-8 as the locale says. */
struct view_style view__style(FILE *out);

int view__locks_text(FILE *out, const struct locks_report *r, const struct view_style *style);
int view__locks_json(FILE *out, const struct locks_report *r, const struct view_style *style);
int view__stacks_text(FILE *out, const struct stacks_report *r, const struct view_style *style);
int view__stacks_json(FILE *out, const struct stacks_report *r, const struct view_style *style);
int view__leaks_text(FILE *out, const struct leaks_report *r, const struct view_style *style);
int view__leaks_json(FILE *out, const struct leaks_report *r, const struct view_style *style);
int view__threads_text(FILE *out, const struct threads_report *r, const struct view_style *style);
int view__threads_json(FILE *out, const struct threads_report *r, const struct view_style *style);
/* One thread with all that keeps it waiting, as `stacks --watch` prints it. */
int view__blocked_thread(FILE *out, const struct blocked_thread *t, const struct view_style *style);
/* The graph of who waits for whom, for Graphviz. */
int view__stacks_dot(FILE *out, const struct stacks_report *r);
/* Go's scheduler; before: an earlier look, for rates, or NULL. */
int view__go_sched(FILE *out, const struct go_sched *before, const struct go_sched *now,
		   const char *version, const struct view_style *style);
/* One line for each finding; returns how many, or negative. */
int view__findings(FILE *out, const struct stacks_report *r);
/* The same of what a program leaves behind. */
int view__leftovers(FILE *out, const struct leftovers *l);
/* The schema of every document that --json prints. */
int view__json_schema(FILE *out);
/* Flushes; tells the user and returns negative when anything could not be written. */
int view__flush(FILE *out);

#endif
