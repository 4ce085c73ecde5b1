// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULES_MAX   4096 /* of one process */
#define NEAR_MAX      16   /* mappings between a module's code and its data */
#define BSS_STEPS_MAX 64   /* adjacent mappings looked back through for a module with bss */
#define LOW_4G	      (1ull << 32)

/* What lies behind one mapping. Parallel to maps->map. */
struct region {
	struct symfile *file; /* NULL: none that we know of */
	bool bias_tried, bias_known;
	uint64_t bias;
};

/* proc(5), /proc/PID/stat: field 22; the second one is in parentheses and may hold anything. */
uint64_t process__start_time(pid_t tgid)
{
	char path[32], buf[1024], *p;
	uint64_t ret = 0;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tgid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	len = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[len] = '\0';
	p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (p)
		ret = strtoull(p, NULL, 10);
	return ret;
}

static char *read_exe(pid_t tgid)
{
	static const char deleted[] = " (deleted)";
	char link[32], path[PATH_MAX];
	ssize_t len, tail = sizeof(deleted) - 1;

	snprintf(link, sizeof(link), "/proc/%d/exe", tgid);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return strdup("");
	if (len > tail && memcmp(path + len - tail, deleted, tail) == 0)
		len -= tail;
	path[len] = '\0';
	return strdup(path);
}

/* One file of a process, for finding it again by what the maps say. */
struct known {
	uint32_t major, minor;
	uint64_t ino;
	struct symfile *file;
};

static int compare_known(const void *pa, const void *pb)
{
	const struct known *a = pa, *b = pb;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	return a->minor < b->minor ? -1 : a->minor > b->minor;
}

static struct known known_of(const struct mapping *map)
{
	return (struct known){ .major = map->major, .minor = map->minor, .ino = map->ino };
}

/* The file that the process had at this place before, if it is the same mapping. */
static struct symfile *file_before(const struct sym_process *p, const struct mapping *map)
{
	const struct mapping *old = p->maps ? maps__find(p->maps, map->start) : NULL;

	if (!old || old->ino != map->ino || old->major != map->major || old->minor != map->minor ||
	    old->off - old->start != map->off - map->start)
		return NULL;
	return p->region[old - p->maps->map].file;
}

/* Data mappings belong to the modules whose code is mapped, too. */
static void spread_files(const struct maps *maps, struct region *region, struct known *known,
			 size_t known_cnt)
{
	qsort(known, known_cnt, sizeof(*known), compare_known);
	for (size_t i = 0; i < maps->cnt; i++) {
		struct known want = known_of(&maps->map[i]), *found;

		if (!want.ino || region[i].file)
			continue;
		found = bsearch(&want, known, known_cnt, sizeof(*known), compare_known);
		if (found)
			region[i].file = found->file;
	}
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
	return a->ino == b->ino && a->major == b->major && a->minor == b->minor;
}

/* Finds or opens the files behind maps; fresh holds those that are mapped right now. */
static int open_files(struct symfile_set *files, const struct sym_process *p,
		      const struct maps *maps, const struct maps *fresh, struct region **ret)
{
	struct region *region = calloc(maps->cnt + 1, sizeof(*region));
	struct known *known = calloc(maps->cnt + 1, sizeof(*known));
	size_t known_cnt = 0;

	if (!region || !known) {
		free(region);
		free(known);
		return -ENOMEM;
	}
	for (size_t i = 0; i < maps->cnt; i++) {
		const struct mapping *map = &maps->map[i], *now = maps__find(fresh, map->start);

		if (!map->ino) {
			/* Of a 32-bit process it lies below 4 GiB, and is not like ours. */
			if (map->exec && map->start >= LOW_4G && strcmp(map->path, "[vdso]") == 0)
				region[i].file = symfile_set__vdso(files);
			continue;
		}
		region[i].file = file_before(p, map);
		if (!region[i].file && i && same_file(map, map - 1))
			region[i].file = region[i - 1].file;
		if (!region[i].file && map->exec && now && same_file(map, now) &&
		    known_cnt < MODULES_MAX)
			region[i].file = symfile_set__open(files, p->tgid, map);
		if (region[i].file && map->exec) {
			known[known_cnt] = known_of(map);
			known[known_cnt++].file = region[i].file;
		}
	}
	spread_files(maps, region, known, known_cnt);
	free(known);
	*ret = region;
	return 0;
}

static bool has_generated_code(const struct maps *maps)
{
	for (size_t i = 0; i < maps->cnt; i++)
		if (maps->map[i].exec && !maps->map[i].path[0])
			return true;
	return false;
}

/* Takes over maps, also when it fails; fresh is maps, or the part of it that is mapped now. */
static int set_maps(struct symfile_set *files, struct sym_process *p, struct maps *maps,
		    const struct maps *fresh)
{
	struct region *region;
	int err = open_files(files, p, maps, fresh, &region);

	if (err) {
		maps__free(maps);
		return err;
	}
	maps__free(p->maps);
	free(p->region);
	p->maps = maps;
	p->region = region;
	if (has_generated_code(maps))
		jit__open(&p->jit);
	return 0;
}

