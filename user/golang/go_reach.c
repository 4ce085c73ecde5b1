// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 5 /* back from an object */
/* Below a place: larger objects with a pointer at their end are very rare. */
#define NEAR_SZ	     4096
#define TARGETS_MAX  16384 /* in one step; more are not followed */
#define OLD_STACK_SZ 2048  /* the smallest that there are */
#define CLOSURE_SZ   256   /* of captured variables before the one that is looked at */

/* Pointers to [from, to) lead to the object. */
struct target {
	uint64_t from, to;
	size_t object;
	bool closure; /* exactly known: without any pointer to it, it is garbage */
	bool found;   /* something points to it */
};

struct reach {
	const struct go_process *p;
	const struct go_snapshot *s;
	const struct go_copy *copy;
	size_t copies;
	struct go_object *object;
	size_t objects;
	struct target *now, *next;
	size_t nows, nexts;
	uint64_t lo, hi;   /* of all targets of this step */
	struct table seen; /* of struct target: each is followed once */
};

/* ---- where a word is */

static const struct go_goroutine *stack_at(const struct reach *r, uint64_t addr, bool *ret_dead)
{
	const struct go_stack_range *range = r->s->range;
	size_t lo = 0, hi = r->s->ranges;

	*ret_dead = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (range[mid].hi <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == r->s->ranges || addr < range[lo].lo)
		return NULL;
	*ret_dead = range[lo].goroutine == SIZE_MAX;
	return *ret_dead ? NULL : &r->s->goroutine[range[lo].goroutine];
}

static bool within(const struct go_range *range, uint64_t addr)
{
	return addr >= range->from && addr < range->to;
}

static const struct go_goroutine *goroutine_at(const struct reach *r, uint64_t g)
{
	size_t lo = 0, hi = r->s->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->s->goroutine[mid].addr <= g)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &r->s->goroutine[lo - 1] : NULL;
}

static bool word_at(const struct go_copy *c, uint64_t addr, uint64_t *ret)
{
	if (addr < c->addr || addr - c->addr > c->sz || c->sz - (addr - c->addr) < sizeof(*ret))
		return false;
	memcpy(ret, c->bytes + (addr - c->addr), sizeof(*ret));
	return true;
}

/* The runtime's own record of who waits, which keeps nothing alive: a sudog of a goroutine that there is. */
static bool in_sudog(const struct reach *r, const struct go_copy *c, uint64_t addr)
{
	const struct go_layout *l = &r->p->binary->layout;
	/* From 1.26 both are kept twice, as a pointer and as a number (maybeTraceablePtr). */
	const uint16_t off[] = { l->s_c, l->s_elem, l->s_c + 8, l->s_elem + 8 };
	const struct go_goroutine *g;
	uint64_t owner;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		if (!word_at(c, addr - off[i] + l->s_g, &owner))
			continue;
		g = goroutine_at(r, owner);
		if (g && g->addr == owner)
			return true;
	}
	return false;
}

static bool in_g(const struct reach *r, uint64_t addr)
{
	const struct go_goroutine *g = goroutine_at(r, addr);

	return g && addr - g->addr < go_layout__g_size(&r->p->binary->layout);
}

static bool is_return_address(const struct reach *r, uint64_t word)
{
	struct go_func f;

	return go_process__has_code(r->p, word) &&
	       go_pclntab__find(&r->p->binary->pclntab, word - r->p->text, &f) &&
	       f.entry != word - r->p->text;
}

/*
 * A stack that nobody has any more: it was given back, or grew and was copied. Where frames have been there are saved
 * frame pointers, each to somewhere above itself, with return addresses next to them; nothing else looks like that.
 */
static bool in_free_stack(const struct reach *r, const struct go_copy *c, uint64_t addr)
{
	uint64_t from = addr & ~(uint64_t)(OLD_STACK_SZ - 1), frame, pc;

	for (uint64_t at = from; at < from + OLD_STACK_SZ; at += sizeof(frame))
		if (word_at(c, at, &frame) && frame > at && frame - at < 2 * OLD_STACK_SZ &&
		    word_at(c, at + sizeof(frame), &pc) && is_return_address(r, pc))
			return true;
	return false;
}

/* A function value begins with the address of its code; what it captured follows. */
static bool find_closure(const struct reach *r, const struct go_copy *c, uint64_t addr,
			 uint64_t *ret)
{
	struct go_func f;
	uint64_t word;

	for (uint64_t at = addr - 8; addr - at <= CLOSURE_SZ && word_at(c, at, &word); at -= 8)
		if (go_process__has_code(r->p, word) &&
		    go_pclntab__find(&r->p->binary->pclntab, word - r->p->text, &f) &&
		    f.entry == word - r->p->text) {
			*ret = at;
			return true;
		}
	return false;
}

/* ---- steps */

