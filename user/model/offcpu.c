// SPDX-License-Identifier: GPL-2.0-only
/* The report: places to rows, totals, coverage. */
#include "user/model/offcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/offcpu_pure.h"
#include "user/model/offcpu_build.h"

/* A row while places are added to it. */
struct draft {
	struct off_row row;
	uint64_t hist[HU_OFF_BUCKETS];
};

static uint64_t total_ns(const struct off_stats *s)
{
	return s->blocked_ns + s->runq_ns;
}

/* ---- what rows are of */

static bool same_reason(const struct off_place *a, const struct off_place *b)
{
	if (strcmp(a->general, b->general) || strcmp(a->category, b->category))
		return false;
	/* A lock is one of its process; what several of one program call alike is the same in each. */
	return strcmp(a->category, "lock") || a->process == b->process ||
	       (a->process && b->process && !strcmp(a->process->comm, b->process->comm));
}

static bool same_waker(const struct off_waker_row *a, const struct off_waker_row *b)
{
	if (!a || !b)
		return a == b;
	return a->context == b->context && a->tgid == b->tgid && a->tid == b->tid;
}

static bool belongs(const struct draft *d, const struct off_place *p,
		    const struct off_waker_row *waker, enum off_by by)
{
	switch (by) {
	case OFF_BY_REASON:
		return same_reason(d->row.place, p);
	case OFF_BY_PROCESS:
		return d->row.place->process == p->process;
	case OFF_BY_THREAD:
		return d->row.place->process == p->process && d->row.place->tid == p->tid;
	case OFF_BY_WAKER:
		return same_waker(d->row.by, waker);
	default:
		return false;
	}
}

static uint64_t row_hash(const struct off_place *p, const struct off_waker_row *w, enum off_by by)
{
	uint64_t hash = 0;

	if (by == OFF_BY_WAKER)
		return w ? hash__mix(hash__mix(w->tgid, w->tid), w->context) : 1;
	if (by == OFF_BY_PROCESS || by == OFF_BY_THREAD)
		return hash__mix((uintptr_t)p->process, by == OFF_BY_THREAD ? p->tid : 0);
	if (by == OFF_BY_STACK)
		return (uintptr_t)p;
	for (const char *c = p->general; *c; c++)
		hash = hash__mix(hash, (unsigned char)*c);
	return hash;
}

struct row_key {
	const struct off_place *place;
	const struct off_waker_row *waker;
	enum off_by by;
};

static bool draft__equal(const void *value, const void *key)
{
	const struct row_key *k = key;

	return belongs(value, k->place, k->waker, k->by);
}

static struct draft *draft__get(struct table *rows, const struct row_key *k)
{
	uint64_t hash = row_hash(k->place, k->waker, k->by);
	struct draft *d = table__find(rows, hash, draft__equal, k);

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->row.place = k->place;
	d->row.by = k->waker;
	if (!table__add(rows, hash, d))
		return d;
	free(d);
	return NULL;
}

static int draft__add(struct draft *d, const struct off_place *p, const struct off_stats *stats)
{
	struct off_row *r = &d->row;
	const struct off_place **places;
	uint64_t *ns;

	places = reallocarray(r->places, r->place_cnt + 1, sizeof(*places));
	if (places)
		r->places = places;
	ns = places ? reallocarray(r->place_ns, r->place_cnt + 1, sizeof(*ns)) : NULL;
	if (!ns)
		return -ENOMEM;
	r->place_ns = ns;
	r->places[r->place_cnt] = p;
	r->place_ns[r->place_cnt++] = total_ns(stats);
	off_stats__add(&r->stats, stats);
	return 0;
}

/* By waker: what each has ended, and the rest, which nobody has. */
static int add_by_waker(struct table *rows, const struct off_place *p)
{
	struct off_stats rest = p->stats;
	struct row_key key = { .place = p, .by = OFF_BY_WAKER };
	int err = 0;

	for (size_t i = 0; i < p->waker_cnt && !err; i++) {
		const struct off_waker_row *w = &p->waker[i];
		double share = p->stats.blocked_ns ? (double)w->ns / p->stats.blocked_ns : 0;
		struct off_stats part = {
			.waits = w->waits < rest.waits ? w->waits : rest.waits,
			.blocked_ns = w->ns < rest.blocked_ns ? w->ns : rest.blocked_ns,
			.runq_ns = (uint64_t)(share * p->stats.runq_ns),
		};
		struct draft *d;

		if (part.runq_ns > rest.runq_ns)
			part.runq_ns = rest.runq_ns;
		rest.waits -= part.waits;
		rest.blocked_ns -= part.blocked_ns;
		rest.runq_ns -= part.runq_ns;
		key.waker = w;
		d = draft__get(rows, &key);
		err = d ? draft__add(d, p, &part) : -ENOMEM;
	}
	key.waker = NULL;
	if (!err && total_ns(&rest)) {
		struct draft *d = draft__get(rows, &key);

		err = d ? draft__add(d, p, &rest) : -ENOMEM;
	}
	return err;
}

