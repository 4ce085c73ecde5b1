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
					 const struct task_id *id)
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
	rec->pc = 0;
	BPF_CORE_READ_INTO(&rec->comm, t, group_leader, comm);
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return 0;
}

#endif
