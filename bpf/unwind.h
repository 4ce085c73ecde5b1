/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user stack of current by unwind rows: what .eh_frame says, turned into eight-byte rows by the loader
 * (user/unwind/cfi.h) and looked up here by binary search. The rules are those of user/unwind/unwind.c,
 * which walks by the same rows in user space.
 *
 * The stack is read through a window of 1024 bytes, since one read of a window costs about as much as
 * three of a word. Where a pc has no row (JIT code, assembly without CFI), one step by the frame pointer is
 * tried, the stack is marked as guessed, and only a pc inside a known mapping is believed.
 */
#ifndef HOLDUP_BPF_UNWIND_H
#define HOLDUP_BPF_UNWIND_H

#include "bpf/arch.h"
#include "bpf/maps.h"
#include "bpf/memo.h"
#include "bpf/stack.h"
#include "bpf/unwind_find.h"

#define PAGE_SZ	     4096
#define FRAME_MAX_SZ (1 << 20) /* a frame pointer further up than this is no frame pointer */

static __always_inline long stop(struct unwinder *u, __u16 why)
{
	u->scratch->walk.flags |= why;
	return 1;
}

/* ---- What depends on the machine: where a frame has its return address, and what it leaves above it */
#if defined(__TARGET_ARCH_arm64)

/* The rules of HU_FP_PAIR and the kinds after it (bpf/abi.h); below them the return address is in its register. */
static __always_inline long caller_ra(struct unwinder *u, const struct hu_row *row, __u64 cfa,
				      __u64 *ret)
{
	__u32 kind = HU_ROW_FP(row->kind);
	__u64 at = cfa + (__s64)row->fp_off * 8;

	if (kind < HU_FP_PAIR) {
		if (!u->scratch->walk.top)
			return stop(u, HU_STACK_NOROW);
		/* The frame of a leaf may be empty. */
		if (cfa < u->scratch->walk.sp)
			return stop(u, HU_STACK_BADREAD);
		*ret = arch__code(u->scratch->walk.ra_reg);
		memo__use_ra(u->memo);
		return 0;
	}
	if (kind >= HU_FP_PAIR_BASE)
		at -= (__s64)row->cfa_off * 8;
	if (kind == HU_FP_PAIR || kind == HU_FP_PAIR_BASE) {
		if (read_word(u, at, &u->scratch->walk.fp))
			return stop(u, HU_STACK_BADREAD);
		u->scratch->walk.fp_known = 1;
		u->scratch->walk.fp_addr = at;
		at += 8;
	}
	/* Growing is what ends the walk of a stack that was made to loop. */
	if (cfa <= u->scratch->walk.sp || read_word(u, at, ret))
		return stop(u, HU_STACK_BADREAD);
	memo__note(u->memo, at, *ret); /* as it was read: with its signature */
	*ret = arch__code(*ret);
	u->scratch->walk.sp_low = 0;
	return 0;
}

/* The frame record is anywhere in its frame (AAPCS64 section 6.4.6), so where that ends is not known. */
static __always_inline void left_record(struct unwinder *u)
{
	u->scratch->walk.sp_low = 1;
}

static __always_inline bool sp_known(const struct unwinder *u)
{
	return !u->scratch->walk.sp_low;
}

#else

static __always_inline long caller_ra(struct unwinder *u, const struct hu_row *row, __u64 cfa,
				      __u64 *ret)
{
	/* Growing is what ends the walk of a stack that was made to loop. */
	if (cfa <= u->scratch->walk.sp || read_word(u, cfa - 8, ret))
		return stop(u, HU_STACK_BADREAD);
	memo__note(u->memo, cfa - 8, *ret);
	return 0;
}

static __always_inline void left_record(struct unwinder *u)
{
}

static __always_inline bool sp_known(const struct unwinder *u)
{
	return true;
}

#endif

