/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All wanted threads at one moment, with their stacks and the words of the locks they wait for, each looked at
 * twice: who has run in between is looked at again, a few times, and then marked. Nothing is stopped.
 *
 * A process whose address space a writer keeps locked is not read, or not to its end, as far as util/patience.h is in
 * charge; nor is one that is gone.
 * Ownership: everything belongs to the snapshot, and names to what is known of processes, which must outlive it.
 * Errors: negative errno, *why says what to do.
 */
#ifndef HOLDUP_COLLECT_SNAPSHOT_H
#define HOLDUP_COLLECT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/collect/threads.h"
#include "user/collect/known.h"
#include "user/util/table.h"

struct snap_process {
	uint32_t tgid;
	uint32_t execs; /* as in its threads' records: another program is another process here */
	uint64_t start;
	char comm[HU_COMM_LEN];	   /* of the group leader; untrusted */
	struct sym_process *names; /* NULL: its mappings could not be read */
	bool missed;		   /* … though it has threads that live */
	bool opened;		   /* they have been asked for */
	bool locked;		   /* … because a writer kept its address space locked */
	bool in_pid_namespace;	   /* its TIDs are other numbers than ours */
	uint32_t threads;	   /* in the snapshot */
	struct go_target *go;	   /* NULL: no Go program; go->now are its goroutines */
};

/* Bytes around a futex word: a glibc rwlock has its writer up to 16 above, its start up to 12 below. */
#define SNAP_NEAR_BELOW 16
#define SNAP_NEAR_SZ	48

struct snap_stack {
	uint64_t id;
	const struct snap_process *process;
	struct hu_stack stack;
};

struct snap_thread {
	struct hu_thread_record rec;
	struct snap_process *process;
	const struct snap_stack *stack; /* NULL: its process can't be read */
	uint64_t since_ns;		/* CLOCK_MONOTONIC when it left the CPU; 0: not known */
	bool futex;			/* in a call that waits for a futex word, by call (below) */
	struct hu_wait_record call;	/* op, uaddr, val, flags, word, owner_word; sleeps 1 */
	uint8_t near[SNAP_NEAR_SZ];	/* from uaddr - SNAP_NEAR_BELOW on */
	uint8_t near_from, near_to;	/* of them, those that could be read */
	bool seen;			/* the last look found it */
	bool moved;  /* it ran while we looked: stack and words may belong to different moments */
	bool steady; /* both looks agree: it has not run in between, and the words are the same */
};

struct snapshot {
	struct snap_thread *thread; /* sorted by process and TID */
	size_t cnt;
	struct table by_tid;	     /* of the threads */
	struct table processes;	     /* of struct snap_process */
	struct table stacks;	     /* of struct snap_stack */
	uint64_t began_ns, taken_ns; /* CLOCK_MONOTONIC: the first look began, the last one ended */
	uint64_t retried;	     /* threads that had to be looked at again */
	uint64_t gone;		     /* that ended meanwhile: left out */
	uint64_t born; /* that began meanwhile, and were there at the last look: not among them */
	uint64_t unreadable; /* processes */
	bool clock;	     /* since_ns is known */
};

struct snapshot_config {
	struct threads *threads;
	struct known_names *known;
	bool kernel;	     /* kernel stacks of all threads */
	uint64_t longer_ns;  /* only threads that have been off the CPU for so long; 0: all */
	uint64_t between_ns; /* at least so long between the two looks */
};

int snapshot__take(const struct snapshot_config *cfg, struct snapshot **ret);
void snapshot__free(struct snapshot *s);

/* The thread by our TID; NULL: none. */
const struct snap_thread *snapshot__thread(const struct snapshot *s, uint32_t tid);

/* The 32 bits at off from the futex word, as the last look found them; false: not read. */
bool snap_thread__near(const struct snap_thread *t, int off, uint32_t *ret);
/* Reads them (again), as many as there are: from memory, which is that of the thread's process. */
void snap_thread__read_near(struct snap_thread *t, struct target_memory *memory);
/* … and gives call.word and call.owner_word what they hold. */
void snap_thread__read_words(struct snap_thread *t, struct target_memory *memory);
/* Is it in a call that waits for a futex word? *ret: op, uaddr, val, flags; sleeps is 1, the model's sign of a sample. */
bool snap_thread__parse_call(const struct hu_thread_record *rec, struct target_memory *memory,
			     struct hu_wait_record *ret);

#endif
