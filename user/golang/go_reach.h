/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which goroutines may ever go on? Those that wait for nothing that other goroutines would have to end; those that
 * wait for an object which a variable refers to, or the stack of one that may go on, also through other objects; and
 * so on until nobody new is found. It is what Go's own collector does to find leaked goroutines ("GOLF", ASPLOS
 * 2025), in a copy of the memory, without types: any word that is the address of an object, or of a place in it, is
 * taken for a reference. Slots of stacks count whether they are used again or not. So the answer leans to "may go
 * on".
 *
 * It is of one moment only if nothing ran meanwhile: look twice, and believe what both say.
 *
 * In: a heap; memory that the caller has copied, by address, ascending; stacks and goroutines are read here.
 * Errors: -ENOMEM; -E2BIG: too large to be looked through.
 */
#ifndef HOLDUP_GOLANG_GO_REACH_H
#define HOLDUP_GOLANG_GO_REACH_H

#include "user/golang/go_heap.h"

/* A piece of memory as it was copied; its bytes are the caller's. */
struct go_copy {
	uint64_t addr;
	size_t sz;
	const uint8_t *bytes; /* aligned to 8 */
};

/* A goroutine waits for an object, and maybe for others as well. */
struct go_awaits {
	size_t goroutine; /* in the snapshot */
	uint64_t object;
};

struct go_reach_input {
	const struct go_process *p;
	const struct go_snapshot *s;
	const struct go_heap *heap;
	const struct go_copy
		*copy; /* variables and objects with pointers, but for goroutines; no stacks */
	size_t copies;
	const struct go_awaits *awaits;
	size_t cnt; /* of them */
};

/* live: of each goroutine of the snapshot; false for those that are asked for, who must wait for something. */
int go_reach__find(const struct go_reach_input *in, bool *live);

#endif
