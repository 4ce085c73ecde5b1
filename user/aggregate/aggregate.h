/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waits added up: by process, futex word, kind of call and stack. Nothing is named or judged here;
 * the model does that (model/locks.h).
 *
 * In: typed records (decode/decode.h), sums, stacks. Out: tables of processes, stacks and sites
 * that the model reads. Hooks let the owner look at a process and a stack while they can still be
 * looked at. Ownership: everything belongs to the aggregate and lives until aggregate__free();
 * aggregate__reset() ends an interval: sites go, processes and their stacks stay while they live and for an
 * interval or two. Memory grows with what is distinct, not with the number of waits. Errors: -ENOMEM, or what a
 * hook returned.
 */
#ifndef HOLDUP_AGGREGATE_AGGREGATE_H
#define HOLDUP_AGGREGATE_AGGREGATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/aggregate/hist.h"
#include "user/util/table.h"

struct sym_process;
struct go_sampler;

/* One address space: exec makes a new one. */
struct agg_process {
	uint32_t tgid;
	uint64_t start;		   /* hu_wait_record.proc_start */
	bool gone;		   /* its address space was replaced by exec */
	bool exited;		   /* its last thread; waits may still come, from other CPUs */
	bool used;		   /* while aggregate__reset() runs: it has sites or holders */
	uint8_t quiet;		   /* intervals since it was over and had none */
	bool in_pid_namespace;	   /* set by the hook: its TIDs are other numbers than ours */
	char comm[HU_COMM_LEN];	   /* of the group leader when first seen; of a thread if that was
				      never told */
	struct sym_process *names; /* set by the hook; NULL: none */
	uint64_t names_ns;	   /* CLOCK_MONOTONIC when the hook had read them */
	struct go_sampler *go; /* set by the owner; NULL: not a Go program, or not known to be one */
	bool go_asked;	       /* likewise */
	char *cgroup;	       /* set by the hook, malloc'ed: untrusted bytes; NULL: not known */
};

/* Only distinct stacks are kept; hu_stack with its used frames only. */
struct agg_stack {
	uint64_t id;
	uint32_t tgid;
	uint16_t flags;	       /* enum hu_stack_flag */
	uint8_t frames, exact; /* as in struct hu_stack */
	uint64_t pcs[];
};

/* A thread of a process, as an owner word names it. */
struct agg_thread {
	const struct agg_process *process;
	uint32_t word;	    /* its TID in the process's own PID namespace */
	uint32_t tgid, tid; /* in ours; another process's where the lock is shared */
	char comm[HU_COMM_LEN];
};

/* Who held what a site waited for. */
struct agg_holder {
	uint32_t tgid, tid;
	bool owner; /* named by the lock's own word; else it ended the wait by its wake */
	uint64_t sleeps, ns;
	char comm[HU_COMM_LEN]; /* "" when not known */
};

/* Where a holder was when it left the CPU or woke a waiter: a sample of stacks. */
struct agg_holder_stack {
	const struct agg_process *process; /* of the waiters */
	struct agg_process *holder;
	uint64_t uaddr;
	uint32_t tid;
	uint16_t why; /* enum hu_holder_why */
	uint64_t stack_id;
	uint64_t cnt;
	char comm[HU_COMM_LEN];
};

#define AGG_REMEMBERED_MAX 65536 /* threads; more, and they are looked up anew */
#define AGG_HOLDERS_MAX	   64	 /* a site; what others hold counts as not known */

struct agg_site {
	struct agg_process *process;
	uint64_t uaddr;
	uint64_t stack_id; /* 0: none */
	uint16_t op;	   /* enum hu_futex_op */
	uint16_t flags;	   /* HU_WAIT_SHARED, HU_WAIT_COMPAT */
	bool summarized; /* from sums: no distribution, and the stack is that of its longest wait */

	uint64_t waits, sleeps;
	uint64_t blocked_ns, runq_ns, max_ns;
	uint64_t ongoing; /* of the waits: not over when the last interval ended, counted so far */
	uint32_t waiters_now;
	uint64_t before;	   /* of the waits: began before holdup looked */
	uint64_t requeued;	   /* of the waits: moved to another futex, and woken there */
	uint32_t depth_max;	   /* most that waited for this word at once */
	struct agg_holder *holder; /* holder_cnt of them */
	uint32_t holder_cnt;
	uint64_t holder_unknown_ns;
	struct hist hist;	      /* of all but the ongoing */
	struct hu_wait_record sample; /* the longest wait; all zero when summarized */
};

struct agg_totals {
	uint64_t events; /* wait records taken in */
	uint64_t waits, sleeps, wait_ns;
	uint64_t summarized, summarized_ns;
	uint64_t below_min, below_min_ns; /* waits shorter than min_wait_ns: in no site */
	uint64_t ongoing;
};

