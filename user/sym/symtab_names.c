// SPDX-License-Identifier: GPL-2.0-only
/* Symbols by name: a hash table, built at the first question. */
#include <stdlib.h>
#include <string.h>

#include "user/sym/symtab_internal.h"

#define FREE UINT32_MAX
/*
 * A file with very many equal hashes costs at most PROBES_MAX steps a symbol, and some of its own
 * names.
 */
#define PROBES_MAX 256

static uint64_t hash_name(const char *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3;
	return h ^ h >> 32;
}

/* Which of two symbols of the same name a plain reference means. */
static bool is_better(const struct raw *a, const struct raw *b)
{
	if (a->hidden != b->hidden)
		return b->hidden;
	if (a->local != b->local)
		return b->local;
	return a->type != STT_NOTYPE && b->type == STT_NOTYPE;
}

static void index_name(struct symtab *t, uint32_t i)
{
	const char *name = symtab__name(t, t->raw[i].name);
	size_t slot = hash_name(name) & t->by_name_mask;

	for (int probe = 0; probe < PROBES_MAX; probe++) {
		uint32_t *at = &t->by_name[slot];

		if (*at == FREE) {
			*at = i;
			return;
		}
		if (strcmp(symtab__name(t, t->raw[*at].name), name) == 0) {
			if (is_better(&t->raw[i], &t->raw[*at]))
				*at = i;
			return;
		}
		slot = (slot + 1) & t->by_name_mask;
	}
}

static bool build_names(struct symtab *t)
{
	size_t slots = 64;

	while (slots < t->raw_cnt * 2)
		slots *= 2;
	t->by_name = malloc(slots * sizeof(*t->by_name));
	if (!t->by_name)
		return false;
	memset(t->by_name, 0xff, slots * sizeof(*t->by_name));
	t->by_name_mask = slots - 1;
	for (size_t i = 0; i < t->raw_cnt; i++)
		index_name(t, i);
	return true;
}

bool symtab__by_name(struct symtab *t, const char *name, struct symbol *ret)
{
	const struct raw *r;
	size_t slot;

	if (!t->by_name && !build_names(t))
		return false;
	slot = hash_name(name) & t->by_name_mask;
	for (int probe = 0; probe < PROBES_MAX && t->by_name[slot] != FREE; probe++) {
		r = &t->raw[t->by_name[slot]];
		if (strcmp(symtab__name(t, r->name), name) == 0) {
			*ret = (struct symbol){ symtab__name(t, r->name), r->addr, r->size };
			return true;
		}
		slot = (slot + 1) & t->by_name_mask;
	}
	return false;
}

size_t symtab__all_by_name(const struct symtab *t, const char *name, struct symbol *ret, size_t cap)
{
	size_t cnt = 0, known;

	for (size_t i = 0; i < t->raw_cnt && cnt < cap; i++) {
		const struct raw *r = &t->raw[i];
		const char *its = symtab__name(t, r->name);

		if (strcmp(its, name) != 0)
			continue;
		for (known = 0; known < cnt && ret[known].addr != r->addr; known++)
			;
		if (known == cnt)
			ret[cnt++] = (struct symbol){ its, r->addr, r->size };
	}
	return cnt;
}
