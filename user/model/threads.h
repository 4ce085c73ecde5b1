/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer of `holdup threads`: immutable once built, everything named and sorted; views only print it.
 *
 * Ownership: the report owns its rows and frames; strings belong to the symbolizer, which must outlive it. Counts
 * are of the interval, live and unjoined of its end. Times are nanoseconds. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_THREADS_H
#define HOLDUP_MODEL_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/aggregate/lifetimes.h"
#include "user/collect/probes.h"
#include "user/golang/go_sched.h"
#include "user/sym/symbolizer.h"

struct threads_counts {
	uint64_t live, unjoined;
	int64_t live_change, unjoined_change; /* since the interval began */
	uint64_t peak;			      /* most that lived at once */
	uint64_t created, exited, joined, detached;
	uint64_t ended[LT_END_CNT]; /* of exited */
	/* Of those that ended: summed, and the longest. */
	uint64_t age_ns, cpu_ns, runq_ns, age_max_ns;
};

struct threads_site {
	struct threads_counts counts;
	struct sym_frame *frames; /* leaf first; none: before or beyond, or no stack could be taken */
	size_t frame_cnt;
	int api;		/* frames[0..api] are the thread library's; -1: none known */
	uint16_t stack_flags;	/* enum hu_stack_flag */
	bool before, beyond;	/* as in struct lt_site */
	struct sym_frame start; /* the start routine; function "" when not known */
	bool has_start;
	/* Of those that live now, and whose birth is known. */
	uint64_t oldest_ns, median_ns, youngest_ns; /* ages; all 0: there are none */
	uint64_t live_cpu_ns, live_blocked_ns;
	uint64_t ran_ago_ns;	     /* since one of them last ran; UINT64_MAX: not known */
	uint64_t oldest_unjoined_ns; /* since the first of them ended; 0: none, or not known */
	char comm[HU_COMM_LEN];	     /* of one of them; "": not known */
};

struct threads_process {
	uint32_t pid;
	const char *comm; /* untrusted bytes */
	const char *exe;  /* "" when not known */
	struct threads_counts counts;
	bool before, over, by_exec, first_ended;
	bool joins_known; /* unjoined is exact for threads that were created since holdup looked */
	bool joins_known_before;    /* … and for older ones */
	int exit_code;		    /* as of wait(2); of one that is over and not by_exec */
	struct threads_site *sites; /* most born first */
	size_t site_cnt;
};

struct threads_coverage {
	uint64_t events; /* births, deaths and calls of the thread library that came as records */
	uint64_t lost;	 /* births and deaths that are in no process's counts */
	uint64_t summarized;	    /* … that are, but not in those of their site */
	uint64_t calls_lost;	    /* joins, detaches and the like: unjoined may be wrong */
	uint64_t records_lost;	    /* of processes */
	uint64_t unmatched;	    /* joins and detaches of threads that are not known */
	uint64_t stacks_lost;	    /* births without a stack */
	uint64_t stacks_incomplete; /* births at sites whose stack is known in part only */
	uint64_t malformed;
	uint64_t processes_forgotten; /* too many ended in one interval */
	uint64_t unnamed; /* processes that create threads and were gone before they could be looked at */
	uint64_t libraries;	/* files whose calls are seen */
	uint64_t probes_failed; /* programs that could not be attached to them */
	int probes_err;		/* why; negative errno */
	uint64_t unprobed; /* processes in the report that create threads, none by a library that is seen */
};

/* The scheduler of one Go program (`threads -p`); all of it belongs to who looked. */
struct threads_golang {
	uint32_t pid;
	const char *comm, *version; /* untrusted bytes */
	const char *why;	    /* "": it was read; else a sentence that says why not */
	const struct go_sched *before,
		*now; /* before: NULL at the first look; now: NULL with why */
};

struct threads_report {
	uint64_t interval_ns;
	bool live_view;	    /* one of several intervals: changes are of interest */
	uint64_t processes; /* with threads to tell of */
	struct threads_counts counts;
	struct threads_process *row; /* most to tell first */
	size_t row_cnt;		     /* at most so many as asked for */
	const struct threads_golang *golang;
	size_t golang_cnt;
	struct threads_coverage coverage;
};

struct threads_input {
	const struct lifetimes *lifetimes;
	struct symbolizer *symbolizer;
	uint64_t interval_ns, now_ns;
	uint64_t losses[HU_LOSS_CNT]; /* of this interval */
	uint64_t malformed;
	struct probe_stats probes;
	bool live_view;
	unsigned rows;
};

int threads_report__build(const struct threads_input *in, struct threads_report **ret);
void threads_report__free(struct threads_report *r); /* NULL is fine */

/* "returned", …: how a thread ended. */
const char *lt_end__name(enum lt_end end);

#endif
