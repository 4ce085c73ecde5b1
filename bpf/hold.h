/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which locks a thread holds, and since when: state of one thread, changed by its own probes, and by the switch
 * while it is off the CPU. The maps of hold.bpf.c.
 *
 * A probe costs as much again at a function's return, and one that replaces the return address cuts every call
 * stack taken inside. So functions that can't fail are probed at their entry alone: a thread that did not sleep in
 * them has the lock as good as at once, and one that did has it from the end of its last sleep on, which the
 * switch tells: a futex wait on a word of that lock with the stack at or below the call's.
 */
#ifndef HOLDUP_BPF_HOLD_H
#define HOLDUP_BPF_HOLD_H

#include "bpf/hist.h"
#include "bpf/maps.h"

enum slot_flag {
	SLOT_CONTENDED = 1 << 0,  /* its thread slept for it */
	SLOT_TRIED = 1 << 1,	  /* by a try function */
	SLOT_AFTER_WAIT = 1 << 2, /* taken back by a condition variable's wait */
};

struct hold_slot {
	__u64 lock;
	__u64 site;
	__u64 since_ns;
	__u64 off_ns;
	__u64 worst_ns, worst_reason; /* as in struct hu_longest */
	__u32 depth;		      /* of a recursive mutex, or of one's own read locks */
	__u16 mode;		      /* enum hu_hold_mode */
	__u16 flags;		      /* enum slot_flag */
};

/* An attempt whose return will tell. */
struct hold_call {
	__u64 lock; /* 0: none */
	__u64 sp, site;
	__u32 cookie;
	__u8 slept;
	__u8 nested; /* part of another function's attempt: tells nothing */
	__u16 pad;
};

/* A stack that was sent raw. */
struct raw_memo {
	__u64 hash, stack_id;
};

#define HOLD_RAWS_MAX  256 /* a thread sends so many */
#define HOLD_RAW_MEMOS 8
#define HOLD_TOP_WORDS 16 /* a few frames, with what is in them */

struct hold_thread {
	__u64 mm;		  /* the address space all this is about */
	__u64 out_ns, out_reason; /* while off the CPU with a lock; out_ns 0: not */
	__u64 out_cpu_ns;	  /* its CPU time then */
	__u64 held_hash;	  /* of all locks held, semaphores apart */
	__u64 sp;		  /* of the call that slot `pending` began with */
	__u64 cond;		  /* … and the condition variable, if it is a wait for one */
	struct hold_call call;
	__u32 cnt;
	__u32 pending; /* index + 1 of the slot whose call may not be over; 0: none */
	__s32 found;   /* see find_slot() */
	__u32 rescan;  /* the generation of mappings that this thread complained about, and 1 */
	__u16 raws;    /* stacks sent raw */
	__u8 asleep;   /* in that call */
	__u8 announced;
	__u32 pad;
	struct raw_memo raw[HOLD_RAW_MEMOS];
	__u64 top[HOLD_TOP_WORDS]; /* of its stack: room for hash_top() */
	struct hold_slot slot[HU_HOLD_SLOTS];
};

/* A thread locks in several places in turn. */
#define HOLD_MEMOS 8

struct hold_memos {
	struct stack_memo memo[HOLD_MEMOS];
};

/* uprobe programs can be preempted by other threads' before 6.10 (bpf/calm.h): one scratch memory a CPU does not do. */
#define HOLD_SCRATCHES 4

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hold_thread);
} hu_hold_threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hold_memos);
} hu_hold_memos SEC(".maps");

/* HOLD_SCRATCHES for each CPU: the loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOLD_SCRATCHES);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} hu_hold_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct hu_hold_key);
	__type(value, struct hu_hold);
} hu_holds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct hu_edge_key);
	__type(value, struct hu_edge);
} hu_edges SEC(".maps");

struct hold_counts {
	__u64 cnt[HU_HOLD_COUNTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hold_counts);
} hu_hold_counts SEC(".maps");

/* Atomic, since a thread can be preempted here. */
static __always_inline __u64 hold__count(enum hu_hold_count what, __u64 n)
{
	__u32 zero = 0;
	struct hold_counts *c = bpf_map_lookup_elem(&hu_hold_counts, &zero);

	return c && what < HU_HOLD_COUNTS ? __sync_fetch_and_add(&c->cnt[what], n) : 0;
}

/* How far the object at `lock` reaches: glibc 2.17 to 2.42 and musl 1.2 on 64-bit machines have nothing larger. */
static __always_inline __u32 hold__size(__u32 mode)
{
	switch (mode) {
	case HU_HOLD_MUTEX:
		return 40; /* __SIZEOF_PTHREAD_MUTEX_T; 48 on arm64, the words that are waited for come first */
	case HU_HOLD_READ:
	case HU_HOLD_WRITE:
		return 56;
	case HU_HOLD_SEM:
		return 32;
	}
	return 4;
}

#endif
