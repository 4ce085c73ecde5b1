/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where is the thread that others wait for? Its stack is taken by us, when it next leaves the CPU (what does it
 * do while it holds the lock?) and when it wakes a waiter (where does it release it?): nothing is stopped. A
 * lock's holder shows itself at most every hu_cfg.holder_every_ns, so the price does not grow with the waits.
 */
#ifndef HOLDUP_BPF_HOLDER_H
#define HOLDUP_BPF_HOLDER_H

#include "bpf/emit.h"
#include "bpf/lock.h"

/* Does current hold the lock at this moment, by the lock's own word? Its words are read anew. */
static __always_inline bool holder__holds(__u64 uaddr, bool in_word, __u32 tid)
{
	__u32 word;

	if (bpf_probe_read_user(&word, sizeof(word), (void *)(uaddr + (in_word ? 0 : 8))))
		return false;
	return (in_word ? word & FUTEX_TID_MASK : word) == tid;
}

static __always_inline __u64 *holder__bits(__u32 tid, __u64 *bit)
{
	__u32 index = (tid >> 6) & (HU_HOLDER_WORDS - 1);

	*bit = 1ULL << (tid & 63);
	return bpf_map_lookup_elem(&hu_holder_bits, &index);
}

/* Somebody waits for this thread: its stack is wanted, unless it was a moment ago. */
static __always_inline void holder__ask(struct hu_lock *lock, const struct wait_call *call,
					__u32 tgid, __u32 owner, __u64 now_ns)
{
	struct hu_holder holder = {
		.uaddr = call->uaddr,
		.tgid = tgid,
		.in_word = owner__in_word(call->op, call->val),
		.shared = call->flags & HU_WAIT_SHARED,
	};
	__u64 bit, *bits;

	if (!owner || now_ns - lock->asked_ns < hu_cfg.holder_every_ns)
		return;
	lock->asked_ns = now_ns;
	if (bpf_map_update_elem(&hu_holders, &owner, &holder, BPF_ANY)) {
		loss__add(HU_LOSS_HOLDER, 1);
		return;
	}
	/* Not atomic, which 5.10 lacks for anything but adding: a lost bit is set by the next to ask. */
	bits = holder__bits(owner, &bit);
	if (bits)
		*bits |= bit;
}

/* Is this thread's stack wanted? The common answer costs one array look-up. */
static __always_inline bool holder__asked(__u32 tid)
{
	__u64 bit, *bits = holder__bits(tid, &bit);

	return bits && (*bits & bit);
}

static __always_inline void holder__send(struct task_struct *t, const struct task_id *id,
					 const struct hu_holder *holder, __u64 stack_id,
					 enum hu_holder_why why)
{
	struct hu_holder_record *rec = NULL;

	/* Like waits, these leave the last of the ring to what can't be had otherwise. */
	if (wait__fits(bpf_ringbuf_query(&hu_ring, BPF_RB_AVAIL_DATA), hu_cfg.ring_sz))
		rec = bpf_ringbuf_reserve(&hu_ring, sizeof(*rec), 0);
	if (!rec) {
		loss__add(HU_LOSS_HOLDER, 1);
		return;
	}
	rec->hdr.kind = HU_REC_HOLDER;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.cpu = bpf_get_smp_processor_id();
	rec->hdr.ts_ns = bpf_ktime_get_ns();
	rec->tgid = id->tgid;
	rec->tid = id->tid;
	rec->proc_start = id->proc_start;
	rec->uaddr = holder->uaddr;
	rec->stack_id = stack_id;
	rec->waiter_tgid = holder->tgid;
	rec->why = why;
	rec->pad = 0;
	bpf_probe_read_kernel(rec->comm, sizeof(rec->comm), t->comm);
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
}

#endif
