// SPDX-License-Identifier: GPL-2.0-only
/* `holdup locks` for people: one line of totals and gaps, a table, then the first locks in detail. */
#include <string.h>

#include "user/util/text.h"
#include "user/view/page.h"

#define DETAILED_ROWS	5
#define RELEASERS_SHOWN 3

/* ---- the first line */

/* What could not be seen, in words; says so when there is nothing of the kind. */
static void print_gaps(const struct page *p)
{
	const struct locks_coverage *c = &p->r->coverage;
	uint64_t detail = p->r->waits + p->r->idle_waits;
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];

	if (c->lost)
		fprintf(p->out, " %s LOST: %s wait%s (at least %s)", p->dot,
			text__count(c->lost, n), plural(c->lost), text__duration(c->lost_ns, t));
	if (c->summarized)
		fprintf(p->out, " %s %.1f %% of the waits only as totals", p->dot,
			detail ? 100.0 * c->summarized / detail : 100);
	if (c->records_lost)
		fprintf(p->out, " %s %s process record%s lost", p->dot,
			text__count(c->records_lost, n), plural(c->records_lost));
	if (c->stacks_lost)
		fprintf(p->out, " %s %s stack%s lost", p->dot, text__count(c->stacks_lost, n),
			plural(c->stacks_lost));
	if (c->stacks_incomplete)
		fprintf(p->out, " %s %.1f %% of the stacks incomplete", p->dot,
			c->events ? 100.0 * c->stacks_incomplete / c->events : 100);
	if (c->processes_unreadable)
		fprintf(p->out, " %s %s process%s without names", p->dot,
			text__count(c->processes_unreadable, n),
			c->processes_unreadable == 1 ? "" : "es");
	if (c->holders_lost)
		fprintf(p->out, " %s %s sample%s of holders lost", p->dot,
			text__count(c->holders_lost, n), plural(c->holders_lost));
	if (c->calls_lost)
		fprintf(p->out, " %s %s futex call%s not counted", p->dot,
			text__count(c->calls_lost, n), plural(c->calls_lost));
	if (c->inferred)
		fprintf(p->out, " %s end of %s sleep%s computed", p->dot,
			text__count(c->inferred, n), plural(c->inferred));
	if (c->below_min)
		fprintf(p->out, " %s %s shorter wait%s left out (%s)", p->dot,
			text__count(c->below_min, n), plural(c->below_min),
			text__duration(c->below_min_ns, t));
	if (!c->lost && !c->summarized && !c->records_lost && !c->stacks_lost)
		fprintf(p->out, " %s nothing lost", p->dot);
}

static void print_head(const struct page *p)
{
	const struct locks_report *r = p->r;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s%s%s", p->bold, text__duration(r->interval_ns, t), p->plain);
	fprintf(p->out, " %s %s process%s", p->dot, text__count(r->processes, n),
		r->processes == 1 ? "" : "es");
	fprintf(p->out, " %s %s contended lock%s", p->dot, text__count(r->locks, n),
		plural(r->locks));
	fprintf(p->out, " %s %s waited in", p->dot, text__duration(r->wait_ns, t));
	fprintf(p->out, " %s wait%s", text__count(r->waits, n), plural(r->waits));
	if (r->ongoing)
		fprintf(p->out, " (%s not over)", text__count(r->ongoing, n));
	if (r->before)
		fprintf(p->out, " (%s begun before)", text__count(r->before, n));
	fprintf(p->out, " %s idle waits %s", p->dot, text__duration(r->idle_wait_ns, t));
	if (!r->idle && r->idle_waits)
		fputs(" (--idle)", p->out);
	if (r->unsure_wait_ns)
		fprintf(p->out, ", %s of them perhaps for locks",
			text__duration(r->unsure_wait_ns, t));
	print_gaps(p);
	fputc('\n', p->out);
}

/* ---- the table */

static const char *lock_name(const struct lock_row *row, char buf[NAME_SZ])
{
	char name[NAME_SZ - 64];

	/* Names of a runtime's own variables say little to those who use it. */
	if (row->known_as_label && *row->name && !strstr(row->name, row->label)) {
		snprintf(name, sizeof(name), "%s", row->name);
		snprintf(buf, NAME_SZ, "%s (", row->label);
		text__escape(name, strlen(name), buf + strlen(buf), NAME_SZ - 64);
		strcat(buf, ")");
		return buf;
	}
	if (*row->name)
		return escaped(row->name, buf);
	snprintf(buf, NAME_SZ, "0x%llx", (unsigned long long)row->address);
	return buf;
}

