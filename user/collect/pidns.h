/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PID namespaces (pid_namespaces(7)): a lock's word has its owner's number as the owner knows itself, in the innermost
 * namespace that it is in. Read from /proc, process by process: for single questions, not for each thread of a look.
 */
#ifndef HOLDUP_COLLECT_PIDNS_H
#define HOLDUP_COLLECT_PIDNS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/sym/maps.h"

/* The thread, by our numbers, that has this one in the namespace of the process: of any process there. -ESRCH: none. */
int pidns__thread(uint32_t tgid, uint32_t inner, uint32_t *ret_tid);
/* Do these mappings have this file, to be shared? */
bool pidns__is_in(const struct maps *maps, const struct mapping *file);
/* Has the thread's process it mapped so? 1, 0, or negative errno: that can't be read. */
int pidns__maps(uint32_t tid, const struct mapping *file);
/* Has it a process of another namespace than this one's? Who has a lock in it may then be there. */
bool pidns__maps_elsewhere(uint32_t tgid, const struct mapping *file);

#endif