int process__new(struct symfile_set *files, struct jit_set *jits, pid_t tgid,
		 struct sym_process **ret)
{
	struct sym_process *p = calloc(1, sizeof(*p));
	struct maps *maps;
	int err;

	if (!p)
		return -ENOMEM;
	p->tgid = tgid;
	p->start_time = process__start_time(tgid);
	p->exe = read_exe(tgid);
	jit__init(&p->jit, jits, tgid, p->start_time);
	err = p->exe ? maps__read(tgid, &maps) : -ENOMEM;
	if (err && err != -ENOMEM) {
		p->unreadable = true;
		err = maps__parse("", 0, &maps);
	}
	if (!err)
		err = set_maps(files, p, maps, maps);
	if (err) {
		process__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void process__free(struct sym_process *p)
{
	if (!p)
		return;
	jit__free(&p->jit);
	maps__free(p->maps);
	free(p->region);
	free(p->exe);
	free(p);
}

int process__rescan(struct symfile_set *files, struct sym_process *p)
{
	struct maps *now, *merged;
	int err = maps__read(p->tgid, &now);

	if (err)
		return err;
	/* A process that exits has no mappings any more, a process with its ID has other ones. */
	if ((now->cnt == 0 && p->maps->cnt) ||
	    (p->start_time && process__start_time(p->tgid) != p->start_time)) {
		maps__free(now);
		return -ESRCH;
	}
	err = maps__merge(now, p->maps, &merged);
	if (!err)
		err = set_maps(files, p, merged, now);
	maps__free(now);
	return err;
}

const struct maps *sym_process__maps(const struct sym_process *p)
{
	return p->maps;
}

const char *sym_process__exe(const struct sym_process *p)
{
	return p->exe;
}

/* The bias of a data mapping is that of the code of the same file near it, see module__bias(). */
static bool bias_of_code(const struct sym_process *p, const struct module *m, size_t at,
			 bool forward, uint64_t *ret)
{
	const struct mapping *map = p->maps->map;

	for (size_t i = at, steps = 0; steps < NEAR_MAX; steps++) {
		uint64_t bias;

		if (forward ? ++i >= p->maps->cnt : i-- == 0)
			return false;
		if (p->region[i].file != p->region[at].file || !map[i].exec)
			continue;
		if (!module__bias(m, map[i].start, map[i].off, true, &bias) ||
		    !module__bias_fits(m, bias, map[at].start, map[at].off))
			continue;
		*ret = bias;
		return true;
	}
	return false;
}

static bool find_bias(const struct sym_process *p, const struct module *m,
		      const struct mapping *map, uint64_t *ret)
{
	size_t at = map - p->maps->map;

	/* Linkers put data after code, and read-only data and headers before it. */
	if (!map->exec && (bias_of_code(p, m, at, false, ret) || bias_of_code(p, m, at, true, ret)))
		return true;
	return module__bias(m, map->start, map->off, map->exec, ret);
}

/* The module whose file is mapped at map->start. */
static struct module *module_of(struct symfile_set *files, struct sym_process *p,
				const struct mapping *map, uint64_t *bias)
{
	struct region *r = &p->region[map - p->maps->map];
	struct module *m = r->file ? symfile__module(files, r->file) : NULL;

	if (!m)
		return NULL;
	if (!r->bias_tried) {
		r->bias_tried = true;
		r->bias_known = find_bias(p, m, map, &r->bias);
	}
	if (!r->bias_known)
		return NULL;
	*bias = r->bias;
	return m;
}

/*
 * Bss beyond the last page of the file is anonymous memory right behind the module's mappings. The
 * kernel may merge it with the heap behind it, so the name of the mapping says nothing.
 */
static struct module *module_with_bss(struct symfile_set *files, struct sym_process *p,
				      const struct mapping *map, uint64_t addr,
				      const struct mapping **ret_map, uint64_t *bias)
{
	const struct mapping *first = p->maps->map;
	struct module *m;
	uint64_t lo, hi;

	for (int i = 0; i < BSS_STEPS_MAX && map > first && map[-1].end == map->start; i++) {
		map--;
		if (!p->region[map - first].file)
			continue;
		m = module_of(files, p, map, bias);
		if (!m)
			return NULL;
		module__extent(m, &lo, &hi);
		if (addr - *bias < lo || addr - *bias >= hi)
			return NULL;
		*ret_map = map;
		return m;
	}
	return NULL;
}

struct module *process__module(struct symfile_set *files, struct sym_process *p, uint64_t addr,
			       const struct mapping **ret_map, uint64_t *bias)
{
	const struct mapping *map = maps__find(p->maps, addr);

	*ret_map = map;
	if (!map)
		return NULL;
	if (map->ino || p->region[map - p->maps->map].file)
		return module_of(files, p, map, bias);
	return module_with_bss(files, p, map, addr, ret_map, bias);
}
