/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The code of an ELF file that has no call frame information, and where functions start in it: by symbols,
 * by the entry point, by calls and addresses in the code that has, and by relocations.
 *
 * In: an ELF file (hostile), of this machine, open for reading with libelf and by descriptor, and its rows so
 * far. Out: more rows in the same table. Little is done where little is missing: what compilers' start
 * files leave without (crtbegin.o, .init) lies in every module and is hardly ever on a stack.
 * Errors: negative errno; the table is as it was then.
 */
#ifndef HOLDUP_UNWIND_DERIVE_FILE_H
#define HOLDUP_UNWIND_DERIVE_FILE_H

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

#include "user/unwind/cfi.h"
#include "user/unwind/derive.h"

struct derive_file {
	struct derive_code *code; /* owns data, too */
	size_t code_cnt, code_cap;
	struct derive_start *start;
	size_t start_cnt, start_cap;
	uint64_t code_sz;
	uint64_t *noreturn;
	size_t noreturn_cnt;
	bool fixed;
};

/*
 * What t has no rows for, with its starts; t may be a table without rows, then that is all code. code_cnt is 0
 * where nothing is worth it.
 */
int derive_file__read(Elf *elf, int fd, const struct cfi_table *t, struct derive_file *ret);
/* As input; it points into f. */
struct derive_input derive_file__input(const struct derive_file *f, uint64_t base);
void derive_file__free(struct derive_file *f); /* what it points to, not itself */

/* Derives rows for what t has none for, and adds them: at most max_rows in all. */
int derive_file__fill(Elf *elf, int fd, size_t max_rows, struct cfi_table *t);

#endif
