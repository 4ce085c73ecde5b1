/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes on the lock functions of chosen processes (`locks --hold`), and what the programs behind them have added up.
 *
 * Other processes pay nothing: a probe's breakpoint is only placed in the address spaces of the processes asked for.
 * What lies in no C library that is mapped when holdup starts (or, for a program that holdup runs, in holdup's own, in
 * the program itself, and beside its loader) is not seen; nor are children that the processes start.
 *
 * Errors: negative errno; -EOPNOTSUPP: this kernel can't, *why says what is missing.
 */
#ifndef HOLDUP_COLLECT_HOLD_H
#define HOLDUP_COLLECT_HOLD_H

#include <stdint.h>
#include <sys/types.h>

#include "user/collect/hold_price.h"
#include "user/collect/session.h"

/* Between opening and loading: the programs and maps are wanted; others leave them out. */
void session__hold_choose(struct session *s, const struct features *f, bool wanted);
/* -ENOENT: in one of these processes there are no lock functions with names. *ret_points: probes placed. */
int session__hold_attach(struct session *s, const pid_t *tgids, size_t cnt, char **program,
			 size_t *ret_points, const char **why);
/* The chosen processes, a struct hu_proc_record each: to be known before the first probe is placed. */
int session__hold_processes(struct session *s, source_record_fn fn, void *ctx);
int session__hold_price(struct session *s, struct hold_price *ret);

typedef int (*hold_fn)(void *ctx, const struct hu_hold_key *key, const struct hu_hold *hold);
typedef int (*edge_fn)(void *ctx, const struct hu_edge_key *key, const struct hu_edge *edge);
typedef int (*held_fn)(void *ctx, const struct hu_held_record *rec);

/* Holds that ended; taken out, so each comes once. */
int session__holds(struct session *s, hold_fn fn, void *ctx);
/* Orders in which locks were taken, since the start; not taken out. */
int session__edges(struct session *s, edge_fn fn, void *ctx);
/* What is held now. */
int session__held(struct session *s, held_fn fn, void *ctx);
/* Since the start. */
int session__hold_counts(struct session *s, uint64_t ret[HU_HOLD_COUNTS]);

#endif
