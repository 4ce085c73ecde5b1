// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/symbolizer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/sym/intern.h"
#include "user/sym/lines.h"
#include "user/sym/symfile.h"

#define MODULES_MAX   4096	 /* of one process */
#define CACHE_MAX     (1u << 20) /* pcs; the cache starts anew beyond */
#define CACHE_MIN     1024	 /* slots */
#define NEAR_MAX      16	 /* mappings between a module's code and its data */
#define BSS_STEPS_MAX 64	 /* adjacent mappings looked back through for a module with bss */
#define WORKERS_MAX   32	 /* processes that read source lines at a time, see lines.h */
#define LOW_4G	      (1ull << 32)

/* What lies behind one mapping. Parallel to maps->map. */
struct region {
	struct symfile *file; /* NULL: none that we know of */
	bool bias_tried, bias_known;
	uint64_t bias;
};

struct sym_process {
	struct sym_process *next, **from; /* from: what points here */
	pid_t tgid;
	uint64_t start_time; /* clock ticks after boot; 0: unknown */
	uint64_t serial;     /* new with each scan: the cache's key */
	size_t cached;	     /* entries of the cache with this serial, or none any more */
	struct maps *maps;
	struct region *region;
	const char *exe;
};

struct cached {
	uint64_t serial; /* 0: free */
	uint64_t pc;
	const char *function, *raw, *module;
	uint64_t offset:63;
	uint64_t leaf:1;
};

struct symbolizer {
	struct intern *text;
	struct symfile_set *files;
	struct sym_process *processes;
	struct cached *cache;
	size_t cache_cnt, cache_mask;
	size_t cache_stale;			/* of cache_cnt: nobody asks for them again */
	struct module *with_lines[WORKERS_MAX]; /* the most recently asked first */
	uint64_t serial;
	uint64_t process_cnt, unreadable_cnt;
};

