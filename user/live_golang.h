/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The schedulers of the Go programs that -p chooses, from look to look: what `threads -p` shows of them.
 *
 * Ownership: go_watch__free(). Errors: -ENOMEM. That a program can't be read is no error: it says why in a sentence.
 */
#ifndef HOLDUP_LIVE_GOLANG_H
#define HOLDUP_LIVE_GOLANG_H

#include "user/collect/golang.h"
#include "user/model/threads.h"
#include "user/options.h"

struct go_watched {
	struct go_target *target;
	struct go_sched before, now; /* at_ns 0: not had */
	char comm[HU_COMM_LEN];
};

struct go_watch {
	struct go_set set;
	struct go_watched *watched;
	struct threads_golang *told; /* of the last look */
	size_t cnt;
};

/* *ret zeroed before. */
int go_watch__new(const struct options *o, struct go_watch *ret);
/* What was now is before; then w->told is of this moment. */
int go_watch__look(struct go_watch *w);
void go_watch__free(struct go_watch *w);

#endif
