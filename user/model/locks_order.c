// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/locks_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A walk from one edge on, which is to come back to its first lock. */
struct walk {
	const struct order_edge *edge;
	const size_t *sorted; /* indices of the edges that lead on, by space and first lock */
	size_t cnt;
	size_t len; /* of the circles looked for in this pass */
	struct order_circle path;
	uint64_t steps;
	struct order_result *result;
};

static bool shares_lock(const struct order_edge *a, uint64_t lock, bool shared)
{
	if (a->first == lock)
		return !(a->first_shared && shared);
	for (size_t i = 0; i < a->gate_cnt; i++)
		if (a->gate[i] == lock)
			return !(a->gate_shared[i] && shared);
	return false;
}

/* Could two threads be where these edges are at one moment? Not with one lock that both hold. */
static bool can_meet(const struct order_edge *a, const struct order_edge *b)
{
	if (shares_lock(a, b->first, b->first_shared))
		return false;
	for (size_t i = 0; i < b->gate_cnt; i++)
		if (shares_lock(a, b->gate[i], b->gate_shared[i]))
			return false;
	return true;
}

/* Does what `from` asks for have to wait for what `to` holds? */
static bool leads(const struct order_edge *from, const struct order_edge *to)
{
	return from->space == to->space && from->second == to->first &&
	       !(from->second_shared && to->first_shared);
}

static bool circle_has(const struct walk *w, const struct order_circle *c, uint32_t space,
		       uint64_t lock)
{
	for (size_t i = 0; i < c->cnt; i++)
		if (w->edge[c->edge[i]].space == space && w->edge[c->edge[i]].first == lock)
			return true;
	return false;
}

/* Are all locks of a circle that was found before among those of this one? Then it says nothing more. */
static bool is_known(const struct walk *w)
{
	const struct order_result *r = w->result;

	for (size_t i = 0; i < r->cnt; i++) {
		const struct order_circle *c = &r->circle[i];
		size_t common = 0;

		for (size_t k = 0; k < c->cnt; k++)
			common += circle_has(w, &w->path, w->edge[c->edge[k]].space,
					     w->edge[c->edge[k]].first);
		if (common == c->cnt)
			return true;
	}
	return false;
}

static bool fits(const struct walk *w, size_t next)
{
	const struct order_edge *e = &w->edge[next];

	if (circle_has(w, &w->path, e->space, e->first))
		return false;
	for (size_t i = 0; i < w->path.cnt; i++)
		if (!can_meet(&w->edge[w->path.edge[i]], e))
			return false;
	return true;
}

static int compare_edges(const void *a, const void *b, void *ctx)
{
	const struct order_edge *edge = ctx, *x = &edge[*(const size_t *)a],
				*y = &edge[*(const size_t *)b];

	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* The place of the first edge, sorted, that begins with what e asks for. */
static size_t followers(const struct walk *w, const struct order_edge *e)
{
	size_t lo = 0, hi = w->cnt, mid;

	while (lo < hi) {
		const struct order_edge *m;

		mid = (lo + hi) / 2;
		m = &w->edge[w->sorted[mid]];
		if (m->space < e->space || (m->space == e->space && m->first < e->second))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void keep(struct walk *w)
{
	struct order_result *r = w->result;

	if (is_known(w))
		return;
	if (r->cnt == ORDER_CIRCLES_MAX)
		r->cut = true;
	else
		r->circle[r->cnt++] = w->path;
}

/* Follows the path's last edge; recursion goes as deep as a circle is long. A circle begins at its lowest lock. */
static void follow(struct walk *w)
{
	const struct order_edge *first = &w->edge[w->path.edge[0]];
	const struct order_edge *last = &w->edge[w->path.edge[w->path.cnt - 1]], *next;

	if (w->path.cnt == w->len) {
		if (leads(last, first))
			keep(w);
		return;
	}
	for (size_t i = followers(w, last); i < w->cnt && !w->result->cut; i++) {
		next = &w->edge[w->sorted[i]];
		if (next->space != last->space || next->first != last->second)
			break;
		if (++w->steps > ORDER_STEPS_MAX)
			w->result->cut = true;
		if (next->first <= first->first || !leads(last, next) || !fits(w, w->sorted[i]))
			continue;
		w->path.edge[w->path.cnt++] = w->sorted[i];
		follow(w);
		w->path.cnt--;
	}
}

/* Only edges to a lock from which others lead on can be part of a circle: the rest is dropped, as often as it takes. */
static void prune(struct walk *w, size_t *sorted, size_t *spare)
{
	size_t kept, before;

	do {
		before = w->cnt;
		kept = 0;
		for (size_t i = 0; i < before; i++) {
			const struct order_edge *e = &w->edge[sorted[i]];
			size_t at = followers(w, e);

			if (at < before && w->edge[sorted[at]].space == e->space &&
			    w->edge[sorted[at]].first == e->second)
				spare[kept++] = sorted[i];
		}
		memcpy(sorted, spare, kept * sizeof(*sorted));
		w->cnt = kept;
	} while (kept != before);
}

int locks_order__find(const struct order_edge *edge, size_t cnt, struct order_result *ret)
{
	size_t *sorted = malloc((2 * cnt + 1) * sizeof(*sorted));
	struct walk w = { .edge = edge, .sorted = sorted, .cnt = cnt, .result = ret };

	if (!sorted)
		return -ENOMEM;
	ret->cnt = 0;
	ret->cut = false;
	for (size_t i = 0; i < cnt; i++)
		sorted[i] = i;
	qsort_r(sorted, cnt, sizeof(*sorted), compare_edges, (void *)edge);
	prune(&w, sorted, sorted + cnt);
	/* Short ones first: a longer one through the same locks tells nothing new. */
	for (w.len = 2; w.len <= ORDER_LOCKS_MAX; w.len++)
		for (size_t i = 0; i < w.cnt && !ret->cut; i++) {
			w.path.edge[0] = sorted[i];
			w.path.cnt = 1;
			follow(&w);
		}
	free(sorted);
	return 0;
}
