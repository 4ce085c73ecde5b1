/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stacks report in the making: threads are told what they wait for (stacks_waits.c), who waits for whom
 * (stacks_graph.c), and grouped (stacks_groups.c); stacks.c puts it together. Internal to these files.
 * Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_STACKS_BUILD_H
#define HOLDUP_MODEL_STACKS_BUILD_H

#include "user/model/stacks.h"
#include "user/sym/kernel.h"
#include "user/util/table.h"

#define STACK_FRAMES_MAX 256 /* of one stack, inlined ones included */

/* A report and what its arrays are made of; the report's arena points here. */
struct stacks_builder {
	struct stacks_report r;
	const struct stacks_input *in;
	struct table stacks; /* of struct named_stack, by struct snap_stack */
	struct table locks;  /* of struct waited_lock */
	struct table inner; /* of struct inner_tid: threads of PID namespaces, by their own numbers */
	struct waited_lock **held; /* those with an owner, owner by owner: chains point into it */
	size_t held_cnt;
	struct blocked_thread **sorted; /* all threads, group by group */
	struct target_memory memory;
	struct table
		go_stacks; /* of struct named_stack, by struct go_stack or the place of a creation */
	struct snap_thread *stand_in; /* for goroutines, one for each process that has some */
	size_t stand_ins;
};

/* Room for so many entries after the threads; they are zero. */
int stacks__add_goroutines(struct stacks_builder *b);
size_t stacks__count_goroutines(const struct stacks_builder *b);
/* Frames of Go code; 0: it is not of that. all: with those that are inlined, and lines. */
size_t stacks__go_frames(const struct stacks_builder *b, const struct snap_process *p, uint64_t pc,
			 bool leaf, bool all, struct sym_frame *ret, size_t cap);
int stacks__get_lock(struct stacks_builder *b, const struct blocked_thread *t,
		     const struct target_wait *wait, struct waited_lock **ret);
/* Who probably holds the locks of Go's that goroutines wait for. */
int stacks__find_go_holders(struct stacks_builder *b);
/* Who waits for what nobody else refers to who could go on. */
int stacks__find_left(struct stacks_builder *b);
/* Waits that nobody is left to end; after grouping. */
int stacks__find_stuck(struct stacks_builder *b);
/* Probable findings about goroutines must have stood for so long: 1 s. */
#define STACKS_RIPE_NS 1000000000ULL
void stacks__free_goroutines(struct stacks_builder *b);

enum inner_answer {
	INNER_FOUND = 1,
	INNER_GONE = 2,	   /* there is no such thread */
	INNER_UNKNOWN = 3, /* it may be one of another PID namespace */
};

/* The thread of the process that has this number in its own PID namespace; 0: none. */
uint32_t stacks__outer_tid(struct stacks_builder *b, const struct snap_process *p, uint32_t word);
/* Who is meant by a word of the lock that t waits for; *ret_tid is our number, of use if found. */
enum inner_answer stacks__owner_tid(struct stacks_builder *b, const struct blocked_thread *t,
				    uint32_t word, uint32_t *ret_tid);

/* What each thread waits for: its stack's names, state, lock or call. */
int stacks__find_waits(struct stacks_builder *b);
/* Gives a stack its frames with source lines, for what will be shown. */
int stacks__name_lines(struct stacks_builder *b, const struct named_stack *stack);
/* Who keeps whom waiting; deadlocks, orphaned locks, chains. */
int stacks__find_holders(struct stacks_builder *b);
int stacks__group(struct stacks_builder *b);
void stacks__free_waits(struct stacks_builder *b);

#endif
