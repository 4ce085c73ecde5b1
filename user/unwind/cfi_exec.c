// SPDX-License-Identifier: GPL-2.0-only
/* The interpreter for call frame instructions: DWARF 5, sections 6.4.2 and 7.24. */
#include "user/unwind/cfi_exec.h"

#include <dwarf.h>
#include <errno.h>

/* Compilers nest one or two deep; hostile programs must not make us allocate. */
#define REMEMBER_MAX 16

/*
 * DWARF for the Arm 64-bit architecture (2024Q3), section 4.4; other machines have other meanings for them.
 * Unwinders strip the signature whether there is one or not, so that it need not be known.
 */
#define DW_CFA_AARCH64_NEGATE_RA_STATE_WITH_PC 0x2c
#define DW_CFA_AARCH64_NEGATE_RA_STATE	       0x2d

struct exec {
	const struct cfi_program *prog;
	struct cfi_reader *r;
	struct cfi_state *s;
	cfi_emit_fn emit;
	void *ctx;
	uint64_t pc;
	struct cfi_state remembered[REMEMBER_MAX];
	unsigned int depth;
};

enum step {
	STEP_OK,
	STEP_BROKEN,
	STEP_PAST_END, /* of the FDE's range */
	STEP_CANCELED,
};

static uint64_t pointer_value(struct cfi_reader *r, uint8_t enc)
{
	switch (enc & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return cfi_reader__fixed(r, 8);
	case DW_EH_PE_uleb128:
		return cfi_reader__uleb(r);
	case DW_EH_PE_udata2:
		return cfi_reader__fixed(r, 2);
	case DW_EH_PE_udata4:
		return cfi_reader__fixed(r, 4);
	case DW_EH_PE_sleb128:
		return cfi_reader__sleb(r);
	case DW_EH_PE_sdata2:
		return (int64_t)(int16_t)cfi_reader__fixed(r, 2);
	case DW_EH_PE_sdata4:
		return (int64_t)(int32_t)cfi_reader__fixed(r, 4);
	default:
		r->bad = true;
		return 0;
	}
}

uint64_t cfi_reader__pointer(struct cfi_reader *r, uint8_t enc, const struct cfi_ptr_base *base)
{
	uint64_t here = base->vaddr + (uint64_t)(r->p - base->data);

	/* An indirect pointer's value is in the target's memory, not here; omit is 0xff. */
	if (enc & DW_EH_PE_indirect) {
		r->bad = true;
		return 0;
	}
	switch (enc & 0x70) {
	case DW_EH_PE_absptr:
		return pointer_value(r, enc);
	case DW_EH_PE_pcrel:
		return here + pointer_value(r, enc);
	case DW_EH_PE_datarel:
		if (!base->data_base)
			r->bad = true;
		return base->data_base + pointer_value(r, enc);
	case DW_EH_PE_aligned: /* an absolute address at the next address that is aligned for it */
		cfi_reader__skip(r, -here & 7);
		return cfi_reader__fixed(r, 8);
	default:
		r->bad = true;
		return 0;
	}
}

static void set_rule(struct exec *x, uint64_t reg, const struct cfi_rule *rule)
{
	if (reg == x->prog->cie->arch->fp_reg)
		x->s->fp = *rule;
	if (reg == x->prog->cie->ra_reg)
		x->s->ra = *rule;
}

static void set_kind(struct exec *x, uint64_t reg, enum cfi_rule_kind kind)
{
	set_rule(x, reg, &(struct cfi_rule){ .kind = kind });
}

/* Offsets wrap like everyone's do; what wraps doesn't fit a row, or is what the file says. */
static int64_t factored(const struct exec *x, uint64_t n)
{
	return (int64_t)(n * (uint64_t)x->prog->cie->data_align);
}

static void set_offset(struct exec *x, uint64_t reg, int64_t off)
{
	set_rule(x, reg, &(struct cfi_rule){ .kind = CFI_RULE_OFFSET, .off = off });
}

static enum step restore(struct exec *x, uint64_t reg)
{
	const struct cfi_state *init = &x->prog->cie->init;

