// SPDX-License-Identifier: GPL-2.0-only
/* `holdup locks` for people: one line of totals and gaps (locks_head.c), a table, then the first locks in detail. */
#include <string.h>

#include "user/util/text.h"
#include "user/view/cgroup.h"
#include "user/view/locks_hold.h"
#include "user/view/page.h"

#define DETAILED_ROWS	5
#define RELEASERS_SHOWN 3

/* ---- the table */

const char *page__lock_name(const struct lock_row *row, char buf[NAME_SZ])
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

static int kind_width(const struct page *p)
{
	int width = 4, w;

	for (size_t i = 0; i < p->r->row_cnt; i++) {
		w = strlen(kind_name(&p->r->row[i]));
		if (w > width)
			width = w;
	}
	return width;
}

static int name_width(const struct page *p, int cap)
{
	char buf[NAME_SZ];
	int width = 4;

	for (size_t i = 0; i < p->r->row_cnt; i++) {
		int w = text__columns(page__lock_name(&p->r->row[i], buf));

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

struct widths {
	int kind, name;
};

static void print_table_head(const struct page *p, const struct widths *w)
{
	fprintf(p->out, "\n%s%9s %4s %8s %6s %8s %8s %8s %8s  ", p->dim, "WAIT", "%", "WAITS",
		"SLEEPS", "AVG", "P99", "MAX", "WAITERS");
	if (p->r->by == BY_PROCESS) {
		fprintf(p->out, "%5s  PROCESS%s\n", "LOCKS", p->plain);
		return;
	}
	fprintf(p->out, "%-*s  ", w->kind, "KIND");
	if (p->r->by == BY_SITE)
		fprintf(p->out, "%5s  ", "LOCKS");
	print_padded(p, "LOCK", w->name);
	fprintf(p->out, "  PROCESS%s\n", p->plain);
}

/* Sleeps a wait: what is above 1 are wake-ups that did not get the lock. */
static void print_sleeps(const struct page *p, const struct lock_stats *s)
{
	char ratio[24];

	if (!s->waits) {
		fprintf(p->out, " %6s", "-");
		return;
	}
	snprintf(ratio, sizeof(ratio), "%.*f", s->sleeps < 100 * s->waits ? 1 : 0,
		 (double)s->sleeps / s->waits);
	fprintf(p->out, " %*s%s%s", 5 - (int)strlen(ratio), "", p->times, ratio);
}

/* What looks from time to time can tell: a time that is right on average, and bounds. */
static void print_sampled(const struct page *p, const struct lock_row *row)
{
	const char *least = p->style->utf8 ? "≥" : ">";
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ], cell[64];

	snprintf(cell, sizeof(cell), "%s%s", least, text__count(row->stats.waits, n));
	fprintf(p->out, " %*s%s", 8 - (int)text__columns(cell), "", cell);
	fprintf(p->out, " %6s %8s %8s", "-", "-", "-");
	snprintf(cell, sizeof(cell), "%s%s", least, text__duration(row->stats.max_ns, t));
	if (!row->stats.max_ns)
		snprintf(cell, sizeof(cell), "-");
	fprintf(p->out, " %*s%s", 8 - (int)text__columns(cell), "", cell);
}

static void print_times(const struct page *p, const struct lock_row *row)
{
	const struct lock_stats *s = &row->stats;
	uint64_t all = p->r->wait_ns + (p->r->idle ? p->r->idle_wait_ns : 0);
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ], about[TEXT_DURATION_SZ + 1];

	snprintf(about, sizeof(about), "%s%s", row->sampled ? "~" : "",
		 text__duration(s->wait_ns, t));
	fprintf(p->out, "%s%9s%s", p->bold, about, p->plain);
	fprintf(p->out, " %3.0f%%", all ? 100.0 * s->wait_ns / all : 0);
	if (row->sampled) {
		print_sampled(p, row);
		return;
	}
	fprintf(p->out, " %8s", text__count(s->waits, n));
	print_sleeps(p, s);
	fprintf(p->out, " %8s", text__duration(s->waits ? s->wait_ns / s->waits : 0, t));
	fprintf(p->out, " %8s",
		s->summarized + s->ongoing == s->waits ? "-" : text__duration(s->p99_ns, t));
	fprintf(p->out, " %8s", text__duration(s->max_ns, t));
}

