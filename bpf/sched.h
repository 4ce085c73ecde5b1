/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock. Every wait is measured where the kernel switches threads: at switch-out the system
 * call and its arguments are in the sleeping thread's registers, at waking the waker is current, at
 * switch-in the sleep is over. Included by sched.bpf.c (typed pointers, stacks by rows), sched_fp.bpf.c
 * (stacks by frame pointers) and sched_raw.bpf.c (plain pointers, HU_RAW).
 *
 * In sched_switch current is still prev, and interrupts are off; in sched_waking current is the
 * waker, and interrupts are off (it holds the wakee's pi_lock) but for a thread that wakes itself.
 */
#ifndef HOLDUP_BPF_SCHED_H
#define HOLDUP_BPF_SCHED_H

#include "bpf/capture.h"
#include "bpf/holder.h"
#include "bpf/track.h"

/*
 * The lock's words as they are when a sleep begins: the futex word, and the owner's. A read costs as much as
 * the walk up ten frames: what the kernel has just compared is known, and only locks that name an owner are
 * asked for it.
 */
static __always_inline void read_words(struct wait_state *w, __u32 *word, __u32 *owner_word)
{
	const struct wait_call *call = &w->call;

	*word = call->val;
	*owner_word = 0;
	if (call->op == HU_OP_LOCK_PI || call->op == HU_OP_LOCK_PI2) {
		/* The call passes no value to compare. */
		if (bpf_probe_read_user(word, sizeof(*word), (void *)call->uaddr))
			*word = 0;
	} else if (owner__beside_word(call->op, call->val)) {
		/* of a glibc mutex: __lock, __count, __owner (sysdeps/nptl/bits/struct_mutex.h) */
		if (!bpf_probe_read_user(owner_word, sizeof(*owner_word),
					 (void *)(call->uaddr + 8)))
			w->call.flags |= HU_WAIT_OWNER_READ;
	}
}

/* What each sleep of a wait begins with. */
static __always_inline void sleep__begins(struct task_struct *t, struct wait_state *w,
					  const struct task_id *id, __u64 now_ns, bool first)
{
	__u32 word, owner_word;
	struct hu_lock *lock = lock__get(id->tgid, wait__word(&w->call));

	read_words(w, &word, &owner_word);
	w->owner_now = owner__of(w->call.op, w->call.val, word, owner_word);
	if (lock && hu_cfg.blame)
		track__sleeps(lock, t, id->tgid, &w->call, w->owner_now, first, now_ns);
	if (lock)
		lock__count(lock, 1);
	if (first) {
		/* What others add meanwhile has been true as well. */
		w->depth = lock && lock->blame.waiters > 0 ? lock->blame.waiters : 0;
		w->word = word;
		w->owner_word = owner_word;
	}
	if (lock && hu_cfg.stacks)
		holder__ask(lock, &w->call, id->tgid, w->owner_now, now_ns);
	loss__add(HU_LOSS_SWITCHES, 1);
}

/* The sleeper t was woken by `waker`: does that one let go of the lock? */
static __always_inline void blame_waking(struct task_struct *t, const struct thread_state *st,
					 struct hu_lock *lock, __u64 waker, __u64 now_ns)
{
	if (!wait__handed_over(&st->wait))
		return;
	if (!lock)
		lock = lock__find(T(t, tgid), wait__word(&st->wait.call));
	if (lock)
		track__releases(lock, waker, now_ns);
}

/*
 * A waking that was traced between the thread's dequeueing and its switch-out: try_to_wake_up() may run on
 * another CPU as soon as p->on_rq is 0, before __schedule() reaches the tracepoint (kernel/sched/core.c).
 */
static __always_inline void wait__adopt_early(struct task_struct *t, struct thread_state *st)
{
	if (st->early_ns && task__state(t) == TASK_WAKING) {
		wait__woken(&st->wait, &st->early, st->early_ns);
		if (hu_cfg.blame)
			blame_waking(t, st, NULL, st->early_who, st->early_ns);
	}
	st->early_ns = 0;
}

static __always_inline void take_wait_stack(void *ctx, const struct task_id *id, const arch_regs *r,
					    struct thread_state *st)
{
	__u32 zero = 0;
	struct stack_scratch *scratch = bpf_map_lookup_elem(&hu_switch_scratch, &zero);

	if (scratch && hu_cfg.stacks && !(st->wait.call.flags & HU_WAIT_COMPAT))
		st->wait.stack_id = take_stack(ctx, id, r, &st->rescan, true, scratch);
}

/* Current leaves the CPU with a lock that others want: where is it? */
static __always_inline void show_holder(void *ctx, struct task_struct *t, const struct task_id *id,
					const arch_regs *regs, const struct hu_holder *holder)
{
	__u32 zero = 0;
	struct stack_scratch *scratch = bpf_map_lookup_elem(&hu_switch_scratch, &zero);
	__u64 stack_id;

	if (!scratch || arch__compat(regs))
		return;
	stack_id = take_stack(ctx, id, regs, NULL, false, scratch);
	if (stack_id)
		holder__send(t, id, holder, stack_id, HU_HOLDER_SWITCH);
}

/* Somebody has asked where current is. */
static __always_inline void answer_ask(void *ctx, struct task_struct *t, const struct task_id *id,
				       const arch_regs *regs)
{
	struct hu_holder *found = bpf_map_lookup_elem(&hu_holders, &id->tid), holder;
	__u64 bit, *bits = holder__bits(id->tid, &bit);

	if (bits)
		*bits &= ~bit;
	if (!found)
		return;
	holder = *found;
	bpf_map_delete_elem(&hu_holders, &id->tid);
	/* The word may have been stale or forged, and the lock may have been released since. */
	if (!holder.shared && holder.tgid != id->tgid)
		return;
	if (holder__holds(holder.uaddr, holder.in_word, id->tid))
		show_holder(ctx, t, id, regs, &holder);
}

/*
 * Current waited for a lock and now sleeps for another reason. If it got the lock and still has it, this is
 * what the next ones will wait for: asking it then would be too late, it is asleep already.
 */
static __always_inline void show_if_holding(void *ctx, struct task_struct *t,
					    const struct task_id *id, const arch_regs *regs,
					    const struct wait_state *w, __u64 now_ns)
{
	struct hu_lock_key key = { .uaddr = wait__word(&w->call), .tgid = id->tgid };
	struct hu_holder holder = { .uaddr = w->call.uaddr, .tgid = id->tgid };
	struct hu_lock *lock;

	if (!hu_cfg.stacks || !w->owner[0].sleeps)
		return;
	lock = bpf_map_lookup_elem(&hu_locks, &key);
	if (!lock || now_ns - lock->asked_ns < hu_cfg.holder_every_ns ||
	    !holder__holds(w->call.uaddr, owner__in_word(w->call.op, w->call.val), id->tid))
		return;
	lock->asked_ns = now_ns;
	show_holder(ctx, t, id, regs, &holder);
}

static __always_inline void on_sleep(void *ctx, struct task_struct *t, const struct task_id *id,
				     const arch_regs *regs, unsigned int state, __u64 now_ns)
{
	struct thread_state *st = thread__state(t, id->tid, false);
	struct wait_call call = {};
	/* Futex waits can be interrupted; a page fault within the call, or a stop, is another sleep. */
	bool futex = (state & TASK_INTERRUPTIBLE) && call__parse(regs, &call);
	__u64 cpu_ns = task__cpu_ns(t);
	bool restarted = false;

	if (st && !futex && call__restarts(regs, &st->wait.call)) {
		call = st->wait.call;
		call.flags &= ~HU_WAIT_BEFORE;
		futex = restarted = state & TASK_INTERRUPTIBLE;
	}
	if (st)
		end_unseen_sleep(st, id->tgid, now_ns, cpu_ns);
	if (st && st->wait.phase == WAIT_ENDED) {
		if (restarted ||
		    (futex && wait__continues(&st->wait, &call, cpu_ns, hu_cfg.join_cpu_ns,
					      hu_cfg.wakes_seen))) {
			st->wait.call.uaddr = call.uaddr;
			wait__sleep(&st->wait, now_ns, cpu_ns);
			sleep__begins(t, &st->wait, id, now_ns, false);
			wait__adopt_early(t, st);
			return;
		}
		/* A stop, or a page fault, within the same call ends nothing. */
		if (!futex && call__parse(regs, &call) && wait__same_call(&st->wait, &call))
			return;
		show_if_holding(ctx, t, id, regs, &st->wait, now_ns);
		emit__wait(t, id, &st->wait);
		st->wait.phase = WAIT_NONE;
	}
	if (!futex || !task__wanted(t, id->tgid, id->tid))
		return;
	if (!st)
		st = thread__state(t, id->tid, true);
	if (!st) {
		loss__add(HU_LOSS_STATE, 1);
		return;
	}
	if (!st->announced)
		st->announced = process__announce(t, id);
	wait__begin(&st->wait, &call, now_ns, cpu_ns);
	sleep__begins(t, &st->wait, id, now_ns, true);
	take_wait_stack(ctx, id, regs, st);
	wait__adopt_early(t, st);
}

static __always_inline void on_run(struct task_struct *t, __u64 now_ns)
{
	__u32 tid = T(t, pid), tgid = T(t, tgid);
	struct thread_state *st;
	struct hu_lock *lock;

	if (!tid)
		return; /* the idle task */
	st = thread__state(t, tid, false);
	if (!st || !wait__asleep(&st->wait))
		return;
	wait__resume(&st->wait, now_ns, task__cpu_ns(t));
	lock = lock__find(tgid, wait__word(&st->wait.call));
	if (!lock)
		return;
	if (hu_cfg.blame)
		track__accrues(lock, now_ns);
	lock__count(lock, -1);
	if (hu_cfg.blame && wait__handed_over(&st->wait))
		track__takes(lock, t, tgid, wait__word(&st->wait.call));
}

/* Current has woken a waiter of this lock: where did it release it? */
static __always_inline void show_waker(void *ctx, const struct wait_state *w, __u32 waiter_tgid,
				       struct hu_lock *lock, const arch_regs *regs, __u64 now_ns)
{
	struct hu_holder holder = { .uaddr = w->call.uaddr, .tgid = waiter_tgid };
	struct task_struct *t = (void *)bpf_get_current_task();
	struct stack_scratch *scratch;
	struct task_id id;
	__u64 stack_id;
	__u32 zero = 0;

	if (!lock || now_ns - lock->shown_ns < hu_cfg.holder_every_ns || arch__compat(regs))
		return;
	lock->shown_ns = now_ns;
	id.tgid = BPF_CORE_READ(t, tgid);
	id.tid = BPF_CORE_READ(t, pid);
	id.proc_start = BPF_CORE_READ(t, group_leader, start_boottime);
	scratch = bpf_map_lookup_elem(&hu_waking_scratch, &zero);
	if (!scratch || scratch->busy)
		return;
	/* A thread that wakes itself does so with interrupts on, and one may wake another here. */
	scratch->busy = 1;
	stack_id = take_stack(ctx, &id, regs, NULL, false, scratch);
	scratch->busy = 0;
	if (stack_id)
		holder__send(t, &id, &holder, stack_id, HU_HOLDER_WAKE);
}

/* Who wakes others has not just failed to get a lock: its last wait is over. */
static __always_inline void close_own(__u32 tid)
{
	struct thread_state *own = thread__own_state(tid);

	if (own && own->wait.phase == WAIT_ENDED)
		own->wait.closed = 1;
}

static __always_inline void on_waking(void *ctx, struct task_struct *t)
{
	__u64 now_ns = bpf_ktime_get_ns(), who = 0;
	__u64 self = bpf_get_current_pid_tgid();
	struct thread_state *st = thread__state(t, T(t, pid), false);
	struct hu_lock *lock = NULL;
	struct wait_waker waker = { .tgid = self >> 32, .tid = (__u32)self };
	union regs_copy copy;
	const arch_regs *regs;

	if (hu_cfg.blame)
		track__woken(t, now_ns);
	if (!st)
		return;
	waker.flags = HU_WAIT_WAKER_KNOWN;
	regs = task__regs(&copy);
	/* The idle task has no registers; those of a kernel thread are zero, and no call of ours is. */
	if (waker.tid &&
	    call__wakes(regs, st->wait.call.uaddr, st->wait.call.flags & HU_WAIT_SHARED)) {
		waker.flags |= HU_WAIT_WAKER_FUTEX;
		close_own(waker.tid);
		if (hu_cfg.stacks && st->wait.phase == WAIT_SLEEPING) {
			lock = lock__find(T(t, tgid), wait__word(&st->wait.call));
			show_waker(ctx, &st->wait, T(t, tgid), lock, regs, now_ns);
		}
	} else if (waker.tid && waker.tgid == (__u32)T(t, tgid) && call__is_wake(regs)) {
		/*
		 * A wake call wakes nobody but who sleeps on its word: the waiter was moved there. One that has
		 * not gone to sleep yet may just have begun another wait than the one that is known of it.
		 */
		waker.flags |= HU_WAIT_WAKER_FUTEX;
		if (st->wait.phase == WAIT_SLEEPING)
			waker.flags |= HU_WAIT_REQUEUED;
		close_own(waker.tid);
	}
	if (hu_cfg.blame && (waker.flags & HU_WAIT_WAKER_FUTEX))
		who = track__self();
	if (st->wait.phase == WAIT_SLEEPING) {
		wait__woken(&st->wait, &waker, now_ns);
		if (hu_cfg.blame)
			blame_waking(t, st, lock, who, now_ns);
	} else {
		st->early = waker;
		st->early_who = who;
		st->early_ns = now_ns;
	}
}

static __always_inline void on_leave_alive(void *ctx, struct task_struct *t, const arch_regs *regs,
					   unsigned int state, bool asked, __u64 now_ns)
{
	struct task_id id;

	task__id(t, &id);
	if (asked)
		answer_ask(ctx, t, &id, regs);
	if (state)
		on_sleep(ctx, t, &id, regs, state, now_ns);
}

static __always_inline void on_leave(__u64 *ctx, bool preempt, struct task_struct *prev,
				     __u64 now_ns)
{
	union regs_copy copy;
	const arch_regs *regs;
	unsigned int state = 0;
	__u64 who = 0;
	bool asked;

	/* Not prev->__state where the kernel says: a waker may have changed that already. */
	if (!preempt)
		state = hu_cfg.switch_state ? (unsigned int)ctx[3] : task__state(prev);
	asked = holder__asked(T(prev, pid));
	if (hu_cfg.blame)
		who = track__find(prev);
	/* A thread that was killed in a futex call still has its registers; its sleeps are the kernel's. */
	if ((!state && !asked && !who) || (T(prev, flags) & PF_KTHREAD))
		return;
	regs = task__regs(&copy);
	if (!(T(prev, flags) & PF_EXITING))
		on_leave_alive(ctx, prev, regs, state, asked, now_ns);
	if (who)
		track__leaves(prev, who, regs, state, now_ns);
}

static __always_inline int on_switch(__u64 *ctx, bool preempt, struct task_struct *prev,
				     struct task_struct *next)
{
	__u64 now_ns = bpf_ktime_get_ns();

	on_leave(ctx, preempt, prev, now_ns);
	if (hu_cfg.blame)
		track__runs(next, now_ns);
	on_run(next, now_ns);
	return 0;
}

#endif
