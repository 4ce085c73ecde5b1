/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waits added up: by process, futex word, kind of call and stack. Nothing is named or judged here;
 * the model does that (model/locks.h).
 *
 * In: typed records (decode/decode.h), sums, stacks. Out: tables of processes, stacks and sites
 * that the model reads. Hooks let the owner look at a process and a stack while they can still be
 * looked at. Ownership: everything belongs to the aggregate and lives until aggregate__free();
 * aggregate__reset() ends an interval: sites go, processes and stacks stay. Memory grows with what
 * is distinct, not with the number of waits. Errors: -ENOMEM, or what a hook returned.
 */
#ifndef HOLDUP_AGGREGATE_AGGREGATE_H
#define HOLDUP_AGGREGATE_AGGREGATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/aggregate/hist.h"
#include "user/util/table.h"

struct sym_process;

/* One address space: exec makes a new one. */
struct agg_process {
	uint32_t tgid;
	uint64_t start;		   /* hu_wait_record.proc_start */
	bool gone;		   /* exited, or its address space was replaced by exec */
	char comm[HU_COMM_LEN];	   /* of the group leader when first seen; of a thread if that was
				      never told */
	struct sym_process *names; /* set by the hook; NULL: none */
};

/* Only distinct stacks are kept; hu_stack with its used frames only. */
struct agg_stack {
	uint64_t id;
	uint16_t flags; /* enum hu_stack_flag */
	uint16_t frames;
	uint64_t pcs[];
};

struct agg_site {
	struct agg_process *process;
	uint64_t uaddr;
	uint64_t stack_id; /* 0: none */
	uint16_t op;	   /* enum hu_futex_op */
	uint16_t flags;	   /* HU_WAIT_SHARED, HU_WAIT_COMPAT */
	bool summarized; /* from sums: no distribution, and the stack is that of its longest wait */

	uint64_t waits, sleeps;
	uint64_t blocked_ns, runq_ns, max_ns;
	uint64_t ongoing; /* of the waits: not over when the last interval ended, counted so far */
	uint32_t waiters_now;
	uint32_t depth_max;	      /* most that waited for this word at once */
	struct hist hist;	      /* of all but the ongoing */
	struct hu_wait_record sample; /* the longest wait; all zero when summarized */
};

struct agg_totals {
	uint64_t events; /* wait records taken in */
	uint64_t waits, sleeps, wait_ns;
	uint64_t summarized, summarized_ns;
	uint64_t below_min, below_min_ns; /* waits shorter than min_wait_ns: in no site */
	uint64_t ongoing;
};

struct agg_hooks {
	/* A new address space; the hook may set p->names. */
	void (*process)(void *ctx, struct agg_process *p);
	/* A stack seen for the first time in p: 0 and *ret filled, or negative: it can't be had. */
	int (*stack)(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret);
	void *ctx;
};

struct aggregate {
	struct agg_hooks hooks;
	uint64_t min_wait_ns;
	bool last; /* the interval that ends is the last: what has not been sent counts now */
	uint64_t sites_made; /* in all intervals */
	struct table processes; /* of struct agg_process, all ever seen */
	struct table aliases;	/* of struct agg_alias: stacks that were unwound here */
	struct table stacks;	/* of struct agg_stack */
	struct table sites;	/* of struct agg_site */
	struct agg_totals totals;
};

void aggregate__init(struct aggregate *a, const struct agg_hooks *hooks, uint64_t min_wait_ns);
void aggregate__free(struct aggregate *a);
/* Begins a new interval. */
void aggregate__reset(struct aggregate *a);

int aggregate__wait(void *aggregate, const struct hu_wait_record *rec);
int aggregate__process(void *aggregate, const struct hu_proc_record *rec);
/*
 * A wait that was not sent (source__pending()). One that goes on is a waiter now; it counts with
 * its time so far when `last` is set, and otherwise in the interval in which it ends.
 */
int aggregate__pending(void *aggregate, const struct hu_wait_record *rec);
/* A stack that came raw under an id of its own; equal stacks become one. */
int aggregate__stack_unwound(struct aggregate *a, uint64_t raw_id, const struct hu_stack *stack);
int aggregate__sum(void *aggregate, const struct hu_sum_key *key, const struct hu_sum *sum);

/* The address space in force for a process; NULL: not known. */
struct agg_process *aggregate__find(const struct aggregate *a, uint32_t tgid, uint64_t start);
/* NULL: not known. */
const struct agg_stack *aggregate__stack(const struct aggregate *a, uint64_t id);

#endif
