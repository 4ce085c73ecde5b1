/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looks at what the goroutines of a Go program wait for, many times a second, from outside and without stopping it: the
 * runtime's table of semaphores, where all that waits for package sync is listed, and now and then all goroutines, for
 * channels, selects and condition variables. Looks come at irregular times, so that they don't keep step with the
 * program, and so seldom that those of one sort, at all Go programs, take at most one or two hundredths of a CPU.
 *
 * Ownership: go_sampler__free(); what is added up in `waits` lives as long. Errors: -ENOMEM. That a program can't be
 * read is no error: target->why says it in a sentence, and it is tried again later.
 */
#ifndef HOLDUP_COLLECT_GO_SAMPLER_H
#define HOLDUP_COLLECT_GO_SAMPLER_H

#include "user/aggregate/go_counts.h"
#include "user/aggregate/go_waits.h"
#include "user/collect/golang.h"
#include "user/golang/go_semtable.h"

struct go_sampler {
	struct go_target *target;
	struct go_semtable table; /* addr 0: not found */
	struct go_snapshot *all;  /* of the last look at all goroutines; NULL: none */
	struct go_waits waits;
	bool over; /* the process has ended */
	/* Semaphores are counted by probes (collect/go_probes.h): they are not looked at. */
	bool counted;
	struct go_counts counts;
	uint64_t due_ns[GO_LOOKS], cost_ns[GO_LOOKS];
	uint64_t retry_ns; /* what failed is tried again then */
	uint64_t missed; /* waiters that the runtime counted and that were not found, in all looks */
	uint64_t rejected; /* goroutines that would not hold still, in all looks of the interval */
	uint64_t dice;
};

/* *ret NULL: not a Go program. */
int go_sampler__new(struct go_set *set, pid_t tgid, uint64_t now_ns, struct go_sampler **ret);
/* When it wants to look next. */
uint64_t go_sampler__due(const struct go_sampler *s);
/* Takes the looks that are due. all_cost_ns: of one look of each sort at all Go programs together. */
int go_sampler__look(struct go_sampler *s, uint64_t now_ns, const uint64_t all_cost_ns[GO_LOOKS]);
/* All looks once more, at the end of an interval. */
int go_sampler__look_last(struct go_sampler *s, uint64_t now_ns);
void go_sampler__next(struct go_sampler *s);
void go_sampler__free(struct go_sampler *s); /* NULL is fine */

#endif