/* For code without CFI: the caller's frame is where the frame pointer says, if that can be one. */
static __always_inline long step_frame_pointer(struct unwinder *u, __u16 why)
{
	__u64 frame[2];

	if (!u->scratch->walk.fp_known || u->scratch->walk.fp < u->scratch->walk.sp ||
	    u->scratch->walk.fp - u->scratch->walk.sp > FRAME_MAX_SZ || (u->scratch->walk.fp & 7))
		return stop(u, why);
	if (bpf_probe_read_user(frame, sizeof(frame), (void *)u->scratch->walk.fp))
		return stop(u, HU_STACK_BADREAD);
	frame[1] = arch__code(frame[1]);
	/* Data in the register leads anywhere; a call came from code. */
	if (frame[1] && !find_map(u, frame[1] - 1))
		return stop(u, why);
	if (!(u->scratch->walk.flags & HU_STACK_FRAMEPTR))
		u->scratch->stack.exact = u->scratch->stack.frames;
	u->scratch->walk.flags |= HU_STACK_FRAMEPTR;
	u->scratch->walk.sp = u->scratch->walk.fp + 16;
	u->scratch->walk.fp = frame[0];
	u->scratch->walk.pc = frame[1];
	u->scratch->walk.leaf = u->scratch->walk.top = 0;
	left_record(u);
	memo__spoil(u->memo);
	return 0;
}

static __always_inline void returned(struct unwinder *u, __u64 cfa, __u64 ra)
{
	u->scratch->walk.sp = cfa;
	u->scratch->walk.pc = ra;
	u->scratch->walk.leaf = u->scratch->walk.top = 0;
}

static __always_inline long step_signal(struct unwinder *u)
{
	__u64 regs[ARCH_SIGNAL_WORDS];

	memo__spoil(u->memo);
	if (bpf_probe_read_user(regs, sizeof(regs),
				(void *)(u->scratch->walk.sp + ARCH_SIGNAL_OFF)))
		return stop(u, HU_STACK_BADREAD);
	u->scratch->walk.fp = regs[ARCH_SIGNAL_FP];
	u->scratch->walk.sp = regs[ARCH_SIGNAL_SP];
	u->scratch->walk.pc = regs[ARCH_SIGNAL_PC];
	u->scratch->walk.fp_known = 1;
	u->scratch->walk.leaf = 1;
#ifdef ARCH_SIGNAL_RA
	u->scratch->walk.ra_reg = regs[ARCH_SIGNAL_RA];
	u->scratch->walk.top = 1;
	u->scratch->walk.sp_low = 0;
#else
	u->scratch->walk.top = 0;
#endif
	return 0;
}

/* The walk depends on the frame pointer from here on: on the register, or on the word it was loaded from. */
static __always_inline void use_fp(struct unwinder *u)
{
	struct unwind_state *w = &u->scratch->walk;

	if (!u->memo || w->fp_addr == 1)
		return;
	if (w->fp_addr)
		memo__note(u->memo, w->fp_addr, w->fp);
	else
		u->memo->fp_used = 1;
	w->fp_addr = 1;
}

static __always_inline long step_cfa(struct unwinder *u, const struct hu_row *row)
{
	__u32 cfa_kind = HU_ROW_CFA(row->kind), fp_kind = HU_ROW_FP(row->kind);
	__s64 cfa_off = (__s64)row->cfa_off * 8, fp_off = (__s64)row->fp_off * 8;
	__u64 cfa, ra, fp;

	if (cfa_kind == HU_CFA_FP || cfa_kind == HU_CFA_DEREF_FP || fp_kind == HU_FP_REL) {
		if (!u->scratch->walk.fp_known)
			return stop(u, HU_STACK_NOROW);
		use_fp(u);
	}
	if (cfa_kind == HU_CFA_SP) {
		cfa = u->scratch->walk.sp + cfa_off;
	} else if (cfa_kind == HU_CFA_FP) {
		cfa = u->scratch->walk.fp + cfa_off;
	} else if (cfa_kind == HU_CFA_PLT) {
		cfa = u->scratch->walk.sp + 8 +
		      ((u->scratch->walk.pc & 15) >= (__u64)row->cfa_off ? 8 : 0);
	} else {
		cfa = (cfa_kind == HU_CFA_DEREF_FP ? u->scratch->walk.fp : u->scratch->walk.sp) +
		      cfa_off;
		if (read_word(u, cfa, &cfa))
			return stop(u, HU_STACK_BADREAD);
		memo__spoil(u->memo);
	}
	if (caller_ra(u, row, cfa, &ra))
		return 1;
	if (fp_kind == HU_FP_CFA || fp_kind == HU_FP_REL) {
		__u64 at = (fp_kind == HU_FP_CFA ? cfa : u->scratch->walk.fp) + fp_off;

		if (read_word(u, at, &fp))
			return stop(u, HU_STACK_BADREAD);
		u->scratch->walk.fp = fp;
		u->scratch->walk.fp_known = 1;
		u->scratch->walk.fp_addr = at;
	} else if (fp_kind == HU_FP_UNDEF) {
		u->scratch->walk.fp_known = 0;
	}
	returned(u, cfa, ra);
	return 0;
}

