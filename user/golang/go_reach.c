// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX    (1u << 26)
#define SPECIALS_MAX (1u << 18) /* of all spans */
#define SPECIAL_SZ   64
#define PS_MAX	     1024
#define P_MIN	     8192 /* a p is larger in all versions */
#define READ_MAX     (256ull << 20)
#define STACK_MAX    (1ull << 30) /* src/runtime/proc.go, maxstacksize */

struct waiter {
	size_t object, goroutine; /* numbers */
};

struct reach {
	const struct go_reach_input *in;
	bool *live;
	uint64_t lo, hi; /* of the heap */
	uint8_t *marked; /* a bit for each object */
	struct go_heap_object *queue;
	size_t cnt, cap;
	struct waiter *waiter; /* by object */
	size_t waiters;
	size_t *woken; /* goroutines that were found to go on, and have not been looked at yet */
	size_t wokens;
	uint64_t p[PS_MAX];
	size_t ps;
	struct batch *batch;
	uint64_t read; /* bytes of stacks and goroutines */
	size_t specials;
	bool failed; /* no memory */
	bool too_large;
};

static bool is_marked(const struct reach *r, size_t number)
{
	return r->marked[number / 8] >> number % 8 & 1;
}

static const struct go_goroutine *goroutine_at(const struct go_snapshot *s, uint64_t g)
{
	size_t lo = 0, hi = s->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->goroutine[mid].addr <= g)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && s->goroutine[lo - 1].addr == g ? &s->goroutine[lo - 1] : NULL;
}

/* ---- words of the copy */

static const struct go_copy *copy_from(const struct reach *r, uint64_t addr)
{
	const struct go_reach_input *in = r->in;
	size_t lo = 0, hi = in->copies;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (in->copy[mid].addr + in->copy[mid].sz <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return in->copy + lo;
}

/* From the copy, if it is there; false: nowhere. */
static bool word_at(const struct reach *r, uint64_t addr, uint64_t *ret)
{
	const struct go_copy *c = copy_from(r, addr);

	if (c == r->in->copy + r->in->copies || addr < c->addr ||
	    addr - c->addr + sizeof(*ret) > c->sz)
		return !go_memory__u64(&r->in->p->memory, addr, ret);
	memcpy(ret, c->bytes + (addr - c->addr), sizeof(*ret));
	return true;
}

/* ---- marking */

static void enqueue(struct reach *r, const struct go_heap_object *o)
{
	struct go_heap_object *more;
	size_t cap;

	if (r->cnt == r->cap) {
		cap = r->cap ? 2 * r->cap : 4096;
		more = cap > QUEUE_MAX ? NULL : reallocarray(r->queue, cap, sizeof(*more));
		if (!more) {
			r->failed = true;
			return;
		}
		r->queue = more;
		r->cap = cap;
	}
	r->queue[r->cnt++] = *o;
}

/*
 * The runtime's own record of a wait (sudog) leads from whatever it hangs in, such as the table of all semaphores, to
 * what is waited for, and keeps nothing alive: an object of its size that begins with a goroutine that there is.
 */
static bool is_sudog(const struct reach *r, const struct go_heap_object *o)
{
	size_t sz = r->in->p->binary->layout.s_c + sizeof(uint64_t);
	uint64_t g;

	return o->sz >= sz && o->sz <= sz + 24 && word_at(r, o->addr, &g) &&
	       goroutine_at(r->in->s, g);
}

/* Who waits for it may go on. */
static void wake(struct reach *r, size_t object)
{
	size_t lo = 0, hi = r->waiters;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->waiter[mid].object < object)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < r->waiters && r->waiter[lo].object == object; lo++) {
		size_t goroutine = r->waiter[lo].goroutine;

		if (r->live[goroutine])
			continue;
		r->live[goroutine] = true;
		r->woken[r->wokens++] = goroutine;
	}
}

static void mark(struct reach *r, uint64_t word)
{
	struct go_heap_object o;

	if (word < r->lo || word >= r->hi || !go_heap__find(r->in->heap, word, &o) ||
	    is_marked(r, o.number))
		return;
	r->marked[o.number / 8] |= 1 << o.number % 8;
	wake(r, o.number);
	/* A goroutine that waits is known to the runtime whether or not it may go on. */
	if (!o.noscan && !goroutine_at(r->in->s, o.addr) && !is_sudog(r, &o))
		enqueue(r, &o);
}

static void scan(struct reach *r, uint64_t from, uint64_t to)
{
	const struct go_copy *c = copy_from(r, from), *end = r->in->copy + r->in->copies;
	uint64_t word;

	for (; c < end && c->addr < to; c++) {
		size_t at = from > c->addr ? (from - c->addr + 7) & ~7ull : 0;
		size_t sz = to - c->addr < c->sz ? to - c->addr : c->sz;

		for (; at + sizeof(word) <= sz; at += sizeof(word)) {
			memcpy(&word, c->bytes + at, sizeof(word));
			mark(r, word);
		}
	}
}