static void print_row(const struct page *p, const struct lock_row *row, const struct widths *w)
{
	char waiters[32], name[NAME_SZ];

	print_times(p, row);
	if (row->waiters_max)
		snprintf(waiters, sizeof(waiters), "%u/%u", row->waiters_now, row->waiters_max);
	else
		snprintf(waiters, sizeof(waiters), "%u/-", row->waiters_now);
	fprintf(p->out, " %8s  ", waiters);
	if (p->r->by != BY_PROCESS)
		fprintf(p->out, "%-*s  ", w->kind, kind_name(row));
	if (p->r->by != BY_LOCK)
		fprintf(p->out, "%5llu  ", (unsigned long long)row->locks);
	if (p->r->by != BY_PROCESS) {
		print_padded(p, page__lock_name(row, name), w->name);
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

/* Threads that are not among those shown; one may be there twice, as an owner and by its wakes. */
static size_t count_others(const struct lock_row *row, const struct lock_holder *const *shown,
			   size_t shown_cnt)
{
	size_t others = 0, k;

	for (size_t i = 0; i < row->holder_cnt; i++) {
		uint32_t tid = row->holders[i].tid;

		for (k = 0; k < shown_cnt && shown[k]->tid != tid; k++)
			;
		if (k < shown_cnt)
			continue;
		for (k = 0; k < i && row->holders[k].tid != tid; k++)
			;
		others += k == i;
	}
	return others;
}

/*
 * The thread with most of the wait time. Who ended waits by its wake has not held the lock all the while, so
 * there the next ones may be the culprit just as well.
 */
static void print_main_holders(const struct page *p, const struct lock_row *row)
{
	const struct lock_holder *first = &row->holders[0], *shown[RELEASERS_SHOWN];
	size_t cnt = 0, most = first->owner ? 1 : RELEASERS_SHOWN, others;

	for (size_t i = 0; i < row->holder_cnt && cnt < most; i++) {
		if (row->holders[i].owner != first->owner)
			continue;
		if (cnt)
			fprintf(p->out, " %s ", p->dot);
		shown[cnt++] = &row->holders[i];
		print_holder(p, row, shown[cnt - 1]);
	}
	others = count_others(row, shown, cnt);
	if (others)
		fprintf(p->out, " %s %zu more thread%s", p->dot, others, plural(others));
}

static void print_unknown(const struct page *p, const struct lock_row *row)
{
	if (row->holder_unknown_ns * 200 > row->stats.wait_ns)
		fprintf(p->out, " %s unknown %.0f %%", p->dot,
			100.0 * row->holder_unknown_ns / row->stats.wait_ns);
}

/* Goroutines come and go: the places where they let others go on tell more. */
static void print_releasers(const struct page *p, const struct lock_row *row)
{
	size_t lines = p->style->verbose ? row->holder_cnt : RELEASERS_SHOWN;

	for (size_t i = 0; i < row->holder_cnt && i < lines; i++) {
		const struct lock_holder *h = &row->holders[i];

		fprintf(p->out, "   %-12s %.0f %% ", i ? "" : "released by",
			100.0 * h->wait_ns / row->stats.wait_ns);
		page__print_go_releaser(p, h);
	}
	if (row->holder_cnt > lines)
		fprintf(p->out, "   %-12s %zu more place%s (-v)\n", "", row->holder_cnt - lines,
			plural(row->holder_cnt - lines));
	if (row->holder_unknown_ns * 200 > row->stats.wait_ns)
		fprintf(p->out, "   %-12s %.0f %% not known\n",
			row->holder_cnt ? "" : "released by",
			100.0 * row->holder_unknown_ns / row->stats.wait_ns);
}

static void print_holders(const struct page *p, const struct lock_row *row)
{
	const struct lock_holder *h = row->holders;
	size_t lines = p->style->verbose ? row->holder_cnt : 1;

	if (row->goroutines && !row->sampled && row->stats.wait_ns) {
		print_releasers(p, row);
		return;
	}
	if (row->idle || !row->stats.wait_ns)
		return;
	if (row->sampled) {
		fprintf(p->out,
			"   %-12s Go's locks do not tell (--go-probes: who releases them; holdup "
			"stacks: who probably has them)\n",
			"held by");
		return;
	}
	if (!row->holder_cnt)
		fprintf(p->out, "   %-12s unknown\n", "held by");
	for (size_t i = 0; i < row->holder_cnt && i < lines; i++) {
		fprintf(p->out, "   %-12s ", h[i].owner ? "held by" : "released by");
		if (p->style->verbose)
			print_holder(p, row, &h[i]);
		else
			print_main_holders(p, row);
		if (i == lines - 1)
			print_unknown(p, row);
		fputc('\n', p->out);
		if (h[i].frame_cnt)
			page__print_holder(p, &h[i]);
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

/* Where the lock lies. */
static void print_place(const struct page *p, const struct lock_row *row)
{
	char name[NAME_SZ];

	if (row->locks > 1) {
		fprintf(p->out, " %s %llu locks", p->dot, (unsigned long long)row->locks);
		if (row->processes > 1)
			fprintf(p->out, " in %zu processes", row->processes);
	} else if (*row->module) {
		fprintf(p->out, " %s %s+0x%llx", p->dot, escaped(row->module, name),
			(unsigned long long)row->module_offset);
	} else if (row->address) {
		fprintf(p->out, " %s at 0x%llx", p->dot, (unsigned long long)row->address);
	} else {
		fprintf(p->out, " %s one or several, memory does not tell", p->dot);
	}
	if (row->shared && row->kind != LOCK_JOIN)
		fprintf(p->out, " %s shared between processes", p->dot);
}

/* Where holdup's own is the same, it tells nothing. */
static void print_cgroup(const struct page *p, const struct lock_row *row)
{
	char shown[CGROUP_SZ], clean[NAME_SZ];

	if (!*row->cgroup || !strcmp(row->cgroup, "/") || !strcmp(row->cgroup, p->r->own_cgroup))
		return;
	fprintf(p->out, " %s cgroup %s", p->dot,
		escaped(cgroup__shorten(row->cgroup, shown), clean));
}

static void print_details(const struct page *p, const struct lock_row *row, size_t number)
{
	char name[NAME_SZ], t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];
	const struct lock_stats *s = &row->stats;

	fprintf(p->out, "\n%-3zu%s%s%s", number, p->bold, page__lock_name(row, name), p->plain);
	if (row->kind != LOCK_INVALID)
		fprintf(p->out, " %s %s", p->dot, kind_name(row));
	if (*row->label && strncmp(page__lock_name(row, name), row->label, strlen(row->label)))
		fprintf(p->out, " %s %s", p->dot, row->label);
	print_place(p, row);
	print_cgroup(p, row);
	if (row->goroutines)
		fprintf(p->out, " %s goroutines%s", p->dot,
			row->sampled ? ", seen from time to time" : "");
	else
		fprintf(p->out, " %s %s of it waiting for a CPU", p->dot,
			text__duration(s->runq_ns, t));
	if (s->sleeps > s->waits)
		fprintf(p->out, " %s %s futile wake-up%s", p->dot,
			text__count(s->sleeps - s->waits, n), plural(s->sleeps - s->waits));
	/* A timeout that comes while another thread wakes somebody looks like one; many are no accident. */
	if (s->requeued * 20 >= s->waits && s->requeued)
		fprintf(p->out, " %s %s wait%s moved to another futex", p->dot,
			text__count(s->requeued, n), plural(s->requeued));
	fputc('\n', p->out);
	page__print_sites(p, row);
	page__print_blame(p, row);
	print_holders(p, row);
	if (row->has_calls)
		print_calls(p, &row->calls);
}

int view__locks_text(FILE *out, const struct locks_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	struct widths w;
	size_t details = style->verbose ? r->row_cnt : DETAILED_ROWS;

	p.r = r;
	w = (struct widths){ .kind = kind_width(&p), .name = name_width(&p, 48) };
	page__print_head(&p);
	if (r->row_cnt) {
		print_table_head(&p, &w);
		for (size_t i = 0; i < r->row_cnt; i++)
			print_row(&p, &r->row[i], &w);
		if (r->rows > r->row_cnt)
			fprintf(out, "%9s %llu more (-n)\n", "",
				(unsigned long long)(r->rows - r->row_cnt));
	}
	page__print_roots(&p);
	if (r->by != BY_PROCESS)
		for (size_t i = 0; i < r->row_cnt && i < details; i++)
			print_details(&p, &r->row[i], i + 1);
	if (r->hold)
		page__print_holds(&p, r->hold);
	return view__flush(out);
}
