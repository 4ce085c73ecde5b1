/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call stacks of threads from outside: their registers from an iterator, their memory by /proc/PID/mem,
 * unwind tables of their modules, built once a module. Nothing is stopped: what a thread does meanwhile makes a
 * stack wrong, so who asks must find out whether it has moved.
 *
 * Ownership: tables live until walker__free(); the symbolizer must outlive the walker. Not thread-safe.
 */
#ifndef HOLDUP_COLLECT_WALKER_H
#define HOLDUP_COLLECT_WALKER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"
#include "user/sym/symbolizer.h"

/* A process's memory, read in pieces of up to two pages, of which the last one is kept. Zeroed: of none. */
struct target_memory {
	pid_t tgid;
	pid_t opened; /* what file is of; 0: none is open */
	int file; /* /proc/PID/mem: where process_vm_readv(2) waits for a lock, not even SIGKILL ends it */
	uint64_t addr; /* of bytes[0] */
	size_t len;    /* 0: nothing is kept */
	uint8_t bytes[8192];
};

/* For another process, or the same one later. */
void target_memory__set(struct target_memory *m, pid_t tgid);
/* To be called at last. */
void target_memory__close(struct target_memory *m);
/* sz bytes at addr into buf; 0, or -EFAULT, -ESRCH, -EPERM, -EBUSY (patience.h): they can't all be read. ctx is the memory. */
int target_memory__read(void *ctx, uint64_t addr, void *buf, size_t sz);

struct walker;

int walker__new(struct symbolizer *symbolizer, struct walker **ret);
void walker__free(struct walker *w);
/* The stack of the thread in this record, of the process p; ret->tgid is set as well. */
void walker__walk(struct walker *w, struct sym_process *p, const struct hu_thread_record *rec,
		  struct target_memory *memory, struct hu_stack *ret);

#endif
