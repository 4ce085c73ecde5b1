/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer of `holdup locks`: immutable once built, everything named and sorted; views only print
 * it.
 *
 * Ownership: the report owns its rows; strings and frames belong to the symbolizer and the
 * aggregate, which must outlive it. Times are nanoseconds. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LOCKS_H
#define HOLDUP_MODEL_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/aggregate/aggregate.h"
#include "user/collect/source.h"
#include "user/sym/symbolizer.h"
#include "user/target/kind.h"

enum locks_sort {
	SORT_WAIT = 1,
	SORT_WAITS,
	SORT_MAX,
	SORT_AVG,
	SORT_P99,
	SORT_WAITERS
};
enum locks_by {
	BY_LOCK = 1,
	BY_SITE,
	BY_PROCESS
};

struct locks_query {
	enum locks_sort sort;
	enum locks_by by;
	bool idle;     /* list idle waits as well */
	unsigned rows; /* at most so many locks keep their sites named with lines; the rest is
			  counted */
};

struct lock_stats {
	uint64_t waits, sleeps, wait_ns, blocked_ns, runq_ns;
	uint64_t p50_ns, p95_ns, p99_ns, max_ns;
	uint64_t summarized; /* of the waits: without distribution and site */
	uint64_t ongoing;    /* of the waits: not over yet, counted with their time so far */
	uint64_t before;     /* of the waits: began before holdup looked, and count from then on */
	uint64_t requeued; /* of the waits: moved to another futex (FUTEX_REQUEUE), and woken there */
};

struct lock_site {
	struct lock_stats stats;
	struct sym_frame *frames; /* leaf first */
	size_t frame_cnt;
	int api;	      /* frames[0..api] are the lock library's; -1: none known */
	uint16_t stack_flags; /* enum hu_stack_flag; 0 when there is no stack */
};

/* Who held the lock while others waited for it. */
struct lock_holder {
	uint32_t tgid, tid;
	const char *comm; /* "" when not known */
	uint64_t goroutine; /* instead of a thread: the last of those that released there; 0: not known */
	uint64_t stack_id; /* of these */
	bool owner;	   /* named by the lock's own word; else it ended waits by its wake */
	uint64_t sleeps, wait_ns;
	/* Where it was seen most often; leaf first. */
	struct sym_frame *frames;
	size_t frame_cnt;
	uint16_t stack_flags;
	uint16_t why; /* enum hu_holder_why of that stack; 0: none was seen */
};

/* Time in which the holder was blocked in one way. */
struct lock_blocked {
	enum hu_why why;
	const char *call; /* HU_WHY_CALL, CALL32: the system call's name; else "" */
	const char *what; /* what it waits for there: "of /path"; "" when not known */
	const char *lock; /* HU_WHY_LOCK: the name of that lock; "" when it has none */
	uint64_t address; /* … and where it is */
	uint64_t wait_ns;
};

/*
 * What holders did while others waited: all of a row's wait time, divided in proportion to what the kernel side
 * counted.
 */
struct lock_blame {
	bool known; /* it was counted; else everything is unknown_ns */
	uint64_t running_ns, runnable_ns, handover_ns, unknown_ns;
	uint64_t other_ns;    /* blocked in ways that were not told apart */
	uint64_t inferred_ns; /* of all: the holder was inferred, no word of the lock named it */
	struct lock_blocked *blocked; /* most time first */
	size_t blocked_cnt;
};

/* Where a process's waits end, when each is followed from lock to lock. */
struct root_cause {
	const struct agg_process *process;
	enum hu_why why; /* what the last holder did */
	const char *call, *what;
	const char *function; /* in which it did that; "" when it was not seen there */
	uint64_t wait_ns;     /* of the process's waits, as far as they end here */
	double share;	      /* … of all its wait time */
	const char **
		chain; /* names of locks, from the one waited for to the last: the heaviest way there */
	size_t chain_cnt;
};

struct lock_row {
	bool goroutines; /* they wait, not threads */
	/*
	 * Looked at from time to time: wait_ns is right on average, waits is how many were seen, max_ns for how long
	 * one was; sleeps and percentiles are not known.
	 */
	bool sampled;
	const struct agg_process *process; /* the first, where several have waiters */
	size_t processes;		   /* that waited for it */
	const char *exe;
	const char *cgroup; /* v2 path; "" when not known, or not the same for all its processes */
	/*
	 * Of the lock; BY_PROCESS, or where there are several: 0. Also 0 where memory does not tell which lock a wait
	 * is for: the row is then of all waits of that label from one function.
	 */
	uint64_t address;
	const char *name;	/* "" when nothing names it */
	const char *module;	/* whose data it lies in; "" for heap and stack */
	uint64_t module_offset; /* address less the module's load address, when module is set */
	enum lock_kind kind;
	const char
		*label; /* what such a lock is called: "Python GIL", …; "" where kind says it all */
	bool known_as_label; /* the label tells more than the name of the symbol */
	bool idle;	     /* waits for work, not for what another thread holds */
	bool unsure;	     /* idle, but it may be a lock: that can't be told from outside */
	bool shared;
	uint64_t locks; /* in this row; BY_LOCK: 1 */
	struct lock_stats stats;
	uint32_t waiters_now, waiters_max; /* max: 0 when not known */
	struct lock_site *sites;	   /* most wait time first; BY_SITE: one, for all of them */
	size_t site_cnt;
	struct lock_holder *holders; /* most wait time first */
	size_t holder_cnt;
	uint64_t holder_unknown_ns;
	struct lock_blame blame;
	bool has_calls;
	struct hu_calls calls;
};

