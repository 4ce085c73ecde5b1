// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/locks_hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"
#include "user/model/locks_build.h"
#include "user/model/locks_hold_build.h"
#include "user/target/call.h"

const char *hold_mode__name(uint32_t mode)
{
	switch (mode) {
	case HU_HOLD_READ:
		return "read";
	case HU_HOLD_WRITE:
		return "write";
	default:
		return "exclusive";
	}
}

static enum lock_kind kind_of(uint32_t mode)
{
	static const enum lock_kind kinds[] = {
		[HU_HOLD_MUTEX] = LOCK_MUTEX,	[HU_HOLD_READ] = LOCK_RWLOCK,
		[HU_HOLD_WRITE] = LOCK_RWLOCK,	[HU_HOLD_SPIN] = LOCK_SPIN,
		[HU_HOLD_SEM] = LOCK_SEMAPHORE,
	};

	return mode < sizeof(kinds) / sizeof(kinds[0]) ? kinds[mode] : LOCK_INVALID;
}

/* ---- names */

/* The waits for this lock, where it had any. */
static const struct lock_row *waits_for(const struct hold_builder *b, const struct agg_process *p,
					uint64_t lock)
{
	for (size_t i = 0; i < b->waits->row_cnt; i++)
		if (b->waits->row[i].process == p && b->waits->row[i].address == lock)
			return &b->waits->row[i];
	return NULL;
}

const char *hold__name(const struct hold_builder *b, const struct agg_process *p, uint64_t lock,
		       const char **ret_module)
{
	const struct lock_row *row = waits_for(b, p, lock);
	struct sym_object object = { .name = "", .module = "" };

	if (row && *row->name) {
		if (ret_module)
			*ret_module = row->module;
		return row->name;
	}
	if (p->names)
		symbolizer__object(b->in->symbolizer, p->names, lock, &object);
	if (ret_module)
		*ret_module = object.module;
	return symbolizer__object_name(b->in->symbolizer, &object);
}

int hold__stack(const struct hold_builder *b, const struct agg_process *p, uint64_t id, bool lines,
		struct order_stack *ret)
{
	struct sym_frame frames[FRAMES_MAX];
	size_t cnt = stack__frames(b->in->holds->aggregate, b->in->symbolizer, p, id, lines, frames,
				   FRAMES_MAX, &ret->flags);

	if (!cnt)
		return 0;
	ret->frames = malloc(cnt * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, cnt * sizeof(*frames));
	ret->frame_cnt = cnt;
	return 0;
}

/* What a thread did off the CPU with the lock held. */
static const char *describe(const struct hold_builder *b, const struct agg_process *p,
			    uint64_t reason)
{
	static const char *const whys[HU_WHY_CNT] = {
		[HU_WHY_RUNNABLE] = "waiting for a CPU",
		[HU_WHY_FAULT] = "in a page fault",
		[HU_WHY_RECLAIM] = "looking for free memory",
		[HU_WHY_STOPPED] = "stopped by a signal",
		[HU_WHY_TRACED] = "stopped by a debugger",
		[HU_WHY_THROTTLED] = "throttled by its cgroup",
		[HU_WHY_CALL32] = "in a 32-bit call",
	};
	enum hu_why why = HU_REASON_WHY(reason);
	const char *name = NULL;
	char text[600];

	if (why == HU_WHY_LOCK) {
		name = hold__name(b, p, HU_REASON_VALUE(reason), NULL);
		snprintf(text, sizeof(text), *name ? "waiting for %s" : "waiting in futex", name);
	} else if (why == HU_WHY_CALL) {
		name = call__name(HU_REASON_NR(reason));
		if (name)
			snprintf(text, sizeof(text), "in %s", name);
		else
			snprintf(text, sizeof(text), "in call %d", HU_REASON_NR(reason));
	} else {
		return why < HU_WHY_CNT && whys[why] ? whys[why] : "";
	}
	name = symbolizer__intern(b->in->symbolizer, text);
	return name ? name : "";
}

/* ---- locks and their sites */

struct draft_hold {
	const struct agg_process *process;
	uint64_t lock;
	enum lock_kind kind;
	const struct agg_hold **site;
	size_t site_cnt;
	uint64_t ns;
};

static bool draft__equal(const void *value, const void *key)
{
	const struct draft_hold *a = value, *b = key;

	return a->process == b->process && a->lock == b->lock && a->kind == b->kind;
}

static void draft__free(void *value)
{
	free(((struct draft_hold *)value)->site);
	free(value);
}

