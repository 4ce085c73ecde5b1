// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_sites.h"

#define STACK_SZ     32768 /* of each stack that are looked at, from its end or its stack pointer on */
#define BYTES_MAX    (256ull << 20) /* of all stacks together */
#define EVIDENCE_MAX 65536
#define STACKS_MAX   4096

struct gathering {
	const struct go_process *p;
	const struct go_snapshot *s;
	const uint64_t *lock;
	size_t locks;
	struct go_evidence *found;
	size_t cnt, cap;
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
	if (g->cnt == EVIDENCE_MAX)
		return 0;
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

/* The first lock at or above the address. */
static size_t lock_from(const struct gathering *g, uint64_t addr)
{
	size_t lo = 0, hi = g->locks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->lock[mid] < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A pointer to a lock, into one, or to what it may be a part of. */
static int match(struct gathering *g, size_t goroutine, uint64_t word)
{
	int err = 0;

	if (word + GO_OBJECT_SZ < g->lock[0] || word >= g->lock[g->locks - 1] + GO_LOCK_SZ)
		return 0;
	for (size_t i = lock_from(g, word < GO_LOCK_SZ ? 0 : word - GO_LOCK_SZ + 1);
	     i < g->locks && g->lock[i] <= word + GO_OBJECT_SZ && !err; i++)
		err = add(g, i, goroutine, word >= g->lock[i] ? GO_HINT_EXACT : GO_HINT_OBJECT);
	return err;
}

static int scan_stack(struct gathering *g, size_t i, uint8_t *bytes)
{
	const struct go_goroutine *r = &g->s->goroutine[i];
	uint64_t from = r->sp, word;
	size_t sz;
	int err = 0;

	if (r->lo >= r->hi)
		return 0;
	/* Where one that runs is in its stack is not known. */
	if (from < r->lo || from >= r->hi || r->status == GO_RUNNING)
		from = r->hi - r->lo > STACK_SZ ? r->hi - STACK_SZ : r->lo;
	sz = r->hi - from < STACK_SZ ? r->hi - from : STACK_SZ;
	g->bytes += sz;
	if (g->bytes > BYTES_MAX || go_memory__read(&g->p->memory, from, bytes, sz))
		return 0;
	for (size_t at = 0; at + sizeof(word) <= sz && !err; at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		err = match(g, i, word);
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
	if (g->stacks.cnt >= STACKS_MAX)
		return 0;
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
			const uint64_t *lock, size_t lock_cnt, struct go_evidence **ret,
			size_t *ret_cnt)
{
	struct gathering g = { .p = p, .s = s, .lock = lock, .locks = lock_cnt };
	uint8_t *bytes = malloc(STACK_SZ);
	int err = bytes ? 0 : -ENOMEM;

	for (size_t i = 0; i < lock_cnt && g.globals < 64; i++)
		if (is_global(p, lock[i]))
			g.global[g.globals++] = i;
	for (size_t i = 0; i < s->cnt && lock_cnt && !err; i++) {
		err = scan_stack(&g, i, bytes);
		if (!err)
			err = scan_code(&g, i);
	}
	table__clear(&g.stacks, free);
	table__clear(&g.refers, free);
	free(bytes);
	if (err) {
		free(g.found);
		return err;
	}
	*ret = g.found;
	*ret_cnt = g.cnt;
	return 0;
}
