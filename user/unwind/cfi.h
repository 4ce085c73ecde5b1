/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call frame information to unwind rows: the tables that the unwinders, in BPF and here, walk by.
 *
 * In: the bytes of an .eh_frame or .debug_frame section (hostile: every read is bounded, every loop
 * ends, memory is limited, time is n log n in the section's size). Out: rows (bpf/abi.h, struct
 * hu_row) sorted by pc, no pc twice, without two in a row that say the same, gaps marked, the end
 * of the last FDE too. What rows can't express becomes HU_CFA_BAD and is counted, so that a stack
 * ends there honestly. The interpreter is ours because libdw's is 5 to 10 times slower.
 *
 * FDEs may come in any order and overlap: for a pc the FDE that starts last at or below it is
 * taken, among those that start at the same pc the last one in the (last) section. That is what a
 * search of .eh_frame_hdr finds; the runtime's unwinder works so. A broken FDE is good up to the
 * instruction that breaks it and HU_CFA_BAD from there to its end.
 *
 * References: DWARF 5 section 6.4; the x86-64 psABI 1.0 section 3.6.2 (register numbers), LSB 5.0
 * Core section 10.6 (.eh_frame); DWARF for the Arm 64-bit architecture. Sections are little-endian and
 * 64-bit; what depends on the machine is in cfi_arch.h.
 * Ownership: cfi__free() frees the rows. Errors: negative errno; ret is not written then.
 */
#ifndef HOLDUP_UNWIND_CFI_H
#define HOLDUP_UNWIND_CFI_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* What we run on. */
#if defined(__aarch64__)
#define CFI_MACHINE EM_AARCH64
#else
#define CFI_MACHINE EM_X86_64
#endif

struct cfi_stats {
	uint64_t cies, fdes;
	uint64_t rows;	      /* before equal neighbours were merged */
	uint64_t unsupported; /* rows that became HU_CFA_BAD */
	uint64_t malformed;   /* entries that were left out or broke off */
};

/* Code that was reached from one function's start, where rows were derived: [lo, hi), counted like rows' pcs. */
struct cfi_func {
	uint32_t lo, hi;
	uint32_t start;
};

struct cfi_table {
	struct hu_row *row;
	size_t cnt;
	uint64_t base;	       /* ELF vaddr that row[].pc counts from */
	struct cfi_func *func; /* sorted, disjoint; NULL: nothing was derived */
	size_t func_cnt;
	/* Of a file: how much code it has, and how much of that no call frame information speaks of. */
	uint64_t code_bytes, gap_bytes;
	struct cfi_stats stats;
};

struct cfi_section {
	const uint8_t *data;
	size_t sz;
	uint64_t vaddr;	    /* of data[0] */
	bool debug_frame;   /* .debug_frame's encoding of CIE pointers, absolute addresses */
	uint64_t data_base; /* DW_EH_PE_datarel counts from here: the GOT; 0: there is none */
	/*
	 * Only FDEs that lie in [text_lo, text_hi) count; text_hi 0: all. Linkers leave FDEs of
	 * functions they dropped in .debug_frame, at address 0, where they would cover others.
	 */
	uint64_t text_lo, text_hi;
	uint16_t machine; /* e_machine, that of the first section counts; 0: CFI_MACHINE */
};

#define CFI_MAX_SECTIONS 4

/*
 * Rows of cnt sections of one file. At most max_rows, and as many FDEs (-E2BIG beyond: a hostile
 * file). The table may have no rows.
 */
int cfi__build(const struct cfi_section *sec, size_t cnt, uint64_t base, size_t max_rows,
	       struct cfi_table **ret);
/*
 * The same from an ELF file: .debug_frame, if there is one, and .eh_frame; compilers put a unit's
 * FDEs into one of them, and the C library's start files have .eh_frame even where the program has
 * not. Where they leave much of the code out, debug->find() is asked for the separate debug file, which
 * holds .debug_frame once a file is stripped (debug NULL: there is none, nor when it returns NULL). Of an
 * image in memory, the vdso's, sigreturn is marked. base = lowest PT_LOAD vaddr. -ENOEXEC: no ELF file of
 * CFI_MACHINE; -ENOENT: it has no FDEs; -EFBIG: a section above 256 MiB. Files are read, never mapped: a
 * truncated one can't raise SIGBUS.
 */
struct elf_file;
struct cfi_debug {
	const struct elf_file *(*find)(void *ctx); /* the file stays the callee's */
	void *ctx;
};
int cfi__build_elf(const struct elf_file *f, const struct cfi_debug *debug, size_t max_rows,
		   struct cfi_table **ret);
int cfi__build_file(int fd, size_t max_rows, struct cfi_table **ret);
/* The same for a file of any machine that cfi_arch.h has; from another one's code nothing is derived. */
int cfi__build_foreign(int fd, size_t max_rows, struct cfi_table **ret);
/*
 * The program's entry point has no caller, and in musl no CFI either (crt/x86_64/crt_arch.h): where no
 * FDE covers it, it becomes HU_CFA_END, so that the main thread's stack is known to be complete.
 */
int cfi__mark_entry(struct cfi_table *t, uint64_t entry);
/*
 * Where handlers return to in the vdso, whose code is text (sz bytes at vaddr). On arm64 it has no CFI
 * (arch/arm64/kernel/vdso/sigreturn.S, since 5.8): unwinders know it by its instructions, which the kernel promises
 * not to change. The nop before it belongs to it, for those who look up a return address less one.
 */
int cfi__mark_sigreturn(uint16_t machine, struct cfi_table *t, const uint8_t *text, size_t sz,
			uint64_t vaddr);
void cfi__free(struct cfi_table *t);
/* The row for pc (relative to base); NULL below the first. */
const struct hu_row *cfi__find(const struct cfi_table *t, uint32_t pc);

#endif
