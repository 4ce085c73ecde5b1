/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and the loader say to each other: the only header both sides include.
 *
 * Both are built from one tree and one object lives as long as one loader, so layouts may change
 * freely between versions; what leaves the process (captures) has its own encoding. All structs
 * are made of naturally aligned fixed-width fields with explicit padding, so that a map key can be
 * compared as bytes and both sides agree; ABI_SIZES at the end is compared by a test on both sides.
 *
 * Units: *_ns are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns), proc_start is
 * task->group_leader->start_boottime. tid and tgid are those of the initial PID namespace.
 */
#ifndef HOLDUP_ABI_H
#define HOLDUP_ABI_H

#include <linux/types.h>

#define HU_COMM_LEN   16  /* TASK_COMM_LEN, include/linux/sched.h */
#define HU_MAX_FRAMES 127 /* PERF_MAX_STACK_DEPTH, include/uapi/linux/perf_event.h */
#define HU_MAX_MAPS   256 /* executable mappings of one process that the unwinder knows */

/* ---- Records in the ring buffer: a header, then the struct its kind names. Append only. */
enum hu_record_kind {
	HU_REC_INVALID = 0,
	HU_REC_WAIT = 1,     /* struct hu_wait_record */
	HU_REC_SEEN = 2,     /* struct hu_proc_record: a process waits for the first time */
	HU_REC_EXEC = 3,     /* struct hu_proc_record: its address space is another one now */
	HU_REC_EXIT = 4,     /* struct hu_proc_record: its last thread is gone */
	HU_REC_RESCAN = 5,   /* struct hu_proc_record: a pc outside the mappings we gave */
	HU_REC_STACK = 6,    /* struct hu_stack_record: to be unwound by the loader */
	HU_REC_ADOPT = 8,    /* struct hu_adopt_record: a thread that waited before we looked */
	HU_REC_HOLDER = 7,   /* struct hu_holder_record: where a thread that others wait for is */
	HU_REC_THREAD = 9,   /* struct hu_thread_record: of a snapshot */
	HU_REC_BRIEF = 10,   /* struct hu_thread_brief */
	HU_REC_BIRTH = 11,   /* struct hu_birth_record */
	HU_REC_DEATH = 12,   /* struct hu_death_record */
	HU_REC_PTHREAD = 13, /* struct hu_pthread_record: a call of the thread library */
	HU_REC_ALIVE = 14,   /* struct hu_alive_record: of a pass over the living threads */
	HU_REC_OFF_NOW = 16, /* struct hu_off_now: a thread that is off the CPU */
	HU_REC_HELD = 20,    /* struct hu_held_record: of the iterator hu_hold_now */
};

struct hu_record {
	__u16 kind; /* enum hu_record_kind */
	__u16 size; /* of the whole record, this header included */
	__u32 cpu;
	__u64 ts_ns;
};

/*
 * How a thread went to sleep on a futex word: the command bits of the futex call (FUTEX_CMD_MASK),
 * or one of the newer calls. Values below 128 are the kernel's own, include/uapi/linux/futex.h.
 */
enum hu_futex_op {
	HU_OP_WAIT = 0,
	HU_OP_LOCK_PI = 6,
	HU_OP_WAIT_BITSET = 9,
	HU_OP_WAIT_REQUEUE_PI = 11,
	HU_OP_LOCK_PI2 = 13,
	HU_OP_WAITV = 128, /* futex_waitv(2), since 5.16; the address is that of its first waiter */
	HU_OP_WAIT2 = 129, /* futex_wait(2), since 6.7 */
};

#define HU_FUTEX_PRIVATE  128	      /* FUTEX_PRIVATE_FLAG */
#define HU_FUTEX_WAITERS  0x80000000u /* FUTEX_WAITERS: in words that hold their owner's TID */
#define HU_FUTEX_REALTIME 256	      /* FUTEX_CLOCK_REALTIME */

