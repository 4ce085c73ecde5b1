// SPDX-License-Identifier: GPL-2.0-only
/* x86-64: what its CFI rules become as rows. */
#include "user/unwind/cfi_arch.h"

#include <dwarf.h>
#include <elf.h>

#include "user/unwind/cfi_read.h"

/* psABI 1.0, figure 3.36: DWARF register numbers */
enum {
	REG_DI = 5,
	REG_FP = 6,
	REG_SP = 7,
	REG_PC = 16,
};

/* call pushes it: the return address lies below the CFA (psABI 1.0, section 3.6.2) */
#define RA_OFF (-8)
/*
 * Where a signal frame keeps the stack pointer. The handler's ret has popped the first word of
 * struct rt_sigframe (arch/x86/include/asm/sigframe.h), so that struct ucontext is at sp:
 * uc_mcontext at 40 in it (include/uapi/asm-generic/ucontext.h), RSP its 16th word
 * (arch/x86/include/uapi/asm/sigcontext.h). glibc's __restore_rt says so: DW_OP_breg7 160;
 * DW_OP_deref.
 */
#define UCONTEXT_SP_OFF (40 + 15 * 8)
/* Longer ones are none of those we know: refuse them before looking at each byte for every row. */
#define EXPR_MAX 16

/*
 * The lazy PLT: each 16-byte entry is jmp; push; jmp, with one word more on the stack once the push
 * is done, after 11 bytes, or 10 with endbr64 (ld's bfd/elfxx-x86.c, gold, lld say it with one FDE
 * for all): CFA = sp + 8 + ((pc & 15) >= N) << 3. Returns N, or -1.
 */
static int plt_threshold(const struct cfi_expr *e)
{
	static const uint8_t plt[] = {
		DW_OP_breg7,	      8,	DW_OP_breg16, 0,	 DW_OP_lit15, DW_OP_and,
		0 /* lit10, lit11 */, DW_OP_ge, DW_OP_lit3,   DW_OP_shl, DW_OP_plus
	};
	const size_t lit = 6;

	if (e->sz != sizeof(plt) || memcmp(e->data, plt, lit) ||
	    memcmp(e->data + lit + 1, plt + lit + 1, sizeof(plt) - lit - 1))
		return -1;
	if (e->data[lit] != DW_OP_lit10 && e->data[lit] != DW_OP_lit11)
		return -1;
	return e->data[lit] - DW_OP_lit0;
}

/* DW_OP_bregN off, and DW_OP_deref when deref, and nothing else */
static bool breg_expr(const struct cfi_expr *e, bool deref, unsigned int *ret_reg, int64_t *ret_off)
{
	struct cfi_reader r = { .p = e->data, .end = e->data + e->sz };
	unsigned int op;
	int64_t off;

	if (e->sz > EXPR_MAX)
		return false;
	op = cfi_reader__fixed(&r, 1);
	off = cfi_reader__sleb(&r);
	if (deref && cfi_reader__fixed(&r, 1) != DW_OP_deref)
		return false;
	if (r.bad || r.p != r.end || op < DW_OP_breg0 || op > DW_OP_breg31)
		return false;
	*ret_reg = op - DW_OP_breg0;
	*ret_off = off;
	return true;
}

/* The CFA by a register or by the word that an expression loads: its kind, or HU_CFA_BAD. */
static enum hu_row_cfa cfa_kind(const struct cfi_cfa *cfa, int64_t *ret_off)
{
	unsigned int reg;

	if (cfa->kind == CFI_CFA_REG) {
		*ret_off = cfa->off;
		return cfa->reg == REG_SP ? HU_CFA_SP : cfa->reg == REG_FP ? HU_CFA_FP : HU_CFA_BAD;
	}
	if (cfa->kind == CFI_CFA_EXPR && breg_expr(&cfa->expr, true, &reg, ret_off))
		return reg == REG_SP   ? HU_CFA_DEREF_SP
		       : reg == REG_FP ? HU_CFA_DEREF_FP
				       : HU_CFA_BAD;
	return HU_CFA_BAD;
}

