/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is a goroutine between taking a lock and giving it back? Calls to package sync in the functions of its stack tell:
 * one that locks on a line before the one where the function is now, with none that unlocks in between.
 *
 * It is a judgement by line numbers, so a hint and no proof: code that unlocks in one branch only, or by `defer`
 * (which is then in no line in between, as it should be), or goto. Machine code of amd64 and arm64 is looked at for
 * calls only. Ownership: go_sites__free(). Errors: what can't be read has no sites.
 */
#ifndef HOLDUP_GOLANG_GO_SITES_H
#define HOLDUP_GOLANG_GO_SITES_H

#include "user/golang/go_snapshot.h"

/* Kinds of locks, as bits. */
enum go_held {
	GO_HELD_MUTEX = 1 << 0,
	GO_HELD_WRITE = 1 << 1, /* RWMutex.Lock() */
	GO_HELD_READ = 1 << 2,	/* RWMutex.RLock() */
};
#define GO_HELD_KINDS 3 /* bits of enum go_held */

struct go_sites;

int go_sites__new(const struct go_process *p, struct go_sites **ret); /* -ENOMEM */
void go_sites__free(struct go_sites *s);
/* The kinds of locks that a goroutine with this stack probably holds: enum go_held; *ret_pc: where, 0 for none. */
unsigned go_sites__held(struct go_sites *s, const struct go_stack *stack, uint64_t *ret_pc);

/*
 * Does the code of a function at pc refer to an address in [from, to)? amd64 only: by displacements from the
 * instruction pointer, at any byte, since a chance hit is one in 2^32.
 */
bool go_sites__refers(const struct go_process *p, uint64_t pc, uint64_t from, uint64_t to);

#endif
