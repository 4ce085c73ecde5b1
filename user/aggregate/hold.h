/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Holds added up by process, lock, mode and call stack, and the orders in which locks were taken. What the kernel
 * counted by a stack that came raw joins what it counted by the same stack later.
 *
 * Ownership: everything belongs to the set and lives until hold_set__free(), processes and stacks are the
 * aggregate's; hold_set__reset() ends an interval: holds go. Errors: -ENOMEM.
 */
#ifndef HOLDUP_AGGREGATE_HOLD_H
#define HOLDUP_AGGREGATE_HOLD_H

#include "user/aggregate/aggregate.h"

struct agg_hold {
	struct agg_process *process;
	uint64_t lock, stack_id;
	uint32_t mode; /* enum hu_hold_mode */
	struct hu_hold sum;
	uint64_t hist[HU_HOLD_BUCKETS]; /* sum.hist, with room */
	uint32_t held_now;
	uint64_t oldest_ns; /* when the oldest of these began; 0: none */
};

struct agg_edge {
	struct agg_process *process;
	struct hu_edge_key key; /* with stack ids of the aggregate */
	struct hu_edge sum;
};

struct hold_set {
	struct aggregate *aggregate;
	struct table holds; /* of struct agg_hold */
	struct table edges; /* of struct agg_edge */
};

void hold_set__init(struct hold_set *h, struct aggregate *a);
void hold_set__free(struct hold_set *h);
void hold_set__reset(struct hold_set *h);

/* These are callbacks of user/collect/hold.h; ctx is the struct hold_set. */
int hold_set__add(void *ctx, const struct hu_hold_key *key, const struct hu_hold *hold);
int hold_set__add_held(void *ctx, const struct hu_held_record *rec);
/* All edges come each time: hold_set__forget_edges() first. */
int hold_set__add_edge(void *ctx, const struct hu_edge_key *key, const struct hu_edge *edge);
void hold_set__forget_edges(struct hold_set *h);

/* What stands for the values of a bucket: its middle; of the last, which has no end, where it begins. */
uint64_t hold_hist__middle(unsigned int bucket);
/* The value below which `percent` of a histogram's cnt values lie, at most max_ns; at most 1/16 off. */
uint64_t hold_hist__percentile(const uint64_t hist[HU_HOLD_BUCKETS], double percent,
			       uint64_t max_ns);

#endif
