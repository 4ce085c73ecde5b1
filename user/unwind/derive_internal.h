/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the derivation share: instructions, linked by index; functions; interned states. Nothing
 * else includes this.
 *
 * derive.c has code, instructions and states; derive_flow.c follows states from the starts; derive_returns.c
 * knows who comes back; derive_rows.c
 * says what came of it. Errors: negative errno.
 */
#ifndef HOLDUP_UNWIND_DERIVE_INTERNAL_H
#define HOLDUP_UNWIND_DERIVE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/unwind/derive.h"
#include "user/unwind/derive_op.h"
#include "user/unwind/derive_state.h"

#define NONE UINT32_MAX
enum insn_flag {
	INSN_QUEUED = 1 << 0,
	INSN_CONFLICT = 1 << 1,	 /* reached with different heights */
	INSN_OUTERMOST = 1 << 3, /* the frame here has no caller */
	INSN_RETURNS = 1 << 2,	 /* a path leads from here to a return, or to where we don't know */
};

struct insn {
	struct derive_op op;
	uint32_t off;	 /* in the code as a whole */
	uint32_t state;	 /* index; NONE: not reached in this round */
	uint32_t func;	 /* that it was first reached from */
	uint32_t target; /* instruction; NONE: outside, or none */
	uint32_t next; /* instruction behind it, where the flow goes on; NONE: it does not, or outside */
	uint32_t start; /* function that begins here; NONE */
	uint32_t flags;
};

struct func {
	uint32_t insn;
	uint32_t end; /* offset, by its symbol; 0: not known */
	uint8_t trust;
	bool returned; /* a path returns as a function does */
	bool jumped;   /* a path leads to where we don't know, or into another one's code */
	bool exits;    /* a path ends in a call of what never returns */
	bool wrong;    /* what was found contradicts that it is one */
	bool noreturn; /* no path leads back from it */
};

/* What sure functions cover by their symbols: sorted by start; end is the furthest of all up to here. */
struct span {
	uint32_t start, end;
};

struct derive {
	const struct derive_code *code;
	uint32_t *code_off; /* of each piece of code, in the code as a whole */
	size_t code_cnt, code_sz;
	uint64_t base;
	bool fixed;
	const uint64_t *noreturn;
	size_t noreturn_cnt;
	uint32_t *at; /* instruction that begins at each byte, NONE: not decoded */
	struct insn *insn;
	uint32_t insn_cnt, insn_cap;
	struct func *func;
	uint32_t func_cnt, func_cap;
	struct derive_state *state;
	uint32_t state_cnt, state_cap;
	uint32_t *state_slot; /* hash of states; a power of 2 of them */
	uint32_t state_slots;
	uint32_t *queue; /* instructions; a stack */
	uint32_t queue_cnt, queue_cap;
	struct span *sure; /* of sure functions, while a round runs */
	size_t sure_cnt;
	uint64_t visits;
	bool news; /* this round found what changes the next one */
	struct derive_stats stats;
};

/* Room for one more in an array that doubles. */
int derive__reserve(void **array, uint32_t *cap, uint32_t cnt, size_t elem_sz);
/* The offset of vaddr in the code as a whole; false: it is not code of ours. */
bool derive__to_off(const struct derive *d, uint64_t vaddr, uint32_t *ret);
uint64_t derive__to_vaddr(const struct derive *d, uint32_t off);
/* The instruction at off, decoded now if it was not. */
int derive__insn_at(struct derive *d, uint32_t off, uint32_t *ret);
int derive__intern(struct derive *d, const struct derive_state *s, uint32_t *ret);

/* A function begins at off. */
int derive__add_func(struct derive *d, uint32_t off, uint32_t end, enum derive_trust trust);
/* Follows the states from all starts until nothing new is found. */
int derive__rounds(struct derive *d);

/* Is this an address that in->noreturn has? */
bool derive__is_noreturn(const struct derive *d, uint64_t target);
/* Which functions never return: the others are those from which a path leads back. */
void derive__find_noreturn(struct derive *d);
/* Which instructions have no caller; after derive__find_noreturn(). */
void derive__find_outermost(struct derive *d);

static inline bool func__is_sure(const struct derive *d, uint32_t func)
{
	return d->func[func].trust != DERIVE_MAYBE;
}

#endif
