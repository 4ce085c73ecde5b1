/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the machine's instructions and the data flow over them: what one instruction does to the stack
 * pointer, to registers that hold addresses of the stack, and to the flow of control. One file a machine
 * implements this (derive_x86_64.c).
 *
 * In: bytes of a file (hostile). Out: an operation; whatever it may change and does not say how is in kill.
 * Thread-safe, no ownership, no errors: what can't be decoded is OP_UNKNOWN.
 */
#ifndef HOLDUP_UNWIND_DERIVE_OP_H
#define HOLDUP_UNWIND_DERIVE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of registers are those of the x86-64 encoding: 4 is rsp, 5 rbp. */
#define DERIVE_REGS 16
#define DERIVE_SP   4
#define DERIVE_FP   5
#define DERIVE_NONE 0xff

enum derive_op_kind {
	OP_UNKNOWN = 0, /* no instruction: what follows is not known */
	OP_PLAIN,	/* registers in kill change */
	OP_NOP,		/* what functions are padded with */
	OP_PUSH,	/* src, or DERIVE_NONE: anything; imm bytes */
	OP_POP,		/* dst, or DERIVE_NONE; imm bytes */
	OP_ADD,		/* dst = src + imm */
	OP_ZERO,	/* dst = 0 */
	OP_EXCHANGE,	/* dst and src change places */
	OP_LOAD,	/* dst = the word at src + imm */
	OP_STORE,	/* the word at dst + imm = src; src DERIVE_NONE: anything, sz bytes */
	OP_LEAVE,	/* sp = fp; pop fp */
	OP_COMPARE,	/* dst with src: a jump on equality tells more */
	OP_ADDRESS,	/* dst = target, an address of code or data */
	OP_CONSTANT,	/* dst = target, which in position-dependent code may be an address */
	OP_CALL,	/* target */
	OP_CALL_REG,	/* somewhere; target: where the pointer to it is, 0: not known */
	OP_JUMP,	/* target */
	OP_JUMP_REG,	/* the same: a tail call or a jump table */
	OP_BRANCH,	/* target or the next instruction */
	OP_BRANCH_NE,	/* the same, to target where what was compared differs */
	OP_BRANCH_EQ,
	OP_RETURN,
	OP_STOP, /* nothing comes after it: hlt, ud2, the system calls that end a thread */
};

struct derive_op {
	uint8_t kind; /* enum derive_op_kind */
	uint8_t len;  /* bytes of the instruction; 0: OP_UNKNOWN */
	uint8_t dst, src;
	uint16_t kill; /* bits of registers that get a value that nothing is known of */
	uint16_t sz;   /* OP_STORE: bytes */
	bool uses_fp;  /* memory at the frame pointer */
	int32_t imm;
	uint64_t target;
};

/* False: holdup knows no instructions of this machine; nothing is derived. */
bool derive_op__supported(void);
/* The instruction at vaddr, whose bytes are the sz at code. */
void derive_op__decode(const uint8_t *code, size_t sz, uint64_t vaddr, struct derive_op *ret);
/* Registers that a called function may change (the ABI's), as bits. */
uint16_t derive_op__call_clobbers(void);

#endif
