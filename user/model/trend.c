// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SURE_LEAST 0.999 /* of the test */
#define TAIL_SHARE 0.25	 /* of the whole's slope that the last third must have */
#define PAIRS_MAX  (TREND_STRETCHES * (TREND_STRETCHES - 1) / 2)
#define NS_PER_MIN 60e9

struct low {
	double at_min; /* minutes since the first point: the middle of the stretch */
	double count;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t cnt)
{
	if (!cnt)
		return 0;
	qsort(v, cnt, sizeof(*v), compare);
	return cnt % 2 ? v[cnt / 2] : (v[cnt / 2 - 1] + v[cnt / 2]) / 2;
}

static size_t find_lows(const struct trend_point *p, size_t cnt, struct low ret[TREND_STRETCHES])
{
	uint64_t begin = p[0].at_ns, span = p[cnt - 1].at_ns - begin;
	size_t n = cnt / 2 < TREND_STRETCHES ? cnt / 2 : TREND_STRETCHES, at = 0, found = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t end = begin + (uint64_t)((double)span * (i + 1) / n);
		bool any = false;

		for (; at < cnt && (p[at].at_ns < end || i + 1 == n); at++) {
			if (!any || p[at].count < ret[found].count)
				ret[found].count = p[at].count;
			any = true;
		}
		ret[found].at_min = (double)span * (i + 0.5) / n / NS_PER_MIN;
		found += any;
	}
	return found;
}

static double slope(const struct low *low, size_t cnt)
{
	double pairs[PAIRS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < cnt; i++)
		for (size_t j = i + 1; j < cnt; j++)
			if (low[j].at_min > low[i].at_min)
				pairs[n++] = (low[j].count - low[i].count) /
					     (low[j].at_min - low[i].at_min);
	return median(pairs, n);
}

/* Sum of t(t-1)(2t+5) over groups of t equal values, by which ties make the variance less. */
static double ties(const struct low *low, size_t cnt)
{
	double sum = 0;

	for (size_t i = 0; i < cnt; i++) {
		size_t same = 0, before = 0;

		for (size_t j = 0; j < cnt; j++) {
			same += low[j].count == low[i].count;
			before += j < i && low[j].count == low[i].count;
		}
		if (!before)
			sum += (double)same * (same - 1) * (2 * same + 5);
	}
	return sum;
}

/* 1 - p, one-sided, by the normal approximation with the correction for continuity. */
static double mann_kendall(const struct low *low, size_t cnt)
{
	double s = 0, variance;

	for (size_t i = 0; i < cnt; i++)
		for (size_t j = i + 1; j < cnt; j++)
			s += (low[j].count > low[i].count) - (low[j].count < low[i].count);
	variance = ((double)cnt * (cnt - 1) * (2 * cnt + 5) - ties(low, cnt)) / 18;
	if (s <= 1 || variance <= 0)
		return 0;
	return 1 - erfc((s - 1) / sqrt(variance) / sqrt(2)) / 2;
}

/* Does it go on to the end: by its slope, and by a last third that ends higher than it began? */
static bool goes_on(const struct low *low, size_t cnt, double whole)
{
	size_t tail = cnt - cnt / 3;

	return slope(low + tail, cnt - tail) >= whole * TAIL_SHARE &&
	       low[cnt - 1].count > low[tail].count && low[tail].count > low[cnt / 3].count;
}

void trend__test(const struct trend_point *points, size_t cnt, uint64_t least, struct trend *ret)
{
	struct low low[TREND_STRETCHES];
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (cnt < 2 || points[cnt - 1].at_ns <= points[0].at_ns)
		return;
	n = find_lows(points, cnt, low);
	ret->stretches = n;
	ret->span_ns = points[cnt - 1].at_ns - points[0].at_ns;
	if (n < TREND_POINTS_LEAST)
		return;
	ret->from = low[0].count;
	ret->to = low[n - 1].count;
	ret->per_min = slope(low, n);
	ret->sure = mann_kendall(low, n);
	ret->grows = ret->sure >= SURE_LEAST && ret->per_min > 0 && ret->to >= ret->from + least &&
		     goes_on(low, n, ret->per_min);
}
