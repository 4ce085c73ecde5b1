/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions that .eh_frame knows of: names for nothing, but where each begins and ends.
 *
 * In: an ELF file (hostile). Out: the ranges of all frame description entries, sorted. Only what
 * compilers emit is understood (absolute and pc-relative addresses); the rest is left out.
 * References: LSB 5.0 "Exception Frames", "DWARF Exception Header Encoding".
 */
#ifndef HOLDUP_SYM_FDE_H
#define HOLDUP_SYM_FDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/sym/elf_file.h"

struct fde_range {
	uint64_t start, end; /* ELF virtual addresses, [start, end) */
};

struct fde_list {
	struct fde_range *range;
	size_t cnt;
};

/* Ranges beyond [lo, hi) are left out. -ENOENT: no .eh_frame. free(ret->range). */
int fde__read(const struct elf_file *f, uint64_t lo, uint64_t hi, struct fde_list *ret);
const struct fde_range *fde__find(const struct fde_list *l, uint64_t vaddr); /* or NULL */

#endif
