/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Births and deaths of threads. A birth is seen in the creator's context, within clone(2): after the new thread's
 * registers are set and before it runs, so before anything that it does or that is done to it. A death is seen
 * in the dying thread's. Nothing is done at switches: what threads did meanwhile the kernel counts itself.
 *
 * Included by lifetimes.bpf.c (typed pointers, stacks by rows), lifetimes_fp.bpf.c (stacks by frame pointers) and
 * lifetimes_raw.bpf.c (plain pointers, HU_RAW).
 */
#ifndef HOLDUP_BPF_LIFETIMES_H
#define HOLDUP_BPF_LIFETIMES_H

#include "bpf/sched.h"

/* The record found no room: at least it is counted. */
static __always_inline void life__count(const struct task_id *id, __u64 born, __u64 died)
{
	struct hu_life_key key = { .proc_start = id->proc_start,
				   .tgid = id->tgid,
				   .cpu = bpf_get_smp_processor_id() };
	struct hu_life_sum fresh = { .born = born, .died = died };
	struct hu_life_sum *sum = bpf_map_lookup_elem(&hu_life_sums, &key);

	if (sum) {
		sum->born += born;
		sum->died += died;
	} else if (bpf_map_update_elem(&hu_life_sums, &key, &fresh, BPF_NOEXIST)) {
		loss__add(HU_LOSS_LIVES_FULL, born + died);
		return;
	}
	loss__add(HU_LOSS_LIVES, born + died);
}

static __always_inline void *life__reserve(__u64 sz, __u64 *ret_wake)
{
	__u64 unread_sz = bpf_ringbuf_query(&hu_ring, BPF_RB_AVAIL_DATA);

	*ret_wake = wait__wakes_loader(unread_sz, hu_cfg.ring_sz) ? BPF_RB_FORCE_WAKEUP
								  : BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_reserve(&hu_ring, sz, 0);
}

static __always_inline void life__head(struct hu_record *hdr, __u16 kind, __u16 size)
{
	hdr->kind = kind;
	hdr->size = size;
	hdr->cpu = bpf_get_smp_processor_id();
	hdr->ts_ns = bpf_ktime_get_ns();
}

static __always_inline __u64 creator_stack(void *ctx, struct task_struct *t,
					   const struct task_id *id)
{
	struct stack_scratch *scratch;
	struct thread_state *st;
	union regs_copy copy;
	const arch_regs *regs;
	__u32 zero = 0;

	st = thread__state(t, id->tid, true);
	scratch = bpf_map_lookup_elem(&hu_birth_scratch, &zero);
	if (!st || !scratch) {
		loss__add(HU_LOSS_STATE, 1);
		return 0;
	}
	process__announce(t, id, st);
	regs = task__regs(&copy);
	if (!hu_cfg.stacks || arch__compat(regs))
		return 0;
	return take_stack(ctx, id, regs, st, scratch);
}

/* What the creator has called, if that is what makes this thread; the call is used up. */
static __always_inline void take_call(__u32 tid, struct pthread_call *ret)
{
	struct pthread_call *call = bpf_map_lookup_elem(&hu_pthread_calls, &tid);

	if (!call || !(call->marks & MARK_CREATE))
		return;
	*ret = *call;
	call->marks &= ~(MARK_CREATE | MARK_DETACHED);
}

static __always_inline void fill_birth(struct hu_birth_record *rec, struct task_struct *parent,
				       struct task_struct *child, const struct task_id *id)
{
	struct pthread_call call = {};

	take_call(id->tid, &call);
	life__head(&rec->hdr, HU_REC_BIRTH, sizeof(*rec));
	rec->tgid = id->tgid;
	rec->tid = T(child, pid);
	rec->proc_start = id->proc_start;
	rec->thread_start = T(child, start_boottime);
	rec->tp = arch__tp(child);
	if (rec->tp == arch__tp(parent))
		rec->tp = 0; /* without CLONE_SETTLS: it is the creator's */
	rec->start_routine = call.start_routine;
	rec->creator_tid = id->tid;
	rec->flags = (call.marks & MARK_CREATE ? HU_BIRTH_PTHREAD : 0) |
		     (call.marks & MARK_DETACHED ? HU_BIRTH_DETACHED : 0);
	BPF_CORE_READ_INTO(&rec->comm, parent, group_leader, comm);
}