static int add_place(struct table *rows, const struct off_place *p, enum off_by by)
{
	struct row_key key = { .place = p, .by = by };
	struct draft *d;

	if (by == OFF_BY_WAKER)
		return add_by_waker(rows, p);
	d = draft__get(rows, &key);
	if (!d)
		return -ENOMEM;
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		d->hist[i] += p->hist[i];
	return draft__add(d, p, &p->stats);
}

/* ---- sorting */

static int compare_places(const void *a, const void *b)
{
	const struct off_place *const *x = a, *const *y = b;
	uint64_t xns = total_ns(&(*x)->stats), yns = total_ns(&(*y)->stats);

	if (xns != yns)
		return xns < yns ? 1 : -1;
	return strcmp((*x)->reason, (*y)->reason);
}

static int compare_drafts(const void *a, const void *b)
{
	const struct draft *const *x = a, *const *y = b;
	uint64_t xns = total_ns(&(*x)->row.stats), yns = total_ns(&(*y)->row.stats);

	if (xns != yns)
		return xns < yns ? 1 : -1;
	return strcmp((*x)->row.place->reason, (*y)->row.place->reason);
}

/* Places were added longest first, but a waker's share of a long one may be short. */
static void sort_places(struct off_row *r)
{
	for (size_t i = 1; i < r->place_cnt; i++)
		for (size_t j = i; j && r->place_ns[j] > r->place_ns[j - 1]; j--) {
			const struct off_place *p = r->places[j];
			uint64_t ns = r->place_ns[j];

			r->places[j] = r->places[j - 1];
			r->place_ns[j] = r->place_ns[j - 1];
			r->places[j - 1] = p;
			r->place_ns[j - 1] = ns;
		}
}

static bool same(const void *value, const void *key)
{
	return value == key;
}

static int count_processes(struct off_row *r)
{
	struct table seen = { 0 };
	int err = 0;

	for (size_t i = 0; i < r->place_cnt && !err; i++) {
		void *p = (void *)r->places[i]->process;

		if (p && !table__find(&seen, (uintptr_t)p, same, p))
			err = table__add(&seen, (uintptr_t)p, p);
	}
	r->processes = seen.cnt;
	table__clear(&seen, NULL);
	return err;
}

static void free_row(struct off_row *r)
{
	free(r->places);
	free(r->place_ns);
}

static void free_draft(void *value)
{
	struct draft *d = value;

	free_row(&d->row);
	free(d);
}

static int finish_row(struct off_builder *b, struct draft *d, size_t *lines_left)
{
	struct off_row *r = &d->row;
	int err;

	r->stats.p50_ns = offcpu__percentile(d->hist, 50, r->stats.max_ns);
	r->stats.p95_ns = offcpu__percentile(d->hist, 95, r->stats.max_ns);
	r->stats.p99_ns = offcpu__percentile(d->hist, 99, r->stats.max_ns);
	if (b->query->by == OFF_BY_WAKER)
		sort_places(r);
	err = count_processes(r);
	for (size_t i = 0; i < r->place_cnt && i < 3 && *lines_left && !err; i++, --*lines_left)
		err = off_place__find_lines(b, (struct off_place *)r->places[i]);
	return err;
}

/* ---- totals */

static bool wanted(const struct off_builder *b, const struct off_place *p)
{
	if (b->query->states && !strchr(b->query->states, p->state))
		return false;
	return !p->idle || b->query->idle;
}

static int add_totals(struct off_report *r, const struct off_place *p, struct table *processes)
{
	void *process = (void *)p->process;

	r->coverage.intervals += p->stats.waits + p->stats.ongoing;
	if (p->idle) {
		r->idle_waits += p->stats.waits + p->stats.ongoing;
		r->idle_ns += total_ns(&p->stats);
	} else {
		r->waits += p->stats.waits + p->stats.ongoing;
		r->blocked_ns += p->stats.blocked_ns;
		r->runq_ns += p->stats.runq_ns;
		if (!strcmp(p->category, "throttled"))
			r->throttled_ns += p->stats.runq_ns;
	}
	if (!process || table__find(processes, (uintptr_t)process, same, process))
		return 0;
	return table__add(processes, (uintptr_t)process, process);
}

static uint64_t count_unnamed(const struct table *processes)
{
	const struct agg_process *p;
	uint64_t cnt = 0;

	for (size_t i = 0; (p = table__next(processes, &i));)
		cnt += !p->names || !sym_process__maps(p->names)->cnt;
	return cnt;
}

