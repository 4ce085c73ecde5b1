/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's types as far as holdup reads them: only the fields that it names, for every
 * architecture alike. preserve_access_index makes each access a CO-RE relocation, so offsets and
 * the order of fields here mean nothing; names and kinds must be the kernel's. vmlinux/check
 * compares them with a kernel's BTF.
 *
 * A struct name with ___suffix is a CO-RE flavour: what the kernel's struct of the name before the
 * underscores looked like in other versions.
 */
#ifndef HOLDUP_VMLINUX_H
#define HOLDUP_VMLINUX_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct task_struct;

struct signal_struct {
	atomic_t live; /* threads that have not yet passed do_exit() */
	unsigned int flags;
	int group_exit_code;
	struct task_struct *group_exec_task; /* since 5.17, commit 60700e38fb68 */
};

struct signal_struct___5_16 {
	struct task_struct *group_exit_task; /* until 5.16 */
};

struct thread_struct___x86 {
	unsigned long fsbase;
};

struct thread_uw___arm64 {
	unsigned long tp_value; /* since 4.17, commit 4e829b67de9b */
};

struct thread_struct___arm64 {
	struct thread_uw___arm64 uw;
};

struct task_struct___x86 {
	struct thread_struct___x86 thread;
};

struct task_struct___arm64 {
	struct thread_struct___arm64 thread;
};

struct rq;

struct cfs_rq {
	struct rq *rq; /* CONFIG_FAIR_GROUP_SCHED */
};

struct cfs_rq___throttle {
	int throttle_count; /* CONFIG_CFS_BANDWIDTH */
};

/* Sleeping threads whose dequeueing is put off (DELAY_DEQUEUE) count among those that run. */
struct cfs_rq___6_12 {
	unsigned int h_nr_delayed; /* 6.12 and 6.13 */
};

struct cfs_rq___6_14 {
	unsigned int h_nr_queued;
	unsigned int h_nr_runnable;
};

struct rq {
	unsigned int nr_running;
	int cpu; /* CONFIG_SMP */
	struct cfs_rq cfs;
};

struct sched_entity {
	u64 sum_exec_runtime;
	u64 prev_sum_exec_runtime;
	struct cfs_rq *cfs_rq; /* CONFIG_FAIR_GROUP_SCHED */
};

struct sched_info {
	u64 last_arrival; /* CONFIG_SCHED_INFO */
	u64 run_delay;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[]; /* [1] until 6.4, commit b69f0aeb0689 */
};

struct task_struct {
	unsigned int __state; /* since 5.14, commit 2f064a59a11f */
	unsigned int flags;
	int pid;
	int tgid;
	int exit_state;
	unsigned int in_iowait:1;
	u64 self_exec_id; /* 64 bits since 5.7, commit d1e7fd6462ca */
	int exit_code;
	u64 start_time;	    /* CLOCK_MONOTONIC */
	u64 start_boottime; /* since 5.5, commit cf25e24db61c */
	unsigned long nvcsw, nivcsw;
	int on_cpu;		      /* CONFIG_SMP */
	struct sched_info sched_info; /* CONFIG_SCHED_INFO */
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct task_struct *real_parent;
	void *stack;
	struct pid *thread_pid; /* since 4.19, commit 2c4704756cab */
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct sched_entity se;
	char comm[16];
};

struct task_struct___5_13 {
	long state; /* until 5.13 */
};

struct task_struct___throttle {
	bool throttled; /* since 6.18, CONFIG_CFS_BANDWIDTH */
};

struct task_struct___psi {
	unsigned int in_memstall:1; /* CONFIG_PSI */
};

struct pt_regs___x86 {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long cs; /* 16 bits of a union since 6.9 (FRED), commit ee63291aa820 */
	unsigned long flags;
	unsigned long sp;
};

struct pt_regs___arm64 {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
	u64 orig_x0;
	s32 syscallno;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h */

/* include/linux/sched.h */
#define PF_EXITING	   0x00000004
#define PF_KTHREAD	   0x00200000
#define TASK_INTERRUPTIBLE 0x00000001
#define TASK_WAKING	   0x00000200

#endif
