// SPDX-License-Identifier: GPL-2.0-only
/* Sites to rows: what each wait was for, and which waits were for the same lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"
#include "user/model/locks_build.h"

#define ASKED_MAX \
	64 /* sites a report whose inlined functions are asked for to tell their kind: slow */

struct word {
	const struct agg_process *process;
	uint64_t uaddr;
	struct draft_row *row;
};

size_t builder__frames(const struct builder *b, const struct agg_site *site, bool lines,
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

	if (!(site->agg->flags & HU_WAIT_SHARED) || site->target.kind == LOCK_JOIN || !p->names ||
	    !site->target.object)
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

/* The function of the program's own that waits: the first above the library, if the stack is sure of it. */
const struct sym_frame *frames__caller(const struct sym_frame *frames, size_t cnt, int api)
{
	for (size_t i = api + 1; i < cnt && !frames[i].guessed; i++)
		if (!target__is_runtime(&frames[i]))
			return &frames[i];
	return NULL;
}

/* As far as the stack is known. */
static bool is_runtime_only(const struct sym_frame *frames, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (!target__is_runtime(&frames[i]))
			return false;
	return true;
}

void builder__classify(const struct builder *b, const struct agg_site *agg,
		       const struct sym_frame *frames, size_t cnt, struct target_wait *ret)
{
	struct hu_wait_record rec = agg->sample;
	struct sym_object object = { .name = "" };
	struct target_site site = { .frames = frames, .frame_cnt = cnt, .rec = &rec };

	rec.uaddr = agg->uaddr;
	rec.op = agg->op;
	rec.flags |= agg->flags;
	if (agg->process->names)
		symbolizer__object(b->in->symbolizer, agg->process->names, agg->uaddr, &object);
	site.symbol = object.name;
	site.symbol_off = object.offset;
	target__classify(&site, ret);
	/* Most of what threads of a Go program sleep on is their own idleness; without a stack nothing tells. */
	if (ret->kind == LOCK_FUTEX && agg->process->go && is_runtime_only(frames, cnt)) {
		ret->kind = LOCK_PARK;
		ret->object = 0;
		ret->label = "Go thread";
		ret->idle = ret->unsure = true;
	}
}

/*
 * Where no address tells one lock from another, the function that waits is the best that is known. Code in
 * no file has none that is the same from one time to the next.
 */
static const char *place_of(const struct target_wait *target, const struct sym_frame *frames,
			    size_t cnt)
{
	const struct sym_frame *caller = frames__caller(frames, cnt, target->api);

	return !target->object && caller ? caller->function : "";
}

/* Whether there is still room to ask for the inlined functions of a stack. */
static bool may_ask(uint64_t asked[ASKED_MAX], uint64_t stack_id)
{
	size_t i = 0;

	while (i < ASKED_MAX && asked[i] && asked[i] != stack_id)
		i++;
	if (i < ASKED_MAX)
		asked[i] = stack_id;
	return i < ASKED_MAX;
}

int builder__classify_sites(struct builder *b)
{
	const struct table *sites = &b->in->aggregate->sites;
	struct sym_frame frames[FRAMES_MAX];
	const struct agg_site *agg;
	uint64_t asked[ASKED_MAX] = { 0 };
	size_t cnt;
	uint16_t flags;
	int err;

	b->site = calloc(sites->cnt + 1, sizeof(*b->site));
	if (!b->site)
		return -ENOMEM;
	for (size_t i = 0; (agg = table__next(sites, &i));) {
		struct draft_site *site = &b->site[b->site_cnt++];

		cnt = builder__frames(b, agg, false, frames, &flags);
		builder__classify(b, agg, frames, cnt, &site->target);
		/* Only debugging information knows what was inlined. */
		if (site->target.kind == LOCK_FUTEX && cnt && may_ask(asked, agg->stack_id)) {
			cnt = builder__frames(b, agg, true, frames, &flags);
			builder__classify(b, agg, frames, cnt, &site->target);
		}
		site->agg = agg;
		site->process = agg->process;
		site->place = place_of(&site->target, frames, cnt);
		err = unify_shared(b, site);
		if (err)
			return err;
	}
	return 0;
}

/* ---- rows */

static bool row__equal(const void *value, const void *key)
{
	const struct draft_row *d = value;
	const struct row_key *k = key;

	return d->row.process == k->process && d->row.address == k->object &&
	       d->row.kind == k->kind && d->row.idle == k->idle &&
	       (k->object || (!strcmp(d->row.label, k->label) && !strcmp(d->place, k->place)));
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

int row__add_site(struct draft_row *d, struct draft_site *site)
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

void stats__add(struct lock_stats *s, const struct agg_site *agg)
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
	s->requeued += agg->requeued;
}

int row__get(struct builder *b, const struct row_key *key, struct draft_row **ret)
{
	uint64_t hash = hash__mix(hash__mix((uintptr_t)key->process, key->object), key->kind);
	struct draft_row *d = table__find(&b->rows, hash, row__equal, key);
	int err;

	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->row.process = key->process;
		d->row.address = key->object;
		d->row.kind = key->kind;
		d->row.idle = key->idle;
		d->row.label = key->label;
		d->place = key->place;
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
		.kind = site->target.kind,
		.idle = site->target.idle,
		.label = site->target.label,
		.place = site->place,
	};
	struct word *word = word__find(b, agg->process, agg->uaddr);
	struct draft_row *d;
	int err;

	/* Known from other waits for the same word: one that says "futex" is the same lock. */
	if (word && key.kind == LOCK_FUTEX) {
		key.kind = site->target.kind = word->row->row.kind;
		key.idle = word->row->row.idle;
		key.object = site->target.object = word->row->row.address;
	}
	err = row__get(b, &key, &d);
	if (!err)
		err = row__add_site(d, site);
	if (!err && key.object) /* a word of the thread's own serves for many locks */
		err = word__note(b, agg, d);
	if (err)
		return err;
	stats__add(&d->row.stats, agg);
	hist__merge(&d->hist, &agg->hist);
	d->row.shared |= (agg->flags & HU_WAIT_SHARED) != 0;
	d->row.unsure |= site->target.unsure;
	d->row.waiters_now += agg->waiters_now;
	if (key.object && agg->depth_max > d->row.waiters_max)
		d->row.waiters_max = agg->depth_max;
	return 0;
}

int builder__place_sites(struct builder *b)
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

void row__add_calls(struct lock_row *row, const struct hu_calls *calls)
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
		row__add_calls(&w->row->row, calls);
	return 0;
}

int builder__add_calls(struct builder *b)
{
	return source__calls(b->in->source, on_calls, b);
}

void draft_row__free(void *value)
{
	struct draft_row *d = value;

	hist__free(&d->hist);
	free(d->site);
	free(d->chain);
	free(d->go);
	free(d);
}

void builder__free_rows(struct builder *b)
{
	table__clear(&b->rows, draft_row__free);
	table__clear(&b->words, free);
	table__clear(&b->shared, free);
	table__clear(&b->blames, free);
	builder__free_goroutines(b);
	free(b->site);
}
