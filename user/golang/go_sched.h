/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Go's scheduler at one moment, from its own counters: what each P runs and has in its queue, what waits for any P,
 * goroutines by status, and how many were ever created. What GODEBUG=schedtrace prints, from outside.
 *
 * Counters are read one after the other while the program runs: sums may be off by what happened meanwhile, and never
 * by more. Ownership: go_sched__free(). Errors: -ENOTSUP: the scheduler's variables were not found; -ENOMEM, -EFAULT.
 */
#ifndef HOLDUP_GOLANG_GO_SCHED_H
#define HOLDUP_GOLANG_GO_SCHED_H

#include "user/golang/go_snapshot.h"

#define GO_PS_MAX 1024

struct go_p {
	uint32_t id;
	uint32_t status; /* src/runtime/runtime2.go: _Pidle … */
	uint32_t tid;	 /* of the thread that has it; 0: none */
	uint32_t queued; /* goroutines in its own queue, the next one included */
};

struct go_sched {
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	struct go_p *p;
	size_t ps;
	uint32_t queued; /* for any P */
	uint32_t idle_ps, idle_ms, spinning_ms;
	uint64_t created; /* goroutines, since the program began; from 1.26 exact, else by ids given out */
	bool created_exact;
	uint64_t mutex_wait_ns; /* of all goroutines for mutexes, by the runtime's sampling; 0: not told (before 1.21) */
	size_t status[GO_STATUSES]; /* as the snapshot that was given has it */
	size_t live;		    /* goroutines */
	size_t rejected;
};

/* s: taken just now. */
int go_sched__read(const struct go_process *p, const struct go_snapshot *s, struct go_sched *ret);
void go_sched__free(struct go_sched *s);
const char *go_p__status(const struct go_p *p); /* "running", "idle", … */

/* Goroutines that began and that ended from one look to the next. */
struct go_births {
	uint64_t created, ended;
	uint64_t interval_ns;
};
struct go_births go_sched__births(const struct go_sched *before, const struct go_sched *now);

#endif
