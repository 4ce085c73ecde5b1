// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Time off the CPU (holdup offcpu): tp_btf, task storage, bpf_loop() (5.17). */
#define HU_UNWIND
#include "bpf/offcpu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_switch")
int hu_off_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1],
			   *next = (struct task_struct *)ctx[2];
	__u64 now_ns = bpf_ktime_get_ns();
	bool preempt = (bool)ctx[0];
	unsigned int state = 0;

	/* Not prev->__state where the kernel says: a waker may have changed that already. */
	if (!preempt)
		state = (hu_cfg.switch_state ? (unsigned int)ctx[3] : task__state(prev)) &
			STATE_MASK;
	if (hu_cfg.off_mode & HU_OFF_SCHED)
		off__queue(next, now_ns);
	if (prev->pid)
		off__leave(ctx, prev, preempt, state, now_ns);
	if (next->pid)
		off__run(next, now_ns);
	return 0;
}

SEC("?tp_btf/sched_waking")
int hu_off_waking(__u64 *ctx)
{
	off__waking(ctx, (struct task_struct *)ctx[0]);
	return 0;
}

/* The woken thread is on a run queue, whose lock is held (--sched). */
SEC("?tp_btf/sched_wakeup")
int hu_off_wakeup(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];

	off__queue(t, bpf_ktime_get_ns());
	return 0;
}

SEC("?tp_btf/sched_wakeup_new")
int hu_off_wakeup_new(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];

	off__queue(t, bpf_ktime_get_ns());
	return 0;
}

/*
 * Once, after everything is attached: threads that are off the CPU already leave it now, as far as is known. One that
 * runs on meanwhile is put right at its next switch.
 */
static __always_inline void adopt(struct task_struct *t, struct off_state *st, __u64 raw_id)
{
	const arch_regs *regs = (const arch_regs *)bpf_task_pt_regs(t);
	__u32 zero = 0, state = task__state(t) & STATE_MASK;
	struct kernel_scratch *k;
	struct hu_off_what what;
	long sz;

	st->state = state;
	st->flags = HU_OFF_BEFORE | (state ? 0 : HU_OFF_PREEMPTED);
	st->user_stack = st->kernel_stack = st->reason = 0;
	if (!(hu_cfg.off_mode & HU_OFF_SCHED)) {
		st->reason = off__reason(t, regs, state);
		if (state && BPF_CORE_READ_BITFIELD_PROBED(t, in_iowait))
			st->flags |= HU_OFF_IOWAIT;
		k = hu_cfg.stacks ? bpf_map_lookup_elem(&hu_off_waking_scratch, &zero) : NULL;
		if (k && !k->busy) {
			k->busy = 1;
			sz = bpf_get_task_stack(t, k->stack.pcs, sizeof(k->stack.pcs), 0);
			if (sz > 0) {
				k->stack.frames = (__u64)sz / 8;
				k->stack.pad = 0;
				st->kernel_stack = kstack__store(&k->stack);
			}
			k->busy = 0;
		}
		if (hu_cfg.stacks && !arch__compat(regs))
			st->user_stack = raw_id;
	}
	off__what(t, st, &what);
	st->site = off__site(&what);
	st->out_ns = bpf_ktime_get_ns();
	st->cpu_ns = task__cpu_ns(t);
	st->wake_ns = state ? 0 : st->out_ns;
	st->early_ns = 0;
	__asm__ volatile("" ::: "memory");
	st->phase = OFF_LEFT;
}

static __always_inline void send_now(struct seq_file *seq, struct task_struct *t,
				     const struct off_state *st, bool adopted)
{
	const arch_regs *regs = (const arch_regs *)bpf_task_pt_regs(t);
	struct hu_off_now rec = {};
	__u64 now_ns = bpf_ktime_get_ns(), end_ns;

	rec.hdr.kind = HU_REC_OFF_NOW;
	rec.hdr.size = sizeof(rec);
	rec.hdr.ts_ns = now_ns;
	off__what(t, st, &rec.what);
	off__read_args(t, &rec.what);
	rec.tid = t->pid;
	rec.site = st->site;
	rec.adopted = adopted;
	end_ns = now_ns;
	/* It runs, and its coming to the CPU was not seen. */
	if (BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu))
		end_ns = interval__resumed(st->out_ns, st->wake_ns, now_ns,
					   task__cpu_ns(t) - st->cpu_ns);
	interval__divide(st->out_ns, st->wake_ns, end_ns, &rec.blocked_ns, &rec.runq_ns);
	if (adopted) {
		rec.ip = arch__ip(regs);
		rec.sp = arch__sp(regs);
		rec.fp = arch__fp(regs);
		rec.ra_reg = arch__ra_reg(regs);
		BPF_CORE_READ_INTO(&rec.what.comm, t, group_leader, comm);
	} else {
		bpf_probe_read_kernel(rec.what.comm, sizeof(rec.what.comm), t->comm);
	}
	bpf_seq_write(seq, &rec, sizeof(rec));
}

SEC("?iter/task")
int hu_off_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct off_state *st;

	if (!t || (t->flags & (PF_KTHREAD | PF_EXITING)) || !task__asked_for(t) ||
	    BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu))
		return 0;
	st = off__state(t, true);
	if (!st) {
		loss__add(HU_LOSS_STATE, 1);
		return 0;
	}
	if (st->phase != OFF_UNKNOWN)
		return 0; /* it was seen since we attached */
	loss__add(HU_LOSS_OFF_THREADS, 1);
	adopt(t, st, raw_stack_id(bpf_ktime_get_ns(), t->pid));
	send_now(ctx->meta->seq, t, st, true);
	return 0;
}

/* Those that are off the CPU now, with their time so far. Changes nothing. */
SEC("?iter/task")
int hu_off_pending(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct off_state *st;

	if (!t)
		return 0;
	st = off__state(t, false);
	if (st && st->phase == OFF_LEFT)
		send_now(ctx->meta->seq, t, st, false);
	return 0;
}
