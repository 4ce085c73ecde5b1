// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goroutines whose wait nobody seems to be left to end: nil channels, locks that were left locked, what nobody else
 * refers to, by holdup's own search or by that of Go's collector.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/stacks_build.h"

const char *stuck_why__name(enum stuck_why why)
{
	static const char *const names[] = {
		[STUCK_INVALID] = "invalid",	     [STUCK_NIL_SEND] = "nil-channel",
		[STUCK_NIL_RECEIVE] = "nil-channel", [STUCK_ABANDONED] = "abandoned-lock",
		[STUCK_NOBODY_LEFT] = "nobody-left", [STUCK_LEAKED] = "leaked",
	};

	return names[why <= STUCK_LEAKED ? why : STUCK_INVALID];
}

static int add(struct stacks_builder *b, struct stuck_wait stuck)
{
	struct stacks_report *r = &b->r;
	struct stuck_wait *more = reallocarray(r->stuck, r->stuck_cnt + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->stuck = more;
	r->stuck[r->stuck_cnt++] = stuck;
	return 0;
}

static int add_nil(struct stacks_builder *b, const struct blocked_group *g)
{
	bool sends = g->thread[0]->go.way == GO_WAY_SEND;

	return add(b, (struct stuck_wait){
			      .why = sends ? STUCK_NIL_SEND : STUCK_NIL_RECEIVE,
			      .certain = true,
			      .fault = sends,
			      .lock = g->thread[0]->lock,
			      .thread = g->thread,
			      .cnt = g->cnt,
		      });
}

/* The waiters of a lock, and whether all have stood for long enough. */
static int add_abandoned(struct stacks_builder *b, const struct waited_lock *lock)
{
	struct stacks_report *r = &b->r;
	struct stuck_wait stuck = { .why = STUCK_ABANDONED, .fault = true, .lock = lock };
	bool ripe = true;
	int err;

	stuck.own = calloc(lock->waiters + 1, sizeof(stuck.own[0]));
	if (!stuck.own)
		return -ENOMEM;
	stuck.thread = stuck.own;
	for (size_t i = 0; i < r->thread_cnt && stuck.cnt < lock->waiters; i++) {
		struct blocked_thread *t = b->sorted[i];

		if (t->lock != lock)
			continue;
		ripe &= t->goroutine->steady && t->at_least_ns >= STACKS_RIPE_NS;
		stuck.own[stuck.cnt++] = t;
	}
	if (stuck.cnt && ripe) {
		err = add(b, stuck);
		if (err)
			free(stuck.own);
		return err;
	}
	r->unripe += stuck.cnt && !ripe;
	free(stuck.own);
	return 0;
}

static bool is_left(const struct blocked_thread *t)
{
	return t->left;
}

/* The collector looks while nothing runs, and knows what a pointer is. */
static bool is_leaked(const struct blocked_thread *t)
{
	return t->goroutine->status == GO_LEAKED && !t->go.never;
}

/* Those of a group of which this holds. */
static int add_some(struct stacks_builder *b, const struct blocked_group *g, enum stuck_why why,
		    bool (*is)(const struct blocked_thread *t))
{
	struct stuck_wait stuck = { .why = why,
				    .certain = why == STUCK_LEAKED,
				    .fault = true,
				    .lock = g->thread[0]->lock };
	bool ripe = true;
	int err;

	stuck.own = calloc(g->cnt + 1, sizeof(stuck.own[0]));
	if (!stuck.own)
		return -ENOMEM;
	stuck.thread = stuck.own;
	for (size_t i = 0; i < g->cnt; i++) {
		if (!is(g->thread[i]))
			continue;
		ripe &= stuck.certain || g->thread[i]->at_least_ns >= STACKS_RIPE_NS;
		stuck.own[stuck.cnt++] = g->thread[i];
	}
	err = stuck.cnt && ripe ? add(b, stuck) : 0;
	b->r.unripe += stuck.cnt && !ripe;
	if (err || !stuck.cnt || !ripe)
		free(stuck.own);
	return err;
}

static int certain_first(const void *a, const void *b)
{
	const struct stuck_wait *x = a, *y = b;

	if (x->certain != y->certain)
		return x->certain ? -1 : 1;
	if (x->fault != y->fault)
		return x->fault ? -1 : 1;
	return x->cnt < y->cnt ? 1 : x->cnt > y->cnt ? -1 : 0;
}

int stacks__find_stuck(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	int err = 0;

	for (size_t i = 0; i < r->group_cnt && !err; i++)
		if (r->group[i].thread[0]->go.never)
			err = add_nil(b, &r->group[i]);
	if (r->query->peers && !err)
		err = stacks__find_left(b);
	for (size_t i = 0; i < r->group_cnt && !err; i++)
		if (r->group[i].thread[0]->goroutine) {
			err = add_some(b, &r->group[i], STUCK_LEAKED, is_leaked);
			if (!err)
				err = add_some(b, &r->group[i], STUCK_NOBODY_LEFT, is_left);
		}
	for (size_t i = 0; i < r->lock_cnt && !err; i++)
		if (r->lock[i]->abandoned)
			err = add_abandoned(b, r->lock[i]);
	if (r->stuck_cnt)
		qsort(r->stuck, r->stuck_cnt, sizeof(r->stuck[0]), certain_first);
	return err;
}
