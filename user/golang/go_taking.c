// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_taking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_SZ 2048	     /* of a stack that are read with many others: most are not deeper */
#define STACK_MAX (1u << 20) /* of a deep one */

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* ---- stacks */

struct stack_key {
	const uint64_t *pcs;
	size_t cnt;
	bool complete;
};

static bool stack__is(const void *value, const void *key)
{
	const struct go_stack *s = value;
	const struct stack_key *k = key;

	return s->frames == k->cnt && s->complete == k->complete &&
	       !memcmp(s->pcs, k->pcs, k->cnt * sizeof(k->pcs[0]));
}

static const struct go_stack *keep_stack(struct go_taking *t, uint64_t hash, const uint64_t *pcs,
					 size_t cnt, bool complete)
{
	struct stack_key key = { pcs, cnt, complete };
	struct go_stack *stack = table__find(&t->s->stacks, hash, stack__is, &key);

	if (stack)
		return stack;
	stack = malloc(sizeof(*stack) + cnt * sizeof(pcs[0]));
	if (!stack)
		return NULL;
	stack->hash = hash;
	stack->complete = complete;
	stack->frames = cnt;
	memcpy(stack->pcs, pcs, cnt * sizeof(pcs[0]));
	if (table__add(&t->s->stacks, hash, stack)) {
		free(stack);
		return NULL;
	}
	return stack;
}

static uint64_t hash_of(const uint64_t *pcs, size_t cnt, bool complete)
{
	uint64_t hash = complete;

	for (size_t i = 0; i < cnt; i++)
		hash = hash__mix(hash, pcs[i]);
	return hash;
}

static bool has_stack(const struct go_goroutine *g)
{
	bool still = g->status == GO_RUNNABLE || g->status == GO_SYSCALL ||
		     g->status == GO_WAITING || g->status == GO_PREEMPTED || g->status == GO_LEAKED;

	return still && g->lo < g->hi && g->sp >= g->lo && g->sp < g->hi;
}

/* More and more of a stack that is deeper than most. */
static enum go_walk_end walk_deep(struct go_taking *t, struct go_walk *w, uint64_t *pcs,
				  size_t *cnt)
{
	enum go_walk_end end = GO_WALK_MORE;

	if (!t->deep)
		t->deep = malloc(STACK_MAX);
	for (size_t sz = 8 * WINDOW_SZ; t->deep && end == GO_WALK_MORE && sz <= STACK_MAX;
	     sz *= 8) {
		w->sz = w->hi - w->base < sz ? w->hi - w->base : sz;
		w->bytes = t->deep;
		if (go_memory__read(&t->p->memory, w->base, t->deep, w->sz))
			return GO_WALK_BROKEN;
		end = go_stack__walk(t->p, w, pcs, cnt);
	}
	return end;
}

static int walk(struct go_taking *t, const struct go_view *view)
{
	struct go_goroutine *g = view->g;
	struct go_walk w = { g->pc, g->sp, g->sp, g->hi, view->stack, view->stack_sz };
	uint64_t pcs[GO_FRAMES_MAX];
	enum go_walk_end end;
	size_t cnt;

	end = go_stack__walk(t->p, &w, pcs, &cnt);
	if (end == GO_WALK_MORE)
		end = walk_deep(t, &w, pcs, &cnt);
	g->stack = keep_stack(t, hash_of(pcs, cnt, end == GO_WALK_COMPLETE), pcs, cnt,
			      end == GO_WALK_COMPLETE);
	return g->stack ? 0 : -ENOMEM;
}

/* The tops of the stacks of a batch's goroutines. */
static void read_stacks(struct go_taking *t, struct go_view *view, size_t cnt)
{
	struct go_piece piece[GO_BATCH];

	for (size_t i = 0; i < cnt; i++) {
		uint64_t left = view[i].g->hi - view[i].g->sp;

		view[i].stack = t->window + i * WINDOW_SZ;
		piece[i] = (struct go_piece){ .addr = view[i].g->sp,
					      .to = t->window + i * WINDOW_SZ,
					      .sz = left < WINDOW_SZ ? left : WINDOW_SZ };
	}
	t->p->memory.read_many(t->p->memory.ctx, piece, cnt);
	for (size_t i = 0; i < cnt; i++)
		view[i].stack_sz = piece[i].ok ? piece[i].sz : 0;
}

/* ---- batches */

static bool lives(uint32_t status)
{
	return status != GO_DEAD && status != GO_IDLE && status != GO_DEADEXTRA;
}

bool go_goroutine__agree(const struct go_goroutine *a, const struct go_goroutine *b)
{
	return a->goid == b->goid && a->status == b->status && a->sp == b->sp && a->pc == b->pc &&
	       a->seq == b->seq && a->lo == b->lo && a->hi == b->hi && a->reason == b->reason &&
	       a->waiting == b->waiting;
}

static int reserve(struct go_taking *t, size_t more)
{
	struct go_goroutine *g;
	size_t cap = t->s->cnt + more;

	if (cap <= t->cap)
		return 0;
	cap += cap / 2;
	g = reallocarray(t->s->goroutine, cap, sizeof(*g));
	if (!g)
		return -ENOMEM;
	t->s->goroutine = g;
	t->cap = cap;
	return 0;
}

/* false: it has ended, but may have left a stack. */
static bool decode_one(struct go_taking *t, size_t i, struct go_goroutine *g)
{
	const struct go_batch *b = &t->first;

	go_read__decode(t->p, b->addr[i], b->bytes + i * b->g_sz, g);
	if (lives(g->status))
		return true;
	if (g->lo < g->hi)
		t->s->range[t->s->ranges++] = (struct go_stack_range){ g->lo, g->hi, SIZE_MAX };
	return false;
}

