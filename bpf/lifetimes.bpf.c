// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Lives with call stacks by unwind rows: tp_btf, bpf_loop() (5.17); deaths and passes need no stacks. */
#define HU_UNWIND
#include "bpf/calm.h"
#include "bpf/lifetimes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_process_fork")
int hu_birth(__u64 *ctx)
{
	return on_birth(ctx);
}

SEC("?tp_btf/sched_process_exit")
int hu_death(__u64 *ctx)
{
	return on_death(ctx);
}

/*
 * From about 7.0 on threads can be preempted within a tracepoint, and while one is in a program, another one on its
 * CPU passes without it: that would lose births and deaths where they come in crowds. So nobody else comes in
 * between, where the kernel has the means (6.10, commit fc7566ad0a82).
 */
SEC("?tp_btf/sched_process_fork")
int hu_birth_calm(__u64 *ctx)
{
	bpf_preempt_disable();
	on_birth(ctx);
	bpf_preempt_enable();
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int hu_death_calm(__u64 *ctx)
{
	bpf_preempt_disable();
	on_death(ctx);
	bpf_preempt_enable();
	return 0;
}

static __always_inline void fill_alive(struct hu_alive_record *rec, struct task_struct *t)
{
	rec->hdr.kind = HU_REC_ALIVE;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.ts_ns = bpf_ktime_get_ns();
	rec->tgid = t->tgid;
	rec->tid = t->pid;
	rec->proc_start = t->group_leader->start_boottime;
	rec->thread_start = t->start_boottime;
	rec->born_ns = t->start_time;
	rec->tp = arch__tp(t);
	rec->cpu_ns = t->se.sum_exec_runtime;
	if (bpf_core_field_exists(t->sched_info.run_delay)) {
		rec->runq_ns = t->sched_info.run_delay;
		rec->arrival_ns = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(),
						sched_info.last_arrival);
		rec->off_ns = t->sched_info.last_arrival + t->se.sum_exec_runtime -
			      t->se.prev_sum_exec_runtime;
	}
	if (BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu))
		rec->flags |= HU_THREAD_ON_CPU;
	if (t->flags & PF_EXITING)
		rec->flags |= HU_THREAD_EXITING;
	BPF_CORE_READ_INTO(&rec->comm, t, comm);
	BPF_CORE_READ_INTO(&rec->leader, t, group_leader, comm);
}

/* Every thread that lives now, of the processes that are wanted. */
SEC("?iter/task")
int hu_alive(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_alive_record rec = {};

	/* exit_state: it has passed the tracepoint at which its death is recorded. */
	if (!t || (t->flags & PF_KTHREAD) || t->exit_state || !task__asked_for(t))
		return 0;
	fill_alive(&rec, t);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}
