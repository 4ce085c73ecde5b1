// SPDX-License-Identifier: GPL-2.0-only
/* The report: rows in order, totals, coverage. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi_golang.h"
#include "user/model/holders.h"
#include "user/model/locks_build.h"
#include "user/model/locks_hold.h"

static bool same(const void *value, const void *key)
{
	return value == key;
}

static uint64_t sort_key(const struct lock_row *r, enum locks_sort sort)
{
	switch (sort) {
	case SORT_WAITS:
		return r->stats.waits;
	case SORT_MAX:
		return r->stats.max_ns;
	case SORT_AVG:
		return r->stats.waits ? r->stats.wait_ns / r->stats.waits : 0;
	case SORT_P99:
		return r->stats.p99_ns;
	case SORT_WAITERS:
		return (uint64_t)r->waiters_now << 32 | r->waiters_max;
	default:
		return r->stats.wait_ns;
	}
}

static int compare_rows(const void *a, const void *b, void *ctx)
{
	const struct draft_row *const *x = a, *const *y = b;
	const struct locks_query *q = ctx;
	uint64_t xk = sort_key(&(*x)->row, q->sort), yk = sort_key(&(*y)->row, q->sort);

	if (xk != yk)
		return xk < yk ? 1 : -1;
	if ((*x)->row.process->tgid != (*y)->row.process->tgid)
		return (*x)->row.process->tgid < (*y)->row.process->tgid ? -1 : 1;
	return (*x)->row.address < (*y)->row.address ? -1 : 1;
}

/* Notes who waits in this row. */
static int add_processes(struct table *processes, const struct draft_row *d)
{
	int err = 0;

	for (size_t i = 0; i < d->site_cnt + d->go_cnt && !err; i++) {
		const struct agg_process *of = i < d->site_cnt ? d->site[i]->agg->process
							       : d->go[i - d->site_cnt]->process;
		void *p = (void *)of;

		if (!table__find(processes, (uintptr_t)p, same, p))
			err = table__add(processes, (uintptr_t)p, p);
	}
	return err;
}

/* Totals of all rows, and those that are to be listed, sorted; *ret is malloc'ed. */
static int choose_rows(struct builder *b, struct draft_row ***ret, size_t *cnt)
{
	struct draft_row **rows = calloc(b->rows.cnt + 1, sizeof(struct draft_row *)), *d;
	struct locks_report *r = b->report;
	struct table processes = { 0 };
	int err = 0;

	if (!rows)
		return -ENOMEM;
	*cnt = 0;
	for (size_t i = 0; (d = table__next(&b->rows, &i));) {
		/* Percentiles can be what rows are sorted by. */
		d->row.stats.p99_ns = hist__percentile(&d->hist, 99, d->row.stats.max_ns);
		if (d->row.idle) {
			r->idle_waits += d->row.stats.waits;
			r->idle_wait_ns += d->row.stats.wait_ns;
			if (d->row.unsure)
				r->unsure_wait_ns += d->row.stats.wait_ns;
		} else {
			r->waits += d->row.stats.waits;
			r->sleeps += d->row.stats.sleeps;
			r->wait_ns += d->row.stats.wait_ns;
			r->ongoing += d->row.stats.ongoing;
			r->before += d->row.stats.before;
		}
		if (d->row.idle && !b->query->idle)
			continue;
		rows[(*cnt)++] = d;
		if (!err)
			err = add_processes(&processes, d);
	}
	r->rows = *cnt;
	r->processes = processes.cnt;
	table__clear(&processes, NULL);
	qsort_r(rows, *cnt, sizeof(rows[0]), compare_rows, (void *)b->query);
	*ret = rows;
	return err;
}

/* What became of the stack of a site's waits. */
static void count_stack(struct locks_coverage *c, const struct agg_site *agg,
			const struct agg_stack *stack)
{
	uint16_t flags = stack__flags(agg->process, stack);

	if (agg->summarized)
		return; /* has that of its longest wait only */
	if (flags & HU_STACK_COMPLETE)
		c->stacks_complete += agg->waits;
	else
		c->stacks_incomplete += agg->waits;
	if (!stack)
		c->stacks_missing += agg->waits;
	if (flags & HU_STACK_NOROW)
		c->stacks_no_row += agg->waits;
	else if (flags & HU_STACK_NOMAP)
		c->stacks_no_map += agg->waits;
	else if (flags & HU_STACK_BADREAD)
		c->stacks_bad_read += agg->waits;
	else if (flags & HU_STACK_TRUNCATED)
		c->stacks_too_deep += agg->waits;
	if (flags & HU_STACK_FRAMEPTR)
		c->stacks_guessed += agg->waits;
	if (flags & HU_STACK_DERIVED)
		c->stacks_derived += agg->waits;
}

/* Processes that were over before anybody could look at them, or that can't be looked at. */
static int count_unnamed(struct builder *b)
{
	struct table unnamed = { 0 };
	int err = 0;

	for (size_t i = 0; i < b->site_cnt && !err; i++) {
		struct agg_process *p = b->site[i].agg->process;

		if ((!p->names || !sym_process__maps(p->names)->cnt) &&
		    !table__find(&unnamed, (uintptr_t)p, same, p))
			err = table__add(&unnamed, (uintptr_t)p, p);
	}
	b->report->coverage.processes_unnamed = unnamed.cnt;
	table__clear(&unnamed, NULL);
	return err;
}

