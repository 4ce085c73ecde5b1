/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files that processes have mapped, each opened once, however many processes share it.
 *
 * A file is what has the same device and inode in the maps, and the same size and mtime by stat:
 * the kernel's two answers about the device differ on btrfs and overlayfs, and an inode number is
 * used again. Everything lives until symfile_set__free(). Errors: negative errno.
 */
#ifndef HOLDUP_SYM_SYMFILE_H
#define HOLDUP_SYM_SYMFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "user/sym/maps.h"
#include "user/sym/module.h"

struct symfile;
struct symfile_set;

int symfile_set__new(struct symfile_set **ret);
void symfile_set__free(struct symfile_set *set); /* NULL is fine */
/* Modules that are parsed from now on may ask servers; d has to outlive the set. */
void symfile_set__use_debuginfod(struct symfile_set *set, struct debuginfod *d);
/* The file behind a mapping of tgid, opened but not parsed; NULL: it can't be reached, or no
 * memory. */
struct symfile *symfile_set__open(struct symfile_set *set, pid_t tgid, const struct mapping *map);
/*
 * The file itself, for reading: a descriptor, or negative errno. root: "/proc/TGID/root", where it is looked for if
 * the mapping can't be opened.
 */
int symfile__open_mapped(pid_t tgid, const struct mapping *map, const char *root);
/* The kernel's own: our vdso's image is that of every 64-bit process. NULL: we have none. */
struct symfile *symfile_set__vdso(struct symfile_set *set);
/* The ELF file, parsed at the first call; NULL: it is none. */
struct module *symfile__module(struct symfile_set *set, struct symfile *f);
void symfile_set__counts(const struct symfile_set *set, uint64_t *ret_good, uint64_t *ret_bad);

#endif