/* Of memory that is surely there, in the copy or not. */
static void scan_now(struct reach *r, uint64_t from, uint64_t to)
{
	uint64_t word[512];

	r->read += to - from;
	if (r->read > READ_MAX)
		r->too_large = true;
	for (from &= ~7ull; from < to && !r->too_large; from += sizeof(word)) {
		size_t sz = to - from < sizeof(word) ? to - from : sizeof(word);

		if (go_memory__read(&r->in->p->memory, from, word, sz))
			continue;
		for (size_t i = 0; i < sz / sizeof(word[0]); i++)
			mark(r, word[i]);
	}
}

/*
 * A goroutine, whether the snapshot has it or it has ended, or another object of that size. A g begins with the
 * limits of its stack, and the upper one, where the stack ends, is the address of what comes next.
 */
#define STACK_MIN 2048

static void scan_like_g(struct reach *r, const struct go_heap_object *o)
{
	uint64_t limit[2], sz;

	if (go_memory__read(&r->in->p->memory, o->addr, limit, sizeof(limit)))
		return;
	sz = limit[1] - limit[0];
	if (limit[0] < limit[1] && sz >= STACK_MIN && !(sz & (sz - 1)) && !(limit[0] % STACK_MIN))
		scan_now(r, o->addr + sizeof(limit), o->addr + o->sz);
	else
		scan_now(r, o->addr, o->addr + o->sz);
}

/* Many at once: one read for each would take longer than all the rest. */
#define BATCH	  512
#define WINDOW_SZ 1024 /* of a stack: most are not deeper */
#define G_MAX	  512

struct batch {
	struct go_piece piece[2 * BATCH];
	uint8_t bytes[BATCH][WINDOW_SZ + G_MAX];
};

/* Where a goroutine that runs is in its stack is not known. */
static uint64_t stack_from(const struct go_goroutine *g)
{
	bool known = g->sp >= g->lo && g->sp < g->hi && g->status != GO_RUNNING;

	return (known ? g->sp : g->lo) & ~7ull;
}

static void list_pieces(const struct reach *r, const size_t *goroutine, size_t cnt, struct batch *b)
{
	for (size_t i = 0; i < cnt; i++) {
		const struct go_goroutine *g = &r->in->s->goroutine[goroutine[i]];
		uint64_t from = stack_from(g), sz = g->hi > from ? g->hi - from : 0;
		struct go_heap_object o = { 0 };

		if (!go_heap__find(r->in->heap, g->addr, &o) || o.sz > G_MAX)
			o.sz = 0;
		b->piece[2 * i] = (struct go_piece){ from, b->bytes[i],
						     sz < WINDOW_SZ ? sz : WINDOW_SZ, false };
		/* The limits of its stack are left out: see scan_like_g(). */
		b->piece[2 * i + 1] = (struct go_piece){ g->addr + 16, b->bytes[i] + WINDOW_SZ,
							 o.sz ? o.sz - 16 : 0, false };
	}
}

static void mark_piece(struct reach *r, const struct go_piece *piece)
{
	uint64_t word;

	for (size_t at = 0; piece->ok && at + sizeof(word) <= piece->sz; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)piece->to + at, sizeof(word));
		mark(r, word);
	}
}

static void scan_goroutines(struct reach *r)
{
	size_t cnt = r->wokens < BATCH ? r->wokens : BATCH, goroutine[BATCH];
	struct batch *b = r->batch;

	/* Others are woken meanwhile. */
	r->wokens -= cnt;
	memcpy(goroutine, r->woken + r->wokens, cnt * sizeof(goroutine[0]));
	list_pieces(r, goroutine, cnt, b);
	r->in->p->memory.read_many(r->in->p->memory.ctx, b->piece, 2 * cnt);
	for (size_t i = 0; i < cnt; i++) {
		const struct go_goroutine *g = &r->in->s->goroutine[goroutine[i]];
		uint64_t from = stack_from(g);

		mark_piece(r, &b->piece[2 * i]);
		mark_piece(r, &b->piece[2 * i + 1]);
		if (g->hi > from + WINDOW_SZ && g->hi - from <= STACK_MAX)
			scan_now(r, from + WINDOW_SZ, g->hi);
	}
}

/* A p, which has the number of a page where the runtime will take memory next: p.pcache, two words after p.m, of three. */
static void scan_p(struct reach *r, const struct go_heap_object *o)
{
	uint64_t cache = o->addr + r->in->p->binary->layout.p_m + 16;

	scan(r, o->addr, cache);
	scan(r, cache + 24, o->addr + o->sz);
}

static bool is_p(const struct reach *r, const struct go_heap_object *o)
{
	for (size_t i = 0; i < r->ps; i++)
		if (r->p[i] == o->addr)
			return true;
	return false;
}

