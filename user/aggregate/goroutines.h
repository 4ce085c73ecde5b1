/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goroutines by where they were created, and how many of each place there were over time: what tells a population that
 * only grows from one that comes and goes. Bounded: GO_PLACES_MAX places, whose history has a bounded length
 * (history.h); goroutines of further places are counted as beyond.
 *
 * Pure. Ownership: go_population__free(). Errors: -ENOMEM.
 */
#ifndef HOLDUP_AGGREGATE_GOROUTINES_H
#define HOLDUP_AGGREGATE_GOROUTINES_H

#include "user/aggregate/history.h"
#include "user/util/table.h"

#define GO_PLACES_MAX 8192

struct go_birthplace {
	uint64_t gopc; /* the go statement: where it returns to */
	uint32_t live;
	struct history history;
};

struct go_population {
	struct table places; /* of struct go_birthplace */
	size_t beyond;	     /* goroutines of the last sample whose place there was no room for */
};

/* One sample: gopc of each goroutine that lives. */
int go_population__sample(struct go_population *p, uint64_t now_ns, const uint64_t *gopc,
			  size_t cnt);
/* NULL: no goroutine was seen that was created there. */
const struct go_birthplace *go_population__at(const struct go_population *p, uint64_t gopc);
void go_population__free(struct go_population *p);

#endif