struct agg_hooks {
	/* A new address space; the hook may set p->names. */
	void (*process)(void *ctx, struct agg_process *p);
	/*
	 * The thread of p that calls itself `word`, or, for a lock that lies at shared_addr of p's address
	 * space (0: it is private), of another process that has it mapped: fills ret->tgid, ret->tid and
	 * ret->comm; -ESRCH: there is none. NULL hook: none is ever known.
	 */
	int (*thread)(void *ctx, struct agg_process *p, uint32_t word, uint64_t shared_addr,
		      struct agg_thread *ret);
	/*
	 * Had the other process what lies at shared_addr of p's address space mapped, when it was last looked
	 * at? It may be gone. NULL hook: no.
	 */
	bool (*shares)(void *ctx, const struct agg_process *p, uint64_t shared_addr,
		       const struct agg_process *other);
	/* A stack seen for the first time in p: 0 and *ret filled, or negative: it can't be had. */
	int (*stack)(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret);
	/*
	 * What a descriptor of the process is that a holder waits for in system call nr: "of /path", "from pipe:[1]".
	 * NULL: not known. The text must outlive the aggregate. NULL hook: none is known.
	 */
	const char *(*call_object)(void *ctx, uint32_t tgid, long nr, int fd);
	/* A process that is over and that nothing here names any more is about to be freed. May be NULL. */
	void (*forget)(void *ctx, struct agg_process *p);
	/* The same for a stack of it: the kernel side may have it still. May be NULL. */
	void (*forget_stack)(void *ctx, uint64_t id);
	void *ctx;
};

struct aggregate {
	struct agg_hooks hooks;
	uint64_t min_wait_ns;
	bool last; /* the interval that ends is the last: what has not been sent counts now */
	uint64_t until_ns;	/* the end of the interval; 0: no limit for waits that go on */
	uint64_t sites_made;	/* in all intervals */
	uint64_t stacks_made;	/* ever; some may be forgotten */
	struct table processes; /* of struct agg_process */
	struct table threads;	/* of struct agg_thread: owners that were verified */
	struct table before;	/* of struct agg_before: owners of waits that began before */
	struct table holders;	/* of struct agg_holder_stack, of this interval */
	struct table aliases;	/* of struct agg_alias: stacks that were unwound here */
	struct table stacks;	/* of struct agg_stack */
	struct table sites;	/* of struct agg_site */
	struct table blames;	/* of struct agg_blame (blame.h) */
	struct agg_totals totals;
};

void aggregate__init(struct aggregate *a, const struct agg_hooks *hooks, uint64_t min_wait_ns);
void aggregate__free(struct aggregate *a);
/*
 * Begins a new interval: sites go, and with them processes that are over and had none in the last two intervals,
 * with all their stacks and threads.
 */
void aggregate__reset(struct aggregate *a);

int aggregate__wait(void *aggregate, const struct hu_wait_record *rec);
int aggregate__holder(void *aggregate, const struct hu_holder_record *rec);
int aggregate__process(void *aggregate, const struct hu_proc_record *rec);
/*
 * A wait that was not sent (source__pending()). One that goes on is a waiter now; it counts with
 * its time so far when `last` is set, and otherwise in the interval in which it ends.
 */
int aggregate__pending(void *aggregate, const struct hu_wait_record *rec);
/* A thread that is known to exist: an owner word that names it later is believed even if it is gone then. */
int aggregate__thread_seen(struct aggregate *a, struct agg_process *p, uint32_t tid,
			   const char *comm);
/*
 * The owner word that a wait which began before was found with: charged with that wait, which names it no more.
 * word 0: none.
 */
int aggregate__owner_before(struct aggregate *a, uint32_t tgid, uint32_t tid, uint32_t word);
/* A stack that was walked here: *ret_id is what names it from now on, the same for equal ones. */
int aggregate__stack_walked(struct aggregate *a, const struct hu_stack *stack, uint64_t *ret_id);
/*
 * The same for one that waits will name by an id of its own, under which it came raw. read_ns: when its memory
 * had been read from outside (CLOCK_MONOTONIC): a wait that was over by then has no stack, since this may be any
 * of what came after; 0: by the kernel side, while the thread slept.
 */
int aggregate__stack_unwound(struct aggregate *a, uint64_t raw_id, const struct hu_stack *stack,
			     uint64_t read_ns);
int aggregate__sum(void *aggregate, const struct hu_sum_key *key, const struct hu_sum *sum);

/* The address space in force for a process; NULL: not known. */
struct agg_process *aggregate__find(const struct aggregate *a, uint32_t tgid, uint64_t start);
/* NULL: not known. */
const struct agg_stack *aggregate__stack(const struct aggregate *a, uint64_t id);

#endif
