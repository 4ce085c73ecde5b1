/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `--go-probes` in a live measurement: probes on the semaphores of the Go programs that were chosen, attached before
 * privileges are given up; goroutines that wait already are told to them, and what they count is taken in at the end
 * of each interval. Internal to live*.c; errors: negative errno.
 */
#ifndef HOLDUP_LIVE_GO_PROBES_H
#define HOLDUP_LIVE_GO_PROBES_H

#include "user/live.h"

/* Returns an exit status; tells what went wrong. */
int live_go_probes__open(struct live *l);
/* A process that has just been seen: is it counted, then who waits there already is told. */
int live_go_probes__adopt(struct live *l, struct agg_process *p);
/* Takes in what was counted up to until_ns. */
int live_go_probes__settle(struct live *l, uint64_t until_ns);
void live_go_probes__detach(struct live *l);
void live_go_probes__close(struct live *l);

#endif
