/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads from birth to death, by process and by the place that creates them. Nothing is named or judged here:
 * the models do that (model/threads.h).
 *
 * In: births, deaths, calls of the thread library, processes' ends (bpf/abi.h, HU_REC_BIRTH and the following),
 * passes over the living threads. Out: processes, their creation sites, and of each site the threads that are
 * not over: those that live, and those that ended while somebody has still to join them. What is over is added up
 * in its site and forgotten, so memory grows with what exists, not with what happened.
 *
 * Names and stacks are those of a struct aggregate (aggregate.h), which has to outlive this and whose reset comes
 * after lifetimes__next(). Ownership: everything lives until lifetimes__free(), but a thread only until the next
 * record, and a process that is over, with its sites, until lifetimes__next() says so. Units: *_ns on
 * CLOCK_MONOTONIC, or durations. Errors: -ENOMEM, or what a hook of the aggregate returned.
 */
#ifndef HOLDUP_AGGREGATE_LIFETIMES_H
#define HOLDUP_AGGREGATE_LIFETIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/aggregate/aggregate.h"
#include "user/aggregate/history.h"
#include "user/util/index.h"

/* How a thread ended. */
enum lt_end {
	LT_ALIVE = 0,
	LT_RETURNED,	 /* from its start routine, or by exit(2) itself */
	LT_EXITED,	 /* pthread_exit(), thrd_exit() */
	LT_CANCELLED,	 /* it was asked to by pthread_cancel() */
	LT_WITH_PROCESS, /* it was running when its process ended: exit(), or main returned */
	LT_KILLED,	 /* … by a signal that ended the process */
	LT_EXEC,	 /* its process became another program */
	LT_UNSEEN,	 /* it is gone; the record of its end was lost */
	LT_END_CNT,
};

/* Who will free what a thread that ended leaves behind (stack, descriptor). */
enum lt_join {
	LT_JOIN_NONE =
		0,   /* nobody need: made by clone(2) itself, or it is a process's first thread */
	LT_JOINABLE, /* whoever joins or detaches it */
	LT_DETACHED, /* nobody: made so, or by pthread_detach() */
	LT_JOINED,   /* was freed by a join */
	LT_JOIN_UNKNOWN, /* it is older than holdup, and its library does not tell */
};

struct lt_process;
struct lt_site;

/* A thread that lives, or one that ended and is unjoined: LT_JOINABLE and end is not LT_ALIVE. */
struct lt_thread {
	struct index_node by_tid, by_tp; /* in struct lifetimes */
	struct lt_thread *next, **from;	 /* in site->threads */
	struct lt_process *process;
	struct lt_site *site;
	uint32_t tid; /* 0: it ended before holdup looked, and is known by its descriptor alone */
	uint32_t creator_tid;	/* 0: not known */
	uint32_t joiner_tid;	/* who is in pthread_join() for it; 0: nobody */
	uint32_t joining_tid;	/* for whom it is in pthread_join(), or was last; 0: nobody */
	uint64_t joined_handle; /* the last pthread_t that it joined or detached */
	uint64_t start;		/* start_boottime: with the tid it tells a thread from all others */
	uint64_t tp;		/* the thread pointer (hu_birth_record); 0: not known */
	uint64_t start_routine; /* what pthread_create() was told to run; 0: not known */
	uint64_t born_ns;	/* 0: not known */
	uint64_t ended_ns;	/* 0: it lives, or ended before holdup looked */
	uint64_t cpu_ns,
		runq_ns; /* until its end, or as of the last pass; see lt_thread__blocked_ns() */
	uint64_t last_ran_ns;	/* when it left the CPU, as of the last pass; 0: not known */
	uint64_t join_until_ns; /* a timed join's deadline; 0: none, or it waits for ever */
	uint64_t pass;		/* the last pass that found it */
	uint8_t end;		/* enum lt_end */
	uint8_t join;		/* enum lt_join */
	bool first;		/* the process's first thread */
	bool before;		/* is older than holdup */
	bool exit_called, cancel_asked;
	bool join_unsure; /* a timed join ended about when the thread did: memory has the answer */
	char comm[HU_COMM_LEN]; /* as of the last pass, or its end; untrusted bytes */
};

/* What happened: to the threads of a site, or of a process. The first thread of a process is in neither. */
struct lt_counts {
	uint64_t born;
	uint64_t ended[LT_END_CNT];
	uint64_t joined, detached; /* detached: after it was made */
	uint64_t age_ns, cpu_ns,
		runq_ns; /* of those that ended, summed; blocked: age less the others */
	uint64_t age_max_ns;
};

/* A place that creates threads: a call stack, and what they are told to run. */
struct lt_site {
	struct lt_site *next; /* in process->sites */
	struct lt_process *process;
	uint64_t stack_id;	/* 0: none, see `before` and `beyond` */
	uint64_t start_routine; /* 0: not known */
	bool before; /* all threads that are older than holdup: who made them is not known */
	bool guessed; /* stack_id is one of several that go by frame pointers: only start_routine tells */
	bool beyond;		 /* all for which there was no room, or whose birth was lost */
	struct lt_counts all;	 /* since holdup looked */
	struct lt_counts now;	 /* in this interval */
	uint32_t live, unjoined; /* at this moment; of a process that is over: at its end */
	uint32_t live_peak;	 /* of this interval */
	uint32_t live_before, unjoined_before; /* when this interval began */
	uint64_t first_ns, last_ns;	       /* births seen; 0: none */
	uint32_t forgotten;	   /* of unjoined: beyond LT_UNJOINED_MAX, counted only */
	struct history history;	   /* of live */
	struct lt_thread *threads; /* youngest first: live, and ended but unjoined */
};

