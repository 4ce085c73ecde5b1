// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Futex calls as they return: what the switches can't show, that is calls that never slept and
 * return codes. By fexit where the kernel lets us (nobody else pays), else, on request, by the
 * system call's tracepoint, which makes every system call of every process slower while it is
 * attached.
 */
#define HU_RAW /* plain task pointers: 5.10 has fexit, but no bpf_get_current_task_btf() */
#include "bpf/emit.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/linux/errno.h and asm-generic/errno.h */
#define EINTR		      4
#define EAGAIN		      11
#define ETIMEDOUT	      110
#define ERESTARTSYS	      512
#define ERESTART_RESTARTBLOCK 516

static __always_inline void call__count(struct hu_calls *c, bool wait, bool requeue, long ret)
{
	if (wait) {
		__sync_fetch_and_add(&c->waits, 1);
		if (ret == -EAGAIN)
			__sync_fetch_and_add(&c->again, 1);
		else if (ret == -ETIMEDOUT)
			__sync_fetch_and_add(&c->timedout, 1);
		else if (ret == -EINTR || (ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK))
			__sync_fetch_and_add(&c->interrupted, 1);
	} else {
		__sync_fetch_and_add(&c->wakes, 1);
		if (ret == 0)
			__sync_fetch_and_add(&c->wakes_none, 1);
		if (requeue)
			__sync_fetch_and_add(&c->requeues, 1);
	}
}

/* A thread that gives up a lock has got it: what it waited for is over, though it may wake nobody. */
static __always_inline void close_released(__u32 tid, __u64 uaddr)
{
	struct thread_state *own = thread__own_state(tid);

	if (own && own->wait.phase == WAIT_ENDED && own->wait.call.uaddr == uaddr)
		own->wait.closed = 1;
}

static __always_inline int on_call_done(long ret)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct hu_calls *calls, fresh = {};
	struct hu_call_key key = {};
	struct wait_call call = {};
	union regs_copy copy;
	const arch_regs *r;
	struct task_id id;
	bool wait;

	task__id(t, &id);
	if (!task__wanted(t, id.tgid, id.tid))
		return 0;
	r = task__regs(&copy);
	wait = call__parse(r, &call);
	key.uaddr = wait ? call.uaddr : arch__address(arch__arg0(r));
	key.tgid = id.tgid;
	key.proc_start = id.proc_start;
	if (!wait && hu_cfg.wakes_seen)
		close_released(id.tid, key.uaddr);
	calls = bpf_map_lookup_elem(&hu_calls, &key);
	if (!calls) {
		bpf_map_update_elem(&hu_calls, &key, &fresh, BPF_NOEXIST);
		calls = bpf_map_lookup_elem(&hu_calls, &key);
		if (!calls) {
			loss__add(HU_LOSS_CALLS_FULL, 1);
			return 0;
		}
	}
	__u32 cmd = arch__arg1(r) & ~(HU_FUTEX_PRIVATE | HU_FUTEX_REALTIME);

	call__count(calls, wait, cmd == CMD_REQUEUE || cmd == CMD_CMP_REQUEUE, ret);
	return 0;
}

#if defined(__TARGET_ARCH_x86)
SEC("?fexit/__x64_sys_futex")
#else
SEC("?fexit/__arm64_sys_futex")
#endif
int hu_futex_fexit(__u64 *ctx)
{
	return on_call_done((long)ctx[1]); /* (const struct pt_regs *regs), then the result */
}

/* struct trace_event_raw_sys_exit of the plain tracepoint: 8 bytes of header, id, result */
struct sys_exit_args {
	__u64 header;
	long id;
	long ret;
};

SEC("?tracepoint/syscalls/sys_exit_futex")
int hu_futex_tp(struct sys_exit_args *ctx)
{
	return on_call_done(ctx->ret);
}
