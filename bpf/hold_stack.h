/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The call stack of a thread that takes a lock: by rows, and remembered for each place that the thread locks in
 * (bpf/memo.h). Programs of uprobes can be preempted by others of them, hence the scratch memories in turn.
 */
#ifndef HOLDUP_BPF_HOLD_STACK_H
#define HOLDUP_BPF_HOLD_STACK_H

#include "bpf/emit.h"
#include "bpf/hold.h"
#include "bpf/unwind.h"

static __always_inline struct stack_scratch *scratch__take(void)
{
	__u32 first = bpf_get_smp_processor_id() * HOLD_SCRATCHES;

	for (__u32 i = 0; i < HOLD_SCRATCHES; i++) {
		__u32 n = first + i;
		struct stack_scratch *s = bpf_map_lookup_elem(&hu_hold_scratch, &n);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

static __always_inline void scratch__give(struct stack_scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* One of a thread's memos for each place that it locks in, by what tells most of them apart. */
static __always_inline struct stack_memo *memo_of(const arch_regs *r)
{
	struct hold_memos *memos = bpf_task_storage_get(&hu_hold_memos, bpf_get_current_task_btf(),
							0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 sp = arch__sp(r), word = 0;

	if (!memos || !hu_cfg.memo)
		return NULL;
	bpf_probe_read_user(&word, sizeof(word), (void *)sp);
	return &memos->memo[memo__mix(memo__mix(arch__ip(r), sp), word) & (HOLD_MEMOS - 1)];
}

static __always_inline __u64 stack__remembered(struct unwinder *u, const arch_regs *r, __u32 tgid)
{
	__u32 generation = u->maps->generation;

	u->memo = memo_of(r);
	if (u->memo) {
		u->hash = 0;
		if (memo__fits(u->memo, r, generation) &&
		    bpf_loop(u->memo->cnt, compare_step, u, 0) == u->memo->cnt &&
		    u->hash == u->memo->hash)
			return u->memo->stack_id;
		memo__begin(u->memo, r, generation);
	}
	return walk(u, r, tgid);
}

/* The loader reads the mappings of a process when it hears of it. */
static __always_inline void announce(struct hold_thread *h, const struct task_id *id)
{
	__u64 *start;

	if (h->announced)
		return;
	h->announced = 1;
	start = bpf_map_lookup_elem(&hu_seen, &id->tgid);
	if (start && *start == id->proc_start)
		return;
	if (bpf_map_update_elem(&hu_seen, &id->tgid, &id->proc_start, BPF_ANY))
		loss__add(HU_LOSS_PROC_FULL, 1);
	else if (emit__process(bpf_get_current_task_btf(), HU_REC_SEEN, id, 0))
		bpf_map_delete_elem(&hu_seen, &id->tgid);
}

/* Of the top of the stack: of two stacks that are alike so far only one is sent. */
static __always_inline __u64 hash_top(struct hold_thread *h, const arch_regs *r)
{
	__u64 hash = memo__mix(arch__ip(r), arch__sp(r));

	if (bpf_probe_read_user(h->top, sizeof(h->top), (void *)arch__sp(r)))
		return 0;
	for (int i = 0; i < HOLD_TOP_WORDS; i++)
		hash = memo__mix(hash, h->top[i]);
	return hash;
}

/* Where mappings are not known yet, or are others by now: some stacks go to the loader raw. */
static __always_inline __u64 take_unmapped(__u64 lost_pc)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct hold_thread *h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	const arch_regs *r = task__regs(NULL);
	struct raw_memo *memo;
	struct task_id id;
	__u64 hash, stack_id;

	if (!h)
		return 0;
	task__id(t, &id);
	announce(h, &id);
	hash = hash_top(h, r);
	memo = &h->raw[hash & (HOLD_RAW_MEMOS - 1)];
	if (hash && memo->hash == hash)
		return memo->stack_id;
	if (h->raws < HOLD_RAWS_MAX) {
		h->raws++;
		stack_id = emit__raw_stack(r, &id);
		if (stack_id) {
			memo->hash = hash;
			memo->stack_id = stack_id;
			return stack_id;
		}
	}
	if (lost_pc)
		emit__process(t, HU_REC_RESCAN, &id, lost_pc);
	return 0;
}

/* Apart, like its caller below: each has room for its own variables only while it runs. */
__noinline __u64 hu_hold_unmapped(__u64 lost_pc)
{
	return take_unmapped(lost_pc);
}

static __noinline __u64 unmapped_undisturbed(__u64 lost_pc)
{
	return take_unmapped(lost_pc);
}

static __always_inline __u64 walk_by_rows(const arch_regs *r, __u32 tgid,
					  const struct hu_proc_maps *maps, __u64 *lost_pc)
{
	struct stack_scratch *scratch = scratch__take();
	struct unwinder u = { .scratch = scratch, .maps = maps };
	__u64 site;

	if (!scratch)
		return 0;
	scratch->window_addr = HU_NO_WINDOW;
	scratch->walk.lost_pc = 0;
	site = stack__remembered(&u, r, tgid);
	*lost_pc = scratch->walk.lost_pc;
	scratch__give(scratch);
	return site;
}

/* The stack of current; 0: it can't be had. */
static __always_inline __u64 take_site(const bool calm)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct hold_thread *h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	__u64 site = 0, lost_pc = 0, raw;
	struct hu_proc_maps *maps;
	__u32 tgid = t->tgid;

	if (!h)
		return 0;
	maps = bpf_map_lookup_elem(&hu_maps, &tgid);
	if (maps) {
		site = walk_by_rows(task__regs(NULL), tgid, maps, &lost_pc);
		if (lost_pc && h->rescan == maps->generation + 1)
			lost_pc = 0; /* what is still unknown after a look stays unknown */
		if (lost_pc)
			h->rescan = maps->generation + 1;
	}
	if (!maps || lost_pc) {
		raw = calm ? unmapped_undisturbed(lost_pc) : hu_hold_unmapped(lost_pc);
		if (raw)
			site = raw;
	}
	if (!site)
		hold__count(HU_HOLD_NO_STACK, 1);
	return site;
}

/*
 * A global function, which the verifier looks at once, on its own; so it takes nothing, and finds out for itself what
 * its callers know.
 */
__noinline __u64 hu_hold_site(void)
{
	return take_site(false);
}

/* For calm programs, which may call no global function (bpf/calm.h): looked at with each that calls it. */
static __noinline __u64 site_undisturbed(void)
{
	return take_site(true);
}

#endif
