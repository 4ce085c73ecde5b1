// SPDX-License-Identifier: GPL-2.0-only
/* `holdup offcpu --sched` for people. */
#include "user/view/offcpu.h"
#include "user/view/page.h"

#define BAR_MAX 40
#define DETAILS 5 /* processes whose histogram is shown without -v */

static void print_head(const struct page *p, const struct sched_report *r)
{
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s%s%s", p->bold, text__duration(r->interval_ns, t), p->plain);
	fprintf(p->out, " %s %zu CPU%s", p->dot, r->cpu_cnt, plural(r->cpu_cnt));
	fprintf(p->out, " %s %s switch%s to a thread", p->dot, text__count(r->waits, n),
		r->waits == 1 ? "" : "es");
	fprintf(p->out, " %s %s waited for a CPU", p->dot, text__duration(r->runq_ns, t));
	fprintf(p->out, " (p50 %s,", text__duration(r->all.stats.p50_ns, t));
	fprintf(p->out, " p99 %s,", text__duration(r->all.stats.p99_ns, t));
	fprintf(p->out, " max %s)", text__duration(r->all.stats.max_ns, t));
	if (r->coverage.lost)
		fprintf(p->out, " %s %s LOST\n", p->dot, text__count(r->coverage.lost, n));
	else
		fprintf(p->out, " %s nothing lost\n", p->dot);
}

static void print_cpus(const struct page *p, const struct sched_report *r)
{
	if (!r->cpu_cnt) {
		fputs("\nThe length of run queues is not known: the kernel has no "
		      "CONFIG_FAIR_GROUP_SCHED.\n",
		      p->out);
		return;
	}
	fprintf(p->out, "\n  %4s %10s %6s %8s %10s   %s\n", "CPU", "MEAN LEN", "MAX", "BUSY",
		"MORE THAN 1", "threads that ran or wanted to");
	for (size_t i = 0; i < r->cpu_cnt; i++) {
		const struct sched_cpu *c = &r->cpu[i];

		fprintf(p->out, "  %4d %10.2f %6u %6.1f %% %9.1f %%   ", c->cpu, c->mean, c->max,
			100 * c->busy, 100 * c->waiting);
		for (size_t n = 0, shown = 0; n < HU_OFF_QUEUE_MAX && shown < 6; n++)
			if (c->ns[n] * 1000 > c->seen_ns)
				fprintf(p->out, "%s%zu%s: %.1f %%", shown++ ? "  " : "", n,
					n == HU_OFF_QUEUE_MAX - 1 ? "+" : "",
					100.0 * c->ns[n] / c->seen_ns);
		fputc('\n', p->out);
	}
}

static void print_name(const struct page *p, const struct sched_row *row)
{
	char name[NAME_SZ];

	if (!row->process)
		fputs("kernel threads", p->out);
	else if (row->tid)
		fprintf(p->out, "%s (%u) thread %u", escaped(row->comm, name), row->process->tgid,
			row->tid);
	else
		fprintf(p->out, "%s (%u)", escaped(row->comm, name), row->process->tgid);
}

static void print_row(const struct page *p, const struct sched_row *row)
{
	const struct off_stats *s = &row->stats;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "  %9s", text__duration(s->runq_ns, t));
	fprintf(p->out, " %9s", text__count(s->waits, n));
	fprintf(p->out, " %8s", text__duration(s->waits ? s->runq_ns / s->waits : 0, t));
	fprintf(p->out, " %8s", text__duration(s->p50_ns, t));
	fprintf(p->out, " %8s", text__duration(s->p99_ns, t));
	fprintf(p->out, " %8s  ", text__duration(s->max_ns, t));
	print_name(p, row);
	fputc('\n', p->out);
}

static void print_histogram(const struct page *p, const struct sched_row *row)
{
	uint64_t most = 1;
	size_t first = SCHED_BUCKETS, last = 0;
	char from[TEXT_DURATION_SZ], to[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	for (size_t i = 0; i < SCHED_BUCKETS; i++) {
		if (!row->bucket[i])
			continue;
		first = i < first ? i : first;
		last = i;
		most = row->bucket[i] > most ? row->bucket[i] : most;
	}
	fputc('\n', p->out);
	fputs(p->bold, p->out);
	print_name(p, row);
	fprintf(p->out, "%s\n", p->plain);
	for (size_t i = first; i <= last; i++) {
		bool open = i == SCHED_BUCKETS - 1;

		fprintf(p->out, "  %8s %s %-8s %9s%s",
			i ? text__duration(1000ULL << (i - 1), from) : "0", open ? "or" : "to",
			open ? "more" : text__duration(1000ULL << i, to),
			text__count(row->bucket[i], n),
			row->bucket[i] * BAR_MAX / most ? "  " : "");
		for (uint64_t b = 0; b < row->bucket[i] * BAR_MAX / most; b++)
			fputs(p->style->utf8 ? "▇" : "#", p->out);
		fputc('\n', p->out);
	}
}

int view__sched_text(FILE *out, const struct sched_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	size_t details = style->verbose ? r->row_cnt : DETAILS;

	print_head(&p, r);
	print_cpus(&p, r);
	if (!r->row_cnt)
		return view__flush(out);
	fprintf(out, "\n  %9s %9s %8s %8s %8s %8s  %s\n", "RUNQ", "SWITCHES", "AVG", "P50", "P99",
		"MAX", "PROCESS");
	for (size_t i = 0; i < r->row_cnt; i++)
		print_row(&p, &r->row[i]);
	if (r->rows > r->row_cnt)
		fprintf(out, "%9s %llu more (-n)\n", "",
			(unsigned long long)(r->rows - r->row_cnt));
	for (size_t i = 0; i < r->row_cnt && i < details; i++)
		print_histogram(&p, &r->row[i]);
	return view__flush(out);
}