int symbolizer__new(struct symbolizer **ret)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->cache_mask = CACHE_MIN - 1;
	s->cache = calloc(s->cache_mask + 1, sizeof(*s->cache));
	if (!s->cache || intern__new(&s->text) || symfile_set__new(&s->files)) {
		symbolizer__free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void free_process(struct sym_process *p)
{
	maps__free(p->maps);
	free(p->region);
	free(p);
}

void symbolizer__free(struct symbolizer *s)
{
	struct sym_process *p, *next;

	if (!s)
		return;
	for (p = s->processes; p; p = next) {
		next = p->next;
		free_process(p);
	}
	symfile_set__free(s->files);
	intern__free(s->text);
	free(s->cache);
	free(s);
}

const char *symbolizer__intern(struct symbolizer *s, const char *text)
{
	return intern__add(s->text, text);
}

/* Out of memory must not become a NULL in a view. */
static const char *intern_or_empty(struct symbolizer *s, const char *text)
{
	const char *copy = text[0] ? intern__add(s->text, text) : "";

	return copy ? copy : "";
}

/* proc(5), /proc/PID/stat: field 22; the second one is in parentheses and may hold anything. */
static uint64_t read_start_time(pid_t tgid)
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

static const char *read_exe(struct symbolizer *s, pid_t tgid)
{
	static const char deleted[] = " (deleted)";
	char link[32], path[PATH_MAX];
	ssize_t len, tail = sizeof(deleted) - 1;

	snprintf(link, sizeof(link), "/proc/%d/exe", tgid);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return "";
	if (len > tail && memcmp(path + len - tail, deleted, tail) == 0)
		len -= tail;
	path[len] = '\0';
	return intern_or_empty(s, path);
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
static int open_files(struct symbolizer *s, const struct sym_process *p, const struct maps *maps,
		      const struct maps *fresh, struct region **ret)
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
				region[i].file = symfile_set__vdso(s->files);
			continue;
		}
		region[i].file = file_before(p, map);
		if (!region[i].file && i && same_file(map, map - 1))
			region[i].file = region[i - 1].file;
		if (!region[i].file && map->exec && now && same_file(map, now) &&
		    known_cnt < MODULES_MAX)
			region[i].file = symfile_set__open(s->files, p->tgid, map);
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

/* Takes over maps, also when it fails; fresh is maps, or the part of it that is mapped now. */
static int set_maps(struct symbolizer *s, struct sym_process *p, struct maps *maps,
		    const struct maps *fresh)
{
	struct region *region;
	int err = open_files(s, p, maps, fresh, &region);

	if (err) {
		maps__free(maps);
		return err;
	}
	maps__free(p->maps);
	free(p->region);
	p->maps = maps;
	p->region = region;
	p->serial = ++s->serial;
	s->cache_stale += p->cached;
	p->cached = 0;
	return 0;
}

int symbolizer__add_process(struct symbolizer *s, pid_t tgid, struct sym_process **ret)
{
	struct sym_process *p = calloc(1, sizeof(*p));
	struct maps *maps;
	int err;

	if (!p)
		return -ENOMEM;
	p->tgid = tgid;
	p->start_time = read_start_time(tgid);
	p->exe = read_exe(s, tgid);
	err = maps__read(tgid, &maps);
	if (err) {
		s->unreadable_cnt += err != -ENOMEM;
		err = err == -ENOMEM ? err : maps__parse("", 0, &maps);
	}
	if (!err)
		err = set_maps(s, p, maps, maps);
	if (err) {
		free_process(p);
		return err;
	}
	p->next = s->processes;
	p->from = &s->processes;
	if (p->next)
		p->next->from = &p->next;
	s->processes = p;
	s->process_cnt++;
	*ret = p;
	return 0;
}

int symbolizer__rescan(struct symbolizer *s, struct sym_process *p)
{
	struct maps *now, *merged;
	int err = maps__read(p->tgid, &now);

	if (err)
		return err;
	/* A process that exits has no mappings any more, a process with its ID has other ones. */
	if ((now->cnt == 0 && p->maps->cnt) ||
	    (p->start_time && read_start_time(p->tgid) != p->start_time)) {
		maps__free(now);
		return -ESRCH;
	}
	err = maps__merge(now, p->maps, &merged);
	if (!err)
		err = set_maps(s, p, merged, now);
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
static struct module *module_of(struct symbolizer *s, struct sym_process *p,
				const struct mapping *map, uint64_t *bias)
{
	struct region *r = &p->region[map - p->maps->map];
	struct module *m = r->file ? symfile__module(s->files, r->file) : NULL;

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
static struct module *module_with_bss(struct symbolizer *s, struct sym_process *p,
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
		m = module_of(s, p, map, bias);
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

/* *ret_map: the mapping that names the module. */
static struct module *find_module(struct symbolizer *s, struct sym_process *p, uint64_t addr,
				  const struct mapping **ret_map, uint64_t *bias)
{
	const struct mapping *map = maps__find(p->maps, addr);

	*ret_map = map;
	if (!map)
		return NULL;
	if (map->ino || p->region[map - p->maps->map].file)
		return module_of(s, p, map, bias);
	return module_with_bss(s, p, map, addr, ret_map, bias);
}

struct module *sym_process__module(struct symbolizer *s, struct sym_process *p, uint64_t addr,
				   uint64_t *bias)
{
	const struct mapping *map;
	struct module *m;
	uint64_t found;

	m = find_module(s, p, addr, &map, &found);
	if (m)
		*bias = found;
	return m;
}

/* The base name of a mapped file; "[vdso]"; "" for all that is no file. */
static const char *module_name(struct symbolizer *s, const struct mapping *map)
{
	const char *slash = strrchr(map->path, '/');

	if (map->path[0] == '/' && map->ino)
		return intern_or_empty(s, slash + 1);
	return strcmp(map->path, "[vdso]") == 0 ? "[vdso]" : "";
}

static void set_symbol(struct symbolizer *s, const char *name, const char **raw,
		       const char **readable)
{
	*raw = intern__add_symbol(s->text, name, readable);
	if (!*raw)
		*raw = *readable = "";
}

/* The frame of a pc without lines. */
static void resolve(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
		    struct sym_frame *ret)
{
	uint64_t addr = leaf ? pc : pc - 1, bias, lo, hi, start;
	const struct mapping *map;
	struct symbol sym;
	struct module *m = find_module(s, p, addr, &map, &bias);

	*ret = (struct sym_frame){
		.function = "", .raw = "", .module = "", .file = "", .offset = pc
	};
	if (!map)
		return;
	ret->module = module_name(s, map);
	if (!m) {
		if (ret->module[0])
			ret->offset = addr - map->start + map->off;
		return;
	}
	if (module__func(m, addr - bias, &sym)) {
		set_symbol(s, sym.name, &ret->raw, &ret->function);
		ret->offset = pc - bias - sym.addr;
		return;
	}
	module__extent(m, &lo, &hi);
	if (!module__fde_start(m, addr - bias, &start))
		start = addr - bias;
	ret->offset = start - lo;
}

/* Dead entries are not told from living ones, so all go when most are dead. */
static void shrink_cache(struct symbolizer *s)
{
	struct cached *fresh;

	if (s->cache_cnt < CACHE_MIN || s->cache_stale < s->cache_cnt / 2)
		return;
	fresh = calloc(CACHE_MIN, sizeof(*fresh));
	if (!fresh)
		return;
	free(s->cache);
	s->cache = fresh;
	s->cache_mask = CACHE_MIN - 1;
	s->cache_cnt = s->cache_stale = 0;
}

void symbolizer__drop_process(struct symbolizer *s, struct sym_process *p)
{
	*p->from = p->next;
	if (p->next)
		p->next->from = p->from;
	s->cache_stale += p->cached;
	free_process(p);
	shrink_cache(s);
}

static struct cached *cache_slot(const struct symbolizer *s, uint64_t serial, uint64_t pc,
				 bool leaf)
{
	uint64_t h = (pc * 2 + leaf) * 0x9e3779b97f4a7c15 ^ serial * 0xff51afd7ed558ccd;
	size_t at = (h ^ h >> 32) & s->cache_mask;

	while (s->cache[at].serial && (s->cache[at].serial != serial || s->cache[at].pc != pc ||
				       s->cache[at].leaf != leaf))
		at = (at + 1) & s->cache_mask;
	return &s->cache[at];
}

/* Twice the size; or, when it is too large already or there is no memory, the same but empty. */
static void grow_cache(struct symbolizer *s)
{
	size_t old_cnt = s->cache_mask + 1;
	struct cached *old = s->cache;
	struct cached *more = old_cnt < CACHE_MAX * 2 ? calloc(old_cnt * 2, sizeof(*more)) : NULL;

	if (!more) {
		memset(old, 0, old_cnt * sizeof(*old));
		s->cache_cnt = s->cache_stale = 0;
		return;
	}
	s->cache = more;
	s->cache_mask = old_cnt * 2 - 1;
	for (size_t i = 0; i < old_cnt; i++)
		if (old[i].serial)
			*cache_slot(s, old[i].serial, old[i].pc, old[i].leaf) = old[i];
	free(old);
}

static void resolve_cached(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
			   struct sym_frame *ret)
{
	struct cached *c = cache_slot(s, p->serial, pc, leaf);

	if (!c->serial) {
		resolve(s, p, pc, leaf, ret);
		if (ret->offset >> 63)
			return; /* a pc in the upper half is nobody's code */
		if ((s->cache_cnt + 1) * 2 > s->cache_mask)
			grow_cache(s);
		c = cache_slot(s, p->serial, pc, leaf);
		*c = (struct cached){ p->serial,   pc,		ret->function, ret->raw,
				      ret->module, ret->offset, leaf };
		s->cache_cnt++;
		p->cached++;
		return;
	}
	*ret = (struct sym_frame){ .function = c->function,
				   .raw = c->raw,
				   .module = c->module,
				   .file = "",
				   .offset = c->offset };
}

static size_t ask_lines(struct symbolizer *s, struct module *m, uint64_t vaddr,
			struct source_frame *ret, size_t cap)
{
	size_t i = 0;

	while (i < WORKERS_MAX - 1 && s->with_lines[i] && s->with_lines[i] != m)
		i++;
	if (s->with_lines[i] && s->with_lines[i] != m)
		module__end_lines(s->with_lines[i]);
	memmove(s->with_lines + 1, s->with_lines, i * sizeof(s->with_lines[0]));
	s->with_lines[0] = m;
	return module__inlined(m, vaddr, ret, cap);
}

size_t symbolizer__frames(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
			  bool with_lines, struct sym_frame *ret, size_t cap)
{
	struct source_frame src[LINES_FRAMES_MAX];
	uint64_t addr = leaf ? pc : pc - 1, bias;
	struct sym_frame plain;
	struct module *m;
	size_t cnt = 0, skip;

	if (cap == 0)
		return 0;
	resolve_cached(s, p, pc, leaf, &plain);
	m = with_lines ? sym_process__module(s, p, addr, &bias) : NULL;
	if (m)
		cnt = ask_lines(s, m, addr - bias, src, LINES_FRAMES_MAX);
	if (cnt == 0) {
		ret[0] = plain;
		return 1;
	}
	skip = cnt > cap ? cnt - cap : 0;
	for (size_t i = skip; i < cnt; i++) {
		struct sym_frame *f = &ret[i - skip];

		*f = plain;
		f->file = intern_or_empty(s, src[i].file);
		f->line = src[i].line;
		f->inlined = i + 1 < cnt;
		/* The symbol table is what an unnamed function's offset is about, so it goes first.
		 */
		if (f->inlined)
			set_symbol(s, src[i].function, &f->raw, &f->function);
	}
	return cnt - skip;
}

void symbolizer__object(struct symbolizer *s, struct sym_process *p, uint64_t addr,
			struct sym_object *ret)
{
	const struct mapping *map, *at = maps__find(p->maps, addr);
	uint64_t bias, lo, hi;
	struct symbol sym;
	struct module *m = find_module(s, p, addr, &map, &bias);

	*ret = (struct sym_object){ .name = "", .module = "", .writable = at && at->write };
	if (!map)
		return;
	if (map->ino || m)
		ret->module = module_name(s, map);
	if (!m) {
		if (ret->module[0])
			ret->offset = addr - map->start + map->off;
		return;
	}
	if (module__object(m, addr - bias, &sym)) {
		const char *raw;

		set_symbol(s, sym.name, &raw, &ret->name);
		ret->offset = addr - bias - sym.addr;
		return;
	}
	module__extent(m, &lo, &hi);
	ret->offset = addr - bias - lo;
}

void symbolizer__stats(const struct symbolizer *s, struct sym_stats *ret)
{
	*ret = (struct sym_stats){ .processes = s->process_cnt, .unreadable = s->unreadable_cnt };
	symfile_set__counts(s->files, &ret->modules, &ret->modules_bad);
}
