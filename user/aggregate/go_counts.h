/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waits for locks of package sync in one Go process as its probes have counted them (collect/go_probes.h), by
 * semaphore and call stack, and who let the waiters go. The kernel side counts from its start on; here each interval
 * gets its share. Nothing is named or judged; the model does that (model/locks_go.c).
 *
 * Pure. Times in ns. Ownership: everything belongs to the object; go_counts__free(). Errors: -ENOMEM.
 */
#ifndef HOLDUP_AGGREGATE_GO_COUNTS_H
#define HOLDUP_AGGREGATE_GO_COUNTS_H

#include "bpf/abi_golang.h"
#include "user/aggregate/hist.h"
#include "user/golang/go_snapshot.h"
#include "user/util/table.h"

/* Who ended waits at one place, by the stack that released. */
struct go_released {
	uint64_t releaser; /* id of that stack; 0: not known */
	struct hu_go_release now, base;
};

struct go_counted {
	uint64_t sema;		     /* 0: of any for which there was no room */
	uint64_t site;		     /* id of its stack; 0: not known */
	struct hu_go_wait now, base; /* since the start, and up to the last interval's end */
	struct go_released *released;
	size_t released_cnt;
	uint32_t waiting;	      /* when the interval ended */
	uint64_t ongoing, ongoing_ns; /* of its waits: not over, with their time so far */
};

struct go_counts {
	struct table places; /* of struct go_counted */
	struct table stacks; /* of struct go_kept_stack */
};

/* What was read; replaces what was read before. */
int go_counts__wait(struct go_counts *c, const struct hu_go_key *key, const struct hu_go_wait *w);
int go_counts__release(struct go_counts *c, const struct hu_go_release_key *key,
		       const struct hu_go_release *r);
/*
 * A wait that is not over at until_ns. last: it counts with its time so far; else in the interval in which it ends.
 */
int go_counts__ongoing(struct go_counts *c, const struct hu_go_pending *p, uint64_t until_ns,
		       bool last);
/* Stacks by id: NULL if it is not known yet. */
const struct go_stack *go_counts__stack(const struct go_counts *c, uint64_t id);
int go_counts__keep_stack(struct go_counts *c, uint64_t id, const struct hu_go_stack *stack);

/* Of the interval: what was added since the last go_counts__next(). */
struct go_share {
	uint64_t waits, sleeps, ns, before;
	uint64_t max_ns; /* as far as known: of the highest bucket, unless it was the longest of all */
};
struct go_share go_counted__share(const struct go_counted *p);
/* Adds its waits to a histogram: the middle of each bucket. */
void go_counted__add_hist(const struct go_counted *p, struct hist *h);
void go_counts__next(struct go_counts *c);
void go_counts__free(struct go_counts *c);

#endif
