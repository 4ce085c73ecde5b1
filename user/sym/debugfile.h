/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that belong to a module: the search for separate debug files the way gdb does it ("Debugging
 * Information in Separate Files"): by build-id, then by .gnu_debuglink.
 *
 * Local files only, never the network. A directory that a target controls may hold anything: files
 * are opened by safe_open.h, and believed when they are checked against the module.
 */
#ifndef HOLDUP_SYM_DEBUGFILE_H
#define HOLDUP_SYM_DEBUGFILE_H

#include "user/sym/elf_file.h"

#define DEBUG_DIR "/usr/lib/debug"

/* How a separate debug file is looked for. Both strings may be "". */
struct debug_search {
	const char *path; /* the module's own path, within root */
	const char *root; /* "/proc/123/root": searched after the host's own root */
};

/* The debug file of f, checked against its build-id or CRC; -ENOENT. */
int debugfile__find(const struct elf_file *f, const struct debug_search *where,
		    struct elf_file **ret);
/* A file that is said to be the debug file of f, by someone who is not to be believed; fd stays the
 * caller's. -ENOENT: it is not. */
int debugfile__accept(const struct elf_file *f, int fd, struct elf_file **ret);
/* What .gnu_debugdata of f unpacks to (MiniDebugInfo: an xz-compressed ELF file); -ENOENT. */
int debugfile__unpack_mini(const struct elf_file *f, struct elf_file **ret);

#endif