enum hu_wait_flag {
	HU_WAIT_SHARED = 1 << 0,      /* the futex was not private: others may share it */
	HU_WAIT_COMPAT = 1 << 1,      /* a 32-bit system call */
	HU_WAIT_ONGOING = 1 << 2,     /* not over when it was read; times are those so far */
	HU_WAIT_WAKER_FUTEX = 1 << 3, /* waker_tid was inside a futex wake call on this address */
	HU_WAIT_WAKER_KNOWN =
		1 << 4, /* waker_tid is set; without WAKER_FUTEX: a timer or a signal */
	HU_WAIT_OWNER_READ = 1 << 5, /* owner_word could be read */
	HU_WAIT_BEFORE = 1 << 7,     /* began before holdup looked: its time counts from then on */
	HU_WAIT_REQUEUED = 1 << 8, /* was moved to another futex while it slept, and woken there */
	HU_WAIT_TIMED = 1 << 6,	   /* the call had a timeout */
};

/*
 * Who held the lock while a wait's sleeps lasted, by the owner word when each began: raw, so a TID only where
 * the word is a mutex's owner, and then one of the target's PID namespace. Owners beyond the room add to the
 * last entry, whose word is then 0.
 */
#define HU_OWNERS 3

struct hu_owner {
	__u32 word;
	__u32 sleeps;
	__u64 ns;
};

/* One wait: one attempt to get the lock, made of one or more sleeps. */
struct hu_wait_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 uaddr;	  /* the futex word, as the thread passed it */
	__u64 stack_id;	  /* of the first sleep; 0: none */
	__u64 start_ns;	  /* first switch-out */
	__u64 end_ns;	  /* last switch-in; now when ongoing */
	__u64 blocked_ns; /* switch-out to waking, summed over the sleeps */
	__u64 runq_ns;	  /* waking to running on, summed */
	__u32 sleeps;
	__u32 depth; /* threads that waited for this word when this wait began, itself included */
	__u32 val;   /* the value the futex call expected */
	__u32 owner_word; /* where OWNER_READ: the 32 bits at uaddr + 8, __owner of glibc's pthread_mutex_t */
	__u32 waker_tgid, waker_tid; /* of the last sleep */
	__u16 op;		     /* enum hu_futex_op */
	__u16 flags;		     /* enum hu_wait_flag */
	__u32 word; /* the futex word itself when the first sleep began: val, but for PI; 0 when unreadable */
	char comm[HU_COMM_LEN]; /* the thread's; untrusted bytes */
	struct hu_owner owner[HU_OWNERS];
};

struct hu_proc_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 pc;		/* RESCAN: the pc that lay in no mapping */
	char comm[HU_COMM_LEN]; /* the group leader's */
};

/* Registers of a thread whose wait began before; the loader reads its stack itself. */
struct hu_adopt_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 stack_id; /* what its wait will name */
	__u64 ip, sp, fp;
	__u64 ra_reg;
	__u64 uaddr; /* the word it waits for; hu_where: the word it is asked about */
	__u32 val;
	__u16 op;	   /* enum hu_futex_op */
	__u16 flags;	   /* enum hu_wait_flag */
	__u32 waiter_tgid; /* hu_where: who asks */
	__u32 pad;
	char comm[HU_COMM_LEN]; /* the group leader's; hu_where: the thread's */
};

enum hu_holder_why {
	HU_HOLDER_SWITCH = 1, /* it left the CPU while others waited for it */
	HU_HOLDER_WAKE = 2,   /* it woke a waiter: the call that releases the lock */
};

struct hu_holder_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 uaddr;	/* the futex word, as the waiter passed it */
	__u64 stack_id; /* of the holder */
	__u32 waiter_tgid;
	__u16 why; /* enum hu_holder_why */
	__u16 pad;
	char comm[HU_COMM_LEN];
};

#define HU_RAW_CHUNK_SZ 4096 /* one page: read as a whole or up to the end of its mapping */
#define HU_RAW_STACK_SZ (4 * HU_RAW_CHUNK_SZ)

/*
 * The top of a stack whose process the kernel side has no mappings for yet: a process's first waits, or the
 * first after a dlopen. stack_id is unique; the waits that name it come after it.
 */
