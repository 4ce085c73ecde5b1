// SPDX-License-Identifier: GPL-2.0-only
/* Suspected leaks for people: what was looked at, then each suspect, the worst first. */
#include <ctype.h>
#include <errno.h>

#include "user/view/page.h"

/* ---- the first line */

static void print_missed(const struct page *p, const struct leaks_report *r)
{
	const char *before = "";

#define TELL(n, ...)                                   \
	do {                                           \
		if (n) {                               \
			fprintf(p->out, "%s", before); \
			fprintf(p->out, __VA_ARGS__);  \
			before = ", ";                 \
		}                                      \
	} while (0)
	fprintf(p->out, " %s ", p->dot);
	TELL(r->coverage.births_unknown, "births and deaths are not seen");
	TELL(r->coverage.births_lost, "%llu births or deaths lost",
	     (unsigned long long)r->coverage.births_lost);
	TELL(!r->coverage.births_unknown && r->coverage.growth_unknown, "growth not known yet "
									"(--for)");
	TELL(r->coverage.unprobed, "joins not seen in %zu process%s", r->coverage.unprobed,
	     r->coverage.unprobed == 1 ? "" : "es");
	TELL(r->coverage.not_searched, "%zu thread%s not searched for wakers",
	     r->coverage.not_searched, plural(r->coverage.not_searched));
	TELL(r->stacks->coverage.unreadable, "%llu process%s could not be read",
	     (unsigned long long)r->stacks->coverage.unreadable,
	     r->stacks->coverage.unreadable == 1 ? "" : "es");
	TELL(r->stacks->coverage.stacks_incomplete, "%llu stack%s incomplete",
	     (unsigned long long)r->stacks->coverage.stacks_incomplete,
	     plural(r->stacks->coverage.stacks_incomplete));
	TELL(r->coverage.times_unknown, "times not known");
	if (!*before)
		fputs("nothing missed", p->out);
#undef TELL
	fputc('\n', p->out);
}

static void print_head(const struct page *p, const struct leaks_report *r)
{
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s %s ", text__duration(r->took_ns, t), p->dot);
	fprintf(p->out, "%s thread%s", text__count(r->threads, n), plural(r->threads));
	if (r->goroutines)
		fprintf(p->out, " and %s goroutine%s", text__count(r->goroutines, n),
			plural(r->goroutines));
	fprintf(p->out, " of %zu process%s", r->processes, r->processes == 1 ? "" : "es");
	if (!r->coverage.births_unknown) {
		fprintf(p->out, " %s %s created", p->dot, text__count(r->born, n));
		fprintf(p->out, ", %s ended", text__count(r->ended, n));
	}
	fprintf(p->out, " %s %s%zu suspect%s%s", p->dot, r->cnt ? p->bold : "", r->cnt,
		plural(r->cnt), r->cnt ? p->plain : "");
	if (r->query->baseline)
		fprintf(p->out, " (%zu more in the baseline)", r->old);
	print_missed(p, r);
}

/* ---- suspects */

static void print_reason(const struct page *p, const struct leak_suspect *s)
{
	const char *name = leak_reason__name(s->reason);

	fputs(p->bold, p->out);
	for (; *name; name++)
		fputc(toupper((unsigned char)*name), p->out);
	fputs(p->plain, p->out);
}

static void print_title(const struct page *p, const struct leak_suspect *s)
{
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ], size[TEXT_SIZE_SZ], name[NAME_SZ];

	fputc('\n', p->out);
	print_reason(p, s);
	fprintf(p->out, "  %s %s%s of %s (%u)", text__count(s->count, n),
		s->goroutines ? "goroutine" : "thread", plural(s->count), escaped(s->comm, name),
		s->tgid);
	if (s->known)
		fprintf(p->out, ", %llu of them in the baseline", (unsigned long long)s->known);
	if (s->growth_per_min > 0)
		fprintf(p->out, " %s +%.*f a minute", p->dot, s->growth_per_min < 10,
			s->growth_per_min);
	if (s->oldest_ns)
		fprintf(p->out, " %s oldest %s", p->dot, text__duration(s->oldest_ns, t));
	if (s->stack_bytes)
		fprintf(p->out, " %s stacks hold %s", p->dot, text__size(s->stack_bytes, size));
	fputc('\n', p->out);
}

