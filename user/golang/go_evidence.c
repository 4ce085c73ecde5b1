// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_sites.h"

#define CHUNK_SZ     32768	    /* of a stack that are read at once */
#define BYTES_MAX    (256ull << 20) /* of all stacks together */
#define EVIDENCE_MAX 65536
#define STACKS_MAX   4096

struct gathering {
	const struct go_process *p;
	const struct go_snapshot *s;
	const uint64_t *lock;
	size_t locks;
	struct go_range *object; /* around each lock */
	struct go_evidence *found;
	size_t cnt, cap;
	bool partial;	   /* not all was looked at */
	uint64_t bytes;	   /* looked at so far */
	size_t global[64]; /* locks that are variables of packages */
	size_t globals;
	struct table stacks; /* of struct stack_refers */
	struct table refers; /* of struct reference, by place and lock */
};

static int add(struct gathering *g, size_t lock, size_t goroutine, unsigned hint)
{
	struct go_evidence *more;

	/* One goroutine's come together. */
	for (size_t i = g->cnt; i && g->found[i - 1].goroutine == goroutine; i--)
		if (g->found[i - 1].lock == lock) {
			g->found[i - 1].hints |= hint;
			return 0;
		}
	if (g->cnt == EVIDENCE_MAX) {
		g->partial = true;
		return 0;
	}
	if (g->cnt == g->cap) {
		g->cap = g->cap ? 2 * g->cap : 64;
		more = reallocarray(g->found, g->cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->found = more;
	}
	g->found[g->cnt++] = (struct go_evidence){ lock, goroutine, hint };
	return 0;
}

/* The first lock whose object ends above the address. */
static size_t lock_from(const struct gathering *g, uint64_t addr)
{
	size_t lo = 0, hi = g->locks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->object[mid].to <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A pointer to a lock, into one, or to what it is a part of. */
static int match(struct gathering *g, size_t goroutine, uint64_t word)
{
	int err = 0;

	if (word < g->object[0].from || word >= g->object[g->locks - 1].to)
		return 0;
	for (size_t i = lock_from(g, word); i < g->locks && g->object[i].from <= word && !err; i++)
		err = add(g, i, goroutine,
			  word >= g->lock[i] && word < g->lock[i] + GO_LOCK_SZ ? GO_HINT_EXACT
									       : GO_HINT_OBJECT);
	return err;
}

/*
 * Small things without pointers share a block of this size, mutexes among them: maxTinySize, src/runtime/malloc.go.
 * What lies beside one in it is something else.
 */
#define TINY_SZ	 16
#define MUTEX_SZ 8

static struct go_range object_of(const struct go_heap *heap, uint64_t lock)
{
	struct go_heap_object o;

	if (!heap || !go_heap__find(heap, lock, &o))
		return (struct go_range){ lock < GO_OBJECT_SZ ? 0 : lock - GO_OBJECT_SZ,
					  lock + GO_LOCK_SZ };
	if (o.noscan && o.sz == TINY_SZ)
		return (struct go_range){ lock, lock + MUTEX_SZ };
	return (struct go_range){ o.addr, o.addr + o.sz };
}

/* Objects of the heap lie apart; where ranges that are only believed to be objects overlap, they do so in order. */
static int list_objects(struct gathering *g, const struct go_heap *heap)
{
	g->object = calloc(g->locks + 1, sizeof(*g->object));
	if (!g->object)
		return -ENOMEM;
	for (size_t i = 0; i < g->locks; i++)
		g->object[i] = object_of(heap, g->lock[i]);
	return 0;
}

static int scan_chunk(struct gathering *g, size_t i, uint64_t from, size_t sz, uint8_t *bytes)
{
	uint64_t word;
	int err = 0;

	if (go_memory__read(&g->p->memory, from, bytes, sz)) {
		g->partial = true;
		return 0;
	}
	for (size_t at = 0; at + sizeof(word) <= sz && !err; at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		err = match(g, i, word);
	}
	return err;
}

/* All of it that is in use; of one that runs all of it, since where it is in its stack is not known. */
static int scan_stack(struct gathering *g, size_t i, uint8_t *bytes)
{
	const struct go_goroutine *r = &g->s->goroutine[i];
	bool known = r->sp >= r->lo && r->sp < r->hi && r->status != GO_RUNNING;
	int err = 0;

	for (uint64_t from = known ? r->sp : r->lo; from < r->hi && !err; from += CHUNK_SZ) {
		size_t sz = r->hi - from < CHUNK_SZ ? r->hi - from : CHUNK_SZ;

		g->bytes += sz;
		if (g->bytes > BYTES_MAX) {
			g->partial = true;
			break;
		}
		err = scan_chunk(g, i, from, sz, bytes);
	}
	return err;
}

/* ---- code */

struct reference {
	uint64_t pc, lock;
	bool refers;
};

static bool reference__is(const void *value, const void *key)
{
	const struct reference *a = value, *b = key;

	return a->pc == b->pc && a->lock == b->lock;
}

static bool refers(struct gathering *g, uint64_t pc, uint64_t lock)
{
	struct reference key = { pc, lock, false }, *known;
	uint64_t hash = hash__mix(pc, lock);

	known = table__find(&g->refers, hash, reference__is, &key);
	if (known)
		return known->refers;
	key.refers = go_sites__refers(g->p, pc, lock, lock + GO_LOCK_SZ);
	known = malloc(sizeof(*known));
	if (!known)
		return key.refers;
	*known = key;
	if (table__add(&g->refers, hash, known))
		free(known);
	return key.refers;
}

/* Variables of packages, which code knows by their address. */
static bool is_global(const struct go_process *p, uint64_t addr)
{
	return (addr >= p->data.from && addr < p->data.to) ||
	       (addr >= p->bss.from && addr < p->bss.to) ||
	       (addr >= p->noptrbss.from && addr < p->noptrbss.to);
}

static void add_global(struct gathering *g, size_t lock)
{
	if (!is_global(g->p, g->lock[lock]))
		return;
	if (g->globals < sizeof(g->global) / sizeof(g->global[0]))
		g->global[g->globals++] = lock;
	else
		g->partial = true;
#if !defined(__x86_64__)
	g->partial = true; /* see go_sites__refers() */
#endif
}

/* Which of the first 64 global locks the functions of a stack refer to: stacks are many, distinct ones are few. */
struct stack_refers {
	const struct go_stack *stack;
	uint64_t mask;
};

static bool stack__same(const void *value, const void *key)
{
	return ((const struct stack_refers *)value)->stack == key;
}

static uint64_t look_at_stack(struct gathering *g, const struct go_stack *stack)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < g->globals; i++)
		for (size_t n = 0; n < stack->frames && !(mask >> i & 1); n++)
			if (refers(g, stack->pcs[n], g->lock[g->global[i]]))
				mask |= 1ULL << i;
	return mask;
}