static int add_goroutine(struct go_object *o, size_t goroutine)
{
	size_t *more, at = 0;

	while (at < o->by_cnt && o->by[at] < goroutine)
		at++;
	if (at < o->by_cnt && o->by[at] == goroutine)
		return 0;
	if (o->by_cnt == o->by_cap) {
		o->by_cap = o->by_cap ? 2 * o->by_cap : 4;
		more = reallocarray(o->by, o->by_cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		o->by = more;
	}
	memmove(o->by + at + 1, o->by + at, (o->by_cnt - at) * sizeof(o->by[0]));
	o->by[at] = goroutine;
	o->by_cnt++;
	return 0;
}

static bool target__is(const void *value, const void *key)
{
	const struct target *a = value, *b = key;

	return a->from == b->from && a->to == b->to && a->object == b->object;
}

static int add_target(struct reach *r, struct target t)
{
	uint64_t hash = hash__mix(t.from, t.object);
	struct target *seen;
	int err;

	if (table__find(&r->seen, hash, target__is, &t))
		return 0;
	if (r->nexts == TARGETS_MAX) {
		r->object[t.object].rooted = true;
		return 0;
	}
	seen = malloc(sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	*seen = t;
	err = table__add(&r->seen, hash, seen);
	if (err)
		free(seen);
	else
		r->next[r->nexts++] = t;
	return err;
}

/* A word at addr leads to the target. */
static int on_reference(struct reach *r, const struct go_copy *c, uint64_t addr, struct target *t)
{
	struct go_object *o = &r->object[t->object];
	const struct go_goroutine *g;
	uint64_t closure;
	bool dead;

	g = stack_at(r, addr, &dead);
	if (dead || (g && addr < g->sp && g->status != GO_RUNNING))
		return 0;
	if (!g && (in_sudog(r, c, addr) || in_g(r, addr) || in_free_stack(r, c, addr)))
		return 0;
	t->found = true;
	if (g)
		return add_goroutine(o, g - r->s->goroutine);
	if (within(&r->p->data, addr) || within(&r->p->bss, addr) ||
	    within(&r->p->noptrbss, addr)) {
		o->rooted = true;
		return 0;
	}
	if (find_closure(r, c, addr, &closure))
		return add_target(r,
				  (struct target){ closure, closure + 1, t->object, true, false });
	return add_target(r, (struct target){ addr - NEAR_SZ, addr + 1, t->object, false, false });
}

static int by_start(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->object < y->object ? -1 : x->object > y->object;
}

/* No target is larger than this: how far back those that hold a word can begin. */
#define LARGEST 8192

static int match(struct reach *r, const struct go_copy *c, uint64_t addr, uint64_t word)
{
	size_t lo = 0, hi = r->nows;
	int err = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->now[mid].from <= word)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo && r->now[lo - 1].from + LARGEST > word && !err; lo--) {
		struct target *t = &r->now[lo - 1];

		if (word < t->to && !r->object[t->object].rooted)
			err = on_reference(r, c, addr, t);
	}
	return err;
}

static int scan(struct reach *r, const struct go_copy *c)
{
	uint64_t word;
	int err = 0;

	for (size_t at = 0; at + sizeof(word) <= c->sz && !err; at += sizeof(word)) {
		memcpy(&word, c->bytes + at, sizeof(word));
		if (word >= r->lo && word < r->hi)
			err = match(r, c, c->addr + at, word);
	}
	return err;
}

/* Only what is known exactly may be without any reference; anything else has one that we can't see. */
static void end_step(struct reach *r)
{
	struct target *t = r->now;

	for (size_t i = 0; i < r->nows; i++)
		if (!r->now[i].found && !r->now[i].closure)
			r->object[r->now[i].object].rooted = true;
	r->now = r->next;
	r->nows = r->nexts;
	r->next = t;
	r->nexts = 0;
	qsort(r->now, r->nows, sizeof(r->now[0]), by_start);
}

/* Targets that are the same were found on several ways. */
static void limits(struct reach *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->nows; i++)
		if (!r->object[r->now[i].object].rooted &&
		    (!kept || by_start(&r->now[kept - 1], &r->now[i])))
			r->now[kept++] = r->now[i];
	r->nows = kept;
	r->lo = UINT64_MAX;
	r->hi = 0;
	for (size_t i = 0; i < r->nows; i++) {
		if (r->now[i].from < r->lo)
			r->lo = r->now[i].from;
		if (r->now[i].to > r->hi)
			r->hi = r->now[i].to;
	}
}

static int run(struct reach *r)
{
	int err = 0;

	for (int step = 0; step < STEPS && !err; step++) {
		limits(r);
		for (size_t i = 0; i < r->copies && r->nows && !err; i++)
			err = scan(r, &r->copy[i]);
		/* An object itself without references but stacks' is what we look for. */
		for (size_t i = 0; !step && i < r->nows; i++)
			r->now[i].closure = true;
		end_step(r);
	}
	for (size_t i = 0; i < r->nows; i++)
		r->object[r->now[i].object].rooted = true; /* it goes on */
	return err;
}

int go_reach__find(const struct go_process *p, const struct go_snapshot *s,
		   const struct go_copy *copy, size_t copies, struct go_object *object,
		   size_t objects)
{
	struct reach r = {
		.p = p, .s = s, .copy = copy, .copies = copies, .object = object, .objects = objects
	};
	int err = -ENOMEM;

	r.now = calloc(TARGETS_MAX, sizeof(*r.now));
	r.next = calloc(TARGETS_MAX, sizeof(*r.next));
	if (r.now && r.next) {
		for (size_t i = 0; i < objects; i++) {
			if (r.nows == TARGETS_MAX) {
				object[i].rooted = true;
				continue;
			}
			r.now[r.nows++] = (struct target){ object[i].addr - object[i].below,
							   object[i].addr + object[i].above, i,
							   false, false };
		}
		qsort(r.now, r.nows, sizeof(r.now[0]), by_start);
		err = run(&r);
	}
	table__clear(&r.seen, free);
	free(r.now);
	free(r.next);
	return err;
}

void go_reach__free(struct go_object *object, size_t objects)
{
	for (size_t i = 0; i < objects; i++)
		free(object[i].by);
	free(object);
}
