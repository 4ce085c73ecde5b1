/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The threads of a process as glibc itself lists them: those that live, and those that have ended and are neither
 * joined nor detached, whose stacks it keeps. So what leaked before anybody looked is known exactly.
 *
 * In: the process's memory (hostile), read and never stopped: lists are walked with bounds, and a walk that does
 * not come back to where it began, or whose links disagree, counts for nothing. Where things are is told by what
 * glibc exports for debuggers (nptl_db, nptl/db_info.c and structs.def: _thread_db_* are { bits, elements, offset }),
 * in libc.so.6 since 2.34; older ones keep their lists where no symbol is, and so do static programs and musl.
 *
 * Ownership: pthreads__free(). Errors: -ENOTSUP: its C library does not tell; -ESRCH: it is gone; -EAGAIN: its lists
 * would not hold still; -ENOMEM.
 */
#ifndef HOLDUP_COLLECT_PTHREADS_H
#define HOLDUP_COLLECT_PTHREADS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/aggregate/lifetimes.h"

#define PTHREADS_MAX 262144 /* of one process */

struct pthreads;

int pthreads__new(struct pthreads **ret);
void pthreads__free(struct pthreads *p); /* NULL is fine */
/* Its threads, sorted by tp; the caller frees *ret. */
int pthreads__read(struct pthreads *p, pid_t tgid, struct lt_descriptor **ret, size_t *ret_cnt);

#endif