	if (x->prog->initial)
		return STEP_BROKEN;
	if (reg == x->prog->cie->arch->fp_reg)
		x->s->fp = init->fp;
	if (reg == x->prog->cie->ra_reg)
		x->s->ra = init->ra;
	return STEP_OK;
}

static struct cfi_expr block(struct cfi_reader *r)
{
	uint64_t sz = cfi_reader__uleb(r);
	struct cfi_expr e = { .data = r->p, .sz = sz };

	cfi_reader__skip(r, sz);
	return r->bad ? (struct cfi_expr){ 0 } : e;
}

static enum step move_to(struct exec *x, uint64_t pc)
{
	if (x->prog->initial)
		return STEP_BROKEN; /* a CIE has no location */
	if (pc < x->pc)
		return STEP_BROKEN;
	if (pc == x->pc)
		return STEP_OK;
	if (!x->emit(x->ctx, x->pc, x->s))
		return STEP_CANCELED;
	x->pc = pc;
	return pc < x->prog->end ? STEP_OK : STEP_PAST_END;
}

static enum step advance(struct exec *x, uint64_t n)
{
	uint64_t delta, pc;

	if (x->r->bad || __builtin_mul_overflow(n, x->prog->cie->code_align, &delta) ||
	    __builtin_add_overflow(x->pc, delta, &pc))
		return STEP_BROKEN;
	return move_to(x, pc);
}

static enum step set_loc(struct exec *x)
{
	uint64_t pc = cfi_reader__pointer(x->r, x->prog->cie->ptr_enc, x->prog->base);

	return x->r->bad ? STEP_BROKEN : move_to(x, pc);
}

static enum step def_cfa(struct exec *x, uint64_t reg, int64_t off)
{
	x->s->cfa = (struct cfi_cfa){ .kind = CFI_CFA_REG, .reg = reg, .off = off };
	return STEP_OK;
}

/* Changing half of a register + offset rule needs one to change: DWARF 5, section 6.4.2.2. */
static enum step def_cfa_register(struct exec *x, uint64_t reg)
{
	if (x->s->cfa.kind != CFI_CFA_REG)
		return STEP_BROKEN;
	x->s->cfa.reg = reg;
	return STEP_OK;
}

static enum step def_cfa_offset(struct exec *x, int64_t off)
{
	if (x->s->cfa.kind != CFI_CFA_REG)
		return STEP_BROKEN;
	x->s->cfa.off = off;
	return STEP_OK;
}

static enum step remember(struct exec *x)
{
	if (x->depth == REMEMBER_MAX)
		return STEP_BROKEN;
	x->remembered[x->depth++] = *x->s;
	return STEP_OK;
}

static enum step restore_state(struct exec *x)
{
	if (!x->depth)
		return STEP_BROKEN;
	*x->s = x->remembered[--x->depth];
	return STEP_OK;
}

static enum step set_expr(struct exec *x, uint64_t reg)
{
	struct cfi_rule rule = { .kind = CFI_RULE_EXPR, .expr = block(x->r) };

	set_rule(x, reg, &rule);
	return STEP_OK;
}

/* Rules of registers: all but those that name the CFA or the location. */
static enum step register_op(struct exec *x, uint8_t op)
{
	struct cfi_reader *r = x->r;
	uint64_t reg = cfi_reader__uleb(r);

	switch (op) {
	case DW_CFA_offset_extended:
		set_offset(x, reg, factored(x, cfi_reader__uleb(r)));
		break;
	case DW_CFA_offset_extended_sf:
		set_offset(x, reg, factored(x, (uint64_t)cfi_reader__sleb(r)));
		break;
	case DW_CFA_GNU_negative_offset_extended: /* gcc's old way to say …_sf */
		set_offset(x, reg, factored(x, 0 - cfi_reader__uleb(r)));
		break;
	case DW_CFA_restore_extended:
		return restore(x, reg);
	case DW_CFA_undefined:
		set_kind(x, reg, CFI_RULE_UNDEFINED);
		break;
	case DW_CFA_same_value:
		set_kind(x, reg, CFI_RULE_SAME);
		break;
	case DW_CFA_register:
		set_rule(x, reg,
			 &(struct cfi_rule){ .kind = CFI_RULE_REG, .reg = cfi_reader__uleb(r) });
		break;
	case DW_CFA_expression:
		return set_expr(x, reg);
	case DW_CFA_val_offset:
		cfi_reader__uleb(r);
		set_kind(x, reg, CFI_RULE_VALUE);
		break;
	case DW_CFA_val_offset_sf:
		cfi_reader__sleb(r);
		set_kind(x, reg, CFI_RULE_VALUE);
		break;
	case DW_CFA_val_expression:
		block(r);
		set_kind(x, reg, CFI_RULE_VALUE);
		break;
	default:
		return STEP_BROKEN;
	}
	return STEP_OK;
}

