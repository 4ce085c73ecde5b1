/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All wanted threads as /proc tells of them (proc(5)), for kernels whose iterator gives no registers (before 5.15).
 * The same records; what /proc does not have is 0: times off the CPU, the frame pointer and other registers, the
 * kernel's stack. Each look reads four small files a thread, and takes some 30 us for it.
 * Errors: negative errno.
 */
#ifndef HOLDUP_COLLECT_THREADS_PROC_H
#define HOLDUP_COLLECT_THREADS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"

/* Is the process wanted? comm is its leader's. */
typedef bool (*threads_proc_wanted_fn)(void *ctx, pid_t tgid, const char comm[HU_COMM_LEN]);

/* fn for each record of ask->mode, as threads__pass(); what it returns other than 0 ends the pass. */
int threads_proc__pass(const struct hu_snap_ask *ask, threads_proc_wanted_fn wanted,
		       int (*fn)(void *ctx, const struct hu_record *rec), void *wanted_ctx,
		       void *fn_ctx);

/* A line of /proc/TID/syscall into rec; a text that is none leaves it in no call. For tests. */
void threads_proc__parse_call(const char *line, struct hu_thread_record *rec);
/* The text of /proc/TID/stat into rec; false: it is none, or a kernel's or ended thread's. */
bool threads_proc__parse_stat(const char *text, struct hu_thread_record *rec);

#endif
