/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every interval that a thread spends off the CPU: why, where, woken by whom, divided at the waking into blocked time
 * and time on a run queue. Summed here by site (struct hu_off_what): at hundreds of thousands of switches a second
 * a record for each would cost more than the interval's own accounting. Each interval is in exactly one of: a site, a
 * sum by process where the table of sites is full, or the counters of what found no room there either.
 *
 * In sched_switch current is still prev and interrupts are off, so what is kept for each CPU is changed by one program
 * at a time. A waking comes on any CPU, and may come before the switch-out that it ends is seen (see bpf/sched.h).
 */
#ifndef HOLDUP_BPF_OFFCPU_H
#define HOLDUP_BPF_OFFCPU_H

#include "bpf/capture.h"
#include "bpf/interval.h"
#include "bpf/kstack.h"
#include "bpf/reason.h"

#define TASK_DEAD    0x80  /* include/linux/sched.h */
#define STATE_MASK   0x7ff /* what sched_switch tells of a state, and TASK_IDLE's TASK_NOLOAD */
#define TASK_NOLOAD  0x400
#define RAW_EVERY_NS 1000000 /* a thread's stack is sent raw at most so often */

/*
 * Who wakes is looked at for the first few waits of each thread, and then by chance, so that no rhythm of the program
 * is followed; each sample stands for as many. Long waits, which are rarer and weigh more, are looked at more often.
 */
#define LONG_WAIT_NS   500000
#define ALWAYS_CNT     32
#define SHORT_ODDS_LOG 6
#define LONG_ODDS_LOG  3

