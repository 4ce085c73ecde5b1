/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may hold a lock of package sync, which does not say so itself: goroutines whose live stacks point to it or into
 * the object around it, or whose functions refer to it by its address. Evidence only: a slot of a stack may be one that
 * nobody reads any more. The heap tells where objects begin and end; without it, and outside, a pointer somewhat below a
 * lock may be one to its object, or to a neighbour.
 *
 * In: locks by address, ascending; heap NULL: not known. Out: an array that the caller frees. Errors: -ENOMEM; a stack that can't be read
 * gives no evidence, and *ret_partial is set, as where there is too much to be looked at.
 */
#ifndef HOLDUP_GOLANG_GO_EVIDENCE_H
#define HOLDUP_GOLANG_GO_EVIDENCE_H

#include "user/golang/go_heap.h"

#define GO_LOCK_SZ 24 /* of the largest of them, a RWMutex */
#define GO_OBJECT_SZ \
	512 /* a pointer so far below a lock may be one to the object that it is in, if that is not known */

enum go_hint {
	GO_HINT_EXACT = 1 << 0,	 /* a pointer to the lock */
	GO_HINT_OBJECT = 1 << 1, /* a pointer to somewhere else in its object */
	GO_HINT_CODE = 1 << 2,	 /* a function that refers to it by its address */
};

struct go_evidence {
	size_t lock, goroutine; /* in their arrays */
	unsigned hints;		/* enum go_hint */
};

int go_evidence__gather(const struct go_process *p, const struct go_snapshot *s,
			const struct go_heap *heap, const uint64_t *lock, size_t lock_cnt,
			struct go_evidence **ret, size_t *ret_cnt, bool *ret_partial);

#endif
