// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/sym/debugfile.h"
#include "user/sym/debuginfod.h"
#include "user/sym/elf_file.h"
#include "user/sym/fde.h"
#include "user/sym/intern.h"
#include "user/sym/lines.h"
#include "user/sym/symtab.h"
#include "user/unwind/cfi.h"

struct module {
	struct elf_file *file;
	struct elf_file *debug; /* NULL: none was found, or not looked for yet */
	bool debug_tried;
	uint64_t *budget;	    /* NULL: none */
	struct debuginfod *servers; /* NULL: none are to be asked */
	char *path, *root;
	uint64_t lo, hi;

	struct symtab *symtab;
	bool loaded, has_symtab;

	struct fde_list fdes;
	bool fdes_read;
	struct cfi_func *derived; /* functions without CFI, once the rows were made */
	size_t derived_cnt;

	struct lines *lines;
	struct intern *text; /* what lines answered */
	bool lines_tried;
};

static void find_extent(struct module *m)
{
	m->lo = UINT64_MAX;
	for (size_t i = 0; i < m->file->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &m->file->phdr[i];

		if (ph->p_type != PT_LOAD || ph->p_memsz > UINT64_MAX - ph->p_vaddr)
			continue;
		if (ph->p_vaddr < m->lo)
			m->lo = ph->p_vaddr;
		if (ph->p_vaddr + ph->p_memsz > m->hi)
			m->hi = ph->p_vaddr + ph->p_memsz;
	}
	if (m->lo > m->hi)
		m->lo = m->hi = 0;
}

/* Takes over file, even when it fails. */
static int new_module(struct elf_file *file, const char *path, const char *root,
		      struct module **ret)
{
	struct module *m = calloc(1, sizeof(*m));

	if (!m) {
		elf_file__close(file);
		return -ENOMEM;
	}
	m->file = file;
	m->path = strdup(path);
	m->root = strdup(root);
	if (!m->path || !m->root) {
		module__free(m);
		return -ENOMEM;
	}
	find_extent(m);
	*ret = m;
	return 0;
}

int module__open(int fd, const char *path, const char *debug_root, struct module **ret)
{
	struct elf_file *file;
	int err = elf_file__open(fd, &file);

	return err ? err : new_module(file, path, debug_root, ret);
}

int module__open_memory(const void *image, size_t sz, const char *path, struct module **ret)
{
	struct elf_file *file;
	int err = elf_file__open_memory(image, sz, &file);

	return err ? err : new_module(file, path, "", ret);
}

void module__free(struct module *m)
{
	if (!m)
		return;
	lines__stop(m->lines);
	intern__free(m->text);
	symtab__free(m->symtab);
	free(m->fdes.range);
	free(m->derived);
	elf_file__close(m->debug);
	elf_file__close(m->file);
	free(m->path);
	free(m->root);
	free(m);
}

static bool has_dwarf(const struct elf_file *f)
{
	const Elf64_Shdr *sh = f ? elf_file__section(f, ".debug_info") : NULL;

	if (f && !sh)
		sh = elf_file__section(
			f, ".zdebug_info"); /* binutils before 2.26, still read by libdw */
	return sh && sh->sh_type != SHT_NOBITS && f->fd >= 0;
}

static void find_debug(struct module *m)
{
	struct debug_search where = { m->path, m->root };

	if (m->debug_tried)
		return;
	m->debug_tried = true;
	debugfile__find(m->file, &where, &m->debug);
}

static void fetch_debug(struct module *m)
{
	int fd;

	if (m->debug || !m->servers || !m->file->build_id[0])
		return;
	fd = debuginfod__fetch(m->servers, m->file->build_id);
	if (fd < 0)
		return;
	debugfile__accept(m->file, fd, &m->debug);
	close(fd);
}

/*
 * A stripped file is completed from wherever there is more. .dynsym is always added: its names and
 * versions are those that other modules bind to. Whatever fails leaves fewer names.
 */
