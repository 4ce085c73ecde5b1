/* SPDX-License-Identifier: GPL-2.0-only */
/* What is free of an array: runs of indices, taken first fit, and joined with their neighbours when given back. */
#ifndef HOLDUP_COLLECT_EXTENTS_H
#define HOLDUP_COLLECT_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

struct extent {
	uint32_t first, cnt;
};

/* Zeroed: nothing is free. extents__free() ends it. */
struct extents {
	struct extent *gap; /* sorted by first */
	size_t cnt, cap;
};

/* cnt indices from *ret on; -ENOSPC: no run is long enough. */
int extents__take(struct extents *e, uint32_t cnt, uint32_t *ret);
/* One that can't be noted for lack of memory is lost until the end: harmless, and rare. */
void extents__give(struct extents *e, uint32_t first, uint32_t cnt);
void extents__free(struct extents *e);

#endif
