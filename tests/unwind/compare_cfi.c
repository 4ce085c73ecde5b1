// SPDX-License-Identifier: GPL-2.0-only
/*
 * compare_cfi [--sample N] [-v] FILE…: are our unwind rows what libdw says?
 *
 * Asks libdw at the first, second and last pc of every row (of every Nth one with --sample) and
 * compares the whole row. Exit status: 0 all agree, 1 a mismatch, or a file in which one side finds
 * CFI and the other doesn't; 2 usage. Files of all machines that cfi_arch.h has are compared; others are
 * counted.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unwind/libdw_row.h"
#include "user/unwind/cfi.h"

#define MAX_ROWS   (16U << 20)
#define SHOW_FIRST 5 /* mismatches of a file */

struct totals {
	uint64_t files, skipped, pcs, mismatches, rows, merged, unsupported, malformed, fdes;
	uint64_t kind[16], fp[16]; /* rows by the nibbles of their kind */
	double build_s;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static bool same(const struct hu_row *a, const struct hu_row *b)
{
	return a->kind == b->kind && a->cfa_off == b->cfa_off && a->fp_off == b->fp_off;
}

/* One file's CFI by libdw, and how it says that no FDE covers an address; NULL: none of that kind. */
struct oracle {
	Dwarf_CFI *eh, *debug;
	int eh_no_match, debug_no_match;
	uint64_t entry; /* the program's */
	uint16_t machine;
};

static void oracle_row(const struct oracle *o, uint64_t addr, struct hu_row *row)
{
	row->kind = HU_CFA_GAP;
	if (o->eh)
		libdw_row__of(o->eh, o->machine, addr, o->eh_no_match, row);
	if (o->debug && row->kind == HU_CFA_GAP)
		libdw_row__of(o->debug, o->machine, addr, o->debug_no_match, row);
}

static void check_pc(const struct oracle *o, const struct cfi_table *t, uint64_t pc,
		     const char *path, struct totals *sum, uint64_t *shown)
{
	const struct hu_row *ours = cfi__find(t, (uint32_t)pc);
	struct hu_row theirs = { .pc = (uint32_t)pc };

	oracle_row(o, t->base + pc, &theirs);
	if (ours && ours->kind == HU_CFA_GAP && theirs.kind == HU_CFA_GAP)
		theirs.cfa_off = ours->cfa_off; /* where it ends */
	sum->pcs++;
	if (ours && same(ours, &theirs))
		return;
	/* From machine code: only where no call frame information says anything. */
	if (ours && (ours->kind & HU_ROW_DERIVED) && theirs.kind == HU_CFA_GAP)
		return;
	/* cfi__mark_entry() adds what no file says: the entry point has no caller. */
	if (ours && ours->kind == HU_CFA_END && theirs.kind == HU_CFA_GAP &&
	    t->base + ours->pc == o->entry)
		return;
	sum->mismatches++;
	if ((*shown)++ < SHOW_FIRST)
		printf("%s: pc 0x%llx: kind 0x%x cfa_off %d fp_off %d, libdw says 0x%x %d %d\n",
		       path, (unsigned long long)(t->base + pc), ours ? ours->kind : 0xff,
		       ours ? ours->cfa_off : 0, ours ? ours->fp_off : 0, theirs.kind,
		       theirs.cfa_off, theirs.fp_off);
}

static void check_rows(const struct oracle *o, const struct cfi_table *t, size_t sample,
		       const char *path, struct totals *sum)
{
	uint64_t shown = 0;
	size_t i;

	for (i = 0; i < t->cnt; i += sample) {
		uint64_t pc = t->row[i].pc;
		uint64_t next = i + 1 < t->cnt ? t->row[i + 1].pc : pc + 1;

		check_pc(o, t, pc, path, sum, &shown);
		if (next - pc > 1)
			check_pc(o, t, pc + 1, path, sum, &shown);
		if (next - pc > 2)
			check_pc(o, t, next - 1, path, sum, &shown);
	}
}

static void add_table(const struct cfi_table *t, struct totals *sum)
{
	size_t i;

	sum->fdes += t->stats.fdes;
	sum->merged += t->cnt;
	sum->rows += t->stats.rows;
	sum->unsupported += t->stats.unsupported;
	sum->malformed += t->stats.malformed;
	for (i = 0; i < t->cnt; i++) {
		sum->kind[t->row[i].kind & 15]++;
		sum->fp[HU_ROW_FP(t->row[i].kind)]++;
	}
}

/* Does any row come from call frame information, rather than from machine code or the entry point? */
static bool has_cfi(const struct cfi_table *t)
{
	for (size_t i = 0; i < t->cnt; i++)
		if (!(t->row[i].kind & HU_ROW_DERIVED) && t->row[i].kind != HU_CFA_GAP &&
		    t->row[i].kind != HU_CFA_END)
			return true;
	return false;
}

/*
 * Go's linker ends its part of .debug_frame with a zero length and appends the C code's. libdw
 * stops there, while gdb, readelf and we read on. So that it can be asked about the rest, the zeros
 * become padding (DW_CFA_nop) of the entry before, in libelf's copy of the section.
 */
static void hide_terminators(Elf_Data *data)
{
	uint8_t *buf = data->d_buf;
	size_t off = 0, last = SIZE_MAX;
	uint32_t len, zero_len;

	while (off + 4 <= data->d_size) {
		memcpy(&len, buf + off, 4);
		if (len == 0xffffffff || len > data->d_size - off - 4)
			return;
		if (len || last == SIZE_MAX) {
			last = off;
		} else {
			memcpy(&zero_len, buf + last, 4);
			zero_len += 4;
			memcpy(buf + last, &zero_len, 4);
		}
		off += 4 + (size_t)len;
	}
}

static void prepare_debug_frame(Elf *elf)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name)
							  : NULL;

		if (!name || sh.sh_type == SHT_NOBITS || strcmp(name, ".debug_frame"))
			continue;
		if (sh.sh_flags & SHF_COMPRESSED)
			elf_compress(scn, 0, 0);
		data = elf_getdata(scn, NULL);
		if (data && data->d_buf)
			hide_terminators(data);
	}
}

