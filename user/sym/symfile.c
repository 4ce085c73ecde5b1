// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/symfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/sym/safe_open.h"

#define FILES_MAX    65536
#define VDSO_SZ_MAX  (1u << 20)
#define NAMES_MAX    (1ull << 30) /* bytes of all symbol tables; a big service has a tenth */
#define FDS_PER_FILE 4 /* itself, its debug file, the worker for its lines, one in passing */

struct key {
	uint32_t major, minor;
	uint64_t ino, sz;
	int64_t mtime_sec, mtime_nsec;
};

struct symfile {
	struct key key;
	int fd; /* -1: parsed */
	struct module *module;
	bool parsed;
	char root[32]; /* of the process that it was first seen in */
	char *path;    /* there */
};

struct symfile_set {
	struct symfile **file; /* in the order of opening */
	size_t cnt, cap;
	size_t settled;	 /* of file[], these hold no descriptors any more */
	size_t open_max; /* how many may */
	uint32_t *index; /* open addressing: position in file[] + 1, or 0 */
	size_t mask;
	struct symfile vdso;
	bool vdso_tried;
	uint64_t names_left;	    /* of NAMES_MAX */
	struct debuginfod *servers; /* NULL: none */
	uint64_t good, bad;
};

int symfile_set__new(struct symfile_set **ret)
{
	struct symfile_set *set = calloc(1, sizeof(*set));
	struct rlimit lim = { 1024, 1024 };

	if (!set)
		return -ENOMEM;
	getrlimit(RLIMIT_NOFILE, &lim);
	/* Half of all, and not thousands even where they are free. */
	set->open_max = lim.rlim_cur / 2 / FDS_PER_FILE;
	if (set->open_max > 1024)
		set->open_max = 1024;
	if (set->open_max < 4)
		set->open_max = 4;
	set->mask = 255;
	set->names_left = NAMES_MAX;
	set->index = calloc(set->mask + 1, sizeof(*set->index));
	if (!set->index) {
		free(set);
		return -ENOMEM;
	}
	*ret = set;
	return 0;
}

void symfile_set__use_debuginfod(struct symfile_set *set, struct debuginfod *d)
{
	set->servers = d;
}

static void free_file(struct symfile *f)
{
	module__free(f->module);
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f);
}

void symfile_set__free(struct symfile_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->cnt; i++)
		free_file(set->file[i]);
	module__free(set->vdso.module);
	free(set->file);
	free(set->index);
	free(set);
}

static struct key key_of(const struct mapping *map, const struct stat *st)
{
	return (struct key){
		.major = map->major,
		.minor = map->minor,
		.ino = map->ino,
		.sz = st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = st->st_mtim.tv_nsec,
	};
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

static uint64_t hash_key(const struct key *k)
{
	uint64_t h = mix(k->major, k->minor);

	h = mix(mix(h, k->ino), k->sz);
	return mix(mix(h, k->mtime_sec), k->mtime_nsec);
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->major == b->major && a->minor == b->minor && a->ino == b->ino && a->sz == b->sz &&
	       a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec;
}

/* The slot of key: its file's, or the free one where it belongs. */
static uint32_t *find_slot(const struct symfile_set *set, const struct key *key)
{
	size_t at = hash_key(key) & set->mask;

	while (set->index[at] && !same_key(&set->file[set->index[at] - 1]->key, key))
		at = (at + 1) & set->mask;
	return &set->index[at];
}

static bool make_room(struct symfile_set *set)
{
	struct symfile **file;
	uint32_t *index;

	if (set->cnt == FILES_MAX)
		return false;
	if (set->cnt == set->cap) {
		file = reallocarray(set->file, set->cap ? set->cap * 2 : 64, sizeof(*file));
		if (!file)
			return false;
		set->file = file;
		set->cap = set->cap ? set->cap * 2 : 64;
	}
	if ((set->cnt + 1) * 2 <= set->mask)
		return true;
	index = calloc((set->mask + 1) * 2, sizeof(*index));
	if (!index)
		return false;
	free(set->index);
	set->index = index;
	set->mask = set->mask * 2 + 1;
	for (size_t i = 0; i < set->cnt; i++)
		*find_slot(set, &set->file[i]->key) = i + 1;
	return true;
}

/*
 * /proc/TGID/map_files needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and reaches every file. The
 * path within the process's root may have become another file's, hence the check of the inode; the
 * device is not compared, see symfile.h.
 */
int symfile__open_mapped(pid_t tgid, const struct mapping *map, const char *root)
{
	struct stat st;
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", tgid,
		 (unsigned long long)map->start, (unsigned long long)map->end);
	fd = safe_open__regular("", path, false);
	if (fd >= 0 || map->deleted || map->path[0] != '/')
		return fd;
	fd = safe_open__regular(root, map->path, false);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != map->ino) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* A cheap look whether the file is known already: no descriptor, no parsing. */
