// SPDX-License-Identifier: GPL-2.0-only
#include "user/unwind/derive_file.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/unwind/derive_noreturn.h"
#include "user/unwind/derive_op.h"

/* Between functions that have CFI lies padding: functions are aligned to 16 bytes. */
#define GAP_MIN 16
/* More than crtbegin.o's functions, .init and .fini: somebody left CFI out. */
#define GAPS_MANY 512
/* So large a table of symbols is read only if there are many gaps. */
#define SYMBOLS_SMALL (1U << 20)
#define SYMBOLS_MAX   (64U << 20)
/* Of the code that has CFI so much is searched for calls into the gaps. */
#define SCAN_MAX   (64U << 20)
#define SCAN_CHUNK (1U << 16)
#define WINDOW_SZ  (1U << 16)
#define SCAN_TAIL  8 /* longer than what is looked for */
#define STARTS_MAX (1U << 18)

/* Code in the file. */
struct region {
	uint64_t vaddr, sz, off;
};

struct reader {
	Elf *elf;
	int fd;
	uint64_t file_sz;
	const struct cfi_table *t;
	struct region *region;
	size_t region_cnt, region_cap;
	struct derive_file *out;
	uint8_t *window; /* WINDOW_SZ bytes, of them window_sz from the file's window_off */
	uint64_t window_off, window_sz;
};

static int reserve(void **array, size_t *cap, size_t cnt, size_t elem_sz)
{
	size_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (cnt < *cap)
		return 0;
	p = reallocarray(*array, want, elem_sz);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = want;
	return 0;
}

