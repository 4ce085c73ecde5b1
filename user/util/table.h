/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hash table of pointers by 64-bit hash: open addressing, grows at 3/4. It owns neither keys nor
 * values; the caller compares keys. Errors: -ENOMEM; the table is unchanged then.
 */
#ifndef HOLDUP_UTIL_TABLE_H
#define HOLDUP_UTIL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_slot {
	uint64_t hash;
	void *value; /* NULL: empty */
};

struct table {
	struct table_slot *slot;
	size_t cap; /* a power of two, or 0 */
	size_t cnt;
};

typedef bool (*table_equal_fn)(const void *value, const void *key);

/* The value whose hash is equal and for which equal(value, key) holds; NULL: none. */
void *table__find(const struct table *t, uint64_t hash, table_equal_fn equal, const void *key);
/* Adds value, which must not be there yet. */
int table__add(struct table *t, uint64_t hash, void *value);
/* Frees the table; drop, if given, is called for each value. */
void table__clear(struct table *t, void (*drop)(void *value));
/* Only values for which keep() holds stay; drop is called for the others. All stay when it fails. */
int table__filter(struct table *t, bool (*keep)(void *ctx, void *value), void *ctx,
		  void (*drop)(void *value));

/* Calls for each value: for (size_t i = 0; (v = table__next(t, &i));) */
void *table__next(const struct table *t, size_t *i);

/* A 64-bit mixing step (the finalizer of MurmurHash3, public domain): for keys made of integers. */
static inline uint64_t hash__mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

#endif
