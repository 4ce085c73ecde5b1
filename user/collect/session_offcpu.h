/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a session of SESSION_OFFCPU has summed in the kernel (bpf/offcpu.h). Sums count from the start on and are not
 * taken out: who wants those of an interval takes differences. Errors: negative errno, or what fn returned.
 */
#ifndef HOLDUP_COLLECT_SESSION_OFFCPU_H
#define HOLDUP_COLLECT_SESSION_OFFCPU_H

#include "user/collect/session.h"

typedef int (*off_site_fn)(void *ctx, const struct hu_off_key *key, const struct hu_off_site *site);
typedef int (*off_waker_fn)(void *ctx, const struct hu_off_waker_key *key,
			    const struct hu_off_waker *waker);

/* All entries of the sites and of the sums by process, one for each CPU. */
int session__off_sites(struct session *s, off_site_fn fn, void *ctx);
int session__off_wakers(struct session *s, off_waker_fn fn, void *ctx);
/* Forgets an entry that nobody has changed for a while: its kernel side begins anew. */
void session__off_drop(struct session *s, const struct hu_off_key *key);
void session__off_drop_waker(struct session *s, const struct hu_off_waker_key *key);
size_t session__off_room(const struct session *s); /* entries for sites */
/* struct hu_off_now of each thread that is off the CPU. */
int session__off_pending(struct session *s, source_record_fn fn, void *ctx);
/* The same of threads that were off the CPU before anything was attached, which are taken in. Once. */
int session__off_adopt(struct session *s, source_record_fn fn, void *ctx);
int session__off_kernel_stack(struct session *s, uint64_t id, struct hu_kernel_stack *ret);
/* Makes room: those that known() says the caller has. What is met again comes back by itself. */
#define SESSION_KSTACKS_ROOM 8192 /* entries, as in bpf/offcpu_maps.h */
void session__off_trim_kernel_stacks(struct session *s, bool (*known)(void *ctx, uint64_t id),
				     void *ctx);
/* The run queue of a CPU; -ENOENT: there is no such CPU. */
int session__off_queue(struct session *s, int cpu, struct hu_off_queue *ret);
/* Longest waits are kept for each turn. */
int session__off_turn(struct session *s, uint32_t turn);

#endif
