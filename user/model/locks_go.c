// SPDX-License-Identifier: GPL-2.0-only
/* Rows for what goroutines wait for, beside those of threads: from looks at them (aggregate/go_waits.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/go_sampler.h"
#include "user/model/go_names.h"
#include "user/model/locks_build.h"

/* ---- places */

static size_t name_frames(struct builder *b, const struct go_target *go,
			  const struct go_stack *stack, struct sym_frame *buf)
{
	size_t cnt = 0;

	for (size_t i = 0; i < stack->frames && cnt < FRAMES_MAX; i++)
		cnt += go_names__frames(b->in->symbolizer, go, stack->pcs[i], false, true,
					buf + cnt, FRAMES_MAX - cnt);
	return cnt;
}

/* By the stack alone: what a probe has seen waits for a semaphore. */
static void classify_counted(const struct go_target *go, struct go_place *place)
{
	struct go_goroutine g = { .status = GO_WAITING, .sema = place->word };
	struct go_frame frame[FRAMES_MAX];

	for (size_t i = 0; i < place->frame_cnt; i++)
		frame[i] = (struct go_frame){ .function = place->frames[i].raw };
	go_wait__classify(&g, "semacquire", frame, place->frame_cnt, "", 0, &place->wait);
}

static void classify_sampled(const struct go_target *go, const struct go_waited *w,
			     struct go_place *place)
{
	bool sema = !w->chans;
	struct go_goroutine g = { .status = GO_WAITING,
				  .reason = w->reason,
				  .chans = w->chans,
				  .startpc = w->startpc,
				  .sema = sema ? w->word : 0 };

	go_names__classify(go, &g, place->frames, place->frame_cnt, sema ? 0 : w->word,
			   &place->wait);
}

int builder__go_frames(struct builder *b, const struct go_target *go, const struct go_stack *stack,
		       struct sym_frame **ret, size_t *ret_cnt)
{
	struct sym_frame frames[FRAMES_MAX];
	size_t cnt = name_frames(b, go, stack, frames);

	*ret = malloc((cnt + 1) * sizeof(*frames));
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, frames, cnt * sizeof(*frames));
	*ret_cnt = cnt;
	return 0;
}

static int fill_sampled(struct builder *b, const struct agg_process *p, const struct go_waited *w,
			struct go_place *place)
{
	int err;

	*place = (struct go_place){
		.process = p, .stack = w->stack, .word = w->word, .now = w->now, .max = w->max
	};
	place->stats = (struct lock_stats){ .waits = w->waits,
					    .before = w->before,
					    .wait_ns = w->wait_ns,
					    .max_ns = w->longest_ns };
	if (!w->stack)
		return 0;
	err = builder__go_frames(b, p->go->target, w->stack, &place->frames, &place->frame_cnt);
	if (err)
		return err;
	classify_sampled(p->go->target, w, place);
	place->idle = place->wait.idle || place->wait.patient;
	return 0;
}

static int fill_counted(struct builder *b, const struct agg_process *p, const struct go_counted *c,
			struct go_place *place)
{
	struct go_share share = go_counted__share(c);
	int err;

	*place = (struct go_place){ .process = p,
				    .stack = go_counts__stack(&p->go->counts, c->site),
				    .word = c->sema,
				    .counted = c,
				    .now = c->waiting };
	place->stats = (struct lock_stats){ .waits = share.waits + c->ongoing,
					    .sleeps = share.sleeps + c->ongoing,
					    .before = share.before,
					    .ongoing = c->ongoing,
					    .wait_ns = share.ns + c->ongoing_ns,
					    .max_ns = share.max_ns };
	place->stats.blocked_ns = place->stats.wait_ns;
	if (!place->stack)
		return 0;
	err = builder__go_frames(b, p->go->target, place->stack, &place->frames, &place->frame_cnt);
	if (err)
		return err;
	classify_counted(p->go->target, place);
	place->idle = place->wait.idle || place->wait.patient;
	return 0;
}

static int fill_places(struct builder *b)
{
	const struct table *processes = &b->in->aggregate->processes;
	const struct go_counted *c;
	const struct agg_process *p;
	const struct go_waited *w;
	size_t cnt = 0;
	int err = 0;

	for (size_t i = 0; (p = table__next(processes, &i));)
		cnt += p->go ? p->go->waits.places.cnt + p->go->counts.places.cnt : 0;
	b->go_place = calloc(cnt + 1, sizeof(*b->go_place));
	if (!b->go_place)
		return -ENOMEM;
	for (size_t i = 0; !err && (p = table__next(processes, &i));) {
		if (!p->go || !p->go->target->open)
			continue;
		for (size_t k = 0; !err && (w = table__next(&p->go->waits.places, &k));)
			err = fill_sampled(b, p, w, &b->go_place[b->go_place_cnt++]);
		for (size_t k = 0; !err && (c = table__next(&p->go->counts.places, &k));)
			err = fill_counted(b, p, c, &b->go_place[b->go_place_cnt++]);
	}
	return err;
}

