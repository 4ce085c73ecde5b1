/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to one thread's wait, as pure functions of a state: no maps, no helpers, so that the
 * unit tests run the very code that the kernel runs.
 *
 *            sleep                 wake                  resume
 *   NONE ------------> SLEEPING ----------> WOKEN ----------------> ENDED
 *                          ^                                          |
 *                          +------- sleep, the same attempt ----------+---- anything else: emit,
 * NONE
 *
 * A wait is one attempt to get something. A woken thread that finds the lock taken again sleeps
 * again within the same wait: that is recognised when it sleeps with the same call from the same
 * place after next to no CPU time, and has woken nobody on that lock meanwhile (it would have, had
 * it held it). So a wait is known to be over only at the thread's next switch-out: it is sent then.
 */
#ifndef HOLDUP_BPF_WAIT_H
#define HOLDUP_BPF_WAIT_H

#include "bpf/abi.h"
#include "bpf/interval.h"

enum wait_phase {
	WAIT_NONE = 0,
	WAIT_SLEEPING,
	WAIT_WOKEN,
	WAIT_ENDED,
};

/* A futex call that is about to sleep. */
struct wait_call {
	__u64 uaddr;
	__u64 ip, sp; /* of the call: with uaddr and op they tell one attempt from another */
	__u32 val;
	__u16 op;    /* enum hu_futex_op */
	__u16 flags; /* enum hu_wait_flag */
};

struct wait_waker {
	__u32 tgid, tid;
	__u16 flags; /* HU_WAIT_WAKER_* */
};

struct wait_state {
	struct wait_call call;
	struct wait_waker waker;
	__u16 phase; /* enum wait_phase */
	__u8 closed; /* the thread has woken somebody on this lock since: it held it */
	__u8 pad;
	__u32 sleeps;
	__u32 depth;
	__u32 word, owner_word; /* when the first sleep began */
	__u32 owner_now;	/* when this one began; 0: not known */
	__u32 pad2;
	struct hu_owner owner[HU_OWNERS];
	__u64 stack_id;
	__u64 start_ns, end_ns;
	__u64 out_ns;  /* this sleep's switch-out */
	__u64 wake_ns; /* this sleep's waking; 0: not seen */
	__u64 blocked_ns, runq_ns;
	__u64 cpu_ns; /* the thread's CPU time at this sleep */
};

/* Is it the same call from the same place of the program, as far as can be seen? */
static inline int wait__same_call(const struct wait_state *w, const struct wait_call *call)
{
	if (w->call.op != call->op || w->call.ip != call->ip || w->call.sp != call->sp)
		return 0;
	/*
	 * A writer of a glibc rwlock waits for two neighbouring words in turn, with values that have
	 * PTHREAD_RWLOCK_FUTEX_USED (2) set and no bit above (nptl/pthread_rwlock_common.c).
	 */
	if (w->call.uaddr != call->uaddr)
		return (w->call.uaddr ^ call->uaddr) == 4 && call->op == HU_OP_WAIT_BITSET &&
		       (call->val | 1) == 3 && (w->call.val | 1) == 3;
	/*
	 * Another value is another state that was seen: the next round of a barrier, the next joined TID; but
	 * locks whose word holds the owner's TID are retried with the next owner's.
	 */
	return w->call.val == call->val || (w->call.val & call->val & HU_FUTEX_WAITERS);
}

/*
 * Would the thread have called the kernel to wake others, had it got the lock and given it up? So do mutexes of
 * glibc (nptl/lowlevellock.h: after a wait the word is 2) and those with FUTEX_WAITERS, even if nobody waits.
 */
static inline int wait__released_by_call(const struct wait_state *w)
{
	return w->call.op == HU_OP_WAIT && (w->call.val == 2 || (w->call.val & HU_FUTEX_WAITERS));
}

/*
 * Does a sleep in `call` after `cpu_ns` of CPU time in all go on with the wait that ended last? Not after
 * a call with a timeout that nobody's wake ended: it timed out, and the attempt with it. wakes_seen: wake calls
 * close a wait even if they wake nobody, so that no CPU time has to tell.
 */