/* Of enum hu_go_count. */
static void count_go(struct locks_coverage *c, const uint64_t *n)
{
	c->go_lost = n[HU_GO_PENDING_FULL] + n[HU_GO_WAITS_FULL];
	c->go_unknown = n[HU_GO_UNKNOWN_SLEEPS];
	c->go_unnamed = n[HU_GO_WAITS_REST];
	c->go_stacks_lost = n[HU_GO_STACKS_FULL] + n[HU_GO_NO_STACK];
	for (int place = 0; place < HU_GO_PLACES; place++) {
		uint64_t hits = n[HU_GO_HITS + place], samples = n[HU_GO_SAMPLES + place];

		c->go_hits += hits;
		if (samples)
			c->go_program_ns += n[HU_GO_RUN_NS + place] / samples * hits;
	}
}

static int fill_coverage(struct builder *b)
{
	const struct agg_totals *t = &b->in->aggregate->totals;
	struct locks_coverage *c = &b->report->coverage;
	const uint64_t *loss = b->in->losses;
	struct sym_stats sym;

	symbolizer__stats(b->in->symbolizer, &sym);
	c->events = t->events;
	c->summarized = t->summarized;
	c->summarized_ns = t->summarized_ns;
	c->lost = loss[HU_LOSS_STATE] + loss[HU_LOSS_SUM_FULL] + loss[HU_LOSS_MISSED] +
		  b->in->malformed;
	c->lost_ns = loss[HU_LOSS_SUM_FULL_NS];
	c->records_lost = loss[HU_LOSS_RECORD] + loss[HU_LOSS_PROC_FULL];
	c->stacks_lost = loss[HU_LOSS_STACK_FULL] + loss[HU_LOSS_STACK_FAIL];
	c->inferred = loss[HU_LOSS_INFERRED];
	c->holders_lost = loss[HU_LOSS_HOLDER];
	c->holders_untracked = loss[HU_LOSS_TRACK_FULL];
	c->blame = b->in->blame;
	c->calls_lost = loss[HU_LOSS_CALLS_FULL];
	c->depth_unknown = loss[HU_LOSS_LOCK_FULL];
	c->malformed = b->in->malformed;
	c->below_min = t->below_min;
	c->below_min_ns = t->below_min_ns;
	c->processes_unreadable = sym.unreadable;
	c->modules_full = b->in->modules_full;
	c->maps_dropped = b->in->maps_dropped;
	c->futex_calls = b->in->futex_calls;
	c->go_left_out = b->in->go_left_out;
	if (b->in->go_counts)
		count_go(c, b->in->go_counts);
	for (size_t i = 0; i < b->site_cnt; i++) {
		const struct agg_site *agg = b->site[i].agg;

		count_stack(c, agg, aggregate__stack(b->in->aggregate, agg->stack_id));
	}
	return count_unnamed(b);
}

/* Rows of another sort, where they are asked for. */
static int fold(struct builder *b)
{
	struct draft_row *d;

	for (size_t i = 0; (d = table__next(&b->rows, &i));)
		b->report->locks += !d->row.idle;
	switch (b->query->by) {
	case BY_PROCESS:
		return builder__fold_processes(b);
	case BY_SITE:
		return builder__fold_sites(b);
	default:
		return 0;
	}
}

static int build(struct builder *b)
{
	struct locks_report *r = b->report;
	struct draft_row **rows = NULL;
	size_t cnt = 0;
	int err;

	err = builder__classify_sites(b);
	if (!err)
		err = builder__place_sites(b);
	if (!err && b->in->source && b->in->futex_calls)
		err = builder__add_calls(b);
	if (!err)
		err = builder__blame_locks(b);
	if (!err)
		err = builder__find_roots(b);
	if (!err)
		err = fold(b);
	if (!err)
		err = builder__add_goroutines(b);
	if (!err)
		err = choose_rows(b, &rows, &cnt);
	if (cnt > b->query->rows)
		cnt = b->query->rows;
	if (!err) {
		r->row = calloc(cnt + 1, sizeof(*r->row));
		err = r->row ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < cnt && !err; i++) {
		err = builder__finish_row(b, rows[i]);
		r->row[r->row_cnt++] = rows[i]->row;
	}
	free(rows);
	return err ? err : fill_coverage(b);
}

int locks_report__build(const struct locks_input *in, const struct locks_query *query,
			struct locks_report **ret)
{
	struct builder b = { .in = in, .query = query };
	int err;

	b.report = calloc(1, sizeof(*b.report));
	if (!b.report)
		return -ENOMEM;
	b.report->interval_ns = in->interval_ns;
	b.report->by = query->by;
	b.report->idle = query->idle;
	b.report->own_cgroup = in->own_cgroup ? in->own_cgroup : "";
	err = build(&b);
	builder__free_rows(&b);
	if (err)
		locks_report__free(b.report);
	else
		*ret = b.report;
	return err;
}

void locks_report__free(struct locks_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->row_cnt; i++) {
		for (size_t s = 0; s < r->row[i].site_cnt; s++)
			free(r->row[i].sites[s].frames);
		free(r->row[i].sites);
		lock_row__free_holders(&r->row[i]);
		lock_row__free_blame(&r->row[i]);
	}
	for (size_t i = 0; i < r->root_cnt; i++)
		root_cause__free(&r->root[i]);
	free(r->root);
	hold_report__free(r->hold);
	free(r->go);
	free(r->row);
	free(r);
}
