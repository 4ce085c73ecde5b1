/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What offcpu.bpf.c and the loader say to each other: a part of bpf/abi.h, which includes it. The same rules hold. */
#ifndef HOLDUP_ABI_OFFCPU_H
#define HOLDUP_ABI_OFFCPU_H

/*
 * A histogram of durations: 8 linear buckets in each power of two of 128 ns, so a bucket is at most an eighth of its
 * value wide, and its middle off by 6 %. The last bucket has all that is longer: 2^44 ns are 4.9 hours.
 */
#define HU_OFF_UNIT_BITS 7
#define HU_OFF_SUB_BITS	 3
#define HU_OFF_BUCKETS	 (((44 - HU_OFF_UNIT_BITS - HU_OFF_SUB_BITS + 1) << HU_OFF_SUB_BITS) + 1)

enum hu_off_flag {
	HU_OFF_IOWAIT = 1 << 0, /* the kernel says that it waits for a disk (task->in_iowait) */
	HU_OFF_BEFORE =
		1 << 1, /* was off the CPU before holdup looked: its time counts from then on */
	HU_OFF_ARGS = 1 << 2,	   /* args are those of the call */
	HU_OFF_PREEMPTED = 1 << 3, /* it went on being runnable */
	HU_OFF_SUMMARY =
		1 << 4, /* hu_off_sums: what found no room in hu_off_sites, by process alone */
};

/* What intervals have in common. tid: 0 unless threads are told apart (HU_OFF_BY_THREAD). */
struct hu_off_what {
	__u64 proc_start;
	__u64 reason; /* HU_REASON() */
	__u64 user_stack, kernel_stack;
	__u64 args[6];
	__u32 tgid, tid;
	__u32 state; /* as sched_switch told it: TASK_INTERRUPTIBLE, …; 0: runnable */
	__u32 flags; /* enum hu_off_flag */
	char comm[HU_COMM_LEN];
};

/* One entry a CPU, as hu_sum_key: site is a hash of all of struct hu_off_what but args and comm. */
struct hu_off_key {
	__u64 site;
	__u32 cpu;
	__u32 pad;
};

/* Counted from the start on, never reset; the loader takes differences. */
struct hu_off_site {
	struct hu_off_what what;
	__u64 waits; /* 0: being made */
	__u64 blocked_ns, runq_ns;
	__u64 max_ns;  /* since turn */
	__u64 last_ns; /* when the last one ended */
	__u32 max_tid;
	__u32 turn;		    /* hu_off_ask.turn, when max_ns was begun */
	__u32 hist[HU_OFF_BUCKETS]; /* of blocked_ns + runq_ns; of runq_ns alone with HU_OFF_SCHED */
	__u32 pad;
};

/* A thread that is off the CPU as the iterator finds it. */
struct hu_off_now {
	struct hu_record hdr;
	struct hu_off_what what;
	__u64 site;
	__u64 blocked_ns, runq_ns; /* so far */
	__u64 ip, sp, fp, ra_reg;  /* where raw_stack: for the loader to read its stack */
	__u32 adopted; /* it was off the CPU before; what.user_stack is its raw stack's id */
	__u32 tid;
};

struct hu_off_waker_key {
	__u64 site, waker; /* of whom, and a hash of who */
};

enum hu_off_waker_flag {
	HU_OFF_WAKER_IRQ =
		1 << 0, /* on an interrupt's stack: the thread may have nothing to do with it */
	HU_OFF_WAKER_KERNEL = 1 << 1, /* a kernel thread, or the idle task */
};

struct hu_off_waker {
	__u64 proc_start;
	__u64 user_stack, kernel_stack;
	__u64 samples;
	__u64 wakes; /* that they stand for */
	__u64 ns;    /* blocked time, likewise */
	__u32 tgid, tid;
	__u32 flags; /* enum hu_off_waker_flag */
	__u32 pad;
	char comm[HU_COMM_LEN];
};

#define HU_OFF_KFRAMES 40

struct hu_kernel_stack {
	__u32 frames, pad;
	__u64 pcs[HU_OFF_KFRAMES]; /* leaf first */
};

/* Of one CPU's run queue (map hu_off_queues): for how long it had so many threads, the running one included. */
#define HU_OFF_QUEUE_MAX 64

struct hu_off_queue {
	__u64 since_ns; /* 0: not seen yet */
	__u32 len, max;
	__u32 turn; /* as in hu_off_site */
	__u32 pad;
	__u64 ns[HU_OFF_QUEUE_MAX]; /* the last: or more */
};

enum hu_off_mode {
	HU_OFF_BY_THREAD = 1 << 0, /* threads of a process are told apart */
	HU_OFF_SCHED = 1 << 1,	   /* run queues: no stacks, a site for each process */
	HU_OFF_WAKERS = 1 << 2,
};

/* What may change while the programs run (map hu_off_ask). */
struct hu_off_ask {
	__u32 turn; /* of the interval */
	__u32 pad;
};

#endif
