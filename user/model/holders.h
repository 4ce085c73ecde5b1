/* SPDX-License-Identifier: GPL-2.0-only */
/* The holders of one lock, from the sites at which it was waited for. */
#ifndef HOLDUP_MODEL_HOLDERS_H
#define HOLDUP_MODEL_HOLDERS_H

#include "user/model/locks.h"

#define HOLDERS_SHOWN 32 /* a lock; their stacks are named */

/*
 * Fills row->holders from cnt sites, most wait time first, with the stack at which each was seen most often.
 * -ENOMEM: what was filled belongs to the row even so.
 */
int lock_row__find_holders(struct lock_row *row, const struct agg_site *const *site, size_t cnt,
			   const struct aggregate *a, struct symbolizer *symbolizer);
void lock_row__free_holders(struct lock_row *row);
/* The frames of a stack in p, leaf first, into ret[cap]; returns how many. 0 when it is not known. */
size_t stack__frames(const struct aggregate *a, struct symbolizer *symbolizer,
		     const struct agg_process *p, uint64_t stack_id, bool lines,
		     struct sym_frame *ret, size_t cap, uint16_t *ret_flags);

/* What is known of a stack in p: enum hu_stack_flag; 0 for NULL. */
uint16_t stack__flags(const struct agg_process *p, const struct agg_stack *stack);

#endif