static uint64_t mask_of(struct gathering *g, const struct go_stack *stack)
{
	uint64_t hash = hash__mix(0, (uintptr_t)stack);
	struct stack_refers *known = table__find(&g->stacks, hash, stack__same, stack);
	uint64_t mask;

	if (known)
		return known->mask;
	if (g->stacks.cnt >= STACKS_MAX) {
		g->partial = true;
		return 0;
	}
	mask = look_at_stack(g, stack);
	known = malloc(sizeof(*known));
	if (known) {
		*known = (struct stack_refers){ stack, mask };
		if (table__add(&g->stacks, hash, known))
			free(known);
	}
	return mask;
}

static int scan_code(struct gathering *g, size_t i)
{
	const struct go_stack *stack = g->s->goroutine[i].stack;
	uint64_t mask = stack && g->globals ? mask_of(g, stack) : 0;
	int err = 0;

	for (size_t l = 0; l < g->globals && !err; l++)
		if (mask >> l & 1)
			err = add(g, g->global[l], i, GO_HINT_CODE);
	return err;
}

int go_evidence__gather(const struct go_process *p, const struct go_snapshot *s,
			const struct go_heap *heap, const uint64_t *lock, size_t lock_cnt,
			struct go_evidence **ret, size_t *ret_cnt, bool *ret_partial)
{
	struct gathering g = { .p = p, .s = s, .lock = lock, .locks = lock_cnt };
	uint8_t *bytes = malloc(CHUNK_SZ);
	int err = bytes ? list_objects(&g, heap) : -ENOMEM;

	for (size_t i = 0; i < lock_cnt; i++)
		add_global(&g, i);
	for (size_t i = 0; i < s->cnt && lock_cnt && !err; i++) {
		err = scan_stack(&g, i, bytes);
		if (!err)
			err = scan_code(&g, i);
	}
	table__clear(&g.stacks, free);
	table__clear(&g.refers, free);
	free(g.object);
	free(bytes);
	if (err) {
		free(g.found);
		return err;
	}
	*ret = g.found;
	*ret_cnt = g.cnt;
	*ret_partial = g.partial;
	return 0;
}
