/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hash index of objects that have its node within themselves: adding never fails once there is room, removing is
 * constant. For what comes and goes all the time; table.h is for what stays. It owns nothing.
 */
#ifndef HOLDUP_UTIL_INDEX_H
#define HOLDUP_UTIL_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct index_node {
	struct index_node *next, **from; /* from: what points here; NULL: it is in no index */
	uint64_t hash;
};

struct index {
	struct index_node **bucket;
	size_t buckets; /* a power of two, or 0 */
	size_t cnt;
};

/* -ENOMEM only while it is empty: later it gets slower instead. */
int index__add(struct index *x, struct index_node *n, uint64_t hash);
void index__remove(struct index *x, struct index_node *n); /* fine if it is in none */
/* The first with this hash, and the next after one; NULL: no more. The caller compares keys. */
struct index_node *index__first(const struct index *x, uint64_t hash);
struct index_node *index__more(const struct index_node *n);
void index__free(struct index *x);

#define index__entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

#endif
