/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a number changed over any length of time, in bounded memory: at most HISTORY_MAX spans of equal length, each
 * with the least and the most it was. When they are full, neighbours are merged and the spans are twice as long.
 */
#ifndef HOLDUP_AGGREGATE_HISTORY_H
#define HOLDUP_AGGREGATE_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#define HISTORY_MAX 64

struct history_span {
	uint64_t began_ns;
	uint32_t min, max;
	uint32_t last;
};

struct history {
	uint32_t cnt;
	uint32_t samples_a_span; /* how many samples a span has when it is full; 0: nothing was added */
	uint32_t in_last;	 /* how many the last one has */
	struct history_span span[HISTORY_MAX];
};

/* One more sample; times only grow. */
void history__add(struct history *h, uint64_t now_ns, uint32_t value);

#endif
