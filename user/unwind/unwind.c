// SPDX-License-Identifier: GPL-2.0-only
/* The walk over unwind rows, x86-64. */
#include "user/unwind/unwind.h"

#include <stdbool.h>

#define WORD	8
#define PAGE_SZ 4096 /* no code lies in the first page (vm.mmap_min_addr) */
/* Addresses of user space; with five-level paging too, unless one asks mmap for more. */
#define USER_BITS 47
/* A frame record further away than this is no frame record: a default stack is 8 MiB. */
#define FRAME_MAX (1 << 20)
#define REG_DI	  5 /* psABI 1.0, figure 3.36 */
/*
 * struct rt_sigframe at sp, once the handler's ret has popped its first word: struct ucontext, with
 * uc_mcontext at 40 (include/uapi/asm-generic/ucontext.h), whose 11th word is RBP, 16th RSP, 17th
 * RIP (arch/x86/include/uapi/asm/sigcontext.h).
 */
#define SIGCONTEXT_BP_OFF (40 + 10 * WORD)
#define SIGCONTEXT_WORDS  7 /* rbp rbx rdx rax rcx rsp rip */

struct walk {
	const struct unwind_ops *ops;
	struct hu_stack *stack;
	uint64_t pc, sp, bp, di;
	bool leaf;     /* pc is an instruction that was interrupted, no return address */
	bool top;      /* the first frame: di is still the thread's */
	bool bp_known; /* no frame so far lost it */
	uint16_t flags;
};

/* Each step returns true to go on, or false with the reason in w->flags. */
static bool stop(struct walk *w, enum hu_stack_flag why)
{
	w->flags |= why;
	return false;
}

static bool read_word(const struct walk *w, uint64_t addr, uint64_t *ret)
{
	return !w->ops->read(w->ops->ctx, addr, ret, sizeof(*ret));
}

static uint64_t words(int off)
{
	return (uint64_t)((int64_t)off * WORD);
}

static void returned(struct walk *w, uint64_t sp, uint64_t pc)
{
	w->sp = sp;
	w->pc = pc;
	w->leaf = false;
	w->top = false;
}

/* push rbp; mov rsp,rbp: the caller's rbp and the return address are at rbp. */
static bool step_frame_pointer(struct walk *w, enum hu_stack_flag why)
{
	const struct cfi_table *table;
	uint64_t rec[2];
	uint32_t rel;

	if (!w->bp_known || w->bp < w->sp || w->bp - w->sp > FRAME_MAX || w->bp % WORD)
		return stop(w, why);
	if (w->ops->read(w->ops->ctx, w->bp, rec, sizeof(rec)))
		return stop(w, why);
	/* data in the register leads anywhere; a call came from code */
	if (rec[1] && w->ops->find(w->ops->ctx, rec[1] - 1, &table, &rel))
		return stop(w, why);
	if (!(w->flags & HU_STACK_FRAMEPTR))
		w->stack->exact = w->stack->frames;
	w->flags |= HU_STACK_FRAMEPTR;
	returned(w, w->bp + sizeof(rec), rec[1]);
	w->bp = rec[0];
	return true;
}

/* The frame above was interrupted anywhere: its pc is a leaf's, its stack may be another one. */
static bool step_signal(struct walk *w)
{
	uint64_t reg[SIGCONTEXT_WORDS];

	if (w->ops->read(w->ops->ctx, w->sp + SIGCONTEXT_BP_OFF, reg, sizeof(reg)))
		return stop(w, HU_STACK_BADREAD);
	returned(w, reg[5], reg[6]);
	w->bp = reg[0];
	w->bp_known = true;
	w->leaf = true;
	return true;
}

static bool needs_bp(const struct hu_row *row)
{
	unsigned int kind = HU_ROW_CFA(row->kind);

	return kind == HU_CFA_FP || kind == HU_CFA_DEREF_FP || HU_ROW_FP(row->kind) == HU_FP_REL;
}

static bool find_cfa(struct walk *w, const struct hu_row *row, uint64_t *ret)
{
	switch (HU_ROW_CFA(row->kind)) {
	case HU_CFA_SP:
		*ret = w->sp + words(row->cfa_off);
		return true;
	case HU_CFA_FP:
		*ret = w->bp + words(row->cfa_off);
		return true;
	case HU_CFA_PLT:
		*ret = w->sp + WORD + ((w->pc & 15) >= (uint64_t)row->cfa_off ? WORD : 0);
		return true;
	case HU_CFA_DEREF_FP:
		return read_word(w, w->bp + words(row->cfa_off), ret);
	default: /* HU_CFA_DEREF_SP */
		return read_word(w, w->sp + words(row->cfa_off), ret);
	}
}

