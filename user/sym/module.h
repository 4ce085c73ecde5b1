/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One ELF file and the names in it.
 *
 * In: an open file (hostile: every size and offset in it is checked, nothing is mapped so that a
 * truncated file can't raise SIGBUS, everything is read with pread). Out: functions
 * and objects by ELF virtual address, from our own sorted tables (libdwfl's lookup is a linear
 * scan), taken from .symtab, else the separate debug file (build-id below /usr/lib/debug, then
 * debuglink), plus .gnu_debugdata, plus .dynsym. st_size is respected: an address between two
 * symbols has no name. A symbol of size 0 (assembly) reaches to the next symbol, but not beyond its
 * section. Of several names for one address the one that users write wins: global before local,
 * fewer leading underscores, shorter, then alphabetic.
 *
 * Names are the file's bytes, mangled, without a version suffix, owned by the module; demangle with
 * demangle__name(). Opening reads the headers only; the first question for a name reads the tables.
 * Lookups are logarithmic. Errors: negative errno. Not thread-safe.
 */
#ifndef HOLDUP_SYM_MODULE_H
#define HOLDUP_SYM_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct module;

struct symbol {
	const char *name;
	uint64_t addr; /* ELF virtual address of its first byte */
	uint64_t size; /* bytes; 0 when the file does not say */
};

/*
 * Opens the ELF file behind fd (the caller keeps fd and may close it afterwards). path is for
 * messages and for the search of a debuglink only; debug_root is "" or a prefix such as
 * "/proc/123/root" below which separate debug files are looked for after the host's own.
 */
int module__open(int fd, const char *path, const char *debug_root, struct module **ret);
/* The same for an image in memory (the vdso); the bytes are copied. */
int module__open_memory(const void *image, size_t sz, const char *path, struct module **ret);
void module__free(struct module *m); /* NULL is fine */
/*
 * Before anything is asked: how many bytes of symbols and function starts may yet be kept, shared with
 * other modules. Those that no longer fit are not read.
 */
void module__use_budget(struct module *m, uint64_t *bytes);
/*
 * With the first question for a name, a debug file that is not found here may come from servers
 * (debuginfod.h); d has to outlive the module.
 */
struct debuginfod;
void module__use_debuginfod(struct module *m, struct debuginfod *d);
/*
 * Reads all tables now and then closes the descriptors that the module holds; source lines are
 * lost. For those who have too many open.
 */
void module__settle(struct module *m);

/*
 * The module's call frame information as unwind rows (unwind/cfi.h), at most max_rows; the caller
 * frees the table. Where it leaves much of the code out, the local debug file's .debug_frame is
 * added. -ENOENT: there is none, or its file is closed; others as of cfi__build_elf(). Where rows were derived,
 * the module remembers where functions start (module__fde_start()).
 */
struct cfi_table;
int module__cfi(struct module *m, size_t max_rows, struct cfi_table **ret);

bool module__func(struct module *m, uint64_t vaddr, struct symbol *ret);
bool module__object(struct module *m, uint64_t vaddr, struct symbol *ret);
/*
 * The function's start by its FDE in .eh_frame, or as derived by module__cfi(), for code that has no symbol;
 * false: not known.
 */
bool module__fde_start(struct module *m, uint64_t vaddr, uint64_t *ret);
/* The symbol by its exact name (a version suffix is ignored), of any type; false: not defined here.
 */
bool module__by_name(struct module *m, const char *name, struct symbol *ret);

/* File offset to virtual address by the program headers; false: not in a PT_LOAD's file part. */
bool module__vaddr_of_offset(const struct module *m, uint64_t off, uint64_t *ret);
/*
 * The load bias (address less ELF virtual address) of a mapping of this file at start, from the
 * file offset off, executable or not. False: no PT_LOAD fits. Two PT_LOADs may share a page of the
 * file, so for data this is a guess (with RELRO even their permissions are equal): ask for the bias
 * of the code nearby, and whether it fits.
 */
bool module__bias(const struct module *m, uint64_t start, uint64_t off, bool exec, uint64_t *ret);
bool module__bias_fits(const struct module *m, uint64_t bias, uint64_t start, uint64_t off);
/* The lowest and highest+1 virtual address of all PT_LOADs, bss included. */
void module__extent(const struct module *m, uint64_t *lo, uint64_t *hi);
/* Hex digits, or "" when the file has none. */
const char *module__build_id(const struct module *m);
bool module__has_symtab(
	const struct module *m); /* a full table was found, here or in a debug file */

/*
 * Source position of vaddr by libdw, from the file or its debug file; opened at first use, in a
 * worker process (lines.h). The strings belong to the module. False: not known.
 */
struct source_line {
	const char *file;
	int line;
};
bool module__line(struct module *m, uint64_t vaddr, struct source_line *ret);

/*
 * The same with the functions that were inlined there: innermost first, the last is the one that has
 * the code. Returns how many, at most cap; 0: not known. Strings are "" and lines 0 when not known.
 */
struct source_frame {
	const char *function; /* mangled */
	const char *file;
	int line;
};
size_t module__inlined(struct module *m, uint64_t vaddr, struct source_frame *ret, size_t cap);
/* Ends the worker, for those who have too many; the next question starts another one. */
void module__end_lines(struct module *m);

/*
 * A readable name for a symbol: demangled (C++ and Rust, legacy and v0, by libiberty), without what
 * compilers append to parts and special versions of a function; "[cold]" stands behind the part that
 * was moved out of the way. So "_Z3fooi.part.0.cold" reads "foo [cold]". Names of more than 4 KiB stay,
 * as do those that would read as more than 16 KiB. malloc'ed; NULL only when out of memory.
 */
char *demangle__name(const char *name);

#endif
