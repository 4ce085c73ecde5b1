/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a wait is for: the kind of lock from the library function that waits, or, where no name says
 * it, from the futex call and the memory it waits on. Pure: no process is touched.
 *
 * Knowledge of C libraries lives in tables here, each entry with its source.
 */
#ifndef HOLDUP_TARGET_KIND_H
#define HOLDUP_TARGET_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/sym/symbolizer.h"

/* Numbered and append-only: captures hold them. */
enum lock_kind {
	LOCK_INVALID = 0,
	LOCK_FUTEX = 1, /* not known */
	LOCK_MUTEX = 2,
	LOCK_RWLOCK = 3,
	LOCK_CONDVAR = 4,
	LOCK_SEMAPHORE = 5,
	LOCK_BARRIER = 6,
	LOCK_JOIN = 7,
	LOCK_ONCE = 8,
	LOCK_PARK = 9, /* a thread that lies down until it is given work: Rust's park, Go's idle
			  threads */
	LOCK_KINDS
};

const char *lock_kind__name(enum lock_kind kind); /* "mutex", …; park is shown as "futex" */
/* A wait for work rather than for something that another thread holds. */
bool lock_kind__idle(enum lock_kind kind);

struct target_wait {
	enum lock_kind kind;
	/* frames[0..api] are the library's; frames[api] is the function that the program called. 0
	 * frames of the library known: api is -1. */
	int api;
	uint64_t object; /* address of the whole lock that the futex word belongs to */
};

/*
 * Frames are leaf first, as many as are known; guessed ones prove nothing. rec is a wait of that site (rec->sleeps 0: no
 * sample, only uaddr and op are valid).
 */
void target__classify(const struct sym_frame *frames, size_t cnt, const struct hu_wait_record *rec,
		      struct target_wait *ret);

/* Code of the C, C++ or language runtime between the program and its locks, not the program's own. */
bool target__is_runtime(const struct sym_frame *frame);

#endif