/* Those of the batch that live go to the end of the snapshot, for now. */
static size_t decode(struct go_taking *t, struct go_view *view)
{
	size_t cnt = 0;

	for (size_t i = 0; i < t->first.cnt; i++) {
		view[cnt].g = &t->s->goroutine[t->s->cnt + cnt];
		cnt += t->first.ok[i] && decode_one(t, i, view[cnt].g);
	}
	return cnt;
}

static size_t with_stacks(struct go_view *view, size_t cnt, struct go_view *ret)
{
	size_t kept = 0;

	for (size_t i = 0; i < cnt; i++)
		if (has_stack(view[i].g))
			ret[kept++] = view[i];
	return kept;
}

static size_t index_of(const struct go_batch *b, uint64_t addr)
{
	const uint64_t *at = bsearch(&addr, b->addr, b->cnt, sizeof(addr), by_address);

	return at - b->addr;
}

/* Keeps those whose second reading agrees, and remembers the others. */
static void accept(struct go_taking *t, size_t cnt)
{
	struct go_snapshot *s = t->s;
	size_t end = s->cnt + cnt;

	for (size_t i = s->cnt; i < end; i++) {
		size_t at = index_of(&t->second, s->goroutine[i].addr);
		struct go_goroutine again = { .status = GO_STATUSES };

		if (t->second.ok[at])
			go_read__decode(t->p, t->second.addr[at],
					t->second.bytes + at * t->second.g_sz, &again);
		if (go_goroutine__agree(&s->goroutine[i], &again))
			s->goroutine[s->cnt++] = s->goroutine[i];
		else
			t->retry[t->retry_cnt++] = s->goroutine[i].addr;
	}
}

int go_taking__batch(struct go_taking *t, const uint64_t *addr, size_t cnt)
{
	struct go_view view[GO_BATCH], walked[GO_BATCH];
	size_t live, with;
	int err;

	t->first.cnt = t->second.cnt = cnt;
	memcpy(t->first.addr, addr, cnt * sizeof(*addr));
	memcpy(t->second.addr, addr, cnt * sizeof(*addr));
	err = reserve(t, cnt);
	if (!err)
		err = go_read__gs(t->p, &t->first);
	if (err)
		return err;
	live = decode(t, view);
	with = with_stacks(view, live, walked);
	read_stacks(t, walked, with);
	err = go_read__objects(t->p, t->s, walked, with, &t->scans);
	for (size_t i = 0; i < with && !err; i++)
		if (walked[i].stack_sz)
			err = walk(t, &walked[i]);
	if (!err)
		err = go_read__gs(t->p, &t->second);
	if (!err)
		accept(t, live);
	return err;
}

/* ---- once more */

static bool is_unchanged(const struct go_goroutine *old, const struct go_goroutine *g)
{
	return go_goroutine__agree(old, g) && old->stamp_ns == g->stamp_ns && !g->m && !old->m &&
	       (old->stack || !has_stack(g));
}

static int take_over(struct go_taking *t, const struct go_snapshot *previous,
		     const struct go_goroutine *old, struct go_goroutine *g)
{
	const struct go_stack *stack = old->stack;
	int err = 0;

	if (stack) {
		g->stack = keep_stack(t, stack->hash, stack->pcs, stack->frames, stack->complete);
		err = g->stack ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < old->chans && !err; i++)
		err = go_read__add_chan(t->s, g, previous->chan[old->chan_at + i]);
	g->sema = old->sema;
	g->first_ns = old->first_ns;
	return err;
}

int go_taking__batch_again(struct go_taking *t, const struct go_snapshot *previous, size_t *at,
			   const uint64_t *addr, size_t cnt)
{
	struct go_snapshot *s = t->s;
	int err = reserve(t, cnt);

	t->first.cnt = cnt;
	memcpy(t->first.addr, addr, cnt * sizeof(*addr));
	if (!err)
		err = go_read__gs(t->p, &t->first);
	for (size_t i = 0; i < cnt && !err; i++) {
		struct go_goroutine *g = &s->goroutine[s->cnt];
		const struct go_goroutine *old;

		if (!t->first.ok[i] || !decode_one(t, i, g))
			continue;
		while (*at < previous->cnt && previous->goroutine[*at].addr < g->addr)
			++*at;
		old = *at < previous->cnt ? &previous->goroutine[*at] : NULL;
		if (old && old->addr == g->addr && is_unchanged(old, g)) {
			err = take_over(t, previous, old, g);
			s->cnt++;
		} else {
			t->retry[t->retry_cnt++] = g->addr;
		}
	}
	return err;
}

/* ---- */

int go_taking__begin(struct go_taking *t, size_t goroutines)
{
	size_t batch = goroutines < GO_BATCH ? goroutines + 1 : GO_BATCH;

	t->first.g_sz = t->second.g_sz = go_layout__g_size(&t->p->binary->layout);
	t->first.bytes = malloc(batch * t->first.g_sz);
	t->second.bytes = malloc(batch * t->first.g_sz);
	t->window = malloc(batch * WINDOW_SZ);
	t->retry = malloc((goroutines + 1) * sizeof(*t->retry));
	/* One of each at most, but for those that are read again. */
	t->s->range = calloc((GO_TRIES + 1) * goroutines + 1, sizeof(*t->s->range));
	return t->first.bytes && t->second.bytes && t->window && t->retry && t->s->range ? 0
											 : -ENOMEM;
}

void go_taking__end(struct go_taking *t)
{
	go_read__free(&t->first);
	go_read__free(&t->second);
	free(t->window);
	free(t->deep);
	free(t->retry);
}
