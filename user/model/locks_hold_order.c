// SPDX-License-Identifier: GPL-2.0-only
/* Circles of the lock graph (locks_order.h), with names and stacks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/locks_hold_build.h"
#include "user/model/locks_order.h"

/* Processes as small numbers: locks of different ones are different. */
static uint32_t space_of(const struct agg_edge *const *edge, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (edge[k]->process == edge[i]->process)
			return k;
	return i;
}

static struct order_edge to_order(const struct agg_edge *e, uint32_t space)
{
	struct order_edge o = {
		.space = space,
		.first = e->key.first,
		.second = e->key.second,
		.first_shared = e->key.first_mode == HU_HOLD_READ,
		.second_shared = e->key.second_mode == HU_HOLD_READ,
		.gate_cnt = e->sum.gate_cnt,
	};

	for (size_t i = 0; i < o.gate_cnt; i++) {
		o.gate[i] = e->sum.gate[i] & ~(uint64_t)HU_GATE_SHARED;
		o.gate_shared[i] = e->sum.gate[i] & HU_GATE_SHARED;
	}
	return o;
}

/* A lock that nothing names is one that is taken in this function. */
static const char *name_of(const struct hold_builder *b, const struct agg_process *p, uint64_t lock)
{
	const char *name = hold__name(b, p, lock, NULL);
	char text[32];

	for (size_t i = 0; i < b->report->lock_cnt && !*name; i++)
		if (b->report->lock[i].row.process == p && b->report->lock[i].row.address == lock)
			name = b->report->lock[i].row.name;
	if (*name)
		return name;
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)lock);
	name = symbolizer__intern(b->in->symbolizer, text);
	return name ? name : "";
}

static int build_step(const struct hold_builder *b, const struct agg_edge *e,
		      struct order_step *ret)
{
	int err;

	ret->first = name_of(b, e->process, e->key.first);
	ret->second = name_of(b, e->process, e->key.second);
	ret->first_address = e->key.first;
	ret->second_address = e->key.second;
	ret->first_shared = e->key.first_mode == HU_HOLD_READ;
	ret->second_shared = e->key.second_mode == HU_HOLD_READ;
	ret->cnt = e->sum.cnt;
	ret->tid = e->sum.tid;
	err = hold__stack(b, e->process, e->key.first_site, true, &ret->first_stack);
	return err ? err : hold__stack(b, e->process, e->key.second_site, true, &ret->second_stack);
}

static int build_cycle(const struct hold_builder *b, const struct agg_edge *const *edge,
		       const struct order_circle *circle, struct order_cycle *ret)
{
	int err = 0;

	ret->process = edge[circle->edge[0]]->process;
	ret->step = calloc(circle->cnt, sizeof(*ret->step));
	if (!ret->step)
		return -ENOMEM;
	ret->one_thread = true;
	for (size_t i = 0; i < circle->cnt && !err; i++) {
		const struct agg_edge *e = edge[circle->edge[i]];

		ret->cnt++;
		err = build_step(b, e, &ret->step[i]);
		if (e->sum.several || e->sum.tid != edge[circle->edge[0]]->sum.tid)
			ret->one_thread = false;
	}
	return err;
}

/* Most often seen first, so that of several ways through the same locks the usual one is told. */
static int compare_edges(const void *a, const void *b)
{
	const struct agg_edge *x = *(const struct agg_edge *const *)a;
	const struct agg_edge *y = *(const struct agg_edge *const *)b;

	if (x->sum.cnt != y->sum.cnt)
		return x->sum.cnt < y->sum.cnt ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static int find_circles(struct hold_builder *b, const struct agg_edge *const *edge, size_t cnt,
			struct order_edge *order, struct order_result *result)
{
	struct hold_report *r = b->report;
	int err;

	for (size_t i = 0; i < cnt; i++)
		order[i] = to_order(edge[i], space_of(edge, i));
	err = locks_order__find(order, cnt, result);
	if (err)
		return err;
	r->cycles_cut = result->cut;
	r->cycle = calloc(result->cnt + 1, sizeof(*r->cycle));
	if (!r->cycle)
		return -ENOMEM;
	for (size_t i = 0; i < result->cnt && !err; i++)
		err = build_cycle(b, edge, &result->circle[i], &r->cycle[r->cycle_cnt++]);
	return err;
}

int hold__build_order(struct hold_builder *b)
{
	const struct table *edges = &b->in->holds->edges;
	const struct agg_edge **edge = calloc(edges->cnt + 1, sizeof(*edge)), *e;
	struct order_edge *order = calloc(edges->cnt + 1, sizeof(*order));
	struct order_result *result = calloc(1, sizeof(*result));
	size_t cnt = 0;
	int err = -ENOMEM;

	if (edge && order && result) {
		for (size_t i = 0; (e = table__next(edges, &i));)
			edge[cnt++] = e;
		qsort(edge, cnt, sizeof(*edge), compare_edges);
		b->report->orders = cnt;
		err = find_circles(b, edge, cnt, order, result);
	}
	free(edge);
	free(order);
	free(result);
	return err;
}

void hold__free_order(struct hold_report *r)
{
	for (size_t i = 0; i < r->cycle_cnt; i++) {
		for (size_t k = 0; k < r->cycle[i].cnt; k++) {
			free(r->cycle[i].step[k].first_stack.frames);
			free(r->cycle[i].step[k].second_stack.frames);
		}
		free(r->cycle[i].step);
	}
	free(r->cycle);
}
