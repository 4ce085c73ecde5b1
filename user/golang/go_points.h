/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where to probe a Go program to see every wait for a semaphore, which sync's Mutex, RWMutex and WaitGroup sleep by:
 * runtime.semacquire1, the place in it where a goroutine runs on after a sleep, and runtime.semrelease1
 * (src/runtime/sema.go). x86-64 alone.
 *
 * The first instructions of a Go function check the room on its stack, and are run again when there is not enough. So
 * from 1.21 on the `push %rbp` behind is taken, which the kernel emulates; up to 1.20 the check's own branch, where
 * the flags tell whether it is taken (at_check). There the arguments are in AX and BX, g is in R14, the return
 * address on top of the stack, and the caller's frame pointer in RBP (src/cmd/compile/abi-internal.md). Behind the
 * call of gopark() g is in R14 again. Return addresses are left alone: Go reads and moves its stacks.
 *
 * In: a Go program's file (hostile: bounded reads, every instruction is decoded), and the address in it of the start of
 * its text, which one of its processes tells: go_process.text - go_process.bias. A wrong one is found out: semacquire1
 * must call gopark, and semrelease1 (*semaRoot).dequeue, where the table of functions says that those are.
 *
 * Errors: -ENOTSUP: it does not look as it should, *why says how (static); -EOPNOTSUPP: not on this architecture;
 * -ENOMEM.
 */
#ifndef HOLDUP_GOLANG_GO_POINTS_H
#define HOLDUP_GOLANG_GO_POINTS_H

#include "user/golang/go_binary.h"

#define GO_RESUMES_MAX 8
#define GO_CODE_MAX    16384 /* bytes of a function; semacquire1 has 800 */

struct go_point {
	uint64_t addr; /* in the file, as go_binary's */
	uint64_t off;  /* … from its beginning */
	bool at_check;
	bool stepped; /* the kernel has to single-step the instruction */
};

struct go_points {
	struct go_point acquire, release;
	struct go_point resume[GO_RESUMES_MAX];
	size_t resumes;
	uint64_t from, to; /* semacquire1: addresses in the file */
};

/* NULL, or why there are none on this machine (static). */
const char *go_points__missing(void);
int go_points__find(const struct go_binary *b, uint64_t text, struct go_points *ret,
		    const char **why);

/* ---- of one function's machine code, for the tests as well */

struct go_code {
	const uint8_t *byte;
	size_t sz;
	uint64_t addr; /* of byte[0] */
};

/* Where the function begins; *ret is set but for its off. NULL, or what is wrong. */
const char *go_code__entry(const struct go_code *code, struct go_point *ret);
/* Where it runs on after calls of one of these functions. */
const char *go_code__resumes(const struct go_code *code, const uint64_t *callee, size_t callees,
			     struct go_point ret[GO_RESUMES_MAX], size_t *ret_cnt);
/* Does it call this function directly? */
bool go_code__calls(const struct go_code *code, uint64_t callee);

#endif