struct hu_stack_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 stack_id;
	__u64 ip, sp, fp;
	__u64 ra_reg; /* what may hold a return address: rdi on x86-64 (vfork), x30 on arm64 */
	__u32 len;    /* bytes of data that are valid, from sp upwards */
	__u32 pad;
	__u8 data[HU_RAW_STACK_SZ];
};

/* ---- A snapshot of all threads (iterator hu_threads_now; `holdup stacks`) */

#include "bpf/abi_snapshot.h"

/* The same with one chunk of data, where many come at once. */
#define HU_RAW_SHORT_SZ (__builtin_offsetof(struct hu_stack_record, data) + HU_RAW_CHUNK_SZ)

/* ---- Why a thread does not run (bpf/reason.h) */

/*
 * A reason fits into 64 bits, to be compared and to be a map's key: what, the system call's number, and a value. From
 * the top: 4 bits enum hu_why, 12 bits number, 48 bits value. Append only.
 */
enum hu_why {
	HU_WHY_UNKNOWN = 0,
	HU_WHY_RUNNING = 1,  /* it does run */
	HU_WHY_RUNNABLE = 2, /* preempted, or woken: it waits for a CPU */
	HU_WHY_CALL = 3,     /* in a system call; value: its file descriptor + 1 where it has one */
	HU_WHY_LOCK = 4,     /* in a futex call; value: the word's address */
	HU_WHY_FAULT = 5,    /* a page fault: in no system call */
	HU_WHY_RECLAIM = 6,  /* the kernel looks for free memory on its behalf */
	HU_WHY_STOPPED = 7,  /* by a signal */
	HU_WHY_TRACED = 8,   /* by a debugger */
	HU_WHY_THROTTLED = 9, /* its cgroup has used up its share of CPU time */
	HU_WHY_CALL32 = 10,   /* in a 32-bit system call */
	HU_WHY_KERNEL = 11,   /* a kernel thread, or a thread that ends */
	HU_WHY_CNT,
	/* Of locks alone (bpf/blame.h): */
	HU_WHY_HANDOVER = 14, /* nobody has it: who was woken for it does not run yet */
	HU_WHY_PENDING = 15,  /* the holder's next switch will tell */
};

#define HU_REASON_VALUE_BITS 48
#define HU_REASON(why, nr, value)                                           \
	((__u64)(why) << 60 | ((__u64)(nr)&0xfff) << HU_REASON_VALUE_BITS | \
	 ((__u64)(value) & ((1ULL << HU_REASON_VALUE_BITS) - 1)))
#define HU_REASON_WHY(reason)	((enum hu_why)((reason) >> 60))
#define HU_REASON_NR(reason)	((int)((reason) >> HU_REASON_VALUE_BITS & 0xfff))
#define HU_REASON_VALUE(reason) ((reason) & ((1ULL << HU_REASON_VALUE_BITS) - 1))

/* ---- Time off the CPU (bpf/offcpu.h; `holdup offcpu`) */

#include "bpf/abi_offcpu.h"

/* System calls whose first argument is a file descriptor, one bit each (hu_config.fd_calls). */
#define HU_FD_CALL_WORDS 8

/* ---- Waits summed in the kernel while the ring buffer has no room (map hu_sums) */

/* One entry a CPU: it is only changed with interrupts off on that CPU, so plain stores are exact. */
struct hu_sum_key {
	__u64 proc_start;
	__u64 uaddr;
	__u32 tgid;
	__u32 cpu;
	__u16 op;
	__u16 flags; /* SHARED and COMPAT only */
	__u32 pad;
};

struct hu_sum {
	__u64 waits;
	__u64 sleeps;
	__u64 blocked_ns;
	__u64 runq_ns;
	__u64 max_ns;
	__u64 stack_id; /* of the longest */
};

/* ---- Stacks (map hu_stacks, by stack_id) */

#include "bpf/abi_stack.h"

/* ---- Locks that are waited for now (map hu_locks) */
struct hu_lock_key {
	__u64 uaddr;
	__u32 tgid;
	__u32 pad;
};

