/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every program that takes stacks does: tells the loader of a process in time, and takes the user stack of
 * current, by rows where they are (HU_UNWIND), else by frame pointers.
 */
#ifndef HOLDUP_BPF_CAPTURE_H
#define HOLDUP_BPF_CAPTURE_H

#include "bpf/emit.h"
#include "bpf/stack.h"
#ifdef HU_UNWIND
#include "bpf/unwind.h"
#endif

/* Announces the process of t, so that the loader reads its mappings while it lives; false: it could not be. */
static __always_inline bool process__announce(struct task_struct *t, const struct task_id *id)
{
	__u64 *start = bpf_map_lookup_elem(&hu_seen, &id->tgid);

	if (start && *start == id->proc_start)
		return true;
	if (bpf_map_update_elem(&hu_seen, &id->tgid, &id->proc_start, BPF_ANY)) {
		loss__add(HU_LOSS_PROC_FULL, 1);
		return false;
	}
	if (emit__process(t, HU_REC_SEEN, id, 0)) {
		bpf_map_delete_elem(&hu_seen, &id->tgid);
		return false;
	}
	return true;
}

/*
 * The stack of current, which has these registers; 0: it can't be had. Where the loader has given no
 * mappings yet, or others since, the top of the stack goes to the loader raw if raw says so. rescan: where the thread
 * keeps what it has complained about; NULL: it is not likely to be seen here again.
 */
static __always_inline __u64 take_stack(void *ctx, const struct task_id *id, const arch_regs *r,
					__u32 *rescan, bool raw, struct stack_scratch *scratch)
{
#ifdef HU_UNWIND
	struct hu_proc_maps *maps;
	__u64 lost_pc = 0, stack_id;

	if (!hu_cfg.unwind)
		return stack__by_frame_pointers(ctx, &scratch->stack, id->tgid);
	maps = bpf_map_lookup_elem(&hu_maps, &id->tgid);
	if (maps) {
		stack_id = stack__by_rows(r, scratch, maps, id->tgid, rescan != NULL, &lost_pc);
		/* Once a thread and generation: what is still unknown after a look stays unknown. */
		if (!lost_pc || !rescan || *rescan == maps->generation + 1)
			return stack_id;
		*rescan = maps->generation + 1;
	}
	if (!rescan || !raw)
		return 0;
	stack_id = emit__raw_stack(r, id);
	if (stack_id)
		return stack_id;
	if (lost_pc)
		emit__process(bpf_get_current_task_btf(), HU_REC_RESCAN, id, lost_pc);
#endif
	return stack__by_frame_pointers(ctx, &scratch->stack, id->tgid);
}

#endif
