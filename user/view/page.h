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
	const struct stacks_report *stacks; /* one of the two */
	const struct view_style *style;
	const char *dot, *from, *times, *bold, *dim, *plain;
};

static inline const char *escaped(const char *text, char buf[NAME_SZ])
{
	return text__escape(text, strlen(text), buf, NAME_SZ);
}

/* A page in this style; the caller sets what it shows. */
static inline struct page page__begin(FILE *out, const struct view_style *style)
{
	return (struct page){
		.out = out,
		.style = style,
		.dot = style->utf8 ? "·" : "|",
		.from = style->utf8 ? " ← " : " <- ",
		.times = style->utf8 ? "×" : "x",
		.bold = style->colour ? "\033[1m" : "",
		.dim = style->colour ? "\033[2m" : "",
		.plain = style->colour ? "\033[0m" : "",
	};
}

static inline const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/*
 * A thread's stack in one line: the program's own part, above frames[0..api] which are the lock library's.
 * complete: it reaches to the thread's start.
 */
void page__print_stack(const struct page *p, const struct sym_frame *frames, size_t cnt, int api,
		       bool complete);
/* What print() prints of `what`, malloc'ed; NULL: out of memory. */
char *page__drawn(const struct page *p, void (*print)(const struct page *p, const void *what),
		  const void *what);
/* Every frame, one a line. */
void page__print_whole_stack(const struct page *p, const struct sym_frame *frames, size_t cnt,
			     bool complete);
/* stacks_words.c: parts of sentences about a thread or goroutine. */
void page__print_time(const struct page *p, uint64_t ns); /* "?" for 0 */
void page__print_since(const struct page *p, const struct blocked_thread *t);
void page__print_who(const struct page *p, const struct blocked_thread *t);
void page__print_process(const struct page *p, const struct snap_process *process);
void page__print_waited_lock(const struct page *p, const struct waited_lock *lock);
void page__print_held_by(const struct page *p, const struct waited_lock *lock);
void page__print_behind(const struct page *p, const struct blocked_thread *t);
void page__print_wait(const struct page *p, const struct blocked_thread *t);
void page__print_doing(const struct page *p, const struct blocked_thread *t);
void page__print_thread_stack(const struct page *p, const struct blocked_thread *t);
/* stacks_findings.c: what is wrong, and who keeps others waiting. */
void page__print_deadlock(const struct page *p, const struct deadlock *d);
void page__print_orphan(const struct page *p, const struct waited_lock *lock);
void page__print_stuck(const struct page *p, const struct stuck_wait *s);
void page__print_chains(const struct page *p);

/* Where a goroutine was created, on a line of its own after so many blanks; nothing for a thread. */
void page__print_created(const struct page *p, const struct blocked_thread *t, int indent);
/* " on THREAD", which runs it or is in its system call, and the other way around. */
void page__print_running_on(const struct page *p, const struct blocked_thread *t);
/* For how long at least and at most. */
void page__bounds(const struct page *p, uint64_t at_least_ns, uint64_t at_most_ns, char *buf,
		  size_t sz);
void page__print_bounds(const struct page *p, const struct blocked_thread *t);
/* Go programs whose goroutines could not be read, and with -v how well those of others could. */
void page__print_go(const struct page *p);
/* Totals and gaps; verbose: how good the stacks are. */
void page__print_head(const struct page *p);
/* Where the waits of a row happened: the longest of them, or all if verbose. */
void page__print_sites(const struct page *p, const struct lock_row *row);
/* What holders of a row's locks did meanwhile, and where all of a process's waits end (locks_blame.c). */
void page__print_blame(const struct page *p, const struct lock_row *row);
void page__print_roots(const struct page *p);
/* What a holder whose stack is known does. */
void page__print_holder(const struct page *p, const struct lock_holder *h);
/* Where goroutines let others go on. */
void page__print_go_releaser(const struct page *p, const struct lock_holder *h);

#endif