static __always_inline struct off_state *off__state(struct task_struct *t, bool create)
{
	return bpf_task_storage_get(&hu_off_threads, t, 0,
				    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

/* Kernel threads: their reason to be is to wait for work. With --sched they count as one process. */
static __always_inline bool off__is_kernel(struct task_struct *t)
{
	return t->flags & PF_KTHREAD;
}

static __always_inline struct off_state *off__new_state(struct task_struct *t)
{
	struct off_state *st;

	if (off__is_kernel(t) ? !(hu_cfg.off_mode & HU_OFF_SCHED) || hu_cfg.filters
			      : !task__wanted(t, t->tgid, t->pid))
		return NULL;
	st = off__state(t, true);
	if (st)
		loss__add(HU_LOSS_OFF_THREADS, 1);
	else
		loss__add(HU_LOSS_STATE, 1);
	return st;
}

/* Who and why; stacks are in the state. */
static __always_inline void off__what(struct task_struct *t, const struct off_state *st,
				      struct hu_off_what *ret)
{
	bool sched = hu_cfg.off_mode & HU_OFF_SCHED, kernel = off__is_kernel(t);

	ret->proc_start = kernel ? 0 : t->group_leader->start_boottime;
	ret->tgid = kernel ? 0 : t->tgid;
	ret->tid = hu_cfg.off_mode & HU_OFF_BY_THREAD ? t->pid : 0;
	ret->reason = sched ? HU_REASON(HU_WHY_RUNNABLE, 0, 0) : st->reason;
	ret->user_stack = st->user_stack;
	ret->kernel_stack = st->kernel_stack;
	ret->state = sched ? 0 : st->state;
	ret->flags = sched ? 0 : st->flags;
}

/* ---- adding up */

static const struct hu_off_site off_site_zero;

static __always_inline void off__read_args(struct task_struct *t, struct hu_off_what *ret)
{
	const arch_regs *r = (const arch_regs *)bpf_task_pt_regs(t);

	ret->args[0] = arch__arg0(r);
	ret->args[1] = arch__arg1(r);
	ret->args[2] = arch__arg2(r);
	ret->args[3] = arch__arg3(r);
	ret->args[4] = arch__arg4(r);
	ret->args[5] = arch__arg5(r);
	ret->flags |= HU_OFF_ARGS;
}

/* The entry of a key in one of the two tables, a new one if there is none; NULL: it is full. */
static __always_inline struct hu_off_site *off__entry(void *map, const struct hu_off_key *key,
						      bool *made)
{
	struct hu_off_site *site = bpf_map_lookup_elem(map, key);

	*made = false;
	if (site)
		return site;
	if (bpf_map_update_elem(map, key, &off_site_zero, BPF_NOEXIST))
		return NULL;
	*made = true;
	return bpf_map_lookup_elem(map, key);
}

static __always_inline void off__count(struct hu_off_site *site, __u32 tid, __u64 blocked_ns,
				       __u64 runq_ns, __u64 now_ns)
{
	__u32 zero = 0, bucket;
	struct hu_off_ask *ask = bpf_map_lookup_elem(&hu_off_ask, &zero);
	__u64 ns = hu_cfg.off_mode & HU_OFF_SCHED ? runq_ns : blocked_ns + runq_ns;

	site->blocked_ns += blocked_ns;
	site->runq_ns += runq_ns;
	site->last_ns = now_ns;
	if (ask && site->turn != ask->turn) {
		site->turn = ask->turn;
		site->max_ns = 0;
	}
	if (ns >= site->max_ns) {
		site->max_ns = ns;
		site->max_tid = tid;
	}
	bucket = off__bucket(ns);
	if (bucket < HU_OFF_BUCKETS)
		site->hist[bucket]++;
	site->waits++;
}

/* What finds no room among the sites keeps its process. */
static __always_inline void off__sum(struct task_struct *t, const struct hu_off_what *what,
				     __u64 blocked_ns, __u64 runq_ns, __u64 now_ns)
{
	struct hu_off_key key = { .cpu = bpf_get_smp_processor_id() };
	struct hu_off_site *sum;
	bool made;

	key.site = off__mix(what->proc_start, (__u64)what->tgid << 32 | what->tid);
	sum = off__entry(&hu_off_sums, &key, &made);
	if (!sum) {
		loss__add(HU_LOSS_OFF_LOST, 1);
		loss__add(HU_LOSS_OFF_LOST_NS, blocked_ns + runq_ns);
		return;
	}
	if (made) {
		sum->what.proc_start = what->proc_start;
		sum->what.tgid = what->tgid;
		sum->what.tid = what->tid;
		sum->what.flags = HU_OFF_SUMMARY;
		bpf_probe_read_kernel(sum->what.comm, sizeof(sum->what.comm), t->comm);
	}
	off__count(sum, t->pid, blocked_ns, runq_ns, now_ns);
	loss__add(HU_LOSS_OFF_SUMMED, 1);
	loss__add(HU_LOSS_OFF_SUMMED_NS, blocked_ns + runq_ns);
}

/* An interval of t ends. fresh: its registers are still those with which it left. */
static __always_inline void off__add(struct task_struct *t, struct off_state *st, __u64 now_ns,
				     bool fresh)
{
	struct hu_off_key key = { .site = st->site, .cpu = bpf_get_smp_processor_id() };
	__u64 blocked_ns, runq_ns;
	struct hu_off_what what;
	struct hu_off_site *site;
	bool made;

	interval__divide(st->out_ns, st->wake_ns, now_ns, &blocked_ns, &runq_ns);
	st->phase = OFF_RUNS;
	if (blocked_ns + runq_ns < hu_cfg.off_min_ns) {
		loss__add(HU_LOSS_OFF_BELOW, 1);
		loss__add(HU_LOSS_OFF_BELOW_NS, blocked_ns + runq_ns);
		return;
	}
	site = off__entry(&hu_off_sites, &key, &made);
	if (!site) {
		off__what(t, st, &what);
		off__sum(t, &what, blocked_ns, runq_ns, now_ns);
		return;
	}
	if (made) {
		loss__add(HU_LOSS_OFF_SITES, 1);
		off__what(t, st, &site->what);
		bpf_probe_read_kernel(site->what.comm, sizeof(site->what.comm), t->comm);
		if (fresh && !off__is_kernel(t))
			off__read_args(t, &site->what);
	}
	off__count(site, t->pid, blocked_ns, runq_ns, now_ns);
}

/* ---- leaving the CPU */

/* A thread that could run, but that its cgroup does not let. */
static __always_inline bool off__throttled(struct task_struct *t)
{
	struct task_struct___throttle *now = (void *)t;
	struct cfs_rq___throttle *queue = (void *)t->se.cfs_rq;

	/* From 6.18 on each thread is throttled by itself on its way to user space (throttle_cfs_rq_work()). */
	if (bpf_core_field_exists(now->throttled))
		return BPF_CORE_READ(now, throttled);
	/* Before that its run queue is, or one further up. */
	if (!bpf_core_field_exists(queue->throttle_count))
		return false;
	return BPF_CORE_READ(queue, throttle_count) > 0;
}

/* In direct reclaim, or where memory is short in another way that the kernel accounts for (PSI). */
static __always_inline bool off__short_of_memory(struct task_struct *t)
{
	struct task_struct___psi *psi = (void *)t;

	return bpf_core_field_exists(psi->in_memstall) &&
	       BPF_CORE_READ_BITFIELD_PROBED(psi, in_memstall);
}

static __always_inline __u64 off__reason(struct task_struct *t, const arch_regs *regs,
					 unsigned int state)
{
	if (!state && off__throttled(t))
		return HU_REASON(HU_WHY_THROTTLED, 0, 0);
	if (state && !(t->flags & (PF_KTHREAD | PF_EXITING)) &&
	    !(state & (TASK_STOPPED_BIT | TASK_TRACED_BIT)) && off__short_of_memory(t))
		return HU_REASON(HU_WHY_RECLAIM, 0, 0);
	return reason__of(t, regs, state);
}

static __always_inline __u64 off__user_stack(void *ctx, struct task_struct *t,
					     const struct task_id *id, const arch_regs *regs,
					     struct off_state *st, __u64 now_ns)
{
	__u32 zero = 0;
	struct stack_scratch *scratch = bpf_map_lookup_elem(&hu_switch_scratch, &zero);
	bool raw = now_ns - st->raw_ns >= RAW_EVERY_NS;
	__u64 stack_id;

	if (!scratch || arch__compat(regs) || (t->flags & PF_EXITING))
		return 0;
	if (raw && !bpf_map_lookup_elem(&hu_maps, &id->tgid))
		st->raw_ns = now_ns;
	stack_id = take_stack(ctx, id, regs, &st->rescan, raw, scratch);
	if (!stack_id)
		loss__add(HU_LOSS_OFF_NO_STACK, 1);
	return stack_id;
}

/* Why t leaves, and where it is. */
static __always_inline void off__describe(void *ctx, struct task_struct *t, struct off_state *st,
					  unsigned int state, __u64 now_ns)
{
	const arch_regs *regs = (const arch_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u32 zero = 0, execs = t->self_exec_id + 1;
	struct kernel_scratch *k;
	struct hu_off_what what;
	struct task_id id;

	st->user_stack = st->kernel_stack = st->reason = 0;
	if (!(hu_cfg.off_mode & HU_OFF_SCHED)) {
		st->reason = off__reason(t, regs, state);
		if (state && BPF_CORE_READ_BITFIELD_PROBED(t, in_iowait))
			st->flags |= HU_OFF_IOWAIT;
		task__id(t, &id);
		if (st->announced != execs && process__announce(t, &id))
			st->announced = execs;
		if (hu_cfg.stacks) {
			st->user_stack = off__user_stack(ctx, t, &id, regs, st, now_ns);
			k = bpf_map_lookup_elem(&hu_off_scratch, &zero);
			/* The kernel's stack of who was preempted in user space is that of the interrupt. */
			if (k && (state || arch__nr(regs) >= 0))
				st->kernel_stack = kstack__take(ctx, regs, st, k);
		}
	} else if (!off__is_kernel(t) && st->announced != execs) {
		task__id(t, &id);
		if (process__announce(t, &id))
			st->announced = execs;
	}
	off__what(t, st, &what);
	st->site = off__site(&what);
}

static __always_inline void off__leave(void *ctx, struct task_struct *t, bool preempt,
				       unsigned int state, __u64 now_ns)
{
	struct off_state *st = off__state(t, false);
	__u64 cpu_ns = task__cpu_ns(t);

	if (!st)
		st = off__new_state(t);
	if (!st)
		return;
	if (st->phase == OFF_LEFT) {
		off__add(t, st,
			 interval__resumed(st->out_ns, st->wake_ns, now_ns, cpu_ns - st->cpu_ns),
			 false);
		loss__add(HU_LOSS_INFERRED, 1);
	}
	if (state & TASK_DEAD) {
		st->phase = OFF_UNKNOWN;
		return;
	}
	st->state = state;
	st->flags = state ? 0 : HU_OFF_PREEMPTED;
	off__describe(ctx, t, st, state, now_ns);
	st->out_ns = now_ns;
	st->cpu_ns = cpu_ns;
	st->wake_ns = state ? 0 : now_ns;
	/* Last, for the compiler as well: from here on a waker on another CPU may write. */
	__asm__ volatile("" ::: "memory");
	st->phase = OFF_LEFT;
	if (state && st->early_ns && task__state(t) == TASK_WAKING)
		st->wake_ns = now_ns; /* woken on its way out */
	st->early_ns = 0;
}

static __always_inline void off__run(struct task_struct *t, __u64 now_ns)
{
	struct off_state *st = off__state(t, false);

	if (st && st->phase == OFF_LEFT)
		off__add(t, st, now_ns, true);
}

/* ---- run queues */

/* Threads on a run queue that want to run, the one that does included. */
static __always_inline __u32 off__queue_len(struct rq *rq)
{
	struct cfs_rq___6_14 *now = (void *)&rq->cfs;
	struct cfs_rq___6_12 *then = (void *)&rq->cfs;
	__u32 len = BPF_CORE_READ(rq, nr_running), delayed = 0;

	if (bpf_core_field_exists(now->h_nr_runnable))
		delayed = BPF_CORE_READ(now, h_nr_queued) - BPF_CORE_READ(now, h_nr_runnable);
	else if (bpf_core_field_exists(then->h_nr_delayed))
		delayed = BPF_CORE_READ(then, h_nr_delayed);
	return len > delayed ? len - delayed : 0;
}

/* The run queue that t is on, whose lock is held, has another length from now on. */
static __always_inline void off__queue(struct task_struct *t, __u64 now_ns)
{
	struct hu_off_queue *q;
	__u32 zero = 0, cpu, len, was;
	struct hu_off_ask *ask = bpf_map_lookup_elem(&hu_off_ask, &zero);
	struct rq *rq = NULL;

	if (!ask || !bpf_core_field_exists(t->se.cfs_rq) || !bpf_core_field_exists(rq->cpu))
		return;
	rq = BPF_CORE_READ(t, se.cfs_rq, rq);
	cpu = BPF_CORE_READ(rq, cpu);
	q = bpf_map_lookup_elem(&hu_off_queues, &cpu);
	if (!q)
		return;
	len = off__queue_len(rq);
	was = q->len < HU_OFF_QUEUE_MAX ? q->len : HU_OFF_QUEUE_MAX - 1;
	if (q->since_ns && now_ns > q->since_ns)
		q->ns[was] += now_ns - q->since_ns;
	if (!q->since_ns || now_ns > q->since_ns)
		q->since_ns = now_ns;
	if (q->turn != ask->turn) {
		q->turn = ask->turn;
		q->max = 0;
	}
	q->len = len;
	if (len > q->max)
		q->max = len;
}

/* ---- wakers */

static __always_inline bool off__sampled(struct off_state *st, __u64 blocked_ns, __u32 *stands_for)
{
	bool is_long = blocked_ns >= LONG_WAIT_NS;
	__u32 *seen = is_long ? &st->long_waits : &st->short_waits;
	__u32 odds_log = is_long ? LONG_ODDS_LOG : SHORT_ODDS_LOG;

	*stands_for = 1;
	if (*seen < ALWAYS_CNT) {
		*seen += 1;
		return true;
	}
	/* Numerical Recipes' linear congruential generator; the upper bits are the good ones. */
	st->seed = st->seed * 1664525 + 1013904223;
	*stands_for = 1 << odds_log;
	return !(st->seed >> (32 - odds_log));
}

/* Where current is, who wakes; on an interrupt's stack that need have nothing to do with it. */
static __always_inline void off__read_waker(void *ctx, struct task_struct *cur,
					    struct hu_off_waker *w, struct kernel_scratch *k)
{
	const arch_regs *regs = (const arch_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u32 zero = 0;
	struct stack_scratch *scratch = bpf_map_lookup_elem(&hu_waking_scratch, &zero);
	struct task_id id;

	k->from = (__u64)ctx;
	k->to = (__u64)BPF_CORE_READ(cur, stack);
	if (k->from - k->to >= ARCH_KERNEL_STACK_SZ)
		w->flags |= HU_OFF_WAKER_IRQ;
	w->tgid = BPF_CORE_READ(cur, tgid);
	w->tid = BPF_CORE_READ(cur, pid);
	w->kernel_stack = hu_cfg.stacks ? kstack__walk(ctx, &k->stack) : 0;
	if (!w->tid || (BPF_CORE_READ(cur, flags) & PF_KTHREAD)) {
		w->flags |= HU_OFF_WAKER_KERNEL;
		return;
	}
	w->proc_start = BPF_CORE_READ(cur, group_leader, start_boottime);
	if (!hu_cfg.stacks || !scratch || arch__nr(regs) < 0 || arch__compat(regs) ||
	    (BPF_CORE_READ(cur, flags) & PF_EXITING))
		return;
	id.tgid = w->tgid;
	id.tid = w->tid;
	id.proc_start = w->proc_start;
	if (w->tgid != hu_cfg.self_tgid && process__announce(cur, &id))
		w->user_stack = take_stack(ctx, &id, regs, NULL, false, scratch);
}

static __always_inline void off__keep_waker(const struct hu_off_waker *w, __u64 site, __u64 ns)
{
	struct hu_off_waker_key key = { .site = site };
	struct hu_off_waker *known;

	key.waker = off__mix(w->proc_start, (__u64)w->tgid << 32 | w->tid);
	key.waker = off__mix(key.waker, w->user_stack);
	key.waker = off__mix(key.waker, w->kernel_stack + w->flags);
	known = bpf_map_lookup_elem(&hu_off_wakers, &key);
	if (!known) {
		/* Another CPU may have made it meanwhile. */
		bpf_map_update_elem(&hu_off_wakers, &key, w, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&hu_off_wakers, &key);
	}
	if (!known) {
		loss__add(HU_LOSS_OFF_WAKERS, 1);
		return;
	}
	__sync_fetch_and_add(&known->samples, 1);
	__sync_fetch_and_add(&known->wakes, w->wakes);
	__sync_fetch_and_add(&known->ns, ns);
}

static __always_inline void off__take_waker(void *ctx, struct off_state *st, __u64 blocked_ns,
					    __u32 stands_for)
{
	struct task_struct *cur = (void *)bpf_get_current_task();
	struct hu_off_waker w = {};
	struct kernel_scratch *k;
	__u32 zero = 0;

	k = bpf_map_lookup_elem(&hu_off_waking_scratch, &zero);
	/* A thread that wakes itself does so with interrupts on, and one may wake another here. */
	if (!k || k->busy)
		return;
	k->busy = 1;
	off__read_waker(ctx, cur, &w, k);
	bpf_probe_read_kernel(w.comm, sizeof(w.comm), cur->comm);
	k->busy = 0;
	w.wakes = stands_for;
	off__keep_waker(&w, st->site, blocked_ns * stands_for);
}

static __always_inline void off__waking(void *ctx, struct task_struct *t)
{
	struct off_state *st = off__state(t, false);
	__u64 now_ns, blocked_ns;
	__u32 stands_for;

	if (!st)
		return;
	now_ns = bpf_ktime_get_ns();
	if (st->phase != OFF_LEFT) {
		st->early_ns = now_ns;
		return;
	}
	if (st->wake_ns)
		return;
	st->wake_ns = now_ns;
	blocked_ns = now_ns > st->out_ns ? now_ns - st->out_ns : 0;
	if ((hu_cfg.off_mode & HU_OFF_WAKERS) && off__sampled(st, blocked_ns, &stands_for))
		off__take_waker(ctx, st, blocked_ns, stands_for);
}

#endif