static enum step extended_op(struct exec *x, uint8_t op)
{
	struct cfi_reader *r = x->r;
	uint64_t reg;

	switch (op) {
	case DW_CFA_nop:
		return STEP_OK;
	case DW_CFA_set_loc:
		return set_loc(x);
	case DW_CFA_advance_loc1:
		return advance(x, cfi_reader__fixed(r, 1));
	case DW_CFA_advance_loc2:
		return advance(x, cfi_reader__fixed(r, 2));
	case DW_CFA_advance_loc4:
		return advance(x, cfi_reader__fixed(r, 4));
	case DW_CFA_MIPS_advance_loc8:
		return advance(x, cfi_reader__fixed(r, 8));
	case DW_CFA_remember_state:
		return remember(x);
	case DW_CFA_restore_state:
		return restore_state(x);
	case DW_CFA_def_cfa:
		reg = cfi_reader__uleb(r);
		return def_cfa(x, reg, (int64_t)cfi_reader__uleb(r));
	case DW_CFA_def_cfa_sf:
		reg = cfi_reader__uleb(r);
		return def_cfa(x, reg, factored(x, (uint64_t)cfi_reader__sleb(r)));
	case DW_CFA_def_cfa_register:
		return def_cfa_register(x, cfi_reader__uleb(r));
	case DW_CFA_def_cfa_offset:
		return def_cfa_offset(x, (int64_t)cfi_reader__uleb(r));
	case DW_CFA_def_cfa_offset_sf:
		return def_cfa_offset(x, factored(x, (uint64_t)cfi_reader__sleb(r)));
	case DW_CFA_def_cfa_expression:
		x->s->cfa = (struct cfi_cfa){ .kind = CFI_CFA_EXPR, .expr = block(r) };
		return STEP_OK;
	case DW_CFA_AARCH64_NEGATE_RA_STATE:
	case DW_CFA_AARCH64_NEGATE_RA_STATE_WITH_PC:
		return x->prog->cie->arch->signs_ra ? STEP_OK : STEP_BROKEN;
	case DW_CFA_GNU_args_size: /* for exception handlers only */
		cfi_reader__uleb(r);
		return STEP_OK;
	default:
		return register_op(x, op);
	}
}

static enum step step(struct exec *x)
{
	uint8_t op = *x->r->p++;
	uint8_t low = op & 0x3f;

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(x, low);
	case DW_CFA_offset:
		set_offset(x, low, factored(x, cfi_reader__uleb(x->r)));
		return STEP_OK;
	case DW_CFA_restore:
		return restore(x, low);
	default:
		return extended_op(x, op);
	}
}

int cfi_program__run(const struct cfi_program *prog, struct cfi_reader *r, struct cfi_state *s,
		     cfi_emit_fn emit, void *ctx, uint64_t *ret_pc)
{
	struct exec x; /* not cleared: remembered[] is 3 KiB, and is written before it is read */
	enum step st;

	x.prog = prog;
	x.r = r;
	x.s = s;
	x.emit = emit;
	x.ctx = ctx;
	x.pc = prog->start;
	x.depth = 0;
	while (r->p < r->end) {
		st = step(&x);
		if (st == STEP_PAST_END)
			return 0;
		if (st == STEP_CANCELED)
			return -ECANCELED;
		if (st == STEP_BROKEN || r->bad) {
			*ret_pc = x.pc;
			return -EINVAL;
		}
	}
	if (!prog->initial && !emit(ctx, x.pc, s))
		return -ECANCELED;
	return 0;
}
