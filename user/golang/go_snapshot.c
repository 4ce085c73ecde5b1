// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/golang/go_read.h"

#define TRIES	  4	     /* readings of a goroutine that does not hold still */
#define WINDOW_SZ 2048	     /* of a stack that are read with many others: most are not deeper */
#define STACK_MAX (1u << 20) /* of a deep one */

struct taking {
	struct go_process *p;
	struct go_snapshot *s;
	size_t cap;
	uint64_t *again; /* addresses to be read once more */
	size_t again_cnt;
	size_t scans;
	uint8_t *window; /* of GO_BATCH * WINDOW_SZ */
	uint8_t *deep;	 /* of STACK_MAX; NULL until it is needed */
	struct go_batch first, second;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

const char *go_status__name(uint32_t status)
{
	static const char *const names[GO_STATUSES] = {
		[GO_IDLE] = "idle",	      [GO_RUNNABLE] = "runnable",
		[GO_RUNNING] = "running",     [GO_SYSCALL] = "syscall",
		[GO_WAITING] = "waiting",     [GO_DEAD] = "dead",
		[GO_COPYSTACK] = "copystack", [GO_PREEMPTED] = "preempted",
		[GO_LEAKED] = "leaked",	      [GO_DEADEXTRA] = "dead",
	};

	return status < GO_STATUSES && names[status] ? names[status] : "unknown";
}

/* ---- the list */

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Addresses of all gs, ascending, each once. */
static int list_gs(struct taking *t, uint64_t **ret, size_t *ret_cnt)
{
	struct go_slice allgs;
	uint64_t *addr;
	size_t cnt = 0, all;

	if (go_memory__read(&t->p->memory, t->p->allgs, &allgs, sizeof(allgs)) ||
	    !go_memory__plausible(allgs.ptr) || allgs.len > allgs.cap)
		return -EFAULT;
	t->s->listed = allgs.len;
	all = allgs.len < GO_GOROUTINES_MAX ? allgs.len : GO_GOROUTINES_MAX;
	t->s->beyond = allgs.len - all;
	addr = malloc((all + 1) * sizeof(*addr));
	if (!addr)
		return -ENOMEM;
	if (go_memory__read(&t->p->memory, allgs.ptr, addr, all * sizeof(*addr))) {
		free(addr);
		return -EFAULT;
	}
	qsort(addr, all, sizeof(*addr), by_address);
	for (size_t i = 0; i < all; i++)
		if (go_memory__plausible(addr[i]) && (!cnt || addr[i] != addr[cnt - 1]))
			addr[cnt++] = addr[i];
	*ret = addr;
	*ret_cnt = cnt;
	return 0;
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

static const struct go_stack *keep_stack(struct taking *t, const uint64_t *pcs, size_t cnt,
					 bool complete)
{
	struct stack_key key = { pcs, cnt, complete };
	uint64_t hash = complete;
	struct go_stack *stack;

	for (size_t i = 0; i < cnt; i++)
		hash = hash__mix(hash, pcs[i]);
	stack = table__find(&t->s->stacks, hash, stack__is, &key);
	if (stack)
		return stack;
	stack = malloc(sizeof(*stack) + cnt * sizeof(pcs[0]));
	if (!stack)
		return NULL;
	stack->complete = complete;
	stack->frames = cnt;
	memcpy(stack->pcs, pcs, cnt * sizeof(pcs[0]));
	if (table__add(&t->s->stacks, hash, stack)) {
		free(stack);
		return NULL;
	}
	return stack;
}

static bool has_stack(const struct go_goroutine *g)
{
	bool still = g->status == GO_RUNNABLE || g->status == GO_SYSCALL ||
		     g->status == GO_WAITING || g->status == GO_PREEMPTED || g->status == GO_LEAKED;

	return still && g->lo < g->hi && g->sp >= g->lo && g->sp < g->hi;
}

/* More and more of a stack that is deeper than most. */
static enum go_walk_end walk_deep(struct taking *t, struct go_walk *w, uint64_t *pcs, size_t *cnt)
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

static int walk(struct taking *t, const struct go_view *view)
{
	struct go_goroutine *g = view->g;
	struct go_walk w = { g->pc, g->sp, g->sp, g->hi, view->stack, view->stack_sz };
	uint64_t pcs[GO_FRAMES_MAX];
	enum go_walk_end end;
	size_t cnt;

	end = go_stack__walk(t->p, &w, pcs, &cnt);
	if (end == GO_WALK_MORE)
		end = walk_deep(t, &w, pcs, &cnt);
	g->stack = keep_stack(t, pcs, cnt, end == GO_WALK_COMPLETE);
	return g->stack ? 0 : -ENOMEM;
}

/* The tops of the stacks of a batch's goroutines. */
static void read_stacks(struct taking *t, struct go_view *view, size_t cnt)
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

/* Has it not run in between? Then its stack was its stack all the while. */
static bool agree(const struct go_goroutine *a, const struct go_goroutine *b)
{
	return a->goid == b->goid && a->status == b->status && a->sp == b->sp && a->pc == b->pc &&
	       a->seq == b->seq && a->lo == b->lo && a->hi == b->hi && a->reason == b->reason &&
	       a->waiting == b->waiting;
}

static int reserve(struct taking *t, size_t more)
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

/* Those of the batch that live go to the end of the snapshot, for now. */
static size_t decode(struct taking *t, struct go_view *view)
{
	const struct go_batch *b = &t->first;
	size_t cnt = 0;

	for (size_t i = 0; i < b->cnt; i++) {
		struct go_goroutine *g = &t->s->goroutine[t->s->cnt + cnt];

		if (!b->ok[i])
			continue;
		go_read__decode(t->p, b->addr[i], b->bytes + i * b->g_sz, g);
		if (lives(g->status))
			view[cnt++].g = g;
		else if (g->lo < g->hi)
			t->s->range[t->s->ranges++] =
				(struct go_stack_range){ g->lo, g->hi, SIZE_MAX };
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
static void accept(struct taking *t, size_t cnt)
{
	struct go_snapshot *s = t->s;
	size_t end = s->cnt + cnt;

	for (size_t i = s->cnt; i < end; i++) {
		size_t at = index_of(&t->second, s->goroutine[i].addr);
		struct go_goroutine again = { .status = GO_STATUSES };

		if (t->second.ok[at])
			go_read__decode(t->p, t->second.addr[at],
					t->second.bytes + at * t->second.g_sz, &again);
		if (agree(&s->goroutine[i], &again))
			s->goroutine[s->cnt++] = s->goroutine[i];
		else
			t->again[t->again_cnt++] = s->goroutine[i].addr;
	}
}

static int take_batch(struct taking *t, const uint64_t *addr, size_t cnt)
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

static int take_all(struct taking *t, const uint64_t *addr, size_t cnt)
{
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i += GO_BATCH)
		err = take_batch(t, addr + i, cnt - i < GO_BATCH ? cnt - i : GO_BATCH);
	return err;
}

static int take(struct taking *t)
{
	uint64_t *addr;
	size_t cnt;
	int err = list_gs(t, &addr, &cnt);

	if (err)
		return err;
	t->again = malloc((cnt + 1) * sizeof(*t->again));
	/* One of each at most, but for those that are read again. */
	t->s->range = calloc((TRIES + 1) * cnt + 1, sizeof(*t->s->range));
	err = t->again && t->s->range ? take_all(t, addr, cnt) : -ENOMEM;
	t->s->retried = t->again_cnt;
	for (int i = 1; i < TRIES && t->again_cnt && !err; i++) {
		cnt = t->again_cnt;
		memcpy(addr, t->again, cnt * sizeof(*addr));
		t->again_cnt = 0;
		err = take_all(t, addr, cnt);
	}
	t->s->rejected = t->again_cnt;
	free(addr);
	return err;
}

static int goroutine_order(const void *a, const void *b)
{
	return by_address(&((const struct go_goroutine *)a)->addr,
			  &((const struct go_goroutine *)b)->addr);
}

static int range_order(const void *a, const void *b)
{
	const struct go_stack_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Of those that live; a stack that another one has got meanwhile is the living one's. */
static void list_ranges(struct go_snapshot *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->cnt; i++)
		if (s->goroutine[i].lo < s->goroutine[i].hi)
			s->range[s->ranges++] = (struct go_stack_range){ s->goroutine[i].lo,
									 s->goroutine[i].hi, i };
	qsort(s->range, s->ranges, sizeof(s->range[0]), range_order);
	for (size_t i = 0; i < s->ranges; i++) {
		if (kept && s->range[i].lo < s->range[kept - 1].hi) {
			if (s->range[kept - 1].goroutine == SIZE_MAX)
				s->range[kept - 1] = s->range[i];
			continue;
		}
		s->range[kept++] = s->range[i];
	}
	s->ranges = kept;
}

static void finish(struct taking *t)
{
	struct go_snapshot *s = t->s;

	qsort(s->goroutine, s->cnt, sizeof(s->goroutine[0]), goroutine_order);
	list_ranges(s);
	go_read__threads(t->p, s);
	s->taken_ns = now_ns();
	for (size_t i = 0; i < s->cnt; i++) {
		struct go_goroutine *g = &s->goroutine[i];

		s->status[g->status < GO_STATUSES ? g->status : GO_IDLE]++;
		s->broken += g->stack && !g->stack->complete;
		g->first_ns = s->began_ns;
		if (g->stamp_ns > s->taken_ns)
			g->stamp_ns = 0;
		if (g->waitsince_ns > s->taken_ns)
			g->waitsince_ns = 0;
	}
}

static bool prepare(struct taking *t)
{
	t->first.g_sz = t->second.g_sz = go_layout__g_size(&t->p->binary->layout);
	t->first.bytes = malloc(GO_BATCH * t->first.g_sz);
	t->second.bytes = malloc(GO_BATCH * t->first.g_sz);
	t->window = malloc((size_t)GO_BATCH * WINDOW_SZ);
	t->s = calloc(1, sizeof(*t->s));
	return t->first.bytes && t->second.bytes && t->window && t->s;
}

int go_snapshot__take(struct go_process *p, struct go_snapshot **ret)
{
	struct taking *t = calloc(1, sizeof(*t));
	int err = -ENOMEM;

	if (!t)
		return err;
	t->p = p;
	if (prepare(t)) {
		t->s->began_ns = now_ns();
		err = take(t);
	}
	if (!err) {
		finish(t);
		*ret = t->s;
	} else {
		go_snapshot__free(t->s);
	}
	free(t->first.bytes);
	free(t->second.bytes);
	free(t->window);
	free(t->deep);
	free(t->again);
	free(t);
	return err;
}

void go_snapshot__free(struct go_snapshot *s)
{
	if (!s)
		return;
	table__clear(&s->stacks, free);
	free(s->goroutine);
	free(s->range);
	free(s->chan);
	free(s);
}

/* ---- later */

static void recheck_batch(const struct go_process *p, struct go_batch *b, struct go_goroutine *g)
{
	struct go_goroutine now;

	for (size_t i = 0; i < b->cnt; i++)
		b->addr[i] = g[i].addr;
	if (go_read__gs(p, b))
		return;
	for (size_t i = 0; i < b->cnt; i++) {
		if (!b->ok[i])
			continue;
		go_read__decode(p, b->addr[i], b->bytes + i * b->g_sz, &now);
		g[i].steady = agree(&g[i], &now);
	}
}

void go_snapshot__recheck(const struct go_process *p, struct go_snapshot *s)
{
	struct go_batch *b = malloc(sizeof(*b));

	for (size_t i = 0; i < s->cnt; i++)
		s->goroutine[i].steady = false;
	if (!b)
		return;
	b->g_sz = go_layout__g_size(&p->binary->layout);
	b->bytes = malloc(GO_BATCH * b->g_sz);
	for (size_t i = 0; i < s->cnt && b->bytes; i += GO_BATCH) {
		b->cnt = s->cnt - i < GO_BATCH ? s->cnt - i : GO_BATCH;
		recheck_batch(p, b, s->goroutine + i);
	}
	free(b->bytes);
	free(b);
}
