/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a task is, whether it is wanted, what it asks of the futex system call, and where its state
 * lives. `T(task, field)` reads a field: directly from the typed pointers that tp_btf gives, by
 * bpf_probe_read_kernel() where HU_RAW says that the pointers are plain.
 */
#ifndef HOLDUP_BPF_TASK_H
#define HOLDUP_BPF_TASK_H

#include "bpf/maps.h"
#include "bpf/glob.h"
#include "bpf/arch.h"

#ifdef HU_RAW
#define T(t, ...) BPF_CORE_READ(t, __VA_ARGS__)
#else
#define T_1(t, a)	    t->a
#define T_2(t, a, b)	    t->a->b
#define T_N(_1, _2, n, ...) n
#define T(t, ...)	    T_N(__VA_ARGS__, T_2, T_1)(t, __VA_ARGS__)
#endif

struct task_id {
	__u32 tgid, tid;
	__u64 proc_start;
};

static __always_inline void task__id(struct task_struct *t, struct task_id *ret)
{
	ret->tgid = T(t, tgid);
	ret->tid = T(t, pid);
	ret->proc_start = T(t, group_leader, start_boottime);
}

static __always_inline __u64 task__cpu_ns(struct task_struct *t)
{
	return T(t, se.sum_exec_runtime);
}

static __always_inline unsigned int task__state(struct task_struct *t)
{
	struct task_struct___5_13 *old = (void *)t;

	if (bpf_core_field_exists(t->__state))
		return T(t, __state);
	return BPF_CORE_READ(old, state);
}

#if defined(HU_UNWIND) || !defined(ARCH_REGS_SIZE)
/* Where bpf_loop() is (5.17), bpf_task_pt_regs() is too: no room is spent on a copy. */
union regs_copy {
	char bytes[1];
};

