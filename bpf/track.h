/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Threads that hold what others wait for are followed: whenever one of them leaves the CPU, is woken or runs on, each
 * lock that it is known to hold is charged with what it did (bpf/blame.h) and told what it does now.
 *
 * The words of locks name their owners by the TIDs of the target's PID namespace. So that is how threads are called
 * here: the inode number of their innermost namespace in the upper half (0: the machine's own) and their TID there.
 * All other threads of the machine pay for one look into an array at each switch.
 *
 * For kernels with bpf_loop() (5.17) only: those have atomic exchanges (5.12) and other threads' registers (5.15).
 */
#ifndef HOLDUP_BPF_TRACK_H
#define HOLDUP_BPF_TRACK_H

#include "bpf/lock.h"

#ifdef HU_UNWIND

#include "bpf/blame.h"
#include "bpf/interval.h"
#include "bpf/reason.h"

#define TASK_DEAD_BIT	 0x80 /* include/linux/sched.h */
#define TRACK_IDLE_MAX	 64   /* switches without a lock: then it is followed no more */
#define TRACK_MAY_READ	 1    /* the thread is current: its memory can be read */
#define TRACK_ENDS	 2
#define TRACK_TGID_SHIFT 8 /* above that: its process */

static __always_inline __u32 *track__count(__u32 index)
{
	return bpf_map_lookup_elem(&hu_track_counts, &index);
}

/* A thread in a PID namespace of its own. */
static __always_inline __u64 track__inner(struct pid *pid, __u32 level)
{
	struct upid up = {};
	__u32 inum;

	/* MAX_PID_NS_LEVEL is 32, include/linux/pid_namespace.h */
	bpf_probe_read_kernel(&up, sizeof(up),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      (level & 63) * sizeof(up));
	inum = BPF_CORE_READ(up.ns, ns.inum);
	return (__u64)inum << 32 | (__u32)up.nr;
}

static __always_inline __u64 track__who(struct task_struct *t)
{
	struct pid *pid = t->thread_pid;
	__u32 level = pid->level;

	return level ? track__inner(pid, level) : (__u32)t->pid;
}

/* Who is it, if it is followed? 0: it is not. */
static __always_inline __u64 track__find(struct task_struct *t)
{
	__u32 *cnt = track__count((__u32)t->pid & (HU_TRACK_COUNTS - 1));
	__u32 *inner;

	if (cnt && *cnt)
		return track__who(t);
	inner = track__count(HU_TRACK_INNER);
	return inner && *inner ? track__who(t) : 0;
}

static __always_inline void track__add(__u64 who, __s32 n)
{
	__u32 *cnt = track__count((__u32)who & (HU_TRACK_COUNTS - 1));

	if (cnt)
		__sync_fetch_and_add(cnt, n);
	if (who >> 32 && (cnt = track__count(HU_TRACK_INNER)))
		__sync_fetch_and_add(cnt, n);
}

static const struct hu_tracked tracked_zero;

static __always_inline struct hu_tracked *track__get(__u64 who, __u64 now_ns)
{
	struct hu_tracked *e = bpf_map_lookup_elem(&hu_tracked, &who);

	if (e)
		return e;
	/* First the count: from then on its switches are seen. */
	track__add(who, 1);
	if (bpf_map_update_elem(&hu_tracked, &who, &tracked_zero, BPF_NOEXIST))
		track__add(who, -1);
	e = bpf_map_lookup_elem(&hu_tracked, &who);
	if (e)
		e->seen_ns = now_ns;
	return e;
}

/* Notes that it holds this lock; false: it holds too many. */
static __always_inline bool tracked__note(struct hu_tracked *e, __u32 tgid, __u64 uaddr)
{
	for (int i = 0; i < HU_TRACKED_LOCKS; i++)
		if (e->lock[i].uaddr == uaddr && e->lock[i].tgid == tgid)
			return true;
	for (int i = 0; i < HU_TRACKED_LOCKS; i++)
		if (!__sync_val_compare_and_swap(&e->lock[i].uaddr, 0, uaddr)) {
			e->lock[i].tgid = tgid;
			return true;
		}
	return false;
}

/*
 * From now on `who` holds the lock; tgid_sure: the waiters' process, and 1 in the upper half if the lock's word says
 * so; is: what it does, 0: what is known of it. The order matters: either this sees what a switch on another CPU
 * changes meanwhile, or that one sees the lock.
 */
BLAME_GLOBAL track__hold(struct hu_lock *lock, __u64 who, __u64 uaddr, __u64 tgid_sure, __u64 is)
{
	struct hu_blame *b;
	struct hu_tracked *e;
	__u64 now;

	if (!lock)
		return 0;
	b = &lock->blame;
	e = track__get(who, b->since_ns);
	if (!e || !tracked__note(e, (__u32)tgid_sure, uaddr)) {
		loss__add(HU_LOSS_TRACK_FULL, 1);
		blame__nobody(b);
		return 0;
	}
	e->idle = 0;
	if (is)
		e->now = is;
	now = e->now;
	blame__hold(b, who, tgid_sure >> 32, now);
	if (e->now) /* it may have changed meanwhile */
		b->now = e->now;
	return 0;
}

/* Does current hold this lock, which it has let go of, again? */
static __always_inline bool track__has_again(const struct hu_lock *lock,
					     const struct hu_lock_key *key, __u64 who)
{
	const struct hu_blame *b = &lock->blame;
	__u8 where = b->owner_word & ~HU_OWNER_SHARED;
	bool in_word = where == HU_OWNER_IN_WORD;
	__u32 word;

	if (!where || b->waiters <= 0 || !blame__believes_word(b) ||
	    key->tgid != (__u32)(bpf_get_current_pid_tgid() >> 32) ||
	    bpf_probe_read_user(&word, sizeof(word), (void *)(key->uaddr + (in_word ? 0 : 8))))
		return false;
	return (in_word ? word & FUTEX_TID_MASK : word) == (__u32)who;
}

/* A thread did `was` until now, in case that is not known, and does `is` from now on. */
struct track_step {
	__u64 who, was, is;
	__u64 now_ns, cpu_ns;
	__u64 resumed_ns; /* since when it runs, if that was not seen; 0: it was */
	__u32 how;
	__u32 pad;
};

/*
 * It leaves the CPU, or calls the kernel, and is believed to have none: its switch-in was not seen (see
 * interval__resumed()), or what the snapshot at the start had to say came too late.
 */
static __always_inline __u64 step__resumed(const struct track_step *s, const struct hu_tracked *e)
{
	if (s->was != REASON_RUNNING || e->now == REASON_RUNNING || !e->now || !e->cpu_ns)
		return 0;
	return interval__resumed(e->seen_ns, 0, s->now_ns, s->cpu_ns - e->cpu_ns);
}

/* One lock of a thread that changes; false: it is not the thread's any more. */
static __always_inline bool track__change(struct hu_tracked *e, const struct hu_lock_key *key,
					  const struct track_step *s)
{
	__u64 who = s->who, now_ns = s->now_ns;
	__u32 how = s->how;
	struct hu_lock *lock = bpf_map_lookup_elem(&hu_locks, key);
	struct hu_blame *b;

	if (!lock)
		return false;
	b = &lock->blame;
	if (!b->holder && e->claims && b->now == REASON_PENDING) {
		b->holder = who;
		b->sure = 1;
	}
	/* A word that only looks like an owner's may name anybody. */
	if (!(b->owner_word & HU_OWNER_SHARED) && key->tgid != how >> TRACK_TGID_SHIFT) {
		if (b->holder == who)
			blame__nobody(b);
		return false;
	}
	if (b->holder != who) {
		if (!(how & TRACK_MAY_READ))
			return false;
		if (!track__has_again(lock, key, who)) {
			if (b->last == who)
				b->left = 1;
			return false;
		}
		blame__accrue(b, now_ns);
		blame__hold(b, who, 1, s->is);
		return true;
	}
	/* What is charged already stays so. */
	if (s->resumed_ns)
		blame__change(b, REASON_UNKNOWN, REASON_RUNNING,
			      s->resumed_ns > b->since_ns ? s->resumed_ns : b->since_ns);
	blame__change(b, s->was, s->is, now_ns);
	if (how & TRACK_ENDS)
		blame__nobody(b);
	return true;
}

BLAME_GLOBAL track__event(struct track_step *s)
{
	struct hu_lock_key key = {};
	struct hu_tracked *e;
	bool holds = false;
	__u64 who;

	if (!s)
		return 0;
	who = s->who;
	e = bpf_map_lookup_elem(&hu_tracked, &who);
	if (!e)
		return 0;
	s->resumed_ns = step__resumed(s, e);
	if (s->resumed_ns)
		loss__add(HU_LOSS_INFERRED, 1);
	blame__swap(&e->now, s->is);
	e->seen_ns = s->now_ns;
	e->cpu_ns = s->cpu_ns;
	for (int i = 0; i < HU_TRACKED_LOCKS; i++) {
		key.uaddr = e->lock[i].uaddr;
		key.tgid = e->lock[i].tgid;
		if (!key.uaddr || !key.tgid)
			continue;
		if (track__change(e, &key, s)) {
			holds = true;
			continue;
		}
		e->lock[i].tgid = 0;
		e->lock[i].uaddr = 0;
	}
	e->claims = 0;
	if (holds && !(s->how & TRACK_ENDS)) {
		e->idle = 0;
	} else if (++e->idle > TRACK_IDLE_MAX || (s->how & TRACK_ENDS)) {
		if (!bpf_map_delete_elem(&hu_tracked, &who))
			track__add(who, -1);
	}
	return 0;
}

static __always_inline int track__step(struct task_struct *t, __u64 who, __u64 was, __u64 is,
				       __u64 now_ns, __u32 how)
{
	struct track_step s = {
		.who = who,
		.was = was,
		.is = is,
		.now_ns = now_ns,
		.cpu_ns = task__cpu_ns(t),
		.how = (__u32)T(t, tgid) << TRACK_TGID_SHIFT | how,
	};

	return track__event(&s);
}

/* Current leaves the CPU. */
static __always_inline void track__leaves(struct task_struct *t, __u64 who, const arch_regs *regs,
					  unsigned int state, __u64 now_ns)
{
	__u32 how = 0;
	__u64 is;

	if (state & TASK_DEAD_BIT)
		how = TRACK_ENDS;
	else if (!(T(t, flags) & PF_EXITING))
		how = TRACK_MAY_READ;
	/* Its waking may have been traced before (see wait__adopt_early() in bpf/sched.h). */
	is = task__state(t) == TASK_WAKING ? REASON_RUNNABLE : reason__of(t, regs, state);
	track__step(t, who, REASON_RUNNING, is, now_ns, how);
}

/*
 * A thread is woken. It need not have slept: one that had only just decided to, when what it wanted came true, goes on
 * without leaving the CPU, and no switch will tell that it runs.
 */
static __always_inline void track__woken(struct task_struct *t, __u64 now_ns)
{
	__u64 who = track__find(t);
	const struct hu_tracked *e;
	const arch_regs *regs;

	if (!who)
		return;
	e = bpf_map_lookup_elem(&hu_tracked, &who);
	if (!e || e->now == REASON_RUNNING || (!e->now && BPF_CORE_READ_BITFIELD_PROBED(t, on_cpu)))
		return;
	regs = (const arch_regs *)bpf_task_pt_regs(t);
	track__step(t, who, reason__of(t, regs, task__state(t)), REASON_RUNNABLE, now_ns, 0);
}

static __always_inline void track__runs(struct task_struct *t, __u64 now_ns)
{
	__u64 who = track__find(t);

	if (who)
		track__step(t, who, REASON_RUNNABLE, REASON_RUNNING, now_ns, 0);
}

/*
 * Can a thread that sleeps for it again not have had it in between? So it is with words of which a release by a
 * thread that has waited always makes a call: that would have closed the wait (see wait__released_by_call()).
 */
static __always_inline bool call__retries(const struct wait_call *call)
{
	return call->val == 2 || (call->val & HU_FUTEX_WAITERS);
}

/* t goes to sleep for a lock, for the first time in this attempt or again; owner: by its word, 0: not known. */
static __always_inline void track__sleeps(struct hu_lock *lock, struct task_struct *t, __u32 tgid,
					  const struct wait_call *call, __u32 owner, bool first,
					  __u64 now_ns)
{
	struct hu_blame *b = &lock->blame;
	bool sure = owner && blame__believes_word(b);
	__u64 self = track__who(t), who = 0;

	blame__accrue(b, now_ns);
	b->owner_word = (owner__in_word(call->op, call->val)	   ? HU_OWNER_IN_WORD
			 : owner__beside_word(call->op, call->val) ? HU_OWNER_BESIDE
								   : HU_OWNER_NONE) |
			(call->flags & HU_WAIT_SHARED ? HU_OWNER_SHARED : 0);
	if (sure) {
		who = (self & ~0ULL << 32) | owner;
	} else if (b->holder == self) {
		/* Another one has taken it before self could: most likely who let go of it. */
		if (!first && b->last != self && call__retries(call))
			who = b->last;
		blame__nobody(b);
	} else if (b->waiters <= 0 && b->holder) {
		if (b->sure) /* nothing was heard of it since the last waiter */
			blame__nobody(b);
		else
			who = b->holder;
	}
	if (who && (b->holder != who || b->now == REASON_PENDING))
		track__hold(lock, who, wait__word(call), (__u64)sure << 32 | tgid, 0);
	else if (who && sure && !b->sure)
		blame__hold(b, who, 1, 0);
}

static __always_inline void track__accrues(struct hu_lock *lock, __u64 now_ns)
{
	blame__accrue(&lock->blame, now_ns);
}

static __always_inline __u64 track__self(void)
{
	return track__who(bpf_get_current_task_btf());
}

/* A sleeper is woken by `waker` (0: not known), who lets go of the lock. */
static __always_inline void track__releases(struct hu_lock *lock, __u64 waker, __u64 now_ns)
{
	struct hu_blame *b = &lock->blame;

	/* It runs, but for wakings that were traced earlier. */
	if (waker && b->holder == waker && b->now != REASON_RUNNING && b->now != REASON_PENDING &&
	    track__self() == waker)
		track__step(bpf_get_current_task_btf(), waker, REASON_RUNNING, REASON_RUNNING,
			    now_ns, 0);
	blame__release(b, waker, now_ns);
}

/* t, which was woken for the lock, runs on: if nobody else has taken it, it has. */
static __always_inline void track__takes(struct hu_lock *lock, struct task_struct *t, __u32 tgid,
					 __u64 uaddr)
{
	struct hu_blame *b = &lock->blame;

	if (!blame__in_transit(b))
		return;
	if (b->waiters > 0) {
		track__hold(lock, track__who(t), uaddr, tgid, REASON_RUNNING);
	} else {
		/* Followed only if somebody comes to wait for it. */
		blame__hold(b, track__who(t), 0, 0);
	}
}

#else /* never called: hu_cfg.blame is 0 */

static __always_inline __u64 track__find(struct task_struct *t)
{
	return 0;
}

static __always_inline __u64 track__self(void)
{
	return 0;
}

static __always_inline void track__leaves(struct task_struct *t, __u64 who, const arch_regs *regs,
					  unsigned int state, __u64 now_ns)
{
}

static __always_inline void track__woken(struct task_struct *t, __u64 now_ns)
{
}

static __always_inline void track__runs(struct task_struct *t, __u64 now_ns)
{
}

static __always_inline void track__sleeps(struct hu_lock *lock, struct task_struct *t, __u32 tgid,
					  const struct wait_call *call, __u32 owner, bool first,
					  __u64 now_ns)
{
}

static __always_inline void track__accrues(struct hu_lock *lock, __u64 now_ns)
{
}

static __always_inline void track__releases(struct hu_lock *lock, __u64 waker, __u64 now_ns)
{
}

static __always_inline void track__takes(struct hu_lock *lock, struct task_struct *t, __u32 tgid,
					 __u64 uaddr)
{
}

#endif

#endif
