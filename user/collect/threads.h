/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All threads of the machine, or the wanted ones, as they are now: by a BPF iterator that reads them without
 * stopping or changing anything (bpf/threads.bpf.c); before Linux 5.15 by /proc, which tells less and takes longer.
 * What a thread was doing is known from its registers as it entered the kernel; its memory is for others to read.
 *
 * Each pass is consistent for one thread, not between threads: a second, brief pass tells who has moved.
 * Ownership: threads__free() unloads the program. Errors: negative errno, *why says what to do about it.
 */
#ifndef HOLDUP_COLLECT_THREADS_H
#define HOLDUP_COLLECT_THREADS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"
#include "user/collect/features.h"

struct threads;

struct threads_config {
	uint32_t filters;   /* enum hu_filter */
	uint32_t tid;	    /* HU_FILTER_TID */
	const pid_t *tgids; /* HU_FILTER_TGIDS, HU_FILTER_CGROUP: its members */
	size_t tgid_cnt;
	const struct hu_glob *comm;
	bool by_proc; /* not by the iterator, for tests: as on kernels that have none */
};

int threads__open(const struct threads_config *cfg, const struct features *features,
		  struct threads **ret, const char **why);
void threads__free(struct threads *t);

/* One more process that is wanted. */
int threads__add_target(struct threads *t, pid_t tgid);
/* None of those that were added: before they are listed anew, as PIDs come to be other processes'. */
void threads__clear_targets(struct threads *t);

/*
 * One pass: fn for each record, struct hu_thread_record or struct hu_thread_brief by ask->mode; what it returns
 * other than 0 ends the pass. ask->self_tid is filled in here; our own thread is among them if it calibrates only
 * (HU_THREAD_SELF), and is not passed on.
 */
int threads__pass(struct threads *t, const struct hu_snap_ask *ask,
		  int (*fn)(void *ctx, const struct hu_record *rec), void *ctx);
/*
 * What is to be added to a record's off_ns for CLOCK_MONOTONIC; known after the first full pass, to some
 * microseconds. False: this kernel does not keep the times (CONFIG_SCHED_INFO).
 */
bool threads__clock_offset(const struct threads *t, int64_t *ret_ns);

#endif
