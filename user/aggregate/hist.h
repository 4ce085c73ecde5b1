/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A histogram of durations: 32 linear buckets in each power of two, so a bucket is at most 1/32
 * (3.1 %) of its value wide and its middle at most 1.6 % off. Powers are allocated when first used.
 * Values below 32 ns are exact. Counts never lose anything; a failed allocation is counted in
 * `dropped`.
 */
#ifndef HOLDUP_AGGREGATE_HIST_H
#define HOLDUP_AGGREGATE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_SUBS     (1 << HIST_SUB_BITS)
#define HIST_POWERS   (64 - HIST_SUB_BITS + 1)

struct hist {
	uint64_t *power[HIST_POWERS]; /* HIST_SUBS counts each, or NULL */
	uint64_t cnt;
	uint64_t dropped;
};

void hist__add(struct hist *h, uint64_t ns);
void hist__add_many(struct hist *h, uint64_t ns, uint64_t cnt);
void hist__merge(struct hist *h, const struct hist *other);
void hist__free(struct hist *h);
/*
 * The value below which `percent` of the values lie: the middle of its bucket, never more than
 * max_ns (the exact maximum, which the caller keeps). 0 when empty.
 */
uint64_t hist__percentile(const struct hist *h, double percent, uint64_t max_ns);

#endif