/* (struct task_struct *current, struct task_struct *child) */
static __always_inline int on_birth(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	struct hu_birth_record *rec;
	struct task_id id;
	__u64 wake, stack_id;

	task__id(parent, &id);
	if ((__u32)T(child, tgid) != id.tgid || !task__wanted(parent, id.tgid, id.tid) ||
	    (T(parent, flags) & PF_KTHREAD))
		return 0;
	stack_id = creator_stack(ctx, parent, &id);
	rec = life__reserve(sizeof(*rec), &wake);
	if (!rec) {
		life__count(&id, 1, 0);
		return 0;
	}
	fill_birth(rec, parent, child, &id);
	rec->stack_id = stack_id;
	bpf_ringbuf_submit(rec, wake);
	return 0;
}

static __always_inline bool execs(struct task_struct *t)
{
	struct signal_struct *sig = T(t, signal);
	struct signal_struct___5_16 *old = (void *)sig;

	if (bpf_core_field_exists(sig->group_exec_task))
		return BPF_CORE_READ(sig, group_exec_task);
	return BPF_CORE_READ(old, group_exit_task);
}

/*
 * The exit status: task->exit_code is set after the tracepoint in newer kernels (it came to stand before exit_mm()
 * in 6.16), so what it will be.
 */
static __always_inline __s32 exit_code(struct task_struct *t, __u32 flags)
{
	const arch_regs *regs;
	union regs_copy copy;

	if (flags & HU_DEATH_GROUP)
		return BPF_CORE_READ(t, signal, group_exit_code);
	if (!(flags & HU_DEATH_ITSELF))
		return T(t, exit_code);
	regs = task__regs(&copy);
	return ((arch__compat(regs) ? arch__compat_arg0(regs) : arch__arg0(regs)) & 0xff) << 8;
}

static __always_inline __u32 death_flags(struct task_struct *t, __u32 tid)
{
	struct pthread_call *call = bpf_map_lookup_elem(&hu_pthread_calls, &tid);
	const arch_regs *regs;
	union regs_copy copy;
	__u32 flags = 0;
	long nr;

	if (!BPF_CORE_READ(t, signal, live.counter))
		flags |= HU_DEATH_LAST;
	if (BPF_CORE_READ(t, signal, flags) & SIGNAL_GROUP_EXIT)
		flags |= HU_DEATH_GROUP;
	else if (execs(t))
		flags |= HU_DEATH_EXEC;
	regs = task__regs(&copy);
	nr = arch__nr(regs);
	if (nr == (arch__compat(regs) ? ARCH_NR_EXIT_COMPAT : ARCH_NR_EXIT))
		flags |= HU_DEATH_ITSELF;
	if (call && (call->marks & MARK_EXIT))
		flags |= HU_DEATH_EXIT_CALLED;
	if (call && (call->marks & MARK_CANCEL))
		flags |= HU_DEATH_CANCELLED;
	bpf_map_delete_elem(&hu_pthread_calls, &tid);
	return flags;
}

/* (struct task_struct *current) */
static __always_inline int on_death(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	struct hu_death_record *rec;
	struct task_id id;
	__u32 flags;
	__u64 wake;

	task__id(t, &id);
	if (!task__wanted(t, id.tgid, id.tid) || (T(t, flags) & PF_KTHREAD))
		return 0;
	flags = death_flags(t, id.tid);
	rec = life__reserve(sizeof(*rec), &wake);
	if (!rec) {
		life__count(&id, 0, 1);
		return 0;
	}
	life__head(&rec->hdr, HU_REC_DEATH, sizeof(*rec));
	rec->tgid = id.tgid;
	rec->tid = id.tid;
	rec->proc_start = id.proc_start;
	rec->thread_start = T(t, start_boottime);
	rec->born_ns = T(t, start_time);
	rec->cpu_ns = task__cpu_ns(t);
	rec->runq_ns = bpf_core_field_exists(t->sched_info.run_delay) ? T(t, sched_info.run_delay)
								      : 0;
	rec->exit_code = exit_code(t, flags);
	rec->flags = flags;
	bpf_probe_read_kernel(rec->comm, sizeof(rec->comm), t->comm);
	bpf_ringbuf_submit(rec, wake);
	return 0;
}

#endif
