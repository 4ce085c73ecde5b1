/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A look at a process that waits in exit_group(2) for us (collect/exits.h): what it leaves behind. Threads that are
 * about to end by themselves are given a moment to do so.
 *
 * Errors: 0, or negative errno after telling. Ownership: leftovers are the caller's to free, before the next look.
 */
#ifndef HOLDUP_LAST_LOOK_H
#define HOLDUP_LAST_LOOK_H

#include "user/last_births.h"
#include "user/look.h"
#include "user/model/leftovers.h"

struct last_look {
	struct look *look;
	struct live *live;	    /* with SESSION_LIVES; NULL: births are not seen */
	struct last_deaths *deaths; /* NULL: nor deaths */
	const char *const *ignore;  /* patterns of functions */
	size_t ignore_cnt;
};

/* Gets what a process leaves behind, as long as the call lasts; other than 0 ends the look, and is what it returns. */
typedef int (*last_look_tell_fn)(void *ctx, const struct leftovers *left);

/* Tells of a process, but of one that never had a second thread, or that is gone. */
int last_look__take(const struct last_look *l, const struct exit_notice *notice,
		    last_look_tell_fn tell, void *ctx);
/*
 * The same of all processes that are over and left something behind, where none could be looked at: by births and
 * deaths alone.
 */
int last_look__of_dead(const struct last_look *l, last_look_tell_fn tell, void *ctx);

#endif
