// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_binary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_dwarf.h"

#define TABLE_MAX (512u << 20) /* bytes of a pclntab: the largest known program has 100 MiB */
#define SCAN_MAX  (1u << 30)   /* of segments that are looked through for it */
#define CHUNK_SZ  (1u << 20)
#define DATA_HEAD \
	(1u << 20) /* of a program without sections, in which its build information is looked for */
#define SYMBOLS_MAX (64u << 20)

/* ---- build information: debug/buildinfo */

#define BUILDINFO_MAGIC	 "\xff Go buildinf:"
#define BUILDINFO_ALIGN	 16
#define BUILDINFO_HEADER 32
#define BUILDINFO_INLINE 2 /* of its flags: strings follow, from 1.18 on */

static const char *const go_sections[] = { ".go.buildinfo", ".gopclntab", ".data.rel.ro.gopclntab",
					   ".note.go.buildid" };

static const Elf64_Phdr *data_segment(const struct elf_file *elf)
{
	for (size_t i = 0; i < elf->phdr_cnt; i++)
		if (elf->phdr[i].p_type == PT_LOAD && (elf->phdr[i].p_flags & PF_W))
			return &elf->phdr[i];
	return NULL;
}

/* Where the build information begins in these bytes; NULL: nowhere. */
static const uint8_t *find_magic(const uint8_t *bytes, size_t sz)
{
	for (size_t i = 0; sz >= BUILDINFO_HEADER && i <= sz - BUILDINFO_HEADER;
	     i += BUILDINFO_ALIGN)
		if (!memcmp(bytes + i, BUILDINFO_MAGIC, sizeof(BUILDINFO_MAGIC) - 1))
			return bytes + i;
	return NULL;
}

/* The head of the section, or of the data. */
static int read_buildinfo(const struct elf_file *elf, uint8_t **ret, size_t *ret_sz)
{
	const Elf64_Shdr *sh = elf_file__section(elf, ".go.buildinfo");
	const Elf64_Phdr *ph = data_segment(elf);
	uint64_t off, sz;
	uint8_t *bytes;
	int err;

	if (!sh && !ph)
		return -ENOENT;
	off = sh ? sh->sh_offset : ph->p_offset;
	sz = sh ? sh->sh_size : ph->p_filesz;
	if (sz > DATA_HEAD)
		sz = DATA_HEAD;
	bytes = malloc(sz + 1);
	if (!bytes)
		return -ENOMEM;
	err = elf_file__read(elf, off, bytes, sz);
	if (err) {
		free(bytes);
		return err;
	}
	*ret = bytes;
	*ret_sz = sz;
	return 0;
}

bool go_binary__recognise(const struct elf_file *elf)
{
	uint8_t *bytes;
	bool found;
	size_t sz;

	if (!elf->is64)
		return false;
	for (size_t i = 0; i < sizeof(go_sections) / sizeof(go_sections[0]); i++)
		if (elf_file__section(elf, go_sections[i]))
			return true;
	if (elf->shdr_cnt || read_buildinfo(elf, &bytes, &sz))
		return false;
	found = find_magic(bytes, sz);
	free(bytes);
	return found;
}

int go_version__minor(const char *version)
{
	const char *at = strstr(version, "go1.");
	long minor;
	char *end;

	if (!at || at[4] < '0' || at[4] > '9')
		return 0;
	minor = strtol(at + 4, &end, 10);
	return minor > 0 && minor < 1000 ? (int)minor : 0;
}

