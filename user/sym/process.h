/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One address space: its mappings, and which module lies behind each. The part of the symbolizer
 * that knows where things are, not what they are called; see symbolizer.h for what is promised.
 *
 * The files belong to the symfile_set, which has to outlive the process. Errors: negative errno.
 */
#ifndef HOLDUP_SYM_PROCESS_H
#define HOLDUP_SYM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/sym/jit.h"
#include "user/sym/maps.h"
#include "user/sym/module.h"
#include "user/sym/symbolizer.h"
#include "user/sym/symfile.h"

struct region;

struct sym_process {
	struct sym_process *next, **from; /* the symbolizer's list; from: what points here */
	pid_t tgid;
	uint64_t start_time; /* clock ticks after boot; 0: unknown */
	uint64_t serial;     /* the symbolizer's: new whenever an answer may have changed */
	size_t cached;	     /* answers kept under this serial, or that were once */
	bool unreadable;     /* its mappings could not be read */
	struct maps *maps;
	struct region *region; /* what is behind each of maps */
	char *exe;
	struct jit jit;
};

int process__new(struct symfile_set *files, struct jit_set *jits, pid_t tgid,
		 struct sym_process **ret);
void process__free(struct sym_process *p); /* NULL is fine */
/* -ESRCH: it is gone, and nothing changes. */
int process__rescan(struct symfile_set *files, struct sym_process *p);
/* In clock ticks after boot; 0: unknown. With its ID it tells a process from all others. */
uint64_t process__start_time(pid_t tgid);

/*
 * The module at addr, bss included, and its load bias. *ret_map: the mapping that names it, or the
 * one at addr where no module is known (NULL is returned), or NULL.
 */
struct module *process__module(struct symfile_set *files, struct sym_process *p, uint64_t addr,
			       const struct mapping **ret_map, uint64_t *bias);

#endif
