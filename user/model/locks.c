// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/locks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"

#define FRAMES_MAX	 256 /* of one stack, inlined ones included */
#define SITES_WITH_LINES 16  /* libdw is slow: the longest sites of a row get source lines */

/* A site while the report is made: what it is for is known, its row not yet final. */
struct draft_site {
	const struct agg_site *agg;
	struct target_wait target;
	/* Whose row it is in: for a lock in shared memory the first process that was found waiting for it. */
	const struct agg_process *process;
};

struct draft_row {
	struct lock_row row;
	struct hist hist;
	struct draft_site **site;
	size_t site_cnt, site_cap;
};

struct builder {
	const struct locks_input *in;
	const struct locks_query *query;
	struct draft_site *site;
	size_t site_cnt;
	struct table rows;   /* of struct draft_row */
	struct table shared; /* of struct shared_lock */
	struct table words;  /* of struct word: which row a futex word belongs to */
	struct locks_report *report;
};

struct word {
	const struct agg_process *process;
	uint64_t uaddr;
	struct draft_row *row;
};

/* ---- stacks to frames */

static size_t frames_of(const struct builder *b, const struct agg_site *site, bool lines,
			struct sym_frame *buf, uint16_t *flags)
{
	return stack__frames(b->in->aggregate, b->in->symbolizer, site->process, site->stack_id,
			     lines, buf, FRAMES_MAX, flags);
}

/* ---- locks in shared memory: one lock, however many processes have it mapped, and wherever */

struct shared_lock {
	uint32_t major, minor;
	uint64_t ino, off; /* of the object in the file */
	const struct agg_process *process;
	uint64_t object; /* its address there */
};

static bool shared__equal(const void *value, const void *key)
{
	const struct shared_lock *a = value, *b = key;

	return a->major == b->major && a->minor == b->minor && a->ino == b->ino && a->off == b->off;
}

/* Gives a site at a shared lock the process and address under which that lock is known. */
static int unify_shared(struct builder *b, struct draft_site *site)
{
	const struct agg_process *p = site->agg->process;
	const struct mapping *map;
	struct shared_lock key, *found;
	uint64_t hash;
	int err;

	if (!(site->agg->flags & HU_WAIT_SHARED) || site->target.kind == LOCK_JOIN || !p->names)
		return 0;
	map = maps__find(sym_process__maps(p->names), site->target.object);
	if (!map || !map->shared || !map->ino)
		return 0;
	key = (struct shared_lock){
		.major = map->major,
		.minor = map->minor,
		.ino = map->ino,
		.off = map->off + (site->target.object - map->start),
		.process = p,
		.object = site->target.object,
	};
	hash = hash__mix(hash__mix(key.ino, key.off), (uint64_t)key.major << 32 | key.minor);
	found = table__find(&b->shared, hash, shared__equal, &key);
	if (!found) {
		found = malloc(sizeof(*found));
		if (!found)
			return -ENOMEM;
		*found = key;
		err = table__add(&b->shared, hash, found);
		if (err) {
			free(found);
			return err;
		}
	}
	site->process = found->process;
	site->target.object = found->object;
	return 0;
}

/* ---- what each site is for */

static int classify_sites(struct builder *b)
{
	const struct table *sites = &b->in->aggregate->sites;
	struct sym_frame frames[FRAMES_MAX];
	const struct agg_site *agg;
	struct hu_wait_record rec;
	uint16_t flags;
	size_t cnt;
	int err;

	b->site = calloc(sites->cnt + 1, sizeof(*b->site));
	if (!b->site)
		return -ENOMEM;
	for (size_t i = 0; (agg = table__next(sites, &i));) {
		struct draft_site *site = &b->site[b->site_cnt++];

		rec = agg->sample;
		rec.uaddr = agg->uaddr;
		rec.op = agg->op;
		rec.flags |= agg->flags;
		cnt = frames_of(b, agg, false, frames, &flags);
		/* Below a leaf walked by frame pointers frames are missing: names there prove
		 * nothing. */
		if (flags & HU_STACK_FRAMEPTR)
			cnt = cnt ? 1 : 0;
		site->agg = agg;
		site->process = agg->process;
		target__classify(frames, cnt, &rec, &site->target);
		err = unify_shared(b, site);
		if (err)
			return err;
	}
	return 0;
}

