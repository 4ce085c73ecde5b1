// SPDX-License-Identifier: GPL-2.0-only
/* Hold times and lock order for people: below the waits of `holdup locks`. */
#include "user/view/locks_hold.h"

#define DETAILED_LOCKS 5
#define SITES_SHOWN    3
#define NAME_COLUMNS   40

/* ---- what it cost, and what was not seen */

static void print_gap(const struct page *p, uint64_t n, const char *what)
{
	char c[TEXT_COUNT_SZ];

	if (n)
		fprintf(p->out, " %s %s %s", p->dot, text__count(n, c), what);
}

static void print_cost(const struct page *p, const struct hold_report *r)
{
	const struct hold_cost *c = &r->cost;
	uint64_t each = c->operations ? (c->probe_ns + c->program_ns) / c->operations : 0;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "\n%sHOLD%s   %s acquisition%s", p->bold, p->plain,
		text__count(r->acquisitions, n), plural(r->acquisitions));
	fprintf(p->out, " of %s lock%s", text__count(r->locks, n), plural(r->locks));
	if (!c->operations) {
		fprintf(p->out, " %s no lock function was called\n", p->dot);
		return;
	}
	fprintf(p->out, " %s each lock and each unlock became %s%s slower", p->dot,
		c->program_ns ? "" : "at least ", text__duration(each, t));
	fprintf(p->out, " (%s probe", text__duration(c->probe_ns / c->operations, t));
	if (c->program_ns)
		fprintf(p->out, ", %s program)", text__duration(c->program_ns / c->operations, t));
	else /* one in HU_HOLD_SAMPLE measures itself */
		fputs("; too few to measure the program)", p->out);
	print_gap(p, r->count[HU_HOLD_UNKNOWN], "released that were taken before, or by others");
	print_gap(p, r->count[HU_HOLD_TOO_MANY], "not seen: too many held at once");
	print_gap(p, r->count[HU_HOLD_SITES_FULL] + r->count[HU_HOLD_NO_STATE], "lost");
	print_gap(p, r->count[HU_HOLD_EDGES_FULL], "orders lost");
	print_gap(p, r->count[HU_HOLD_NO_STACK], "without a stack");
	fputc('\n', p->out);
}

/* ---- the table */

static void print_row(const struct page *p, const struct hold_lock *l)
{
	const struct hold_stats *s = &l->stats;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ], name[NAME_SZ];

	fprintf(p->out, "%s%9s%s", p->bold, text__duration(s->ns, t), p->plain);
	fprintf(p->out, " %9s", text__count(s->acquisitions, n));
	if (s->acquisitions && l->row.kind != LOCK_SPIN)
		fprintf(p->out, " %5.1f%%", 100.0 * s->contended / s->acquisitions);
	else
		fprintf(p->out, " %6s", "-");
	fprintf(p->out, " %8s", text__duration(s->acquisitions ? s->ns / s->acquisitions : 0, t));
	fprintf(p->out, " %8s", text__duration(s->p50_ns, t));
	fprintf(p->out, " %8s", text__duration(s->p99_ns, t));
	fprintf(p->out, " %8s", text__duration(s->max_ns, t));
	fprintf(p->out, "  %-9s", lock_kind__name(l->row.kind));
	fprintf(p->out, "  %s", page__lock_name(&l->row, name));
	fprintf(p->out, "  %s (%u)\n", escaped(l->row.process->comm, name), l->row.process->tgid);
}

static void print_table(const struct page *p, const struct hold_report *r)
{
	if (!r->lock_cnt)
		return;
	fprintf(p->out, "%s%9s %9s %6s %8s %8s %8s %8s  %-9s  %s%s\n", p->dim, "HELD", "ACQUIRED",
		"SLEPT", "AVG", "P50", "P99", "MAX", "KIND", "LOCK", p->plain);
	for (size_t i = 0; i < r->lock_cnt; i++)
		print_row(p, &r->lock[i]);
	if (r->locks > r->lock_cnt)
		fprintf(p->out, "%9s %llu more (-n)\n", "",
			(unsigned long long)(r->locks - r->lock_cnt));
}

/* ---- details */