/* Time in which a holder was in one state. */
struct hu_charge {
	__u64 reason; /* HU_REASON() */
	__u64 ns;
};

#define HU_BLAME_CALLS 6
#define HU_BLAME_TENT  4

/*
 * Who spent the waiters' time (bpf/blame.h). Of all ns below, each is one that one thread waited for this lock, and
 * each such ns is in exactly one of them. A holder is (PID namespace << 32 | its TID there), see bpf/track.h.
 */
struct hu_blame {
	__u64 since_ns; /* up to then everything is charged */
	__u64 now;	/* what the holder does, a reason */
	__u64 holder;	/* 0: not known */
	__u64 last;	/* who let go of it last */
	__s32 waiters;	/* threads that sleep for it, or were woken and do not run yet */
	__u8 sure; /* the lock's own word has named the holder; else it is inferred, and to be proven */
	__u8 misled;	 /* so often that word named somebody and another one let go */
	__u8 owner_word; /* enum hu_owner_word, HU_OWNER_SHARED */
	__u8 left;	 /* `last` has left the CPU since */
	__u64 running_ns, runnable_ns, handover_ns, unknown_ns;
	__u64 other_ns;	   /* blocked, in more ways than there is room for */
	__u64 inferred_ns; /* of all but the unknown: by who let go of the lock, not by its word */
	struct hu_charge blocked[HU_BLAME_CALLS];
	struct hu_charge tent[HU_BLAME_TENT]; /* not proven yet */
};

enum hu_owner_word {
	HU_OWNER_NONE = 0,
	HU_OWNER_IN_WORD = 1,	/* the futex word */
	HU_OWNER_BESIDE = 2,	/* the word 8 bytes on */
	HU_OWNER_SHARED = 0x80, /* a bit: the holder may be of another process */
};

struct hu_lock {
	__u64 asked_ns; /* when its owner was last asked to show its stack */
	__u64 shown_ns; /* when a waker's stack was last taken */
	__u64 born_ns;	/* tells one that was dropped and came back from one that stayed */
	struct hu_blame blame;
};

/* A thread that others wait for, and what it does (map hu_tracked, by holder). */
#define HU_TRACKED_LOCKS 4

#define HU_TRACK_COUNTS 16384
#define HU_TRACK_INNER	HU_TRACK_COUNTS /* one more: those in PID namespaces below the first */

struct hu_tracked {
	__u64 now;     /* a reason; 0: not known before its next switch */
	__u64 seen_ns; /* its last switch, or when it was named first */
	__u64 cpu_ns;  /* its CPU time then */
	__u32 idle;    /* switches since it held a lock with waiters */
	__u32 claims;  /* 1: its locks have not noted it as their holder yet */
	struct hu_lock_key lock[HU_TRACKED_LOCKS];
};

/* A thread that others wait for (map hu_holders, by tid): its stack is wanted at its next switch-out. */
struct hu_holder {
	__u64 uaddr;
	__u32 tgid;    /* of the waiter */
	__u16 in_word; /* the futex word itself holds the owner's TID */
	__u16 shared;  /* the lock may be held by another process */
};