/* ---- rows */

struct row_key {
	const struct agg_process *process;
	uint64_t object;
	uint64_t stack_id; /* BY_SITE only */
	enum lock_kind kind;
};

static bool row__equal(const void *value, const void *key)
{
	const struct draft_row *d = value;
	const struct row_key *k = key;

	return d->row.process == k->process && d->row.address == k->object &&
	       d->row.kind == k->kind && (!k->stack_id || d->site[0]->agg->stack_id == k->stack_id);
}

static bool word__equal(const void *value, const void *key)
{
	const struct word *w = value, *k = key;

	return w->process == k->process && w->uaddr == k->uaddr;
}

static struct word *word__find(const struct builder *b, const struct agg_process *p, uint64_t uaddr)
{
	struct word key = { .process = p, .uaddr = uaddr };

	return table__find(&b->words, hash__mix((uintptr_t)p, uaddr), word__equal, &key);
}

/* Remembers the row of a futex word, so that sites whose kind is not known can join it. */
static int word__note(struct builder *b, const struct agg_site *agg, struct draft_row *row)
{
	struct word *w = word__find(b, agg->process, agg->uaddr);
	int err;

	if (w)
		return 0;
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct word){ agg->process, agg->uaddr, row };
	err = table__add(&b->words, hash__mix((uintptr_t)w->process, w->uaddr), w);
	if (err)
		free(w);
	return err;
}

static int row__add_site(struct draft_row *d, struct draft_site *site)
{
	if (d->site_cnt == d->site_cap) {
		size_t cap = d->site_cap ? d->site_cap * 2 : 4;
		void *more = realloc(d->site, cap * sizeof(struct draft_site *));

		if (!more)
			return -ENOMEM;
		d->site = more;
		d->site_cap = cap;
	}
	d->site[d->site_cnt++] = site;
	return 0;
}

static void stats__add(struct lock_stats *s, const struct agg_site *agg)
{
	s->waits += agg->waits;
	s->sleeps += agg->sleeps;
	s->blocked_ns += agg->blocked_ns;
	s->runq_ns += agg->runq_ns;
	s->wait_ns += agg->blocked_ns + agg->runq_ns;
	if (agg->max_ns > s->max_ns)
		s->max_ns = agg->max_ns;
	if (agg->summarized)
		s->summarized += agg->waits;
	s->ongoing += agg->ongoing;
	s->before += agg->before;
}

static int row__get(struct builder *b, const struct row_key *key, struct draft_row **ret)
{
	uint64_t hash =
		hash__mix(hash__mix(hash__mix((uintptr_t)key->process, key->object), key->stack_id),
			  key->kind);
	struct draft_row *d = table__find(&b->rows, hash, row__equal, key);
	int err;

	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->row.process = key->process;
		d->row.address = key->object;
		d->row.kind = key->kind;
		d->row.locks = 1;
		err = table__add(&b->rows, hash, d);
		if (err) {
			free(d);
			return err;
		}
	}
	*ret = d;
	return 0;
}