/* One address space, as in aggregate.h: exec begins another one. */
struct lt_process {
	struct index_node by_tgid;	 /* in struct lifetimes */
	struct lt_process *next, **from; /* in lifetimes.processes */
	struct agg_process *names;	 /* NULL: no birth in it was seen */
	uint32_t tgid;
	uint64_t start; /* start_boottime of its first thread */
	char comm[HU_COMM_LEN];
	bool over;	    /* its last thread has ended, or it became another program */
	bool by_exec;	    /* … the latter */
	bool before;	    /* is older than holdup */
	bool probed;	    /* the calls of its thread library are seen: unjoined is exact */
	bool first_ended;   /* its first thread is gone, others go on */
	bool asked;	    /* its memory was looked at for them */
	bool zombies_known; /* what ended before holdup looked was found in its memory */
	int exit_code;	    /* as wait(2) has it; valid when over and not by_exec */
	uint64_t began_ns, over_ns; /* 0: not known, not over */
	struct lt_counts all, now;
	uint32_t live; /* its first thread included */
	uint32_t unjoined, live_peak;
	uint32_t live_before, unjoined_before;
	uint32_t died_holding; /* threads of it that ended with a lock which others wait for (set by who looks) */
	struct lt_site *sites;
	uint32_t site_cnt;
	bool told; /* it was over when an interval ended, so a report has had it */
	uint64_t lost_born, lost_died; /* without a record, ever */
	uint64_t unseen; /* of lost_died: threads that were known, the first one too, and are gone */
	struct history history; /* of live */
};

struct lt_totals {
	uint64_t born, ended, joined, detached, processes_over;
	uint64_t lost;	    /* births and deaths that are only counted: see lifetimes__lost() */
	uint64_t unmatched; /* joins and detaches of threads that are not known */
	uint64_t forgotten; /* processes that were over and had to go */
};

#define LT_SITES_MAX	1024   /* a process; more go to its site `beyond` */
#define LT_SITES_ALL	32768  /* of all processes */
#define LT_UNJOINED_MAX 65536  /* a process; more are counted only */
#define LT_UNJOINED_ALL 262144 /* of all processes */
#define LT_OVER_MAX	4096   /* processes that are over; when more are, lifetimes__crowded() */

struct lifetimes {
	struct aggregate *aggregate;
	bool stacks_guessed; /* there are none by unwind rows; to be set after lifetimes__init() */
	struct lt_process
		*processes; /* all that have or had more than one thread, and those asked for */
	struct index by_tgid, by_tid, by_tp;
	uint32_t live, unjoined, live_peak;		     /* of all processes */
	uint32_t process_cnt, over_cnt, site_cnt, ended_cnt; /* ended_cnt: threads kept */
	uint64_t pass;
	uint64_t pass_ns; /* when the last pass began */
	struct hu_alive_record
		*met; /* by this pass, and not known: their births may be on their way */
	size_t met_cnt, met_cap;
	struct lt_totals all, now;
};

void lifetimes__init(struct lifetimes *l, struct aggregate *a);
void lifetimes__free(struct lifetimes *l);
/* An interval ends and a new one begins. Before aggregate__reset(). */
void lifetimes__next(struct lifetimes *l);
/* Time to forget processes that are over, in the midst of an interval: lifetimes__next() would. */
bool lifetimes__crowded(const struct lifetimes *l);
void lifetimes__forget(struct lifetimes *l);
/* Notes how many live, of each site and process: at regular times, for trends. */
void lifetimes__sample(struct lifetimes *l, uint64_t now_ns);

/* Records; ctx is the struct lifetimes. */
int lifetimes__birth(void *lifetimes, const struct hu_birth_record *rec);
int lifetimes__death(void *lifetimes, const struct hu_death_record *rec);
int lifetimes__call(void *lifetimes, const struct hu_pthread_record *rec);
int lifetimes__process(void *lifetimes, const struct hu_proc_record *rec);
/* Births and deaths of a process that found no room as records: totals are exact all the same. */
int lifetimes__lost(void *lifetimes, const struct hu_life_key *key, const struct hu_life_sum *sum);
/*
 * A pass over all living threads: begin, each of them, then all records that came meanwhile, end. What ended
 * without a word is found so. The first pass takes in what is older than holdup.
 */
void lifetimes__pass_begin(struct lifetimes *l, uint64_t now_ns);
int lifetimes__alive(void *lifetimes, const struct hu_alive_record *rec);
int lifetimes__pass_end(struct lifetimes *l);
/*
 * What the process's memory says about its threads (collect/pthreads.h): a thread is detached or joinable; one
 * with tid 0 has ended, and is unjoined. complete: these were all, so what ended and is not among them was joined.
 */
struct lt_descriptor {
	uint64_t tp;
	uint64_t start_routine;
	uint32_t tid; /* 0: it has ended; of the process's own PID namespace */
	bool detached;
};
int lifetimes__descriptors(struct lifetimes *l, struct lt_process *p, const struct lt_descriptor *d,
			   size_t cnt, bool complete);

struct lt_process *lifetimes__find(const struct lifetimes *l, uint32_t tgid,
				   uint64_t start); /* NULL: not known */
struct lt_thread *lifetimes__thread(const struct lifetimes *l, uint32_t tgid,
				    uint32_t tid); /* NULL: as well */
/* Neither on a CPU nor waiting for one, so far or until its end; 0 where its birth is not known. */
uint64_t lt_thread__blocked_ns(const struct lt_thread *t, uint64_t now_ns);
/* Ended, and nobody has joined or detached it. */
static inline bool lt_thread__unjoined(const struct lt_thread *t)
{
	return t->end != LT_ALIVE && t->join == LT_JOINABLE;
}

#endif
