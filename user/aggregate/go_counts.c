// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/go_counts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/aggregate/hold.h"

/* ---- stacks */

struct go_kept_stack {
	uint64_t id;
	struct go_stack stack; /* with its pcs behind */
};

static bool stack__is(const void *value, const void *key)
{
	return ((const struct go_kept_stack *)value)->id == *(const uint64_t *)key;
}

const struct go_stack *go_counts__stack(const struct go_counts *c, uint64_t id)
{
	const struct go_kept_stack *kept = table__find(&c->stacks, id, stack__is, &id);

	return kept ? &kept->stack : NULL;
}

int go_counts__keep_stack(struct go_counts *c, uint64_t id, const struct hu_go_stack *stack)
{
	size_t cnt = stack->frames < HU_GO_FRAMES_MAX ? stack->frames : HU_GO_FRAMES_MAX;
	struct go_kept_stack *kept = malloc(sizeof(*kept) + cnt * sizeof(stack->pcs[0]));

	if (!kept)
		return -ENOMEM;
	kept->id = id;
	kept->stack.frames = cnt;
	kept->stack.complete = !stack->truncated && !stack->broken;
	memcpy(kept->stack.pcs, stack->pcs, cnt * sizeof(stack->pcs[0]));
	if (cnt) /* the next instruction; places in stacks are those behind a call (go_stack.h) */
		kept->stack.pcs[0]++;
	if (table__add(&c->stacks, id, kept)) {
		free(kept);
		return -ENOMEM;
	}
	return 0;
}

/* ---- places */

static bool place__is(const void *value, const void *key)
{
	const struct go_counted *a = value, *k = key;

	return a->sema == k->sema && a->site == k->site;
}

static int find_place(struct go_counts *c, uint64_t sema, uint64_t site, struct go_counted **ret)
{
	struct go_counted key = { .sema = sema, .site = site };
	uint64_t hash = hash__mix(sema, site);
	int err;

	*ret = table__find(&c->places, hash, place__is, &key);
	if (*ret)
		return 0;
	*ret = malloc(sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	**ret = key;
	err = table__add(&c->places, hash, *ret);
	if (err)
		free(*ret);
	return err;
}

int go_counts__wait(struct go_counts *c, const struct hu_go_key *key, const struct hu_go_wait *w)
{
	struct go_counted *p;
	int err = find_place(c, key->sema, key->site, &p);

	if (!err)
		p->now = *w;
	return err;
}

int go_counts__release(struct go_counts *c, const struct hu_go_release_key *key,
		       const struct hu_go_release *r)
{
	struct go_released *more;
	struct go_counted *p;
	int err = find_place(c, key->sema, key->site, &p);

	if (err)
		return err;
	for (size_t i = 0; i < p->released_cnt; i++)
		if (p->released[i].releaser == key->releaser) {
			p->released[i].now = *r;
			return 0;
		}
	more = reallocarray(p->released, p->released_cnt + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->released = more;
	p->released[p->released_cnt++] =
		(struct go_released){ .releaser = key->releaser, .now = *r };
	return 0;
}

int go_counts__ongoing(struct go_counts *c, const struct hu_go_pending *pending, uint64_t until_ns,
		       bool last)
{
	struct go_counted *p;
	int err = find_place(c, pending->sema, pending->site, &p);

	if (err)
		return err;
	p->waiting++;
	if (!last || until_ns <= pending->since_ns)
		return 0;
	p->ongoing += !(pending->flags & HU_GO_COUNTED);
	p->ongoing_ns += until_ns - pending->since_ns;
	return 0;
}

/* ---- intervals */

struct go_share go_counted__share(const struct go_counted *p)
{
	const struct hu_go_wait *a = &p->base, *b = &p->now;
	struct go_share s = { b->waits - a->waits, b->sleeps - a->sleeps, b->ns - a->ns,
			      b->before - a->before, 0 };

	if (b->max_ns > a->max_ns)
		s.max_ns = b->max_ns;
	for (unsigned i = HU_HOLD_BUCKETS; i-- > 0 && !s.max_ns;)
		if (b->hist[i] > a->hist[i])
			s.max_ns = hold_hist__middle(i);
	return s;
}

void go_counted__add_hist(const struct go_counted *p, struct hist *h)
{
	for (unsigned i = 0; i < HU_HOLD_BUCKETS; i++)
		if (p->now.hist[i] != p->base.hist[i])
			hist__add_many(h, hold_hist__middle(i), p->now.hist[i] - p->base.hist[i]);
}

void go_counts__next(struct go_counts *c)
{
	struct go_counted *p;

	for (size_t i = 0; (p = table__next(&c->places, &i));) {
		p->base = p->now;
		p->waiting = 0;
		p->ongoing = p->ongoing_ns = 0;
		for (size_t k = 0; k < p->released_cnt; k++)
			p->released[k].base = p->released[k].now;
	}
}

static void place__free(void *value)
{
	struct go_counted *p = value;

	free(p->released);
	free(p);
}

void go_counts__free(struct go_counts *c)
{
	table__clear(&c->places, place__free);
	table__clear(&c->stacks, free);
}
