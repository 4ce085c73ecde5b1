// SPDX-License-Identifier: GPL-2.0-only
/* `holdup threads` for people: one line of totals and gaps, a table, then who creates threads where. */
#include <inttypes.h>
#include <string.h>

#include "user/model/threads.h"
#include "user/view/page.h"

#define DETAILED_ROWS 5
#define SITES_SHOWN   5

static void print_count(const struct page *p, uint64_t n, const char *what)
{
	char text[TEXT_COUNT_SZ];

	fprintf(p->out, " %s %s %s", p->dot, text__count(n, text), what);
}

static void print_gaps(const struct page *p, const struct threads_report *r)
{
	const struct threads_coverage *c = &r->coverage;
	char n[TEXT_COUNT_SZ];

	if (c->lost)
		print_count(p, c->lost, "births and deaths LOST");
	if (c->summarized)
		print_count(p, c->summarized, "births and deaths only counted");
	if (c->calls_lost)
		print_count(p, c->calls_lost, "joins and the like lost");
	if (c->records_lost)
		print_count(p, c->records_lost, "process records lost");
	if (c->processes_forgotten)
		print_count(p, c->processes_forgotten, "ended processes left out");
	if (c->stacks_lost)
		print_count(p, c->stacks_lost, "births without a stack");
	if (c->stacks_incomplete * 1000 >= r->counts.created && c->stacks_incomplete)
		fprintf(p->out, " %s %s birth%s with an incomplete stack", p->dot,
			text__count(c->stacks_incomplete, n), plural(c->stacks_incomplete));
	if (c->unnamed)
		fprintf(p->out, " %s %s process%s without names (gone too soon or unreadable)",
			p->dot, text__count(c->unnamed, n), c->unnamed == 1 ? "" : "es");
	if (c->unprobed)
		fprintf(p->out, " %s joins not seen in %s process%s", p->dot,
			text__count(c->unprobed, n), c->unprobed == 1 ? "" : "es");
	if (c->probes_failed)
		fprintf(p->out, " %s %s probe%s refused (%s)", p->dot,
			text__count(c->probes_failed, n), plural(c->probes_failed),
			strerror(-c->probes_err));
	if (!c->lost && !c->summarized && !c->calls_lost && !c->records_lost && !c->stacks_lost &&
	    !c->processes_forgotten)
		fprintf(p->out, " %s nothing lost", p->dot);
}

/* "(+3)" */
static void print_change(const struct page *p, const struct threads_report *r, int64_t change)
{
	if (r->live_view && change)
		fprintf(p->out, " (%+" PRId64 ")", change);
}

static void print_head(const struct page *p, const struct threads_report *r)
{
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s%s%s", p->bold, text__duration(r->interval_ns, t), p->plain);
	fprintf(p->out, " %s %s process%s with threads", p->dot, text__count(r->processes, n),
		r->processes == 1 ? "" : "es");
	print_count(p, r->counts.created, "born");
	print_count(p, r->counts.exited, "died");
	print_count(p, r->counts.live, "live");
	print_change(p, r, r->counts.live_change);
	print_count(p, r->counts.unjoined, "ended but not joined");
	print_change(p, r, r->counts.unjoined_change);
	print_gaps(p, r);
	fputc('\n', p->out);
}

/* ---- the table */

static double rate(const struct threads_report *r, const struct threads_counts *c)
{
	return r->interval_ns ? c->created * 1e9 / r->interval_ns : 0;
}

static void print_row(const struct page *p, const struct threads_report *r,
		      const struct threads_process *row)
{
	const struct threads_counts *c = &row->counts;
	char n[TEXT_COUNT_SZ], name[NAME_SZ];
	double per_second = rate(r, c);

	fprintf(p->out, "%s%8s%s", p->bold, text__count(c->live, n), p->plain);
	if (r->live_view)
		fprintf(p->out, " %+7" PRId64, c->live_change);
	fprintf(p->out, " %8s", text__count(c->created, n));
	fprintf(p->out, " %8s", text__count(c->exited, n));
	fprintf(p->out, " %8s",
		row->joins_known || c->unjoined ? text__count(c->unjoined, n) : "-");
	fprintf(p->out, " %8.*f", per_second && per_second < 10 ? 1 : 0, per_second);
	fprintf(p->out, " %7s", text__count(c->peak, n));
	fprintf(p->out, "  %s (%u)", escaped(row->comm, name), row->pid);
	if (row->over && row->by_exec)
		fprintf(p->out, ", became another program");
	else if (row->over && (row->exit_code & 0x7f))
		fprintf(p->out, ", killed by signal %d", row->exit_code & 0x7f);
	else if (row->over)
		fprintf(p->out, ", exited with %d", row->exit_code >> 8 & 0xff);
	else if (row->first_ended)
		fprintf(p->out, ", its first thread has ended");
	fputc('\n', p->out);
}

