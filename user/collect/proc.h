/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small questions about processes and threads that only /proc answers (proc(5)). The answers are a moment's:
 * whoever is asked about may be gone, or another by that number, right after.
 */
#ifndef HOLDUP_COLLECT_PROC_H
#define HOLDUP_COLLECT_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"

/* The thread's name, untrusted bytes, NUL-terminated. -ESRCH: there is no such thread in the process. */
int proc__comm(uint32_t tgid, uint32_t tid, char ret[HU_COMM_LEN]);
/* The process of any thread; 0: there is none. */
pid_t proc__of_thread(uint32_t tid);
/* Is there such a thread, of this process or (tgid 0) of any? One that has ended, and that nobody has asked for, is none. */
bool proc__lives(uint32_t tgid, uint32_t tid);
/* Are this process's TIDs, as it sees them itself, other numbers than ours? */
bool proc__in_pid_namespace(pid_t tgid);
/* The thread that calls itself `inner` in the process's own PID namespace; -ESRCH: none. */
int proc__by_inner_tid(uint32_t tgid, uint32_t inner, uint32_t *ret_tid);
/*
 * The process's path in the cgroup v2 hierarchy, from the root of holdup's cgroup namespace: untrusted bytes, but
 * no line feed. To be freed; NULL: not known.
 */
char *proc__cgroup(uint32_t tgid);
/* Calls fn for each thread until it returns other than 0. */
void proc__each_thread(uint32_t tgid, int (*fn)(void *ctx, uint32_t tid), void *ctx);

#endif
