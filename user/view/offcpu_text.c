// SPDX-License-Identifier: GPL-2.0-only
/* `holdup offcpu` for people: totals, a row for each of what was asked for, then where and why. */
#include <stdlib.h>

#include "user/view/page.h"

#include "user/view/offcpu.h"

#define DETAILS		 8 /* rows that are shown in detail without -v */
#define PLACES_SHOWN	 3
#define PLACES_ALIKE_MAX 64 /* the longest of a row; more than these are not compared */
#define WAKERS_SHOWN	 3
#define KERNEL_SHOWN	 5

static uint64_t total(const struct off_stats *s)
{
	return s->blocked_ns + s->runq_ns;
}

/* ---- the first line */

static void print_cnt(const struct page *p, uint64_t cnt, const char *what)
{
	char n[TEXT_COUNT_SZ];

	if (cnt)
		fprintf(p->out, " %s %s %s%s", p->dot, text__count(cnt, n), what, plural(cnt));
}

static void print_gaps(const struct page *p, const struct off_coverage *c)
{
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];

	if (c->lost)
		fprintf(p->out, " %s %s LOST: at least %s", p->dot, text__count(c->lost, n),
			text__duration(c->lost_ns, t));
	if (c->summarized)
		fprintf(p->out, " %s %s waits only by process (%s)", p->dot,
			text__count(c->summarized, n), text__duration(c->summarized_ns, t));
	print_cnt(p, c->records_lost, "lost process record");
	print_cnt(p, c->stacks_lost, "lost user stack");
	print_cnt(p, c->kernel_stacks_lost, "lost kernel stack");
	print_cnt(p, c->wakers_lost, "lost waker sample");
	if (c->stacks_incomplete && c->intervals)
		fprintf(p->out, " %s %.*f %% of the stacks incomplete", p->dot,
			c->stacks_incomplete * 1000 < c->intervals ? 3 : 1,
			100.0 * c->stacks_incomplete / c->intervals);
	if (c->processes_unnamed)
		fprintf(p->out, " %s %s process%s without names", p->dot,
			text__count(c->processes_unnamed, n),
			c->processes_unnamed == 1 ? "" : "es");
	if (c->modules_full)
		fprintf(p->out,
			" %s %s file%s without room for unwind rows cut stacks (--unwind-mem)",
			p->dot, text__count(c->modules_full, n), plural(c->modules_full));
	if (c->maps_dropped)
		fprintf(p->out, " %s %s mapping%s of code beyond %d a process cut stacks", p->dot,
			text__count(c->maps_dropped, n), plural(c->maps_dropped), HU_MAX_MAPS);
	if (c->inferred && (p->style->verbose || c->inferred * 100 >= c->intervals))
		fprintf(p->out, " %s end of %s computed", p->dot, text__count(c->inferred, n));
	if (c->below_min)
		fprintf(p->out, " %s %s shorter ones left out (%s)", p->dot,
			text__count(c->below_min, n), text__duration(c->below_min_ns, t));
	if (!c->lost && !c->summarized && !c->records_lost && !c->stacks_lost)
		fprintf(p->out, " %s nothing lost", p->dot);
}

static void print_head(const struct page *p, const struct off_report *r)
{
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s%s%s", p->bold, text__duration(r->interval_ns, t), p->plain);
	fprintf(p->out, " %s %s process%s, ", p->dot, text__count(r->processes, n),
		r->processes == 1 ? "" : "es");
	fprintf(p->out, "%s thread%s", text__count(r->threads, n), plural(r->threads));
	fprintf(p->out, " %s %s off the CPU in", p->dot,
		text__duration(r->blocked_ns + r->runq_ns, t));
	fprintf(p->out, " %s wait%s:", text__count(r->waits, n), plural(r->waits));
	fprintf(p->out, " %s blocked,", text__duration(r->blocked_ns, t));
	fprintf(p->out, " %s waiting for a CPU", text__duration(r->runq_ns, t));
	if (r->throttled_ns)
		fprintf(p->out, " (%s throttled)", text__duration(r->throttled_ns, t));
	fprintf(p->out, " %s idle %s", p->dot, text__duration(r->idle_ns, t));
	if (!r->idle && r->idle_waits)
		fputs(" (--idle)", p->out);
	print_gaps(p, &r->coverage);
	fputc('\n', p->out);
}