static void print_table(const struct page *p, const struct threads_report *r)
{
	fprintf(p->out, "\n%s%8s%s %8s %8s %8s %8s %7s  PROCESS%s\n", p->dim, "LIVE",
		r->live_view ? "  CHANGE" : "", "BORN", "DIED", "UNJOINED", "BORN/s", "PEAK",
		p->plain);
	for (size_t i = 0; i < r->row_cnt; i++)
		print_row(p, r, &r->row[i]);
	if (r->processes > r->row_cnt)
		fprintf(p->out, "%8s %" PRIu64 " more (-n)\n", "", r->processes - r->row_cnt);
}

/* ---- details */

static void print_start(const struct page *p, const struct threads_site *s)
{
	char name[NAME_SZ];
	const char *slash;

	if (!s->has_start || (!*s->start.function && !*s->start.module))
		return;
	if (*s->start.function)
		fprintf(p->out, " %s runs %s", p->dot, escaped(s->start.function, name));
	else
		fprintf(p->out, " %s runs %s+0x%" PRIx64, p->dot, escaped(s->start.module, name),
			s->start.offset);
	if (*s->start.file) {
		slash = strrchr(s->start.file, '/');
		fprintf(p->out, " %s%s:%d%s", p->dim,
			escaped(slash ? slash + 1 : s->start.file, name), s->start.line, p->plain);
	}
}

static void print_where(const struct page *p, const struct threads_site *s)
{
	fprintf(p->out, "   %-12s ", s->before ? "before" : s->beyond ? "elsewhere" : "created at");
	if (s->before)
		fputs("threads that are older than this measurement", p->out);
	else if (s->beyond)
		fputs("places beyond what is kept, or lost", p->out);
	else
		page__print_stack(p, s->frames, s->frame_cnt, s->api,
				  s->stack_flags & HU_STACK_COMPLETE);
	print_start(p, s);
	fputc('\n', p->out);
	if (p->style->verbose)
		page__print_whole_stack(p, s->frames, s->frame_cnt,
					s->stack_flags & HU_STACK_COMPLETE);
}

static void print_site_counts(const struct page *p, const struct threads_report *r,
			      const struct threads_site *s)
{
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];

	fprintf(p->out, "   %-12s %s live", "", text__count(s->counts.live, n));
	print_change(p, r, s->counts.live_change);
	print_count(p, s->counts.created, "born");
	print_count(p, s->counts.exited, "died");
	if (s->counts.peak > s->counts.live)
		fprintf(p->out, " %s at most %s at once", p->dot, text__count(s->counts.peak, n));
	if (s->counts.unjoined) {
		fprintf(p->out, " %s %s%s ended but not joined%s", p->dot, p->bold,
			text__count(s->counts.unjoined, n), p->plain);
		print_change(p, r, s->counts.unjoined_change);
		if (s->oldest_unjoined_ns)
			fprintf(p->out, ", for up to %s", text__duration(s->oldest_unjoined_ns, t));
	}
	fputc('\n', p->out);
}

/* What a time is made of; nothing where it is too short to say. */
static void print_shares(const struct page *p, uint64_t cpu_ns, uint64_t blocked_ns,
			 uint64_t runq_ns)
{
	uint64_t all = cpu_ns + blocked_ns + runq_ns;

	if (all)
		fprintf(p->out, " %s blocked %.0f %%, running %.0f %%, waiting for a CPU %.0f %%",
			p->dot, 100.0 * blocked_ns / all, 100.0 * cpu_ns / all,
			100.0 * runq_ns / all);
}