static __always_inline const arch_regs *task__regs(union regs_copy *copy)
{
	return (const arch_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}
#else
union regs_copy {
	arch_regs regs;
	char bytes[ARCH_REGS_SIZE];
};

/* The user registers of current, which must not be a kernel thread; copy is room for them. */
static __always_inline const arch_regs *task__regs(union regs_copy *copy)
{
	struct task_struct *t;
	char *top;

	if (hu_cfg.task_regs)
		return (const arch_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	t = (void *)bpf_get_current_task();
	top = BPF_CORE_READ(t, stack);
	if (bpf_probe_read_kernel(copy, sizeof(*copy), top + ARCH_THREAD_SIZE - ARCH_REGS_SIZE))
		__builtin_memset(copy, 0xff, sizeof(*copy));
	return &copy->regs;
}
#endif

/* Is this thread one that the user asked for? Only for current: cgroups are asked of it. */
static __always_inline bool task__wanted(struct task_struct *t, __u32 tgid, __u32 tid)
{
	__u32 filters = hu_cfg.filters;

	if (tgid == hu_cfg.self_tgid)
		return false;
	if (!filters)
		return true;
	if ((filters & HU_FILTER_TID) && tid != hu_cfg.tid)
		return false;
	if ((filters & HU_FILTER_TGIDS) && !bpf_map_lookup_elem(&hu_targets, &tgid))
		return false;
	if ((filters & HU_FILTER_CGROUP) && bpf_current_task_under_cgroup(&hu_cgroup, 0) != 1)
		return false;
	if (filters & HU_FILTER_COMM) {
		char comm[HU_COMM_LEN] = {};

		BPF_CORE_READ_INTO(&comm, t, group_leader, comm);
		if (!glob__matches(&hu_cfg.comm, comm))
			return false;
	}
	return true;
}

/* The same for any thread, in an iterator: for a cgroup the loader lists its processes. */
static __always_inline bool task__asked_for(struct task_struct *t)
{
	__u32 filters = hu_cfg.filters, tgid = T(t, tgid);
	char comm[HU_COMM_LEN] = {};

	if (tgid == hu_cfg.self_tgid)
		return false;
	if ((filters & HU_FILTER_TID) && (__u32)T(t, pid) != hu_cfg.tid)
		return false;
	if ((filters & (HU_FILTER_TGIDS | HU_FILTER_CGROUP)) &&
	    !bpf_map_lookup_elem(&hu_targets, &tgid))
		return false;
	if (filters & HU_FILTER_COMM) {
		BPF_CORE_READ_INTO(&comm, t, group_leader, comm);
		return glob__matches(&hu_cfg.comm, comm);
	}
	return true;
}

static const struct thread_state thread_state_zero;

/* NULL: the thread has none, or (create) it could not be had, which the caller counts. */
static __always_inline struct thread_state *thread__state(struct task_struct *t, __u32 tid,
							  bool create)
{
	struct thread_state *st;

#ifndef HU_RAW
	if (hu_cfg.task_storage)
		return bpf_task_storage_get(&hu_threads, t, 0,
					    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
#endif
	st = bpf_map_lookup_elem(&hu_threads_hash, &tid);
	if (st || !create)
		return st;
	bpf_map_update_elem(&hu_threads_hash, &tid, &thread_state_zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&hu_threads_hash, &tid);
}

/* The state of current, which is no kernel thread; NULL: it has none. */
static __always_inline struct thread_state *thread__own_state(__u32 tid)
{
	if (hu_cfg.task_storage)
		return bpf_task_storage_get(&hu_threads, bpf_get_current_task_btf(), 0, 0);
	return bpf_map_lookup_elem(&hu_threads_hash, &tid);
}

/* include/uapi/linux/futex.h; FUTEX_WAKE_OP and the requeues name a second word in their fifth
 * argument */
enum futex_cmd {
	CMD_WAIT = 0,
	CMD_WAKE = 1,
	CMD_REQUEUE = 3,
	CMD_CMP_REQUEUE = 4,
	CMD_WAKE_OP = 5,
	CMD_LOCK_PI = 6,
	CMD_UNLOCK_PI = 7,
	CMD_WAIT_BITSET = 9,
	CMD_WAKE_BITSET = 10,
	CMD_WAIT_REQUEUE_PI = 11,
	CMD_CMP_REQUEUE_PI = 12,
	CMD_LOCK_PI2 = 13,
};

/* The same numbers on every architecture, include/uapi/asm-generic/unistd.h */
enum futex_nr {
	NR_FUTEX_WAITV = 449,
	NR_FUTEX_WAKE = 454,
	NR_FUTEX_WAIT = 455,
	NR_FUTEX_REQUEUE = 456,
};

/* struct futex_waitv, include/uapi/linux/futex.h */
struct waitv {
	__u64 val;
	__u64 uaddr;
	__u32 flags;
	__u32 reserved;
};
#define FUTEX2_PRIVATE 128

/* The second generation of calls: one word each, flags apart from the operation. */
static __always_inline bool call__parse_new(long nr, const arch_regs *r, struct wait_call *ret)
{
	if (nr == NR_FUTEX_WAITV) {
		struct waitv first = {};

		if (bpf_probe_read_user(&first, sizeof(first), (void *)arch__arg0(r)))
			return false;
		ret->uaddr = arch__address(first.uaddr);
		ret->val = first.val;
		ret->op = HU_OP_WAITV;
		ret->flags = first.flags & FUTEX2_PRIVATE ? 0 : HU_WAIT_SHARED;
		if (arch__arg3(r))
			ret->flags |= HU_WAIT_TIMED;
		return true;
	}
	if (nr == NR_FUTEX_WAIT) {
		ret->uaddr = arch__address(arch__arg0(r));
		ret->val = arch__arg1(r);
		ret->op = HU_OP_WAIT2;
		ret->flags = arch__arg3(r) & FUTEX2_PRIVATE ? 0 : HU_WAIT_SHARED;
		if (arch__arg4(r))
			ret->flags |= HU_WAIT_TIMED;
		return true;
	}
	return false;
}

/* Is the thread with these registers inside a futex call that can sleep? */
static __always_inline bool call__parse(const arch_regs *r, struct wait_call *ret)
{
	bool compat = arch__compat(r);
	long nr = arch__nr(r);
	__u32 op, cmd;
	__u64 timeout;

	ret->ip = arch__ip(r);
	ret->sp = arch__sp(r);
	if (compat ? nr != ARCH_NR_FUTEX_COMPAT && nr != ARCH_NR_FUTEX_COMPAT64
		   : nr != ARCH_NR_FUTEX)
		return !compat && call__parse_new(nr, r, ret);
	op = compat ? arch__compat_arg1(r) : arch__arg1(r);
	cmd = op & ~(HU_FUTEX_PRIVATE | HU_FUTEX_REALTIME);
	if (cmd != CMD_WAIT && cmd != CMD_WAIT_BITSET && cmd != CMD_LOCK_PI &&
	    cmd != CMD_LOCK_PI2 && cmd != CMD_WAIT_REQUEUE_PI)
		return false;
	ret->uaddr = compat ? arch__compat_arg0(r) : arch__address(arch__arg0(r));
	ret->val = compat ? arch__compat_arg2(r) : arch__arg2(r);
	timeout = compat ? arch__compat_arg3(r) : arch__arg3(r);
	ret->op = cmd;
	ret->flags = (op & HU_FUTEX_PRIVATE ? 0 : HU_WAIT_SHARED) | (compat ? HU_WAIT_COMPAT : 0) |
		     (timeout ? HU_WAIT_TIMED : 0);
	return true;
}

/*
 * After a stop (SIGSTOP, a debugger) the kernel goes on with a timed futex wait by restart_syscall(2): the
 * number is another one, the other registers are those of the call (futex_wait_restart(), kernel/futex/).
 */
static __always_inline bool call__restarts(const arch_regs *r, const struct wait_call *last)
{
	return arch__nr(r) == ARCH_NR_RESTART && !arch__compat(r) && last->uaddr &&
	       arch__address(arch__arg0(r)) == last->uaddr && arch__sp(r) == last->sp;
}

/*
 * Is the thread with these registers inside a call that wakes waiters of uaddr? any_word: the
 * waiter knows the word by another address (a shared lock), so that only the kind of call can be
 * compared. A thread's exit wakes who joins it (clear_child_tid in mm_release(), kernel/fork.c).
 */
static __always_inline bool call__wakes(const arch_regs *r, __u64 uaddr, bool any_word)
{
	bool compat = arch__compat(r);
	long nr = arch__nr(r);
	__u64 first, second;
	__u32 cmd;

	if (compat ? nr == ARCH_NR_EXIT_COMPAT : nr == ARCH_NR_EXIT)
		return true;
	first = compat ? arch__compat_arg0(r) : arch__address(arch__arg0(r));
	if (!compat && (nr == NR_FUTEX_WAKE || nr == NR_FUTEX_REQUEUE))
		return any_word || nr == NR_FUTEX_REQUEUE || first == uaddr;
	if (compat ? nr != ARCH_NR_FUTEX_COMPAT && nr != ARCH_NR_FUTEX_COMPAT64
		   : nr != ARCH_NR_FUTEX)
		return false;
	cmd = (compat ? arch__compat_arg1(r) : arch__arg1(r)) &
	      ~(HU_FUTEX_PRIVATE | HU_FUTEX_REALTIME);
	second = compat ? arch__compat_arg4(r) : arch__address(arch__arg4(r));
	switch (cmd) {
	case CMD_WAKE:
	case CMD_WAKE_BITSET:
	case CMD_UNLOCK_PI:
		return any_word || first == uaddr;
	case CMD_WAKE_OP:
	case CMD_REQUEUE:
	case CMD_CMP_REQUEUE:
	case CMD_CMP_REQUEUE_PI:
		return any_word || first == uaddr || second == uaddr;
	}
	return false;
}

/* Is it in a wake or requeue call at all? */
static __always_inline bool call__is_wake(const arch_regs *r)
{
	return arch__nr(r) != ARCH_NR_EXIT && call__wakes(r, 0, true);
}

#endif