/* ---- the table */

static void print_process(const struct page *p, const struct off_row *row)
{
	const struct agg_process *process = row->place->process;
	char name[NAME_SZ];

	if (!process) {
		fputs("kernel threads", p->out);
		return;
	}
	fprintf(p->out, "%s (%u)", escaped(process->comm, name), process->tgid);
	if (row->processes > 1)
		fprintf(p->out, " and %zu more", row->processes - 1);
}

static void print_waker_name(const struct page *p, const struct off_waker_row *w)
{
	char name[NAME_SZ];

	if (!w)
		fputs("nobody: preempted, or not over", p->out);
	else if (!w->tid)
		fputs(w->context == OFF_BY_TIMER     ? "a timer"
		      : w->context == OFF_BY_SOFTIRQ ? "a soft interrupt"
						     : "an interrupt",
		      p->out);
	else
		fprintf(p->out, "%s (%u)%s", escaped(w->comm, name), w->tid,
			w->context == OFF_BY_SOFTIRQ ? " in a soft interrupt" : "");
}

static const char *title(enum off_by by)
{
	static const char *const titles[] = {
		[OFF_BY_STACK] = "WHY                              PROCESS",
		[OFF_BY_REASON] = "WHY                              PROCESS",
		[OFF_BY_PROCESS] = "PROCESS                   MOST OF IT",
		[OFF_BY_THREAD] = "THREAD                    PROCESS                   MOST OF IT",
		[OFF_BY_WAKER] = "ENDED BY                  MOST OF IT",
	};

	return titles[by];
}

/* Text of another print function, padded to so many columns. */
static void print_padded(const struct page *p, const char *text, size_t columns)
{
	size_t used = text__columns(text);

	fputs(text, p->out);
	for (; used < columns; used++)
		fputc(' ', p->out);
}

static void draw_process(const struct page *p, const void *row)
{
	print_process(p, row);
}

static void draw_waker(const struct page *p, const void *row)
{
	print_waker_name(p, ((const struct off_row *)row)->by);
}

static void print_column(const struct page *p,
			 void (*print)(const struct page *p, const void *what), const void *what)
{
	char *text = page__drawn(p, print, what);

	print_padded(p, text ? text : "", 24);
	fputs("  ", p->out);
	free(text);
}

static void print_what(const struct page *p, const struct off_row *row, enum off_by by)
{
	char name[NAME_SZ], line[NAME_SZ];
	const char *why = by == OFF_BY_REASON ? row->place->general : row->place->reason;

	if (by == OFF_BY_WAKER)
		print_column(p, draw_waker, row);
	if (by == OFF_BY_THREAD) {
		snprintf(line, sizeof(line), "%s (%u)", escaped(row->place->comm, name),
			 row->place->tid);
		print_padded(p, line, 24);
		fputs("  ", p->out);
	}
	if (by == OFF_BY_PROCESS || by == OFF_BY_THREAD)
		print_column(p, draw_process, row);
	if (by != OFF_BY_STACK && by != OFF_BY_REASON) {
		fputs(escaped(row->places[0]->reason, name), p->out);
		return;
	}
	print_padded(p, escaped(why, name), 31);
	fputs("  ", p->out);
	print_process(p, row);
}

static void print_row(const struct page *p, const struct off_report *r, const struct off_row *row)
{
	const struct off_stats *s = &row->stats;
	uint64_t all = 0, ns = total(s), cnt = s->waits + s->ongoing;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	all = r->blocked_ns + r->runq_ns + (r->idle ? r->idle_ns : 0);
	fprintf(p->out, "  %9s %3.0f%%", text__duration(ns, t), all ? 100.0 * ns / all : 0);
	fprintf(p->out, " %9s", text__count(cnt, n));
	fprintf(p->out, " %8s", text__duration(s->blocked_ns, t));
	fprintf(p->out, " %8s", text__duration(s->runq_ns, t));
	fprintf(p->out, " %8s", r->by == OFF_BY_WAKER ? "-" : text__duration(s->p50_ns, t));
	fprintf(p->out, " %8s", r->by == OFF_BY_WAKER ? "-" : text__duration(s->p99_ns, t));
	fprintf(p->out, " %8s  ", r->by == OFF_BY_WAKER ? "-" : text__duration(s->max_ns, t));
	print_what(p, row, r->by);
	fputc('\n', p->out);
}

