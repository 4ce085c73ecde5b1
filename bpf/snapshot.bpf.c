// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Walks over all threads: at the start for those that wait already, at the end of an interval for waits that
 * have not been sent.
 */
#include "bpf/emit.h"
#include "bpf/blame.h"
#include "bpf/lock.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The waits that go on, and those that ended but could still be continued (bpf/wait.h). Changes nothing. */
SEC("?iter/task")
int hu_pending(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_wait_record rec = {};
	struct wait_state wait;
	struct thread_state *st;
	__u64 now_ns;

	if (!t)
		return 0;
	st = thread__state(t, t->pid, false);
	if (!st || st->wait.phase == WAIT_NONE)
		return 0;
	now_ns = bpf_ktime_get_ns();
	rec.hdr.kind = HU_REC_WAIT;
	rec.hdr.size = sizeof(rec);
	rec.hdr.ts_ns = now_ns;
	rec.tgid = t->tgid;
	rec.tid = t->pid;
	rec.proc_start = t->group_leader->start_boottime;
	wait = st->wait;
	if (wait.phase != WAIT_ENDED) {
		wait.call.flags |= HU_WAIT_ONGOING;
		wait__so_far(&wait, now_ns, &wait.blocked_ns, &wait.runq_ns);
		wait__charge(&wait, now_ns > wait.out_ns ? now_ns - wait.out_ns : 0);
		wait.end_ns = now_ns;
	}
	wait__record(&wait, &rec);
	bpf_probe_read_kernel(rec.comm, sizeof(rec.comm), t->comm);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

/* Its holder is not known yet: the loader looks, and blame waits for that. */
static __always_inline void lock__adopt(__u32 tgid, __u64 uaddr, __u64 now_ns)
{
	struct hu_lock *lock = lock__get(tgid, uaddr);
	struct hu_blame *b;

	if (!lock)
		return;
	b = &lock->blame;
	if (b->waiters <= 0 && !b->holder) {
		b->since_ns = now_ns;
		b->now = REASON_PENDING;
	}
	lock__count(lock, 1);
}

/*
 * Once, after everything is attached: threads that sleep in a futex call get a state, as if they had gone to
 * sleep now, and their registers go to the loader, which reads their stacks. A thread that runs on meanwhile
 * is put right at its next switch (bpf/lock.h, end_unseen_sleep()).
 */
SEC("?iter/task")
int hu_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_adopt_record rec = {};
	struct wait_call call = {};
	struct thread_state *st;
	const arch_regs *r;
	__u64 now_ns;

	if (!t || (t->flags & (PF_KTHREAD | PF_EXITING)) || !task__asked_for(t) ||
	    !(task__state(t) & TASK_INTERRUPTIBLE))
		return 0;
	r = (const arch_regs *)bpf_task_pt_regs(t);
	if (!call__parse(r, &call))
		return 0;
	now_ns = bpf_ktime_get_ns();
	st = thread__state(t, t->pid, true);
	if (!st) {
		loss__add(HU_LOSS_STATE, 1);
		return 0;
	}
	if (st->wait.phase != WAIT_NONE)
		return 0; /* it went to sleep after we had attached */
	rec.hdr.kind = HU_REC_ADOPT;
	rec.hdr.size = sizeof(rec);
	rec.hdr.ts_ns = now_ns;
	rec.tgid = t->tgid;
	rec.tid = t->pid;
	rec.proc_start = t->group_leader->start_boottime;
	rec.stack_id = raw_stack_id(now_ns, t->pid);
	rec.ip = arch__ip(r);
	rec.sp = arch__sp(r);
	rec.fp = arch__fp(r);
	rec.ra_reg = arch__ra_reg(r);
	rec.uaddr = call.uaddr;
	rec.val = call.val;
	rec.op = call.op;
	rec.flags = call.flags;
	BPF_CORE_READ_INTO(&rec.comm, t, group_leader, comm);
	call.flags |= HU_WAIT_BEFORE;
	st->wait.stack_id = 0;
	wait__begin(&st->wait, &call, now_ns, task__cpu_ns(t));
	st->wait.stack_id = call.flags & HU_WAIT_COMPAT ? 0 : rec.stack_id;
	lock__adopt(rec.tgid, wait__word(&call), now_ns);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

/* The threads in hu_holders, which the loader has put there, with their registers: where is each now? */
SEC("?iter/task")
int hu_where(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_adopt_record rec = {};
	struct hu_holder *holder;
	const arch_regs *r;
	__u32 tid;

	if (!t)
		return 0;
	tid = t->pid;
	holder = bpf_map_lookup_elem(&hu_holders, &tid);
	/* A running thread's registers are old, a kernel thread has none. */
	if (!holder || (t->flags & (PF_KTHREAD | PF_EXITING)) || !task__state(t))
		return 0;
	r = (const arch_regs *)bpf_task_pt_regs(t);
	if (arch__compat(r))
		return 0;
	rec.hdr.kind = HU_REC_ADOPT;
	rec.hdr.size = sizeof(rec);
	rec.hdr.ts_ns = bpf_ktime_get_ns();
	rec.tgid = t->tgid;
	rec.tid = tid;
	rec.proc_start = t->group_leader->start_boottime;
	rec.stack_id = raw_stack_id(rec.hdr.ts_ns, tid);
	rec.ip = arch__ip(r);
	rec.sp = arch__sp(r);
	rec.fp = arch__fp(r);
	rec.ra_reg = arch__ra_reg(r);
	rec.uaddr = holder->uaddr;
	rec.waiter_tgid = holder->tgid;
	BPF_CORE_READ_INTO(&rec.comm, t, comm);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}
