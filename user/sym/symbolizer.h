/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of processes to names: keeps the mappings of every process from first sight on (so that
 * a process that is gone when the report is printed still has names), shares modules between
 * processes, and interns every string it hands out.
 *
 * Files are opened through /proc/TGID/map_files/START-END, which reaches deleted files, memfds and
 * other mount namespaces alike, else /proc/TGID/root/PATH. Modules are shared by (device, inode) of
 * the mapping and the file's own size and mtime.
 *
 * Descriptors are bounded by a fraction of RLIMIT_NOFILE: beyond that, the oldest files are parsed
 * early and closed (their source lines are lost, their names are not).
 *
 * Ownership: everything returned lives until symbolizer__free(), but a process only until it is dropped,
 * and its struct maps only until it is rescanned. Errors: negative errno. A process that can't be read is still
 * added, with no mappings, and counted in stats. Not thread-safe.
 */
#ifndef HOLDUP_SYM_SYMBOLIZER_H
#define HOLDUP_SYM_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/sym/maps.h"
#include "user/sym/module.h"

struct symbolizer;
struct sym_process; /* one address space */

struct sym_stats {
	uint64_t processes;   /* address spaces seen */
	uint64_t unreadable;  /* … whose mappings could not be read */
	uint64_t modules;     /* ELF files read */
	uint64_t modules_bad; /* files that could not be opened or parsed */
};

/* One function in a call stack. Inlined functions come as frames of their own, innermost first. */
struct sym_frame {
	const char *function; /* demangled; "" when unknown */
	const char *raw;      /* as in the file, for comparing; "" when unknown */
	/* Base name of the file; "[vdso]"; "[jit]" for generated code that its process gave a name
	 * (jit.h); "" for other such code, and when the pc is in no mapping. */
	const char *module;
	const char *file; /* source file, "" when unknown */
	/*
	 * Named: pc less the function's start (an inlined frame has that of the function it is in).
	 * Unnamed: the start of the function by its FDE, or the pc when there is none, less the
	 * module's lowest address: "module+0xOFFSET" is the same for all pcs of one function. In no
	 * module: pc itself.
	 */
	uint64_t offset;
	int line; /* 0 when unknown */
	bool inlined;
	bool guessed; /* how the stack got here was a guess: whoever walked it sets this */
};

/* An object in memory. */
struct sym_object {
	const char *name;   /* demangled symbol; "" when no symbol covers the address */
	const char *module; /* the file whose data or bss holds it; "" for heap, stack and the like */
	/* Address less the symbol's start; else less the module's lowest address; else within the
	 * file; else 0. */
	uint64_t offset;
	bool writable;
};

int symbolizer__new(struct symbolizer **ret);
void symbolizer__free(struct symbolizer *s);
/* From now on, debug files that are not here come from servers; errors as of debuginfod__new(). */
int symbolizer__use_debuginfod(struct symbolizer *s);

/*
 * First sight of an address space: reads its mappings at once and opens its file-backed executable
 * modules' files at once (parsing them is left until a name is asked for), since it may be gone
 * later.
 */
int symbolizer__add_process(struct symbolizer *s, pid_t tgid, struct sym_process **ret);
/*
 * Reads the mappings again (dlopen) and merges: what has vanished keeps its names unless
 * overlapped. -ESRCH: the process is gone, or its ID is another's now; nothing changes then. An
 * exec is not noticed: the caller adds the process anew.
 */
int symbolizer__rescan(struct symbolizer *s, struct sym_process *p);

/*
 * Frees a process that nobody asks about any more; strings stay. What is known of its addresses goes as well,
 * once most of what is known is of such processes.
 */
void symbolizer__drop_process(struct symbolizer *s, struct sym_process *p);

const struct maps *sym_process__maps(const struct sym_process *p);
/* The path of the main program, "" when unknown. */
const char *sym_process__exe(const struct sym_process *p);
/* The module at addr, bss included, and its load bias (addr - bias is an ELF virtual address),
 * NULL: none. */
struct module *sym_process__module(struct symbolizer *s, struct sym_process *p, uint64_t addr,
				   uint64_t *bias);

/*
 * The frames of one pc into ret[cap]; returns how many (at least 1). leaf: pc is the instruction to
 * be executed; otherwise a return address, and pc - 1 is looked up. with_lines asks libdw, which is
 * slow at the first use of a module; the outermost cap frames are kept. Results without lines are
 * cached by (process, pc).
 */
size_t symbolizer__frames(struct symbolizer *s, struct sym_process *p, uint64_t pc, bool leaf,
			  bool with_lines, struct sym_frame *ret, size_t cap);
/* Data symbol at addr. Bss beyond the file's mapping counts as the module's. */
void symbolizer__object(struct symbolizer *s, struct sym_process *p, uint64_t addr,
			struct sym_object *ret);

/* "name" or "name+0x10", interned; "": there is none. */
const char *symbolizer__object_name(struct symbolizer *s, const struct sym_object *object);
const char *symbolizer__intern(struct symbolizer *s, const char *text); /* NULL: out of memory */
void symbolizer__stats(const struct symbolizer *s, struct sym_stats *ret);

#endif
