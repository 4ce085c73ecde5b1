/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goroutines wait for, in a live measurement (`locks`): every Go program among the processes that have been seen
 * is looked at from time to time. Internal to live.c; errors: negative errno.
 */
#ifndef HOLDUP_LIVE_GO_WAITS_H
#define HOLDUP_LIVE_GO_WAITS_H

#include "user/live.h"

/* How long to wait for events at most, so that no look is late. */
int live_go__timeout(const struct live *l, int timeout_ms);
/* Takes the looks that are due; asks of new processes whether they are Go programs. */
int live_go__poll(struct live *l);
/* The interval ends: a last look. */
int live_go__settle(struct live *l);
void live_go__next(struct live *l);
/* A process that is forgotten. */
void live_go__forget(struct agg_process *p);
void live_go__close(struct live *l);

#endif
