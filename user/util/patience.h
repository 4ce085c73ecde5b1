/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading another process's memory or mappings waits in the kernel while a writer has its address space locked: for
 * milliseconds when it changes its mappings all the time, for seconds when it was throttled meanwhile, for ever if it
 * hangs there. Only the end of our own process ends such a wait. So work that reads others is done in a thread of its
 * own, which is given up together with all it works on when one read takes too long; and a process whose reads
 * take long in sum is not read any more.
 *
 * And who reads keeps the target from changing its mappings meanwhile, and from faults behind such a change: a
 * reader that loses its CPU in the middle, on a machine with much to do, would hold it up for as long. So reads, each
 * of microseconds, are made with the lowest real-time priority where that is permitted.
 *
 * Reads are enclosed in patience__begin() and patience__end(), which do nothing in other threads. Not thread-safe:
 * one run at a time for each struct patience.
 */
#ifndef HOLDUP_UTIL_PATIENCE_H
#define HOLDUP_UTIL_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PATIENCE_SLOW_MAX 64

/* Zeroed at first. */
struct patience {
	struct {
		pid_t tgid;
		uint64_t ns; /* in reads that were slow */
		bool hung;   /* one of them was given up */
	} slow[PATIENCE_SLOW_MAX];
	size_t cnt;
	uint64_t read_max_ns; /* one read; 0: half a second */
	uint64_t sum_max_ns;  /* all slow reads of a process; 0: a second */
};

/*
 * Calls fn. 0: *ret is what it returned. -ETIMEDOUT: a read took too long, its process is remembered in p, and fn
 * will never go on: what it had in hands must not be used any more, nor freed. Else fn was not called: -EAGAIN,
 * -ENOMEM.
 */
int patience__run(struct patience *p, int (*fn)(void *ctx), void *ctx, int *ret);
/* Forgets the sums. Who hung once is not tried again: each time would cost a thread and what that had in hands. */
void patience__renew(struct patience *p);

/* 0: the read may be tried, and patience__end() is to follow; -EBUSY: not of this process any more. */
int patience__begin(pid_t tgid);
/* The same at the usual priority: for reads so many and so short that changing it would take longer than they do. */
int patience__begin_short(pid_t tgid);
void patience__end(void);
/* Is patience__begin() refused for it? */
bool patience__is_over(pid_t tgid);

#endif
