/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a thread holds: holds that end are added up, and the orders in which locks are taken noted. */
#ifndef HOLDUP_BPF_HOLD_SLOTS_H
#define HOLDUP_BPF_HOLD_SLOTS_H

#include "bpf/hold.h"
#include "bpf/task.h"

/* One operation on a lock. */
struct op {
	void *ctx;
	struct hold_thread *h;
	struct task_id id;
	__u64 now_ns;
	__u64 lock;
	__u64 site;
	__u32 cookie;
	__u32 mode;
	__u16 flags; /* enum slot_flag */
	bool stepped;
};

static const struct hu_hold hold_zero;
static const struct hu_edge edge_zero;

static __always_inline __u64 lock_hash(__u64 lock, __u32 mode)
{
	__u64 hash = (lock + (mode == HU_HOLD_READ)) * 0x9e3779b97f4a7c15ULL;

	return mode == HU_HOLD_SEM ? 0 : hash ^ hash >> 29;
}

/*
 * The slot of this lock, below 0: none. By way of the thread's state, whose contents the verifier does not follow: it
 * would look at all that comes for each slot.
 */
static __always_inline int find_slot(struct hold_thread *h, __u64 lock)
{
	volatile __s32 *found = &h->found;

	*found = -1;
	for (__s32 i = HU_HOLD_SLOTS - 1; i >= 0; i--)
		if ((__u32)i < h->cnt && h->slot[i].lock == lock)
			*found = i;
	return *found;
}

static __always_inline struct hold_slot *slot_at(struct hold_thread *h, __u32 i)
{
	return &h->slot[i & (HU_HOLD_SLOTS - 1)];
}

static __always_inline struct hu_hold *hold__of(const struct op *op, __u64 lock, __u64 site,
						__u32 mode)
{
	struct hu_hold_key key = {
		.proc_start = op->id.proc_start,
		.lock = lock,
		.site = site,
		.tgid = op->id.tgid,
		.mode = mode,
	};
	struct hu_hold *hold = bpf_map_lookup_elem(&hu_holds, &key);

	if (hold)
		return hold;
	bpf_map_update_elem(&hu_holds, &key, &hold_zero, BPF_NOEXIST);
	hold = bpf_map_lookup_elem(&hu_holds, &key);
	if (!hold)
		hold__count(HU_HOLD_SITES_FULL, 1);
	return hold;
}

static __always_inline void note_longest(struct hu_hold *hold, const struct op *op,
					 const struct hold_slot *slot, __u64 ns)
{
	struct hu_longest *l = &hold->longest;

	if (ns <= l->ns)
		return;
	/* Of an exclusive lock this is written with that lock held. */
	if (__sync_lock_test_and_set(&hold->busy, 1)) {
		hold__count(HU_HOLD_LONGEST_BUSY, 1);
		return;
	}
	if (ns > l->ns) {
		l->ns = ns;
		l->end_ns = op->now_ns;
		l->off_ns = slot->off_ns;
		l->worst_ns = slot->worst_ns;
		l->worst_reason = slot->worst_reason;
		l->tid = op->id.tid;
	}
	__sync_lock_test_and_set(&hold->busy, 0);
}

/* A hold ends; released: its thread gives the lock up. */
static __always_inline void add_hold(const struct op *op, const struct hold_slot *slot,
				     bool released)
{
	struct hu_hold *hold = hold__of(op, slot->lock, slot->site, slot->mode);
	__u64 ns = op->now_ns > slot->since_ns ? op->now_ns - slot->since_ns : 0;

	if (!hold)
		return;
	if (!released) {
		__sync_fetch_and_add(&hold->unreleased, 1);
		return;
	}
	__sync_fetch_and_add(&hold->cnt, 1);
	__sync_fetch_and_add(&hold->ns, ns);
	if (slot->flags & SLOT_CONTENDED)
		__sync_fetch_and_add(&hold->contended, 1);
	if (slot->flags & SLOT_TRIED)
		__sync_fetch_and_add(&hold->tried, 1);
	if (slot->flags & SLOT_AFTER_WAIT)
		__sync_fetch_and_add(&hold->after_wait, 1);
	if (slot->off_ns)
		__sync_fetch_and_add(&hold->off_ns, slot->off_ns);
	__sync_fetch_and_add(&hold->hist[hold__bucket(ns) & (HU_HOLD_BUCKETS - 1)], 1);
	note_longest(hold, op, slot, ns);
}

static __always_inline void end_hold(const struct op *op, __u32 i, bool released)
{
	struct hold_thread *h = op->h;
	struct hold_slot *slot = slot_at(h, i);

	add_hold(op, slot, released);
	h->held_hash ^= lock_hash(slot->lock, slot->mode);
	h->pending = 0;
	h->cnt--;
	if (i != h->cnt)
		*slot = *slot_at(h, h->cnt);
}

/* ---- lock order */

struct edge_loop {
	const struct op *op;
	struct hold_thread *h;
};

/* The locks held beside the first, into the map's own memory: on the stack the verifier would follow each of them. */
static __always_inline void fill_gates(struct hu_edge *edge, const struct hold_thread *h,
				       __u32 first)
{
	volatile __u16 *cnt = &edge->gate_cnt;

	for (__u32 i = 0; i < HU_HOLD_SLOTS; i++) {
		const struct hold_slot *slot = &h->slot[i];
		__u32 n = *cnt;

		if (i >= h->cnt)
			break;
		if (i == first || slot->mode == HU_HOLD_SEM || n >= HU_HOLD_SLOTS - 1)
			continue;
		edge->gate[n] = slot->lock | (slot->mode == HU_HOLD_READ ? HU_GATE_SHARED : 0);
		*cnt = n + 1;
	}
}

static __always_inline struct hu_edge *edge__of(const struct op *op, const struct hu_edge_key *key,
						const struct hold_thread *h, __u32 first)
{
	struct hu_edge *edge = bpf_map_lookup_elem(&hu_edges, key);
	bool made;

	if (edge)
		return edge;
	made = !bpf_map_update_elem(&hu_edges, key, &edge_zero, BPF_NOEXIST);
	edge = bpf_map_lookup_elem(&hu_edges, key);
	if (edge && made) {
		edge->tid = op->id.tid;
		fill_gates(edge, h, first);
	}
	return edge;
}

/* Lock i is held, and op asks for another; a bpf_loop() callback. */
static long edge_step(__u32 i, void *ctx)
{
	struct edge_loop *loop = ctx;
	const struct op *op = loop->op;
	struct hold_thread *h = loop->h;
	struct hold_slot *slot = slot_at(h, i);
	struct hu_edge_key key = {
		.proc_start = op->id.proc_start,
		.first = slot->lock,
		.second = op->lock,
		.first_site = slot->site,
		.second_site = op->site,
		.tgid = op->id.tgid,
		.first_mode = slot->mode,
		.second_mode = op->mode,
	};
	struct hu_edge *edge;

	if (slot->mode == HU_HOLD_SEM)
		return 0;
	key.gates = h->held_hash ^ lock_hash(slot->lock, slot->mode);
	edge = edge__of(op, &key, h, i);
	if (!edge) {
		hold__count(HU_HOLD_EDGES_FULL, 1);
		return 0;
	}
	__sync_fetch_and_add(&edge->cnt, 1);
	if (edge->tid != op->id.tid)
		edge->several = 1;
	return 0;
}

static __always_inline void note_order(const struct op *op)
{
	struct edge_loop loop = { .op = op, .h = op->h };

	if (op->h->cnt && op->mode != HU_HOLD_SEM)
		bpf_loop(op->h->cnt, edge_step, &loop, 0);
}

#endif
