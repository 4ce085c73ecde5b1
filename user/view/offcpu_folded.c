// SPDX-License-Identifier: GPL-2.0-only
/* Time off the CPU for flame graphs. */
#include <string.h>

#include "user/util/text.h"
#include "user/view/offcpu.h"

#define NAME_SZ 512

/* A frame's name: a semicolon would be the next frame, a line feed the next line. */
static void print_name(FILE *out, const char *name)
{
	char text[NAME_SZ];

	text__escape(name, strlen(name), text, sizeof(text));
	for (char *c = text; *c; c++)
		fputc(*c == ';' ? ':' : *c, out);
}

static void print_frame(FILE *out, const struct sym_frame *f)
{
	char text[NAME_SZ];

	fputc(';', out);
	if (*f->function) {
		print_name(out, f->function);
	} else if (*f->module) {
		snprintf(text, sizeof(text), "%s+0x%llx", f->module, (unsigned long long)f->offset);
		print_name(out, text);
	} else {
		fprintf(out, "[0x%llx]", (unsigned long long)f->offset);
	}
	if (f->inlined)
		fputs("_[i]", out);
}

static void print_kernel_name(FILE *out, const char *name)
{
	fputc(';', out);
	print_name(out, name);
	fputs("_[k]", out);
}

static void print_place(FILE *out, const struct off_place *p)
{
	print_name(out, p->comm);
	if (p->tid)
		fprintf(out, "/%u", p->tid);
	if (!(p->stack_flags & HU_STACK_COMPLETE) && p->frame_cnt)
		fputs(";[incomplete]", out);
	for (size_t i = p->frame_cnt; i; i--)
		print_frame(out, &p->frames[i - 1]);
	for (size_t i = p->kernel.cnt; i; i--)
		print_kernel_name(out, p->kernel.name[i - 1]);
	/* Reasons that no frame tells. */
	if (!p->frame_cnt || strcmp(p->category, "preempted") == 0 ||
	    strcmp(p->category, "throttled") == 0) {
		fputs(";[", out);
		print_name(out, p->reason);
		fputc(']', out);
	}
}

static void print_waker(FILE *out, const struct off_waker_row *w)
{
	fputs(";--", out);
	for (size_t i = 0; i < w->kernel.cnt; i++)
		print_kernel_name(out, w->kernel.name[i]);
	for (size_t i = 0; i < w->frame_cnt; i++)
		print_frame(out, &w->frames[i]);
	fputc(';', out);
	if (w->tid)
		print_name(out, *w->process ? w->process : w->comm);
	else
		fprintf(out, "[%s]", off_context__name(w->context));
}

static void end_line(FILE *out, uint64_t us)
{
	fprintf(out, " %llu\n", (unsigned long long)us);
}

/*
 * A place's microseconds, divided over its wakers; what is left (run queue without a waking, waits that go on) stands
 * without one. The lines of a place add up to it.
 */
static void print_lines(FILE *out, const struct off_place *p)
{
	uint64_t ns = p->stats.blocked_ns + p->stats.runq_ns, left_us = ns / 1000;

	for (size_t i = 0; i < p->waker_cnt && p->stats.blocked_ns; i++) {
		const struct off_waker_row *w = &p->waker[i];
		uint64_t us = (uint64_t)((double)w->ns / p->stats.blocked_ns * ns / 1000);

		us = us < left_us ? us : left_us;
		if (!us)
			continue;
		print_place(out, p);
		print_waker(out, w);
		end_line(out, us);
		left_us -= us;
	}
	if (!left_us)
		return;
	print_place(out, p);
	end_line(out, left_us);
}

int view__offcpu_folded(FILE *out, const struct off_report *r)
{
	for (size_t i = 0; i < r->row_cnt; i++)
		print_lines(out, r->row[i].place);
	return view__flush(out);
}
