// SPDX-License-Identifier: GPL-2.0-only
/* Symbols by address: sorted tables. */
#include "user/sym/symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/sym/symtab_internal.h"

#define ALIAS_SZ 256 /* what aliases are told apart by */
#define NONE	 UINT32_MAX
#define NEST_MAX 64 /* steps outwards from the innermost candidate; real files nest once */

/* A symbol as looked up, sorted by address. */
struct entry {
	uint64_t addr, end;
	uint32_t name:31;
	uint32_t sized:1; /* the file gave its size */
	uint32_t outer;	  /* the nearest entry before that is still open at addr, or NONE */
};

/* What is sorted by: most comparisons need not look at the symbol itself. */
struct key {
	uint64_t addr, size;
	const struct raw *raw;
};

int symtab__new(uint64_t *budget, struct symtab **ret)
{
	struct symtab *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->budget = budget;
	*ret = t;
	return 0;
}

void symtab__free(struct symtab *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->blob_cnt; i++)
		free(t->blob[i].text);
	free(t->raw);
	free(t->func.entry);
	free(t->object.entry);
	free(t->by_name);
	free(t);
}

static bool is_func(const struct raw *r)
{
	return r->type == STT_FUNC || r->type == STT_GNU_IFUNC;
}

static bool is_object(const struct raw *r)
{
	return r->type == STT_OBJECT || r->type == STT_COMMON;
}

static size_t underscores(const char *name)
{
	size_t cnt = 0;

	while (cnt < ALIAS_SZ && name[cnt] == '_')
		cnt++;
	return cnt;
}

/* Which of two names of one thing a user knows: see module.h. Negative: a. */
static int compare_names(const struct symtab *t, const struct raw *a, const struct raw *b)
{
	const char *name_a = symtab__name(t, a->name), *name_b = symtab__name(t, b->name);
	size_t under_a = underscores(name_a), under_b = underscores(name_b);
	size_t len_a, len_b;

	if (a->local != b->local)
		return a->local ? 1 : -1;
	if (under_a != under_b)
		return under_a < under_b ? -1 : 1;
	len_a = strnlen(name_a, ALIAS_SZ);
	len_b = strnlen(name_b, ALIAS_SZ);
	if (len_a != len_b)
		return len_a < len_b ? -1 : 1;
	return strncmp(name_a, name_b, ALIAS_SZ);
}

/*
 * By address; then sized before unsized; then larger ones first, so that what encloses comes before
 * what is enclosed; then the better name.
 */
static int compare_keys(const void *pa, const void *pb, void *arg)
{
	const struct key *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->size != b->size)
		return a->size > b->size ? -1 : 1;
	return compare_names(arg, a->raw, b->raw);
}

/* An unsized symbol ends at the next address that has a symbol, or with its section. */
static uint64_t end_of(const struct raw *r, uint64_t next_addr)
{
	uint64_t end = r->addr + r->size;

	if (r->size)
		return end > r->addr ? end : UINT64_MAX;
	end = next_addr < r->limit ? next_addr : r->limit;
	return end > r->addr ? end : r->addr + (r->addr < UINT64_MAX);
}

/* Fills in outer with a stack of the entries that are still open, linked through outer itself. */
static void link_outer(struct table *tab)
{
	uint32_t open = NONE;

	for (size_t i = 0; i < tab->cnt; i++) {
		struct entry *e = &tab->entry[i];

		while (open != NONE && tab->entry[open].end <= e->addr)
			open = tab->entry[open].outer;
		/* Partly overlapping ones stay behind e as long as they reach further. */
		e->outer = open;
		open = i;
	}
}

static void fill_table(struct table *tab, const struct key *sorted, size_t cnt)
{
	uint64_t next_addr = UINT64_MAX;

	/* Backwards, so that the next distinct address is known; then the kept ones are reversed. */
	for (size_t i = cnt; i > 0; i--) {
		const struct raw *r = sorted[i - 1].raw, *before = i > 1 ? sorted[i - 2].raw : NULL;
		bool same_addr = before && before->addr == r->addr;

		if (same_addr && (before->size == r->size || r->size == 0))
			continue;
		tab->entry[tab->cnt++] = (struct entry){ .addr = r->addr,
							 .end = end_of(r, next_addr),
							 .name = r->name,
							 .sized = r->size != 0 };
		if (!same_addr)
			next_addr = r->addr;
	}
	for (size_t i = 0; i < tab->cnt / 2; i++) {
		struct entry tmp = tab->entry[i];

		tab->entry[i] = tab->entry[tab->cnt - 1 - i];
		tab->entry[tab->cnt - 1 - i] = tmp;
	}
	link_outer(tab);
}

static int build_table(struct symtab *t, struct table *tab, bool (*want)(const struct raw *))
{
	struct key *sorted = calloc(t->raw_cnt + 1, sizeof(*sorted));
	struct entry *fit;
	size_t cnt = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < t->raw_cnt; i++)
		if (want(&t->raw[i]))
			sorted[cnt++] = (struct key){ t->raw[i].addr, t->raw[i].size, &t->raw[i] };
	qsort_r(sorted, cnt, sizeof(*sorted), compare_keys, t);
	tab->entry = calloc(cnt + 1, sizeof(*tab->entry));
	if (!tab->entry) {
		free(sorted);
		return -ENOMEM;
	}
	fill_table(tab, sorted, cnt);
	free(sorted);
	fit = reallocarray(tab->entry, tab->cnt + 1, sizeof(*fit));
	if (fit)
		tab->entry = fit;
	return 0;
}

int symtab__finish(struct symtab *t)
{
	int err = build_table(t, &t->func, is_func);

	return err ? err : build_table(t, &t->object, is_object);
}

static bool find(const struct symtab *t, const struct table *tab, uint64_t vaddr,
		 struct symbol *ret)
{
	size_t lo = 0, hi = tab->cnt;
	const struct entry *e;
	uint32_t i;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tab->entry[mid].addr <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	i = lo ? lo - 1 : NONE;
	for (int steps = 0; i != NONE && steps < NEST_MAX; steps++) {
		e = &tab->entry[i];
		if (vaddr < e->end) {
			ret->name = symtab__name(t, e->name);
			ret->addr = e->addr;
			ret->size = e->sized ? e->end - e->addr : 0;
			return true;
		}
		i = e->outer;
	}
	return false;
}

bool symtab__func(const struct symtab *t, uint64_t vaddr, struct symbol *ret)
{
	return find(t, &t->func, vaddr, ret);
}

bool symtab__object(const struct symtab *t, uint64_t vaddr, struct symbol *ret)
{
	return find(t, &t->object, vaddr, ret);
}

size_t symtab__count(const struct symtab *t)
{
	return t->raw_cnt;
}
