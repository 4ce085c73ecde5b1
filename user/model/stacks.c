// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/stacks.h"

#include <errno.h>
#include <stdlib.h>

#include "user/model/stacks_build.h"
#include "user/util/patience.h"

#define LINES_MAX 64 /* stacks that get source lines: libdw is slow */

/* Source lines for what is shown first: findings, ends of chains, then groups in their order. */
static int add_lines(struct stacks_builder *b)
{
	const struct stacks_report *r = &b->r;
	size_t left = r->query->lines ? LINES_MAX : 0;
	int err = 0;

	for (size_t d = 0; d < r->deadlock_cnt; d++)
		for (size_t i = 0; i < r->deadlock[d].cnt && left && !err; i++, left--)
			if (r->deadlock[d].thread[i]->stack)
				err = stacks__name_lines(b, r->deadlock[d].thread[i]->stack);
	for (size_t i = 0; i < r->chain_cnt && left && !err; i++, left--)
		if (r->chain[i].root->stack)
			err = stacks__name_lines(b, r->chain[i].root->stack);
	for (size_t i = 0; i < r->group_cnt && left && !err; i++, left--)
		if (r->group[i].thread[0]->stack &&
		    (!r->group[i].thread[0]->idle || r->query->idle || r->query->all))
			err = stacks__name_lines(b, r->group[i].thread[0]->stack);
	return err;
}

/* Of Go programs most is read only now: they can have taken too long since the snapshot counted who had. */
static void add_process(struct stacks_builder *b, const struct snap_process *p)
{
	bool late = p->threads && !p->missed && patience__is_over(p->tgid);

	b->r.processes += p->threads > 0;
	b->r.coverage.unreadable += late;
	b->r.coverage.locked += late || (p->locked && p->missed);
}

static void fill_coverage(struct stacks_builder *b)
{
	const struct snapshot *s = b->in->snapshot;
	const struct snap_process *p;

	b->r.took_ns = s->taken_ns - s->began_ns;
	b->r.coverage.retried = s->retried;
	b->r.coverage.gone = s->gone;
	b->r.coverage.born = s->born;
	b->r.coverage.unreadable = s->unreadable;
	b->r.coverage.times_unknown = !s->clock;
	for (size_t i = 0; (p = table__next(&s->processes, &i));)
		add_process(b, p);
}

int stacks_report__build(const struct stacks_input *in, const struct stacks_query *query,
			 struct stacks_report **ret)
{
	struct stacks_builder *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->in = in;
	b->r.query = query;
	b->r.arena = b;
	err = stacks__find_waits(b);
	if (!err)
		err = stacks__find_holders(b);
	if (!err)
		err = stacks__group(b);
	if (!err)
		err = stacks__find_stuck(b);
	if (!err)
		err = add_lines(b);
	fill_coverage(b);
	if (err)
		stacks_report__free(&b->r);
	else
		*ret = &b->r;
	return err;
}

void stacks_report__free(struct stacks_report *r)
{
	struct stacks_builder *b;

	if (!r)
		return;
	b = r->arena;
	for (size_t i = 0; i < r->deadlock_cnt; i++)
		free(r->deadlock[i].thread);
	free(r->deadlock);
	for (size_t i = 0; i < r->stuck_cnt; i++)
		free(r->stuck[i].own);
	free(r->stuck);
	free(r->chain);
	free(r->lock);
	free(r->orphan);
	free(r->group);
	free(b->sorted);
	free(b->held);
	target_memory__close(&b->memory);
	table__clear(&b->inner, free);
	stacks__free_waits(b);
	free(b);
}
