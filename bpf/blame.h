/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who spent the time of those that sleep for a lock? What its holder does is known at each moment, so at each event
 * the time since the last one is charged to that, once for each sleeper: constant work, and nothing is counted twice.
 *
 * Pure functions of a lock's struct hu_blame, which the unit tests run on the host. Holders are opaque numbers, 0 is
 * nobody; reasons are those of bpf/abi.h; times are of one clock.
 *
 * A holder is sure when the lock's own word has named it. Otherwise it is inferred: who was woken for the lock and ran
 * on has it, unless it goes to sleep for it again. What such a holder does is charged tentatively, and counts once
 * that same thread lets the next one go; if another one does, nobody knows who had it, and the time is unknown.
 *
 * Several CPUs may be in here at once. Each ns is taken once (since_ns is exchanged); who is charged with the few
 * between two such CPUs is open.
 */
#ifndef HOLDUP_BPF_BLAME_H
#define HOLDUP_BPF_BLAME_H

#include "bpf/abi.h"

#define REASON_RUNNING	HU_REASON(HU_WHY_RUNNING, 0, 0)
#define REASON_RUNNABLE HU_REASON(HU_WHY_RUNNABLE, 0, 0)
#define REASON_HANDOVER HU_REASON(HU_WHY_HANDOVER, 0, 0)
#define REASON_PENDING	HU_REASON(HU_WHY_PENDING, 0, 0)
#define REASON_UNKNOWN	HU_REASON(HU_WHY_UNKNOWN, 0, 0)

#define blame__swap(p, v) __sync_lock_test_and_set(p, v) /* an exchange: x86, and BPF since 5.12 */
#define blame__plus(p, v) ((void)__sync_fetch_and_add(p, v))

/*
 * The verifier looks into a global function once, and not again for each way that leads to it: where there are loops,
 * that makes the difference between thousands of instructions and millions. Such functions return a number, and are
 * told by a pointer's type how much memory it has (since 5.13, commit e5069b9c23b3).
 */
#if defined(__bpf__)
#define BLAME_GLOBAL __attribute__((weak, noinline)) int
#else
#define BLAME_GLOBAL static inline int
#endif

/* A word that names somebody who is not the one to let go, so often: it is no owner's. */
#define BLAME_MISLED_MAX 3

/* Adds to the slot of this reason, or to a free one; 0: there is none. */
static inline int charge__add(struct hu_charge *slot, int cnt, __u64 reason, __u64 ns)
{
	for (int i = 0; i < cnt; i++) {
		if (!slot[i].reason)
			__sync_val_compare_and_swap(&slot[i].reason, 0, reason);
		if (slot[i].reason == reason) {
			blame__plus(&slot[i].ns, ns);
			return 1;
		}
	}
	return 0;
}

static inline void blame__add(struct hu_blame *b, __u64 reason, __u64 ns)
{
	switch (HU_REASON_WHY(reason)) {
	case HU_WHY_RUNNING:
		blame__plus(&b->running_ns, ns);
		return;
	case HU_WHY_RUNNABLE:
		blame__plus(&b->runnable_ns, ns);
		return;
	case HU_WHY_HANDOVER:
		blame__plus(&b->handover_ns, ns);
		return;
	case HU_WHY_UNKNOWN:
	case HU_WHY_PENDING:
		blame__plus(&b->unknown_ns, ns);
		return;
	default:
		if (!charge__add(b->blocked, HU_BLAME_CALLS, reason, ns))
			blame__plus(&b->other_ns, ns);
	}
}

BLAME_GLOBAL blame__charge(struct hu_blame *b, __u64 reason, __u64 ns)
{
	if (!b)
		return 0;
	if (b->sure && reason != REASON_PENDING)
		blame__add(b, reason, ns);
	else if (!reason || !charge__add(b->tent, HU_BLAME_TENT, reason, ns))
		blame__plus(&b->unknown_ns, ns);
	return 0;
}

/* Up to now the holder has done what it did. */
static inline void blame__accrue(struct hu_blame *b, __u64 now_ns)
{
	__u64 since_ns = blame__swap(&b->since_ns, now_ns);
	__s32 waiters = b->waiters;

	/* The clocks of two CPUs may differ a little. */
	if (waiters > 0 && now_ns > since_ns)
		blame__charge(b, b->now, (now_ns - since_ns) * waiters);
}

