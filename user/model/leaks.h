/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Suspected leaks of threads (`holdup leaks`), each with its evidence: immutable once built; views only print it.
 *
 * In: lives of threads while holdup looked (aggregate/lifetimes.h), the last look at all threads (stacks.h), and what a
 * search of memory says of objects that threads wait for (reach). Five reasons:
 *   unjoined         ended, joinable, and nobody joined or detached it for min_age_ns. Exact. While threads of the same
 *                    site are being joined, the others are taken to be next.
 *   orphaned         waits for a lock whose owner is gone. Exact.
 *   blocked-forever  in a deadlock (exact), or waits for an object in memory that nobody else knows
 *   growing          live threads of one creation site become more and more (trend.h)
 *   same-line        many wait in one place, not for work, all for min_age_ns
 * Threads that wait for work are none of these, nor are threads that a runtime keeps for itself.
 *
 * Ownership: the report owns its suspects and their evidence; frames and other strings belong to the symbolizer,
 * the lifetimes and the stacks report, which must outlive it. Times are nanoseconds. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LEAKS_H
#define HOLDUP_MODEL_LEAKS_H

#include "user/aggregate/lifetimes.h"
#include "user/model/stacks.h"

/* Numbered and append-only. */
enum leak_reason {
	LEAK_INVALID = 0,
	LEAK_UNJOINED = 1,
	LEAK_GROWING = 2,
	LEAK_BLOCKED = 3,
	LEAK_SAME_LINE = 4,
	LEAK_ORPHANED = 5,
	LEAK_REASONS
};

const char *leak_reason__name(enum leak_reason reason);

struct leaks_baseline;

struct leaks_query {
	uint64_t min_age_ns;
	unsigned rows;	    /* at most so many suspects are shown */
	unsigned same_line; /* at least so many alike ones; 0: LEAKS_SAME_LINE */
	bool early;	    /* a first answer: whether something grows is not to be told yet */
	bool over;	    /* of processes that are over, too: of a program that was run */
	const struct leaks_baseline *baseline; /* NULL: all are new */
};

#define LEAKS_SAME_LINE 4
#define LEAKS_GROWTH_LEAST \
	5 /* threads that a site must have more at the end of the time than at its begin */

/* A thread waits for an object that only such threads know: which ones these are (collect/reach.h). */
struct leaks_unreachable {
	const uint32_t *tid; /* sorted */
	size_t cnt;
	size_t not_searched; /* threads whose objects could not be looked for */
};

/* What stacks of threads hold that ended and were not joined. */
struct leaks_stack {
	uint32_t tgid;
	uint64_t start; /* their start routine */
	uint64_t cnt, bytes;
};

struct leak_suspect {
	enum leak_reason reason;
	bool goroutines; /* of a Go program; else threads */
	bool exact;	 /* else `sure` is how likely it is */
	double sure;	 /* 0…1 */
	uint32_t tgid;
	char comm[HU_COMM_LEN];
	uint64_t count;
	uint64_t known; /* of them, as many as the baseline has */
	double growth_per_min;
	uint64_t oldest_ns;		    /* how long the longest has been so; at least */
	uint64_t stack_bytes;		    /* that stacks hold; 0: not known */
	struct sym_frame start;		    /* routine; function "": not known */
	const struct sym_frame *created_by; /* leaf first; NULL: not known */
	size_t created_cnt;
	int created_api;    /* created_by[0..api] are the thread library's; -1: none */
	bool created_whole; /* the stack reaches to the thread's start */
	const struct blocked_thread *thread; /* one of them, as it is now; NULL: they have ended */
	const char *lock; /* LEAK_ORPHANED, and what all wait for: its name; "" */
	char *evidence;	  /* a sentence; may have names of the target */
	double score;	  /* by which they are ranked */
};

struct leaks_report {
	uint64_t took_ns;
	struct leak_suspect *suspect; /* highest score first */
	size_t cnt;
	size_t old; /* suspects that the baseline has */
	size_t processes, threads, goroutines;
	uint64_t born, ended, joined; /* in that time */
	size_t sites;		      /* whose threads were watched */
	size_t helpers;		      /* suspects that are a runtime's own threads: left out */
	struct {
		bool births_unknown; /* no lifetimes: only what a look shows */
		bool growth_unknown; /* it took too short for a trend */
		bool times_unknown;  /* blocked since when */
		uint64_t births_lost;
		size_t unprobed; /* processes whose joins are not seen */
		size_t not_searched;
	} coverage;
	const struct stacks_report *stacks;
	const struct leaks_query *query;
	void *arena;
};

struct leaks_input {
	const struct lifetimes *lifetimes; /* NULL: not known */
	const struct stacks_report *stacks;
	struct symbolizer *symbolizer;		     /* of the lifetimes */
	struct symbolizer *look_symbolizer;	     /* of the stacks */
	const struct leaks_unreachable *unreachable; /* NULL: not searched */
	const struct leaks_stack *stack;
	size_t stack_cnt;
	uint64_t began_ns, now_ns;
	uint64_t lost;
};

int leaks_report__build(const struct leaks_input *in, const struct leaks_query *query,
			struct leaks_report **ret);
void leaks_report__free(struct leaks_report *r); /* NULL is fine */

/*
 * By what a suspect is known again in another run: reason, process name, and the functions that created it, that it
 * runs and that it waits in. Neither lines nor addresses: these change with each build.
 */
uint64_t leak_suspect__key(const struct leak_suspect *s);

#endif