struct locks_coverage {
	uint64_t events;  /* wait records that came */
	uint64_t lost;	  /* sleeps and waits that are in no lock's figures */
	uint64_t lost_ns; /* their time, as far as known */
	uint64_t summarized,
		summarized_ns; /* waits that kept their totals, but lost site and distribution */
	uint64_t records_lost; /* process records */
	uint64_t stacks_lost;  /* waits whose stack could not be kept or walked */
	uint64_t stacks_incomplete; /* waits whose stack is known in part only */
	uint64_t inferred; /* switches onto a CPU that the kernel did not tell, and CPU time did */
	uint64_t holders_lost;	/* stacks of holders that could not be sent */
	uint64_t calls_lost;	/* futex calls that found no room */
	uint64_t depth_unknown; /* waits for which the number of waiters was not counted */
	uint64_t malformed;
	uint64_t below_min, below_min_ns;
	uint64_t processes_unreadable; /* whose mappings could not be read, since the start */
	uint64_t processes_unnamed;    /* of those in the report: no mappings are known */
	uint64_t modules_full;	       /* files whose unwind rows found no room, since the start */
	uint64_t maps_dropped;	       /* executable mappings beyond HU_MAX_MAPS of a process */
	uint64_t holders_untracked; /* holders that could not be followed: what they did is unknown */
	uint64_t go_left_out; /* Go programs at which nobody looked: there are too many, or too large ones */
	uint64_t go_lost;	 /* sleeps of goroutines that probes saw and found no room for */
	uint64_t go_unknown;	 /* … that had begun before, when is not known */
	uint64_t go_unnamed;	 /* … whose lock is not told: no room */
	uint64_t go_stacks_lost; /* hits of these probes without a stack */
	uint64_t go_hits;	 /* of these probes */
	uint64_t go_program_ns;	 /* … the time of their programs, by samples */
	bool blame;		 /* holders were followed */
	bool futex_calls;	 /* calls were counted */
	/* Waits by what became of their stack. Each is complete, missing or incomplete: */
	uint64_t stacks_complete;
	uint64_t stacks_missing;  /* there is none at all; counts as incomplete as well */
	uint64_t stacks_no_row;	  /* incomplete: ended at code without unwind rows */
	uint64_t stacks_no_map;	  /* … at code in no known mapping */
	uint64_t stacks_bad_read; /* … at stack memory that could not be read */
	uint64_t stacks_too_deep; /* … at HU_MAX_FRAMES */
	/* Of any of these: */
	uint64_t stacks_guessed; /* by frame pointers, at least in part */
	uint64_t stacks_derived; /* a row came from machine code, at least one */
};

/* A Go program, and how well its goroutines could be seen. */
struct locks_golang {
	const struct agg_process *process;
	const char *version;	     /* untrusted */
	const char *why;	     /* its goroutines are not known; "": they are */
	bool probed;		     /* waits for package sync are counted */
	uint64_t semaphores, others; /* looks at those that wait for package sync, and at all */
	size_t goroutines;	     /* in the last of these */
	uint64_t rejected;	     /* goroutines that would not hold still, in all looks */
	uint64_t missed;	     /* waiters that were counted and not found, likewise */
	uint64_t unplaced_ns; /* wait time of those that were gone before they could be read */
	uint64_t beyond_ns;   /* … for which there was no room */
};

struct hold_report;

struct locks_report {
	uint64_t interval_ns;
	uint64_t processes;		 /* that waited for a lock */
	uint64_t locks;			 /* contended ones, whether they are in a row or not */
	uint64_t rows;			 /* before the cut to query.rows */
	uint64_t waits, sleeps, wait_ns; /* of contention */
	uint64_t idle_waits, idle_wait_ns;
	uint64_t sampled_ns;	 /* of wait_ns: of goroutines that were seen from time to time */
	uint64_t unsure_wait_ns; /* of idle_wait_ns: may be for locks */
	uint64_t ongoing;
	uint64_t before;
	struct lock_row *row;
	size_t row_cnt;		 /* at most query.rows */
	struct root_cause *root; /* most wait time first, of several processes */
	size_t root_cnt;
	struct locks_coverage coverage;
	enum locks_by by;
	bool idle;
	bool exited;		 /* the process that was watched ended */
	const char *own_cgroup;	 /* holdup's; "" when not known */
	struct locks_golang *go; /* by PID */
	size_t go_cnt;
	struct hold_report *hold; /* --hold (model/locks_hold.h), the report's own; NULL: else */
};

/* What the report is made of. */
struct locks_input {
	const struct aggregate *aggregate;
	struct symbolizer *symbolizer;
	struct source *source;	      /* for futex calls; NULL: none */
	uint64_t losses[HU_LOSS_CNT]; /* of this interval */
	uint64_t malformed;
	uint64_t interval_ns;
	bool futex_calls;
	bool blame;
	uint64_t go_left_out;	   /* struct go_set (collect/golang.h) */
	const uint64_t *go_counts; /* of --go-probes, HU_GO_COUNTS of this interval; NULL: none */
	uint64_t modules_full, maps_dropped; /* of struct row_stats (collect/rows.h) */
	const char *own_cgroup;		     /* NULL: not known */
};

int locks_report__build(const struct locks_input *in, const struct locks_query *query,
			struct locks_report **ret);
void locks_report__free(struct locks_report *r);

#endif
