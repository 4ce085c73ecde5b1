/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a walk up a stack (bpf/unwind.h) looks up: words of the stack, the mapping of a pc, and its row.
 */
#ifndef HOLDUP_BPF_UNWIND_FIND_H
#define HOLDUP_BPF_UNWIND_FIND_H

#include "bpf/maps.h"
#include "bpf/memo.h"
#include "bpf/stack.h"

#define MAP_SEARCH_STEPS 9  /* 2^8 = HU_MAX_MAPS, and one */
#define ROW_SEARCH_STEPS 25 /* up to 2^24 rows in one module */

/*
 * What a walk is about. The state itself is in the scratch memory (struct unwind_state): on the stack the
 * verifier would follow every combination of its flags around the loop.
 */
struct unwinder {
	struct stack_scratch *scratch;
	const struct hu_proc_maps *maps;
	struct stack_memo *memo; /* what this walk is noted in, or compared with; NULL: nothing */
	__u64 hash;		 /* while comparing */
};

static __always_inline long read_word(struct unwinder *u, __u64 addr, __u64 *ret)
{
	struct stack_scratch *s = u->scratch;
	__u64 off = addr - s->window_addr;

	if (off > HU_WINDOW_SZ - 8) {
		if (bpf_probe_read_user(s->window, HU_WINDOW_SZ, (void *)addr)) {
			/* The window would cross the end of the stack. */
			s->window_addr = HU_NO_WINDOW;
			return bpf_probe_read_user(ret, 8, (void *)addr);
		}
		s->window_addr = addr;
		off = 0;
	}
	if (off & 7)
		return bpf_probe_read_user(ret, 8, (void *)addr);
	off &= HU_WINDOW_SZ - 8; /* for the verifier */
	*ret = *(__u64 *)(s->window + off);
	return 0;
}

/*
 * Both searches keep their bounds in the scratch memory, whose contents the verifier does not follow: with
 * bounds in registers it would look at every way through the search, which grows past its limit.
 */
static __always_inline const struct hu_map_entry *find_map(const struct unwinder *u, __u64 pc)
{
	const struct hu_proc_maps *maps = u->maps;
	volatile __u32 *lo = &u->scratch->lo, *hi = &u->scratch->hi;
	__u32 n;

	*lo = 0;
	*hi = maps->cnt;
	for (int i = 0; i < MAP_SEARCH_STEPS; i++) {
		__u32 from = *lo, to = *hi, mid = (from + to) >> 1;

		if (from >= to || mid >= HU_MAX_MAPS)
			break;
		if (maps->map[mid].start <= pc)
			*lo = mid + 1;
		else
			*hi = mid;
	}
	n = *lo - 1;
	if (n >= HU_MAX_MAPS || pc >= maps->map[n].end)
		return NULL;
	return &maps->map[n];
}

/* The last of the mapping's rows at or below pc; NULL: none. */
static __always_inline const struct hu_row *find_row(const struct unwinder *u,
						     const struct hu_map_entry *map, __u64 pc)
{
	volatile __u32 *lo = &u->scratch->lo, *hi = &u->scratch->hi;
	__u32 first = map->row0, rel = pc - map->bias, n;

	*lo = first;
	*hi = first + map->rows;
	for (int i = 0; i < ROW_SEARCH_STEPS; i++) {
		__u32 from = *lo, to = *hi, mid = (from + to) >> 1;
		const struct hu_row *row;

		if (from >= to)
			break;
		row = bpf_map_lookup_elem(&hu_rows, &mid);
		if (!row)
			break;
		if (row->pc <= rel)
			*lo = mid + 1;
		else
			*hi = mid;
	}
	n = *lo;
	if (n == first)
		return NULL;
	n--;
	return bpf_map_lookup_elem(&hu_rows, &n);
}

#endif
