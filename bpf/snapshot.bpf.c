// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Walks all threads and writes out the waits that have not been sent: those that go on, and those
 * that have ended but could still be continued (bpf/wait.h). Changes nothing.
 */
#include "bpf/emit.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?iter/task")
int hu_pending(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_wait_record rec = {};
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
	wait__record(&st->wait, &rec);
	if (st->wait.phase != WAIT_ENDED) {
		rec.flags |= HU_WAIT_ONGOING;
		rec.end_ns = now_ns;
		wait__so_far(&st->wait, now_ns, &rec.blocked_ns, &rec.runq_ns);
	}
	bpf_probe_read_kernel(rec.comm, sizeof(rec.comm), t->comm);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}
