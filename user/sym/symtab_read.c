// SPDX-License-Identifier: GPL-2.0-only
/* Symbol tables of ELF files, checked, as lists in file order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/sym/symtab_internal.h"

#define SYMBOLS_MAX (4u << 20) /* of one module: Chromium has about 1.5 million */
#define NAME_MAX_SZ 16384      /* longer ones are left out */
#define NAME_AVG_SZ 512 /* … and so is the rest of a table whose names are longer on average */
#define POOL_MAX    (1u << 31) /* bytes of all string tables, so that an offset fits 31 bits */

const char *symtab__name(const struct symtab *t, uint32_t name)
{
	size_t i = t->blob_cnt - 1;

	while (i > 0 && name < t->blob[i].base)
		i--;
	return t->blob[i].text + (name - t->blob[i].base);
}

/* The string table that a symbol table links to becomes a blob; not yet counted in blob_cnt. */
static int read_blob(struct symtab *t, const struct elf_file *f, const Elf64_Shdr *sh)
{
	struct blob *b = &t->blob[t->blob_cnt], *last = t->blob_cnt ? b - 1 : NULL;
	uint64_t base = last ? (uint64_t)last->base + last->sz : 0;
	const Elf64_Shdr *str;
	int err;

	if (t->blob_cnt == BLOBS_MAX)
		return -E2BIG;
	if (sh->sh_link == 0 || sh->sh_link >= f->shdr_cnt)
		return -ENOEXEC;
	str = &f->shdr[sh->sh_link];
	if (str->sh_size == 0 || base + str->sh_size + 1 >= POOL_MAX)
		return -EFBIG;
	err = elf_file__section_data(f, str, (uint8_t **)&b->text);
	if (err)
		return err;
	b->base = base;
	b->sz = str->sh_size + 1; /* with the NUL that was appended */
	return 0;
}

static Elf64_Sym sym_at(const struct elf_file *f, const uint8_t *data, size_t i)
{
	Elf32_Sym sym32;
	Elf64_Sym sym;

	if (f->is64) {
		memcpy(&sym, data + i * sizeof(sym), sizeof(sym));
		return sym;
	}
	memcpy(&sym32, data + i * sizeof(sym32), sizeof(sym32));
	return (Elf64_Sym){ .st_name = sym32.st_name,
			    .st_info = sym32.st_info,
			    .st_other = sym32.st_other,
			    .st_shndx = sym32.st_shndx,
			    .st_value = sym32.st_value,
			    .st_size = sym32.st_size };
}

static bool is_wanted(const Elf64_Sym *sym, const struct blob *b)
{
	unsigned int type = ELF64_ST_TYPE(sym->st_info);

	/* SHN_XINDEX is a defined symbol in a file with very many sections. */
	if (sym->st_shndx == SHN_UNDEF ||
	    (sym->st_shndx >= SHN_LORESERVE && sym->st_shndx != SHN_XINDEX))
		return false;
	if (type != STT_NOTYPE && type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_OBJECT &&
	    type != STT_COMMON && type != STT_TLS)
		return false;
	/* Nothing before the version: nor is that left when another name, which ends with this one, is cut there. */
	return sym->st_name < b->sz && b->text[sym->st_name] != '\0' &&
	       b->text[sym->st_name] != '@';
}

/*
 * Names may overlap in the string table, so their lengths can add up to far more than the file:
 * that must not become hours of strlen().
 */
static bool take_budget(const struct blob *b, uint32_t name, uint64_t *budget)
{
	size_t len = strnlen(b->text + name, NAME_MAX_SZ);

	*budget = *budget > len ? *budget - len : 0;
	return len < NAME_MAX_SZ && *budget;
}

static uint64_t section_limit(const struct elf_file *f, const Elf64_Sym *sym)
{
	const Elf64_Shdr *sh;

	if (sym->st_shndx >= f->shdr_cnt)
		return sym->st_value;
	sh = &f->shdr[sym->st_shndx];
	if (sym->st_value < sh->sh_addr || sym->st_value - sh->sh_addr >= sh->sh_size ||
	    sh->sh_size > UINT64_MAX - sh->sh_addr)
		return sym->st_value;
	return sh->sh_addr + sh->sh_size;
}