static void list_ps(struct reach *r)
{
	const struct go_process *p = r->in->p;
	struct go_slice allp;

	if (p->allp && !go_memory__read(&p->memory, p->allp, &allp, sizeof(allp)) &&
	    allp.len <= PS_MAX &&
	    !go_memory__read(&p->memory, allp.ptr, r->p, allp.len * sizeof(r->p[0])))
		r->ps = allp.len;
}

static void drain(struct reach *r)
{
	struct go_heap_object o;

	while ((r->cnt || r->wokens) && !r->failed && !r->too_large) {
		if (r->wokens) {
			scan_goroutines(r);
			continue;
		}
		o = r->queue[--r->cnt];
		if (o.goroutines)
			scan_like_g(r, &o);
		else if (o.sz >= P_MIN && is_p(r, &o))
			scan_p(r, &o);
		else
			scan(r, o.addr, o.addr + o.sz);
	}
}

/* ---- where it begins */

static bool has_function(const struct reach *r, const uint64_t *word, size_t words)
{
	uint64_t pc;

	for (size_t i = 0; i < words; i++)
		if (go_memory__plausible(word[i]) &&
		    !go_memory__u64(&r->in->p->memory, word[i], &pc) &&
		    go_process__has_code(r->in->p, pc))
			return true;
	return false;
}

/*
 * What is done when an object is found to be garbage (src/runtime/mheap.go, type special): finalizers and cleanups are
 * functions, which may end a wait; what an object with one refers to lives on until then.
 */
static void scan_specials(struct reach *r, const struct go_span *span)
{
	uint64_t word[SPECIAL_SZ / 8], at = span->specials, off;

	while (go_memory__plausible(at) && !r->too_large) {
		r->too_large = ++r->specials > SPECIALS_MAX;
		if (go_memory__read(&r->in->p->memory, at, word, sizeof(word)))
			return;
		at = word[0];
		if (!has_function(r, word + 2, SPECIAL_SZ / 8 - 2))
			continue;
		for (size_t k = 2; k < SPECIAL_SZ / 8; k++)
			mark(r, word[k]);
		/* Up to 1.23 a number of 16 bits with a kind after it, which is never 0. */
		off = word[1] >> 16 && span->elems > 1 ? word[1] & 0xffff : word[1];
		if (off / span->elem_sz < span->elems) {
			off -= off % span->elem_sz;
			if (!span->noscan)
				scan(r, span->addr + off, span->addr + off + span->elem_sz);
		}
	}
}

static void scan_roots(struct reach *r)
{
	const struct go_reach_input *in = r->in;

	/* First, for each of them is woken once at most. */
	for (size_t i = 0; i < in->s->cnt; i++)
		if (r->live[i])
			r->woken[r->wokens++] = i;
	scan(r, in->p->data.from, in->p->data.to);
	scan(r, in->p->bss.from, in->p->bss.to);
	for (size_t i = 0; i < in->heap->cnt; i++)
		if (in->heap->span[i].specials)
			scan_specials(r, &in->heap->span[i]);
	drain(r);
}

/* ---- who waits for what */

static int by_object(const void *a, const void *b)
{
	const struct waiter *x = a, *y = b;

	return x->object < y->object ? -1 : x->object > y->object;
}

/* What is no object of the heap is believed to be known to everybody. */
static void list_waiters(struct reach *r)
{
	struct go_heap_object o;

	for (size_t i = 0; i < r->in->cnt; i++) {
		const struct go_awaits *w = &r->in->awaits[i];

		if (go_heap__find(r->in->heap, w->object, &o))
			r->waiter[r->waiters++] = (struct waiter){ o.number, w->goroutine };
		else
			r->live[w->goroutine] = true;
	}
	qsort(r->waiter, r->waiters, sizeof(r->waiter[0]), by_object);
}

int go_reach__find(const struct go_reach_input *in, bool *live)
{
	struct reach r = { .in = in, .live = live };
	const struct go_span *last = in->heap->cnt ? &in->heap->span[in->heap->cnt - 1] : NULL;

	if (last) {
		r.lo = in->heap->span[0].addr;
		r.hi = last->addr + last->elems * last->elem_sz;
	}
	r.marked = calloc(1, in->heap->objects / 8 + 1);
	r.waiter = calloc(in->cnt + 1, sizeof(*r.waiter));
	r.woken = calloc(in->s->cnt + 1, sizeof(*r.woken));
	r.batch = malloc(sizeof(*r.batch));
	if (r.marked && r.waiter && r.woken && r.batch) {
		list_waiters(&r);
		list_ps(&r);
		scan_roots(&r);
	} else {
		r.failed = true;
	}
	free(r.queue);
	free(r.marked);
	free(r.waiter);
	free(r.woken);
	free(r.batch);
	return r.failed ? -ENOMEM : r.too_large ? -E2BIG : 0;
}
