/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a live measurement does with what it is told: looks at processes and stacks while they can be looked at,
 * and hands everything to the aggregate. Internal to live*.c.
 */
#ifndef HOLDUP_LIVE_EVENTS_H
#define HOLDUP_LIVE_EVENTS_H

#include <stddef.h>

#include "user/live.h"

/* Connects the session's records and the aggregate's questions with what follows. */
void live__wire(struct live *l);
/* Handlers of single records, in the form that decode and the iterators call; ctx is the struct live. */
int live__on_pending(void *ctx, const struct hu_wait_record *rec);
int live__on_process_record(void *ctx, const struct hu_proc_record *rec);
/* Takes in the threads that wait already; errors as of session__adopt(). */
int live__take_waiting(struct live *l);
/* A raw stack that was read from outside at read_ns; 0: that the kernel side has sent. */
int live__take_raw_stack(struct live *l, const struct hu_stack_record *rec, uint64_t read_ns);
/* Who holds what threads wait for at this moment, and where is it? One that sleeps shows itself to nobody. */
int live__find_holders(struct live *l);

/* What holders did up to now, from the kernel. */
int live__read_blame(struct live *l);
/* Tells the user of an error of these; returns it. */
int live__tell(int err);

/* Programs on the thread libraries in use; an exit status. */
int live__open_probes(struct live *l);
/* Takes in which threads live now; 0 or negative errno. */
int live__pass(struct live *l, uint64_t now_ns);
/*
 * Threads' creators are often over soon: to look at them in time, holdup goes first while lives are watched; not with
 * what has time, as reports.
 */
void live__hurry(struct live *l, bool on);
/* At processes that had mapped nothing yet when they were looked at. */
void live__look_again(struct live *l);
/* Handlers of records, ctx is the struct live. */
int live__on_birth(void *ctx, const struct hu_birth_record *rec);
int live__on_death(void *ctx, const struct hu_death_record *rec);
int live__on_call(void *ctx, const struct hu_pthread_record *rec);
int live__on_life_process(struct live *l, const struct hu_proc_record *rec);
int live__look_early(struct live *l, const struct hu_proc_record *rec);

#endif