/* ---- rows */

static const char *caller_of(const struct go_place *place)
{
	const struct sym_frame *f =
		frames__caller(place->frames, place->frame_cnt, place->wait.api);

	return f ? f->function : "";
}

/*
 * A wait group, or a channel on which an answer is to come, is often made anew for each request: those without a
 * name are one row for each place, and so is what no address is known of.
 */
static uint64_t row_object(struct builder *b, const struct go_place *place)
{
	struct sym_object object = { .name = "" };
	bool kept = place->wait.kind == LOCK_GO_MUTEX || place->wait.kind == LOCK_GO_RWMUTEX;

	if (!kept && place->wait.object && place->process->names)
		symbolizer__object(b->in->symbolizer, place->process->names, place->wait.object,
				   &object);
	return kept || *object.name ? place->wait.object : 0;
}

static int get_row(struct builder *b, const struct go_place *place, struct draft_row **ret)
{
	uint64_t object = row_object(b, place);
	struct row_key key = {
		.process = place->process,
		.object = object,
		.kind = place->wait.kind,
		.idle = place->idle,
		.label = place->wait.label,
		.place = object ? "" : caller_of(place),
	};

	switch (b->query->by) {
	case BY_SITE:
		return builder__chain_row(b, &key, place->frames, place->frame_cnt, place->wait.api,
					  ret);
	case BY_PROCESS:
		key.object = 0;
		key.kind = place->idle ? LOCK_GO_COND : LOCK_GO_MUTEX;
		key.label = key.place = "";
		return row__get(b, &key, ret);
	default:
		return row__get(b, &key, ret);
	}
}

struct go_lock {
	const void *of; /* the row, or the report */
	const struct agg_process *process;
	uint64_t object;
	enum lock_kind kind;
	const char *place;
};

static bool lock__is(const void *value, const void *key)
{
	const struct go_lock *a = value, *k = key;

	return a->of == k->of && a->process == k->process && a->object == k->object &&
	       a->kind == k->kind && !strcmp(a->place, k->place);
}

/* *ret: it was not there yet. */
static int count_lock(struct builder *b, const void *of, const struct go_place *place, bool *ret)
{
	struct go_lock key = { of, place->process, place->wait.object, place->wait.kind,
			       place->wait.object ? "" : caller_of(place) };
	uint64_t hash = hash__mix(hash__mix((uintptr_t)of, key.object), (uintptr_t)key.process);
	struct go_lock *lock;

	*ret = !table__find(&b->go_locks, hash, lock__is, &key);
	if (!*ret)
		return 0;
	lock = malloc(sizeof(*lock));
	if (!lock)
		return -ENOMEM;
	*lock = key;
	if (table__add(&b->go_locks, hash, lock)) {
		free(lock);
		return -ENOMEM;
	}
	return 0;
}

static int row__add_place(struct draft_row *d, struct go_place *place)
{
	if (d->go_cnt == d->go_cap) {
		size_t cap = d->go_cap ? d->go_cap * 2 : 4;
		void *more = realloc(d->go, cap * sizeof(struct go_place *));

		if (!more)
			return -ENOMEM;
		d->go = more;
		d->go_cap = cap;
	}
	d->go[d->go_cnt++] = place;
	place->row = d;
	return 0;
}

void go_stats__add(struct lock_stats *s, const struct lock_stats *more)
{
	s->waits += more->waits;
	s->sleeps += more->sleeps;
	s->before += more->before;
	s->ongoing += more->ongoing;
	s->blocked_ns += more->blocked_ns;
	s->wait_ns += more->wait_ns;
	if (more->max_ns > s->max_ns)
		s->max_ns = more->max_ns;
}

static int place_in(struct draft_row *d, struct go_place *place)
{
	int err = row__add_place(d, place);

	if (err)
		return err;
	go_stats__add(&d->row.stats, &place->stats);
	if (place->counted)
		go_counted__add_hist(place->counted, &d->hist);
	d->row.waiters_now += place->now;
	/* How many waited at several places at once is not known. */
	d->row.waiters_max = d->go_cnt == 1 ? place->max : 0;
	d->row.goroutines = true;
	d->row.sampled |= !place->counted;
	return 0;
}

