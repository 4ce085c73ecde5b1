/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Can anybody wake this thread? It waits for an object in memory; whoever is to end the wait has to find that object.
 * So its process's memory is searched as a conservative garbage collector would: from global data, and the stacks of
 * threads that wait for nothing, along whatever may be a pointer, through the blocks of the heap. A thread whose
 * object is found that way is taken to go on, so that its stack counts, too; what is left waits for ever, each for
 * what only such threads know. (Go's runtime finds leaked goroutines so: goroutineleak profile, Go 1.26.)
 *
 * Wrong only where pointers are hidden: encrypted, in registers alone, or in the kernel. What epoll and timers keep
 * is looked at; processes with io_uring are not searched. What is read moves meanwhile: two searches should agree.
 * Blocks are glibc's (malloc/malloc.c: size and flags before each); other allocators' memory counts as a whole, so
 * that less is found, never more.
 *
 * Bounded: REACH_MAX bytes of a process are searched, or none. Errors: -E2BIG; -EOPNOTSUPP: io_uring; -ESRCH; -ENOMEM.
 */
#ifndef HOLDUP_COLLECT_REACH_H
#define HOLDUP_COLLECT_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/sym/maps.h"

#define REACH_MAX (128ULL << 20)

struct reach_thread {
	uint32_t tid;
	uint64_t sp;	  /* of its user stack */
	uint64_t object;  /* address of what it waits for; 0: it waits for nothing in memory */
	bool unreachable; /* out */
};

/* threads: all of the process. */
int reach__search(pid_t tgid, const struct maps *maps, struct reach_thread *threads, size_t cnt);

/* ---- the search itself, on memory that was read; pure */

enum reach_use {
	REACH_ROOT = 1,	 /* all of it counts from the start */
	REACH_HEAP = 2,	 /* blocks */
	REACH_STACK = 3, /* of a thread */
};

struct reach_region {
	uint64_t start, end;
	enum reach_use use;
	uint8_t *bytes;		    /* end - start */
	size_t thread;		    /* REACH_STACK: whose */
	size_t first_block, blocks; /* REACH_HEAP; filled in by reach__mark() */
};

/* regions by address, not overlapping; extra: pointers that are known elsewhere. */
int reach__mark(struct reach_region *regions, size_t region_cnt, const uint64_t *extra,
		size_t extra_cnt, struct reach_thread *threads, size_t thread_cnt);

#endif
