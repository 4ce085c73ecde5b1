// SPDX-License-Identifier: GPL-2.0-only
/* Who waits for whom, as a graph for Graphviz: threads are boxes, locks ellipses. */
#include <errno.h>

#include "user/view/page.h"

/* Inside a quoted string of the dot language only the quote and the backslash mean something. */
static void print_quoted(FILE *out, const char *text)
{
	char buf[NAME_SZ];

	for (const char *c = escaped(text, buf); *c; c++) {
		if (*c == '"' || *c == '\\')
			fputc('\\', out);
		fputc(*c, out);
	}
}

static void print_node(FILE *out, const struct blocked_thread *t)
{
	if (t->goroutine)
		fprintf(out, "g%u_%llu", t->thread->rec.tgid,
			(unsigned long long)t->goroutine->goid);
	else
		fprintf(out, "t%u", t->thread->rec.tid);
}

static void print_thread(FILE *out, const struct blocked_thread *t)
{
	fputs("  ", out);
	print_node(out, t);
	fprintf(out, " [shape=box%s,label=\"", t->holder ? "" : ",style=bold");
	if (t->goroutine) {
		fprintf(out, "goroutine %llu", (unsigned long long)t->goroutine->goid);
	} else {
		print_quoted(out, t->thread->rec.comm);
		fprintf(out, " (%u)", t->thread->rec.tid);
	}
	if (t->state == BLOCKED_RUNNING) {
		fputs("\\nruns", out);
	} else if (!t->lock && *t->call.call) {
		fputs("\\n", out);
		print_quoted(out, t->call.call);
		fputc(' ', out);
		print_quoted(out, t->call.what);
	}
	fputs("\"];\n", out);
}

static void print_lock(FILE *out, size_t n, const struct waited_lock *lock)
{
	fprintf(out, "  l%zu [label=\"%s", n,
		*lock->label ? lock->label : lock_kind__name(lock->kind));
	if (*lock->name || lock->address)
		fputc(' ', out);
	if (*lock->name)
		print_quoted(out, lock->name);
	else if (lock->address)
		fprintf(out, "0x%llx", (unsigned long long)lock->address);
	fprintf(out, "\"%s];\n", lock->held_by == HELD_GONE ? ",color=red" : "");
	if (lock->owner && lock->held_by != HELD_UNKNOWN && lock->held_by != HELD_NOBODY) {
		fprintf(out, "  l%zu -> ", n);
		print_node(out, lock->owner);
		fputs(lock->held_by == HELD_PROBABLE ? " [style=dashed];\n" : ";\n", out);
	} else if (lock->held_by == HELD_GONE) {
		fprintf(out,
			"  l%zu -> gone%u;\n  gone%u [shape=box,color=red,label=\"%u, gone\"];\n",
			n, lock->owner_word, lock->owner_word, lock->owner_word);
	}
}

/* Waits for work say nothing about who keeps whom waiting, unless it is known who is to bring it. */
static bool is_shown(const struct waited_lock *lock)
{
	return !lock->idle || lock->owner;
}

int view__stacks_dot(FILE *out, const struct stacks_report *r)
{
	fputs("digraph holdup {\n  rankdir=LR;\n", out);
	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		if (t->behind || (t->lock && is_shown(t->lock)))
			print_thread(out, t);
	}
	for (size_t n = 0; n < r->lock_cnt; n++) {
		const struct waited_lock *lock = r->lock[n];

		if (!is_shown(lock))
			continue;
		print_lock(out, n, lock);
		for (size_t i = 0; i < r->thread_cnt; i++)
			if (r->thread[i].lock == lock) {
				fputs("  ", out);
				print_node(out, &r->thread[i]);
				fprintf(out, " -> l%zu;\n", n);
			}
	}
	fputs("}\n", out);
	return ferror(out) ? -EIO : 0;
}
