// SPDX-License-Identifier: GPL-2.0-only
/* From roots along pointers, through blocks, until nothing new is found. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/reach.h"

/*
 * glibc, malloc/malloc.c: a chunk begins with the size of the one before it and its own, whose low bits are flags
 * (PREV_INUSE, IS_MMAPPED, NON_MAIN_ARENA); the program's block begins at +16 and reaches 8 bytes into the next chunk.
 */
#define CHUNK_FLAGS 7ULL
#define CHUNK_MIN   32
#define CHUNK_ALIGN 16
#define FIRST_MAX   4096 /* of an arena: heap_info and malloc_state come before the first chunk */
#define BLOCKS_MAX  (1 << 22)
#define STACK_BELOW \
	256 /* a pointer to what an object on a stack is part of may be so far below it */
#define ADDRESS_BITS 48
#define ADDRESS_MASK ((1ULL << ADDRESS_BITS) - 1) /* above: tags */

struct block {
	uint64_t start, end;
	bool marked;
};

struct marking {
	struct reach_region *region;
	size_t regions;
	struct block *block;
	size_t blocks, cap;
	size_t *todo; /* blocks whose content is still to be looked at */
	size_t todo_cnt;
	struct reach_thread *thread;
	size_t threads;
	bool *live;  /* of threads: their stacks count */
	bool *found; /* of threads: their object was come upon */
};

static uint64_t word_at(const struct reach_region *r, uint64_t at)
{
	uint64_t word;

	memcpy(&word, r->bytes + (at - r->start), sizeof(word));
	return word;
}

/* ---- blocks */