/* A length of 7 bits a byte, and as many bytes: the version, then the modules. */
static void read_version(struct go_binary *b, const uint8_t *info, size_t sz)
{
	size_t at = BUILDINFO_HEADER, len = 0;

	if (!(info[15] & BUILDINFO_INLINE))
		return;
	for (int shift = 0; at < sz && shift < 28; shift += 7) {
		uint8_t byte = info[at++];

		len |= (size_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	if (len > sz - at || len >= sizeof(b->version))
		len = sz - at < sizeof(b->version) - 1 ? sz - at : sizeof(b->version) - 1;
	memcpy(b->version, info + at, len);
	b->version[len] = '\0';
	b->minor = go_version__minor(b->version);
}

static int find_version(struct go_binary *b)
{
	const uint8_t *info;
	uint8_t *bytes;
	size_t sz;
	int err = read_buildinfo(b->elf, &bytes, &sz);

	if (err)
		return err;
	info = find_magic(bytes, sz);
	if (info)
		read_version(b, info, sz - (info - bytes));
	free(bytes);
	return 0;
}

/* ---- the table of functions */

int go_binary__read(const struct go_binary *b, uint64_t addr, void *to, size_t sz)
{
	for (size_t i = 0; i < b->elf->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &b->elf->phdr[i];

		if (ph->p_type == PT_LOAD && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_filesz && sz <= ph->p_filesz - (addr - ph->p_vaddr))
			return elf_file__read(b->elf, ph->p_offset + (addr - ph->p_vaddr), to, sz);
	}
	return -EFAULT;
}

static int read_table(struct go_binary *b, uint64_t off, uint64_t addr, uint64_t sz)
{
	int err;

	if (sz > TABLE_MAX)
		sz = TABLE_MAX;
	if (off > b->elf->sz)
		return -EIO;
	if (sz > b->elf->sz - off)
		sz = b->elf->sz - off;
	b->table = malloc(sz + 1);
	if (!b->table)
		return -ENOMEM;
	err = elf_file__read(b->elf, off, b->table, sz);
	if (!err)
		err = go_pclntab__parse(b->table, sz, &b->pclntab);
	if (err) {
		free(b->table);
		b->table = NULL;
		return err;
	}
	b->table_addr = addr;
	b->table_sz = sz;
	return 0;
}

/* A header within one segment; linkers align the table to 32 bytes. */
static int scan_segment(struct go_binary *b, const Elf64_Phdr *ph, uint8_t *chunk)
{
	uint64_t left = ph->p_filesz < SCAN_MAX ? ph->p_filesz : SCAN_MAX, at = 0;
	int err;

	while (left > GO_PCLNTAB_HEADER_SZ) {
		size_t sz = left < CHUNK_SZ ? left : CHUNK_SZ;

		err = elf_file__read(b->elf, ph->p_offset + at, chunk, sz);
		if (err)
			return err;
		for (size_t i = 0; i + GO_PCLNTAB_HEADER_SZ <= sz; i += 8)
			if (go_pclntab__is_header(chunk + i, sz - i) &&
			    !read_table(b, ph->p_offset + at + i, ph->p_vaddr + at + i,
					ph->p_filesz - at - i))
				return 0;
		if (sz < CHUNK_SZ)
			break;
		/* Headers may lie across the end of a piece. */
		at += sz - 2 * GO_PCLNTAB_HEADER_SZ + 16;
		left -= sz - 2 * GO_PCLNTAB_HEADER_SZ + 16;
	}
	return -ENOENT;
}

static int scan_for_table(struct go_binary *b)
{
	uint8_t *chunk = malloc(CHUNK_SZ);
	int err = -ENOENT;

	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < b->elf->phdr_cnt && err; i++)
		if (b->elf->phdr[i].p_type == PT_LOAD && !(b->elf->phdr[i].p_flags & PF_X))
			err = scan_segment(b, &b->elf->phdr[i], chunk);
	free(chunk);
	return err;
}

/* PIEs linked by the C compiler have no section of its own for it up to 1.22. */
static int find_table(struct go_binary *b)
{
	static const char *const names[] = { ".gopclntab", ".data.rel.ro.gopclntab" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const Elf64_Shdr *sh = elf_file__section(b->elf, names[i]);

		if (sh && sh->sh_type != SHT_NOBITS &&
		    !read_table(b, sh->sh_offset, sh->sh_addr, sh->sh_size))
			return 0;
	}
	return scan_for_table(b);
}

static bool find_main(struct go_binary *b)
{
	struct go_func f;

	for (uint64_t i = 0; i < b->pclntab.funcs; i++)
		if (go_pclntab__func(&b->pclntab, i, &f) && !strcmp(f.name, "runtime.main")) {
			b->main_entry = f.entry;
			return true;
		}
	return false;
}

/* ---- variables */

struct variable {
	const char *name;
	size_t member;
};

static const struct variable variables[] = {
	{ "allgs", offsetof(struct go_binary, allgs) },
	{ "allp", offsetof(struct go_binary, allp) },
	{ "sched", offsetof(struct go_binary, sched) },
	{ "waitReasonStrings", offsetof(struct go_binary, wait_reasons) },
	{ "semtable", offsetof(struct go_binary, semtable) },
};

static void set_variable(struct go_binary *b, const char *name, uint64_t addr)
{
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (!strcmp(variables[i].name, name))
			*(uint64_t *)((char *)b + variables[i].member) = addr;
}

/* A few names among very many: they are compared where they are, no table is made. */
static void match_symbols(struct go_binary *b, const uint8_t *syms, size_t cnt, const char *names,
			  size_t names_sz)
{
	static const char prefix[] = "runtime.";
	const size_t len = sizeof(prefix) - 1;
	Elf64_Sym sym;

	for (size_t i = 0; i < cnt; i++) {
		memcpy(&sym, syms + i * sizeof(sym), sizeof(sym));
		if (sym.st_name < names_sz && names_sz - sym.st_name > len &&
		    !memcmp(names + sym.st_name, prefix, len))
			set_variable(b, names + sym.st_name + len, sym.st_value);
	}
}

static void read_symbols(struct go_binary *b)
{
	const Elf64_Shdr *sh = elf_file__section_of_type(b->elf, SHT_SYMTAB);
	uint8_t *syms, *names;

	if (!sh || sh->sh_link >= b->elf->shdr_cnt || sh->sh_size > SYMBOLS_MAX ||
	    elf_file__section_data(b->elf, sh, &syms))
		return;
	/* A NUL follows the bytes: every name ends. */
	if (!elf_file__section_data(b->elf, &b->elf->shdr[sh->sh_link], &names)) {
		match_symbols(b, syms, sh->sh_size / sizeof(Elf64_Sym), (const char *)names,
			      b->elf->shdr[sh->sh_link].sh_size);
		free(names);
	}
	free(syms);
}

/* ---- */

static int read_all(struct go_binary *b)
{
	int err = find_version(b);

	if (!err)
		err = go_layout__of(b->minor, &b->layout);
	if (!err)
		err = find_table(b);
	if (err)
		return err;
	if (!find_main(b))
		return -EINVAL;
	read_symbols(b);
	b->from_dwarf = go_dwarf__read(b->elf, &b->layout) > 0;
	b->pclntab.wrapper = b->layout.func_wrapper;
	b->known = true;
	return 0;
}

int go_binary__open(int fd, struct go_binary **ret)
{
	struct go_binary *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	err = elf_file__open(fd, &b->elf);
	if (!err && !go_binary__recognise(b->elf))
		err = -ENOENT;
	if (err) {
		go_binary__free(b);
		return err == -ENOMEM ? err : -ENOENT;
	}
	err = read_all(b);
	if (err == -ENOMEM) {
		go_binary__free(b);
		return err;
	}
	*ret = b;
	return err ? -ENOTSUP : 0;
}

void go_binary__free(struct go_binary *b)
{
	if (!b)
		return;
	elf_file__close(b->elf);
	free(b->table);
	free(b);
}
