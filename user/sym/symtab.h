/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sorted tables of the symbols of one module, gathered from several ELF files.
 *
 * symtab__add() reads .symtab or .dynsym of one file; symtab__finish() sorts; only then look up.
 * Symbols may nest (an object within a region): the innermost one wins. Names are kept in the
 * files' string tables, which the table owns; a version suffix ("@@GLIBC_2.34") is cut off. Lookups
 * are logarithmic, by name constant. Errors: negative errno, a failed add leaves what was there; -EFBIG: beyond the
 * budget.
 */
#ifndef HOLDUP_SYM_SYMTAB_H
#define HOLDUP_SYM_SYMTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/sym/elf_file.h"
#include "user/sym/module.h"

struct symtab;

/* budget: bytes that may yet be kept, of all tables that share it; NULL: as many as there are. */
int symtab__new(uint64_t *budget, struct symtab **ret);
void symtab__free(struct symtab *t); /* NULL is fine */
/* type: SHT_SYMTAB or SHT_DYNSYM; -ENOENT when the file has none. */
int symtab__add(struct symtab *t, const struct elf_file *f, uint32_t type);
int symtab__finish(struct symtab *t);

bool symtab__func(const struct symtab *t, uint64_t vaddr, struct symbol *ret);
bool symtab__object(const struct symtab *t, uint64_t vaddr, struct symbol *ret);
bool symtab__by_name(struct symtab *t, const char *name, struct symbol *ret);
/*
 * All different addresses that have this name, old versions included, into ret[cap]; returns how many. Linear, and
 * before or after symtab__finish().
 */
size_t symtab__all_by_name(const struct symtab *t, const char *name, struct symbol *ret,
			   size_t cap);
size_t symtab__count(const struct symtab *t); /* symbols of any type */

#endif
