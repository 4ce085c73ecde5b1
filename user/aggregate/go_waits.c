// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/go_waits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A waiter of the last look. */
struct go_seen_wait {
	uint64_t g, goid, sp;
	uint8_t seq;
	struct go_waited *place; /* NULL: beyond, or of an interval that is over */
	uint64_t since_ns;
};

/* ---- places */

static bool stack__is(const void *value, const void *key)
{
	const struct go_stack *a = value, *b = key;

	return a->frames == b->frames && a->complete == b->complete &&
	       !memcmp(a->pcs, b->pcs, b->frames * sizeof(b->pcs[0]));
}

static int keep_stack(struct go_waits *w, const struct go_stack *stack, const struct go_stack **ret)
{
	size_t sz = sizeof(*stack) + stack->frames * sizeof(stack->pcs[0]);
	struct go_stack *copy;

	*ret = table__find(&w->stacks, stack->hash, stack__is, stack);
	if (*ret)
		return 0;
	copy = malloc(sz);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, stack, sz);
	if (table__add(&w->stacks, copy->hash, copy)) {
		free(copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

static bool place__is(const void *value, const void *key)
{
	const struct go_waited *a = value, *b = key;

	return a->word == b->word && a->startpc == b->startpc && a->stack == b->stack &&
	       a->chans == b->chans && a->reason == b->reason;
}

/* *ret NULL: there are too many. */
static int find_place(struct go_waits *w, const struct go_waiter *waiter, struct go_waited **ret)
{
	struct go_waited key = { .word = waiter->word }, *place;
	uint64_t hash;
	int err = 0;

	if (waiter->goid && waiter->stack) {
		key.startpc = waiter->startpc;
		key.chans = waiter->chans;
		key.reason = waiter->reason;
		err = keep_stack(w, waiter->stack, &key.stack);
		if (err)
			return err;
	}
	hash = hash__mix(hash__mix(key.word, (uintptr_t)key.stack), key.reason);
	*ret = table__find(&w->places, hash, place__is, &key);
	if (*ret || w->places.cnt >= GO_WAITED_MAX)
		return 0;
	place = malloc(sizeof(*place));
	if (!place)
		return -ENOMEM;
	*place = key;
	err = table__add(&w->places, hash, place);
	if (err)
		free(place);
	else
		*ret = place;
	return err;
}

/* ---- looks */

void go_waits__init(struct go_waits *w, uint64_t began_ns)
{
	w->began_ns = began_ns;
}

void go_waits__start(struct go_waits *w, enum go_look look, uint64_t now_ns)
{
	w->look[look].at_ns = now_ns;
}

/* Not seen running in between: who could not be read any more is taken for the one that was there. */
static bool same_wait(const struct go_seen_wait *a, const struct go_waiter *b)
{
	if (!a->place || a->place->word != b->word)
		return false;
	return !b->goid || (a->goid == b->goid && a->sp == b->sp && a->seq == b->seq);
}

static void count(struct go_waited *place, const struct go_seen_wait *seen, bool is_new,
		  bool first_look, uint64_t at_ns, uint64_t share_ns)
{
	place->waits += is_new;
	place->before += is_new && first_look;
	place->wait_ns += share_ns;
	place->now++;
	if (place->now > place->max)
		place->max = place->now;
	place->looks += place->now == 1;
	if (at_ns - seen->since_ns > place->longest_ns)
		place->longest_ns = at_ns - seen->since_ns;
}

/* Whom this look sees where; places begin to be counted anew. */
static int find_all(struct go_waits *w, uint64_t at_ns, const struct go_waiter *waiter, size_t cnt,
		    struct go_seen_wait *seen)
{
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i++) {
		const struct go_waiter *g = &waiter[i];

		seen[i] = (struct go_seen_wait){ g->g, g->goid, g->sp, g->seq, NULL, at_ns };
		err = find_place(w, g, &seen[i].place);
		if (seen[i].place)
			seen[i].place->now = 0;
	}
	return err;
}

int go_waits__add(struct go_waits *w, enum go_look look, uint64_t at_ns,
		  const struct go_waiter *waiter, size_t cnt)
{
	uint64_t since_ns = w->look[look].at_ns ? w->look[look].at_ns : w->began_ns;
	struct go_seen_wait *seen = malloc((cnt + 1) * sizeof(*seen)), *last = w->look[look].seen;
	size_t last_cnt = w->look[look].cnt, at = 0;
	uint64_t share_ns = at_ns > since_ns ? at_ns - since_ns : 0;
	int err = seen ? find_all(w, at_ns, waiter, cnt, seen) : -ENOMEM;

	if (err) {
		free(seen);
		return err;
	}
	for (size_t i = 0; i < last_cnt; i++)
		if (last[i].place)
			last[i].place->now = 0;
	for (size_t i = 0; i < cnt; i++) {
		bool is_new = true;

		while (at < last_cnt && last[at].g < waiter[i].g)
			at++;
		if (at < last_cnt && last[at].g == waiter[i].g &&
		    same_wait(&last[at], &waiter[i])) {
			is_new = false;
			seen[i].since_ns = last[at].since_ns;
		}
		if (seen[i].place)
			count(seen[i].place, &seen[i], is_new, !w->look[look].at_ns, at_ns,
			      share_ns);
		else
			w->beyond_ns += share_ns;
	}
	free(last);
	w->look[look].seen = seen;
	w->look[look].cnt = cnt;
	w->look[look].at_ns = at_ns;
	w->look[look].looks++;
	return 0;
}

void go_waits__next(struct go_waits *w)
{
	for (int look = 0; look < GO_LOOKS; look++) {
		w->look[look].cnt = 0;
		w->look[look].looks = 0;
	}
	w->beyond_ns = 0;
	table__clear(&w->places, free);
	table__clear(&w->stacks, free);
}

void go_waits__free(struct go_waits *w)
{
	go_waits__next(w);
	for (int look = 0; look < GO_LOOKS; look++)
		free(w->look[look].seen);
}
