/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the memory of processes says of their threads, for who watches lives and looks at threads: what the stacks of
 * those hold that were never joined (collect/libc_threads.h), and who waits for what nobody else knows
 * (collect/reach.h). Nothing is stopped. Errors: -ENOMEM; what can't be read is left out.
 */
#ifndef HOLDUP_LIVE_MEMORY_H
#define HOLDUP_LIVE_MEMORY_H

#include "user/live.h"
#include "user/look.h"
#include "user/model/leaks.h"

struct live_stacks {
	struct leaks_stack *stack;
	size_t cnt;
};

/* Of threads that are unjoined; ret begins empty, and ret->stack is the caller's to free. */
int live_memory__read_stacks(const struct live *l, const struct look *look,
			     struct live_stacks *ret);

/* Searches for who might wake threads that have been blocked for min_age_ns; ret->tid is the caller's to free. */
int live_memory__search(const struct look *look, uint64_t min_age_ns,
			struct leaks_unreachable *ret);

#endif