static bool fp_rule(const struct cfi_rule *fp, enum hu_row_fp *ret_kind, int64_t *ret_off)
{
	unsigned int reg;
	int64_t off;

	*ret_off = 0;
	switch (fp->kind) {
	case CFI_RULE_UNSPECIFIED: /* callee-saved (psABI 1.0, figure 3.4) */
	case CFI_RULE_SAME:
		*ret_kind = HU_FP_SAME;
		return true;
	case CFI_RULE_UNDEFINED:
		*ret_kind = HU_FP_UNDEF;
		return true;
	case CFI_RULE_OFFSET:
		*ret_kind = HU_FP_CFA;
		return cfi_arch__words(fp->off, INT8_MIN, INT8_MAX, ret_off);
	case CFI_RULE_EXPR: /* main() with a realigned stack: at its own frame pointer */
		*ret_kind = HU_FP_REL;
		return breg_expr(&fp->expr, false, &reg, &off) && reg == REG_FP &&
		       cfi_arch__words(off, INT8_MIN, INT8_MAX, ret_off);
	case CFI_RULE_REG:
	case CFI_RULE_VALUE:
		break;
	}
	return false;
}

/*
 * Only the frames of rt_sigreturn's trampoline have their registers in a ucontext; other code that
 * says .cfi_signal_frame has rules like any other.
 */
static bool is_sigreturn(const struct cfi_state *s)
{
	unsigned int reg;
	int64_t off;

	return s->cfa.kind == CFI_CFA_EXPR && breg_expr(&s->cfa.expr, true, &reg, &off) &&
	       reg == REG_SP && off == UCONTEXT_SP_OFF;
}

static bool x86_64_row(const struct cfi_state *s, bool signal_frame, struct hu_row *row)
{
	enum hu_row_cfa cfa;
	enum hu_row_fp fp;
	int64_t cfa_off, fp_off;
	int plt;

	if (s->ra.kind == CFI_RULE_UNDEFINED)
		return cfi_arch__set_row(row, HU_CFA_END, 0, HU_FP_SAME, 0);
	if (signal_frame && is_sigreturn(s))
		return cfi_arch__set_row(row, HU_CFA_SIGNAL, 0, HU_FP_SAME, 0);
	if (!fp_rule(&s->fp, &fp, &fp_off))
		return cfi_arch__bad_row(row);
	/* vfork pops its return address into rdi (glibc's sysdeps/unix/sysv/linux/x86_64/vfork.S) */
	if (s->ra.kind == CFI_RULE_REG) {
		if (s->ra.reg != REG_DI || s->cfa.kind != CFI_CFA_REG || s->cfa.reg != REG_SP ||
		    s->cfa.off || fp != HU_FP_SAME)
			return cfi_arch__bad_row(row);
		return cfi_arch__set_row(row, HU_CFA_RA_REG, 0, HU_FP_SAME, REG_DI);
	}
	if (s->ra.kind != CFI_RULE_OFFSET || s->ra.off != RA_OFF)
		return cfi_arch__bad_row(row);
	plt = s->cfa.kind == CFI_CFA_EXPR ? plt_threshold(&s->cfa.expr) : -1;
	if (plt >= 0)
		return cfi_arch__set_row(row, HU_CFA_PLT, plt, fp, fp_off);
	cfa = cfa_kind(&s->cfa, &cfa_off);
	if (cfa == HU_CFA_BAD || !cfi_arch__words(cfa_off, INT16_MIN, INT16_MAX, &cfa_off))
		return cfi_arch__bad_row(row);
	return cfi_arch__set_row(row, cfa, cfa_off, fp, fp_off);
}

const struct cfi_arch cfi_arch_x86_64 = {
	.machine = EM_X86_64,
	.fp_reg = REG_FP,
	.augmentation = "",
	.row = x86_64_row,
};
