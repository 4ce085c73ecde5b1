/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer of `holdup stacks` and `holdup check`: what every thread waits for, who keeps it waiting, and what will
 * never end: immutable once built; views only print it.
 *
 * In: a snapshot (collect/snapshot.h). A finding (deadlock, orphaned lock) is only made where both looks of the
 * snapshot agree on every thread and word in it, so it was true for a moment at least; and since a thread in it
 * can't go on by itself, it stays so. Waits with a timeout end by themselves and are in no deadlock; a lock whose
 * owner is gone stays locked, however its waiters wait.
 *
 * Goroutines are entries beside threads, with the same words: struct blocked_thread with a goroutine. They have no
 * thread of their own, so `thread` is then a stand-in for all of the process, which names the process and nothing else.
 *
 * Ownership: the report owns its arrays; threads and stacks belong to the snapshot, strings and frames' names to the
 * symbolizer and the calls object, which must outlive it. Times are nanoseconds. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_STACKS_H
#define HOLDUP_MODEL_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/collect/snapshot.h"
#include "user/golang/go_wait.h"
#include "user/sym/symbolizer.h"
#include "user/target/call.h"
#include "user/target/kind.h"

struct stacks_query {
	bool idle;     /* list idle groups too; else they are one line */
	bool all;      /* every thread, not groups */
	bool raw;      /* … and the kernel's and the stack's own numbers */
	bool lines;    /* source lines and inlined functions */
	bool peers;    /* look for who has the other end of pipes and sockets */
	bool kernel;   /* kernel stacks of all threads */
	unsigned rows; /* at most so many groups */
};

/* How sure it is who holds a lock. */
enum held_by {
	HELD_UNKNOWN = 0,  /* the lock does not say */
	HELD_OWNER = 1,	   /* its word names this thread */
	HELD_GONE = 2,	   /* its word names a thread that is no more */
	HELD_TARGET = 3,   /* a join: the thread that is waited for */
	HELD_NOBODY = 4,   /* the word says that it is free: a hand-over is on its way */
	HELD_PROBABLE = 5, /* a lock of Go's, which names nobody: by what stacks and code tell */
};

/* A lock, or what else in memory is waited for, with everybody who waits for it. */
struct waited_lock {
	const struct snap_process
		*process; /* of the first waiter; shared locks have waiters in several */
	uint64_t address; /* of the whole object, there */
	const char *name; /* "" when nothing names it */
	enum lock_kind kind;
	const char *label; /* as struct target_wait has it */
	bool idle;	   /* a wait for work */
	bool shared;
	enum held_by held_by;
	uint32_t owner_word; /* as the lock has it: a TID of the process's PID namespace; 0: none */
	struct blocked_thread *owner; /* NULL: not known, or gone */
	bool abandoned; /* a lock of Go's: taken, but nobody is seen who could have it */
	bool steady; /* owner and word were the same at both looks of every waiter that was steady */
	size_t waiters;
};

/* The frames of one distinct stack, leaf first. */
struct named_stack {
	const struct snap_stack *stack;
	struct sym_frame *frames;
	size_t frame_cnt;
	bool has_lines;
};

enum blocked_state {
	BLOCKED_RUNNING = 1,  /* on a CPU: not blocked at all */
	BLOCKED_RUNNABLE = 2, /* it would run if it had a CPU */
	BLOCKED_SLEEPING = 3, /* interruptible */
	BLOCKED_DISK = 4,     /* uninterruptible */
	BLOCKED_STOPPED = 5,  /* by a signal or a debugger */
	BLOCKED_EXITING = 6,
};

const char *blocked_state__name(enum blocked_state state);

struct blocked_thread {
	const struct snap_thread *thread;
	const struct named_stack *stack; /* NULL: none */
	enum blocked_state state;
	const char *
		kernel; /* the function of the kernel that it sleeps in, where its stack there was taken; "" */
	const char *
		*kernel_stack; /* functions of the kernel, leaf first; "" for one without a name */
	size_t kernel_cnt;
	int api;		  /* frames[0..api] are the lock library's; -1: none known */
	struct waited_lock *lock; /* NULL: it does not wait for an object in memory */
	uint64_t object;	  /* the lock's address in its own process; 0: none */
	struct call_wait call;	  /* what the call waits for; kind CALL_FUTEX has lock */
	bool idle;		  /* a wait for work */
	uint32_t parked_owner; /* of a PI mutex that glibc waits for without asking the kernel; 0: none */
	const char *runtime;  /* of its process: target__runtime() */
	bool timed;	      /* ends by itself */
	uint64_t at_least_ns; /* off the CPU for so long; 0: not known */
	uint64_t at_most_ns;  /* a goroutine: it can't have waited for longer; 0: not known */
	const struct go_goroutine *goroutine; /* NULL: a thread */
	struct go_wait go;		      /* what a goroutine waits for */
	const struct named_stack *created;    /* where the goroutine was created; NULL: not known */
	struct blocked_thread *
		on; /* of a goroutine: the thread that it has; of a thread: the goroutine; NULL: none */
	bool left;		       /* nobody else who could go on refers to what it waits for */
	bool own;		       /* a thread that does nothing but serve a runtime */
	struct blocked_thread *holder; /* who must act for this one to go on; NULL: not known */
	bool probable;		       /* that it is that one */
	size_t behind;		       /* threads that wait for this one, also through others */
	uint32_t visit;		       /* of the graph's walks, from here on */
	size_t blocking; /* threads whose holder it is and that have not been counted */
	bool counted;
};

