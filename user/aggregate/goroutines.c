// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/goroutines.h"

#include <errno.h>
#include <stdlib.h>

static bool place__is(const void *value, const void *key)
{
	return ((const struct go_birthplace *)value)->gopc == *(const uint64_t *)key;
}

static uint64_t hash_of(uint64_t gopc)
{
	return hash__mix(0, gopc);
}

const struct go_birthplace *go_population__at(const struct go_population *p, uint64_t gopc)
{
	return table__find(&p->places, hash_of(gopc), place__is, &gopc);
}

static int add(struct go_population *p, uint64_t gopc, struct go_birthplace **ret)
{
	struct go_birthplace *place = calloc(1, sizeof(*place));

	if (!place)
		return -ENOMEM;
	place->gopc = gopc;
	if (table__add(&p->places, hash_of(gopc), place)) {
		free(place);
		return -ENOMEM;
	}
	*ret = place;
	return 0;
}

static int count(struct go_population *p, uint64_t gopc)
{
	struct go_birthplace *place = table__find(&p->places, hash_of(gopc), place__is, &gopc);
	int err;

	if (!place && p->places.cnt >= GO_PLACES_MAX) {
		p->beyond++;
		return 0;
	}
	if (!place) {
		err = add(p, gopc, &place);
		if (err)
			return err;
	}
	place->live++;
	return 0;
}

int go_population__sample(struct go_population *p, uint64_t now_ns, const uint64_t *gopc,
			  size_t cnt)
{
	struct go_birthplace *place;
	int err = 0;

	p->beyond = 0;
	for (size_t i = 0; (place = table__next(&p->places, &i));)
		place->live = 0;
	for (size_t i = 0; i < cnt && !err; i++)
		err = count(p, gopc[i]);
	for (size_t i = 0; !err && (place = table__next(&p->places, &i));)
		history__add(&place->history, now_ns, place->live);
	return err;
}

void go_population__free(struct go_population *p)
{
	table__clear(&p->places, free);
}