static inline int wait__continues(const struct wait_state *w, const struct wait_call *call,
				  __u64 cpu_ns, __u64 join_cpu_ns, int wakes_seen)
{
	if (w->phase != WAIT_ENDED || w->closed)
		return 0;
	if ((w->call.flags & HU_WAIT_TIMED) && !(w->waker.flags & HU_WAIT_WAKER_FUTEX))
		return 0;
	if (!wait__same_call(w, call))
		return 0;
	return cpu_ns - w->cpu_ns <= join_cpu_ns || (wakes_seen && wait__released_by_call(w));
}

#define PID_MAX_LIMIT  (4 << 20)  /* include/linux/threads.h */
#define FUTEX_TID_MASK 0x3fffffff /* include/uapi/linux/futex.h */

/*
 * musl's normal mutexes hold EBUSY (16) while they are locked, which is nobody's TID (src/thread/pthread_mutex_lock.c);
 * with its waiters' bit that is the value that they wait for (src/thread/pthread_mutex_timedlock.c).
 */
#define MUSL_LOCKED_WAITERS (HU_FUTEX_WAITERS | 16)

/* Does the futex word itself hold its owner's TID? PI futexes do, and robust ones (glibc, musl). */
static inline int owner__in_word(__u16 op, __u32 val)
{
	return op == HU_OP_LOCK_PI || op == HU_OP_LOCK_PI2 ||
	       ((op == HU_OP_WAIT || op == HU_OP_WAIT_BITSET) && (val & HU_FUTEX_WAITERS) &&
		val != MUSL_LOCKED_WAITERS);
}

/* Does a word beside it? glibc's mutex is waited for by FUTEX_WAIT with value 2, or by the latter if timed. */
static inline int owner__beside_word(__u16 op, __u32 val)
{
	return (op == HU_OP_WAIT || op == HU_OP_WAIT_BITSET) && val == 2;
}

/* The owner that the lock's own word names, as far as the call tells that it has one; 0: none. */
static inline __u32 owner__of(__u16 op, __u32 val, __u32 word, __u32 owner_word)
{
	__u32 tid = 0;

	if (owner__in_word(op, val))
		tid = word & FUTEX_TID_MASK;
	else if (owner__beside_word(op, val))
		tid = owner_word;
	return tid < PID_MAX_LIMIT ? tid : 0;
}

/*
 * The word by which a lock is known. Waiters of one glibc condition variable sleep on two neighbouring words in turn
 * (__g_signals[2], sysdeps/nptl/bits/thread-shared-types.h), by FUTEX_WAIT_BITSET as all its waits with a clock;
 * what its mutexes wait for that way has the value 2, or a TID.
 */
static inline __u64 wait__word(const struct wait_call *call)
{
	int pair = call->op == HU_OP_WAIT_BITSET && call->val != 2 &&
		   !(call->val & HU_FUTEX_WAITERS);

	return pair ? call->uaddr & ~4ULL : call->uaddr;
}

static inline void wait__sleep(struct wait_state *w, __u64 now_ns, __u64 cpu_ns)
{
	w->out_ns = now_ns;
	w->cpu_ns = cpu_ns;
	w->wake_ns = 0;
	w->waker.tgid = 0;
	w->waker.tid = 0;
	w->waker.flags = 0;
	w->owner_now = 0;
	w->sleeps++;
	/* Last, for the compiler as well: from here on a waker on another CPU may write. */
	__asm__ volatile("" ::: "memory");
	w->phase = WAIT_SLEEPING;
}

static inline void wait__begin(struct wait_state *w, const struct wait_call *call, __u64 now_ns,
			       __u64 cpu_ns)
{
	w->call = *call;
	w->closed = 0;
	w->sleeps = 0;
	w->depth = 0;
	w->word = 0;
	w->owner_word = 0;
	for (int i = 0; i < HU_OWNERS; i++)
		w->owner[i] = (struct hu_owner){ 0 };
	w->stack_id = 0;
	w->start_ns = now_ns;
	w->end_ns = 0;
	w->blocked_ns = 0;
	w->runq_ns = 0;
	wait__sleep(w, now_ns, cpu_ns);
}

static inline void wait__woken(struct wait_state *w, const struct wait_waker *waker, __u64 now_ns)
{
	if (w->phase != WAIT_SLEEPING)
		return;
	w->phase = WAIT_WOKEN;
	w->wake_ns = now_ns;
	w->waker = *waker;
}

