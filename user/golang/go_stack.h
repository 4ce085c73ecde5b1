/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stack of a goroutine that does not run, by the same tables by which the runtime itself walks it (pcsp), so that
 * it is the one that a traceback would print.
 *
 * In: bytes of the stack from its stack pointer on (hostile). Out: places in the code, leaf first, each of which is
 * the return address of a call there, or a pc plus 1: the line is that of the byte before. Pure but for a table of
 * what is known of places, which the process owns.
 */
#ifndef HOLDUP_GOLANG_GO_STACK_H
#define HOLDUP_GOLANG_GO_STACK_H

#include "user/golang/go_process.h"

#define GO_FRAMES_MAX 128 /* of one stack; deeper ones are cut at the outer end */

struct go_walk {
	uint64_t pc, sp;
	uint64_t base; /* address of bytes[0] */
	uint64_t hi;   /* the stack's end */
	const uint8_t *bytes;
	size_t sz;
};

enum go_walk_end {
	GO_WALK_COMPLETE = 0, /* it reaches to where the goroutine began */
	GO_WALK_MORE = 1,     /* the next frame lies beyond the bytes, but in the stack */
	GO_WALK_BROKEN = 2,   /* code that the tables don't know */
	GO_WALK_DEEP = 3,     /* more than GO_FRAMES_MAX frames */
};

enum go_walk_end go_stack__walk(struct go_process *p, const struct go_walk *w,
				uint64_t ret[GO_FRAMES_MAX], size_t *ret_cnt);

#endif
