// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/symbolizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/sym/debuginfod.h"
#include "user/sym/frame_cache.h"
#include "user/sym/intern.h"
#include "user/sym/lines.h"
#include "user/sym/process.h"
#include "user/sym/symfile.h"
#include "user/util/clock.h"

#define STALE_MIN   1024 /* answers, below which none are forgotten */
#define WORKERS_MAX 32	 /* processes that read source lines at a time, see lines.h */
/*
 * Answers about source lines that take longer than SLOW_NS may take SLOW_MAX_NS together: files made
 * to be slow must not keep a report from being printed, however many there are.
 */
#define SLOW_NS	    1000000000ull
#define SLOW_MAX_NS 60000000000ull

struct symbolizer {
	struct intern *text;
	struct symfile_set *files;
	struct jit_set jits;
	struct debuginfod *servers; /* NULL: not to be asked */
	struct sym_process *processes;
	struct frame_cache *cache;
	size_t stale;				/* answers in it that nobody asks for again */
	struct module *with_lines[WORKERS_MAX]; /* the most recently asked first */
	uint64_t slow_ns;
	uint64_t serial;
	uint64_t process_cnt, unreadable_cnt;
};

int symbolizer__new(struct symbolizer **ret)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (frame_cache__new(&s->cache) || intern__new(&s->text) || symfile_set__new(&s->files)) {
		symbolizer__free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void symbolizer__free(struct symbolizer *s)
{
	struct sym_process *p, *next;

	if (!s)
		return;
	for (p = s->processes; p; p = next) {
		next = p->next;
		process__free(p);
	}
	symfile_set__free(s->files);
	debuginfod__free(s->servers);
	intern__free(s->text);
	frame_cache__free(s->cache);
	free(s);
}

int symbolizer__use_debuginfod(struct symbolizer *s)
{
	int err = s->servers ? 0 : debuginfod__new(&s->servers);

	if (!err)
		symfile_set__use_debuginfod(s->files, s->servers);
	return err;
}

const char *symbolizer__intern(struct symbolizer *s, const char *text)
{
	return intern__add(s->text, text);
}

const char *symbolizer__object_name(struct symbolizer *s, const struct sym_object *object)
{
	const char *name;
	char text[512];

	if (!*object->name)
		return "";
	snprintf(text, sizeof(text), object->offset ? "%s+0x%llx" : "%s", object->name,
		 (unsigned long long)object->offset);
	name = symbolizer__intern(s, text);
	return name ? name : "";
}

/* Out of memory must not become a NULL in a view. */
static const char *intern_or_empty(struct symbolizer *s, const char *text)
{
	const char *copy = text[0] ? intern__add(s->text, text) : "";

	return copy ? copy : "";
}

int symbolizer__add_process(struct symbolizer *s, pid_t tgid, struct sym_process **ret)
{
	struct sym_process *p;
	int err = process__new(s->files, &s->jits, tgid, &p);

	if (err)
		return err;
	p->serial = ++s->serial;
	p->next = s->processes;
	p->from = &s->processes;
	if (p->next)
		p->next->from = &p->next;
	s->processes = p;
	s->process_cnt++;
	s->unreadable_cnt += p->unreadable;
	*ret = p;
	return 0;
}

/* What was answered before may be wrong now. */
static void renew(struct symbolizer *s, struct sym_process *p)
{
	s->stale += p->cached;
	p->cached = 0;
	p->serial = ++s->serial;
}

int symbolizer__rescan(struct symbolizer *s, struct sym_process *p)
{
	int err = process__rescan(s->files, p);

	if (!err)
		renew(s, p);
	return err;
}

void symbolizer__drop_process(struct symbolizer *s, struct sym_process *p)
{
	*p->from = p->next;
	if (p->next)
		p->next->from = p->from;
	s->stale += p->cached;
	process__free(p);
	/* Stale answers are not told from others, so all go when most are stale. */
	if (frame_cache__count(s->cache) >= STALE_MIN &&
	    s->stale >= frame_cache__count(s->cache) / 2) {
		frame_cache__clear(s->cache);
		s->stale = 0;
	}
}

struct module *sym_process__module(struct symbolizer *s, struct sym_process *p, uint64_t addr,
				   uint64_t *bias)
{
	const struct mapping *map;
	struct module *m;
	uint64_t found;

	m = process__module(s->files, p, addr, &map, &found);
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

/* Code in no ELF file: generated, if it is neither the kernel's ("[vdso]", "[vsyscall]") nor data. */
static bool resolve_generated(struct symbolizer *s, struct sym_process *p,
			      const struct mapping *map, uint64_t pc, uint64_t addr,
			      struct sym_frame *ret)
{
	struct symbol sym;
	bool found, renewed;

	if (!map->exec || map->path[0] == '[')
		return false;
	found = jit__find(&p->jit, addr, &sym, &renewed);
	if (renewed)
		renew(s, p);
	if (!found)
		return false;
	ret->raw = ret->function = intern_or_empty(s, sym.name);
	ret->module = "[jit]";
	ret->offset = pc - sym.addr;
	return true;
}

/* The frame of a pc without lines; true if it will not change with time. */
static bool resolve(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
		    struct sym_frame *ret)
{
	uint64_t addr = leaf ? pc : pc - 1, bias, lo, hi, start;
	const struct mapping *map;
	struct symbol sym;
	struct module *m = process__module(s->files, p, addr, &map, &bias);

	*ret = (struct sym_frame){
		.function = "", .raw = "", .module = "", .file = "", .offset = pc
	};
	if (!map)
		return true;
	ret->module = module_name(s, map);
	if (!m) {
		if (ret->module[0])
			ret->offset = addr - map->start + map->off;
		return resolve_generated(s, p, map, pc, addr, ret) || !map->exec;
	}
	if (module__func(m, addr - bias, &sym)) {
		set_symbol(s, sym.name, &ret->raw, &ret->function);
		ret->offset = pc - bias - sym.addr;
		return true;
	}
	module__extent(m, &lo, &hi);
	if (!module__fde_start(m, addr - bias, &start))
		start = addr - bias;
	ret->offset = start - lo;
	return true;
}

static void resolve_cached(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
			   struct sym_frame *ret)
{
	struct frame_key key = { p->serial, pc, leaf };

	if (frame_cache__get(s->cache, key, ret))
		return;
	if (!resolve(s, p, pc, leaf, ret))
		return;
	key.serial = p->serial; /* another one where the process's names were renewed */
	frame_cache__put(s->cache, key, ret);
	p->cached++;
}

static size_t ask_lines(struct symbolizer *s, struct module *m, uint64_t vaddr,
			struct source_frame *ret, size_t cap)
{
	uint64_t start = clock__now_ns(), took;
	size_t i = 0, cnt;

	if (s->slow_ns > SLOW_MAX_NS)
		return 0;
	while (i < WORKERS_MAX - 1 && s->with_lines[i] && s->with_lines[i] != m)
		i++;
	if (s->with_lines[i] && s->with_lines[i] != m)
		module__end_lines(s->with_lines[i]);
	memmove(s->with_lines + 1, s->with_lines, i * sizeof(s->with_lines[0]));
	s->with_lines[0] = m;
	cnt = module__inlined(m, vaddr, ret, cap);
	took = clock__now_ns() - start;
	s->slow_ns += took > SLOW_NS ? took - SLOW_NS : 0;
	return cnt;
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
	struct module *m = process__module(s->files, p, addr, &map, &bias);

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
