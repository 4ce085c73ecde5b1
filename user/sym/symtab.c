// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOLS_MAX (4u << 20) /* of one module: Chromium has about 1.5 million */
#define NAME_MAX_SZ 16384      /* longer ones are left out */
#define NAME_AVG_SZ 512 /* … and so is the rest of a table whose names are longer on average */
#define ALIAS_SZ    256 /* what aliases are told apart by */
#define BLOBS_MAX   4	/* .symtab and .dynsym, of the file, its debug file, .gnu_debugdata */
#define POOL_MAX    (1u << 31) /* bytes of all string tables, so that an offset fits 31 bits */
#define NONE	    UINT32_MAX
#define NEST_MAX    64 /* steps outwards from the innermost candidate; real files nest once */

/* A string table; its names have the offsets base + position. */
struct blob {
	char *text;
	uint32_t base, sz;
};

/* A symbol as found, in file order. */
struct raw {
	uint64_t addr, size;
	uint64_t limit; /* the end of its section, or addr when that is not known */
	uint32_t name;
	uint8_t type;
	bool local, hidden; /* hidden: an old version, not what a plain name binds to */
};

/* A symbol as looked up, sorted by address. */
struct entry {
	uint64_t addr, end;
	uint32_t name:31;
	uint32_t sized:1; /* the file gave its size */
	uint32_t outer;	  /* the nearest entry before that is still open at addr, or NONE */
};

/* What is sorted by: most comparisons need not look at the symbol itself. */
struct key {
	uint64_t addr, size;
	const struct raw *raw;
};

struct table {
	struct entry *entry;
	size_t cnt;
};

struct symtab {
	struct blob blob[BLOBS_MAX];
	size_t blob_cnt;
	struct raw *raw;
	size_t raw_cnt, raw_cap;
	struct table func, object;
	uint32_t *by_name; /* open addressing; built at the first question */
	size_t by_name_mask;
};

int symtab__new(struct symtab **ret)
{
	struct symtab *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret = t;
	return 0;
}

void symtab__free(struct symtab *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->blob_cnt; i++)
		free(t->blob[i].text);
	free(t->raw);
	free(t->func.entry);
	free(t->object.entry);
	free(t->by_name);
	free(t);
}

static const char *name_of(const struct symtab *t, uint32_t name)
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
	return sym->st_name < b->sz && b->text[sym->st_name] != '\0';
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
	err = elf_file__section_data(f, sh, &data);
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
	if (err) {
		t->raw_cnt = had;
		free(t->blob[t->blob_cnt].text);
		return err;
	}
	t->blob_cnt++;
	return t->raw_cnt > had ? 0 : -ENOENT;
}

static bool is_func(const struct raw *r)
{
	return r->type == STT_FUNC || r->type == STT_GNU_IFUNC;
}

static bool is_object(const struct raw *r)
{
	return r->type == STT_OBJECT || r->type == STT_COMMON;
}

static size_t underscores(const char *name)
{
	size_t cnt = 0;

	while (cnt < ALIAS_SZ && name[cnt] == '_')
		cnt++;
	return cnt;
}

/* Which of two names of one thing a user knows: see module.h. Negative: a. */
static int compare_names(const struct symtab *t, const struct raw *a, const struct raw *b)
{
	const char *name_a = name_of(t, a->name), *name_b = name_of(t, b->name);
	size_t under_a = underscores(name_a), under_b = underscores(name_b);
	size_t len_a, len_b;

	if (a->local != b->local)
		return a->local ? 1 : -1;
	if (under_a != under_b)
		return under_a < under_b ? -1 : 1;
	len_a = strnlen(name_a, ALIAS_SZ);
	len_b = strnlen(name_b, ALIAS_SZ);
	if (len_a != len_b)
		return len_a < len_b ? -1 : 1;
	return strncmp(name_a, name_b, ALIAS_SZ);
}

/*
 * By address; then sized before unsized; then larger ones first, so that what encloses comes before
 * what is enclosed; then the better name.
 */
static int compare_keys(const void *pa, const void *pb, void *arg)
{
	const struct key *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->size != b->size)
		return a->size > b->size ? -1 : 1;
	return compare_names(arg, a->raw, b->raw);
}

/* An unsized symbol ends at the next address that has a symbol, or with its section. */
static uint64_t end_of(const struct raw *r, uint64_t next_addr)
{
	uint64_t end = r->addr + r->size;

	if (r->size)
		return end > r->addr ? end : UINT64_MAX;
	end = next_addr < r->limit ? next_addr : r->limit;
	return end > r->addr ? end : r->addr + (r->addr < UINT64_MAX);
}

/* Fills in outer with a stack of the entries that are still open, linked through outer itself. */
static void link_outer(struct table *tab)
{
	uint32_t open = NONE;

	for (size_t i = 0; i < tab->cnt; i++) {
		struct entry *e = &tab->entry[i];

		while (open != NONE && tab->entry[open].end <= e->addr)
			open = tab->entry[open].outer;
		/* Partly overlapping ones stay behind e as long as they reach further. */
		e->outer = open;
		open = i;
	}
}

