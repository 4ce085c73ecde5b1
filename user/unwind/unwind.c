// SPDX-License-Identifier: GPL-2.0-only
/* The walk over unwind rows. */
#include "user/unwind/unwind.h"

#include <stdbool.h>

#define WORD	8
#define PAGE_SZ 4096 /* no code lies in the first page (vm.mmap_min_addr) */
/* A frame record further away than this is no frame record: a default stack is 8 MiB. */
#define FRAME_MAX	 (1 << 20)
#define SIGNAL_WORDS_MAX 7

/* What depends on the machine. */
struct machine {
	/* Bits of user addresses; where the hardware has more, too, unless one asks mmap for them. */
	unsigned int user_bits;
	/* x86-64: the return address is below the CFA, and the caller's frame above the frame record. */
	bool call_pushes;
	int vfork_ra_reg; /* DWARF's number of unwind_regs.ra_reg, where CFI may name it */
	/* At sp in a signal frame: registers at so many bytes, and which of these words is which. */
	uint64_t signal_off;
	unsigned int signal_words, signal_fp, signal_ra, signal_sp, signal_pc;
};

/*
 * struct rt_sigframe at sp, once the handler's ret has popped its first word: struct ucontext, with
 * uc_mcontext at 40 (include/uapi/asm-generic/ucontext.h), whose 11th word is RBP, 16th RSP, 17th
 * RIP (arch/x86/include/uapi/asm/sigcontext.h). rdi: psABI 1.0, figure 3.36.
 */
static const struct machine x86_64 = {
	.user_bits = 47,
	.call_pushes = true,
	.vfork_ra_reg = 5,
	.signal_off = 40 + 10 * WORD,
	.signal_words = 7, /* rbp rbx rdx rax rcx rsp rip */
	.signal_fp = 0,
	.signal_sp = 5,
	.signal_pc = 6,
};

/*
 * struct rt_sigframe at sp (arch/arm64/kernel/signal.c): siginfo, 128 bytes; struct ucontext with uc_mcontext
 * at 176 (arch/arm64/include/uapi/asm/ucontext.h): fault_address, x0 to x30, sp, pc
 * (arch/arm64/include/uapi/asm/sigcontext.h).
 */
static const struct machine arm64 = {
	.user_bits = 48,
	.vfork_ra_reg = -1,
	.signal_off = 128 + 176 + (1 + 29) * WORD,
	.signal_words = 4, /* x29 x30 sp pc */
	.signal_fp = 0,
	.signal_ra = 1,
	.signal_sp = 2,
	.signal_pc = 3,
};

struct walk {
	const struct unwind_ops *ops;
	const struct machine *machine;
	struct hu_stack *stack;
	uint64_t pc, sp, fp, ra_reg;
	bool leaf;     /* pc is an instruction that was interrupted, no return address */
	bool top;      /* ra_reg is that of this frame: no call came in between */
	bool fp_known; /* no frame so far lost it */
	bool sp_low;   /* sp is no more than a bound, the frame's own is further up */
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

/* A code address without what is none in it: on arm64 its signature. */
static uint64_t code(const struct walk *w, uint64_t ra)
{
	return w->machine->call_pushes ? ra : ra & ((1ULL << w->machine->user_bits) - 1);
}

static void returned(struct walk *w, uint64_t sp, uint64_t pc)
{
	w->sp = sp;
	w->sp_low = false;
	w->pc = pc;
	w->leaf = false;
	w->top = false;
}

/*
 * push rbp; mov rsp,rbp: the caller's rbp and the return address are at rbp. On arm64 the record is as well, but
 * anywhere in its frame (AAPCS64 section 6.4.6), so where that ends is not known.
 */
static bool step_frame_pointer(struct walk *w, enum hu_stack_flag why)
{
	const struct cfi_table *table;
	uint64_t rec[2];
	uint32_t rel;

	if (!w->fp_known || w->fp < w->sp || w->fp - w->sp > FRAME_MAX || w->fp % WORD)
		return stop(w, why);
	if (w->ops->read(w->ops->ctx, w->fp, rec, sizeof(rec)))
		return stop(w, why);
	rec[1] = code(w, rec[1]);
	/* data in the register leads anywhere; a call came from code */
	if (rec[1] && w->ops->find(w->ops->ctx, rec[1] - 1, &table, &rel))
		return stop(w, why);
	if (!(w->flags & HU_STACK_FRAMEPTR))
		w->stack->exact = w->stack->frames;
	w->flags |= HU_STACK_FRAMEPTR;
	returned(w, w->fp + sizeof(rec), rec[1]);
	w->sp_low = !w->machine->call_pushes;
	w->fp = rec[0];
	return true;
}

/* The frame above was interrupted anywhere: its pc is a leaf's, its stack may be another one. */
static bool step_signal(struct walk *w)
{
	const struct machine *m = w->machine;
	uint64_t reg[SIGNAL_WORDS_MAX];

	if (w->ops->read(w->ops->ctx, w->sp + m->signal_off, reg, m->signal_words * WORD))
		return stop(w, HU_STACK_BADREAD);
	returned(w, reg[m->signal_sp], reg[m->signal_pc]);
	w->fp = reg[m->signal_fp];
	w->fp_known = true;
	w->leaf = true;
	if (!m->call_pushes) {
		w->ra_reg = reg[m->signal_ra];
		w->top = true;
	}
	return true;
}

static bool needs_fp(const struct hu_row *row)
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
		*ret = w->fp + words(row->cfa_off);
		return true;
	case HU_CFA_PLT:
		*ret = w->sp + WORD + ((w->pc & 15) >= (uint64_t)row->cfa_off ? WORD : 0);
		return true;
	case HU_CFA_DEREF_FP:
		return read_word(w, w->fp + words(row->cfa_off), ret);
	default: /* HU_CFA_DEREF_SP */
		return read_word(w, w->sp + words(row->cfa_off), ret);
	}
}

