/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does a count grow, for good? A series of samples in time is judged by its lows: it is cut into as many stretches of
 * time as there are points for, and of each only the least value counts, so that what comes and goes (a pool that
 * grows and shrinks, requests that take a while) has no part in it. The lows are tested by Mann and Kendall's test,
 * which asks of all pairs which one is higher and makes no assumption of how they are distributed (Mann, Econometrica
 * 13, 1945; variance with ties: Kendall, Rank Correlation Methods, 1975), and the slope is the median of those of all
 * pairs (Theil 1950, Sen 1968), which a few outliers do not move. What has grown and then stays (a pool that fills up)
 * passes such a test and is no growth: the last third has to go on as the whole does.
 *
 * Pure. Times are nanoseconds.
 */
#ifndef HOLDUP_MODEL_TREND_H
#define HOLDUP_MODEL_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_STRETCHES	   24 /* at most */
#define TREND_POINTS_LEAST 10 /* stretches, for an answer at all */

struct trend_point {
	uint64_t at_ns;
	uint64_t count;
};

struct trend {
	bool grows;
	double per_min;	   /* Theil and Sen's slope of the lows */
	double sure;	   /* 1 - p of the one-sided test: how likely it is no chance; 0…1 */
	uint64_t from, to; /* the lows of the first and of the last stretch */
	size_t stretches;  /* with points; fewer than TREND_POINTS_LEAST: no answer */
	uint64_t span_ns;
};

/* points in order of time; least: a growth by fewer than so many is none. */
void trend__test(const struct trend_point *points, size_t cnt, uint64_t least, struct trend *ret);

#endif