static void compare(int fd, const char *path, const struct cfi_table *t, size_t sample,
		    struct totals *sum)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	struct oracle o = { 0 };
	GElf_Ehdr eh;
	Dwarf *dw;

	prepare_debug_frame(elf);
	dw = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	o.debug = dw ? dwarf_getcfi(dw) : NULL;
	o.eh = dwarf_getcfi_elf(elf);
	if (gelf_getehdr(elf, &eh)) {
		o.entry = eh.e_entry;
		o.machine = eh.e_machine;
	}
	if (o.eh)
		o.eh_no_match = libdw_row__no_match(o.eh);
	if (o.debug)
		o.debug_no_match = libdw_row__no_match(o.debug);
	if (o.eh || o.debug) {
		check_rows(&o, t, sample, path, sum);
	} else if (has_cfi(t)) {
		printf("%s: %zu rows, but libdw finds no CFI: %s\n", path, t->cnt,
		       dwarf_errmsg(-1));
		sum->mismatches++;
	}
	if (o.eh)
		dwarf_cfi_end(o.eh);
	if (dw)
		dwarf_end(dw);
	elf_end(elf);
}

static void check_file(const char *path, size_t sample, bool verbose, struct totals *sum)
{
	struct cfi_table *t;
	double start;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		sum->mismatches++; /* asked for, and not compared */
		return;
	}
	start = now_s();
	err = cfi__build_foreign(fd, MAX_ROWS, &t);
	start = now_s() - start;
	if (err == -ENOEXEC || err == -ENOENT) {
		if (verbose)
			printf("%s: %s\n", path, err == -ENOENT ? "no CFI" : "no ELF file for us");
		sum->skipped++;
	} else if (err) {
		printf("%s: %s\n", path, strerror(-err));
		sum->mismatches++;
	} else {
		if (verbose)
			printf("%s: %llu FDEs, %zu rows, %.2f ms, unsupported %llu, malformed "
			       "%llu\n",
			       path, (unsigned long long)t->stats.fdes, t->cnt, start * 1e3,
			       (unsigned long long)t->stats.unsupported,
			       (unsigned long long)t->stats.malformed);
		sum->files++;
		sum->build_s += start;
		add_table(t, sum);
		compare(fd, path, t, sample, sum);
		cfi__free(t);
	}
	close(fd);
}

static void print_totals(const struct totals *s)
{
	static const char *const kind[] = { "gap",    "end",	  "sp",	      "fp",  "plt",
					    "signal", "deref_fp", "deref_sp", "bad", "ra_reg" };
	static const char *const fp[] = { "same", "cfa", "undef",     "rel",
					  "pair", "ra",	 "pair_base", "ra_base" };
	size_t i;

	printf("files %llu (and %llu without CFI for us), FDEs %llu, rows %llu (%llu merged), "
	       "built in %.1f ms\n",
	       (unsigned long long)s->files, (unsigned long long)s->skipped,
	       (unsigned long long)s->fdes, (unsigned long long)s->rows,
	       (unsigned long long)s->merged, s->build_s * 1e3);
	printf("kinds:");
	for (i = 0; i < sizeof(kind) / sizeof(kind[0]); i++)
		printf(" %s %llu", kind[i], (unsigned long long)s->kind[i]);
	printf("\nfp:");
	for (i = 0; i < sizeof(fp) / sizeof(fp[0]); i++)
		printf(" %s %llu", fp[i], (unsigned long long)s->fp[i]);
	printf("\nunsupported %llu (%.3f %%), malformed %llu\n", (unsigned long long)s->unsupported,
	       s->rows ? 100.0 * s->unsupported / s->rows : 0, (unsigned long long)s->malformed);
	printf("pcs compared %llu, mismatches %llu\n", (unsigned long long)s->pcs,
	       (unsigned long long)s->mismatches);
}

static int usage(void)
{
	fputs("usage: compare_cfi [--sample N] [-v] FILE...\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct totals sum = { 0 };
	unsigned long sample = 1;
	bool verbose = false;
	char *end;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-v")) {
			verbose = true;
		} else if (!strcmp(argv[i], "--sample") && i + 1 < argc) {
			sample = strtoul(argv[++i], &end, 10);
			if (*end || !sample)
				return usage();
		} else {
			return usage();
		}
	}
	if (i == argc)
		return usage();
	elf_version(EV_CURRENT);
	for (; i < argc; i++)
		check_file(argv[i], sample, verbose, &sum);
	print_totals(&sum);
	return sum.mismatches ? 1 : 0;
}
