/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who refers to an object that goroutines wait for? Every word of the program's memory that is resident is looked at,
 * and what refers to those, a few steps back, until a goroutine's stack or a variable of a package is reached.
 *
 * The collector knows how large objects are, we don't: a pointer to somewhere close below a place is taken to be one to
 * the object that has it. So the answer is a judgement, and leans to "somebody refers to it": what can't be followed
 * counts as referred to by a variable. What is on a stack counts whether it is used again or not.
 *
 * In: memory that the caller has copied; objects by address, ascending. Ownership: go_reach__free(). Errors: -ENOMEM.
 */
#ifndef HOLDUP_GOLANG_GO_REACH_H
#define HOLDUP_GOLANG_GO_REACH_H

#include "user/golang/go_snapshot.h"

struct go_object {
	uint64_t addr;
	uint32_t below,
		above; /* pointers from addr - below up to addr + above - 1 are to it, or to what it is in */
	bool rooted; /* a variable of a package refers to it, or what can't be followed does */
	size_t *by; /* goroutines on whose stacks the references end, of the snapshot; ascending, each once */
	size_t by_cnt, by_cap;
};

/* A piece of memory as it was copied; its bytes are the caller's. */
struct go_copy {
	uint64_t addr;
	size_t sz;
	const uint8_t *bytes; /* aligned to 8 */
};

int go_reach__find(const struct go_process *p, const struct go_snapshot *s,
		   const struct go_copy *copy, size_t copies, struct go_object *object,
		   size_t objects);
void go_reach__free(struct go_object *object, size_t objects);

#endif