static void print_site(const struct page *p, const struct hold_site *s, bool first)
{
	const struct hold_stats *h = &s->stats;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "   %-12s ", first ? "taken at" : "");
	page__print_stack(p, s->frames, s->frame_cnt, 0, s->stack_flags & HU_STACK_COMPLETE);
	fprintf(p->out, "  %s%s%s, held %s", p->dim, text__count(h->acquisitions, n), p->times,
		text__duration(h->acquisitions ? h->ns / h->acquisitions : 0, t));
	fprintf(p->out, " (p95 %s", text__duration(h->p95_ns, t));
	fprintf(p->out, ", max %s)", text__duration(h->max_ns, t));
	if (s->mode == HU_HOLD_READ)
		fputs(", to read", p->out);
	else if (s->mode == HU_HOLD_WRITE)
		fputs(", to write", p->out);
	if (h->after_wait)
		fprintf(p->out, ", %s after a condition variable", text__count(h->after_wait, n));
	if (h->failed)
		fprintf(p->out, ", %s tries failed", text__count(h->failed, n));
	fprintf(p->out, "%s\n", p->plain);
	if (p->style->verbose)
		page__print_whole_stack(p, s->frames, s->frame_cnt,
					s->stack_flags & HU_STACK_COMPLETE);
}

static void print_longest(const struct page *p, const struct hold_lock *l)
{
	const struct hold_site *s = l->longest[0];
	const struct hu_longest *longest = &s->longest;
	char t[TEXT_DURATION_SZ], name[NAME_SZ];

	fprintf(p->out, "   %-12s %s by thread %u", "longest", text__duration(longest->ns, t),
		longest->tid);
	if (longest->off_ns * 200 < longest->ns)
		fprintf(p->out, ", on the CPU");
	else
		fprintf(p->out, ", %.0f %% of it off the CPU",
			100.0 * longest->off_ns / longest->ns);
	if (*s->inside)
		fprintf(p->out, ": %s for %s", escaped(s->inside, name),
			text__duration(longest->worst_ns, t));
	fputc('\n', p->out);
}

static void print_lock(const struct page *p, const struct hold_lock *l)
{
	size_t shown = p->style->verbose ? l->site_cnt : SITES_SHOWN;
	char name[NAME_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "\n%s%s%s %s %s", p->bold, page__lock_name(&l->row, name), p->plain, p->dot,
		lock_kind__name(l->row.kind));
	if (l->stats.ns)
		fprintf(p->out, " %s holders off the CPU for %.0f %% of the time held", p->dot,
			100.0 * l->stats.off_ns / l->stats.ns);
	if (l->stats.held_now)
		fprintf(p->out, " %s held now by %s", p->dot, text__count(l->stats.held_now, n));
	if (l->stats.unreleased)
		fprintf(p->out, " %s %s never released", p->dot,
			text__count(l->stats.unreleased, n));
	fputc('\n', p->out);
	for (size_t i = 0; i < l->site_cnt && i < shown; i++)
		print_site(p, &l->site[i], !i);
	if (l->site_cnt > shown)
		fprintf(p->out, "   %-12s %zu more site%s (-v)\n", "", l->site_cnt - shown,
			plural(l->site_cnt - shown));
	if (l->longest_cnt)
		print_longest(p, l);
}

/* ---- lock order */

static void print_order_stack(const struct page *p, const char *what, const struct order_stack *s)
{
	fprintf(p->out, "      %-9s ", what);
	page__print_stack(p, s->frames, s->frame_cnt, 0, s->flags & HU_STACK_COMPLETE);
	fputc('\n', p->out);
	if (p->style->verbose)
		page__print_whole_stack(p, s->frames, s->frame_cnt, s->flags & HU_STACK_COMPLETE);
}

static void print_cycle(const struct page *p, const struct order_cycle *c)
{
	char name[NAME_SZ], other[NAME_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out,
		"\n%sPOSSIBLE DEADLOCK%s  %s (%u) takes %zu locks in orders that contradict%s\n",
		p->bold, p->plain, escaped(c->process->comm, name), c->process->tgid, c->cnt,
		c->one_thread ? ", so far in one thread only" : "");
	for (size_t i = 0; i < c->cnt; i++) {
		const struct order_step *s = &c->step[i];

		fprintf(p->out, "   %s%s, then %s%s", escaped(s->first, name),
			s->first_shared ? " (to read)" : "", escaped(s->second, other),
			s->second_shared ? " (to read)" : "");
		fprintf(p->out, "  %s%s%s, first by thread %u%s\n", p->dim, text__count(s->cnt, n),
			p->times, s->tid, p->plain);
		print_order_stack(p, "held from", &s->first_stack);
		print_order_stack(p, "asked at", &s->second_stack);
	}
}

void page__print_holds(const struct page *p, const struct hold_report *r)
{
	size_t details = p->style->verbose ? r->lock_cnt : DETAILED_LOCKS;

	print_cost(p, r);
	print_table(p, r);
	for (size_t i = 0; i < r->lock_cnt && i < details; i++)
		print_lock(p, &r->lock[i]);
	for (size_t i = 0; i < r->cycle_cnt; i++)
		print_cycle(p, &r->cycle[i]);
	if (r->cycles_cut)
		fprintf(p->out, "\nThere may be more contradicting orders: not all were looked "
				"at.\n");
}
