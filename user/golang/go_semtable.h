/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who waits for semaphores of Go's runtime, which is to say for locks of package sync, by its own table of them
 * (runtime.semtable, src/runtime/sema.go): 251 trees of semaphores, a list of waiters at each. It costs the program
 * nothing, and so little to read that it can be read many times a second, without looking at any goroutine.
 *
 * In: memory that is hostile, and that changes while it is read. A waiter is told only if its record names the
 * semaphore under which it was found; what can't be followed is left out and counted, nothing is made up. Reads and
 * waiters are bounded, so lists that lead to themselves end.
 * Ownership: the caller frees what go_semtable__read() returns. Errors: -ENOENT: not found, or not proven yet;
 * -EFAULT: the table can't be read; -ENOMEM.
 */
#ifndef HOLDUP_GOLANG_GO_SEMTABLE_H
#define HOLDUP_GOLANG_GO_SEMTABLE_H

#include "user/golang/go_snapshot.h"

#define GO_SEMA_WAITERS_MAX 100000 /* that are told; the rest is counted */

struct go_sema_waiter {
	uint64_t g, sema; /* addresses of its g, and of the semaphore */
};

struct go_semtable {
	uint64_t addr; /* 0: not found yet */
	bool by_proof; /* without a symbol */
	size_t missed; /* by the last reading: that the runtime counts as waiting, and that were not found */
};

/*
 * By the symbol, else by a goroutine of the snapshot that waits for a semaphore: where a table stands that leads to
 * it, that is the one. -ENOENT when nobody waits, or no more: try again with a later snapshot; it looks through the
 * program's variables, a millisecond for each few megabytes.
 */
int go_semtable__find(const struct go_process *p, const struct go_snapshot *s,
		      struct go_semtable *ret);
/* All who wait, by ascending address of g, each once. Sets missed. */
int go_semtable__read(const struct go_process *p, struct go_semtable *t,
		      struct go_sema_waiter **ret, size_t *ret_cnt);

#endif
