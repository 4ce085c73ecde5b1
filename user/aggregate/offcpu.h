/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time off the CPU of one interval, by site: the differences of what the kernel side sums from the start on, and of
 * the time so far of threads that are off the CPU at the interval's ends.
 *
 * Processes and user stacks are those of an aggregate (aggregate.h), which must outlive this; kernel stacks are kept
 * here. Ownership: everything belongs to the object; sites and wakers until offcpu__next(). Errors: -ENOMEM, or what
 * a hook returned.
 */
#ifndef HOLDUP_AGGREGATE_OFFCPU_H
#define HOLDUP_AGGREGATE_OFFCPU_H

#include "user/aggregate/aggregate.h"

struct off_waker {
	struct hu_off_waker what;    /* samples, wakes and ns are those of the interval */
	struct agg_process *process; /* NULL: the kernel, or not known */
};

struct off_site {
	struct hu_off_what what;     /* user_stack: as the aggregate knows it; 0: none */
	struct agg_process *process; /* NULL: the kernel's threads (--sched) */
	uint64_t waits, blocked_ns, runq_ns;
	uint64_t max_ns;
	uint32_t max_tid;
	uint64_t ongoing; /* not over when the interval ended; their time so far is in, but not in hist */
	uint64_t ongoing_ns; /* blocked time of these */
	uint64_t hist[HU_OFF_BUCKETS];
	struct off_waker *waker;
	size_t waker_cnt;
};

struct off_kernel_stack {
	uint64_t id;
	struct hu_kernel_stack stack;
};

struct off_hooks {
	int (*kernel_stack)(void *ctx, uint64_t id, struct hu_kernel_stack *ret);
	/* A site that was not seen in this interval: its descriptors may be other ones soon. May be NULL. */
	int (*fresh)(void *ctx, const struct hu_off_what *what);
	void *ctx;
};

struct offcpu {
	struct aggregate *aggregate;
	struct off_hooks hooks;
	struct table sites; /* of struct off_site, of this interval */
	struct table ids;   /* of struct off_id: the kernel side's names of them */
	struct table seen;  /* of struct off_seen: what was counted until the last interval's end */
	struct table wakers_seen;
	struct table kernel_stacks; /* of struct off_kernel_stack */
	struct table so_far;	    /* of struct off_so_far: time of threads that were off then */
	uint32_t turn;
	uint64_t until_ns; /* the end of the interval */
};

void offcpu__init(struct offcpu *o, struct aggregate *a, const struct off_hooks *hooks);
void offcpu__free(struct offcpu *o);

/*
 * Passes over all that the kernel side has, at an interval's end at the latest: adds what has come since the last
 * pass. settled: nothing has. Wakers after their sites.
 */
int offcpu__site(struct offcpu *o, const struct hu_off_key *key, const struct hu_off_site *site,
		 bool *settled);
int offcpu__waker(struct offcpu *o, const struct hu_off_waker_key *key,
		  const struct hu_off_waker *waker, bool *settled);
/* Only at the interval's end: each thread that is off the CPU. */
int offcpu__now(struct offcpu *o, const struct hu_off_now *now);
/* After these: puts the time so far in place of what it was at the interval's begin. */
int offcpu__end(struct offcpu *o);
/* The kernel side has dropped it. */
void offcpu__dropped(struct offcpu *o, const struct hu_off_key *key, bool sum);
void offcpu__waker_dropped(struct offcpu *o, const struct hu_off_waker_key *key);
void offcpu__next(struct offcpu *o);

const struct hu_kernel_stack *offcpu__kernel_stack(const struct offcpu *o, uint64_t id);
/* As hist__percentile() (hist.h), of a histogram with off__bucket()'s buckets. */
uint64_t offcpu__percentile(const uint64_t hist[HU_OFF_BUCKETS], double percent, uint64_t max_ns);

#endif
