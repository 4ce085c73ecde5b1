/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the CFI interpreter, which knows no machine, and the machine, which knows no sections:
 * the rules in force at a pc, and what row they make. One file a machine implements this
 * (cfi_x86_64.c); it is the only place with register numbers, return-address rules and recognised
 * expressions.
 */
#ifndef HOLDUP_UNWIND_CFI_ARCH_H
#define HOLDUP_UNWIND_CFI_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* A DWARF expression; the bytes belong to the section. */
struct cfi_expr {
	const uint8_t *data;
	size_t sz;
};

enum cfi_rule_kind {
	CFI_RULE_UNSPECIFIED = 0, /* no instruction named the register */
	CFI_RULE_SAME,
	CFI_RULE_UNDEFINED,
	CFI_RULE_OFFSET, /* saved at CFA + off */
	CFI_RULE_REG,	 /* in another register */
	CFI_RULE_EXPR,	 /* saved at the address that the expression computes */
	CFI_RULE_VALUE,	 /* a value that is computed, not loaded */
};

struct cfi_rule {
	enum cfi_rule_kind kind;
	union {
		int64_t off;
		uint64_t reg;
		struct cfi_expr expr;
	};
};

enum cfi_cfa_kind {
	CFI_CFA_NONE = 0,
	CFI_CFA_REG, /* reg + off */
	CFI_CFA_EXPR,
};

struct cfi_cfa {
	enum cfi_cfa_kind kind;
	uint64_t reg;
	int64_t off;
	struct cfi_expr expr;
};

/* Of all registers, rows need the frame pointer and the return address. */
struct cfi_state {
	struct cfi_cfa cfa;
	struct cfi_rule fp, ra;
};

uint16_t cfi_arch__machine(void); /* e_machine */
uint64_t cfi_arch__fp_reg(void);
/* cfa_off, kind and fp_off of *row; false: rows can't express it, and *row is HU_CFA_BAD. */
bool cfi_arch__row(const struct cfi_state *s, bool signal_frame, struct hu_row *row);

#endif