/* Its TID, or its goid: within one process a name of its own. */
static inline uint64_t blocked_thread__id(const struct blocked_thread *t)
{
	return t->goroutine ? t->goroutine->goid : t->thread->rec.tid;
}

/* Threads that wait for one another in a circle; one thread: for itself. */
struct deadlock {
	struct blocked_thread **thread; /* each waits for the next one, the last for the first */
	size_t cnt;
	size_t behind;	      /* others that wait for these */
	const char *probable; /* why it is not certain: a clause; NULL: it is */
};

/* A chain of waiting that ends at a thread which waits for nobody. */
struct wait_chain {
	struct blocked_thread *root;
	size_t waiters; /* behind it, in all */
	struct waited_lock *
		*lock; /* that it holds and others wait for, most waiters first; not its own */
	size_t lock_cnt;
};

/* Threads that wait in the same place for the same kind of thing. */
struct blocked_group {
	struct blocked_thread **thread; /* longest blocked first */
	size_t cnt;
	uint64_t least_ns, most_ns; /* blocked, of those that are known */
	uint64_t at_most_ns;	 /* goroutines: none of those of which it is known waited longer */
	size_t processes, locks; /* how many different ones */
};

/* Goroutines whose wait nobody seems to be left to end, though they are in no circle. */
enum stuck_why {
	STUCK_INVALID = 0,
	STUCK_NIL_SEND = 1, /* to a nil channel */
	STUCK_NIL_RECEIVE =
		2, /* from one: meant so where it is the Done() of a context without an end */
	STUCK_ABANDONED = 3, /* a lock that is taken, while nobody is where it could have it */
	STUCK_NOBODY_LEFT =
		4,	  /* a channel or WaitGroup that nobody else refers to who could go on */
	STUCK_LEAKED = 5, /* Go's own collector found that (1.26 and newer) */
};

const char *stuck_why__name(enum stuck_why why);

struct stuck_wait {
	enum stuck_why why;
	bool certain;
	bool fault; /* never meant to be: `check` counts it if it is certain, too */
	const struct waited_lock *lock;
	struct blocked_thread **thread; /* alike ones, or all of a lock; longest waiting first */
	size_t cnt;
	struct blocked_thread **own; /* what the finding owns of thread; NULL: a group has it */
};

/* A Go program, and how well its goroutines could be read. */
struct go_summary {
	const struct snap_process *process;
	const char *version;		      /* untrusted */
	const char *why;		      /* its goroutines can't be read; "": they can */
	const struct go_snapshot *goroutines; /* NULL: not read */
	size_t first;			      /* of its goroutines in the report's threads */
};

struct stacks_report {
	uint64_t took_ns;
	struct blocked_thread
		*thread;       /* by process and TID; then the goroutines, by process and address */
	size_t thread_cnt;     /* with the goroutines */
	size_t goroutine_cnt;  /* of them */
	struct go_summary *go; /* Go programs */
	size_t go_cnt;
	struct waited_lock **lock; /* most waiters first */
	size_t lock_cnt;
	struct deadlock *deadlock;
	size_t deadlock_cnt;
	struct waited_lock **orphan; /* locks whose owner is gone */
	size_t orphan_cnt;
	struct stuck_wait *stuck; /* certain ones first */
	size_t stuck_cnt;
	struct wait_chain *chain; /* most waiters first */
	size_t chain_cnt;
	struct blocked_group *group; /* contention first, then other waits, idle ones last */
	size_t group_cnt;
	size_t processes, running, runnable, idle;
	size_t unripe; /* probable findings that have not stood for long enough to be told: look again */
	size_t own; /* threads that only serve a runtime; they count as idle, too */
	struct {
		uint64_t moved;	     /* threads that kept running between the looks */
		uint64_t retried;    /* that had to be looked at again */
		uint64_t gone;	     /* that ended meanwhile */
		uint64_t born;	     /* that began meanwhile: not listed */
		uint64_t unreadable; /* processes */
		uint64_t locked;     /* of them, those whose address space a writer has locked */
		uint64_t stacks_incomplete; /* of threads that are not on a CPU */
		uint64_t goroutines_moved;  /* that would not hold still: left out */
		uint64_t go_unread;	    /* Go programs whose goroutines could not be read */
		uint64_t go_unsearched;	    /* whose memory could not be searched for references */
		bool times_unknown;
	} coverage;
	const struct stacks_query *query;
	void *arena; /* what the arrays above are made of */
};

struct stacks_input {
	const struct snapshot *snapshot;
	struct symbolizer *symbolizer;
	struct calls *calls;
	struct kernel_names *kernel;
};

int stacks_report__build(const struct stacks_input *in, const struct stacks_query *query,
			 struct stacks_report **ret);
void stacks_report__free(struct stacks_report *r);

#endif