static void fill_table(struct table *tab, const struct key *sorted, size_t cnt)
{
	uint64_t next_addr = UINT64_MAX;

	/* Backwards, so that the next distinct address is known; then the kept ones are reversed. */
	for (size_t i = cnt; i > 0; i--) {
		const struct raw *r = sorted[i - 1].raw, *before = i > 1 ? sorted[i - 2].raw : NULL;
		bool same_addr = before && before->addr == r->addr;

		if (same_addr && (before->size == r->size || r->size == 0))
			continue;
		tab->entry[tab->cnt++] = (struct entry){ .addr = r->addr,
							 .end = end_of(r, next_addr),
							 .name = r->name,
							 .sized = r->size != 0 };
		if (!same_addr)
			next_addr = r->addr;
	}
	for (size_t i = 0; i < tab->cnt / 2; i++) {
		struct entry tmp = tab->entry[i];

		tab->entry[i] = tab->entry[tab->cnt - 1 - i];
		tab->entry[tab->cnt - 1 - i] = tmp;
	}
	link_outer(tab);
}

static int build_table(struct symtab *t, struct table *tab, bool (*want)(const struct raw *))
{
	struct key *sorted = calloc(t->raw_cnt + 1, sizeof(*sorted));
	struct entry *fit;
	size_t cnt = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < t->raw_cnt; i++)
		if (want(&t->raw[i]))
			sorted[cnt++] = (struct key){ t->raw[i].addr, t->raw[i].size, &t->raw[i] };
	qsort_r(sorted, cnt, sizeof(*sorted), compare_keys, t);
	tab->entry = calloc(cnt + 1, sizeof(*tab->entry));
	if (!tab->entry) {
		free(sorted);
		return -ENOMEM;
	}
	fill_table(tab, sorted, cnt);
	free(sorted);
	fit = reallocarray(tab->entry, tab->cnt + 1, sizeof(*fit));
	if (fit)
		tab->entry = fit;
	return 0;
}

int symtab__finish(struct symtab *t)
{
	int err = build_table(t, &t->func, is_func);

	return err ? err : build_table(t, &t->object, is_object);
}

static bool find(const struct symtab *t, const struct table *tab, uint64_t vaddr,
		 struct symbol *ret)
{
	size_t lo = 0, hi = tab->cnt;
	const struct entry *e;
	uint32_t i;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tab->entry[mid].addr <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	i = lo ? lo - 1 : NONE;
	for (int steps = 0; i != NONE && steps < NEST_MAX; steps++) {
		e = &tab->entry[i];
		if (vaddr < e->end) {
			ret->name = name_of(t, e->name);
			ret->addr = e->addr;
			ret->size = e->sized ? e->end - e->addr : 0;
			return true;
		}
		i = e->outer;
	}
	return false;
}

bool symtab__func(const struct symtab *t, uint64_t vaddr, struct symbol *ret)
{
	return find(t, &t->func, vaddr, ret);
}

bool symtab__object(const struct symtab *t, uint64_t vaddr, struct symbol *ret)
{
	return find(t, &t->object, vaddr, ret);
}

static uint64_t hash_name(const char *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3;
	return h ^ h >> 32;
}

/* Which of two symbols of the same name a plain reference means. */
static bool is_better(const struct raw *a, const struct raw *b)
{
	if (a->hidden != b->hidden)
		return b->hidden;
	if (a->local != b->local)
		return b->local;
	return a->type != STT_NOTYPE && b->type == STT_NOTYPE;
}

/*
 * A file with very many equal hashes costs at most PROBES_MAX steps a symbol, and some of its own
 * names.
 */
#define PROBES_MAX 256

static void index_name(struct symtab *t, uint32_t i)
{
	const char *name = name_of(t, t->raw[i].name);
	size_t slot = hash_name(name) & t->by_name_mask;

	for (int probe = 0; probe < PROBES_MAX; probe++) {
		uint32_t *at = &t->by_name[slot];

		if (*at == NONE) {
			*at = i;
			return;
		}
		if (strcmp(name_of(t, t->raw[*at].name), name) == 0) {
			if (is_better(&t->raw[i], &t->raw[*at]))
				*at = i;
			return;
		}
		slot = (slot + 1) & t->by_name_mask;
	}
}

static bool build_names(struct symtab *t)
{
	size_t slots = 64;

	while (slots < t->raw_cnt * 2)
		slots *= 2;
	t->by_name = malloc(slots * sizeof(*t->by_name));
	if (!t->by_name)
		return false;
	memset(t->by_name, 0xff, slots * sizeof(*t->by_name));
	t->by_name_mask = slots - 1;
	for (size_t i = 0; i < t->raw_cnt; i++)
		index_name(t, i);
	return true;
}

bool symtab__by_name(struct symtab *t, const char *name, struct symbol *ret)
{
	const struct raw *r;
	size_t slot;

	if (!t->by_name && !build_names(t))
		return false;
	slot = hash_name(name) & t->by_name_mask;
	for (int probe = 0; probe < PROBES_MAX && t->by_name[slot] != NONE; probe++) {
		r = &t->raw[t->by_name[slot]];
		if (strcmp(name_of(t, r->name), name) == 0) {
			*ret = (struct symbol){ name_of(t, r->name), r->addr, r->size };
			return true;
		}
		slot = (slot + 1) & t->by_name_mask;
	}
	return false;
}

size_t symtab__count(const struct symtab *t)
{
	return t->raw_cnt;
}
