/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading many gs and what belongs to them: internal to user/golang. */
#ifndef HOLDUP_GOLANG_GO_READ_H
#define HOLDUP_GOLANG_GO_READ_H

#include "user/golang/go_snapshot.h"

#define GO_BATCH \
	1024 /* goroutines that are read together, so that little time passes between both readings */

/* One batch: addresses, and the bytes of each g. */
struct go_batch {
	uint64_t addr[GO_BATCH]; /* ascending */
	size_t cnt;
	size_t g_sz;
	uint8_t *bytes; /* of cnt * g_sz */
	bool ok[GO_BATCH];
	uint8_t *pieces; /* several gs in one piece; kept for the next time */
	size_t pieces_sz;
};

/* Reads the gs again, those close to each other in one piece. -ENOMEM. */
int go_read__gs(const struct go_process *p, struct go_batch *b);
void go_read__free(struct go_batch *b); /* what it points to */
void go_read__decode(const struct go_process *p, uint64_t addr, const uint8_t *bytes,
		     struct go_goroutine *ret);
/* The semaphores and channels that goroutines wait for; stack[i]: bytes of the stack from sp on. */
struct go_view {
	struct go_goroutine *g;
	const uint8_t *stack;
	size_t stack_sz;
};
/* One more that g waits for; all of a goroutine's one after the other. */
int go_read__add_chan(struct go_snapshot *s, struct go_goroutine *g, uint64_t chan);
int go_read__objects(const struct go_process *p, struct go_snapshot *s, struct go_view *view,
		     size_t cnt, size_t *scans);
/* Does it wait for a lock of package sync, by the runtime's words? Not for a Cond: that has a list of its own. */
bool go_read__in_semaphore(const struct go_process *p, const struct go_goroutine *g);
/* The threads that run goroutines, or are in their system calls. */
void go_read__threads(const struct go_process *p, struct go_snapshot *s);

#endif
