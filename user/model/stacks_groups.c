// SPDX-License-Identifier: GPL-2.0-only
/* Threads that wait in the same place for the same kind of thing, as one entry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/stacks_build.h"

/* Order of groups: what somebody keeps others from, then what should be done by now, then waits for work. */
enum rank {
	RANK_CONTENTION = 1,
	RANK_WAIT,
	RANK_RUNNABLE,
	RANK_IDLE,
	RANK_RUNNING,
};

static enum rank rank_of(const struct blocked_thread *t)
{
	if (t->state == BLOCKED_RUNNING)
		return RANK_RUNNING;
	if (t->idle)
		return RANK_IDLE;
	if (t->lock && !t->go.patient)
		return RANK_CONTENTION;
	return t->state == BLOCKED_RUNNABLE ? RANK_RUNNABLE : RANK_WAIT;
}

/* Functions are compared by name: the same program in another process has other addresses. */
static int compare_frames(const struct named_stack *a, const struct named_stack *b)
{
	int diff;

	if (!a || !b)
		return (a != NULL) - (b != NULL);
	if (a == b)
		return 0;
	if (a->frame_cnt != b->frame_cnt)
		return a->frame_cnt < b->frame_cnt ? -1 : 1;
	for (size_t i = 0; i < a->frame_cnt; i++) {
		const struct sym_frame *x = &a->frames[i], *y = &b->frames[i];

		diff = strcmp(x->raw, y->raw);
		if (!diff)
			diff = strcmp(x->module, y->module);
		/* Two places in one function are two places; a pc without module is its own. */
		if (!diff && x->offset != y->offset)
			diff = x->offset < y->offset ? -1 : 1;
		if (diff)
			return diff;
	}
	return 0;
}

/* 0: they belong in one group. */
static int compare_places(const struct blocked_thread *a, const struct blocked_thread *b)
{
	enum rank x = rank_of(a), y = rank_of(b);
	int diff;

	if (x != y)
		return x < y ? -1 : 1;
	if (!a->goroutine != !b->goroutine)
		return a->goroutine ? -1 : 1;
	if (a->own != b->own)
		return a->own ? -1 : 1;
	diff = strcmp(a->thread->process->comm, b->thread->process->comm);
	if (diff)
		return diff;
	if (a->call.kind != b->call.kind || a->state != b->state)
		return a->call.kind * 16 + a->state < b->call.kind * 16 + b->state ? -1 : 1;
	diff = strcmp(a->call.call, b->call.call);
	if (diff)
		return diff;
	if ((a->lock ? a->lock->kind : 0) != (b->lock ? b->lock->kind : 0))
		return (a->lock ? a->lock->kind : 0) < (b->lock ? b->lock->kind : 0) ? -1 : 1;
	diff = compare_frames(a->stack, b->stack);
	return diff ? diff : compare_frames(a->created, b->created);
}

static int by_place(const void *a, const void *b)
{
	const struct blocked_thread *const *x = a, *const *y = b;
	int diff = compare_places(*x, *y);

	if (diff)
		return diff;
	if ((*x)->at_least_ns != (*y)->at_least_ns)
		return (*x)->at_least_ns < (*y)->at_least_ns ? 1 : -1;
	return blocked_thread__id(*x) < blocked_thread__id(*y) ? -1 : 1;
}

static int larger_group(const void *a, const void *b)
{
	const struct blocked_group *x = a, *y = b;
	enum rank xr = rank_of(x->thread[0]), yr = rank_of(y->thread[0]);

	if (xr != yr)
		return xr < yr ? -1 : 1;
	if (x->cnt != y->cnt)
		return x->cnt < y->cnt ? 1 : -1;
	if (x->most_ns != y->most_ns)
		return x->most_ns < y->most_ns ? 1 : -1;
	return blocked_thread__id(x->thread[0]) < blocked_thread__id(y->thread[0]) ? -1 : 1;
}

static int by_pointer(const void *a, const void *b)
{
	const void *const *x = a, *const *y = b;

	return *x < *y ? -1 : *x > *y;
}

static size_t count_distinct(const void **of, size_t cnt)
{
	size_t distinct = 0;

	qsort(of, cnt, sizeof(of[0]), by_pointer);
	for (size_t i = 0; i < cnt; i++)
		distinct += of[i] && (!i || of[i] != of[i - 1]);
	return distinct;
}

static int finish_group(struct blocked_group *g)
{
	const void **of = calloc(g->cnt, sizeof(*of));

	if (!of)
		return -ENOMEM;
	g->most_ns = g->thread[0]->at_least_ns;
	g->least_ns = g->most_ns;
	for (size_t i = 0; i < g->cnt; i++) {
		of[i] = g->thread[i]->thread->process;
		if (g->thread[i]->at_least_ns)
			g->least_ns = g->thread[i]->at_least_ns;
		if (g->thread[i]->at_most_ns > g->at_most_ns)
			g->at_most_ns = g->thread[i]->at_most_ns;
	}
	g->processes = count_distinct(of, g->cnt);
	for (size_t i = 0; i < g->cnt; i++)
		of[i] = g->thread[i]->lock;
	g->locks = count_distinct(of, g->cnt);
	free(of);
	return 0;
}

int stacks__group(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	size_t n = r->thread_cnt;
	int err = 0;

	b->sorted = calloc(n + 1, sizeof(struct blocked_thread *));
	r->group = calloc(n + 1, sizeof(*r->group));
	if (!b->sorted || !r->group)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		b->sorted[i] = &r->thread[i];
	qsort(b->sorted, n, sizeof(b->sorted[0]), by_place);
	for (size_t i = 0; i < n; i++) {
		r->idle += rank_of(b->sorted[i]) == RANK_IDLE;
		if (!i || compare_places(b->sorted[i - 1], b->sorted[i]))
			r->group[r->group_cnt++].thread = &b->sorted[i];
		r->group[r->group_cnt - 1].cnt++;
	}
	for (size_t i = 0; i < r->group_cnt && !err; i++)
		err = finish_group(&r->group[i]);
	qsort(r->group, r->group_cnt, sizeof(r->group[0]), larger_group);
	return err;
}