static int place_site(struct builder *b, struct draft_site *site)
{
	const struct agg_site *agg = site->agg;
	struct row_key key = {
		.process = site->process,
		.object = site->target.object,
		.stack_id = b->query->by == BY_SITE ? agg->stack_id : 0,
		.kind = site->target.kind,
	};
	struct word *word = word__find(b, agg->process, agg->uaddr);
	struct draft_row *d;
	int err;

	/* Known from other waits for the same word: one that says "futex" is the same lock. */
	if (word && key.kind == LOCK_FUTEX) {
		key.kind = site->target.kind = word->row->row.kind;
		key.object = word->row->row.address;
	}
	err = row__get(b, &key, &d);
	if (!err)
		err = row__add_site(d, site);
	if (!err)
		err = word__note(b, agg, d);
	if (err)
		return err;
	stats__add(&d->row.stats, agg);
	hist__merge(&d->hist, &agg->hist);
	d->row.shared |= (agg->flags & HU_WAIT_SHARED) != 0;
	d->row.waiters_now += agg->waiters_now;
	if (agg->depth_max > d->row.waiters_max)
		d->row.waiters_max = agg->depth_max;
	return 0;
}

static int place_sites(struct builder *b)
{
	/* Sites of known kind first: the others may join their rows. */
	for (int known = 1; known >= 0; known--)
		for (size_t i = 0; i < b->site_cnt; i++) {
			bool is_known = b->site[i].target.kind != LOCK_FUTEX;
			int err = is_known == known ? place_site(b, &b->site[i]) : 0;

			if (err)
				return err;
		}
	return 0;
}

static void calls__add(struct lock_row *row, const struct hu_calls *calls)
{
	struct hu_calls *sum = &row->calls;

	row->has_calls = true;
	sum->waits += calls->waits;
	sum->again += calls->again;
	sum->timedout += calls->timedout;
	sum->interrupted += calls->interrupted;
	sum->wakes += calls->wakes;
	sum->wakes_none += calls->wakes_none;
	sum->requeues += calls->requeues;
}

static int on_calls(void *ctx, const struct hu_call_key *key, const struct hu_calls *calls)
{
	struct builder *b = ctx;
	const struct agg_process *p = aggregate__find(b->in->aggregate, key->tgid, key->proc_start);
	struct word *w = p ? word__find(b, p, key->uaddr) : NULL;

	if (w) /* else never slept on: no contention to explain */
		calls__add(&w->row->row, calls);
	return 0;
}

/* ---- one row for each process */

static int fold_processes(struct builder *b)
{
	struct table locks = b->rows;
	struct draft_row *d, *sum;
	int err = 0;

	b->rows = (struct table){ 0 };
	for (size_t i = 0; (d = table__next(&locks, &i));) {
		struct row_key key = { .process = d->row.process, .kind = LOCK_INVALID };

		/* Idle waits keep a row of their own, to be hidden or shown apart. */
		if (lock_kind__idle(d->row.kind))
			key.kind = LOCK_CONDVAR;
		if (!err)
			err = row__get(b, &key, &sum);
		if (err)
			continue;
		sum->row.locks += sum->site_cnt ? 1 : 0;
		for (size_t s = 0; s < d->site_cnt && !err; s++) {
			err = row__add_site(sum, d->site[s]);
			stats__add(&sum->row.stats, d->site[s]->agg);
		}
		hist__merge(&sum->hist, &d->hist);
		sum->row.waiters_now += d->row.waiters_now;
		if (d->row.has_calls)
			calls__add(&sum->row, &d->row.calls);
		if (d->row.waiters_max > sum->row.waiters_max)
			sum->row.waiters_max = d->row.waiters_max;
		hist__free(&d->hist);
		free(d->site);
		free(d);
	}
	table__clear(&locks, NULL);
	return err;
}

/* ---- names */

static int compare_draft_sites(const void *a, const void *b)
{
	const struct draft_site *const *x = a, *const *y = b;
	uint64_t xns = (*x)->agg->blocked_ns + (*x)->agg->runq_ns;
	uint64_t yns = (*y)->agg->blocked_ns + (*y)->agg->runq_ns;

	if (xns != yns)
		return xns < yns ? 1 : -1;
	return (*x)->agg->stack_id < (*y)->agg->stack_id ? -1 : 1;
}

/* The function of the program's own that waits: the first above the library, if the stack is sure
 * of it. */