static int add_to_draft(struct table *drafts, const struct agg_hold *h)
{
	struct draft_hold key = { h->process, h->lock, kind_of(h->mode), NULL, 0, 0 }, *d;
	uint64_t hash = hash__mix(hash__mix((uintptr_t)key.process, key.lock), key.kind);
	void *more;
	int err;

	d = table__find(drafts, hash, draft__equal, &key);
	if (!d) {
		d = malloc(sizeof(*d));
		if (!d)
			return -ENOMEM;
		*d = key;
		err = table__add(drafts, hash, d);
		if (err) {
			free(d);
			return err;
		}
	}
	more = realloc(d->site, (d->site_cnt + 1) * sizeof(*d->site));
	if (!more)
		return -ENOMEM;
	d->site = more;
	d->site[d->site_cnt++] = h;
	d->ns += h->sum.ns;
	return 0;
}

static int compare_drafts(const void *a, const void *b)
{
	const struct draft_hold *x = *(const struct draft_hold *const *)a;
	const struct draft_hold *y = *(const struct draft_hold *const *)b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	if (x->process->tgid != y->process->tgid)
		return x->process->tgid < y->process->tgid ? -1 : 1;
	return x->lock < y->lock ? -1 : 1;
}

static int compare_sites(const void *a, const void *b)
{
	const struct agg_hold *x = *(const struct agg_hold *const *)a;
	const struct agg_hold *y = *(const struct agg_hold *const *)b;

	if (x->sum.ns != y->sum.ns)
		return x->sum.ns < y->sum.ns ? 1 : -1;
	return x->stack_id < y->stack_id ? -1 : x->stack_id > y->stack_id;
}

static void add_stats(struct hold_stats *s, const struct agg_hold *h)
{
	s->acquisitions += h->sum.cnt;
	s->contended += h->sum.contended;
	s->after_wait += h->sum.after_wait;
	s->tried += h->sum.tried;
	s->failed += h->sum.failed;
	s->unreleased += h->sum.unreleased;
	s->held_now += h->held_now;
	s->ns += h->sum.ns;
	s->off_ns += h->sum.off_ns;
	if (h->sum.longest.ns > s->max_ns)
		s->max_ns = h->sum.longest.ns;
}

static void add_percentiles(struct hold_stats *s, const uint64_t hist[HU_HOLD_BUCKETS])
{
	s->p50_ns = hold_hist__percentile(hist, 50, s->max_ns);
	s->p95_ns = hold_hist__percentile(hist, 95, s->max_ns);
	s->p99_ns = hold_hist__percentile(hist, 99, s->max_ns);
}

static int build_site(const struct hold_builder *b, const struct agg_hold *h, bool lines,
		      struct hold_site *ret)
{
	struct order_stack stack = { 0 };
	int err = hold__stack(b, h->process, h->stack_id, lines, &stack);

	add_stats(&ret->stats, h);
	add_percentiles(&ret->stats, h->hist);
	ret->mode = h->mode;
	ret->longest = h->sum.longest;
	ret->inside = ret->longest.worst_ns ? describe(b, h->process, ret->longest.worst_reason)
					    : "";
	ret->frames = stack.frames;
	ret->frame_cnt = stack.frame_cnt;
	ret->stack_flags = stack.flags;
	return err;
}

static void note_longest(struct hold_lock *l, const struct hold_site *site)
{
	size_t i = l->longest_cnt;

	if (!site->longest.ns)
		return;
	for (; i && l->longest[i - 1]->longest.ns < site->longest.ns; i--)
		if (i < HOLD_LONGEST)
			l->longest[i] = l->longest[i - 1];
	if (i == HOLD_LONGEST)
		return;
	l->longest[i] = site;
	if (l->longest_cnt < HOLD_LONGEST)
		l->longest_cnt++;
}

/* Of a lock without a symbol: where it is taken. */
static void name_by_place(const struct hold_builder *b, struct hold_lock *l)
{
	const struct sym_frame *f = NULL;
	char text[512];

	if (l->site_cnt)
		f = frames__caller(l->site[0].frames, l->site[0].frame_cnt, 0);
	if (!f || !*f->function)
		return;
	snprintf(text, sizeof(text), "%s in %s", lock_kind__name(l->row.kind), f->function);
	l->row.name = symbolizer__intern(b->in->symbolizer, text);
	if (!l->row.name)
		l->row.name = "";
}

static void identify(const struct hold_builder *b, const struct draft_hold *d, struct hold_lock *l)
{
	const struct lock_row *waits = waits_for(b, d->process, d->lock);

	if (waits) {
		l->row = *waits;
		l->waited = true;
		return;
	}
	l->row.process = d->process;
	l->row.processes = 1;
	l->row.exe = d->process->names ? sym_process__exe(d->process->names) : "";
	l->row.cgroup = d->process->cgroup ? d->process->cgroup : "";
	l->row.address = d->lock;
	l->row.kind = d->kind;
	l->row.label = "";
	l->row.locks = 1;
	l->row.name = hold__name(b, d->process, d->lock, &l->row.module);
	if (!*l->row.name)
		name_by_place(b, l);
}

