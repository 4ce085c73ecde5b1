/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * glibc's mutexes whose owner is gone, found by their shape in the writable memory of a process that ends: it is the
 * only moment when nobody is about to change them, and nobody need wait for them. A mutex is what has the values of a
 * locked pthread_mutex_t in all of its 40 bytes (x86-64, arm64: sysdeps/nptl/bits/struct_mutex.h, since 2.26) and an
 * owner that has been a thread of this process; numbers that happen to look like that are possible, and freed memory
 * keeps what was in it, so what has no name may be none. Robust ones are left out (their next owner is told), as are
 * other libraries' locks.
 *
 * Bounded: at most DEAD_MUTEXES_SEARCH_MAX bytes are read and DEAD_MUTEXES_MAX found, and `partial` says if that cut
 * it.
 */
#ifndef HOLDUP_COLLECT_DEAD_MUTEXES_H
#define HOLDUP_COLLECT_DEAD_MUTEXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/sym/maps.h"

#define DEAD_MUTEXES_MAX	16
#define DEAD_MUTEXES_SEARCH_MAX (256ULL << 20)

struct dead_mutex {
	uint64_t address;
	uint32_t owner; /* as the process's PID namespace numbers it */
};

struct dead_mutexes {
	struct dead_mutex mutex[DEAD_MUTEXES_MAX];
	size_t cnt;
	uint64_t searched; /* bytes */
	bool partial;
};

/* gone(ctx, owner): was it a thread of this process, and is no more? */
int dead_mutexes__find(pid_t tgid, const struct maps *maps, bool (*gone)(void *ctx, uint32_t owner),
		       void *ctx, struct dead_mutexes *ret);
/* The owner, if these words are those of a locked mutex; else 0. Pure. */
#define MUTEX_WORDS 10
uint32_t dead_mutexes__owner(const uint32_t word[MUTEX_WORDS]);

#endif