/* ---- What was lost, and where (map hu_loss, one array of counters a CPU). Append only. */
enum hu_loss {
	HU_LOSS_NONE = 0,
	HU_LOSS_SUMMARIZED,    /* waits added to hu_sums because the ring was nearly full */
	HU_LOSS_SUMMARIZED_NS, /* their wait time */
	HU_LOSS_SUM_FULL,      /* waits that found hu_sums full as well: only counted here */
	HU_LOSS_SUM_FULL_NS,   /* their wait time */
	HU_LOSS_STATE,	       /* sleeps whose thread state could not be had */
	HU_LOSS_RECORD,	       /* records other than waits that found the ring full */
	HU_LOSS_STACK_FULL,    /* waits whose new stack found hu_stacks full */
	HU_LOSS_STACK_FAIL,    /* waits whose stack could not be walked at all */
	HU_LOSS_LOCK_FULL,     /* waits without a depth because hu_locks was full */
	HU_LOSS_EVENTS,	       /* not a loss: wait records sent */
	HU_LOSS_SWITCHES,      /* not a loss: sleeps on futexes seen */
	HU_LOSS_PROC_FULL,     /* processes that did not fit into the process table */
	HU_LOSS_CALLS_FULL,    /* futex calls whose word did not fit into hu_calls */
	HU_LOSS_HOLDER,	       /* holders whose stack could not be sent */
	HU_LOSS_INFERRED, /* not a loss: ends of sleeps, and of holders' times without a CPU, not seen but computed */
	HU_LOSS_MISSED,	    /* events for which the kernel did not run a program (recursion) */
	HU_LOSS_REMEMBERED, /* not a loss, HU_MEMO_CHECK only: stacks that were not walked anew */
	HU_LOSS_STACKS_NEW, /* not a loss: stacks added to hu_stacks */
	HU_LOSS_MISREMEMBERED, /* HU_MEMO_CHECK only: … and a walk finds another one */
	HU_LOSS_TRACK_FULL,  /* holders that could not be followed: their locks' time is unknown */
	HU_LOSS_LIVES,	     /* births and deaths added to hu_life_sums because the ring was full */
	HU_LOSS_LIVES_FULL,  /* … that found no room there either: only counted here */
	HU_LOSS_PTHREAD,     /* calls of the thread library that could not be sent or remembered */
	HU_LOSS_OFF_SITES,   /* not a loss: entries made in hu_off_sites */
	HU_LOSS_OFF_THREADS, /* not a loss: threads seen */
	HU_LOSS_OFF_SUMMED, /* intervals off the CPU that found hu_off_sites full: by process alone */
	HU_LOSS_OFF_SUMMED_NS, /* their time */
	HU_LOSS_OFF_LOST,      /* … that found hu_off_sums full as well: only counted here */
	HU_LOSS_OFF_LOST_NS,
	HU_LOSS_OFF_BELOW, /* not a loss: shorter than asked for */
	HU_LOSS_OFF_BELOW_NS,
	HU_LOSS_OFF_WAKERS,  /* samples of wakers that found no room */
	HU_LOSS_KSTACK_FULL, /* kernel stacks that found no room */
	HU_LOSS_KSTACK_FAIL, /* … that could not be walked */
	HU_LOSS_KREMEMBERED, /* as HU_LOSS_REMEMBERED, of kernel stacks */
	HU_LOSS_KMISREMEMBERED,
	HU_LOSS_OFF_NO_STACK, /* intervals whose process the loader has not looked at yet */
	HU_LOSS_CNT,
};

/* ---- Futex calls (map hu_calls): fexit, or the syscall tracepoint with --futex-calls */
struct hu_call_key {
	__u64 proc_start;
	__u64 uaddr;
	__u32 tgid;
	__u32 pad;
};

struct hu_calls {
	__u64 waits;	   /* calls that may sleep */
	__u64 again;	   /* … that returned EAGAIN: the word had changed */
	__u64 timedout;	   /* … ETIMEDOUT */
	__u64 interrupted; /* … EINTR or a restart code */
	__u64 wakes;	   /* wake calls */
	__u64 wakes_none;  /* … that woke nobody */
	__u64 requeues;
};

/* ---- Lives of threads (`holdup threads`) */

#include "bpf/abi_life.h"

/* ---- Hold times and lock order (`locks --hold`) */

#include "bpf/abi_hold.h"

/* ---- Configuration, constant once loaded */
enum hu_filter {
	HU_FILTER_TGIDS = 1 << 0,  /* only processes in hu_targets */
	HU_FILTER_TID = 1 << 1,	   /* only cfg.tid */
	HU_FILTER_COMM = 1 << 2,   /* only processes whose leader's comm matches cfg.comm */
	HU_FILTER_CGROUP = 1 << 3, /* only below the cgroup in hu_cgroup[0] */
	HU_FILTER_FOLLOW = 1 << 4, /* children of processes in hu_targets join them */
};