static int build_lock(const struct hold_builder *b, struct draft_hold *d, struct hold_lock *l)
{
	uint64_t hist[HU_HOLD_BUCKETS] = { 0 };
	int err = 0;

	l->row.name = l->row.module = "";
	l->site = calloc(d->site_cnt, sizeof(*l->site));
	if (!l->site)
		return -ENOMEM;
	qsort(d->site, d->site_cnt, sizeof(d->site[0]), compare_sites);
	for (size_t i = 0; i < d->site_cnt && !err; i++) {
		const struct agg_hold *h = d->site[i];

		l->site_cnt++;
		err = build_site(b, h, i < SITES_WITH_LINES, &l->site[i]);
		add_stats(&l->stats, h);
		for (int k = 0; k < HU_HOLD_BUCKETS; k++)
			hist[k] += h->hist[k];
		if (h->oldest_ns && (!l->oldest_ns || h->oldest_ns < l->oldest_ns))
			l->oldest_ns = h->oldest_ns;
		note_longest(l, &l->site[i]);
	}
	add_percentiles(&l->stats, hist);
	if (!err)
		identify(b, d, l);
	return err;
}

static int build_locks(struct hold_builder *b, struct table *drafts)
{
	struct hold_report *r = b->report;
	struct draft_hold **order = calloc(drafts->cnt + 1, sizeof(*order)), *d;
	size_t cnt = 0;
	int err = 0;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; (d = table__next(drafts, &i));)
		order[cnt++] = d;
	qsort(order, cnt, sizeof(*order), compare_drafts);
	r->locks = cnt;
	for (size_t i = 0; i < cnt; i++)
		for (size_t s = 0; s < order[i]->site_cnt; s++) {
			r->acquisitions += order[i]->site[s]->sum.cnt;
			r->contended += order[i]->site[s]->sum.contended;
		}
	if (cnt > b->query->rows)
		cnt = b->query->rows;
	r->lock = calloc(cnt + 1, sizeof(*r->lock));
	if (!r->lock)
		err = -ENOMEM;
	for (size_t i = 0; i < cnt && !err; i++) {
		r->lock_cnt++;
		err = build_lock(b, order[i], &r->lock[i]);
	}
	free(order);
	return err;
}

/* ---- cost */

static void price_all(struct hold_builder *b)
{
	const uint64_t *count = b->in->count;
	struct hold_cost *c = &b->report->cost;
	const struct hold_price *price = b->in->price;

	c->operations =
		count[HU_HOLD_HITS + HU_HOLD_AT_LOCK] + count[HU_HOLD_HITS + HU_HOLD_AT_UNLOCK];
	c->hits = c->operations + count[HU_HOLD_HITS + HU_HOLD_AT_RETURN];
	for (int i = 0; i < HU_HOLD_PLACES; i++) {
		uint64_t hits = count[HU_HOLD_HITS + i], stepped = count[HU_HOLD_STEPPED_HITS + i];

		if (count[HU_HOLD_SAMPLES + i])
			c->program_ns += (double)count[HU_HOLD_RUN_NS + i] /
					 count[HU_HOLD_SAMPLES + i] * hits;
		if (stepped > hits)
			stepped = hits;
		c->probe_ns += stepped * price->stepped_ns +
			       (hits - stepped) * (i == HU_HOLD_AT_RETURN ? price->return_ns
									  : price->emulated_ns);
	}
	memcpy(b->report->count, count, sizeof(b->report->count));
	b->report->price = *b->in->price;
}

int hold_report__build(const struct hold_input *in, const struct locks_query *query,
		       const struct locks_report *waits, struct hold_report **ret)
{
	struct hold_builder b = { .in = in, .query = query, .waits = waits };
	struct table drafts = { 0 };
	const struct agg_hold *h;
	int err = 0;

	b.report = calloc(1, sizeof(*b.report));
	if (!b.report)
		return -ENOMEM;
	for (size_t i = 0; !err && (h = table__next(&in->holds->holds, &i));)
		err = add_to_draft(&drafts, h);
	if (!err)
		err = build_locks(&b, &drafts);
	table__clear(&drafts, draft__free);
	if (!err)
		err = hold__build_order(&b);
	price_all(&b);
	if (err)
		hold_report__free(b.report);
	else
		*ret = b.report;
	return err;
}

void hold_report__free(struct hold_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->lock_cnt; i++) {
		for (size_t s = 0; s < r->lock[i].site_cnt; s++)
			free(r->lock[i].site[s].frames);
		free(r->lock[i].site);
	}
	free(r->lock);
	hold__free_order(r);
	free(r);
}
