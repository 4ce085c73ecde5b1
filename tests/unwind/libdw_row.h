/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The oracle for user/unwind/cfi.c: what row a pc should have, made from libdw's own interpreter
 * and nothing of ours but struct hu_row. x86-64 and arm64. BAD means that the rules can't be said by a row,
 * so a row that is BAD without need is a mismatch too.
 */
#ifndef HOLDUP_TEST_LIBDW_ROW_H
#define HOLDUP_TEST_LIBDW_ROW_H

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

#include "user/unwind/cfi.h"

static inline bool libdw_row__words(int64_t off, int bits, int64_t *ret)
{
	int64_t lim = 1LL << (bits - 1);

	*ret = off / 8;
	return off % 8 == 0 && *ret >= -lim && *ret < lim;
}

/* A memory rule "at CFA + off": call_frame_cfa, or with plus_uconst behind it. */
static inline bool libdw_row__at_cfa(const Dwarf_Op *op, size_t cnt, int64_t *ret)
{
	if (!cnt || cnt > 2 || op[0].atom != DW_OP_call_frame_cfa)
		return false;
	*ret = 0;
	if (cnt == 2 && op[1].atom != DW_OP_plus_uconst)
		return false;
	if (cnt == 2)
		*ret = (int64_t)op[1].number;
	return true;
}

static inline int libdw_row__reg(const Dwarf_Op *op, int64_t *ret_off)
{
	if (op->atom == DW_OP_bregx) {
		*ret_off = (int64_t)op->number2;
		return op->number < 32 ? (int)op->number : -1;
	}
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		*ret_off = (int64_t)op->number;
		return op->atom - DW_OP_breg0;
	}
	return -1;
}

static inline bool libdw_row__is_plt(const Dwarf_Op *op, size_t cnt)
{
	return cnt == 9 && op[0].atom == DW_OP_breg7 && op[0].number == 8 &&
	       op[1].atom == DW_OP_breg16 && op[1].number == 0 && op[2].atom == DW_OP_lit15 &&
	       op[3].atom == DW_OP_and &&
	       (op[4].atom == DW_OP_lit10 || op[4].atom == DW_OP_lit11) && op[5].atom == DW_OP_ge &&
	       op[6].atom == DW_OP_lit3 && op[7].atom == DW_OP_shl && op[8].atom == DW_OP_plus;
}

static inline bool libdw_row__cfa(Dwarf_Frame *frame, bool signal, struct hu_row *row)
{
	Dwarf_Op *op;
	size_t cnt;
	int64_t off, words;
	int reg;

	if (dwarf_frame_cfa(frame, &op, &cnt) || !cnt)
		return false;
	reg = libdw_row__reg(&op[0], &off);
	if (signal && cnt == 2 && reg == 7 && off == 160 && op[1].atom == DW_OP_deref) {
		row->kind = HU_CFA_SIGNAL;
		return true;
	}
	if (libdw_row__is_plt(op, cnt)) {
		row->kind = HU_CFA_PLT;
		row->cfa_off = op[4].atom - DW_OP_lit0;
		return true;
	}
	if ((reg != 6 && reg != 7) || !libdw_row__words(off, 16, &words))
		return false;
	if (cnt == 1)
		row->kind = reg == 7 ? HU_CFA_SP : HU_CFA_FP;
	else if (cnt == 2 && op[1].atom == DW_OP_deref)
		row->kind = reg == 7 ? HU_CFA_DEREF_SP : HU_CFA_DEREF_FP;
	else
		return false;
	row->cfa_off = (int16_t)words;
	return true;
}

static inline bool libdw_row__fp(Dwarf_Frame *frame, struct hu_row *row)
{
	Dwarf_Op mem[3], *op;
	size_t cnt;
	int64_t off, words;
	enum hu_row_fp kind;

	if (dwarf_frame_register(frame, 6, mem, &op, &cnt))
		return false;
	if (!cnt) {
		row->kind |= (op ? HU_FP_UNDEF : HU_FP_SAME) << 4;
		return true;
	}
	if (libdw_row__at_cfa(op, cnt, &off))
		kind = HU_FP_CFA;
	else if (cnt == 2 && op[0].atom == DW_OP_call_frame_cfa &&
		 libdw_row__reg(&op[1], &off) == 6)
		kind = HU_FP_REL;
	else
		return false;
	if (!libdw_row__words(off, 8, &words))
		return false;
	row->kind |= kind << 4;
	row->fp_off = (int8_t)words;
	return true;
}

/* The row's rules in *row; false: BAD. */
static inline bool libdw_row__rules(Dwarf_Frame *frame, struct hu_row *row)
{
	Dwarf_Op mem[3], *op;
	size_t cnt;
	int64_t off;
	bool signal;
	int ra = dwarf_frame_info(frame, NULL, NULL, &signal);

	if (dwarf_frame_register(frame, ra, mem, &op, &cnt))
		return false;
	if (!cnt) {
		row->kind = HU_CFA_END;
		return op != NULL;
	}
	if (!libdw_row__cfa(frame, signal, row))
		return false;
	if (row->kind == HU_CFA_SIGNAL)
		return true;
	if (cnt == 1 &&
	    (op[0].atom == DW_OP_reg5 || (op[0].atom == DW_OP_regx && op[0].number == 5))) {
		if (row->kind != HU_CFA_SP || row->cfa_off || !libdw_row__fp(frame, row) ||
		    row->kind >> 4 != HU_FP_SAME)
			return false;
		row->kind = HU_CFA_RA_REG;
		row->fp_off = 5;
		return true;
	}
	return libdw_row__at_cfa(op, cnt, &off) && off == -8 && libdw_row__fp(frame, row);
}