/* ---- details */

static void print_kernel(const struct page *p, const struct off_kernel *k, size_t most)
{
	char name[NAME_SZ];
	size_t shown = 0, first = 0;

	/* Every kernel stack begins with the scheduler. */
	while (!p->style->verbose && first + 1 < k->cnt &&
	       (!strncmp(k->name[first], "__schedule", 10) ||
		!strncmp(k->name[first], "schedule", 8) || !strcmp(k->name[first], "io_schedule")))
		first++;
	for (size_t i = first; i < k->cnt; i++) {
		if (shown++ == most && !p->style->verbose) {
			fprintf(p->out, "%s%zu more", p->from, k->cnt - i);
			return;
		}
		fprintf(p->out, "%s%s", i > first ? p->from : "", escaped(k->name[i], name));
	}
}

/* Wakers that differ in what is not shown are one. */
static bool looks_the_same(const struct page *p, const struct off_waker_row *a,
			   const struct off_waker_row *b)
{
	if (p->style->verbose || a->context != b->context || a->tid != b->tid ||
	    a->frame_cnt != b->frame_cnt)
		return a == b;
	for (size_t i = 0; i < a->frame_cnt; i++)
		if (strcmp(a->frames[i].raw, b->frames[i].raw) ||
		    strcmp(a->frames[i].module, b->frames[i].module))
			return false;
	return true;
}

static void print_waker(const struct page *p, const struct off_waker_row *w, double share,
			bool first)
{
	fprintf(p->out, "   %-12s ", first ? "woken by" : "");
	print_waker_name(p, w);
	fprintf(p->out, " %s%.0f %%%s", w->sampled ? "about " : "", 100 * share,
		w->frame_cnt ? " at " : "");
	if (w->frame_cnt)
		page__print_stack(p, w->frames, w->frame_cnt, -1,
				  w->stack_flags & HU_STACK_COMPLETE);
	fputc('\n', p->out);
	if (p->style->verbose && w->kernel.cnt) {
		fprintf(p->out, "   %-12s ", "");
		print_kernel(p, &w->kernel, KERNEL_SHOWN);
		fputc('\n', p->out);
	}
}

static void print_wakers(const struct page *p, const struct off_place *place)
{
	uint64_t all = 0, alike;
	size_t shown = 0, more = 0;

	for (size_t i = 0; i < place->waker_cnt; i++)
		all += place->waker[i].ns;
	for (size_t i = 0; i < place->waker_cnt && all; i++) {
		const struct off_waker_row *w = &place->waker[i];
		bool told = false;

		for (size_t j = 0; j < i && !told; j++)
			told = looks_the_same(p, &place->waker[j], w);
		if (told)
			continue;
		if (shown == WAKERS_SHOWN) {
			more++;
			continue;
		}
		alike = 0;
		for (size_t j = i; j < place->waker_cnt; j++)
			if (looks_the_same(p, &place->waker[j], w))
				alike += place->waker[j].ns;
		print_waker(p, w, (double)alike / all, !shown++);
	}
	if (more)
		fprintf(p->out, "   %-12s %zu more\n", "", more);
}

/* What a place looks like, without its times. */
struct look {
	char *text; /* NULL: out of memory */
	const struct off_place *place;
	uint64_t ns, waits;
};

static void draw_place(const struct page *p, const void *what)
{
	const struct off_place *place = what;

	page__print_stack(p, place->frames, place->frame_cnt, place->api,
			  place->stack_flags & HU_STACK_COMPLETE);
	fputc('\n', p->out);
	if (p->style->verbose)
		page__print_whole_stack(p, place->frames, place->frame_cnt,
					place->stack_flags & HU_STACK_COMPLETE);
	if (place->kernel.cnt) {
		fprintf(p->out, "   %-12s ", "in kernel");
		print_kernel(p, &place->kernel, KERNEL_SHOWN);
		fputc('\n', p->out);
	}
}

static void draw_named_place(const struct page *p, const void *what)
{
	char name[NAME_SZ];

	fprintf(p->out, "%s: ", escaped(((const struct off_place *)what)->reason, name));
	draw_place(p, what);
}

