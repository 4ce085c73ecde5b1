/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process leaves behind when it ends (`check -- PROGRAM`): threads that ended and were never joined, threads
 * that still run or are blocked, and mutexes that threads died with. Its first thread is none, nor is the one that
 * ends the process, nor are threads that runtimes keep for themselves (target/helper_threads.h).
 *
 * In: a look at the process's threads right before its end, what its C library knows of them, and what was seen of
 * their births. Out: groups of alike ones, immutable; frames and strings belong to the symbolizer, the report of the
 * look, and the births, which must outlive it. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LEFTOVERS_H
#define HOLDUP_MODEL_LEFTOVERS_H

#include "user/collect/dead_mutexes.h"
#include "user/collect/libc_threads.h"
#include "user/model/stacks.h"

enum left_kind {
	LEFT_UNJOINED = 1,     /* ended, and nobody has joined or detached it */
	LEFT_RUNNING = 2,      /* it runs, or will by itself */
	LEFT_BLOCKED = 3,      /* it waits, without a timeout */
	LEFT_DIED_HOLDING = 4, /* a mutex whose owner is gone, and that nobody waits for */
};

/* What was seen of a thread's birth. */
struct left_birth {
	uint32_t tid;
	uint64_t tp;	/* thread pointer; 0: not known */
	uint64_t start; /* start routine; 0: not known */
	uint64_t site;	/* threads with the same one were created at the same place; 0: not known */
	const struct sym_frame *created_by; /* leaf first: from the caller of the thread library on */
	size_t created_cnt;
	bool unjoined; /* it has ended, was joinable, and its join was not seen */
};

enum left_out {
	LEFT_IN = 0,
	LEFT_HELPER = 1,  /* a runtime keeps it */
	LEFT_IGNORED = 2, /* --ignore */
};

struct left_group {
	enum left_kind kind;
	enum left_out out; /* LEFT_IN: others are only counted */
	size_t cnt;
	uint32_t tid; /* of the first; 0: not known */
	char comm[HU_COMM_LEN];
	struct sym_frame start; /* function "": not known */
	uint64_t start_pc, site;
	const struct sym_frame *created_by;
	size_t created_cnt;
	const struct blocked_thread
		*thread;      /* the first of those that live; NULL: nobody has looked */
	uint64_t stack_bytes; /* LEFT_UNJOINED: address space that stacks hold */
	/* LEFT_DIED_HOLDING */
	uint64_t address;
	const char *name; /* of the mutex */
	uint32_t owner;
};

struct leftovers {
	uint32_t tgid;
	char comm[HU_COMM_LEN];
	struct left_group *group; /* by kind, then most first */
	size_t cnt;
	size_t ignored; /* threads that --ignore leaves out */
	size_t helpers; /* that runtimes keep */
	size_t unsure_locks; /* without a name, as on the heap: what looks like a mutex of a dead thread may be none */
	bool unjoined_known; /* false: neither its C library nor its births tell */
	bool partial;	     /* not all could be looked at */
};

/* Threads of one site that were there when their process ended, without anybody having looked. */
struct left_end {
	uint64_t cnt, start, site;
	const struct sym_frame *created_by;
	size_t created_cnt;
};

struct leftovers_input {
	const struct stacks_report *stacks; /* NULL: no thread but the one that ends it */
	struct symbolizer *symbolizer;
	struct sym_process *names; /* NULL: its mappings could not be read */
	uint32_t tgid, last_tid;
	const char *comm;
	const struct libc_threads *libc; /* NULL: it has none */
	const struct dead_mutexes *dead; /* NULL: not looked for */
	const struct left_birth *birth;	 /* by TID */
	size_t birth_cnt;
	const struct left_end *end;
	size_t end_cnt;
	const char *const *ignore; /* patterns of functions, as of fnmatch(3) */
	size_t ignore_cnt;
};

int leftovers__build(const struct leftovers_input *in, struct leftovers **ret);
void leftovers__free(struct leftovers *l); /* NULL is fine */

/* Does any of these functions match? */
bool leftovers__ignored(const char *const *ignore, size_t ignore_cnt,
			const struct sym_frame *frames, size_t cnt);

#endif
