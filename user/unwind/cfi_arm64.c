// SPDX-License-Identifier: GPL-2.0-only
/*
 * arm64: what its CFI rules become as rows.
 *
 * A call leaves the return address in x30, so where it is saved is a rule like any other. Of 1.72 million
 * rows in 578 files of Debian 12, 58 % have it saved in the word above the frame pointer (stp x29, x30),
 * 38 % still have it in the register, 3 % have it saved alone, and 13 rows are none of these. Where the frame
 * is larger than a row's offset reaches from the CFA (2 %), the pair is near the register that the CFA counts
 * from: no row is lost to its size but those of frames above 256 KiB.
 */
#include "user/unwind/cfi_arch.h"

#include <elf.h>

/* DWARF for the Arm 64-bit architecture (2024Q3), table 2: DWARF register numbers */
enum {
	REG_FP = 29,
	REG_SP = 31,
};

/* Callee-saved (AAPCS64 section 6.1.1), and what bl leaves in x30: unchanged unless the CFI says so. */
static bool unchanged(const struct cfi_rule *rule)
{
	return rule->kind == CFI_RULE_UNSPECIFIED || rule->kind == CFI_RULE_SAME;
}

/* Where the return address is saved, and the frame pointer below it or nowhere. */
static bool saved_rule(const struct cfi_state *s, enum hu_row_fp *ret_kind, int64_t *ret_off)
{
	int64_t off = s->ra.off, from_base;
	bool pair = s->fp.kind == CFI_RULE_OFFSET;

	if (pair) {
		if (__builtin_sub_overflow(s->ra.off, CFI_WORD, &off) || off != s->fp.off)
			return false;
	} else if (!unchanged(&s->fp)) {
		return false;
	}
	*ret_kind = pair ? HU_FP_PAIR : HU_FP_RA;
	if (cfi_arch__words(off, INT8_MIN, INT8_MAX, ret_off))
		return true;
	*ret_kind = pair ? HU_FP_PAIR_BASE : HU_FP_RA_BASE;
	return !__builtin_add_overflow(off, s->cfa.off, &from_base) &&
	       cfi_arch__words(from_base, INT8_MIN, INT8_MAX, ret_off);
}

/* The return address is in its register, as in a leaf: where the frame pointer is. */
static bool leaf_rule(const struct cfi_rule *fp, enum hu_row_fp *ret_kind, int64_t *ret_off)
{
	*ret_off = 0;
	*ret_kind = HU_FP_SAME;
	if (unchanged(fp))
		return true;
	*ret_kind = HU_FP_UNDEF;
	if (fp->kind == CFI_RULE_UNDEFINED)
		return true;
	*ret_kind = HU_FP_CFA;
	return fp->kind == CFI_RULE_OFFSET && cfi_arch__words(fp->off, INT8_MIN, INT8_MAX, ret_off);
}

static bool arm64_row(const struct cfi_state *s, bool signal_frame, struct hu_row *row)
{
	enum hu_row_fp fp = HU_FP_SAME;
	int64_t cfa_off, fp_off = 0;
	bool known;

	if (s->ra.kind == CFI_RULE_UNDEFINED)
		return cfi_arch__set_row(row, HU_CFA_END, 0, HU_FP_SAME, 0);
	if (s->cfa.kind != CFI_CFA_REG || (s->cfa.reg != REG_SP && s->cfa.reg != REG_FP) ||
	    !cfi_arch__words(s->cfa.off, INT16_MIN, INT16_MAX, &cfa_off))
		return cfi_arch__bad_row(row);
	if (s->ra.kind == CFI_RULE_OFFSET)
		known = saved_rule(s, &fp, &fp_off);
	else
		known = unchanged(&s->ra) && leaf_rule(&s->fp, &fp, &fp_off);
	if (!known)
		return cfi_arch__bad_row(row);
	return cfi_arch__set_row(row, s->cfa.reg == REG_SP ? HU_CFA_SP : HU_CFA_FP, cfa_off, fp,
				 fp_off);
}

const struct cfi_arch cfi_arch_arm64 = {
	.machine = EM_AARCH64,
	.fp_reg = REG_FP,
	.signs_ra = true,
	/* B: return addresses are signed with the B key; G: frames have memory tags (same document, 4.3) */
	.augmentation = "BG",
	/* mov x8, #__NR_rt_sigreturn (139); svc #0 */
	.sigreturn = { 0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4 },
	.sigreturn_sz = 8,
	.row = arm64_row,
};
