// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int insert(struct extents *e, size_t at, struct extent new)
{
	if (e->cnt == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 64;
		struct extent *more = realloc(e->gap, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		e->gap = more;
		e->cap = cap;
	}
	memmove(&e->gap[at + 1], &e->gap[at], (e->cnt - at) * sizeof(new));
	e->gap[at] = new;
	e->cnt++;
	return 0;
}

static void remove_at(struct extents *e, size_t at)
{
	e->cnt--;
	memmove(&e->gap[at], &e->gap[at + 1], (e->cnt - at) * sizeof(e->gap[0]));
}

int extents__take(struct extents *e, uint32_t cnt, uint32_t *ret)
{
	for (size_t i = 0; i < e->cnt; i++) {
		struct extent *g = &e->gap[i];

		if (g->cnt < cnt)
			continue;
		*ret = g->first;
		g->first += cnt;
		g->cnt -= cnt;
		if (!g->cnt)
			remove_at(e, i);
		return 0;
	}
	return -ENOSPC;
}

void extents__give(struct extents *e, uint32_t first, uint32_t cnt)
{
	size_t at = 0;

	while (at < e->cnt && e->gap[at].first < first)
		at++;
	if (insert(e, at, (struct extent){ first, cnt }))
		return;
	if (at + 1 < e->cnt && first + cnt == e->gap[at + 1].first) {
		e->gap[at].cnt += e->gap[at + 1].cnt;
		remove_at(e, at + 1);
	}
	if (at && e->gap[at - 1].first + e->gap[at - 1].cnt == first) {
		e->gap[at - 1].cnt += e->gap[at].cnt;
		remove_at(e, at);
	}
}

void extents__free(struct extents *e)
{
	free(e->gap);
	*e = (struct extents){ 0 };
}
