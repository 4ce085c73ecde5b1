/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many threads wait for each futex word at this moment. */
#ifndef HOLDUP_BPF_LOCK_H
#define HOLDUP_BPF_LOCK_H

#include "bpf/maps.h"

static const struct hu_lock lock_zero; /* too large for a program's stack */

/* The entry of this word; NULL: the table is full. */
static __always_inline struct hu_lock *lock__get(__u32 tgid, __u64 uaddr)
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
	return lock;
}

/* The entry that there is. */
static __always_inline struct hu_lock *lock__find(__u32 tgid, __u64 uaddr)
{
	struct hu_lock_key key = { .uaddr = uaddr, .tgid = tgid };

	return bpf_map_lookup_elem(&hu_locks, &key);
}

/* One more waits for it, or (-1) one less. Not fetch-and-add, which 5.10 lacks. */
static __always_inline void lock__count(struct hu_lock *lock, __s32 n)
{
	__sync_fetch_and_add(&lock->blame.waiters, n);
}

/* For a thread that runs: ends the sleep that it must have woken from. */
static __always_inline void end_unseen_sleep(struct thread_state *st, __u32 tgid, __u64 now_ns,
					     __u64 cpu_ns)
{
	struct hu_lock *lock;

	if (!wait__asleep(&st->wait))
		return;
	wait__resume_late(&st->wait, now_ns, cpu_ns);
	lock = lock__find(tgid, wait__word(&st->wait.call));
	if (lock)
		lock__count(lock, -1);
	loss__add(HU_LOSS_INFERRED, 1);
}

#endif