static __always_inline long step_row(struct unwinder *u, const struct hu_row *row)
{
	__u32 cfa_kind = HU_ROW_CFA(row->kind);

	if (row->kind & HU_ROW_DERIVED)
		u->scratch->walk.flags |= HU_STACK_DERIVED;
	if (cfa_kind == HU_CFA_SP && !sp_known(u))
		cfa_kind = HU_CFA_BAD; /* one step more by the frame pointer */
	switch (cfa_kind) {
	case HU_CFA_END:
		return stop(u, HU_STACK_COMPLETE);
	case HU_CFA_SIGNAL:
		return step_signal(u);
	case HU_CFA_RA_REG: /* a vfork parent, whose return address the child may overwrite */
		if (!u->scratch->walk.top || row->fp_off != ARCH_VFORK_RA_REG)
			return stop(u, HU_STACK_NOROW);
		memo__spoil(u->memo);
		returned(u, u->scratch->walk.sp, u->scratch->walk.ra_reg);
		return 0;
	case HU_CFA_SP:
	case HU_CFA_FP:
	case HU_CFA_PLT:
	case HU_CFA_DEREF_FP:
	case HU_CFA_DEREF_SP:
		return step_cfa(u, row);
	}
	return step_frame_pointer(u, HU_STACK_NOROW);
}

/* The row for pc, through the cache; NULL: none, and *mapped says whether pc lies in a known mapping. */
static __always_inline const struct hu_row *row_of(struct unwinder *u, __u64 pc, bool *mapped)
{
	__u32 tgid = u->scratch->stack.tgid, generation = u->maps->generation;
	__u32 slot = (pc * 0x9e3779b97f4a7c15ULL) >> 55; /* the upper 9 bits: HU_ROW_CACHE slots */
	struct cached_row *c = &u->scratch->cache[slot & (HU_ROW_CACHE - 1)];
	const struct hu_map_entry *map;
	const struct hu_row *row;

	*mapped = true;
	if (c->pc == pc && c->tgid == tgid && c->generation == generation)
		return &c->row;
	map = find_map(u, pc);
	if (!map) {
		*mapped = false;
		return NULL;
	}
	row = find_row(u, map, pc);
	if (!row)
		return NULL;
	c->pc = pc;
	c->tgid = tgid;
	c->generation = generation;
	c->row = *row;
	return &c->row;
}

/* From one frame to its caller; a bpf_loop() callback: 1 ends the walk. */
static long unwind_step(__u32 i, void *ctx)
{
	struct unwinder *u = ctx;
	const struct hu_row *row;
	__u32 n = u->scratch->stack.frames;
	bool mapped;
	__u64 pc;
	long ended;

	if (n >= HU_MAX_FRAMES)
		return stop(u, HU_STACK_TRUNCATED);
	u->scratch->stack.pcs[n] = u->scratch->walk.pc + (n && u->scratch->walk.leaf);
	u->scratch->stack.frames = n + 1;
	/* A call may be its function's last instruction: the return address is the next one's. */
	pc = u->scratch->walk.pc - !u->scratch->walk.leaf;
	row = row_of(u, pc, &mapped);
	if (row && row->kind == HU_CFA_GAP && !u->scratch->walk.leaf &&
	    row->cfa_off == HU_GAP_ENDS(u->scratch->walk.pc)) {
		u->scratch->stack.pcs[n]++; /* no call is a byte before */
		return stop(u, HU_STACK_COMPLETE);
	}
	if (row) {
		ended = step_row(u, row);
	} else {
		if (!mapped)
			u->scratch->walk.lost_pc = pc;
		ended = step_frame_pointer(u, mapped ? HU_STACK_NOROW : HU_STACK_NOMAP);
	}
	if (ended)
		return 1;
	if (!u->scratch->walk.pc) /* what the kernel and libc put above a thread's first function */
		return stop(u, HU_STACK_COMPLETE);
	if (u->scratch->walk.pc < PAGE_SZ || u->scratch->walk.pc >> ARCH_USER_BITS)
		return stop(u, HU_STACK_NOMAP);
	return 0;
}

