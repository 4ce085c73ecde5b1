// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Calls of the thread library, seen as they begin: what a new thread is to run and whether it is detached, who is
 * joined or detached, and how threads end. Only pthread_tryjoin_np() is seen as it returns as well: unlike the
 * others it is no place where a thread is cancelled, which would unwind through the kernel's return probe and end
 * there (glibc's forced unwinding, sysdeps/nptl/unwind.c).
 *
 * Each handler may run twice for one call, where one function of a library calls another or a file is mapped under
 * two names: the second changes nothing.
 */
#define HU_RAW
#include "bpf/calm.h"
#include "bpf/lifetimes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * The attribute says "detached": glibc's struct pthread_attr (sysdeps/nptl/internaltypes.h) has its flags behind
 * sched_param and policy, ATTR_FLAG_DETACHSTATE is the first; musl's pthread_attr_t (include/alltypes.h.in) has
 * _a_detach in __i[3 * __SU] (src/internal/pthread_impl.h), where __SU is 2 with 64-bit longs.
 */
#define GLIBC_FLAGS_OFF	 8
#define GLIBC_DETACHED	 1
#define MUSL_DETACH_OFF	 24
#define ATTR_C11	 (~0ULL) /* of both: thrd_create(), which has no attribute */
#define PTHREAD_CANCELED (~0ULL)
#define CLOCK_REALTIME	 0

struct caller {
	struct task_struct *task;
	struct task_id id;
};

static __always_inline bool caller__wanted(struct caller *c)
{
	c->task = (struct task_struct *)bpf_get_current_task();
	task__id(c->task, &c->id);
	return task__wanted(c->task, c->id.tgid, c->id.tid);
}

static __always_inline void mark(__u32 tid, struct pthread_call *call)
{
	struct pthread_call *known = bpf_map_lookup_elem(&hu_pthread_calls, &tid);

	if (known)
		call->marks |= known->marks & (MARK_EXIT | MARK_CANCEL);
	if (bpf_map_update_elem(&hu_pthread_calls, &tid, call, BPF_ANY))
		loss__add(HU_LOSS_PTHREAD, 1);
}

static __always_inline int on_create(const arch_regs *r, __u64 flags_off, __u32 detached)
{
	struct pthread_call call = { .marks = MARK_CREATE };
	__u64 attr = arch__fn_arg1(r);
	struct caller c;
	__u32 flags = 0;

	if (!caller__wanted(&c))
		return 0;
	call.start_routine = arch__fn_arg2(r);
	if (attr && attr != ATTR_C11) {
		if (bpf_probe_read_user(&flags, sizeof(flags), (void *)(attr + flags_off)))
			loss__add(HU_LOSS_PTHREAD, 1);
		else if (flags & detached)
			call.marks |= MARK_DETACHED;
	}
	mark(c.id.tid, &call);
	return 0;
}

UPROBE_PROGRAM("?kprobe", hu_pthread_create, const arch_regs *, r)
{
	return on_create(r, GLIBC_FLAGS_OFF, GLIBC_DETACHED);
}

UPROBE_PROGRAM("?kprobe", hu_pthread_create_musl, const arch_regs *, r)
{
	return on_create(r, MUSL_DETACH_OFF, ~0U);
}

static __always_inline int send_call(const struct caller *c, __u16 what, __u64 thread, __u16 clock,
				     __u64 deadline)
{
	struct hu_pthread_record *rec;
	__s64 ts[2] = {};
	__u64 wake;

	if (deadline && bpf_probe_read_user(ts, sizeof(ts), (void *)deadline))
		loss__add(HU_LOSS_PTHREAD, 1);
	rec = life__reserve(sizeof(*rec), &wake);
	if (!rec) {
		loss__add(HU_LOSS_PTHREAD, 1);
		return 0;
	}
	life__head(&rec->hdr, HU_REC_PTHREAD, sizeof(*rec));
	rec->tgid = c->id.tgid;
	rec->tid = c->id.tid;
	rec->proc_start = c->id.proc_start;
	rec->thread = thread;
	rec->deadline_ns = ts[0] * 1000000000LL + ts[1];
	rec->what = what;
	rec->clock = clock;
	rec->pad = 0;
	bpf_ringbuf_submit(rec, wake);
	return 0;
}

/* pthread_join(thread, …), thrd_join(thread, …) */
UPROBE_PROGRAM("?kprobe", hu_pthread_join, const arch_regs *, r)
{
	struct caller c;

	return caller__wanted(&c) ? send_call(&c, HU_PTHREAD_JOIN, arch__fn_arg0(r), 0, 0) : 0;
}

static __always_inline int on_timedjoin(__u64 thread, __u16 clock, __u64 deadline)
{
	struct caller c;

	/* No deadline is no end to it. */
	return caller__wanted(&c) ? send_call(&c, deadline ? HU_PTHREAD_TIMEDJOIN : HU_PTHREAD_JOIN,
					      thread, clock, deadline)
				  : 0;
}

/* pthread_timedjoin_np(thread, ret, abstime) */
UPROBE_PROGRAM("?kprobe", hu_pthread_timedjoin, const arch_regs *, r)
{
	return on_timedjoin(arch__fn_arg0(r), CLOCK_REALTIME, arch__fn_arg2(r));
}

/* pthread_clockjoin_np(thread, ret, clock, abstime) */
UPROBE_PROGRAM("?kprobe", hu_pthread_clockjoin, const arch_regs *, r)
{
	return on_timedjoin(arch__fn_arg0(r), arch__fn_arg2(r), arch__fn_arg3(r));
}

UPROBE_PROGRAM("?kprobe", hu_pthread_tryjoin, const arch_regs *, r)
{
	struct pthread_call call = { .marks = MARK_TRYJOIN };
	struct caller c;

	if (!caller__wanted(&c))
		return 0;
	call.thread = arch__fn_arg0(r);
	mark(c.id.tid, &call);
	return 0;
}

UPROBE_PROGRAM("?kretprobe", hu_pthread_tryjoin_ret, const arch_regs *, r)
{
	struct pthread_call *call;
	struct caller c;

	if (!caller__wanted(&c))
		return 0;
	call = bpf_map_lookup_elem(&hu_pthread_calls, &c.id.tid);
	if (!call || !(call->marks & MARK_TRYJOIN))
		return 0;
	call->marks &= ~MARK_TRYJOIN;
	if ((__u32)arch__fn_result(r) == 0)
		send_call(&c, HU_PTHREAD_JOINED, call->thread, 0, 0);
	return 0;
}

/* pthread_detach(thread), thrd_detach(thread) */
UPROBE_PROGRAM("?kprobe", hu_pthread_detach, const arch_regs *, r)
{
	struct caller c;

	return caller__wanted(&c) ? send_call(&c, HU_PTHREAD_DETACH, arch__fn_arg0(r), 0, 0) : 0;
}

UPROBE_PROGRAM("?kprobe", hu_pthread_cancel, const arch_regs *, r)
{
	struct caller c;

	return caller__wanted(&c) ? send_call(&c, HU_PTHREAD_CANCEL, arch__fn_arg0(r), 0, 0) : 0;
}

/*
 * pthread_exit(value): musl cancels a thread by PTHREAD_CANCELED (src/thread/pthread_cancel.c). Its thrd_exit() calls
 * it as well, with any number, and has been seen by then.
 */
UPROBE_PROGRAM("?kprobe", hu_pthread_exit, const arch_regs *, r)
{
	struct pthread_call call = { .marks = MARK_EXIT }, *known;
	struct caller c;

	if (!caller__wanted(&c))
		return 0;
	known = bpf_map_lookup_elem(&hu_pthread_calls, &c.id.tid);
	if (arch__fn_arg0(r) == PTHREAD_CANCELED && !(known && (known->marks & MARK_EXIT)))
		call.marks |= MARK_CANCEL;
	mark(c.id.tid, &call);
	return 0;
}

/* thrd_exit(int value) */
UPROBE_PROGRAM("?kprobe", hu_thrd_exit, const arch_regs *, r)
{
	struct pthread_call call = { .marks = MARK_EXIT };
	struct caller c;

	if (caller__wanted(&c))
		mark(c.id.tid, &call);
	return 0;
}
