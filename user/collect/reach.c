// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/reach.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXTRA_MAX 65536
#define FDS_MAX	  65536
#define PAGE_SZ	  4096
#define READ_SZ	  (1 << 20)

struct searching {
	pid_t tgid;
	const struct maps *maps;
	struct reach_thread *thread;
	size_t threads;
	struct reach_region *region;
	size_t regions;
	uint64_t *extra;
	size_t extras;
};

/* ---- pointers that the kernel keeps */

static void add_extra(struct searching *s, uint64_t pointer)
{
	if (s->extras < EXTRA_MAX)
		s->extra[s->extras++] = pointer;
}

/* "tfd: 5 events: 19 data: 7f0012345678 …" (fs/eventpoll.c, ep_show_fdinfo()) */
static void read_epoll(struct searching *s, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		const char *data = strncmp(line, "tfd:", 4) ? NULL : strstr(line, "data:");

		if (data)
			add_extra(s, strtoull(data + 5, NULL, 16));
	}
	if (file)
		fclose(file);
}

static int read_fds(struct searching *s)
{
	char path[64], link[64];
	struct dirent *entry;
	int err = 0, left = FDS_MAX;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", s->tgid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	while (!err && (entry = readdir(dir))) {
		ssize_t len;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (!left--)
			err = -E2BIG;
		len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		link[len > 0 ? len : 0] = '\0';
		if (!strcmp(link, "anon_inode:[io_uring]"))
			err = -EOPNOTSUPP;
		if (strcmp(link, "anon_inode:[eventpoll]"))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", s->tgid, atoi(entry->d_name));
		read_epoll(s, path);
	}
	closedir(dir);
	return err;
}

/* "signal: 60/00007fff86452a50" (proc(5), /proc/PID/timers): what the signal brings along */
static void read_timers(struct searching *s)
{
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/timers", s->tgid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		const char *value = strncmp(line, "signal:", 7) ? NULL : strchr(line, '/');

		if (value)
			add_extra(s, strtoull(value + 1, NULL, 16));
	}
	if (file)
		fclose(file);
}

/* ---- memory */

/* The thread whose stack this is; several may share a mapping, which is nobody's then: `threads`. */
static size_t stack_of(const struct searching *s, const struct mapping *map)
{
	size_t found = s->threads;

	for (size_t i = 0; i < s->threads; i++) {
		if (s->thread[i].sp < map->start || s->thread[i].sp >= map->end)
			continue;
		if (found < s->threads)
			return s->threads;
		found = i;
	}
	return found;
}

static bool has_stacks(const struct searching *s, const struct mapping *map)
{
	for (size_t i = 0; i < s->threads; i++)
		if (s->thread[i].sp >= map->start && s->thread[i].sp < map->end)
			return true;
	return false;
}

/* Anonymous and private: a heap, or something that is taken for one block. The rest is looked at as it is. */
static enum reach_use use_of(const struct searching *s, const struct mapping *map)
{
	if (stack_of(s, map) < s->threads)
		return REACH_STACK;
	if (has_stacks(s, map))
		return REACH_ROOT;
	if (!map->shared && !map->ino && (!*map->path || !strcmp(map->path, "[heap]")))
		return REACH_HEAP;
	return REACH_ROOT;
}

/* Bss follows its file's data without a name: it is the program's data. */
static bool is_bss(const struct searching *s, size_t i)
{
	const struct mapping *map = &s->maps->map[i], *before = i ? map - 1 : NULL;

	return before && !map->ino && !*map->path && before->end == map->start && before->ino &&
	       before->write;
}

/* What can't be read stays zero: guards, pages beyond a file's end. */
static void read_region(const struct searching *s, struct reach_region *r)
{
	uint64_t at = r->start;

	while (at < r->end) {
		size_t want = r->end - at < READ_SZ ? r->end - at : READ_SZ;
		struct iovec local = { r->bytes + (at - r->start), want };
		struct iovec remote = { (void *)(uintptr_t)at, want };
		ssize_t got = process_vm_readv(s->tgid, &local, 1, &remote, 1, 0);

		if (got < 0 && errno != EFAULT)
			return;
		at += got > 0 ? got : 0;
		if (got < (ssize_t)want)
			at = at / PAGE_SZ * PAGE_SZ + PAGE_SZ;
	}
}

static int read_regions(struct searching *s)
{
	uint64_t left = REACH_MAX;

	s->region = calloc(s->maps->cnt + 1, sizeof(*s->region));
	if (!s->region)
		return -ENOMEM;
	for (size_t i = 0; i < s->maps->cnt; i++) {
		const struct mapping *map = &s->maps->map[i];
		struct reach_region *r = &s->region[s->regions];

		if (!map->read || !map->write)
			continue;
		*r = (struct reach_region){ .start = map->start, .end = map->end };
		r->use = is_bss(s, i) ? REACH_ROOT : use_of(s, map);
		r->thread = stack_of(s, map);
		/* Of a stack only what is in use. */
		if (r->use == REACH_STACK)
			r->start = s->thread[r->thread].sp / PAGE_SZ * PAGE_SZ;
		if (r->end - r->start > left)
			return -E2BIG;
		left -= r->end - r->start;
		r->bytes = calloc(1, r->end - r->start);
		if (!r->bytes)
			return -ENOMEM;
		s->regions++;
		read_region(s, r);
	}
	return 0;
}

int reach__search(pid_t tgid, const struct maps *maps, struct reach_thread *threads, size_t cnt)
{
	struct searching s = { .tgid = tgid, .maps = maps, .thread = threads, .threads = cnt };
	int err = -ENOMEM;

	for (size_t i = 0; i < cnt; i++)
		threads[i].unreachable = false;
	s.extra = malloc(EXTRA_MAX * sizeof(*s.extra));
	if (s.extra)
		err = read_fds(&s);
	if (!err) {
		read_timers(&s);
		err = s.extras == EXTRA_MAX ? -E2BIG : read_regions(&s);
	}
	if (!err)
		err = reach__mark(s.region, s.regions, s.extra, s.extras, threads, cnt);
	for (size_t i = 0; i < s.regions; i++)
		free(s.region[i].bytes);
	free(s.region);
	free(s.extra);
	return err;
}
