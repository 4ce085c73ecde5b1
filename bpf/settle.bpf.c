// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* At an interval's end: what do holders do that have not left the CPU or run on since they are followed? */
#define HU_UNWIND
#include "bpf/track.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?iter/task")
int hu_settle(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_tracked *e;
	unsigned int state;
	__u64 who, is;

	if (!t || (t->flags & PF_KTHREAD))
		return 0;
	who = track__find(t);
	e = who ? bpf_map_lookup_elem(&hu_tracked, &who) : NULL;
	/* What it did since its last switch is known; else it has had none, and has done this all the while. */
	if (!e || e->now)
		return 0;
	state = task__state(t);
	if (BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu))
		is = REASON_RUNNING;
	else
		is = reason__of(t, (const arch_regs *)bpf_task_pt_regs(t), state);
	track__step(t, who, is, is, bpf_ktime_get_ns(), 0);
	return 0;
}