static int append_raw(struct symtab *t, const struct raw *raw)
{
	struct raw *more;
	size_t cap;

	if (t->raw_cnt == SYMBOLS_MAX)
		return -E2BIG;
	if (t->raw_cnt == t->raw_cap) {
		cap = t->raw_cap ? t->raw_cap * 2 : 1024;
		more = reallocarray(t->raw, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->raw = more;
		t->raw_cap = cap;
	}
	t->raw[t->raw_cnt++] = *raw;
	return 0;
}

/* Cuts "name@VERSION" and "name@@VERSION"; true if the version is not the default one. */
static bool cut_version(char *name)
{
	char *at = strchr(name + 1, '@');

	if (!at)
		return false;
	*at = '\0';
	return at[1] != '@';
}

static int append_symbol(struct symtab *t, const struct elf_file *f, const struct blob *b,
			 const Elf64_Sym *sym, bool hidden)
{
	struct raw raw = {
		.addr = sym->st_value,
		.size = sym->st_size,
		.limit = section_limit(f, sym),
		.name = b->base + sym->st_name,
		.type = ELF64_ST_TYPE(sym->st_info),
		.local = ELF64_ST_BIND(sym->st_info) == STB_LOCAL,
		.hidden = hidden,
	};

	/* ARM psABI: the lowest bit of a Thumb function's address is not part of it. */
	if (f->ehdr.e_machine == EM_ARM && raw.type == STT_FUNC)
		raw.addr &= ~1ull;
	return append_raw(t, &raw);
}

/* LSB "Symbol Versioning": one 16-bit number per .dynsym entry, bit 15 means hidden. */
static uint16_t *read_versions(const struct elf_file *f, size_t cnt)
{
	const Elf64_Shdr *sh = elf_file__section_of_type(f, SHT_GNU_versym);
	uint8_t *data;

	if (!sh || sh->sh_size / sizeof(uint16_t) < cnt || elf_file__section_data(f, sh, &data))
		return NULL;
	return (uint16_t *)data;
}

/* A symbol table costs its strings, and about twice its size for what is made of it. */
static bool charge(struct symtab *t, const Elf64_Shdr *sh)
{
	uint64_t cost = t->blob[t->blob_cnt].sz + 2 * sh->sh_size;

	if (!t->budget)
		return true;
	if (cost > *t->budget)
		return false;
	*t->budget -= cost;
	return true;
}

int symtab__add(struct symtab *t, const struct elf_file *f, uint32_t type)
{
	const Elf64_Shdr *sh = elf_file__section_of_type(f, type);
	size_t sym_sz = f->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym), cnt, had = t->raw_cnt;
	uint16_t *version = NULL;
	uint64_t budget;
	uint8_t *data;
	int err;

	if (!sh || sh->sh_type == SHT_NOBITS || sh->sh_size < sym_sz)
		return -ENOENT;
	err = read_blob(t, f, sh);
	if (err)
		return err;
	err = charge(t, sh) ? elf_file__section_data(f, sh, &data) : -EFBIG;
	if (err) {
		free(t->blob[t->blob_cnt].text);
		return err;
	}
	cnt = sh->sh_size / sym_sz;
	budget = NAME_MAX_SZ + cnt * NAME_AVG_SZ;
	if (type == SHT_DYNSYM)
		version = read_versions(f, cnt);
	for (size_t i = 1; i < cnt && !err; i++) {
		struct blob *b = &t->blob[t->blob_cnt];
		Elf64_Sym sym = sym_at(f, data, i);
		bool hidden = version && (version[i] & 0x8000);

		if (!is_wanted(&sym, b) || !take_budget(b, sym.st_name, &budget))
			continue;
		if (type == SHT_SYMTAB)
			hidden = cut_version(b->text + sym.st_name);
		err = append_symbol(t, f, b, &sym, hidden);
	}
	free(version);
	free(data);
	if (err == -E2BIG)
		err = 0; /* the first SYMBOLS_MAX are as good as any */
	if (err || t->raw_cnt == had) {
		t->raw_cnt = had;
		free(t->blob[t->blob_cnt].text);
		return err ? err : -ENOENT;
	}
	t->blob_cnt++;
	return 0;
}
