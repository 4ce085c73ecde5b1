/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many threads wait for each futex word at this moment. */
#ifndef HOLDUP_BPF_LOCK_H
#define HOLDUP_BPF_LOCK_H

#include "bpf/maps.h"

static const struct hu_lock lock_zero; /* too large for a program's stack */

/* The caller waits for this word from here on; NULL: the table is full. */
static __always_inline struct hu_lock *lock__enter(__u32 tgid, __u64 uaddr)
{
	struct hu_lock_key key = { .uaddr = uaddr, .tgid = tgid };
	struct hu_lock *lock = bpf_map_lookup_elem(&hu_locks, &key);

	if (!lock) {
		bpf_map_update_elem(&hu_locks, &key, &lock_zero, BPF_NOEXIST);
		lock = bpf_map_lookup_elem(&hu_locks, &key);
		if (!lock) {
			loss__add(HU_LOSS_LOCK_FULL, 1);
			return NULL;
		}
		if (!lock->born_ns)
			lock->born_ns = bpf_ktime_get_ns();
	}
	/* Not fetch-and-add, which 5.10 lacks: what others add meanwhile has been true as well. */
	__sync_fetch_and_add(&lock->waiters, 1);
	return lock;
}

/* slept: nobody was seen to wake the caller, which blame takes for asleep until then (bpf/blame.h). */
static __always_inline struct hu_lock *lock__leave(__u32 tgid, __u64 uaddr, bool slept)
{
	struct hu_lock_key key = { .uaddr = uaddr, .tgid = tgid };
	struct hu_lock *lock = bpf_map_lookup_elem(&hu_locks, &key);

	if (!lock)
		return NULL;
	__sync_fetch_and_add(&lock->waiters, -1);
	if (slept && hu_cfg.blame)
		__sync_fetch_and_add(&lock->blame.sleeping, -1);
	return lock;
}

/* For a thread that runs: ends the sleep that it must have woken from. */
static __always_inline void end_unseen_sleep(struct thread_state *st, __u32 tgid, __u64 now_ns,
					     __u64 cpu_ns)
{
	bool slept;

	if (!wait__asleep(&st->wait))
		return;
	slept = st->wait.phase == WAIT_SLEEPING;
	wait__resume_late(&st->wait, now_ns, cpu_ns);
	lock__leave(tgid, st->wait.call.uaddr, slept);
	loss__add(HU_LOSS_INFERRED, 1);
}

#endif