static void print_place(const struct page *p, const struct sym_frame *f)
{
	char name[NAME_SZ];
	const char *slash = strrchr(f->file, '/');

	if (*f->function)
		fputs(escaped(f->function, name), p->out);
	else
		fprintf(p->out, "%s+0x%llx", escaped(f->module, name),
			(unsigned long long)f->offset);
	if (*f->file)
		fprintf(p->out, " %s:%d", escaped(slash ? slash + 1 : f->file, name), f->line);
}

static void print_created(const struct page *p, const struct leak_suspect *s)
{
	bool has_start = *s->start.function || *s->start.module;

	if (!s->created_cnt && !has_start)
		return;
	fprintf(p->out, "   %-11s ", "created at");
	if (s->created_cnt)
		page__print_stack(p, s->created_by, s->created_cnt, s->created_api,
				  s->created_whole);
	else
		fputs("? (before holdup looked)", p->out);
	if (has_start) {
		fputs(", to run ", p->out);
		print_place(p, &s->start);
	}
	fputc('\n', p->out);
	if (p->style->verbose && s->created_cnt)
		page__print_whole_stack(p, s->created_by, s->created_cnt, s->created_whole);
}

static void print_where(const struct page *p, const struct leak_suspect *s)
{
	const struct blocked_thread *t = s->thread;

	if (!t)
		return;
	fprintf(p->out, "   %-11s ", "it");
	page__print_doing(p, t);
	if (!t->stack) {
		fputc('\n', p->out);
		return;
	}
	fprintf(p->out, "\n   %-11s ", "at");
	page__print_stack(p, t->stack->frames, t->stack->frame_cnt, t->api,
			  t->stack->stack->stack.flags & HU_STACK_COMPLETE);
	fputc('\n', p->out);
	if (p->style->verbose)
		page__print_whole_stack(p, t->stack->frames, t->stack->frame_cnt,
					t->stack->stack->stack.flags & HU_STACK_COMPLETE);
}

static void print_suspect(const struct page *p, const struct leak_suspect *s)
{
	char evidence[2 * NAME_SZ];

	print_title(p, s);
	fprintf(p->out, "   %-11s %s\n", "evidence",
		text__escape(s->evidence, strlen(s->evidence), evidence, sizeof(evidence)));
	print_created(p, s);
	print_where(p, s);
}

static void print_none(const struct page *p, const struct leaks_report *r)
{
	char n[TEXT_COUNT_SZ];

	fprintf(p->out, "\nNo %sthread is suspected", r->goroutines ? "goroutine and no " : "");
	if (r->old)
		fputs(" that the baseline has not", p->out);
	fprintf(p->out, ": looked at what %s thread%s wait%s for", text__count(r->threads, n),
		plural(r->threads), r->threads == 1 ? "s" : "");
	if (!r->coverage.births_unknown)
		fprintf(p->out, ", and at %zu place%s that create%s threads", r->sites,
			plural(r->sites), r->sites == 1 ? "s" : "");
	fputs(".\n", p->out);
}

int view__leaks_text(FILE *out, const struct leaks_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);

	print_head(&p, r);
	if (!r->cnt)
		print_none(&p, r);
	for (size_t i = 0; i < r->cnt && i < r->query->rows; i++)
		print_suspect(&p, &r->suspect[i]);
	if (r->cnt > r->query->rows)
		fprintf(out, "\n%zu more suspects (-n)\n", r->cnt - r->query->rows);
	return ferror(out) ? -EIO : 0;
}