static const char *kind_name(const struct lock_row *row)
{
	return row->kind == LOCK_INVALID ? "" : lock_kind__name(row->kind);
}

static int name_width(const struct page *p, int cap)
{
	char buf[NAME_SZ];
	int width = 4;

	for (size_t i = 0; i < p->r->row_cnt; i++) {
		int w = text__columns(lock_name(&p->r->row[i], buf));

		if (w > width)
			width = w;
	}
	return width < cap ? width : cap;
}

/* Pads or cuts by columns; printf's own width counts bytes. */
static void print_padded(const struct page *p, const char *text, int width)
{
	int columns = text__columns(text), cut = 0;

	if (columns <= width) {
		fprintf(p->out, "%s%*s", text, width - columns, "");
		return;
	}
	for (columns = 0; columns < width; cut++)
		columns += (text[cut + 1] & 0xc0) != 0x80;
	/* cut is where the last column that fits begins: the mark takes its place. */
	while (cut > 0 && (text[--cut] & 0xc0) == 0x80)
		;
	fprintf(p->out, "%.*s%s", cut, text, p->style->utf8 ? "…" : "~");
}

static void print_table_head(const struct page *p, int width)
{
	fprintf(p->out, "\n%s%9s %4s %8s %8s %8s %8s %8s  ", p->dim, "WAIT", "%", "WAITS", "AVG",
		"P99", "MAX", "WAITERS");
	if (p->r->by == BY_PROCESS) {
		fprintf(p->out, "%5s  PROCESS%s\n", "LOCKS", p->plain);
		return;
	}
	fprintf(p->out, "%-9s  ", "KIND");
	print_padded(p, "LOCK", width);
	fprintf(p->out, "  PROCESS%s\n", p->plain);
}

static void print_row(const struct page *p, const struct lock_row *row, int width)
{
	const struct lock_stats *s = &row->stats;
	char a[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ], waiters[32], name[NAME_SZ];
	uint64_t all = p->r->wait_ns + (p->r->idle ? p->r->idle_wait_ns : 0);

	fprintf(p->out, "%s%9s%s", p->bold, text__duration(s->wait_ns, a), p->plain);
	fprintf(p->out, " %3.0f%%", all ? 100.0 * s->wait_ns / all : 0);
	fprintf(p->out, " %8s", text__count(s->waits, n));
	fprintf(p->out, " %8s", text__duration(s->waits ? s->wait_ns / s->waits : 0, a));
	fprintf(p->out, " %8s",
		s->summarized + s->ongoing == s->waits ? "-" : text__duration(s->p99_ns, a));
	fprintf(p->out, " %8s", text__duration(s->max_ns, a));
	if (row->waiters_max)
		snprintf(waiters, sizeof(waiters), "%u/%u", row->waiters_now, row->waiters_max);
	else
		snprintf(waiters, sizeof(waiters), "%u/-", row->waiters_now);
	fprintf(p->out, " %8s  ", waiters);
	if (p->r->by == BY_PROCESS) {
		fprintf(p->out, "%5llu  ", (unsigned long long)row->locks);
	} else {
		fprintf(p->out, "%-9s  ", kind_name(row));
		print_padded(p, lock_name(row, name), width);
		fputs("  ", p->out);
	}
	fprintf(p->out, "%s (%u)", escaped(row->process->comm, name), row->process->tgid);
	if (row->processes > 1)
		fprintf(p->out, " and %zu more", row->processes - 1);
	fputc('\n', p->out);
}

/* ---- details */

static void print_holder(const struct page *p, const struct lock_row *row,
			 const struct lock_holder *h)
{
	char name[NAME_SZ];

	fprintf(p->out, "%s%s(%u) %.0f %%", escaped(h->comm, name), *h->comm ? " " : "thread ",
		h->tid, 100.0 * h->wait_ns / row->stats.wait_ns);
}

/*
 * The thread with most of the wait time. Who ended waits by its wake has not held the lock all the while, so
 * there the next ones may be the culprit just as well.
 */
