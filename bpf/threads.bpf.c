// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every thread as it is now: who, in which call, where, since when. Nothing is stopped, nothing is changed. */
#include "bpf/task.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TASK_UNINTERRUPTIBLE 2

/* A bit since Debian's 7.3, an int before. */
static __always_inline bool on_cpu(struct task_struct *t)
{
	return BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu);
}

static __always_inline __u16 thread_flags(struct task_struct *t, __u32 self_tid)
{
	__u16 flags = 0;

	if (on_cpu(t))
		flags |= HU_THREAD_ON_CPU;
	if (t->flags & PF_KTHREAD)
		flags |= HU_THREAD_KERNEL;
	if (t->flags & PF_EXITING)
		flags |= HU_THREAD_EXITING;
	if ((__u32)t->pid == self_tid)
		flags |= HU_THREAD_SELF;
	return flags;
}

static __always_inline void read_regs(struct hu_thread_record *rec, struct task_struct *t)
{
	const arch_regs *r = (const arch_regs *)bpf_task_pt_regs(t);
	bool compat = arch__compat(r);

	if (compat)
		rec->flags |= HU_THREAD_COMPAT;
	rec->ip = arch__ip(r);
	rec->sp = arch__sp(r);
	rec->fp = arch__fp(r);
	rec->ra_reg = arch__ra_reg(r);
	arch__saved(r, rec->saved);
	rec->nr = arch__nr(r);
	rec->arg[0] = compat ? arch__compat_arg0(r) : arch__arg0(r);
	rec->arg[1] = compat ? arch__compat_arg1(r) : arch__arg1(r);
	rec->arg[2] = compat ? arch__compat_arg2(r) : arch__arg2(r);
	rec->arg[3] = compat ? arch__compat_arg3(r) : arch__arg3(r);
	rec->arg[4] = compat ? arch__compat_arg4(r) : arch__arg4(r);
	rec->arg[5] = compat ? 0 : arch__arg5(r);
}

static __always_inline void read_kernel_stack(struct hu_thread_record *rec, struct task_struct *t)
{
	long sz = bpf_get_task_stack(t, rec->kpc, sizeof(rec->kpc), 0);

	rec->kframes = sz > 0 ? (__u64)sz / sizeof(rec->kpc[0]) : 0;
}

static __always_inline void send_brief(struct seq_file *seq, struct task_struct *t, __u16 flags,
				       __u64 switches)
{
	struct hu_thread_brief rec = {
		.hdr = { .kind = HU_REC_BRIEF, .size = sizeof(rec), .ts_ns = bpf_ktime_get_ns() },
		.tgid = t->tgid,
		.tid = t->pid,
		.thread_start = t->start_boottime,
		.switches = switches,
		.state = task__state(t),
		.flags = flags,
	};

	bpf_seq_write(seq, &rec, sizeof(rec));
}

static __always_inline void send_full(struct seq_file *seq, struct task_struct *t, __u16 flags,
				      __u64 switches, __u64 off_ns, bool kernel)
{
	__u32 zero = 0;
	struct hu_thread_record *rec = bpf_map_lookup_elem(&hu_snap_scratch, &zero);

	if (!rec)
		return;
	__builtin_memset(rec, 0, sizeof(*rec));
	rec->hdr.kind = HU_REC_THREAD;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.ts_ns = bpf_ktime_get_ns();
	rec->tgid = t->tgid;
	rec->tid = t->pid;
	rec->proc_start = t->group_leader->start_boottime;
	rec->thread_start = t->start_boottime;
	rec->off_ns = off_ns;
	rec->switches = switches;
	rec->cgroup = BPF_CORE_READ(t, cgroups, dfl_cgrp, kn, id);
	rec->state = task__state(t);
	rec->parent = BPF_CORE_READ(t, group_leader, real_parent, tgid);
	rec->flags = flags;
	rec->execs = t->self_exec_id;
	rec->nr = -1;
	if (!(flags & HU_THREAD_KERNEL))
		read_regs(rec, t);
	if (kernel || (rec->state & TASK_UNINTERRUPTIBLE))
		read_kernel_stack(rec, t);
	BPF_CORE_READ_INTO(&rec->comm, t, comm);
	BPF_CORE_READ_INTO(&rec->leader, t, group_leader, comm);
	bpf_seq_write(seq, rec, sizeof(*rec));
}

SEC("?iter/task")
int hu_threads_now(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_snap_ask *ask;
	__u64 off_ns = 0, switches;
	__u32 zero = 0;
	__u16 flags;

	ask = bpf_map_lookup_elem(&hu_snap_ask, &zero);
	if (!t || !ask || (t->flags & PF_KTHREAD))
		return 0;
	flags = thread_flags(t, ask->self_tid);
	if (!(flags & HU_THREAD_SELF) && !task__asked_for(t))
		return 0;
	if (bpf_core_field_exists(t->sched_info.last_arrival))
		off_ns = t->sched_info.last_arrival;
	/* Of the thread that asks, the arrival is what it can compare with a clock. */
	if (off_ns && !(flags & HU_THREAD_SELF))
		off_ns += t->se.sum_exec_runtime - t->se.prev_sum_exec_runtime;
	if (ask->off_before_ns && off_ns >= ask->off_before_ns && !(flags & HU_THREAD_SELF))
		return 0;
	switches = t->nvcsw + t->nivcsw;
	if (ask->mode == HU_SNAP_BRIEF)
		send_brief(ctx->meta->seq, t, flags, switches);
	else
		send_full(ctx->meta->seq, t, flags, switches, off_ns, ask->kernel);
	return 0;
}
