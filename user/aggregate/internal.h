/* SPDX-License-Identifier: GPL-2.0-only */
/* What aggregate.c (processes, stacks, sites) and holders.c share. Errors: -ENOMEM. */
#ifndef HOLDUP_AGGREGATE_INTERNAL_H
#define HOLDUP_AGGREGATE_INTERNAL_H

#include "user/aggregate/aggregate.h"

struct process_key {
	uint32_t tgid;
	uint64_t start;
};

/* The address space in force; a new one if it was not known. */
int process__get(struct aggregate *a, const struct process_key *key, const char *comm,
		 struct agg_process **ret);
/* Fetches a stack while the kernel has it; one that can't be had is simply not there later. */
int stack__learn(struct aggregate *a, struct agg_process *p, uint64_t id);
/* The id under which a stack that came raw is kept; 0: what ended at end_ns has none. */
uint64_t stack__resolve(const struct aggregate *a, uint64_t id, uint64_t end_ns);
/* After the sites went: forgets processes that are over and were not used for a while. */
void aggregate__forget(struct aggregate *a);
void agg_process__free(void *process);
/* Divides a wait's time over its holders: the owners, else who ended it, else nobody known. */
void site__charge(struct aggregate *a, struct agg_site *site, const struct hu_wait_record *rec);

/* An owner that a wait which began before was found with. */
struct agg_before {
	uint32_t tgid, tid, word;
};

/* The id that a waiter names, and the one that equal stacks share. */
struct agg_alias {
	uint64_t raw_id, id;
	uint64_t read_ns; /* waits that ended before have none; 0: all have */
};

#endif
