/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in a C library locks are taken and given up: the functions by name, and in each the instruction to probe.
 *
 * A probe costs about ten times as much where the kernel has to single-step the instruction as where it emulates it
 * (x86: pushes, nops, near jumps and calls; arch/x86/kernel/uprobes.c). So the first such instruction is taken that
 * every call passes exactly once, with the arguments still in their registers; the function's first one where there
 * is none.
 *
 * In: an ELF file (hostile). Out: file offsets. Errors: negative errno; -ENOENT: the file has no such function.
 */
#ifndef HOLDUP_COLLECT_HOLD_POINTS_H
#define HOLDUP_COLLECT_HOLD_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hold_what {
	HOLD_LOCK = 1, /* takes the lock, or (cookie: TRY, TIMED) tries to */
	HOLD_UNLOCK,
	HOLD_COND,   /* (condvar, mutex, …): gives the mutex up, and takes it back */
	HOLD_RETURN, /* a return of a function that can fail */
};

struct hold_point {
	enum hold_what what;
	const char *name; /* of the function; static */
	uint64_t off;
	uint32_t cookie; /* enum hu_hold_mode, enum hu_hold_probe */
	bool replaced; /* HOLD_RETURN: off is the function's, and its return address is to be replaced */
	bool stepped; /* the kernel has to single-step the instruction */
};

/* Some functions have several returns. */
#define HOLD_POINTS_MAX 128

/* The points of the file behind fd (the caller's); path is for messages. */
int hold_points__find(int fd, const char *path, struct hold_point ret[HOLD_POINTS_MAX],
		      size_t *ret_cnt);

/* ---- of one function's machine code (hold_insn.c), for the tests as well */

struct hold_code {
	const uint8_t *byte; /* the function from its first instruction on */
	size_t sz;
};

/* What must hold at the probed instruction. */
enum hold_need {
	HOLD_NEED_ARG0 = 1 << 0,
	HOLD_NEED_ARG1 = 1 << 1,
	HOLD_NEED_SP = 1 << 2, /* the return address is on top of the stack */
};

/* Offset in the function; *ret_stepped: not emulated; *ret_tried: it branches by whether the lock was got just now. */
size_t hold_code__entry(const struct hold_code *code, unsigned needs, bool *ret_stepped,
			bool *ret_tried);
/*
 * Offsets of the returns that a function ends by which begins at start; code: its neighbourhood, since it may go on in
 * another function, or in a part that lies elsewhere. 0: not known, and the return address has to be replaced.
 */
size_t hold_code__returns(const struct hold_code *code, size_t start, size_t *ret, size_t cap);

#endif
