// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/table.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 64

void *table__find(const struct table *t, uint64_t hash, table_equal_fn equal, const void *key)
{
	if (!t->cap)
		return NULL;
	for (size_t i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
		const struct table_slot *s = &t->slot[i];

		if (!s->value)
			return NULL;
		if (s->hash == hash && equal(s->value, key))
			return s->value;
	}
}

static void place(struct table_slot *slot, size_t cap, uint64_t hash, void *value)
{
	size_t i = hash & (cap - 1);

	while (slot[i].value)
		i = (i + 1) & (cap - 1);
	slot[i] = (struct table_slot){ .hash = hash, .value = value };
}

static int grow(struct table *t)
{
	size_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
	struct table_slot *slot = calloc(cap, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slot[i].value)
			place(slot, cap, t->slot[i].hash, t->slot[i].value);
	free(t->slot);
	t->slot = slot;
	t->cap = cap;
	return 0;
}

int table__add(struct table *t, uint64_t hash, void *value)
{
	int err;

	if ((t->cnt + 1) * 4 > t->cap * 3) {
		err = grow(t);
		if (err)
			return err;
	}
	place(t->slot, t->cap, hash, value);
	t->cnt++;
	return 0;
}

void table__clear(struct table *t, void (*drop)(void *value))
{
	for (size_t i = 0; drop && i < t->cap; i++)
		if (t->slot[i].value)
			drop(t->slot[i].value);
	free(t->slot);
	*t = (struct table){ 0 };
}

/* keep() must not change its mind: it is asked twice. */
int table__filter(struct table *t, bool (*keep)(void *ctx, void *value), void *ctx,
		  void (*drop)(void *value))
{
	struct table_slot *slot;
	size_t cap = FIRST_CAP, cnt = 0;

	for (size_t i = 0; i < t->cap; i++)
		cnt += t->slot[i].value && keep(ctx, t->slot[i].value);
	if (cnt == t->cnt)
		return 0;
	while (cnt * 4 > cap * 3)
		cap *= 2;
	slot = calloc(cap, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++) {
		if (!t->slot[i].value)
			continue;
		if (keep(ctx, t->slot[i].value))
			place(slot, cap, t->slot[i].hash, t->slot[i].value);
		else
			drop(t->slot[i].value);
	}
	free(t->slot);
	*t = (struct table){ .slot = slot, .cap = cap, .cnt = cnt };
	return 0;
}

void *table__next(const struct table *t, size_t *i)
{
	while (*i < t->cap) {
		void *value = t->slot[(*i)++].value;

		if (value)
			return value;
	}
	return NULL;
}
