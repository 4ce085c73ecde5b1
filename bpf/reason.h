/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why does current leave the CPU? In sched_switch, where the state it goes to sleep in and its registers in user
 * space are known. What a futex call is for is said by whoever knows the lock; here it is an address.
 */
#ifndef HOLDUP_BPF_REASON_H
#define HOLDUP_BPF_REASON_H

#include "bpf/task.h"

/* include/linux/sched.h */
#define TASK_STOPPED_BIT 0x4
#define TASK_TRACED_BIT	 0x8
#define PF_MEMALLOC	 0x800 /* it reclaims memory itself (include/linux/sched.h) */

static __always_inline bool reason__has_fd(long nr)
{
	__u32 word = (unsigned long)nr / 64;

	return word < HU_FD_CALL_WORDS && (hu_cfg.fd_calls[word] >> (nr & 63) & 1);
}

/* In a system call, by its registers; sleeps: state has TASK_INTERRUPTIBLE, so that a futex call waits for its word. */
static __always_inline __u64 reason__of_call(const arch_regs *regs, bool sleeps)
{
	struct wait_call call;
	long nr = arch__nr(regs);

	if (nr < 0)
		return HU_REASON(HU_WHY_FAULT, 0, 0);
	if (sleeps && call__parse(regs, &call))
		return HU_REASON(HU_WHY_LOCK, nr, call.uaddr);
	if (arch__compat(regs))
		return HU_REASON(HU_WHY_CALL32, nr, 0);
	return HU_REASON(HU_WHY_CALL, nr, reason__has_fd(nr) ? (__u32)arch__arg0(regs) + 1ULL : 0);
}

/*
 * state: as sched_switch tells it, 0 when the thread stays runnable (preempted). regs may only be read of threads
 * that have been in user space.
 */
static __always_inline __u64 reason__of(struct task_struct *t, const arch_regs *regs,
					unsigned int state)
{
	__u32 flags = T(t, flags);

	if (!state)
		return HU_REASON(HU_WHY_RUNNABLE, 0, 0);
	if (flags & (PF_KTHREAD | PF_EXITING))
		return HU_REASON(HU_WHY_KERNEL, 0, 0);
	if (state & TASK_TRACED_BIT)
		return HU_REASON(HU_WHY_TRACED, 0, 0);
	if (state & TASK_STOPPED_BIT)
		return HU_REASON(HU_WHY_STOPPED, 0, 0);
	if (flags & PF_MEMALLOC)
		return HU_REASON(HU_WHY_RECLAIM, 0, 0);
	return reason__of_call(regs, state & TASK_INTERRUPTIBLE);
}

#endif
