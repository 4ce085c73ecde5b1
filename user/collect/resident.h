/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A copy of the memory that a program can write and that is resident: what was never touched is not read, so that
 * reading does not make the program larger. Nothing is stopped: words change while they are read.
 *
 * Ownership: resident__free(). Errors: -E2BIG: more than max bytes; -ENOMEM; -ESRCH, -EACCES: it can't be read.
 */
#ifndef HOLDUP_COLLECT_RESIDENT_H
#define HOLDUP_COLLECT_RESIDENT_H

#include <sys/types.h>

#include "user/golang/go_reach.h"
#include "user/sym/maps.h"

/* What of these ranges, ascending and apart from each other, is in private mappings that can be written. */
int resident__copy(pid_t tgid, const struct maps *maps, const struct go_range *range, size_t ranges,
		   size_t max, struct go_copy **ret, size_t *ret_cnt);
void resident__free(struct go_copy *copy, size_t cnt);

#endif