static void load(struct module *m)
{
	struct elf_file *mini;

	if (m->loaded)
		return;
	m->loaded = true;
	if (symtab__new(m->budget, &m->symtab))
		return;
	m->has_symtab = symtab__add(m->symtab, m->file, SHT_SYMTAB) == 0;
	if (!m->has_symtab || !has_dwarf(m->file)) {
		find_debug(m);
		fetch_debug(m);
		if (m->debug && !m->has_symtab)
			m->has_symtab = symtab__add(m->symtab, m->debug, SHT_SYMTAB) == 0;
	}
	if (!m->has_symtab && debugfile__unpack_mini(m->file, &mini) == 0) {
		symtab__add(m->symtab, mini, SHT_SYMTAB);
		elf_file__close(mini);
	}
	symtab__add(m->symtab, m->file, SHT_DYNSYM);
	if (symtab__finish(m->symtab))
		m->has_symtab = false;
	if (m->debug && !has_dwarf(m->debug) && !elf_file__section(m->debug, ".debug_frame"))
		elf_file__close_fd(m->debug);
}

static void read_fdes(struct module *m)
{
	uint64_t sz;

	if (m->fdes_read)
		return;
	m->fdes_read = true;
	fde__read(m->file, m->lo, m->hi, &m->fdes);
	sz = m->fdes.cnt * sizeof(*m->fdes.range);
	if (m->budget && sz > *m->budget) {
		free(m->fdes.range);
		m->fdes = (struct fde_list){ 0 };
	} else if (m->budget) {
		*m->budget -= sz;
	}
}

void module__use_budget(struct module *m, uint64_t *bytes)
{
	m->budget = bytes;
}

void module__use_debuginfod(struct module *m, struct debuginfod *d)
{
	m->servers = d;
}

void module__settle(struct module *m)
{
	m->servers = NULL; /* for want of descriptors, not because someone asks for its names */
	load(m);
	read_fdes(m);
	elf_file__close_fd(m->file);
	if (m->debug)
		elf_file__close_fd(m->debug);
	lines__stop(m->lines);
	m->lines = NULL;
	m->lines_tried = true;
}

/* The start of the function by what was derived from the code; false: it is not known. */
static bool derived_start(const struct module *m, uint64_t vaddr, uint64_t *ret)
{
	uint64_t pc = vaddr - m->lo;
	size_t lo = 0, hi = m->derived_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->derived[mid].lo <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || pc >= m->derived[lo - 1].hi)
		return false;
	*ret = m->lo + m->derived[lo - 1].start;
	return true;
}

bool module__func(struct module *m, uint64_t vaddr, struct symbol *ret)
{
	struct symbol sym;
	uint64_t start;

	load(m);
	if (!m->symtab || !symtab__func(m->symtab, vaddr, &sym))
		return false;
	/* assembly's memset, without a size, does not reach over the nameless __clone behind it */
	if (!sym.size && derived_start(m, vaddr, &start) && start > sym.addr)
		return false;
	*ret = sym;
	return true;
}

bool module__object(struct module *m, uint64_t vaddr, struct symbol *ret)
{
	load(m);
	return m->symtab && symtab__object(m->symtab, vaddr, ret);
}

bool module__by_name(struct module *m, const char *name, struct symbol *ret)
{
	load(m);
	return m->symtab && symtab__by_name(m->symtab, name, ret);
}

bool module__has_symtab(const struct module *m)
{
	load((struct module *)m); /* const to the caller: only the first question does anything */
	return m->has_symtab;
}

bool module__fde_start(struct module *m, uint64_t vaddr, uint64_t *ret)
{
	const struct fde_range *range;

	read_fdes(m);
	range = fde__find(&m->fdes, vaddr);
	if (!range)
		return derived_start(m, vaddr, ret);
	*ret = range->start;
	return true;
}

bool module__vaddr_of_offset(const struct module *m, uint64_t off, uint64_t *ret)
{
	for (size_t i = 0; i < m->file->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &m->file->phdr[i];

		if (ph->p_type == PT_LOAD && off >= ph->p_offset &&
		    off - ph->p_offset < ph->p_filesz) {
			*ret = ph->p_vaddr + (off - ph->p_offset);
			return true;
		}
	}
	return false;
}

