// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/util/patience.h"

#define PIECE_SZ      (1u << 20)
#define PAGES_AT_ONCE 4096
#define PRESENT	      (3ULL << 62) /* or swapped: Documentation/admin-guide/mm/pagemap.rst */

struct copying {
	pid_t tgid;
	int pagemap;
	uint64_t page;
	size_t left; /* bytes that may yet be copied */
	struct go_copy *copy;
	size_t cnt, cap;
};

static int copy_piece(struct copying *c, uint64_t addr, size_t sz)
{
	struct go_memory m = go_memory__of(&c->tgid);
	struct go_copy *more;
	uint8_t *bytes;
	int err;

	if (sz > c->left)
		return -E2BIG;
	if (c->cnt == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		more = reallocarray(c->copy, c->cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->copy = more;
	}
	bytes = malloc(sz);
	if (!bytes)
		return -ENOMEM;
	err = go_memory__read(&m, addr, bytes, sz);
	if (err) {
		free(bytes);
		return err == -EFAULT ? 0 : err; /* it has just been given back */
	}
	c->left -= sz;
	c->copy[c->cnt++] = (struct go_copy){ addr, sz, bytes };
	return 0;
}

/* A run of pages that are there. */
static int copy_run(struct copying *c, uint64_t from, uint64_t to)
{
	int err = 0;

	for (; from < to && !err; from += PIECE_SZ)
		err = copy_piece(c, from, to - from < PIECE_SZ ? to - from : PIECE_SZ);
	return err;
}

/* from, to: of whole pages */
static int copy_resident(struct copying *c, uint64_t from, uint64_t to)
{
	uint64_t entry[PAGES_AT_ONCE], run = 0;
	int err = 0;

	for (uint64_t at = from; at < to && !err;) {
		size_t want = (to - at) / c->page;
		ssize_t got;

		if (want > PAGES_AT_ONCE)
			want = PAGES_AT_ONCE;
		err = patience__begin_short(c->tgid);
		if (err)
			return err;
		got = pread(c->pagemap, entry, want * sizeof(entry[0]),
			    at / c->page * sizeof(entry[0]));
		patience__end();
		if (got < (ssize_t)sizeof(entry[0]))
			return got < 0 ? -errno : 0;
		for (size_t i = 0; i < got / sizeof(entry[0]) && !err; i++, at += c->page) {
			bool there = entry[i] & PRESENT;

			if (there && !run)
				run = at;
			if (!there && run) {
				err = copy_run(c, run, at);
				run = 0;
			}
		}
	}
	return !err && run ? copy_run(c, run, to) : err;
}

/* Both are sorted; *i: the first range that ends after the mapping's start. */
static int copy_mapping(struct copying *c, const struct mapping *map, const struct go_range *range,
			size_t ranges, size_t *i)
{
	uint64_t done = map->start;
	int err = 0;

	while (*i < ranges && range[*i].to <= map->start)
		(*i)++;
	for (size_t k = *i; k < ranges && range[k].from < map->end && !err; k++) {
		uint64_t from = range[k].from & ~(c->page - 1);
		uint64_t to = (range[k].to + c->page - 1) & ~(c->page - 1);

		if (from < done)
			from = done; /* the page has the end of the range before */
		if (to > map->end)
			to = map->end;
		if (from < to)
			err = copy_resident(c, from, to);
		if (to > done)
			done = to;
	}
	return err;
}

int resident__copy(pid_t tgid, const struct maps *maps, const struct go_range *range, size_t ranges,
		   size_t max, struct go_copy **ret, size_t *ret_cnt)
{
	struct copying c = { .tgid = tgid, .page = sysconf(_SC_PAGESIZE), .left = max };
	size_t range_at = 0;
	char path[64];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", tgid);
	c.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (c.pagemap < 0)
		return -errno;
	for (size_t i = 0; i < maps->cnt && !err; i++)
		if (maps->map[i].read && maps->map[i].write && !maps->map[i].shared)
			err = copy_mapping(&c, &maps->map[i], range, ranges, &range_at);
	close(c.pagemap);
	if (err) {
		resident__free(c.copy, c.cnt);
		return err;
	}
	*ret = c.copy;
	*ret_cnt = c.cnt;
	return 0;
}

void resident__free(struct go_copy *copy, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		free((void *)copy[i].bytes);
	free(copy);
}
