/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The threads that a program's own C library knows, those that have ended included: glibc keeps the stack and the
 * descriptor (struct pthread) of a joinable thread in a list until it is joined or detached, which tells exactly
 * who was never joined, however long ago it ended.
 *
 * glibc describes this list to debuggers by _thread_db_… tables in its own memory (nptl_db/structs.def, db_info.c:
 * size in bits, count, offset), of which the ones used here are there since 2.34, in static programs too. Other C
 * libraries unlink a thread as it ends.
 *
 * Everything read is hostile: reads and counts are bounded, nothing is stopped, so an entry that is just being added or
 * freed can be misread: who wants to be sure looks twice. Ownership: libc_threads__free(). Errors: -ENOENT: the
 * process has no such list; -EIO: it can't be read; -ENOMEM.
 */
#ifndef HOLDUP_COLLECT_LIBC_THREADS_H
#define HOLDUP_COLLECT_LIBC_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/collect/walker.h"
#include "user/sym/symbolizer.h"

#define LIBC_THREADS_MAX 100000

struct libc_thread {
	uint64_t descriptor; /* address of its struct pthread */
	uint64_t start;	     /* its start routine; 0: not known, as of the main thread */
	uint64_t stack_sz;   /* bytes of address space, without the guard */
	uint32_t tid;	     /* as its own PID namespace has it; 0: it has ended */
	bool detached;	     /* where detached_known */
	bool detached_known;
};

struct libc_threads {
	struct libc_thread *thread;
	size_t cnt;
	bool partial; /* the list goes on, or could not be followed to its end */
};

int libc_threads__read(struct symbolizer *symbolizer, struct sym_process *process,
		       struct target_memory *memory, struct libc_threads *ret);
void libc_threads__free(struct libc_threads *t); /* an empty one is fine */

#endif
