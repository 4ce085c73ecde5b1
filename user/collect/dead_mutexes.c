// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/dead_mutexes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define CHUNK_SZ      (1 << 20)
#define PID_MAX_LIMIT (4 << 20) /* include/linux/threads.h */
#define PAGE_SZ	      4096

/* __lock, __count, __owner, __nusers, __kind, __spins and __elision, __list */
enum {
	LOCK,
	COUNT,
	OWNER,
	USERS,
	KIND,
	SPINS,
	LIST
};

/* nptl/pthreadP.h and sysdeps/nptl/bits: PTHREAD_MUTEX_…; kinds and protocols of __kind */
#define KIND_TYPES     3u /* timed (normal), recursive, error checking, adaptive */
#define KIND_RECURSIVE 1u
#define KIND_ADAPTIVE  3u
#define KIND_PI	       32u
#define KIND_PSHARED   128u
#define KIND_ELISION   (256u | 512u)
#define TID_MASK       0x3fffffffu /* FUTEX_TID_MASK */

static bool kind_is_known(uint32_t kind)
{
	return !(kind & ~(KIND_TYPES | KIND_PI | KIND_PSHARED | KIND_ELISION));
}

uint32_t dead_mutexes__owner(const uint32_t word[MUTEX_WORDS])
{
	uint32_t owner = word[OWNER], kind = word[KIND];

	if (!owner || owner > PID_MAX_LIMIT || word[USERS] != 1 || !kind_is_known(kind))
		return 0;
	if (kind & KIND_PI ? (word[LOCK] & TID_MASK) != owner : word[LOCK] != 1 && word[LOCK] != 2)
		return 0;
	if ((kind & KIND_TYPES) == KIND_RECURSIVE ? !word[COUNT] || word[COUNT] > 65536
						  : word[COUNT] != 0)
		return 0;
	if (word[SPINS] && (kind & KIND_TYPES) != KIND_ADAPTIVE)
		return 0;
	/* The list is of robust mutexes, and of those with priority inheritance. */
	for (int i = LIST; i < MUTEX_WORDS; i++)
		if (word[i] && !(kind & KIND_PI))
			return 0;
	return owner;
}

struct search {
	pid_t tgid;
	bool (*gone)(void *ctx, uint32_t owner);
	void *ctx;
	struct dead_mutexes *ret;
	uint8_t *chunk;
};

static void search_chunk(struct search *s, uint64_t at, size_t sz)
{
	uint32_t word[MUTEX_WORDS], owner;

	for (size_t off = 0; off + sizeof(word) <= sz; off += 8) {
		memcpy(word, s->chunk + off, sizeof(word));
		owner = dead_mutexes__owner(word);
		if (!owner || !s->gone(s->ctx, owner))
			continue;
		if (s->ret->cnt == DEAD_MUTEXES_MAX) {
			s->ret->partial = true;
			return;
		}
		s->ret->mutex[s->ret->cnt++] = (struct dead_mutex){ at + off, owner };
	}
}

/* Chunks overlap by a mutex less one step, so that none is cut. Pages that can't be read are left out. */
static void search_mapping(struct search *s, const struct mapping *map)
{
	const size_t step = CHUNK_SZ - MUTEX_WORDS * sizeof(uint32_t);
	uint64_t at = map->start;

	while (at < map->end) {
		size_t want = map->end - at < CHUNK_SZ ? map->end - at : CHUNK_SZ;
		struct iovec local = { s->chunk, want };
		struct iovec remote = { (void *)(uintptr_t)at, want };
		ssize_t got;

		if (s->ret->searched + want > DEAD_MUTEXES_SEARCH_MAX) {
			s->ret->partial = true;
			return;
		}
		got = process_vm_readv(s->tgid, &local, 1, &remote, 1, 0);
		if (got < 0 && errno != EFAULT)
			return;
		s->ret->searched += got > 0 ? got : PAGE_SZ;
		if (got > 0)
			search_chunk(s, at, got);
		if (got < (ssize_t)want)
			at = (at + (got > 0 ? got : 0)) / PAGE_SZ * PAGE_SZ + PAGE_SZ;
		else
			at += want == CHUNK_SZ ? step : want;
	}
}

int dead_mutexes__find(pid_t tgid, const struct maps *maps, bool (*gone)(void *ctx, uint32_t owner),
		       void *ctx, struct dead_mutexes *ret)
{
	struct search s = { tgid, gone, ctx, ret, malloc(CHUNK_SZ) };

	memset(ret, 0, sizeof(*ret));
	if (!s.chunk)
		return -ENOMEM;
	for (size_t i = 0; i < maps->cnt && !ret->partial; i++)
		if (maps->map[i].write && maps->map[i].read)
			search_mapping(&s, &maps->map[i]);
	free(s.chunk);
	return 0;
}
