/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known before an instruction: which registers and words of the stack hold addresses of this frame
 * or the caller's frame pointer. An element of a lattice of finite height: what differs at a join is not
 * known there, and never becomes known again.
 *
 * Addresses of the frame are offsets from the CFA, the value of sp before the call that entered the function.
 * Plain values, compared as bytes: states are built by the functions here only.
 */
#ifndef HOLDUP_UNWIND_DERIVE_STATE_H
#define HOLDUP_UNWIND_DERIVE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "user/unwind/derive_op.h"

/* Values of registers and words: offsets from the CFA, or one of these. */
#define VALUE_UNKNOWN	INT32_MAX
#define VALUE_CALLER_FP (INT32_MAX - 1) /* what the frame pointer was at the entry */
#define VALUE_OFF_MAX	(1 << 28)	/* offsets lie between its negative and it */

/* Saved registers that are addresses of the frame or the caller's frame pointer: few at a time. */
#define DERIVE_SLOTS 6

struct derive_slot {
	int32_t off; /* of the word, from the CFA; unused ones have VALUE_UNKNOWN and are last */
	int32_t value;
};

struct derive_state {
	int32_t reg[DERIVE_REGS];
	struct derive_slot slot[DERIVE_SLOTS]; /* sorted by off */
	uint32_t outermost; /* 1: the program's entry point, which nobody called */
};

/* At the first instruction of a function. */
void derive_state__entry(struct derive_state *s, bool outermost);
/* *s becomes what holds after op. */
void derive_state__step(struct derive_state *s, const struct derive_op *op);
/* *s becomes what holds by both; false: it was so already. */
bool derive_state__join(struct derive_state *s, const struct derive_state *other);
/*
 * On the edge on which registers a and b hold the same, one of them sp: both are known if one is. False: they
 * don't, so that nothing goes this way as far as is known.
 */
bool derive_state__equal(struct derive_state *s, uint8_t a, uint8_t b);

static inline bool value__is_off(int32_t v)
{
	return v > -VALUE_OFF_MAX && v < VALUE_OFF_MAX;
}

/* Is the caller's frame pointer saved at this offset from the CFA, where nothing may overwrite it? */
bool derive_state__saves_fp(const struct derive_state *s, int32_t *ret_off);
/* May the function return here: sp at its return address, the caller's frame pointer back? */
enum derive_verdict {
	DERIVE_WRONG =
		0, /* no: what led here is not this function's code, or it has no frame of ours */
	DERIVE_RIGHT,
	DERIVE_UNCERTAIN,
};
enum derive_verdict derive_state__returns(const struct derive_state *s);
/* The row; HU_CFA_BAD where nothing is known. */
void derive_state__row(const struct derive_state *s, struct hu_row *row);

#endif