/* arm64: sp (31) or x29 plus a number is all that a row's CFA can be. */
static inline bool libdw_row__arm64_cfa(Dwarf_Frame *frame, struct hu_row *row, int64_t *ret_off)
{
	int64_t words;
	size_t cnt;
	Dwarf_Op *op;
	int reg;

	if (dwarf_frame_cfa(frame, &op, &cnt) || cnt != 1)
		return false;
	reg = libdw_row__reg(&op[0], ret_off);
	if ((reg != 29 && reg != 31) || !libdw_row__words(*ret_off, 16, &words))
		return false;
	row->kind = reg == 31 ? HU_CFA_SP : HU_CFA_FP;
	row->cfa_off = (int16_t)words;
	return true;
}

enum libdw_row__place {
	LIBDW_ROW_SAME,
	LIBDW_ROW_UNDEF,
	LIBDW_ROW_SAVED,
	LIBDW_ROW_OTHER
};

static inline enum libdw_row__place libdw_row__place(Dwarf_Frame *frame, int reg, int64_t *ret_off)
{
	Dwarf_Op mem[3], *op;
	size_t cnt;

	if (dwarf_frame_register(frame, reg, mem, &op, &cnt))
		return LIBDW_ROW_OTHER;
	if (!cnt)
		return op ? LIBDW_ROW_UNDEF : LIBDW_ROW_SAME;
	return libdw_row__at_cfa(op, cnt, ret_off) ? LIBDW_ROW_SAVED : LIBDW_ROW_OTHER;
}

static inline bool libdw_row__arm64(Dwarf_Frame *frame, struct hu_row *row)
{
	int64_t cfa_off, ra_off = 0, fp_off = 0, off, words;
	enum libdw_row__place ra = libdw_row__place(frame, 30, &ra_off);
	enum libdw_row__place fp = libdw_row__place(frame, 29, &fp_off);
	enum hu_row_fp kind;

	if (ra == LIBDW_ROW_UNDEF) {
		row->kind = HU_CFA_END;
		return true;
	}
	if (ra == LIBDW_ROW_OTHER || fp == LIBDW_ROW_OTHER ||
	    !libdw_row__arm64_cfa(frame, row, &cfa_off))
		return false;
	if (ra == LIBDW_ROW_SAME) {
		kind = fp == LIBDW_ROW_SAVED   ? HU_FP_CFA
		       : fp == LIBDW_ROW_UNDEF ? HU_FP_UNDEF
					       : HU_FP_SAME;
		off = fp_off;
	} else if (fp == LIBDW_ROW_SAVED && ra_off == fp_off + 8) {
		kind = HU_FP_PAIR;
		off = fp_off;
	} else if (fp == LIBDW_ROW_SAME) {
		kind = HU_FP_RA;
		off = ra_off;
	} else {
		return false;
	}
	if (!libdw_row__words(off, 8, &words)) {
		if (ra == LIBDW_ROW_SAME || !libdw_row__words(off + cfa_off, 8, &words))
			return false;
		kind += HU_FP_PAIR_BASE - HU_FP_PAIR;
	}
	row->kind |= kind << 4;
	row->fp_off = (int8_t)words;
	return true;
}

/* What libdw says of addr; row->pc is left alone. machine: e_machine. no_match: dwarf_errno() of an address in no FDE. */
static inline void libdw_row__of(Dwarf_CFI *cfi, uint16_t machine, uint64_t addr, int no_match,
				 struct hu_row *row)
{
	Dwarf_Frame *frame = NULL;
	struct hu_row got = { .pc = row->pc };

	if (dwarf_cfi_addrframe(cfi, addr, &frame)) {
		got.kind = dwarf_errno() == no_match ? HU_CFA_GAP : HU_CFA_BAD;
	} else if (machine == EM_AARCH64 ? !libdw_row__arm64(frame, &got)
					 : !libdw_row__rules(frame, &got)) {
		got = (struct hu_row){ .pc = row->pc, .kind = HU_CFA_BAD };
	}
	free(frame);
	*row = got;
}

static inline void libdw_row__at(Dwarf_CFI *cfi, uint64_t addr, int no_match, struct hu_row *row)
{
	libdw_row__of(cfi, EM_X86_64, addr, no_match, row);
}

/* The errno that libdw has for "no FDE covers it": asked with an address that none can cover. */
static inline int libdw_row__no_match(Dwarf_CFI *cfi)
{
	Dwarf_Frame *frame = NULL;

	(void)dwarf_errno();
	if (!dwarf_cfi_addrframe(cfi, UINT64_MAX, &frame)) {
		free(frame);
		return -1;
	}
	return dwarf_errno();
}

#endif
