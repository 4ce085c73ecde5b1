/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unwind rows for the kernel side: one array for all modules, in extents; each process's list of executable
 * mappings says which extent belongs to which addresses. A module's rows are built once and shared by the
 * processes that have it mapped, and by other files with the same rows; after the last of them they stay until
 * their room is needed.
 *
 * In: processes as the symbolizer knows them. Out: the maps hu_rows (through its memory mapping) and
 * hu_maps. Ownership: modules belong to the symbolizer, which must outlive the store. Errors: negative
 * errno; a process for which nothing could be set has stacks by frame pointers, marked as such.
 */
#ifndef HOLDUP_COLLECT_ROWS_H
#define HOLDUP_COLLECT_ROWS_H

#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"
#include "user/sym/symbolizer.h"

struct row_store;

struct row_stats {
	uint64_t rows, rows_used; /* room, and how much of it is taken */
	uint64_t modules;	  /* with rows now */
	uint64_t modules_without; /* have no call frame information, or none that could be read */
	uint64_t modules_full; /* found no room: their frames end stacks; more --unwind-mem helps */
	uint64_t maps_dropped; /* executable mappings beyond HU_MAX_MAPS of a process */
};

/* rows_fd: hu_rows with room for `rows`; maps_fd: hu_maps. Both stay the caller's. */
int row_store__new(int rows_fd, uint64_t rows, int maps_fd, struct row_store **ret);
void row_store__free(struct row_store *s);

/* Sets the mappings of tgid to what p has now; called again after a rescan. */
int row_store__set_process(struct row_store *s, struct symbolizer *sym, pid_t tgid,
			   struct sym_process *p);
/* The process ended or became another program: its modules may go. */
void row_store__remove_process(struct row_store *s, pid_t tgid);
/*
 * Walks a stack that was captured raw, by the same rows; ret->tgid and all else is set. Mappings that the
 * store does not know end it with HU_STACK_NOMAP.
 */
void row_store__walk(struct row_store *s, const struct hu_stack_record *rec, struct hu_stack *ret);
void row_store__stats(const struct row_store *s, struct row_stats *ret);

#endif
