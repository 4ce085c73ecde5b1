// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_find.h"

#define AUXV_MAX   64
#define AT_PHDR	   3	       /* getauxval(3) */
#define SCAN_MAX   (64u << 20) /* of a segment that is looked through for the moduledata */
#define CHUNK_SZ   65536
#define REASON_MAX (GO_REASON_SZ - 1)

/* ---- where it lies */

static bool phdr_address(const struct elf_file *elf, uint64_t *ret)
{
	for (size_t i = 0; i < elf->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &elf->phdr[i];

		if (ph->p_type == PT_LOAD && elf->ehdr.e_phoff >= ph->p_offset &&
		    elf->ehdr.e_phoff - ph->p_offset < ph->p_filesz) {
			*ret = ph->p_vaddr + (elf->ehdr.e_phoff - ph->p_offset);
			return true;
		}
	}
	return false;
}

int go_process__bias(const struct go_binary *b, pid_t pid, uint64_t *ret)
{
	uint64_t pair[2], at;
	char path[64];
	int err = -ENOENT;
	FILE *f;

	*ret = 0;
	if (b->elf->ehdr.e_type == ET_EXEC)
		return 0;
	if (!phdr_address(b->elf, &at))
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	for (int i = 0; i < AUXV_MAX && err && fread(pair, sizeof(pair), 1, f) == 1; i++)
		if (pair[0] == AT_PHDR) {
			*ret = pair[1] - at;
			err = 0;
		}
	fclose(f);
	return err;
}

/* ---- moduledata */

enum moduledata_word {
	MD_HEADER = 0,
	MD_NAMES = 1,
	MD_PCLN = 13,
	MD_FTAB = 16,
	MD_TEXT = 22,
	MD_ETEXT = 23,
	MD_DATA = 26,
	MD_BSS = 28,
	MD_NOPTRBSS = 30,
};

/* A section's begin and end, in the half of the addresses that programs have. */
static bool in_order(const uint64_t *md, enum moduledata_word i)
{
	return md[i] <= md[i + 1] && !(md[i + 1] >> 47);
}

/* src/runtime/symtab.go, type moduledata: slices of the table, then the limits of the sections. */
static bool is_moduledata(const struct go_process *p, const uint64_t *md)
{
	uint64_t table = p->binary->table_addr + p->bias;

	return md[MD_HEADER] == table && md[MD_NAMES] == table + p->binary->pclntab.names_off &&
	       md[MD_FTAB] == table + p->binary->pclntab.func_off && md[MD_FTAB] == md[MD_PCLN] &&
	       md[MD_TEXT] < md[MD_ETEXT] && in_order(md, MD_DATA) && in_order(md, MD_BSS) &&
	       in_order(md, MD_NOPTRBSS);
}

static void use_moduledata(struct go_process *p, const uint64_t *md)
{
	size_t gofunc = p->binary->layout.md_gofunc / sizeof(uint64_t);

	p->text = md[MD_TEXT];
	p->etext = md[MD_ETEXT];
	p->gofunc = gofunc < MODULEDATA_WORDS ? md[gofunc] : 0;
	p->data = (struct go_range){ md[MD_DATA], md[MD_DATA + 1] };
	p->bss = (struct go_range){ md[MD_BSS], md[MD_BSS + 1] };
	p->noptrbss = (struct go_range){ md[MD_NOPTRBSS], md[MD_NOPTRBSS + 1] };
}

static bool scan_for_moduledata(struct go_process *p, uint64_t from, uint64_t to)
{
	uint64_t md[MODULEDATA_WORDS], table = p->binary->table_addr + p->bias;
	uint64_t word[CHUNK_SZ / sizeof(uint64_t)];

	from = (from + 7) & ~7ULL;
	if (to - from > SCAN_MAX)
		to = from + SCAN_MAX;
	for (; from < to; from += CHUNK_SZ) {
		size_t sz = to - from < CHUNK_SZ ? to - from : CHUNK_SZ;

		if (go_memory__read(&p->memory, from, word, sz))
			continue;
		for (size_t i = 0; i < sz / sizeof(word[0]); i++) {
			if (word[i] != table ||
			    go_memory__read(&p->memory, from + 8 * i, md, sizeof(md)))
				continue;
			if (is_moduledata(p, md)) {
				use_moduledata(p, md);
				return true;
			}
		}
	}
	return false;
}

/* Where the program can write, or could until it was relocated. */
static bool find_moduledata(struct go_process *p)
{
	const struct elf_file *elf = p->binary->elf;

	for (size_t i = 0; i < elf->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &elf->phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) &&
		    scan_for_moduledata(p, ph->p_vaddr + p->bias,
					ph->p_vaddr + p->bias + ph->p_filesz))
			return true;
	}
	return false;
}

/* ---- wait reasons */

static bool read_reason(struct go_process *p, uint64_t addr, char ret[GO_REASON_SZ])
{
	uint64_t text[2];

	if (go_memory__read(&p->memory, addr, text, sizeof(text)) || text[1] > REASON_MAX)
		return false;
	memset(ret, 0, GO_REASON_SZ);
	if (text[1] && go_memory__read(&p->memory, text[0], ret, text[1]))
		return false;
	for (size_t i = 0; i < text[1]; i++)
		if (ret[i] < ' ' || ret[i] > '~')
			return false;
	return true;
}

/* How long the table is, is nowhere: it ends where there are no more texts. */
static void read_reasons(struct go_process *p, uint64_t addr)
{
	for (p->reasons = 0; addr && p->reasons < GO_REASONS_MAX; p->reasons++, addr += 16) {
		if (!read_reason(p, addr, p->reason[p->reasons]))
			break;
		if (p->reasons && !*p->reason[p->reasons])
			break;
	}
}

const char *go_process__reason(const struct go_process *p, uint8_t reason)
{
	return reason < p->reasons ? p->reason[reason] : "";
}

/* ---- */

int go_process__open(const struct go_binary *b, const struct go_memory *memory, uint64_t bias,
		     struct go_process *ret, const char **why)
{
	struct go_found found;

	*ret = (struct go_process){ .binary = b, .memory = *memory, .bias = bias };
	if (!b->known) {
		*why = "its version is not known";
		return -ENOTSUP;
	}
	if (!find_moduledata(ret)) {
		*why = "its module data was not found";
		return -ENOTSUP;
	}
	*why = go_find__variables(ret, &found);
	if (*why)
		return -ENOTSUP;
	ret->allgs = found.allgs;
	ret->allp = found.allp;
	ret->sched = found.sched;
	ret->by_proof = found.by_proof;
	read_reasons(ret, found.wait_reasons);
	return 0;
}

void go_process__close(struct go_process *p)
{
	table__clear(&p->sp_delta, free);
}

bool go_process__has_code(const struct go_process *p, uint64_t pc)
{
	return p->text && pc >= p->text && pc < p->etext;
}

static int read_gofunc(void *ctx, uint32_t off, void *buf, size_t sz)
{
	const struct go_process *p = ctx;

	return p->gofunc ? go_binary__read(p->binary, p->gofunc - p->bias + off, buf, sz) : -ENOENT;
}

size_t go_process__frames(const struct go_process *p, uint64_t pc, bool leaf, struct go_frame *ret,
			  size_t cap)
{
	if (!leaf)
		pc--;
	if (!go_process__has_code(p, pc))
		return 0;
	return go_pclntab__frames(&p->binary->pclntab, pc - p->text, read_gofunc, (void *)p, ret,
				  cap);
}