/* One of the words that the remembered walk has read; a bpf_loop() callback. */
static long compare_step(__u32 i, void *ctx)
{
	struct unwinder *u = ctx;
	__u64 word;

	if (i >= HU_MEMO_SLOTS || read_word(u, u->memo->sp + 8ULL * u->memo->off[i], &word))
		return 1;
	u->hash = memo__mix(u->hash, word);
	return 0;
}

/* The stack of a thread that was seen with this stack before; 0: it has another one now. */
static __always_inline __u64 recall(struct unwinder *u, struct stack_memos *memos,
				    const arch_regs *r)
{
	__u32 generation = u->maps->generation;

	u->memo = &memos->memo[0];
	if (!memo__fits(u->memo, r, generation)) {
		u->memo = &memos->memo[1];
		if (!memo__fits(u->memo, r, generation))
			return 0;
	}
	u->hash = 0;
	if (bpf_loop(u->memo->cnt, compare_step, u, 0) != u->memo->cnt || u->hash != u->memo->hash)
		return 0;
	return u->memo->stack_id;
}

/* The memo that the coming walk is noted in. */
static __always_inline void begin_memo(struct unwinder *u, struct stack_memos *memos,
				       const arch_regs *r)
{
	u->memo = memos->next & 1 ? &memos->memo[1] : &memos->memo[0];
	memos->next++;
	memo__begin(u->memo, r, u->maps->generation);
}

static __always_inline struct stack_memos *own_memos(void)
{
	return bpf_task_storage_get(&hu_memos, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* Walks; returns the id under which the stack is kept, or 0. */
static __always_inline __u64 walk(struct unwinder *u, const arch_regs *r, __u32 tgid)
{
	struct stack_scratch *scratch = u->scratch;
	__u64 stack_id;

	scratch->walk = (struct unwind_state){
		.pc = arch__ip(r),
		.sp = arch__sp(r),
		.fp = arch__fp(r),
		.ra_reg = arch__ra_reg(r),
		.leaf = 1,
		.top = 1,
		.fp_known = 1,
	};
	scratch->stack.tgid = tgid;
	scratch->stack.frames = scratch->stack.exact = 0;
	bpf_loop(HU_MAX_FRAMES + 1, unwind_step, u, 0);
	scratch->stack.flags = scratch->walk.flags;
	if (!(scratch->walk.flags & HU_STACK_FRAMEPTR))
		scratch->stack.exact = scratch->stack.frames;
	stack_id = stack__store(&scratch->stack);
	if (u->memo && u->memo->cnt < HU_MEMO_SLOTS && (scratch->walk.flags & HU_STACK_COMPLETE))
		u->memo->stack_id = stack_id;
	return stack_id;
}

/*
 * Takes the stack of the thread with these registers. Returns its id, 0 when it can't be kept; *lost_pc
 * gets a pc that lay in no mapping the loader knows, or 0. memo: this thread is likely to be seen here again.
 */
static __always_inline __u64 stack__by_rows(const arch_regs *r, struct stack_scratch *scratch,
					    const struct hu_proc_maps *maps, __u32 tgid, bool memo,
					    __u64 *lost_pc)
{
	struct unwinder u = { .scratch = scratch, .maps = maps };
	struct stack_memos *memos = memo && hu_cfg.memo ? own_memos() : NULL;
	__u64 known = 0, stack_id;

	scratch->window_addr = HU_NO_WINDOW;
	scratch->walk.lost_pc = 0;
	if (memos) {
		known = recall(&u, memos, r);
		if (known && hu_cfg.memo != HU_MEMO_CHECK) {
			*lost_pc = 0;
			return known;
		}
		begin_memo(&u, memos, r);
	}
	stack_id = walk(&u, r, tgid);
	*lost_pc = scratch->walk.lost_pc;
	if (known) {
		loss__add(HU_LOSS_REMEMBERED, 1);
		if (known != stack_id)
			loss__add(HU_LOSS_MISREMEMBERED, 1);
	}
	return stack_id;
}

#endif
