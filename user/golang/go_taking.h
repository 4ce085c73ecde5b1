/* SPDX-License-Identifier: GPL-2.0-only */
/* A snapshot that is being taken, batch by batch: internal to user/golang. */
#ifndef HOLDUP_GOLANG_GO_TAKING_H
#define HOLDUP_GOLANG_GO_TAKING_H

#include "user/golang/go_read.h"

#define GO_TRIES 4 /* readings of a goroutine that does not hold still */

struct go_taking {
	struct go_process *p;
	struct go_snapshot *s;
	size_t cap;	 /* of s->goroutine */
	uint64_t *retry; /* addresses to be read once more; room for all that there are */
	size_t retry_cnt;
	size_t scans;
	uint8_t *window; /* the tops of a batch's stacks */
	uint8_t *deep;	 /* a whole one; NULL until it is needed */
	struct go_batch first, second;
};

/* For at most so many goroutines. go_taking__end() in any case; *t zeroed before, but for p. */
int go_taking__begin(struct go_taking *t, size_t goroutines);
void go_taking__end(struct go_taking *t); /* all but the snapshot */

/*
 * Reads these, ascending, at most GO_BATCH, and appends those that live and hold still to the snapshot; the others go
 * to retry.
 */
int go_taking__batch(struct go_taking *t, const uint64_t *addr, size_t cnt);
/*
 * Appends who is as in an earlier snapshot, and has no thread: read once, with what is known from there. All others
 * go to retry. *at: how far that snapshot is used up; 0 before the first batch.
 */
int go_taking__batch_again(struct go_taking *t, const struct go_snapshot *previous, size_t *at,
			   const uint64_t *addr, size_t cnt);

/* Has it not run in between? Then its stack was its stack all the while. */
bool go_goroutine__agree(const struct go_goroutine *a, const struct go_goroutine *b);

#endif
