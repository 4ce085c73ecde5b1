/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock. Every wait is measured where the kernel switches threads: at switch-out the system
 * call and its arguments are in the sleeping thread's registers, at waking the waker is current, at
 * switch-in the sleep is over. Included by sched.bpf.c (typed pointers) and sched_raw.bpf.c (plain
 * ones, HU_RAW).
 *
 * In sched_switch current is still prev, and interrupts are off; in sched_waking current is the
 * waker, and interrupts are off (it holds the wakee's pi_lock) but for a thread that wakes itself.
 */
#ifndef HOLDUP_BPF_SCHED_H
#define HOLDUP_BPF_SCHED_H

#include "bpf/emit.h"
#include "bpf/lock.h"
#include "bpf/stack.h"
#ifdef HU_UNWIND
#include "bpf/unwind.h"
#endif

/* Announces the process with its first wait, so that the loader reads its mappings while it lives. */
static __always_inline void process__announce(struct task_struct *t, const struct task_id *id,
					      struct thread_state *st)
{
	__u64 *start;

	if (st->announced)
		return;
	start = bpf_map_lookup_elem(&hu_seen, &id->tgid);
	if (!start || *start != id->proc_start) {
		if (bpf_map_update_elem(&hu_seen, &id->tgid, &id->proc_start, BPF_ANY)) {
			loss__add(HU_LOSS_PROC_FULL, 1);
			return;
		}
		if (emit__process(t, HU_REC_SEEN, id, 0)) {
			bpf_map_delete_elem(&hu_seen, &id->tgid);
			return;
		}
	}
	st->announced = 1;
}

static __always_inline __u64 take_stack(void *ctx, struct task_struct *t, const struct task_id *id,
					const arch_regs *r, struct thread_state *st)
{
	struct stack_scratch *scratch;
	__u32 zero = 0;

	scratch = bpf_map_lookup_elem(&hu_switch_scratch, &zero);
	if (!scratch)
		return 0;
#ifdef HU_UNWIND
	struct hu_proc_maps *maps = bpf_map_lookup_elem(&hu_maps, &id->tgid);
	__u64 lost_pc = 0, stack_id;

	if (maps) {
		stack_id = stack__by_rows(r, scratch, maps, id->tgid, &lost_pc);
		/* Once a thread and generation: what is still unknown after a look stays unknown. */
		if (!lost_pc || st->rescan == maps->generation + 1)
			return stack_id;
		st->rescan = maps->generation + 1;
	}
	stack_id = emit__raw_stack(r, id);
	if (stack_id)
		return stack_id;
	if (lost_pc)
		emit__process(t, HU_REC_RESCAN, id, lost_pc);
#endif
	return stack__by_frame_pointers(ctx, &scratch->stack, id->tgid);
}

static __always_inline void wait__first_sleep(void *ctx, struct task_struct *t,
					      const struct task_id *id, const arch_regs *r,
					      struct thread_state *st)
{
	/* a glibc mutex: __lock, __count, __owner (sysdeps/nptl/bits/struct_mutex.h) */
	__u32 words[3] = {};
	struct wait_state *w = &st->wait;

	w->depth = lock__enter(id->tgid, w->call.uaddr);
	if (!bpf_probe_read_user(words, sizeof(words), (void *)w->call.uaddr)) {
		w->word = words[0];
		w->owner_word = words[2];
		w->call.flags |= HU_WAIT_OWNER_READ;
	} else if (!bpf_probe_read_user(words, sizeof(words[0]), (void *)w->call.uaddr)) {
		w->word = words[0];
	}
	if (hu_cfg.stacks && !(w->call.flags & HU_WAIT_COMPAT))
		w->stack_id = take_stack(ctx, t, id, r, st);
}

/* A waking that was traced between the thread's dequeueing and its switch-out: kernel/sched/core.c,
 * ttwu() may run on another CPU as soon as p->on_rq is 0, before __schedule() reaches the
 * tracepoint. */
static __always_inline void wait__adopt_early(struct task_struct *t, struct thread_state *st)
{
	if (st->early_ns && task__state(t) == TASK_WAKING)
		wait__woken(&st->wait, &st->early, st->early_ns);
	st->early_ns = 0;
}

static __always_inline void on_sleep(void *ctx, struct task_struct *t, __u64 now_ns)
{
	struct wait_call call = {};
	union regs_copy copy;
	const arch_regs *regs;
	struct thread_state *st;
	struct task_id id;
	__u64 cpu_ns;
	bool futex;

	if (T(t, flags) & PF_KTHREAD)
		return;
	regs = task__regs(&copy);
	futex = call__parse(regs, &call);
	task__id(t, &id);
	cpu_ns = task__cpu_ns(t);
	st = thread__state(t, id.tid, false);
	if (st)
		end_unseen_sleep(st, id.tgid, now_ns, cpu_ns);
	if (st && st->wait.phase == WAIT_ENDED) {
		if (futex && wait__continues(&st->wait, &call, cpu_ns, hu_cfg.join_cpu_ns)) {
			wait__sleep(&st->wait, now_ns, cpu_ns);
			lock__enter(id.tgid, call.uaddr);
			loss__add(HU_LOSS_SWITCHES, 1);
			wait__adopt_early(t, st);
			return;
		}
		emit__wait(t, &id, &st->wait);
		st->wait.phase = WAIT_NONE;
	}
	if (!futex || !task__wanted(t, id.tgid, id.tid))
		return;
	if (!st)
		st = thread__state(t, id.tid, true);
	if (!st) {
		loss__add(HU_LOSS_STATE, 1);
		return;
	}
	process__announce(t, &id, st);
	wait__begin(&st->wait, &call, now_ns, cpu_ns);
	wait__first_sleep(ctx, t, &id, regs, st);
	loss__add(HU_LOSS_SWITCHES, 1);
	wait__adopt_early(t, st);
}

static __always_inline void on_run(struct task_struct *t, __u64 now_ns)
{
	__u32 tid = T(t, pid);
	struct thread_state *st;

	if (!tid)
		return; /* the idle task */
	st = thread__state(t, tid, false);
	if (!st || !wait__asleep(&st->wait))
		return;
	wait__resume(&st->wait, now_ns, task__cpu_ns(t));
	lock__leave(T(t, tgid), st->wait.call.uaddr);
}

static __always_inline void on_waking(struct task_struct *t)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u64 self = bpf_get_current_pid_tgid();
	struct thread_state *st = thread__state(t, T(t, pid), false);
	struct wait_waker waker = { .tgid = self >> 32, .tid = (__u32)self };
	union regs_copy copy;

	if (!st)
		return;
	waker.flags = HU_WAIT_WAKER_KNOWN;
	/* A kernel thread has no user registers; its pt_regs would be garbage. The idle task is
	 * one. */
	if (waker.tid && call__wakes(task__regs(&copy), st->wait.call.uaddr,
				     st->wait.call.flags & HU_WAIT_SHARED)) {
#ifdef HU_RAW
		struct thread_state *own = thread__state(NULL, waker.tid, false);
#else
		struct thread_state *own =
			hu_cfg.task_storage
				? thread__state(bpf_get_current_task_btf(), waker.tid, false)
				: thread__state(NULL, waker.tid, false);
#endif
		waker.flags |= HU_WAIT_WAKER_FUTEX;
		if (own && own->wait.phase == WAIT_ENDED && waker.tgid == (__u32)T(t, tgid) &&
		    own->wait.call.uaddr == st->wait.call.uaddr)
			own->wait.closed = 1;
	}
	if (st->wait.phase == WAIT_SLEEPING) {
		wait__woken(&st->wait, &waker, now_ns);
	} else {
		st->early = waker;
		st->early_ns = now_ns;
	}
}

static __always_inline int on_switch(__u64 *ctx, bool preempt, struct task_struct *prev,
				     struct task_struct *next)
{
	__u64 now_ns = bpf_ktime_get_ns();
	unsigned int state;

	if (!preempt) {
		/* Not prev->__state where the kernel says: a waker may have changed that already. */
		state = hu_cfg.switch_state ? (unsigned int)ctx[3] : task__state(prev);
		if (state)
			on_sleep(ctx, prev, now_ns);
	}
	on_run(next, now_ns);
	return 0;
}

#endif