static void print_holders(const struct page *p, const struct lock_row *row)
{
	const struct lock_holder *h;
	size_t i = 0, last;

	if (row->idle || !row->stats.wait_ns)
		return;
	if (!row->holder_cnt)
		fprintf(p->out, "   %-12s unknown\n", "held by");
	while (i < row->holder_cnt && (i == 0 || p->style->verbose)) {
		h = &row->holders[i];
		last = p->style->verbose || h->owner ? i + 1 : i + RELEASERS_SHOWN;
		fprintf(p->out, "   %-12s ", h->owner ? "held by" : "released by");
		print_holder(p, row, h);
		while (++i < last && i < row->holder_cnt) {
			fprintf(p->out, " %s ", p->dot);
			print_holder(p, row, &row->holders[i]);
		}
		if (!p->style->verbose && i < row->holder_cnt)
			fprintf(p->out, " %s %zu more thread%s", p->dot, row->holder_cnt - i,
				plural(row->holder_cnt - i));
		if ((i == row->holder_cnt || !p->style->verbose) &&
		    row->holder_unknown_ns * 200 > row->stats.wait_ns)
			fprintf(p->out, " %s unknown %.0f %%", p->dot,
				100.0 * row->holder_unknown_ns / row->stats.wait_ns);
		fputc('\n', p->out);
		if (h->frame_cnt)
			page__print_holder(p, h);
	}
}

static void print_calls(const struct page *p, const struct hu_calls *c)
{
	char a[TEXT_COUNT_SZ], b[TEXT_COUNT_SZ], d[TEXT_COUNT_SZ];

	fprintf(p->out, "   %-12s %s to wait: ", "futex calls", text__count(c->waits, a));
	fprintf(p->out, "%s found the word changed, %s timed out; ", text__count(c->again, b),
		text__count(c->timedout, d));
	fprintf(p->out, "%s to wake, %s of them woke nobody\n", text__count(c->wakes, a),
		text__count(c->wakes_none, b));
}

static void print_details(const struct page *p, const struct lock_row *row, size_t number)
{
	char name[NAME_SZ], t[TEXT_DURATION_SZ];

	fprintf(p->out, "\n%-3zu%s%s%s", number, p->bold, lock_name(row, name), p->plain);
	if (row->kind != LOCK_INVALID)
		fprintf(p->out, " %s %s", p->dot, kind_name(row));
	if (*row->label && strncmp(lock_name(row, name), row->label, strlen(row->label)))
		fprintf(p->out, " %s %s", p->dot, row->label);
	if (*row->module)
		fprintf(p->out, " %s %s+0x%llx", p->dot, escaped(row->module, name),
			(unsigned long long)row->module_offset);
	else if (row->address)
		fprintf(p->out, " %s at 0x%llx", p->dot, (unsigned long long)row->address);
	else
		fprintf(p->out, " %s one or several, memory does not tell", p->dot);
	if (row->shared && row->kind != LOCK_JOIN)
		fprintf(p->out, " %s shared between processes", p->dot);
	if (row->stats.waits)
		fprintf(p->out, " %s %.1f sleeps a wait", p->dot,
			(double)row->stats.sleeps / row->stats.waits);
	fprintf(p->out, " %s %s of it waiting for a CPU\n", p->dot,
		text__duration(row->stats.runq_ns, t));
	page__print_sites(p, row);
	print_holders(p, row);
	if (row->has_calls)
		print_calls(p, &row->calls);
}

int view__locks_text(FILE *out, const struct locks_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	size_t details = style->verbose ? r->row_cnt : DETAILED_ROWS;
	int width;

	p.r = r;
	width = name_width(&p, 48);
	print_head(&p);
	if (r->row_cnt) {
		print_table_head(&p, width);
		for (size_t i = 0; i < r->row_cnt; i++)
			print_row(&p, &r->row[i], width);
		if (r->locks > r->row_cnt && r->by == BY_LOCK && !r->idle)
			fprintf(out, "%9s %llu more (-n)\n", "",
				(unsigned long long)(r->locks - r->row_cnt));
	}
	if (r->by != BY_PROCESS)
		for (size_t i = 0; i < r->row_cnt && i < details; i++)
			print_details(&p, &r->row[i], i + 1);
	return view__flush(out);
}