static bool caller_bp(struct walk *w, const struct hu_row *row, uint64_t cfa)
{
	switch (HU_ROW_FP(row->kind)) {
	case HU_FP_CFA:
		w->bp_known = true;
		return read_word(w, cfa + words(row->fp_off), &w->bp);
	case HU_FP_REL:
		return read_word(w, w->bp + words(row->fp_off), &w->bp);
	case HU_FP_UNDEF:
		w->bp_known = false;
		return true;
	default:
		return true;
	}
}

static bool step_cfa(struct walk *w, const struct hu_row *row)
{
	uint64_t cfa, ra;

	if (needs_bp(row) && !w->bp_known)
		return stop(w, HU_STACK_NOROW);
	/* growing is what makes the walk end on a stack that was made to loop */
	if (!find_cfa(w, row, &cfa) || cfa <= w->sp)
		return stop(w, HU_STACK_BADREAD);
	if (!read_word(w, cfa - WORD, &ra) || !caller_bp(w, row, cfa))
		return stop(w, HU_STACK_BADREAD);
	returned(w, cfa, ra);
	return true;
}

static bool step_row(struct walk *w, const struct hu_row *row)
{
	if (row->kind & HU_ROW_DERIVED)
		w->flags |= HU_STACK_DERIVED;
	if (row->kind == HU_CFA_GAP && !w->leaf && row->cfa_off == HU_GAP_ENDS(w->pc)) {
		w->stack->pcs[w->stack->frames - 1]++; /* no call is a byte before */
		return stop(w, HU_STACK_COMPLETE);
	}
	switch (HU_ROW_CFA(row->kind)) {
	case HU_CFA_END:
		return stop(w, HU_STACK_COMPLETE);
	case HU_CFA_SIGNAL:
		return step_signal(w);
	case HU_CFA_RA_REG: /* in a vfork parent, whose return address the child may not overwrite */
		if (!w->top || row->fp_off != REG_DI)
			return stop(w, HU_STACK_NOROW);
		returned(w, w->sp, w->di);
		return true;
	case HU_CFA_SP:
	case HU_CFA_FP:
	case HU_CFA_PLT:
	case HU_CFA_DEREF_FP:
	case HU_CFA_DEREF_SP:
		return step_cfa(w, row);
	default: /* HU_CFA_GAP, HU_CFA_BAD */
		return step_frame_pointer(w, HU_STACK_NOROW);
	}
}

/* From one frame to its caller. */
static bool step(struct walk *w)
{
	/* a call may be its function's last instruction: the return address is the next one's */
	uint64_t pc = w->pc - !w->leaf;
	const struct cfi_table *table = NULL;
	const struct hu_row *row;
	uint32_t rel = 0;
	bool more;

	if (w->ops->find(w->ops->ctx, pc, &table, &rel)) {
		more = step_frame_pointer(w, HU_STACK_NOMAP);
	} else {
		row = table ? cfi__find(table, rel) : NULL;
		more = row ? step_row(w, row) : step_frame_pointer(w, HU_STACK_NOROW);
	}
	if (!more)
		return false;
	if (!w->pc) /* what the kernel and libc put above a thread's first function */
		return stop(w, HU_STACK_COMPLETE);
	if (w->pc < PAGE_SZ || w->pc >> USER_BITS)
		return stop(w, HU_STACK_NOMAP);
	return true;
}

void unwind__walk(const struct unwind_regs *regs, const struct unwind_ops *ops,
		  struct hu_stack *ret)
{
	struct walk w = {
		.ops = ops,
		.stack = ret,
		.pc = regs->ip,
		.sp = regs->sp,
		.bp = regs->bp,
		.di = regs->di,
		.leaf = true,
		.top = true,
		.bp_known = true,
	};

	ret->frames = ret->exact = 0;
	do {
		if (ret->frames == HU_MAX_FRAMES) {
			w.flags |= HU_STACK_TRUNCATED;
			break;
		}
		/* Names are looked up a byte before; an interrupted instruction stands for itself. */
		ret->pcs[ret->frames] = w.pc + (w.leaf && ret->frames > 0);
		ret->frames++;
	} while (step(&w));
	ret->flags = w.flags;
	if (!(w.flags & HU_STACK_FRAMEPTR))
		ret->exact = ret->frames;
}