static int add_block(struct marking *m, uint64_t start, uint64_t end)
{
	size_t cap = m->cap ? 2 * m->cap : 1024;
	struct block *more;

	if (m->blocks == BLOCKS_MAX)
		return -E2BIG;
	if (m->blocks == m->cap) {
		more = reallocarray(m->block, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->block = more;
		m->cap = cap;
	}
	m->block[m->blocks++] = (struct block){ start, end, false };
	return 0;
}

/* Do chunks follow one another from here exactly to the region's end? steps: how many may be looked at yet. */
static bool is_chain(const struct reach_region *r, uint64_t at, uint64_t *steps)
{
	while (at + CHUNK_MIN <= r->end && *steps) {
		uint64_t size = word_at(r, at + 8) & ~CHUNK_FLAGS;

		if (size < CHUNK_ALIGN || size % CHUNK_ALIGN || size > r->end - at)
			return false;
		at += size;
		--*steps;
	}
	return at == r->end;
}

/* Where the first chunk of this memory is; its end: it is not glibc's. */
static uint64_t first_chunk(const struct reach_region *r)
{
	uint64_t at = r->start + (CHUNK_ALIGN - r->start % CHUNK_ALIGN) % CHUNK_ALIGN;

	uint64_t steps = 2 * BLOCKS_MAX;

	for (; at < r->end && at < r->start + FIRST_MAX; at += CHUNK_ALIGN)
		if (is_chain(r, at, &steps))
			return at;
	return r->end;
}

/*
 * What comes before the first chunk is the allocator's own: nobody's block. A pointer to a chunk's header is
 * the allocator's as well, so blocks reach from the header on.
 */
static int find_blocks(struct marking *m, struct reach_region *r)
{
	uint64_t at = first_chunk(r);
	int err = 0;

	r->first_block = m->blocks;
	if (at == r->end)
		err = add_block(m, r->start, r->end);
	while (at + CHUNK_MIN <= r->end && !err) {
		uint64_t size = word_at(r, at + 8) & ~CHUNK_FLAGS;

		err = add_block(m, at, at + size);
		at += size;
	}
	r->blocks = m->blocks - r->first_block;
	return err;
}

/* ---- marking */

static struct reach_region *region_at(const struct marking *m, uint64_t at)
{
	size_t lo = 0, hi = m->regions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->region[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->regions && m->region[lo].start <= at ? &m->region[lo] : NULL;
}

static struct block *block_at(const struct marking *m, const struct reach_region *r, uint64_t at)
{
	size_t lo = r->first_block, hi = lo + r->blocks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->block[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->first_block + r->blocks && m->block[lo].start <= at ? &m->block[lo] : NULL;
}

/* A pointer onto a stack finds what is waited for there, if it leads close to it. */
static void find_on_stack(struct marking *m, uint64_t at)
{
	for (size_t i = 0; i < m->threads; i++)
		if (m->thread[i].object && at + STACK_BELOW >= m->thread[i].object &&
		    at <= m->thread[i].object + 64)
			m->found[i] = true;
}

static void follow(struct marking *m, uint64_t word)
{
	uint64_t at = word & ADDRESS_MASK;
	struct reach_region *r = region_at(m, at);
	struct block *b;

	if (!r)
		return;
	if (r->use == REACH_STACK)
		find_on_stack(m, at);
	if (r->use != REACH_HEAP)
		return;
	b = block_at(m, r, at);
	if (b && !b->marked) {
		b->marked = true;
		m->todo[m->todo_cnt++] = b - m->block;
	}
}

static void scan(struct marking *m, const struct reach_region *r, uint64_t from, uint64_t to)
{
	for (from = (from + 7) / 8 * 8; from + 8 <= to; from += 8)
		follow(m, word_at(r, from));
}

static void drain(struct marking *m)
{
	while (m->todo_cnt) {
		const struct block *b = &m->block[m->todo[--m->todo_cnt]];

		scan(m, region_at(m, b->start), b->start, b->end);
	}
}

static bool object_is_found(const struct marking *m, size_t thread)
{
	uint64_t object = m->thread[thread].object;
	const struct reach_region *r = region_at(m, object);
	const struct block *b;

	/* What could not be read, or is everybody's: somebody may know it. */
	if (!object || !r || r->use == REACH_ROOT || m->found[thread])
		return true;
	if (r->use == REACH_STACK)
		return false;
	b = block_at(m, r, object);
	return !b || b->marked;
}

/* From its stack pointer on; below there is nothing that is used. */
static void scan_stack(struct marking *m, size_t thread)
{
	for (size_t i = 0; i < m->regions; i++) {
		const struct reach_region *r = &m->region[i];
		uint64_t sp = m->thread[thread].sp;

		if (r->use == REACH_STACK && r->thread == thread)
			scan(m, r, sp > r->start && sp < r->end ? sp : r->start, r->end);
	}
	drain(m);
}

static void mark(struct marking *m, const uint64_t *extra, size_t extra_cnt)
{
	bool more = true;

	for (size_t i = 0; i < extra_cnt; i++)
		follow(m, extra[i]);
	for (size_t i = 0; i < m->regions; i++)
		if (m->region[i].use == REACH_ROOT) {
			scan(m, &m->region[i], m->region[i].start, m->region[i].end);
			drain(m);
		}
	while (more) {
		more = false;
		for (size_t i = 0; i < m->threads; i++) {
			if (m->live[i] || !object_is_found(m, i))
				continue;
			m->live[i] = more = true;
			scan_stack(m, i);
		}
	}
	for (size_t i = 0; i < m->threads; i++)
		m->thread[i].unreachable = !m->live[i];
}

int reach__mark(struct reach_region *regions, size_t region_cnt, const uint64_t *extra,
		size_t extra_cnt, struct reach_thread *threads, size_t thread_cnt)
{
	struct marking m = {
		.region = regions, .regions = region_cnt, .thread = threads, .threads = thread_cnt
	};
	int err = 0;

	for (size_t i = 0; i < region_cnt && !err; i++)
		if (regions[i].use == REACH_HEAP)
			err = find_blocks(&m, &regions[i]);
	m.live = calloc(thread_cnt + 1, sizeof(*m.live));
	m.found = calloc(thread_cnt + 1, sizeof(*m.found));
	m.todo = calloc(m.blocks + 1, sizeof(*m.todo));
	if (!err && (!m.live || !m.found || !m.todo))
		err = -ENOMEM;
	if (!err)
		mark(&m, extra, extra_cnt);
	free(m.block);
	free(m.live);
	free(m.found);
	free(m.todo);
	return err;
}
