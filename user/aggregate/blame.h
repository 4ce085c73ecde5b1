/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the holders of each lock did while others slept for it, in this interval: the kernel side counts from when it
 * knows a lock (struct hu_blame), here are the differences.
 */
#ifndef HOLDUP_AGGREGATE_BLAME_H
#define HOLDUP_AGGREGATE_BLAME_H

#include "user/aggregate/aggregate.h"

/* Most that is told apart of one lock: what the kernel side has room for, and what it has not proven yet. */
#define AGG_CHARGES_MAX 64

struct agg_charge {
	uint64_t reason; /* HU_REASON() */
	uint64_t ns;
	const char *what; /* the descriptor's object, from the hook; "" when not known */
};

struct agg_blame {
	uint32_t tgid;
	uint64_t uaddr;
	uint64_t running_ns, runnable_ns, handover_ns, unknown_ns;
	uint64_t other_ns;    /* blocked, not told apart */
	uint64_t inferred_ns; /* of these: by who let go of the lock, not by its own word */
	size_t charge_cnt, charge_cap;
	struct agg_charge *charge; /* blocked */
	struct hu_lock last;	   /* as it was read last */
	bool seen;		   /* since the interval began */
};

/* As the kernel side has it now. The last interval's end also counts what is not proven yet, and what goes on. */
int aggregate__blame(void *aggregate, const struct hu_lock_key *key, const struct hu_lock *lock);
/* NULL: nobody has slept for it in this interval. */
const struct agg_blame *aggregate__blame_of(const struct aggregate *a, uint32_t tgid,
					    uint64_t uaddr);
/* How many waited for it when it was read last. */
uint32_t aggregate__waiters(const struct aggregate *a, uint32_t tgid, uint64_t uaddr);
/* Of all in this interval, blocked or not. */
uint64_t agg_blame__total(const struct agg_blame *b);
/* The interval ends. */
void aggregate__reset_blame(struct aggregate *a);
void agg_blame__free(void *blame);

#endif