static struct symfile *find_known(const struct symfile_set *set, pid_t tgid,
				  const struct mapping *map)
{
	struct stat st;
	struct key key;
	char path[80];
	uint32_t slot;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", tgid,
		 (unsigned long long)map->start, (unsigned long long)map->end);
	if (stat(path, &st) < 0)
		return NULL;
	key = key_of(map, &st);
	slot = *find_slot(set, &key);
	return slot ? set->file[slot - 1] : NULL;
}

/* Parses the oldest files until few enough are open. */
static void bound_descriptors(struct symfile_set *set)
{
	while (set->cnt - set->settled > set->open_max) {
		struct module *m = symfile__module(set, set->file[set->settled]);

		if (m)
			module__settle(m);
		set->settled++;
	}
}

static struct symfile *new_file(const struct key *key, const struct mapping *map, const char *root)
{
	struct symfile *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->key = *key;
	f->fd = -1;
	f->path = strdup(map->path);
	if (!f->path) {
		free(f);
		return NULL;
	}
	snprintf(f->root, sizeof(f->root), "%s", root);
	return f;
}

struct symfile *symfile_set__open(struct symfile_set *set, pid_t tgid, const struct mapping *map)
{
	struct symfile *f = find_known(set, tgid, map);
	struct stat st;
	struct key key;
	char root[32];
	int fd;

	if (f)
		return f;
	snprintf(root, sizeof(root), "/proc/%d/root", tgid);
	fd = symfile__open_mapped(tgid, map, root);
	if (fd < 0 || fstat(fd, &st) < 0)
		goto bad;
	key = key_of(map, &st);
	if (*find_slot(set, &key)) {
		close(fd);
		return set->file[*find_slot(set, &key) - 1];
	}
	f = make_room(set) ? new_file(&key, map, root) : NULL;
	if (!f)
		goto bad;
	f->fd = fd;
	*find_slot(set, &key) = set->cnt + 1;
	set->file[set->cnt++] = f;
	bound_descriptors(set);
	return f;
bad:
	if (fd >= 0)
		close(fd);
	set->bad++;
	return NULL;
}

struct module *symfile__module(struct symfile_set *set, struct symfile *f)
{
	if (f->parsed)
		return f->module;
	f->parsed = true;
	if (f->fd >= 0 && module__open(f->fd, f->path, f->root, &f->module) == 0) {
		module__use_budget(f->module, &set->names_left);
		module__use_debuginfod(f->module, set->servers);
		set->good++;
	} else {
		set->bad++;
	}
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	return f->module;
}

static size_t vdso_size(uint64_t addr)
{
	const struct mapping *map;
	struct maps *maps;
	size_t sz = 0;

	if (maps__read(getpid(), &maps))
		return 0;
	map = maps__find(maps, addr);
	if (map && map->start == addr && map->read && map->end - map->start <= VDSO_SZ_MAX)
		sz = map->end - map->start;
	maps__free(maps);
	return sz;
}

struct symfile *symfile_set__vdso(struct symfile_set *set)
{
	uint64_t addr = getauxval(AT_SYSINFO_EHDR);
	size_t sz;

	if (!set->vdso_tried) {
		set->vdso_tried = true;
		set->vdso.parsed = true;
		set->vdso.fd = -1;
		sz = addr ? vdso_size(addr) : 0;
		if (sz && module__open_memory((const void *)(uintptr_t)addr, sz, "[vdso]",
					      &set->vdso.module) == 0)
			set->good++;
	}
	return set->vdso.module ? &set->vdso : NULL;
}

void symfile_set__counts(const struct symfile_set *set, uint64_t *ret_good, uint64_t *ret_bad)
{
	*ret_good = set->good;
	*ret_bad = set->bad;
}
