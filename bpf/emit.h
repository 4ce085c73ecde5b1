/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ways out of the kernel: records into the ring, or, when it is nearly full, sums. A wait leaves by
 * exactly one of: a record (HU_LOSS_EVENTS counts them), a sum (SUMMARIZED), or the two counters of
 * what found no room in the sums either (SUM_FULL). So the total is always exact.
 */
#ifndef HOLDUP_BPF_EMIT_H
#define HOLDUP_BPF_EMIT_H

#include "bpf/maps.h"
#include "bpf/task.h"

static __always_inline void emit__sum(const struct wait_state *w, const struct task_id *id)
{
	__u64 ns = w->blocked_ns + w->runq_ns;
	struct hu_sum_key key = {
		.proc_start = id->proc_start,
		.uaddr = w->call.uaddr,
		.tgid = id->tgid,
		.cpu = bpf_get_smp_processor_id(),
		.op = w->call.op,
		.flags = w->call.flags & (HU_WAIT_SHARED | HU_WAIT_COMPAT),
	};
	struct hu_sum fresh = {
		.waits = 1,
		.sleeps = w->sleeps,
		.blocked_ns = w->blocked_ns,
		.runq_ns = w->runq_ns,
		.max_ns = ns,
		.stack_id = w->stack_id,
	};
	struct hu_sum *sum = bpf_map_lookup_elem(&hu_sums, &key);

	if (sum) {
		sum->waits++;
		sum->sleeps += w->sleeps;
		sum->blocked_ns += w->blocked_ns;
		sum->runq_ns += w->runq_ns;
		if (ns > sum->max_ns) {
			sum->max_ns = ns;
			sum->stack_id = w->stack_id;
		}
	} else if (bpf_map_update_elem(&hu_sums, &key, &fresh, BPF_NOEXIST)) {
		loss__add(HU_LOSS_SUM_FULL, 1);
		loss__add(HU_LOSS_SUM_FULL_NS, ns);
		return;
	}
	loss__add(HU_LOSS_SUMMARIZED, 1);
	loss__add(HU_LOSS_SUMMARIZED_NS, ns);
}

/* Sends the ended wait of thread t. Called with interrupts or at least preemption off. */
static __always_inline void emit__wait(struct task_struct *t, const struct task_id *id,
				       const struct wait_state *w)
{
	__u64 unread_sz = bpf_ringbuf_query(&hu_ring, BPF_RB_AVAIL_DATA);
	struct hu_wait_record *rec = NULL;

	if (wait__fits(unread_sz, hu_cfg.ring_sz))
		rec = bpf_ringbuf_reserve(&hu_ring, sizeof(*rec), 0);
	if (!rec) {
		emit__sum(w, id);
		return;
	}
	rec->hdr.kind = HU_REC_WAIT;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.cpu = bpf_get_smp_processor_id();
	rec->hdr.ts_ns = w->end_ns;
	rec->tgid = id->tgid;
	rec->tid = id->tid;
	rec->proc_start = id->proc_start;
	wait__record(w, rec);
	bpf_probe_read_kernel(rec->comm, sizeof(rec->comm), t->comm);
	bpf_ringbuf_submit(rec, wait__wakes_loader(unread_sz, hu_cfg.ring_sz) ? BPF_RB_FORCE_WAKEUP
									      : BPF_RB_NO_WAKEUP);
	loss__add(HU_LOSS_EVENTS, 1);
}

/* Sends a process record and wakes the loader: the process may be gone before it looks by itself. */
static __always_inline int emit__process(struct task_struct *t, enum hu_record_kind kind,
					 const struct task_id *id, __u64 pc)
{
	struct hu_proc_record *rec = bpf_ringbuf_reserve(&hu_ring, sizeof(*rec), 0);

	if (!rec) {
		loss__add(HU_LOSS_RECORD, 1);
		return -1;
	}
	rec->hdr.kind = kind;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.cpu = bpf_get_smp_processor_id();
	rec->hdr.ts_ns = bpf_ktime_get_ns();
	rec->tgid = id->tgid;
	rec->tid = id->tid;
	rec->proc_start = id->proc_start;
	rec->pc = pc;
	BPF_CORE_READ_INTO(&rec->comm, t, group_leader, comm);
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* A thread has one stack at a time; odd multipliers keep distinct what is distinct. */
static __always_inline __u64 raw_stack_id(__u64 now_ns, __u32 tid)
{
	return ((now_ns * 0x9e3779b97f4a7c15ULL) ^ (tid * 0xc2b2ae3d27d4eb4fULL)) | 1;
}

/* As much of the stack from sp upwards as there is, at most HU_RAW_STACK_SZ bytes. */
static __always_inline __u32 read_stack(__u8 *data, __u64 sp)
{
	__u32 len = 0, rest;

	for (int i = 0; i < HU_RAW_STACK_SZ / HU_RAW_CHUNK_SZ; i++) {
		if (!bpf_probe_read_user(data + len, HU_RAW_CHUNK_SZ, (void *)(sp + len))) {
			len += HU_RAW_CHUNK_SZ;
			continue;
		}
		/* The stack ends within this chunk, at a page's end. The mask is for the verifier. */
		rest = -(sp + len) & (HU_RAW_CHUNK_SZ - 1);
		if (rest && !bpf_probe_read_user(data + len, rest, (void *)(sp + len)))
			len += rest;
		break;
	}
	return len;
}

/*
 * Sends the top of current's stack, for the loader to unwind. Returns its id, 0 when the ring is half full
 * (waits are worth more) or the stack can't be read.
 */
static __always_inline __u64 emit__raw_stack(const arch_regs *r, const struct task_id *id)
{
	struct hu_stack_record *rec;
	__u64 now_ns = bpf_ktime_get_ns(), sp = arch__sp(r), stack_id;
	__u32 len;

	if (bpf_ringbuf_query(&hu_ring, BPF_RB_AVAIL_DATA) + sizeof(*rec) > hu_cfg.ring_sz / 2)
		return 0;
	rec = bpf_ringbuf_reserve(&hu_ring, sizeof(*rec), 0);
	if (!rec)
		return 0;
	len = read_stack(rec->data, sp);
	if (!len) {
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
		return 0;
	}
	rec->hdr.kind = HU_REC_STACK;
	rec->hdr.size = sizeof(*rec);
	rec->hdr.cpu = bpf_get_smp_processor_id();
	rec->hdr.ts_ns = now_ns;
	rec->tgid = id->tgid;
	rec->tid = id->tid;
	rec->proc_start = id->proc_start;
	rec->stack_id = raw_stack_id(now_ns, id->tid);
	rec->ip = arch__ip(r);
	rec->sp = sp;
	rec->fp = arch__fp(r);
	rec->ra_reg = arch__ra_reg(r);
	rec->len = len;
	rec->pad = 0;
	stack_id = rec->stack_id;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return stack_id;
}

#endif
