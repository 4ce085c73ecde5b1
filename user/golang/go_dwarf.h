/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layouts of the runtime's structures as a program's own debugging information has them, which is right where a
 * table by version can be wrong: patched runtimes, versions between releases.
 *
 * libdw reads it in a worker process (sym/worker.h), whose answer is not trusted: offsets are bounded here, and whoever
 * uses them proves them on goroutine 1. Stripped programs have none, and then nothing is started.
 */
#ifndef HOLDUP_GOLANG_GO_DWARF_H
#define HOLDUP_GOLANG_GO_DWARF_H

#include "user/golang/go_layout.h"
#include "user/sym/elf_file.h"

/* Overwrites those fields of the layout that it finds; returns how many, 0 for none. */
int go_dwarf__read(const struct elf_file *elf, struct go_layout *layout);

#endif
