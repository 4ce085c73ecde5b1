/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Births, changes and ends: what belongs to an address space is dropped when that ends, children of
 * wanted processes become wanted themselves. Included by life.bpf.c (typed pointers) and life_raw.bpf.c.
 */
#ifndef HOLDUP_BPF_LIFE_H
#define HOLDUP_BPF_LIFE_H

#include "bpf/emit.h"
#include "bpf/lock.h"

/* The thread's last wait, if it has not been sent: nothing of it may be attributed to what comes. */
static __always_inline void flush(struct task_struct *t, const struct task_id *id)
{
	struct thread_state *st = thread__state(t, id->tid, false);

	if (!st)
		return;
	end_unseen_sleep(st, id->tgid, bpf_ktime_get_ns(), task__cpu_ns(t));
	if (st->wait.phase == WAIT_ENDED)
		emit__wait(t, id, &st->wait);
	st->wait.phase = WAIT_NONE;
	st->announced = 0;
}

/* (struct task_struct *child's parent, struct task_struct *child), include/trace/events/sched.h */
static __always_inline int on_fork(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	__u32 from = T(parent, tgid), to = T(child, tgid);
	__u8 one = 1;

	if (from != to && (hu_cfg.filters & HU_FILTER_FOLLOW) &&
	    bpf_map_lookup_elem(&hu_targets, &from) &&
	    bpf_map_update_elem(&hu_targets, &to, &one, BPF_ANY))
		loss__add(HU_LOSS_PROC_FULL, 1);
	return 0;
}

/* (struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm): p is current, alone in its
 * group */
static __always_inline int on_exec(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	struct task_id id;

	task__id(t, &id);
	flush(t, &id);
	/* What was created before matters even if nobody has waited. */
	if (!bpf_map_lookup_elem(&hu_seen, &id.tgid) &&
	    !(hu_cfg.lifetimes && task__wanted(t, id.tgid, id.tid)))
		return 0;
	bpf_map_delete_elem(&hu_seen, &id.tgid);
	bpf_map_delete_elem(&hu_maps, &id.tgid);
	emit__process(t, HU_REC_EXEC, &id, 0);
	return 0;
}

/* (struct task_struct *p): current, after signal->live was counted down, do_exit() in kernel/exit.c
 */
static __always_inline int on_exit(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	struct task_id id;

	task__id(t, &id);
	flush(t, &id);
	if (!hu_cfg.task_storage)
		bpf_map_delete_elem(&hu_threads_hash, &id.tid);
	if (BPF_CORE_READ(t, signal, live.counter) != 0)
		return 0;
	/* Threads that end at the same time are told after it, and are wanted: there the loader deletes it. */
	if ((hu_cfg.filters & HU_FILTER_FOLLOW) && !hu_cfg.lifetimes)
		bpf_map_delete_elem(&hu_targets, &id.tgid);
	if (!bpf_map_lookup_elem(&hu_seen, &id.tgid))
		return 0;
	bpf_map_delete_elem(&hu_seen, &id.tgid);
	bpf_map_delete_elem(&hu_maps, &id.tgid);
	emit__process(t, HU_REC_EXIT, &id, 0);
	return 0;
}

#endif