static const struct sym_frame *caller_of(const struct lock_site *site)
{
	if (site->stack_flags & HU_STACK_FRAMEPTR)
		return NULL;
	for (size_t i = site->api + 1; i < site->frame_cnt; i++)
		if (!target__is_runtime(&site->frames[i]))
			return &site->frames[i];
	return NULL;
}

static const char *what(enum lock_kind kind)
{
	if (kind == LOCK_FUTEX || kind == LOCK_PARK)
		return "futex";
	return lock_kind__idle(kind) ? lock_kind__name(kind) : "lock";
}

static void name_row(struct builder *b, struct lock_row *row)
{
	struct sym_object object = { .name = "", .module = "" };
	const struct sym_frame *caller;
	char text[512];
	uint64_t bias;

	row->name = row->module = "";
	if (row->process->names) {
		row->exe = sym_process__exe(row->process->names);
		symbolizer__object(b->in->symbolizer, row->process->names, row->address, &object);
		row->module = object.module;
		row->module_offset = *object.name ? 0 : object.offset;
		if (*object.module && sym_process__module(b->in->symbolizer, row->process->names,
							  row->address, &bias))
			row->module_offset = row->address - bias;
	}
	if (*object.name) {
		snprintf(text, sizeof(text), object.offset ? "%s+0x%llx" : "%s", object.name,
			 (unsigned long long)object.offset);
		row->name = symbolizer__intern(b->in->symbolizer, text);
	} else {
		caller = row->site_cnt ? caller_of(&row->sites[0]) : NULL;
		if (!caller)
			return;
		if (*caller->function)
			snprintf(text, sizeof(text), "%s in %s", what(row->kind), caller->function);
		else
			snprintf(text, sizeof(text), "%s in %s+0x%llx", what(row->kind),
				 caller->module, (unsigned long long)caller->offset);
		row->name = symbolizer__intern(b->in->symbolizer, text);
	}
	if (!row->name)
		row->name = "";
}

static int name_site(struct builder *b, const struct draft_site *draft, bool lines,
		     struct lock_site *ret)
{
	struct sym_frame frames[FRAMES_MAX];
	struct target_wait target;
	size_t cnt = frames_of(b, draft->agg, lines, frames, &ret->stack_flags);

	stats__add(&ret->stats, draft->agg);
	ret->stats.p50_ns = hist__percentile(&draft->agg->hist, 50, ret->stats.max_ns);
	ret->stats.p95_ns = hist__percentile(&draft->agg->hist, 95, ret->stats.max_ns);
	ret->stats.p99_ns = hist__percentile(&draft->agg->hist, 99, ret->stats.max_ns);
	target__classify(frames, cnt, &draft->agg->sample, &target);
	ret->api = target.api;
	if (!cnt)
		return 0;
	ret->frames = malloc(cnt * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, cnt * sizeof(*frames));
	ret->frame_cnt = cnt;
	return 0;
}

static int find_holders(struct builder *b, struct draft_row *d)
{
	const struct agg_site **site = calloc(d->site_cnt + 1, sizeof(struct agg_site *));
	int err;

	if (!site)
		return -ENOMEM;
	for (size_t i = 0; i < d->site_cnt; i++)
		site[i] = d->site[i]->agg;
	err = lock_row__find_holders(&d->row, site, d->site_cnt, b->in->aggregate,
				     b->in->symbolizer);
	free(site);
	return err;
}

static bool same(const void *value, const void *key)
{
	return value == key;
}

static int count_processes(struct draft_row *d)
{
	struct table processes = { 0 };
	int err = 0;

	for (size_t i = 0; i < d->site_cnt && !err; i++) {
		void *p = d->site[i]->agg->process;

		if (!table__find(&processes, (uintptr_t)p, same, p))
			err = table__add(&processes, (uintptr_t)p, p);
	}
	d->row.processes = processes.cnt;
	table__clear(&processes, NULL);
	return err;
}

