/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps and the configuration; maps.bpf.c defines them, every other object refers to them.
 * Sizes here are those for a small machine: the loader sets max_entries before loading.
 */
#ifndef HOLDUP_BPF_MAPS_H
#define HOLDUP_BPF_MAPS_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "bpf/abi.h"
#include "bpf/wait.h"

#ifdef HU_DEFINE_MAPS
#define HU_MAP
#else
#define HU_MAP extern
#endif

/* What is kept for each thread that ever waited. */
struct thread_state {
	struct wait_state wait;
	struct wait_waker early; /* a waking that came before its switch-out was seen */
	__u32 early_pad;
	__u64 early_ns;
	__u8 announced; /* its process was sent as HU_REC_SEEN */
	__u8 pad[3];
	__u32 rescan; /* the generation of mappings that this thread complained about, and 1 */
};

/* Scratch memory of a program; programs that can interrupt one another have one each. */
#define HU_WINDOW_SZ 1024
#define HU_NO_WINDOW (~0ULL >> 1) /* no address is near it */

/* Where a walk up a stack is (bpf/unwind.h). */
struct unwind_state {
	__u64 pc, sp, fp;
	__u64 ra_reg;  /* what may hold a return address: rdi on x86-64 (vfork), x30 on arm64 */
	__u64 lost_pc; /* a pc that lay in no mapping, or 0 */
	__u8 leaf;     /* pc is the next instruction itself, not a return address */
	__u8 top;      /* ra_reg is that of this frame: no call came in between */
	__u8 fp_known;
	__u8 sp_low; /* arm64: sp is no more than a bound, the frame's own is further up */
	__u16 flags; /* enum hu_stack_flag */
	__u16 pad2;
	__u64 fp_addr; /* where fp was loaded from; 0: it is the register, 1: its value is in the memo */
};

/* Rows that were looked up on this CPU: most stacks share most of their frames. */
#define HU_ROW_CACHE 512

struct cached_row {
	__u64 pc;
	__u32 tgid;
	__u32 generation; /* of the process's mappings: never the same again for a tgid (user/collect/rows.c) */
	struct hu_row row;
};

struct stack_scratch {
	struct unwind_state walk;
	struct hu_stack stack;
	__u32 busy; /* an interrupt may have come in between: see on_waking() */
	__u32 pad;
	__u32 lo, hi;	   /* of a search */
	__u64 window_addr; /* of window[0] in the target */
	__u8 window[HU_WINDOW_SZ];
	struct cached_row cache[HU_ROW_CACHE];
};

/* A walk up a thread's stack, and what it read: see bpf/memo.h. */
#define HU_MEMO_SLOTS \
	96 /* two words a frame at most: half of HU_MAX_FRAMES and more are remembered */
#define HU_MEMO_SPOILED 0xffff /* as cnt: this walk is not to be remembered */

struct stack_memo {
	__u64 stack_id; /* 0: nothing is remembered */
	__u64 ip, sp, fp, ra_reg;
	__u64 hash; /* of the words read */
	__u32 generation;
	__u16 cnt;
	__u8 fp_used;
	__u8 ra_used;		  /* of the register: arm64 alone */
	__u16 off[HU_MEMO_SLOTS]; /* of each word read, from sp, in units of 8 bytes */
};

/* Threads often wait in two places in turn: for work, and for the lock around it. */
#define HU_MEMOS 2

struct stack_memos {
	struct stack_memo memo[HU_MEMOS];
	__u32 next; /* the one to be replaced */
	__u32 pad;
};

struct loss_counters {
	__u64 cnt[HU_LOSS_CNT];
};

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} hu_ring SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} hu_threads SEC(".maps");

/* The last walks up each thread's stack. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stack_memos);
} hu_memos SEC(".maps");

/* The same as hu_threads where a kernel has no task storage for tracing programs, by tid. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct thread_state);
} hu_threads_hash SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct hu_sum_key);
	__type(value, struct hu_sum);
} hu_sums SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct hu_lock_key);
	__type(value, struct hu_lock);
} hu_locks SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct hu_stack);
} hu_stacks SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} hu_switch_scratch SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} hu_waking_scratch SEC(".maps");

/* Threads whose stack is wanted, and one bit for each low half of a tid: most switches look no further. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct hu_holder);
} hu_holders SEC(".maps");

#define HU_HOLDER_WORDS 1024

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HU_HOLDER_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} hu_holder_bits SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct loss_counters);
} hu_losses SEC(".maps");

/* Processes that were announced: tgid -> proc_start. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} hu_seen SEC(".maps");

/* HU_FILTER_TGIDS: the processes wanted; the value means nothing. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} hu_targets SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} hu_cgroup SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct hu_call_key);
	__type(value, struct hu_calls);
} hu_calls SEC(".maps");

/* Unwind rows of all modules, in extents that the loader allots and fills through its mapping. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hu_row);
} hu_rows SEC(".maps");

/* Executable mappings by tgid; filled by the loader only, so it need not be preallocated. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct hu_proc_maps);
} hu_maps SEC(".maps");

/* What a thread has called and what is not over: creating another one, ending, trying to join. By tid. */
enum pthread_mark {
	MARK_CREATE = 1 << 0,
	MARK_DETACHED = 1 << 1, /* … detached */
	MARK_EXIT = 1 << 2,
	MARK_CANCEL = 1 << 3,
	MARK_TRYJOIN = 1 << 4,
};

struct pthread_call {
	__u64 start_routine;
	__u64 thread; /* TRYJOIN */
	__u32 marks;  /* enum pthread_mark */
	__u32 pad;
};

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct pthread_call);
} hu_pthread_calls SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct hu_life_key);
	__type(value, struct hu_life_sum);
} hu_life_sums SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} hu_birth_scratch SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hu_snap_ask);
} hu_snap_ask SEC(".maps");

/* Too large for the programs' stack. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hu_thread_record);
} hu_snap_scratch SEC(".maps");

#ifdef HU_DEFINE_MAPS
const volatile struct hu_config hu_cfg = {};
#else
extern const volatile struct hu_config hu_cfg;
#endif

static __always_inline void loss__add(enum hu_loss what, __u64 n)
{
	__u32 zero = 0;
	struct loss_counters *l = bpf_map_lookup_elem(&hu_losses, &zero);

	if (l && what < HU_LOSS_CNT)
		l->cnt[what] += n;
}

#endif
