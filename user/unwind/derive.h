/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unwind rows from machine code, for code without call frame information: assembly, Debian's musl.
 *
 * The height of the stack is followed from each known start of a function through all that can be reached
 * from it: abstract interpretation, as objtool does it for the kernel's ORC (linux
 * tools/objtool/Documentation/objtool.txt). No pattern is guessed: an instruction that no path reaches gets
 * no row, and one that two paths reach with different heights gets HU_CFA_BAD, on which a stack ends.
 *
 * In: bytes of code (hostile: decoding and following is bounded by their number) and where functions start.
 * Starts of which it is not sure that they are any (DERIVE_MAYBE: an address that is taken of something)
 * count only where what they lead to returns as a function does and does not contradict the sure ones.
 * What is not covered by code is not followed: a jump there leaves the function.
 *
 * One assumption is not proven: that a called function comes back, with the stack pointer and the frame
 * pointer as the ABI wants. Functions in the code that can't come back are recognised; after a call of one
 * elsewhere (abort) paths begin that do not exist.
 *
 * Ownership: derive__free(). Memory: some 30 bytes for each byte of code, at most 128 MiB. Errors: negative
 * errno; -ENOTSUP: not on this machine; -E2BIG: more code than
 * DERIVE_CODE_MAX, or code that was made to take long.
 */
#ifndef HOLDUP_UNWIND_DERIVE_H
#define HOLDUP_UNWIND_DERIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/unwind/cfi.h"

#define DERIVE_CODE_MAX (4U << 20) /* bytes */

struct derive_code {
	const uint8_t *data;
	uint64_t vaddr;
	size_t sz;
};

enum derive_trust {
	DERIVE_ENTRY = 1, /* the program's entry point: a start without a caller */
	DERIVE_SURE,	  /* a function's symbol */
	DERIVE_MAYBE,
};

struct derive_start {
	uint64_t vaddr;
	uint64_t sz; /* bytes of the function; 0: not known */
	enum derive_trust trust;
};

struct derive_input {
	const struct derive_code *code; /* sorted, disjoint */
	size_t code_cnt;
	const struct derive_start *start; /* in any order; outside of code they are ignored */
	size_t start_cnt;
	uint64_t base; /* what rows count from; code lies within 4 GiB above */
	bool fixed;    /* not position-independent: constants may be addresses */
	/* Sorted addresses of functions outside that do not return, of stubs and pointers to them. */
	const uint64_t *noreturn;
	size_t noreturn_cnt;
};

struct derive_stats {
	uint64_t insns; /* reached */
	uint64_t functions;
	uint64_t dropped;   /* starts that turned out to be none, or wrong */
	uint64_t conflicts; /* instructions reached with different heights of the stack */
	uint64_t bad;	    /* instructions whose row is HU_CFA_BAD */
	uint64_t rounds;
};

struct derive;

int derive__new(const struct derive_input *in, struct derive **ret);
void derive__free(struct derive *d);

/*
 * Rows, sorted, no pc twice, each HU_ROW_DERIVED or HU_CFA_GAP, and a gap after the last; malloc'ed.
 * -E2BIG: more than max.
 */
int derive__rows(const struct derive *d, size_t max, struct hu_row **ret, size_t *ret_cnt);
/* Which code belongs to which function, by the start that it was reached from; malloc'ed. */
int derive__functions(const struct derive *d, struct cfi_func **ret, size_t *ret_cnt);
void derive__stats(const struct derive *d, struct derive_stats *ret);

/*
 * What is known before the instruction at vaddr, which may be more than its row says; false: none was reached
 * that begins there, or it is not to be trusted. For those who compare.
 */
struct derive_state;
bool derive__state(const struct derive *d, uint64_t vaddr, struct derive_state *ret);

#endif