static void print_live(const struct page *p, const struct threads_site *s)
{
	char t[TEXT_DURATION_SZ];

	if (!s->oldest_ns)
		return;
	fprintf(p->out, "   %-12s age", "live");
	if (s->counts.live == 1) {
		fprintf(p->out, " %s", text__duration(s->oldest_ns, t));
	} else {
		fprintf(p->out, " %s", text__duration(s->youngest_ns, t));
		fprintf(p->out, " to %s", text__duration(s->oldest_ns, t));
		fprintf(p->out, ", median %s", text__duration(s->median_ns, t));
	}
	fprintf(p->out, " %s CPU time %s", p->dot, text__duration(s->live_cpu_ns, t));
	fprintf(p->out, ", blocked %s", text__duration(s->live_blocked_ns, t));
	if (s->ran_ago_ns != UINT64_MAX)
		fprintf(p->out, " %s last ran %s ago", p->dot, text__duration(s->ran_ago_ns, t));
	fputc('\n', p->out);
}

static void print_ended(const struct page *p, const struct threads_site *s)
{
	const struct threads_counts *c = &s->counts;
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];
	uint64_t busy_ns = c->cpu_ns + c->runq_ns;
	const char *sep = "";

	if (!c->exited)
		return;
	fprintf(p->out, "   %-12s ", "ended");
	for (int i = 0; i < LT_END_CNT; i++) {
		if (!c->ended[i])
			continue;
		fprintf(p->out, "%s%s %s", sep, text__count(c->ended[i], n), lt_end__name(i));
		sep = ", ";
	}
	if (c->joined)
		print_count(p, c->joined, "joined");
	if (c->detached)
		print_count(p, c->detached, "detached");
	if (c->age_ns) {
		fprintf(p->out, " %s lived %s", p->dot, text__duration(c->age_ns / c->exited, t));
		fprintf(p->out, " each, at most %s", text__duration(c->age_max_ns, t));
		print_shares(p, c->cpu_ns, c->age_ns > busy_ns ? c->age_ns - busy_ns : 0,
			     c->runq_ns);
	}
	fputc('\n', p->out);
}

static void print_process(const struct page *p, const struct threads_report *r, size_t i)
{
	const struct threads_process *row = &r->row[i];
	size_t shown = p->style->verbose ? row->site_cnt : SITES_SHOWN;
	char name[NAME_SZ];

	if (!row->site_cnt)
		return;
	fprintf(p->out, "\n%-3zu%s%s (%u)%s", i + 1, p->bold, escaped(row->comm, name), row->pid,
		p->plain);
	if (!row->joins_known)
		fprintf(p->out,
			" %s which threads were joined is not known: no thread library "
			"with symbols, or none was called",
			p->dot);
	fputc('\n', p->out);
	for (size_t k = 0; k < row->site_cnt && k < shown; k++) {
		const struct threads_site *s = &row->sites[k];

		print_where(p, s);
		print_site_counts(p, r, s);
		print_live(p, s);
		print_ended(p, s);
	}
	if (row->site_cnt > shown)
		fprintf(p->out, "   %-12s %zu more place%s (-v)\n", "", row->site_cnt - shown,
			plural(row->site_cnt - shown));
}

static void print_golang(const struct page *p, const struct threads_golang *g)
{
	char name[NAME_SZ];

	fprintf(p->out, "\n%sGO  %s (%u)%s ", p->bold, escaped(g->comm, name), g->pid, p->plain);
	if (g->now)
		view__go_sched(p->out, g->before, g->now, g->version, p->style);
	else
		fprintf(p->out, "%s\n", g->why);
}

int view__threads_text(FILE *out, const struct threads_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	size_t details = style->verbose ? r->row_cnt : DETAILED_ROWS;

	print_head(&p, r);
	if (r->row_cnt)
		print_table(&p, r);
	for (size_t i = 0; i < r->row_cnt && i < details; i++)
		print_process(&p, r, i);
	for (size_t i = 0; i < r->golang_cnt; i++)
		print_golang(&p, &r->golang[i]);
	return view__flush(out);
}
