/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the iterator over all threads tells of each: a part of bpf/abi.h, which includes it. The same rules hold. */
#ifndef HOLDUP_ABI_SNAPSHOT_H
#define HOLDUP_ABI_SNAPSHOT_H

#define HU_KERNEL_FRAMES 16
#define HU_SAVED_REGS	 5

enum hu_thread_flag {
	HU_THREAD_ON_CPU =
		1 << 0, /* it runs: its registers are those of its last entry into the kernel */
	HU_THREAD_COMPAT = 1 << 1, /* in a 32-bit system call */
	/* 1 << 2 was: a writer has its address space locked */
	HU_THREAD_KERNEL = 1 << 3, /* a kernel thread: it has no registers */
	HU_THREAD_SELF =
		1 << 4, /* the thread that asks: its off_ns is when it came to the CPU last */
	HU_THREAD_EXITING = 1 << 5,
};

struct hu_thread_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start, thread_start; /* start_boottime */
	/*
	 * When it left the CPU, by the scheduler's clock (ns): its last arrival there and the time that it ran
	 * from then on (sched_info.last_arrival, sum_exec_runtime less prev_sum_exec_runtime).
	 */
	__u64 off_ns;
	__u64 switches; /* nvcsw + nivcsw: unchanged, it has not run */
	__u64 cgroup;	/* inode number of its directory in cgroup v2; 0: not known */
	__u64 ip, sp, fp;
	__u64 ra_reg;
	__u64 saved[HU_SAVED_REGS]; /* callee-saved ones but the frame pointer: x86-64 rbx, r12 to r15; arm64 x19 to x23 */
	__s64 nr; /* of the system call; below 0: in none */
	__u64 arg[6];
	__u32 state;  /* task->__state, include/linux/sched.h */
	__u32 parent; /* its process's parent */
	__u16 flags;  /* enum hu_thread_flag */
	__u16 kframes;
	__u32 execs; /* another number after each exec of the process (task->self_exec_id) */
	char comm[HU_COMM_LEN]; /* untrusted bytes */
	char leader[HU_COMM_LEN];
	__u64 kpc[HU_KERNEL_FRAMES]; /* in the kernel, leaf first */
};

/* A second look: who has moved since? */
struct hu_thread_brief {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 thread_start;
	__u64 switches;
	__u32 state;
	__u32 flags; /* enum hu_thread_flag */
};

enum hu_snap_mode {
	HU_SNAP_FULL = 0,  /* struct hu_thread_record */
	HU_SNAP_BRIEF = 1, /* struct hu_thread_brief */
};

/* What the iterator is asked for (map hu_snap_ask); may change from pass to pass. */
struct hu_snap_ask {
	__u64 off_before_ns; /* only threads that left the CPU before that; 0: all */
	__u32 mode;	     /* enum hu_snap_mode */
	__u32 kernel; /* 1: kernel stacks of all; 0: only of threads in uninterruptible sleep */
	__u32 self_tid;
	__u32 pad;
};

#endif
