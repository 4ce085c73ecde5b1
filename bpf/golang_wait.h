/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wait of one goroutine for one semaphore, as its probes tell it: it asks, sleeps, runs on, and may sleep again,
 * in semacquire1 itself, or because sync.(*Mutex).lockSlow lost the lock to another and asks anew, now for the first
 * place in the queue (lifo). That is one wait, of several sleeps. Pure functions, which the unit tests run on the host:
 * nobody but the goroutine itself, which runs on one thread at a time, changes its state.
 *
 * A wait is counted at the end of its first sleep, and corrected at the end of each further one: that it has ended is
 * nowhere seen. So the numbers are exact whenever they are read: each wait is counted once, and has one place in the
 * histogram, that of its time up to now.
 */
#ifndef HOLDUP_BPF_GOLANG_WAIT_H
#define HOLDUP_BPF_GOLANG_WAIT_H

#include "bpf/abi_golang.h"

/* The identity of a stack: of its process's tgid, and then each pc. As stack__hash(). */
static __always_inline __u64 go_stack__mix(__u64 hash, __u64 pc)
{
	hash = (hash ^ pc) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

/* semacquire1(sema, lifo) begins. True: a new wait does, whose site is to be set. */
static __always_inline int go_wait__ask(struct hu_go_pending *p, __u64 proc_start, __u64 sema,
					int lifo, __u64 now_ns)
{
	/* The loader may not know which process of this tgid it is. */
	int same = !p->proc_start || p->proc_start == proc_start;
	int again = lifo && p->state != HU_GO_NONE && p->sema == sema && same;

	p->proc_start = proc_start;
	if (!again) {
		p->sema = sema;
		p->site = 0;
		p->total_ns = 0;
		/* Nobody asks so who has not slept for it before. */
		p->flags = lifo ? HU_GO_BEFORE : 0;
	}
	p->since_ns = now_ns;
	p->state = HU_GO_ASKS;
	return !again;
}

/* One sleep that has ended. */
struct go_sleep {
	__u64 began_ns, ns;
	__u64 was_ns, is_ns; /* of the wait's sleeps, without and with this one */
	int first;	     /* of the wait */
	int before;	     /* the wait began before it was looked at */
};

/* It runs on. False: nothing is known of it. */
static __always_inline int go_wait__resume(struct hu_go_pending *p, __u64 now_ns,
					   struct go_sleep *ret)
{
	if (p->state == HU_GO_NONE)
		return 0;
	ret->began_ns = p->since_ns;
	ret->ns = now_ns > p->since_ns ? now_ns - p->since_ns : 0;
	ret->was_ns = p->total_ns;
	ret->is_ns = p->total_ns + ret->ns;
	ret->first = !(p->flags & HU_GO_COUNTED);
	ret->before = (p->flags & HU_GO_BEFORE) != 0;
	p->total_ns = ret->is_ns;
	p->since_ns = now_ns; /* if semacquire1 did not get it, it sleeps again at once */
	p->flags |= HU_GO_COUNTED;
	p->state = HU_GO_RAN;
	return 1;
}

#endif