/*
 * A pattern over comm as an automaton: bit i of the state means that i tokens have matched; after
 * '*' the state may stay. Built by glob__compile() (user/util/glob.h), run by glob__matches()
 * (bpf/glob.h).
 */
struct hu_glob {
	__u32 accept;	  /* the bit of the final state */
	__u32 stay;	  /* states that any character leaves as they are */
	__u32 match[256]; /* states that this character moves on */
};

enum hu_memo {
	HU_MEMO_OFF = 0,
	HU_MEMO_ON = 1,	   /* a thread that waits again where it did is not walked again */
	HU_MEMO_CHECK = 2, /* it is all the same, to compare */
};

struct hu_config {
	__u32 filters; /* enum hu_filter */
	__u32 tid;
	__u32 self_tgid;       /* holdup itself is never reported */
	__u32 task_storage;    /* 1: tracing programs have it (5.11, commit 4cf1bc1f1045) */
	__u32 task_regs;       /* 1: bpf_task_pt_regs() exists (5.15, commit dd6e10fbd9fb) */
	__u32 switch_state;    /* 1: sched_switch passes prev_state (5.18, commit fa2c3254d7cf) */
	__u64 ring_sz;	       /* bytes */
	__u64 holder_every_ns; /* at most so often a lock's holder shows its stack */
	__u64 join_cpu_ns; /* a woken thread that sleeps again within so much CPU time retries */
	__u32 stacks;	   /* 0: none are taken */
	__u16 unwind;	   /* 1: by rows; 0: by frame pointers */
	__u16 memo;	   /* enum hu_memo */
	__u32 wakes_seen;  /* 1: hu_futex_fexit is attached */
	__u32 blame;	   /* 1: what holders do is followed */
	__u32 lifetimes;   /* 1: births and deaths are sent, and each exec of a wanted process */
	__u32 pad;
	__u64 fd_calls[HU_FD_CALL_WORDS];
	struct hu_glob comm;
	__u64 off_min_ns; /* intervals shorter than this are only counted */
	__u32 off_mode;	  /* enum hu_off_mode */
	__u32 pad2;
};

/* Sizes that both sides must agree on; tests/unit/test_abi.c compares them with the object's BTF. */
#define HU_ABI_SIZES(X)           \
	X(hu_record, 16)          \
	X(hu_owner, 16)           \
	X(hu_wait_record, 176)    \
	X(hu_adopt_record, 112)   \
	X(hu_holder_record, 72)   \
	X(hu_holder, 16)          \
	X(hu_thread_record, 368)  \
	X(hu_thread_brief, 48)    \
	X(hu_snap_ask, 24)        \
	X(hu_proc_record, 56)     \
	X(hu_stack_record, 16464) \
	X(hu_sum_key, 32)         \
	X(hu_sum, 48)             \
	X(hu_stack, 1024)         \
	X(hu_row, 8)              \
	X(hu_map_entry, 32)       \
	X(hu_proc_maps, 8200)     \
	X(hu_lock_key, 16)        \
	X(hu_charge, 16)          \
	X(hu_blame, 248)          \
	X(hu_lock, 272)           \
	X(hu_tracked, 96)         \
	X(hu_call_key, 24)        \
	X(hu_calls, 56)           \
	X(hu_birth_record, 88)    \
	X(hu_death_record, 88)    \
	X(hu_pthread_record, 56)  \
	X(hu_alive_record, 128)   \
	X(hu_life_key, 16)        \
	X(hu_life_sum, 16)        \
	X(hu_off_what, 112)       \
	X(hu_off_key, 16)         \
	X(hu_off_site, 1288)      \
	X(hu_off_now, 192)        \
	X(hu_off_waker_key, 16)   \
	X(hu_off_waker, 80)       \
	X(hu_kernel_stack, 328)   \
	X(hu_off_queue, 536)      \
	X(hu_config, 1184)        \
	X(hu_hold_key, 32)        \
	X(hu_longest, 48)         \
	X(hu_hold, 1144)          \
	X(hu_edge_key, 56)        \
	X(hu_edge, 136)           \
	X(hu_held_record, 80)

#endif
