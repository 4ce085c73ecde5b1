// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/pidns.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "user/collect/proc.h"

/* A number for the namespace; 0: not known. */
static uint64_t namespace_of(uint32_t tgid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/pid", tgid);
	return stat(path, &st) ? 0 : st.st_ino;
}

/* Each process, until fn does not return 0. */
static int each_process(int (*fn)(void *ctx, uint32_t tgid), void *ctx)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int ret = 0;

	while (dir && !ret && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			ret = fn(ctx, strtoul(entry->d_name, NULL, 10));
	if (dir)
		closedir(dir);
	return ret;
}

struct search {
	uint64_t ns;
	uint32_t inner, found;
	const struct mapping *file;
};

static int find_thread(void *ctx, uint32_t tgid)
{
	struct search *s = ctx;

	return namespace_of(tgid) == s->ns && !proc__by_inner_tid(tgid, s->inner, &s->found);
}

int pidns__thread(uint32_t tgid, uint32_t inner, uint32_t *ret_tid)
{
	struct search s = { .ns = namespace_of(tgid), .inner = inner };

	if (!s.ns || !each_process(find_thread, &s))
		return -ESRCH;
	*ret_tid = s.found;
	return 0;
}

bool pidns__is_in(const struct maps *maps, const struct mapping *file)
{
	for (size_t i = 0; i < maps->cnt; i++) {
		const struct mapping *m = &maps->map[i];

		if (m->shared && m->ino == file->ino && m->major == file->major &&
		    m->minor == file->minor)
			return true;
	}
	return false;
}

int pidns__maps(uint32_t tid, const struct mapping *file)
{
	struct maps *maps;
	int ret = maps__read(tid, &maps);

	if (ret)
		return ret;
	ret = pidns__is_in(maps, file);
	maps__free(maps);
	return ret;
}

static int find_elsewhere(void *ctx, uint32_t tgid)
{
	const struct search *s = ctx;
	uint64_t ns = namespace_of(tgid);

	return ns && ns != s->ns && pidns__maps(tgid, s->file) > 0;
}

bool pidns__maps_elsewhere(uint32_t tgid, const struct mapping *file)
{
	struct search s = { .ns = namespace_of(tgid), .file = file };

	return !s.ns || each_process(find_elsewhere, &s);
}