/*
 * Who could not be read in time has no stack: where others wait for the same semaphore or channel, it is one of them.
 */
static bool word__is(const void *value, const void *key)
{
	const struct go_place *a = value, *k = key;

	return a->process == k->process && a->word == k->word;
}

static uint64_t word__hash(const struct go_place *place)
{
	return hash__mix((uintptr_t)place->process, place->word);
}

static struct draft_row *row_of_word(const struct builder *b, const struct go_place *place)
{
	const struct go_place *other =
		table__find(&b->go_words, word__hash(place), word__is, place);

	return other ? other->row : NULL;
}

static int note_word(struct builder *b, struct go_place *place)
{
	return row_of_word(b, place) ? 0 : table__add(&b->go_words, word__hash(place), place);
}

static int add_place(struct builder *b, struct go_place *place)
{
	struct draft_row *d;
	bool is_new, first;
	int err = get_row(b, place, &d);

	if (!err)
		err = count_lock(b, d, place, &is_new);
	if (!err)
		err = place_in(d, place);
	if (!err && !place->idle)
		err = count_lock(b, b->report, place, &first);
	if (err)
		return err;
	if (place->word)
		err = note_word(b, place);
	d->row.locks = d->go_cnt == 1 ? 1 : d->row.locks + is_new;
	b->report->locks += !place->idle && first;
	if (!place->idle && !place->counted)
		b->report->sampled_ns += place->stats.wait_ns;
	return err;
}

static int summarize(struct builder *b, const struct agg_process *p)
{
	struct locks_report *r = b->report;
	const struct go_sampler *s = p->go;
	const struct go_counted *c;
	struct locks_golang *more = reallocarray(r->go, r->go_cnt + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->go = more;
	r->go[r->go_cnt++] = (struct locks_golang){
		.process = p,
		.version = s->target->binary->version,
		.why = s->target->open ? "" : s->target->why,
		.probed = s->counted,
		.semaphores = s->waits.look[GO_LOOK_SEMAPHORES].looks,
		.others = s->waits.look[GO_LOOK_OTHERS].looks,
		.goroutines = s->all ? s->all->cnt : 0,
		.rejected = s->rejected,
		.missed = s->missed,
		.beyond_ns = s->waits.beyond_ns,
	};
	/* Over before its tables could be read: what its stacks say is not known. */
	for (size_t i = 0; !s->target->open && (c = table__next(&s->counts.places, &i));)
		r->go[r->go_cnt - 1].unplaced_ns += go_counted__share(c).ns + c->ongoing_ns;
	return 0;
}

static struct locks_golang *told_of(struct builder *b, const struct agg_process *p)
{
	for (size_t i = 0; i < b->report->go_cnt; i++)
		if (b->report->go[i].process == p)
			return &b->report->go[i];
	return NULL;
}

static int by_tgid(const void *a, const void *b)
{
	const struct locks_golang *x = a, *y = b;

	return x->process->tgid < y->process->tgid ? -1 : x->process->tgid > y->process->tgid;
}

int builder__add_goroutines(struct builder *b)
{
	const struct agg_process *p;
	struct draft_row *d;
	int err = fill_places(b);

	for (size_t i = 0; !err && (p = table__next(&b->in->aggregate->processes, &i));)
		if (p->go)
			err = summarize(b, p);
	if (!err && b->report->go_cnt)
		qsort(b->report->go, b->report->go_cnt, sizeof(b->report->go[0]), by_tgid);
	for (size_t i = 0; i < b->go_place_cnt && !err; i++) {
		struct go_place *place = &b->go_place[i];

		if (place->stats.wait_ns && place->stack && place->wait.kind && !place->wait.system)
			err = add_place(b, place);
	}
	for (size_t i = 0; i < b->go_place_cnt && !err; i++) {
		struct go_place *place = &b->go_place[i];

		if (place->stack || !place->stats.wait_ns)
			continue;
		d = row_of_word(b, place);
		if (d)
			err = place_in(d, place);
		else
			told_of(b, place->process)->unplaced_ns += place->stats.wait_ns;
	}
	return err;
}

void builder__free_goroutines(struct builder *b)
{
	for (size_t i = 0; i < b->go_place_cnt; i++)
		free(b->go_place[i].frames);
	free(b->go_place);
	table__clear(&b->go_locks, free);
	table__clear(&b->go_words, NULL);
}
