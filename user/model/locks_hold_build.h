/* SPDX-License-Identifier: GPL-2.0-only */
/* A report of holds in the making: locks_hold.c and locks_hold_order.c. Errors: -ENOMEM. */
#ifndef HOLDUP_MODEL_LOCKS_HOLD_BUILD_H
#define HOLDUP_MODEL_LOCKS_HOLD_BUILD_H

#include "user/model/locks_hold.h"

struct hold_builder {
	const struct hold_input *in;
	const struct locks_query *query;
	const struct locks_report *waits;
	struct hold_report *report;
};

/* What the lock is called, "" if nothing names it; the module it lies in, where asked for. */
const char *hold__name(const struct hold_builder *b, const struct agg_process *p, uint64_t lock,
		       const char **ret_module);
int hold__stack(const struct hold_builder *b, const struct agg_process *p, uint64_t id, bool lines,
		struct order_stack *ret);
int hold__build_order(struct hold_builder *b);
void hold__free_order(struct hold_report *r);

#endif
