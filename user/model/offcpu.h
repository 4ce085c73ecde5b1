/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer of `holdup offcpu`: where threads spent their time off the CPU, why, and who ended it. Immutable once
 * built, everything named and sorted; views only print it.
 *
 * A place is what cannot be told apart by what is shown of it: process, reason, call stacks. Rows are sums of places,
 * by what was asked for.
 *
 * Ownership: the report owns rows, places and its own strings; frames' strings belong to the symbolizer, processes to
 * the aggregate, names of the kernel's functions to kernel_names, which all must outlive it. Times are nanoseconds.
 * Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_OFFCPU_H
#define HOLDUP_MODEL_OFFCPU_H

#include "user/aggregate/offcpu.h"
#include "user/sym/intern.h"
#include "user/sym/kernel.h"
#include "user/sym/symbolizer.h"
#include "user/target/call.h"

enum off_by {
	OFF_BY_STACK = 1, /* a row for each place */
	OFF_BY_REASON,
	OFF_BY_PROCESS,
	OFF_BY_THREAD,
	OFF_BY_WAKER,
};

struct off_query {
	enum off_by by;
	bool idle;	    /* list idle waits as well */
	bool all;	    /* every row: for folded stacks */
	const char *states; /* letters of proc(5): R, S, D, T, t; NULL: all */
	unsigned rows;
};

struct off_stats {
	uint64_t waits; /* that are over */
	uint64_t ongoing; /* not over yet: their time so far is in the sums and in max, not in percentiles */
	uint64_t blocked_ns, runq_ns;
	uint64_t p50_ns, p95_ns, p99_ns, max_ns; /* of one wait: blocked and run queue together */
	uint32_t max_tid;			 /* whose the longest was */
};

enum off_context {
	OFF_BY_NOBODY = 0, /* went on being runnable, is not over, or its waking was not seen */
	OFF_BY_A_THREAD = 1,
	OFF_BY_SOFTIRQ = 2, /* a soft interrupt; the thread that it ran in the name of is known */
	OFF_BY_TIMER = 3,
	OFF_BY_INTERRUPT = 4, /* nothing of the thread that was interrupted is told */
};

const char *off_context__name(enum off_context context); /* "thread", "softirq", … */

struct off_kernel {
	const char **name; /* leaf first, from the scheduler's caller, or who wakes, on */
	size_t cnt;
};

struct off_waker_row {
	enum off_context context;
	uint32_t tgid, tid; /* 0: an interrupt, or nobody */
	const char *comm;
	const char *process; /* its name; "" where there is none */
	uint64_t waits, ns;  /* blocked time that it ended; estimated where sampled is set */
	uint64_t samples;
	bool sampled;
	struct sym_frame *frames; /* leaf first */
	size_t frame_cnt;
	uint16_t stack_flags;
	struct off_kernel kernel;
	const struct agg_process *owner; /* NULL: the kernel */
	uint64_t user_stack;
};

struct off_place {
	const struct agg_process *process; /* NULL: the kernel's threads */
	uint32_t tid;			   /* 0: of all its threads */
	const char *comm;		   /* of the thread, where tid is set; else the process's */
	const char *category;		   /* "lock", "file", "sleep", … */
	const char *reason;		   /* for people: "fdatasync of /var/lib/app/wal" */
	const char *general;		   /* the same without the object: "fdatasync (file)" */
	const char *call;		   /* name of the system call; "" */
	const char *object;		   /* "/var/lib/app/wal", "ledger_lock"; "" */
	bool idle;			   /* waits for work */
	bool iowait;
	char state; /* as in proc(5) */
	struct off_stats stats;
	struct sym_frame *frames; /* leaf first */
	size_t frame_cnt;
	int api; /* frames[0..api] are the lock library's; -1: none */
	uint16_t stack_flags;
	struct off_kernel kernel;
	struct off_waker_row *waker; /* most time first */
	size_t waker_cnt;
	uint64_t hist[HU_OFF_BUCKETS];
	uint64_t ongoing_ns;
	uint64_t user_stack; /* as the aggregate knows it: of one of its sites */
	bool has_lines;
};

struct off_row {
	const struct off_place *place;	/* the first: what its name is taken from */
	const struct off_waker_row *by; /* OFF_BY_WAKER */
	struct off_stats stats;
	size_t processes;
	const struct off_place **places; /* most time first; some may be shared with other rows */
	uint64_t *place_ns;		 /* the row's share of each */
	size_t place_cnt;
};

struct off_coverage {
	uint64_t intervals; /* all that were seen, the idle and short ones, too */
	uint64_t lost, lost_ns;
	uint64_t summarized, summarized_ns; /* that are known by process only */
	uint64_t below_min, below_min_ns;
	uint64_t stacks_incomplete, stacks_missing, stacks_lost, kernel_stacks_lost;
	uint64_t records_lost, wakers_lost, inferred;
	uint64_t processes_unnamed, modules_full, maps_dropped;
	bool wakers_sampled;
};

struct off_report {
	uint64_t interval_ns;
	enum off_by by;
	bool idle;
	uint64_t processes, threads;
	uint64_t waits, blocked_ns,
		runq_ns;       /* of all but the idle ones, those left out by state included */
	uint64_t throttled_ns; /* of runq_ns */
	uint64_t idle_waits, idle_ns;
	struct off_row *row;
	size_t row_cnt;
	uint64_t rows; /* before the cut to query.rows */
	struct off_place **place;
	size_t place_cnt;
	struct off_coverage coverage;
	struct intern *strings;
};

struct off_input {
	const struct offcpu *offcpu;
	const struct aggregate *aggregate;
	struct symbolizer *symbolizer;
	struct kernel_names *kernel;
	/* What a call was for; NULL: not known. */
	const struct call_wait *(*call)(const void *ctx, const struct hu_off_what *what);
	const void *call_ctx;
	uint64_t losses[HU_LOSS_CNT]; /* of the interval; HU_LOSS_OFF_THREADS: since the start */
	uint64_t interval_ns;
	uint64_t modules_full, maps_dropped;
};

int off_report__build(const struct off_input *in, const struct off_query *query,
		      struct off_report **ret);
void off_report__free(struct off_report *r);

#endif