/* The holder was the right one. */
BLAME_GLOBAL blame__prove(struct hu_blame *b)
{
	if (!b)
		return 0;
	for (int i = 0; i < HU_BLAME_TENT; i++) {
		struct hu_charge *t = &b->tent[i];
		__u64 reason = t->reason, ns;

		if (!reason || reason == REASON_PENDING)
			continue;
		ns = blame__swap(&t->ns, 0);
		t->reason = 0;
		if (!ns)
			continue;
		if (!b->sure)
			blame__plus(&b->inferred_ns, ns);
		blame__add(b, reason, ns);
	}
	return 0;
}

/* It was not, or it will never be known what it did. That nobody had it is true all the same. */
BLAME_GLOBAL blame__refute(struct hu_blame *b)
{
	if (!b)
		return 0;
	for (int i = 0; i < HU_BLAME_TENT; i++) {
		struct hu_charge *t = &b->tent[i];
		__u64 reason = t->reason;

		if (!reason)
			continue;
		t->reason = 0;
		blame__add(b, reason == REASON_HANDOVER ? reason : REASON_UNKNOWN,
			   blame__swap(&t->ns, 0));
	}
	return 0;
}

/* It is known now what the holder did while that was pending. */
BLAME_GLOBAL blame__settle(struct hu_blame *b, __u64 was)
{
	if (!b)
		return 0;
	for (int i = 0; i < HU_BLAME_TENT; i++) {
		struct hu_charge *t = &b->tent[i];

		if (t->reason != REASON_PENDING)
			continue;
		t->reason = 0;
		blame__charge(b, was, blame__swap(&t->ns, 0));
		return 0;
	}
	return 0;
}

/* Nobody has it, as far as is known: who was woken for it may take it. */
static inline int blame__in_transit(const struct hu_blame *b)
{
	return !b->holder && b->now == REASON_HANDOVER;
}

/*
 * Who let go of it has taken it again before the one that was woken could, and has not left the CPU in between: it
 * ran, and had it for most of that time.
 */
BLAME_GLOBAL blame__kept(struct hu_blame *b)
{
	if (!b)
		return 0;
	for (int i = 0; i < HU_BLAME_TENT; i++) {
		struct hu_charge *t = &b->tent[i];
		__u64 ns;

		if (t->reason != REASON_HANDOVER)
			continue;
		t->reason = 0;
		ns = blame__swap(&t->ns, 0);
		blame__plus(&b->inferred_ns, ns);
		blame__plus(&b->running_ns, ns);
		return 0;
	}
	return 0;
}

/* Another holder, who does `now` (0: that is pending). What came before must have been accrued. */
BLAME_GLOBAL blame__hold(struct hu_blame *b, __u64 who, int sure, __u64 now)
{
	if (!b)
		return 0;
	if (b->holder == who) {
		if (sure && !b->sure) {
			blame__prove(b);
			b->sure = 1;
		}
		return 0;
	}
	if (sure && who == b->last && !b->left && blame__in_transit(b))
		blame__kept(b);
	blame__refute(b);
	b->sure = sure;
	b->now = now ? now : REASON_PENDING;
	b->holder = who;
	return 0;
}

static inline void blame__nobody(struct hu_blame *b)
{
	blame__refute(b);
	b->holder = 0;
	b->sure = 0;
	b->now = REASON_UNKNOWN;
}

/* The holder did `was` until now, in case that is pending, and from now on does `is`. */
static inline void blame__change(struct hu_blame *b, __u64 was, __u64 is, __u64 now_ns)
{
	blame__accrue(b, now_ns);
	if (b->now == REASON_PENDING)
		blame__settle(b, was);
	b->now = is;
}

/* `waker` (0: not known) lets go of the lock and wakes somebody for it. */
static inline void blame__release(struct hu_blame *b, __u64 waker, __u64 now_ns)
{
	blame__accrue(b, now_ns);
	if (b->holder && b->holder == waker) {
		/* It runs, since it has just called the kernel. */
		if (b->now == REASON_PENDING)
			blame__settle(b, REASON_RUNNING);
		blame__prove(b);
		b->misled = 0;
	} else if (b->holder && b->sure && waker && b->misled < BLAME_MISLED_MAX) {
		b->misled++;
	}
	blame__refute(b);
	b->holder = 0;
	b->last = waker;
	b->left = 0;
	b->sure = 0;
	b->now = REASON_HANDOVER;
}

/* Is what the lock's word says about its owner to be believed? */
static inline int blame__believes_word(const struct hu_blame *b)
{
	return b->misled < BLAME_MISLED_MAX;
}

#endif