/* Adds a sleep to what its owner is accountable for. */
static inline void wait__charge(struct wait_state *w, __u64 ns)
{
	if (!w->owner_now)
		return;
	for (int i = 0; i < HU_OWNERS; i++) {
		struct hu_owner *o = &w->owner[i];

		if (o->sleeps && o->word != w->owner_now && i < HU_OWNERS - 1)
			continue;
		if (!o->sleeps)
			o->word = w->owner_now;
		else if (o->word != w->owner_now)
			o->word = 0; /* several */
		o->sleeps++;
		o->ns += ns;
		return;
	}
}

/* The thread runs on. A waking that was not seen leaves the whole sleep as blocked time. */
static inline void wait__resume(struct wait_state *w, __u64 now_ns, __u64 cpu_ns)
{
	__u64 blocked_ns, runq_ns;

	interval__divide(w->out_ns, w->wake_ns, now_ns, &blocked_ns, &runq_ns);
	w->blocked_ns += blocked_ns;
	w->runq_ns += runq_ns;
	wait__charge(w, blocked_ns + runq_ns);
	w->end_ns = w->out_ns + blocked_ns + runq_ns;
	w->cpu_ns = cpu_ns;
	w->phase = WAIT_ENDED;
}

/* The thread is seen running though its switch-in was not: see interval__resumed(). */
static inline void wait__resume_late(struct wait_state *w, __u64 now_ns, __u64 cpu_ns)
{
	wait__resume(w, interval__resumed(w->out_ns, w->wake_ns, now_ns, cpu_ns - w->cpu_ns),
		     w->cpu_ns);
}

static inline int wait__asleep(const struct wait_state *w)
{
	return w->phase == WAIT_SLEEPING || w->phase == WAIT_WOKEN;
}

/* Was it woken by a thread that lets go of what it waits for, as far as can be told? */
static inline int wait__handed_over(const struct wait_state *w)
{
	return (w->waker.flags & (HU_WAIT_WAKER_FUTEX | HU_WAIT_REQUEUED)) == HU_WAIT_WAKER_FUTEX;
}

/* The times so far of a wait that goes on at now_ns, without changing it. */
static inline void wait__so_far(const struct wait_state *w, __u64 now_ns, __u64 *blocked_ns,
				__u64 *runq_ns)
{
	__u64 since = now_ns > w->out_ns ? now_ns - w->out_ns : 0;
	__u64 runq = w->phase == WAIT_WOKEN && now_ns > w->wake_ns ? now_ns - w->wake_ns : 0;

	*blocked_ns = w->blocked_ns;
	*runq_ns = w->runq_ns;
	if (wait__asleep(w)) {
		if (runq > since)
			runq = since;
		*blocked_ns += since - runq;
		*runq_ns += runq;
	}
}

/* Fills all of the record that the state knows; the caller adds who it is. */
static inline void wait__record(const struct wait_state *w, struct hu_wait_record *rec)
{
	rec->uaddr = w->call.uaddr;
	rec->stack_id = w->stack_id;
	rec->start_ns = w->start_ns;
	rec->end_ns = w->end_ns;
	rec->blocked_ns = w->blocked_ns;
	rec->runq_ns = w->runq_ns;
	rec->sleeps = w->sleeps;
	rec->depth = w->depth;
	rec->val = w->call.val;
	rec->owner_word = w->owner_word;
	rec->word = w->word;
	for (int i = 0; i < HU_OWNERS; i++)
		rec->owner[i] = w->owner[i];
	rec->waker_tgid = w->waker.tgid;
	rec->waker_tid = w->waker.tid;
	rec->op = w->call.op;
	rec->flags = w->call.flags | w->waker.flags;
}

/* Room in the ring: waits leave the last eighth to records that can't be summed. */
static inline int wait__fits(__u64 unread_sz, __u64 ring_sz)
{
	return unread_sz + sizeof(struct hu_wait_record) <= ring_sz - ring_sz / 8;
}

/* The loader is woken once when the ring passes a quarter, not by each record. */
static inline int wait__wakes_loader(__u64 unread_sz, __u64 ring_sz)
{
	return unread_sz < ring_sz / 4 &&
	       unread_sz + sizeof(struct hu_wait_record) + 8 >= ring_sz / 4;
}

#endif