static int finish_row(struct builder *b, struct draft_row *d)
{
	struct lock_row *row = &d->row;
	int err;

	row->stats.p50_ns = hist__percentile(&d->hist, 50, row->stats.max_ns);
	row->stats.p95_ns = hist__percentile(&d->hist, 95, row->stats.max_ns);
	row->stats.p99_ns = hist__percentile(&d->hist, 99, row->stats.max_ns);
	qsort(d->site, d->site_cnt, sizeof(d->site[0]), compare_draft_sites);
	row->sites = calloc(d->site_cnt, sizeof(*row->sites));
	if (!row->sites)
		return -ENOMEM;
	row->exe = "";
	for (size_t i = 0; i < d->site_cnt; i++) {
		row->site_cnt++;
		err = name_site(b, d->site[i], i < SITES_WITH_LINES, &row->sites[i]);
		if (err)
			return err;
	}
	name_row(b, row);
	err = count_processes(d);
	return err ? err : find_holders(b, d);
}

/* ---- order, totals, coverage */

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

static bool row__idle(const struct draft_row *d)
{
	return lock_kind__idle(d->row.kind);
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
		if (row__idle(d)) {
			r->idle_waits += d->row.stats.waits;
			r->idle_wait_ns += d->row.stats.wait_ns;
		} else {
			r->locks += d->row.locks;
			r->waits += d->row.stats.waits;
			r->sleeps += d->row.stats.sleeps;
			r->wait_ns += d->row.stats.wait_ns;
			r->ongoing += d->row.stats.ongoing;
			r->before += d->row.stats.before;
		}
		if (row__idle(d) && !b->query->idle)
			continue;
		rows[(*cnt)++] = d;
		if (!err &&
		    !table__find(&processes, (uintptr_t)d->row.process, same, d->row.process))
			err = table__add(&processes, (uintptr_t)d->row.process,
					 (void *)d->row.process);
	}
	r->processes = processes.cnt;
	table__clear(&processes, NULL);
	qsort_r(rows, *cnt, sizeof(rows[0]), compare_rows, (void *)b->query);
	*ret = rows;
	return err;
}

static void fill_coverage(struct builder *b)
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
	c->depth_unknown = loss[HU_LOSS_LOCK_FULL];
	c->malformed = b->in->malformed;
	c->below_min = t->below_min;
	c->below_min_ns = t->below_min_ns;
	c->processes_unreadable = sym.unreadable;
	c->futex_calls = b->in->futex_calls;
	for (size_t i = 0; i < b->site_cnt; i++) {
		const struct agg_site *agg = b->site[i].agg;
		const struct agg_stack *stack = aggregate__stack(b->in->aggregate, agg->stack_id);

		if (!agg->summarized && !(stack && (stack->flags & HU_STACK_COMPLETE)))
			c->stacks_incomplete += agg->waits;
	}
}

static int build(struct builder *b)
{
	struct locks_report *r = b->report;
	struct draft_row **rows = NULL;
	size_t cnt = 0;
	int err;

	err = classify_sites(b);
	if (!err)
		err = place_sites(b);
	if (!err && b->in->source && b->in->futex_calls)
		err = source__calls(b->in->source, on_calls, b);
	if (!err && b->query->by == BY_PROCESS)
		err = fold_processes(b);
	if (!err)
		err = choose_rows(b, &rows, &cnt);
	if (cnt > b->query->rows)
		cnt = b->query->rows;
	if (!err) {
		r->row = calloc(cnt + 1, sizeof(*r->row));
		err = r->row ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < cnt && !err; i++) {
		err = finish_row(b, rows[i]);
		r->row[r->row_cnt++] = rows[i]->row;
	}
	free(rows);
	fill_coverage(b);
	return err;
}

static void draft_row__free(void *value)
{
	struct draft_row *d = value;

	hist__free(&d->hist);
	free(d->site);
	free(d);
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
	err = build(&b);
	table__clear(&b.rows, draft_row__free);
	table__clear(&b.words, free);
	table__clear(&b.shared, free);
	free(b.site);
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
	}
	free(r->row);
	free(r);
}
