/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the CFI interpreter, which knows no machine, and the machine, which knows no sections:
 * the rules in force at a pc, and what row they make. One file a machine (cfi_x86_64.c, cfi_arm64.c)
 * has its table; these are the only places with register numbers, return-address rules and recognised
 * expressions. All of them are always built: rows of any machine can be made, and tested, on any other.
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

struct cfi_arch {
	uint16_t machine; /* e_machine */
	uint64_t fp_reg;  /* DWARF's number of the frame pointer */
	bool signs_ra;	  /* there are instructions that say whether the return address is signed */
	const char *augmentation; /* letters of its own that rows need not know */
	/* The instructions that handlers return to, where no CFI says so; of whole words. */
	uint8_t sigreturn[8];
	size_t sigreturn_sz;
	/* cfa_off, kind and fp_off of *row; false: rows can't express it, and *row is HU_CFA_BAD. */
	bool (*row)(const struct cfi_state *s, bool signal_frame, struct hu_row *row);
};

extern const struct cfi_arch cfi_arch_x86_64, cfi_arch_arm64;

/* NULL: a machine that we do not know. */
const struct cfi_arch *cfi_arch__of(uint16_t machine);

/* What cfi_arch.row has for rules that rows can't express. */
static inline bool cfi_arch__bad_row(struct hu_row *row)
{
	row->kind = HU_CFA_BAD;
	row->cfa_off = 0;
	row->fp_off = 0;
	return false;
}

static inline bool cfi_arch__set_row(struct hu_row *row, enum hu_row_cfa cfa, int64_t cfa_off,
				     enum hu_row_fp fp, int64_t fp_off)
{
	row->kind = cfa | fp << 4;
	row->cfa_off = cfa_off;
	row->fp_off = fp_off;
	return true;
}

#define CFI_WORD 8

/* An offset in words, if it is a number of them in [min, max]. */
static inline bool cfi_arch__words(int64_t off, int64_t min, int64_t max, int64_t *ret)
{
	if (off % CFI_WORD || off / CFI_WORD < min || off / CFI_WORD > max)
		return false;
	*ret = off / CFI_WORD;
	return true;
}

#endif
