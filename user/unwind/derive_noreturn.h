/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which calls of an ELF file lead to functions of C and C++ libraries that do not come back, so that what stands
 * behind such a call is not reached from it: a path that does not exist would give wrong rows.
 *
 * In: an ELF file (hostile). Out: sorted addresses: of the functions, of their stubs in the procedure linkage
 * table, and of their words in the global offset table, through which -fno-plt calls. free(*ret). Errors:
 * negative errno; a broken table gives fewer.
 */
#ifndef HOLDUP_UNWIND_DERIVE_NORETURN_H
#define HOLDUP_UNWIND_DERIVE_NORETURN_H

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

int derive_noreturn__find(Elf *elf, uint64_t file_sz, uint64_t **ret, size_t *ret_cnt);

#endif
