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

/* *ret NULL: it never had a second thread, or it is gone. */
int last_look__take(const struct last_look *l, const struct exit_notice *notice,
		    struct leftovers **ret);

/*
 * The same of all processes that are over, where none could be looked at: by births and deaths alone. tell() is called
 * for each that left something behind, until it returns other than 0, which is returned then.
 */
int last_look__of_dead(const struct last_look *l,
		       int (*tell)(void *ctx, const struct leftovers *left), void *ctx);

#endif