static void fill_coverage(struct off_builder *b)
{
	struct off_coverage *c = &b->report->coverage;
	const uint64_t *loss = b->in->losses;

	c->lost = loss[HU_LOSS_STATE] + loss[HU_LOSS_OFF_LOST] + loss[HU_LOSS_MISSED];
	c->lost_ns = loss[HU_LOSS_OFF_LOST_NS];
	c->summarized = loss[HU_LOSS_OFF_SUMMED];
	c->summarized_ns = loss[HU_LOSS_OFF_SUMMED_NS];
	c->below_min = loss[HU_LOSS_OFF_BELOW];
	c->below_min_ns = loss[HU_LOSS_OFF_BELOW_NS];
	c->stacks_lost = loss[HU_LOSS_STACK_FULL] + loss[HU_LOSS_STACK_FAIL];
	c->kernel_stacks_lost = loss[HU_LOSS_KSTACK_FULL] + loss[HU_LOSS_KSTACK_FAIL];
	c->records_lost = loss[HU_LOSS_RECORD] + loss[HU_LOSS_PROC_FULL];
	c->wakers_lost = loss[HU_LOSS_OFF_WAKERS];
	c->inferred = loss[HU_LOSS_INFERRED];
	c->modules_full = b->in->modules_full;
	c->maps_dropped = b->in->maps_dropped;
}

static int list_places(struct off_builder *b)
{
	struct off_report *r = b->report;
	struct table processes = { 0 };
	struct off_place *p;
	int err = 0;

	r->place = calloc(b->places.cnt + 1, sizeof(struct off_place *));
	if (!r->place)
		return -ENOMEM;
	for (size_t i = 0; (p = table__next(&b->places, &i));) {
		r->place[r->place_cnt++] = p;
		if (!err)
			err = add_totals(r, p, &processes);
	}
	r->processes = processes.cnt;
	r->coverage.processes_unnamed = count_unnamed(&processes);
	table__clear(&processes, NULL);
	qsort(r->place, r->place_cnt, sizeof(r->place[0]), compare_places);
	return err;
}

static int make_rows(struct off_builder *b, struct table *rows)
{
	struct off_report *r = b->report;
	size_t cnt = 0, lines = OFF_PLACES_WITH_LINES;
	struct draft **draft, *d;
	int err = 0;

	for (size_t i = 0; i < r->place_cnt && !err; i++)
		if (wanted(b, r->place[i]))
			err = add_place(rows, r->place[i], b->query->by);
	draft = err ? NULL : calloc(rows->cnt + 1, sizeof(struct draft *));
	if (!draft)
		return err ? err : -ENOMEM;
	for (size_t i = 0; (d = table__next(rows, &i));)
		draft[cnt++] = d;
	qsort(draft, cnt, sizeof(draft[0]), compare_drafts);
	r->rows = cnt;
	if (!b->query->all && cnt > b->query->rows)
		cnt = b->query->rows;
	r->row = calloc(cnt + 1, sizeof(*r->row));
	if (!r->row)
		err = -ENOMEM;
	for (size_t i = 0; i < cnt && !err; i++) {
		err = finish_row(b, draft[i], &lines);
		r->row[r->row_cnt++] = draft[i]->row;
		draft[i]->row.places = NULL; /* the report's now */
		draft[i]->row.place_ns = NULL;
	}
	free(draft);
	return err;
}

int off_report__build(const struct off_input *in, const struct off_query *query,
		      struct off_report **ret)
{
	struct off_builder b = { .in = in, .query = query };
	struct table rows = { 0 };
	int err;

	b.report = calloc(1, sizeof(*b.report));
	if (!b.report)
		return -ENOMEM;
	b.report->interval_ns = in->interval_ns;
	b.report->by = query->by;
	b.report->idle = query->idle;
	b.report->threads = in->losses[HU_LOSS_OFF_THREADS];
	err = intern__new(&b.report->strings);
	if (!err)
		err = off_builder__places(&b);
	if (!err)
		err = list_places(&b);
	if (!err)
		err = make_rows(&b, &rows);
	fill_coverage(&b);
	table__clear(&rows, free_draft);
	/* The report owns the places once it lists them. */
	table__clear(&b.places, b.report->place ? NULL : off_place__free);
	if (err)
		off_report__free(b.report);
	else
		*ret = b.report;
	return err;
}

void off_report__free(struct off_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->row_cnt; i++)
		free_row(&r->row[i]);
	for (size_t i = 0; i < r->place_cnt; i++)
		off_place__free(r->place[i]);
	free(r->row);
	free(r->place);
	intern__free(r->strings);
	free(r);
}
