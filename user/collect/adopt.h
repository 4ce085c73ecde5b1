/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that wait already when holdup starts: which, and their stacks, read without stopping them. */
#ifndef HOLDUP_COLLECT_ADOPT_H
#define HOLDUP_COLLECT_ADOPT_H

#include <stdint.h>

#include "bpf/abi.h"

/*
 * Reads the top of the thread's stack, as far as it can be read, by process_vm_readv(2): ret is as if the
 * kernel side had captured it. -ESRCH, -EPERM, -EFAULT: nothing could be read.
 */
int adopt__read_stack(const struct hu_adopt_record *rec, struct hu_stack_record *ret);
/* The words of the futex that the thread waits on: the word itself, and what is a glibc mutex's __owner. */
int adopt__read_words(const struct hu_adopt_record *rec, uint32_t *ret_word, uint32_t *ret_owner);
/* Calls fn for each process in a cgroup v2 directory and those below it; what fn returns ends it. */
int adopt__cgroup_members(const char *path, int (*fn)(void *ctx, int pid), void *ctx);

#endif