static int read_at(const struct reader *r, uint64_t off, uint8_t *buf, size_t sz)
{
	while (sz) {
		ssize_t n = pread(r->fd, buf, sz, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf += n;
		off += n;
		sz -= n;
	}
	return 0;
}

/* ---- where code is */

static int add_region(struct reader *r, uint64_t vaddr, uint64_t sz, uint64_t off)
{
	uint64_t end;
	int err;

	if (!sz || off > r->file_sz || sz > r->file_sz - off ||
	    __builtin_add_overflow(vaddr, sz, &end) || vaddr < r->t->base ||
	    end - r->t->base > UINT32_MAX)
		return 0;
	err = reserve((void **)&r->region, &r->region_cap, r->region_cnt, sizeof(*r->region));
	if (err)
		return err;
	r->region[r->region_cnt++] = (struct region){ vaddr, sz, off };
	return 0;
}

/* Procedure linkage tables are no functions; linkers write CFI for them. */
static bool is_code(const GElf_Shdr *sh, const char *name)
{
	return sh->sh_type == SHT_PROGBITS && (sh->sh_flags & SHF_EXECINSTR) &&
	       (sh->sh_flags & SHF_ALLOC) && name && strncmp(name, ".plt", 4) != 0;
}

static int by_sections(struct reader *r)
{
	Elf_Scn *scn = NULL;
	size_t names;
	int err = 0;

	if (elf_getshdrstrndx(r->elf, &names))
		return 0;
	while (!err && (scn = elf_nextscn(r->elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && is_code(&sh, elf_strptr(r->elf, names, sh.sh_name)))
			err = add_region(r, sh.sh_addr, sh.sh_size, sh.sh_offset);
	}
	return err;
}

static int by_segments(struct reader *r)
{
	size_t cnt;
	int err = 0;

	if (elf_getphdrnum(r->elf, &cnt))
		return 0;
	for (size_t i = 0; !err && i < cnt; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(r->elf, i, &ph) && ph.p_type == PT_LOAD && (ph.p_flags & PF_X))
			err = add_region(r, ph.p_vaddr, ph.p_filesz, ph.p_offset);
	}
	return err;
}

static int compare_region(const void *pa, const void *pb)
{
	const struct region *a = pa, *b = pb;

	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

static int find_code(struct reader *r)
{
	size_t kept = 0;
	int err = by_sections(r);

	if (!err && !r->region_cnt)
		err = by_segments(r);
	if (err || !r->region_cnt)
		return err;
	qsort(r->region, r->region_cnt, sizeof(*r->region), compare_region);
	for (size_t i = 1; i < r->region_cnt; i++) {
		const struct region *last = &r->region[kept];

		if (r->region[i].vaddr - last->vaddr >= last->sz) /* else a broken file */
			r->region[++kept] = r->region[i];
	}
	r->region_cnt = kept + 1;
	return 0;
}

/* ---- gaps */

/* Bytes of the file, through the window: gaps are many and small. The region lies in the file. */
static int read_through_window(struct reader *r, uint64_t off, uint8_t *buf, size_t sz)
{
	uint64_t len;
	int err;

	if (sz > WINDOW_SZ)
		return read_at(r, off, buf, sz);
	if (off < r->window_off || off + sz > r->window_off + r->window_sz) {
		len = r->file_sz - off < WINDOW_SZ ? r->file_sz - off : WINDOW_SZ;
		r->window_sz = 0;
		err = read_at(r, off, r->window, len);
		if (err)
			return err;
		r->window_off = off;
		r->window_sz = len;
	}
	memcpy(buf, r->window + (off - r->window_off), sz);
	return 0;
}

/* How much of the beginning is what linkers and assemblers put between functions. */
static uint64_t padding(const uint8_t *code, uint64_t sz)
{
	struct derive_op op;
	uint64_t at = 0;

	while (at < sz) {
		if (code[at] == 0 || code[at] == 0xcc) {
			at++;
			continue;
		}
		derive_op__decode(code + at, sz - at, 0, &op);
		if (op.kind != OP_NOP)
			break;
		at += op.len;
	}
	return at;
}

static int keep_gap(struct derive_file *f, const uint8_t *code, uint64_t vaddr, uint64_t sz)
{
	uint8_t *data;
	int err;

	f->code_sz += sz;
	if (f->code_sz > DERIVE_CODE_MAX)
		return -E2BIG;
	err = reserve((void **)&f->code, &f->code_cap, f->code_cnt, sizeof(*f->code));
	if (err)
		return err;
	data = malloc(sz);
	if (!data)
		return -ENOMEM;
	memcpy(data, code, sz);
	f->code[f->code_cnt++] = (struct derive_code){ .data = data, .vaddr = vaddr, .sz = sz };
	return 0;
}

static int add_gap(struct reader *r, const struct region *reg, uint64_t lo, uint64_t hi)
{
	uint8_t small[256], *buf = small;
	uint64_t sz = hi - lo, skip;
	int err;

	if (sz < GAP_MIN)
		return 0;
	if (sz > DERIVE_CODE_MAX)
		return -E2BIG;
	if (sz > sizeof(small)) {
		buf = malloc(sz);
		if (!buf)
			return -ENOMEM;
	}
	err = read_through_window(r, reg->off + (lo - reg->vaddr), buf, sz);
	if (!err) {
		skip = padding(buf, sz);
		if (skip < sz)
			err = keep_gap(r->out, buf + skip, lo + skip, sz - skip);
	}
	if (buf != small)
		free(buf);
	return err;
}

/* The first row above pc. */
static size_t row_above(const struct cfi_table *t, uint32_t pc)
{
	size_t lo = 0, hi = t->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->row[mid].pc <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_gap(const struct cfi_table *t, size_t above)
{
	return !above || HU_ROW_CFA(t->row[above - 1].kind) == HU_CFA_GAP;
}

static int gaps_of_region(struct reader *r, const struct region *reg)
{
	const struct cfi_table *t = r->t;
	uint64_t at = reg->vaddr, end = reg->vaddr + reg->sz;
	size_t above = row_above(t, at - t->base);
	int err = 0;

	for (; !err && at < end; above++) {
		uint64_t next = above < t->cnt ? t->base + t->row[above].pc : end;

		if (next > end)
			next = end;
		if (is_gap(t, above))
			err = add_gap(r, reg, at, next);
		at = next;
	}
	return err;
}

static bool in_gap(const struct derive_file *f, uint64_t vaddr)
{
	size_t lo = 0, hi = f->code_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->code[mid].vaddr <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && vaddr - f->code[lo - 1].vaddr < f->code[lo - 1].sz;
}

/* ---- starts */

static int add_start(struct derive_file *f, uint64_t vaddr, uint64_t sz, enum derive_trust trust)
{
	int err;

	if (!in_gap(f, vaddr) || f->start_cnt == STARTS_MAX)
		return 0;
	err = reserve((void **)&f->start, &f->start_cap, f->start_cnt, sizeof(*f->start));
	if (!err)
		f->start[f->start_cnt++] = (struct derive_start){ vaddr, sz, trust };
	return err;
}

/* The section's entries, once its size is known to be sane. */
static Elf_Data *data_of(const struct reader *r, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data;

	if (sh->sh_size > SYMBOLS_MAX || sh->sh_offset > r->file_sz ||
	    sh->sh_size > r->file_sz - sh->sh_offset || (sh->sh_flags & SHF_COMPRESSED))
		return NULL;
	if (sh->sh_size > SYMBOLS_SMALL && r->out->code_sz < GAPS_MANY)
		return NULL;
	data = elf_getdata(scn, NULL);
	return data && data->d_buf ? data : NULL;
}

/* GCC moves what is hardly ever executed out of a function, frame and all: no function of its own. */
static bool is_part(const char *name)
{
	return name && strstr(name, ".cold");
}

static int starts_of_symbols(struct reader *r, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = data_of(r, scn, sh);
	int err = 0;

	for (size_t i = 0; data && !err && i < data->d_size / sizeof(Elf64_Sym); i++) {
		GElf_Sym sym;
		int type;

		if (!gelf_getsym(data, i, &sym))
			break;
		type = GELF_ST_TYPE(sym.st_info);
		if ((type != STT_FUNC && type != STT_GNU_IFUNC) || sym.st_shndx == SHN_UNDEF ||
		    !in_gap(r->out, sym.st_value) ||
		    is_part(elf_strptr(r->elf, sh->sh_link, sym.st_name)))
			continue;
		err = add_start(r->out, sym.st_value, sym.st_size, DERIVE_SURE);
	}
	return err;
}

/* Pointers to functions in data: the addends of relative relocations (psABI 1.0, table 4.9). */
static int starts_of_relocations(struct reader *r, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = data_of(r, scn, sh);
	int err = 0;

	for (size_t i = 0; data && !err && i < data->d_size / sizeof(Elf64_Rela); i++) {
		GElf_Rela rela;

		if (!gelf_getrela(data, i, &rela))
			break;
		if (GELF_R_TYPE(rela.r_info) == R_X86_64_RELATIVE)
			err = add_start(r->out, rela.r_addend, 0, DERIVE_MAYBE);
	}
	return err;
}

static int starts_of_sections(struct reader *r)
{
	Elf_Scn *scn = NULL;
	int err = 0;

	while (!err && (scn = elf_nextscn(r->elf, scn))) {
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM)
			err = starts_of_symbols(r, scn, &sh);
		else if (sh.sh_type == SHT_RELA && (sh.sh_flags & SHF_ALLOC))
			err = starts_of_relocations(r, scn, &sh);
	}
	return err;
}

/*
 * What may be a call or lea REG,[rip+X] at p, whose displacement ends the instruction. Not decoded: a
 * displacement that hits a gap of some KiB by chance is one in a million.
 */
static int start_of_bytes(struct reader *r, const uint8_t *p, uint64_t vaddr)
{
	size_t len = 0;
	int32_t disp;

	if (p[0] == 0xe8)
		len = 5;
	else if ((p[0] & 0xfb) == 0x48 && p[1] == 0x8d && (p[2] & 0xc7) == 0x05)
		len = 7;
	if (!len)
		return 0;
	memcpy(&disp, p + len - sizeof(disp), sizeof(disp));
	return add_start(r->out, vaddr + len + (int64_t)disp, 0, DERIVE_MAYBE);
}

static int scan_region(struct reader *r, const struct region *reg, uint64_t *budget)
{
	uint8_t buf[SCAN_CHUNK + SCAN_TAIL];
	int err = 0;

	for (uint64_t at = 0; !err && at < reg->sz && *budget >= SCAN_CHUNK; at += SCAN_CHUNK) {
		uint64_t sz = reg->sz - at < sizeof(buf) ? reg->sz - at : sizeof(buf);

		*budget -= SCAN_CHUNK;
		err = read_at(r, reg->off + at, buf, sz);
		for (uint64_t i = 0; !err && i + SCAN_TAIL <= sz && i < SCAN_CHUNK; i++)
			err = start_of_bytes(r, buf + i, reg->vaddr + at + i);
	}
	return err;
}

/* Functions without symbols, called from the code that has CFI: a stripped static program on musl. */
static int starts_of_callers(struct reader *r)
{
	uint64_t budget = SCAN_MAX;
	int err = 0;

	if (r->out->code_sz < GAPS_MANY || !r->t->cnt)
		return 0;
	for (size_t i = 0; !err && i < r->region_cnt; i++)
		err = scan_region(r, &r->region[i], &budget);
	return err;
}

static int find_starts(struct reader *r)
{
	GElf_Ehdr eh;
	int err = 0;

	if (!gelf_getehdr(r->elf, &eh))
		return 0;
	r->out->fixed = eh.e_type == ET_EXEC;
	if (eh.e_entry)
		err = add_start(r->out, eh.e_entry, 0, DERIVE_ENTRY);
	if (!err)
		err = starts_of_sections(r);
	return err ? err : starts_of_callers(r);
}

int derive_file__read(Elf *elf, int fd, const struct cfi_table *t, struct derive_file *ret)
{
	struct derive_file out = { 0 };
	struct reader r = { .elf = elf, .fd = fd, .t = t, .out = &out };
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	r.file_sz = st.st_size;
	r.window = malloc(WINDOW_SZ);
	if (!r.window)
		return -ENOMEM;
	err = find_code(&r);
	for (size_t i = 0; !err && i < r.region_cnt; i++)
		err = gaps_of_region(&r, &r.region[i]);
	if (!err && out.code_cnt)
		err = find_starts(&r);
	if (!err && out.start_cnt)
		err = derive_noreturn__find(elf, r.file_sz, &out.noreturn, &out.noreturn_cnt);
	free(r.region);
	free(r.window);
	if (err) {
		derive_file__free(&out);
		return err;
	}
	*ret = out;
	return 0;
}

void derive_file__free(struct derive_file *f)
{
	for (size_t i = 0; i < f->code_cnt; i++)
		free((uint8_t *)f->code[i].data);
	free(f->code);
	free(f->start);
	free(f->noreturn);
}
