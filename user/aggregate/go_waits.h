/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the goroutines of one process wait for, added up from looks at them (collect/go_sampler.h). Each look stands
 * for the time since the one before: as looks come at times that have nothing to do with the program, a place's wait
 * time is right on average, also that of waits shorter than the time between two looks. Waits are only counted when
 * seen, so there were at least so many. Nothing is named or judged here; the model does that (model/locks_go.c).
 *
 * Pure. Times are CLOCK_MONOTONIC, ns. Ownership: everything belongs to the object; go_waits__free(). Errors: -ENOMEM.
 * Bounded: GO_WAITED_MAX places; time at further ones is counted in beyond_ns.
 */
#ifndef HOLDUP_AGGREGATE_GO_WAITS_H
#define HOLDUP_AGGREGATE_GO_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/golang/go_snapshot.h"
#include "user/util/table.h"

#define GO_WAITED_MAX 32768

/* Looks that are taken at different times, each at all the waits of its sort. */
enum go_look {
	GO_LOOK_SEMAPHORES, /* all that package sync makes of them: mutexes, wait groups */
	GO_LOOK_OTHERS,	    /* channels, selects, condition variables */
	GO_LOOKS
};

/* A goroutine that waits, as one look sees it. */
struct go_waiter {
	uint64_t g;    /* its address */
	uint64_t goid; /* 0: it ran on before it could be read, and so has no stack */
	uint64_t sp;   /* with seq: tells one turn of it from the next */
	uint64_t word; /* the semaphore, or the channel, if there is only one; 0: not known */
	uint64_t startpc;
	const struct go_stack *stack; /* copied; NULL: not known */
	uint16_t chans;
	uint8_t seq, reason;
};

/* What they wait for at one place. */
struct go_waited {
	uint64_t word, startpc;
	const struct go_stack *stack; /* NULL: of those without goid */
	uint16_t chans;
	uint8_t reason;
	uint64_t waits;	 /* that were seen */
	uint64_t before; /* of them, in the first look of all */
	uint64_t looks;	 /* in which somebody waited here */
	uint64_t wait_ns;
	uint64_t longest_ns; /* for which one and the same wait was seen */
	uint32_t now, max;   /* waiting in the last look, and in any */
};

struct go_waits {
	struct table places; /* of struct go_waited */
	struct table stacks; /* of struct go_stack */
	struct {
		uint64_t at_ns; /* of the last one; 0: none */
		struct go_seen_wait *seen;
		size_t cnt;
		uint64_t looks; /* of this interval */
	} look[GO_LOOKS];
	uint64_t began_ns;
	uint64_t beyond_ns;
};

/* Looks stand for the time from began_ns on. *w zeroed before. */
void go_waits__init(struct go_waits *w, uint64_t began_ns);
/* This sort of looks is taken from now on only: the first stands for the time from here on. */
void go_waits__start(struct go_waits *w, enum go_look look, uint64_t now_ns);
/* One look at at_ns: waiters by address, ascending. */
int go_waits__add(struct go_waits *w, enum go_look look, uint64_t at_ns,
		  const struct go_waiter *waiter, size_t cnt);
/* A new interval: what has been added up goes. Who waits in both was seen in both. */
void go_waits__next(struct go_waits *w);
void go_waits__free(struct go_waits *w);

#endif
