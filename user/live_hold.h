/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hold times in a live measurement (`locks --hold`): opened after everything else is attached, so that the chosen
 * processes are known before the first probe is hit.
 */
#ifndef HOLDUP_LIVE_HOLD_H
#define HOLDUP_LIVE_HOLD_H

#include "user/live.h"

/* Returns an exit status; tells what went wrong. */
int live_hold__open(struct live *l);
/* Takes in what there is at an interval's end; negative errno. */
int live_hold__settle(struct live *l);
void live_hold__next(struct live *l);
void live_hold__close(struct live *l);

#endif
