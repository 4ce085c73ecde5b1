// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/sym/debugfile.h"
#include "user/sym/elf_file.h"
#include "user/sym/fde.h"
#include "user/sym/intern.h"
#include "user/sym/lines.h"
#include "user/sym/symtab.h"
#include "user/unwind/cfi.h"

struct module {
	struct elf_file *file;
	struct elf_file *debug; /* NULL: none was found, or not looked for yet */
	char *path, *root;
	uint64_t lo, hi;

	struct symtab *symtab;
	bool loaded, has_symtab;

	struct fde_list fdes;
	bool fdes_read;

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
	if (!m->path || !m->root || symtab__new(&m->symtab)) {
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
	m->has_symtab = symtab__add(m->symtab, m->file, SHT_SYMTAB) == 0;
	if (!m->has_symtab || !has_dwarf(m->file)) {
		struct debug_search where = { m->path, m->root };

		if (debugfile__find(m->file, &where, &m->debug) == 0 && !m->has_symtab)
			m->has_symtab = symtab__add(m->symtab, m->debug, SHT_SYMTAB) == 0;
	}
	if (!m->has_symtab && debugfile__unpack_mini(m->file, &mini) == 0) {
		symtab__add(m->symtab, mini, SHT_SYMTAB);
		elf_file__close(mini);
	}
	symtab__add(m->symtab, m->file, SHT_DYNSYM);
	if (symtab__finish(m->symtab))
		m->has_symtab = false;
	if (m->debug && !has_dwarf(m->debug))
		elf_file__close_fd(m->debug);
}

static void read_fdes(struct module *m)
{
	if (m->fdes_read)
		return;
	m->fdes_read = true;
	fde__read(m->file, m->lo, m->hi, &m->fdes);
}

void module__settle(struct module *m)
{
	load(m);
	read_fdes(m);
	elf_file__close_fd(m->file);
	if (m->debug)
		elf_file__close_fd(m->debug);
	lines__stop(m->lines);
	m->lines = NULL;
	m->lines_tried = true;
}

bool module__func(struct module *m, uint64_t vaddr, struct symbol *ret)
{
	load(m);
	return symtab__func(m->symtab, vaddr, ret);
}

bool module__object(struct module *m, uint64_t vaddr, struct symbol *ret)
{
	load(m);
	return symtab__object(m->symtab, vaddr, ret);
}

bool module__by_name(struct module *m, const char *name, struct symbol *ret)
{
	load(m);
	return symtab__by_name(m->symtab, name, ret);
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
		return false;
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

/* Of an image in memory; the bytes are the caller's. -ENOENT: it has no such section. */
static int image_section(const struct module *m, const char *name, const Elf64_Shdr **ret_sh,
			 uint8_t **ret)
{
	*ret_sh = elf_file__section(m->file, name);
	return *ret_sh ? elf_file__section_data(m->file, *ret_sh, ret) : -ENOENT;
}

/* An image in memory has no descriptor that libelf could read: the vdso, which is small and plain. */
static int image_cfi(const struct module *m, size_t max_rows, struct cfi_table **ret)
{
	struct cfi_section sec = { 0 };
	uint8_t *data = NULL, *text = NULL;
	const Elf64_Shdr *sh;
	struct cfi_table *t;
	int err = image_section(m, ".eh_frame", &sh, &data);

	if (!err) {
		sec.data = data;
		sec.sz = sh->sh_size;
		sec.vaddr = sh->sh_addr;
	} else if (err != -ENOENT) {
		return err;
	}
	err = cfi__build(&sec, data ? 1 : 0, m->lo, max_rows, &t);
	free(data);
	if (err)
		return err;
	if (image_section(m, ".text", &sh, &text) == 0)
		err = cfi__mark_sigreturn(CFI_MACHINE, t, text, sh->sh_size, sh->sh_addr);
	free(text);
	if (!err && !t->cnt)
		err = -ENOENT;
	if (err)
		cfi__free(t);
	else
		*ret = t;
	return err;
}

int module__cfi(const struct module *m, size_t max_rows, struct cfi_table **ret)
{
	if (m->file->image)
		return image_cfi(m, max_rows, ret);
	return m->file->fd < 0 ? -ENOENT : cfi__build_file(m->file->fd, max_rows, ret);
}
