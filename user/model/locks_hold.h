/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hold times, every acquisition, and circles in the order of locks (`locks --hold`): immutable once built, named and
 * sorted.
 *
 * Ownership: the report owns its rows and frames; strings belong to the symbolizer, processes to the aggregate.
 * Times are nanoseconds. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LOCKS_HOLD_H
#define HOLDUP_MODEL_LOCKS_HOLD_H

#include "user/aggregate/hold.h"
#include "user/collect/hold_price.h"
#include "user/model/locks.h"

struct hold_stats {
	uint64_t acquisitions; /* that were released in the interval */
	uint64_t contended;    /* of them: the thread slept for it */
	uint64_t after_wait;   /* of them: a condition variable's wait took the mutex back */
	uint64_t tried;	       /* of them: by a try function */
	uint64_t failed;       /* not of them: attempts without success */
	uint64_t unreleased; /* not of them: no release was seen when the thread ended or took it again */
	uint64_t held_now;
	uint64_t ns;
	uint64_t off_ns; /* of ns: the holder did not run */
	uint64_t p50_ns, p95_ns, p99_ns, max_ns;
};

struct hold_site {
	struct hold_stats stats;
	uint32_t mode; /* enum hu_hold_mode */
	struct hu_longest longest;
	const char *
		inside; /* what its holder did for the longest time off the CPU; "" if it ran all the while */
	struct sym_frame *frames; /* of the acquisition, leaf first; the first is the lock function */
	size_t frame_cnt;
	uint16_t stack_flags; /* enum hu_stack_flag */
};

#define HOLD_LONGEST 5

struct hold_lock {
	struct lock_row row; /* who and what it is; its waits where it had any */
	bool waited;	     /* it had: it is a row of the report of waits as well */
	struct hold_stats stats;
	struct hold_site *site; /* most time first */
	size_t site_cnt;
	const struct hold_site *longest[HOLD_LONGEST]; /* those with the longest holds */
	size_t longest_cnt;
	uint64_t oldest_ns; /* since when the oldest hold of now lasts (CLOCK_MONOTONIC); 0: none */
};

struct order_stack {
	struct sym_frame *frames;
	size_t frame_cnt;
	uint16_t flags;
};

/* One order: `first` was held, `second` asked for. */
struct order_step {
	const char *first, *second; /* names */
	uint64_t first_address, second_address;
	bool first_shared, second_shared; /* for reading */
	struct order_stack first_stack, second_stack;
	uint64_t cnt;
	uint32_t tid; /* who was the first to do it */
};

struct order_cycle {
	const struct agg_process *process;
	struct order_step *
		step; /* each begins with what the one before asks for, the first with the last's */
	size_t cnt;
	bool one_thread; /* so far one and the same thread has taken the locks in all these orders */
};

struct hold_cost {
	uint64_t operations; /* locks and unlocks that went through a probe */
	uint64_t hits;
	uint64_t probe_ns;   /* of all hits, at the price measured at the start */
	uint64_t program_ns; /* of all hits, as some of them measured themselves */
};

struct hold_report {
	struct hold_lock *lock; /* most hold time first */
	size_t lock_cnt;
	uint64_t locks; /* before the cut to query.rows */
	uint64_t acquisitions, contended;
	struct order_cycle *cycle;
	size_t cycle_cnt;
	bool cycles_cut; /* there may be more */
	uint64_t orders; /* different ones seen: lock after lock, site by site */
	struct hold_cost cost;
	struct hold_price price;
	uint64_t count[HU_HOLD_COUNTS];
};

struct hold_input {
	const struct hold_set *holds;
	struct symbolizer *symbolizer;
	const struct hold_price *price;
	const uint64_t *count; /* HU_HOLD_COUNTS of the interval */
};

/* waits: the report of the same interval, whose names and waits the locks get. */
int hold_report__build(const struct hold_input *in, const struct locks_query *query,
		       const struct locks_report *waits, struct hold_report **ret);
void hold_report__free(struct hold_report *r);
const char *hold_mode__name(uint32_t mode); /* "exclusive", "read", "write" … */

#endif