/* Whole pages are mapped, so a segment's first page begins before the segment. */
static bool maps_offset(const Elf64_Phdr *ph, uint64_t off)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (ph->p_type != PT_LOAD || off < (ph->p_offset & ~(page - 1)))
		return false;
	return off < ph->p_offset || off - ph->p_offset < ph->p_filesz;
}

/* The virtual address of file offset off, as ph has it; off may lie before the segment. */
static uint64_t vaddr_in(const Elf64_Phdr *ph, uint64_t off)
{
	return ph->p_vaddr + (off - ph->p_offset);
}

bool module__bias(const struct module *m, uint64_t start, uint64_t off, bool exec, uint64_t *ret)
{
	const Elf64_Phdr *best = NULL;

	for (size_t i = 0; i < m->file->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &m->file->phdr[i];

		if (!maps_offset(ph, off))
			continue;
		if (!best || (exec == !!(ph->p_flags & PF_X) && exec != !!(best->p_flags & PF_X)))
			best = ph;
	}
	if (!best)
		return false;
	*ret = m->file->ehdr.e_type == ET_EXEC ? 0 : start - vaddr_in(best, off);
	return true;
}

bool module__bias_fits(const struct module *m, uint64_t bias, uint64_t start, uint64_t off)
{
	for (size_t i = 0; i < m->file->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &m->file->phdr[i];

		if (maps_offset(ph, off) && start - bias == vaddr_in(ph, off))
			return true;
	}
	return false;
}

void module__extent(const struct module *m, uint64_t *lo, uint64_t *hi)
{
	*lo = m->lo;
	*hi = m->hi;
}

const char *module__build_id(const struct module *m)
{
	return m->file->build_id;
}

static void start_lines(struct module *m)
{
	const struct elf_file *f;

	if (m->lines_tried)
		return;
	m->lines_tried = true;
	load(m);
	f = has_dwarf(m->file) ? m->file : m->debug;
	if (!has_dwarf(f) || (!m->text && intern__new(&m->text)))
		return;
	lines__start(f->fd, &m->lines);
}

size_t module__inlined(struct module *m, uint64_t vaddr, struct source_frame *ret, size_t cap)
{
	struct lines_frame *answer;
	size_t cnt;

	start_lines(m);
	if (!m->lines)
		return 0;
	answer = calloc(LINES_FRAMES_MAX, sizeof(*answer));
	if (!answer)
		return 0;
	cnt = lines__query(m->lines, vaddr, answer, LINES_FRAMES_MAX);
	if (cnt > cap)
		cnt = cap;
	for (size_t i = 0; i < cnt; i++) {
		ret[i].function = intern__add(m->text, answer[i].function);
		ret[i].file = intern__add(m->text, answer[i].file);
		ret[i].line = answer[i].line;
		if (!ret[i].function || !ret[i].file)
			cnt = i;
	}
	free(answer);
	return cnt;
}

void module__end_lines(struct module *m)
{
	if (!m->lines)
		return;
	lines__stop(m->lines);
	m->lines = NULL;
	m->lines_tried = false;
}

bool module__line(struct module *m, uint64_t vaddr, struct source_line *ret)
{
	struct source_frame frame;

	if (module__inlined(m, vaddr, &frame, 1) == 0 || !frame.line || !frame.file[0])
		return false;
	*ret = (struct source_line){ frame.file, frame.line };
	return true;
}

static const struct elf_file *debug_frames(void *ctx)
{
	struct module *m = ctx;

	find_debug(m);
	return m->debug && m->debug->fd >= 0 ? m->debug : NULL;
}

int module__cfi(struct module *m, size_t max_rows, struct cfi_table **ret)
{
	const struct cfi_debug debug = { debug_frames, m };
	struct cfi_table *t;
	int err;

	if (!m->file->image && m->file->fd < 0)
		return -ENOENT;
	err = cfi__build_elf(m->file, &debug, max_rows, &t);
	if (err)
		return err;
	if (t->base == m->lo) {
		free(m->derived);
		m->derived = t->func;
		m->derived_cnt = t->func_cnt;
		t->func = NULL;
		t->func_cnt = 0;
	}
	*ret = t;
	return 0;
}