static int compare_looks(const void *a, const void *b)
{
	const struct look *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return strcmp(x->place->reason, y->place->reason);
}

/* The row's longest places; those that look the same, as in several processes, are one. The caller frees the texts. */
static size_t find_looks(const struct page *p, const struct off_row *row, bool named,
			 struct look ret[PLACES_ALIKE_MAX])
{
	size_t cnt = 0, n;

	for (size_t i = 0; i < row->place_cnt && i < PLACES_ALIKE_MAX; i++) {
		const struct off_place *place = row->places[i];
		char *text = page__drawn(p, named ? draw_named_place : draw_place, place);

		for (n = 0; n < cnt; n++)
			if (text && ret[n].text && !strcmp(ret[n].text, text))
				break;
		if (n == cnt)
			ret[cnt++] = (struct look){ .text = text, .place = place };
		else
			free(text);
		ret[n].ns += row->place_ns[i];
		ret[n].waits += place->stats.waits + place->stats.ongoing;
	}
	qsort(ret, cnt, sizeof(ret[0]), compare_looks);
	return cnt;
}

/* Times go at the end of the first line. */
static void print_look(const struct page *p, const struct look *look, const char *word)
{
	const char *end = look->text ? strchr(look->text, '\n') : NULL;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "   %-12s ", word);
	if (!end) {
		fputs("?\n", p->out);
		return;
	}
	fprintf(p->out, "%.*s  %s%s in", (int)(end - look->text), look->text, p->dim,
		text__duration(look->ns, t));
	fprintf(p->out, " %s%s\n", text__count(look->waits, n), p->plain);
	fputs(end + 1, p->out);
}

static void print_details(const struct page *p, const struct off_report *r,
			  const struct off_row *row, size_t number)
{
	char name[NAME_SZ], t[TEXT_DURATION_SZ];
	struct look look[PLACES_ALIKE_MAX];
	bool one = r->by == OFF_BY_STACK;
	size_t cnt, most;

	fprintf(p->out, "\n%s%-4zu%s", p->bold, number, p->plain);
	if (r->by == OFF_BY_WAKER)
		print_waker_name(p, row->by);
	else if (r->by == OFF_BY_PROCESS || r->by == OFF_BY_THREAD)
		print_process(p, row);
	else
		fputs(escaped(one ? row->place->reason : row->place->general, name), p->out);
	if (one) {
		fprintf(p->out, " %s state %c%s", p->dot, row->place->state,
			row->place->iowait ? " (I/O)" : "");
		fprintf(p->out, " %s longest %s", p->dot, text__duration(row->stats.max_ns, t));
		fprintf(p->out, " of thread %u", row->stats.max_tid);
		if (row->stats.ongoing)
			fprintf(p->out, " %s %llu not over", p->dot,
				(unsigned long long)row->stats.ongoing);
	}
	fputc('\n', p->out);
	cnt = find_looks(p, row, !one, look);
	most = p->style->verbose ? cnt : PLACES_SHOWN;
	for (size_t i = 0; i < cnt; i++) {
		if (i < most) {
			print_look(p, &look[i], i ? "" : "at");
			if (r->by != OFF_BY_WAKER)
				print_wakers(p, look[i].place);
		}
		free(look[i].text);
	}
	if (cnt > most)
		fprintf(p->out, "   %-12s %zu more (-v)\n", "", cnt - most);
}

int view__offcpu_text(FILE *out, const struct off_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	size_t details = style->verbose ? r->row_cnt : DETAILS;

	print_head(&p, r);
	if (!r->row_cnt)
		return view__flush(out);
	fprintf(out, "\n  %9s %4s %9s %8s %8s %8s %8s %8s  %s\n", "TIME", "%", "WAITS", "BLOCKED",
		"RUNQ", "P50", "P99", "MAX", title(r->by));
	for (size_t i = 0; i < r->row_cnt; i++)
		print_row(&p, r, &r->row[i]);
	if (r->rows > r->row_cnt)
		fprintf(out, "%9s %llu more (-n)\n", "",
			(unsigned long long)(r->rows - r->row_cnt));
	for (size_t i = 0; i < r->row_cnt && i < details; i++)
		print_details(&p, r, &r->row[i], i + 1);
	return view__flush(out);
}
