/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a wait is for: the kind of lock, whether the wait is idle, and what people call such a lock, from
 * the functions that wait, or, where no name says it, from the futex call and the memory it waits on.
 * Pure: no process is touched, strings that come out are constants.
 *
 * What functions mean stands in tables (table.c), what memory means in object.c, whose code a frame is in
 * runtime.c; each entry with its source.
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
	/* Go's own, which threads of the kernel never wait for. */
	LOCK_GO_MUTEX = 10,
	LOCK_GO_RWMUTEX = 11,
	LOCK_GO_WAITGROUP = 12,
	LOCK_GO_CHAN = 13,
	LOCK_GO_SELECT = 14,
	LOCK_GO_COND = 15,
	LOCK_SPIN = 16, /* by --hold only: nobody sleeps for it */
	LOCK_KINDS
};

const char *lock_kind__name(enum lock_kind kind); /* "mutex", …; park is shown as "futex" */
/* A wait for work rather than for something that another thread holds, unless more is known than the kind. */
bool lock_kind__idle(enum lock_kind kind);

/* What is known of a wait. */
struct target_site {
	/* Leaf first, as many as are known; guessed ones prove nothing. */
	const struct sym_frame *frames;
	size_t frame_cnt;
	/* A wait of that site (sleeps 0: no sample, only uaddr and op are valid). */
	const struct hu_wait_record *rec;
	/* The data symbol that the futex word lies in, and how far from its start; "": none. */
	const char *symbol;
	uint64_t symbol_off;
};

struct target_wait {
	enum lock_kind kind;
	/* frames[0..api] are the library's; frames[api] is the function that the program called. 0
	 * frames of the library known: api is -1. */
	int api;
	/*
	 * Address of the whole lock that the futex word belongs to. 0: the word is the waiting thread's own
	 * (Java's monitors, parked threads), so that memory does not tell which lock it waits for.
	 */
	uint64_t object;
	const char *label; /* "Java monitor", …; "" where the kind says it all */
	bool idle;	   /* a wait for work */
	bool unsure; /* idle, but as far as can be seen from outside it may be a lock that others hold */
	bool known_as_label; /* the label tells more than the name of the symbol: "Python GIL" */
};

void target__classify(const struct target_site *site, struct target_wait *ret);

/* Code of the C, C++ or language runtime between the program and its locks, not the program's own. */
bool target__is_runtime(const struct sym_frame *frame);
/*
 * A Go function without the path of its package, as Go programmers call it: "backend.(*batchTx).lock". Other names as
 * they are.
 */
const char *target__short_name(const char *function);
/*
 * The interpreter or virtual machine that a frame belongs to, whose frames say next to nothing about the
 * program that it runs: "CPython", "HotSpot", "generated code" (which is in no file); NULL: none.
 */
const char *target__interpreter(const struct sym_frame *frame);

/*
 * The runtime of a process that has these files mapped (base names): called for each, *ret keeps the answer so far
 * and begins as "native". "java", "python", "node".
 */
void target__runtime(const char *module, const char **ret);

#endif