/* The return address where a call leaves it in a register: bpf/abi.h, HU_FP_PAIR and below. */
static bool ra_by_row(struct walk *w, const struct hu_row *row, uint64_t cfa, uint64_t *ret)
{
	unsigned int kind = HU_ROW_FP(row->kind);
	uint64_t at = cfa + words(row->fp_off);

	if (kind < HU_FP_PAIR) {
		if (!w->top)
			return stop(w, HU_STACK_NOROW);
		*ret = code(w, w->ra_reg);
		return true;
	}
	if (kind >= HU_FP_PAIR_BASE)
		at -= words(row->cfa_off);
	if (kind == HU_FP_PAIR || kind == HU_FP_PAIR_BASE) {
		if (!read_word(w, at, &w->fp))
			return stop(w, HU_STACK_BADREAD);
		w->fp_known = true;
		at += WORD;
	}
	if (!read_word(w, at, ret))
		return stop(w, HU_STACK_BADREAD);
	*ret = code(w, *ret);
	return true;
}

/* Growing is what makes the walk end on a stack that was made to loop; a leaf's frame may be empty. */
static bool grows(const struct walk *w, const struct hu_row *row, uint64_t cfa)
{
	if (!w->machine->call_pushes && HU_ROW_FP(row->kind) < HU_FP_PAIR)
		return cfa >= w->sp;
	return cfa > w->sp;
}

static bool caller_ra(struct walk *w, const struct hu_row *row, uint64_t cfa, uint64_t *ret)
{
	if (!w->machine->call_pushes)
		return ra_by_row(w, row, cfa, ret);
	return read_word(w, cfa - WORD, ret) || stop(w, HU_STACK_BADREAD);
}

static bool caller_fp(struct walk *w, const struct hu_row *row, uint64_t cfa)
{
	switch (HU_ROW_FP(row->kind)) {
	case HU_FP_CFA:
		w->fp_known = true;
		return read_word(w, cfa + words(row->fp_off), &w->fp);
	case HU_FP_REL:
		return read_word(w, w->fp + words(row->fp_off), &w->fp);
	case HU_FP_UNDEF:
		w->fp_known = false;
		return true;
	default:
		return true;
	}
}

static bool step_cfa(struct walk *w, const struct hu_row *row)
{
	uint64_t cfa, ra;

	if (needs_fp(row) && !w->fp_known)
		return stop(w, HU_STACK_NOROW);
	if (!find_cfa(w, row, &cfa) || !grows(w, row, cfa))
		return stop(w, HU_STACK_BADREAD);
	if (!caller_ra(w, row, cfa, &ra))
		return false;
	if (!caller_fp(w, row, cfa))
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
		if (!w->top || row->fp_off != w->machine->vfork_ra_reg)
			return stop(w, HU_STACK_NOROW);
		returned(w, w->sp, w->ra_reg);
		return true;
	case HU_CFA_SP:
		return w->sp_low ? step_frame_pointer(w, HU_STACK_NOROW) : step_cfa(w, row);
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
	if (w->pc < PAGE_SZ || w->pc >> w->machine->user_bits)
		return stop(w, HU_STACK_NOMAP);
	return true;
}

void unwind__walk(const struct unwind_regs *regs, const struct unwind_ops *ops,
		  struct hu_stack *ret)
{
	uint16_t machine = regs->machine ? regs->machine : CFI_MACHINE;
	struct walk w = {
		.ops = ops,
		.machine = machine == EM_AARCH64 ? &arm64 : &x86_64,
		.stack = ret,
		.pc = regs->ip,
		.sp = regs->sp,
		.fp = regs->fp,
		.ra_reg = regs->ra_reg,
		.leaf = true,
		.top = true,
		.fp_known = true,
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
