/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer of `holdup offcpu --sched`: how long run queues were, and how long threads waited on them. Immutable
 * once built. Ownership: the report owns what it points to but processes, which are the aggregate's. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_SCHED_H
#define HOLDUP_MODEL_SCHED_H

#include "user/aggregate/offcpu.h"
#include "user/model/offcpu.h"

/* Bounds of the histogram: below 2^i microseconds, the last: or more. */
#define SCHED_BUCKETS 20

struct sched_cpu {
	int cpu;
	uint64_t seen_ns;
	double mean;	      /* threads that run or want to */
	double busy, waiting; /* shares of the time: at least one, more than one */
	uint32_t max;
	uint64_t ns[HU_OFF_QUEUE_MAX]; /* for how long there were so many */
};

struct sched_row {
	const struct agg_process *process; /* NULL: the kernel's threads */
	uint32_t tid;			   /* by thread; else 0 */
	const char *comm;
	struct off_stats stats; /* runq_ns and percentiles: of the run queue alone */
	uint64_t bucket[SCHED_BUCKETS];
};

struct sched_report {
	uint64_t interval_ns;
	struct sched_cpu *cpu;
	size_t cpu_cnt;
	struct sched_row *row; /* most time first */
	size_t row_cnt;
	uint64_t rows, waits, runq_ns;
	struct sched_row all;
	struct off_coverage coverage;
};

struct sched_input {
	const struct offcpu *offcpu;
	/* Of each CPU at the interval's begin and end; cpu_cnt of both. */
	const struct hu_off_queue *queue_before, *queue;
	size_t cpu_cnt;
	uint64_t losses[HU_LOSS_CNT];
	uint64_t interval_ns;
	uint64_t until_ns;
};

int sched_report__build(const struct sched_input *in, unsigned rows, struct sched_report **ret);
void sched_report__free(struct sched_report *r);

#endif
