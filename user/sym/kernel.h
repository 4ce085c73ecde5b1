/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of the kernel's functions, from /proc/kallsyms (root sees addresses there; kernel.kptr_restrict=2 hides them
 * from root, too: then nothing has a name). Read at the first question. Ownership: names belong to the object.
 */
#ifndef HOLDUP_SYM_KERNEL_H
#define HOLDUP_SYM_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kernel_names;

/* -ENOMEM */
int kernel_names__new(struct kernel_names **ret);
/* The same from a file in that format, read at once; the caller closes it. */
int kernel_names__read(FILE *file, struct kernel_names **ret);
void kernel_names__free(struct kernel_names *k); /* NULL is fine */
/* The function at an address; "" when not known. */
const char *kernel_names__find(struct kernel_names *k, uint64_t addr);
/*
 * Where a sleeping thread is in the kernel: the first of its functions (leaf first) that is not the scheduler's own
 * or a general way to sleep, as wchan in proc(5); "" when not known.
 */
const char *kernel_names__place(struct kernel_names *k, const uint64_t *pcs, size_t cnt);

#endif
