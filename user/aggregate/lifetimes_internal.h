/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lifetimes.c (processes, sites, births and deaths), lifetimes_join.c (joins and detaches) and
 * lifetimes_pass.c (passes and what was lost) share. Errors: -ENOMEM.
 */
#ifndef HOLDUP_AGGREGATE_LIFETIMES_INTERNAL_H
#define HOLDUP_AGGREGATE_LIFETIMES_INTERNAL_H

#include "user/aggregate/lifetimes.h"

/* What names a site within its process. */
struct lt_where {
	uint64_t stack_id, start_routine;
	bool before, beyond, guessed;
};

/* The process, a new one if it was not known. */
int lt__process_get(struct lifetimes *l, uint32_t tgid, uint64_t start, const char *comm,
		    struct lt_process **ret);
int lt__site_get(struct lifetimes *l, struct lt_process *p, const struct lt_where *where,
		 struct lt_site **ret);
/* A thread that lives, in this site (NULL: a process's first thread). */
int lt__thread_new(struct lifetimes *l, struct lt_process *p, struct lt_site *site, uint32_t tid,
		   uint64_t start, uint64_t tp, struct lt_thread **ret);
/* The thread has ended: it is kept where it is unjoined. */
void lt__thread_ends(struct lifetimes *l, struct lt_thread *t, enum lt_end end, uint64_t now_ns);
/* An unjoined thread was joined or detached: it is freed. */
void lt__thread_collected(struct lifetimes *l, struct lt_thread *t, enum lt_join how);
/* It is not to be found by its thread pointer any more, nor by its tid. */
void lt__thread_free(struct lifetimes *l, struct lt_thread *t);
void lt__thread_move(struct lifetimes *l, struct lt_thread *t, struct lt_site *to);
/* What is over is over: its threads are gone with it. */
void lt__process_over(struct lifetimes *l, struct lt_process *p, uint64_t now_ns);
/* One that is found to have ended, unjoined, before holdup looked. */
void lt__zombie(struct lifetimes *l, struct lt_thread *t);
/* All that are taken to live end now. */
void lt__end_all(struct lifetimes *l, struct lt_process *p, enum lt_end end, uint64_t now_ns);
void lt__process_free(struct lifetimes *l, struct lt_process *p);
/* Before t ends: whom it was joining, and who was joining it. */
void lt__end_joining(struct lifetimes *l, const struct lt_thread *t, enum lt_end end);
void lt__settle_join(struct lifetimes *l, struct lt_thread *t, uint64_t now_ns);
/* The thread pointer is a new thread's now: whoever had it was freed. */
void lt__free_namesakes(struct lifetimes *l, struct lt_process *p, uint64_t tp);
/* The thread that a pthread_t of the process names; NULL: not known. */
struct lt_thread *lt__by_handle(const struct lifetimes *l, const struct lt_process *p,
				uint64_t handle);
uint64_t lt__tp_hash(const struct lt_process *p, uint64_t tp);

#endif
