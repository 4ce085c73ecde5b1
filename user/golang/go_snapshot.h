/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All goroutines of one process, without stopping it: each is read, its stack, and then itself again; only where both
 * readings agree (goid, status, stack pointer, pc, count of its turns, stack) it is believed, others are read anew a
 * few times, and then counted as rejected. gs are never freed by the runtime, only used again.
 *
 * In: a process (go_process.h), memory hostile: numbers are bounded before anything is allocated by them.
 * Ownership: everything belongs to the snapshot. Times are CLOCK_MONOTONIC, which is what the runtime's own
 * nanotime() is. Errors: -ENOMEM; -EFAULT: the list of goroutines can't be read.
 */
#ifndef HOLDUP_GOLANG_GO_SNAPSHOT_H
#define HOLDUP_GOLANG_GO_SNAPSHOT_H

#include "user/golang/go_stack.h"

#define GO_GOROUTINES_MAX 2000000 /* of one process that are read; the rest is counted */
#define GO_CHANS_MAX	  16	  /* of one select that are told */

/* src/runtime/runtime2.go */
enum go_status {
	GO_IDLE = 0,
	GO_RUNNABLE = 1,
	GO_RUNNING = 2,
	GO_SYSCALL = 3,
	GO_WAITING = 4,
	GO_DEAD = 6,
	GO_COPYSTACK = 8,
	GO_PREEMPTED = 9,
	GO_LEAKED = 10, /* from 1.26 */
	GO_DEADEXTRA = 11,
	GO_STATUSES
};

const char *go_status__name(uint32_t status); /* "waiting", … */

/* Leaf first; see go_stack.h. */
struct go_stack {
	uint64_t hash;
	bool complete;
	uint16_t frames;
	uint64_t pcs[];
};

struct go_goroutine {
	uint64_t addr; /* of its g */
	uint64_t goid;
	uint64_t parent; /* goid of who created it; 0: not known (before 1.21) */
	uint64_t gopc, startpc;
	uint64_t lo, hi, sp, pc; /* of its stack */
	uint64_t m;		 /* 0: none */
	uint64_t waiting;	 /* first sudog */
	uint64_t waitsince_ns; /* by the garbage collector: it waits since then at most; 0: not told */
	uint64_t stamp_ns;     /* it waits since then at least; 0: not told */
	uint64_t first_ns;     /* this snapshot, or an earlier one, saw it like this */
	uint32_t status;       /* without the scan bit */
	uint32_t tid;	       /* of the thread that runs it or is in its system call; 0: none */
	uint8_t reason, seq;
	bool steady; /* go_snapshot__recheck() found it unchanged */
	uint16_t chans;
	uint32_t chan_at;	      /* first of them in the snapshot's array */
	uint64_t sema;		      /* the semaphore that it waits for; 0: none, or not known */
	const struct go_stack *stack; /* NULL: it runs, or its stack can't be read */
};

/* Memory of a stack; those of goroutines that ended are kept by the runtime for others. */
struct go_stack_range {
	uint64_t lo, hi;
	size_t goroutine; /* in the snapshot; SIZE_MAX: of one that has ended */
};

struct go_snapshot {
	struct go_goroutine *goroutine; /* those that live, by address */
	size_t cnt;
	uint64_t *chan; /* addresses of channels, goroutine by goroutine */
	size_t chan_cnt;
	struct table stacks;	      /* of struct go_stack */
	struct go_stack_range *range; /* ascending */
	size_t ranges;
	size_t status[GO_STATUSES];
	size_t listed;	 /* gs there are, dead ones included */
	size_t rejected; /* would not hold still */
	size_t retried;	 /* had to be read again */
	size_t beyond;	 /* more than GO_GOROUTINES_MAX */
	size_t broken;	 /* stacks that could not be followed to their end */
	uint64_t began_ns, taken_ns;
};

int go_snapshot__take(struct go_process *p, struct go_snapshot **ret);
/*
 * Only these gs, by ascending address, each once (else -EINVAL), of the many that there may be: what does not live any
 * more is left out. Stacks of others are in no range.
 */
int go_snapshot__take_some(struct go_process *p, const uint64_t *addr, size_t cnt,
			   struct go_snapshot **ret);
/*
 * All of them, but whoever has not run since the previous snapshot (all that is compared between two readings is
 * equal, and no thread has it) is taken over from there, with stack, semaphore and channels, and when it was first seen
 * like this; of those nothing but their gs is read, once. It is the counter of turns that tells, which goes around at
 * 256: who ran exactly so often and waits at the same place again is taken for one who did not.
 * The new snapshot has copies: the previous one stays the caller's, and may be freed at once.
 */
int go_snapshot__again(struct go_process *p, const struct go_snapshot *previous,
		       struct go_snapshot **ret);
void go_snapshot__free(struct go_snapshot *s); /* NULL is fine */
/* Which of the goroutines have not run since: all of these were as they are at one and the same time. */
void go_snapshot__recheck(const struct go_process *p, struct go_snapshot *s);

#endif
