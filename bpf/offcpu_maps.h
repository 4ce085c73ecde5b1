/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of the programs that account time off the CPU (bpf/offcpu.h), as bpf/maps.h has the others. */
#ifndef HOLDUP_BPF_OFFCPU_MAPS_H
#define HOLDUP_BPF_OFFCPU_MAPS_H

#include "bpf/maps.h"

enum off_phase {
	OFF_UNKNOWN = 0, /* it has not been seen yet */
	OFF_RUNS,
	OFF_LEFT, /* it is off the CPU; wake_ns tells since when it could run */
};

#define OFF_WINDOW_WORDS 512 /* of a kernel stack from the tracepoint upwards: 4 KiB */
#define OFF_ROOT_WORDS	 8   /* … below the registers, where it begins */
#define OFF_MEMO_SLOTS	 48

/* A kernel stack, and the words that it was found by (bpf/kstack.h). */
struct kernel_memo {
	__u64 stack_id; /* 0: nothing is remembered */
	__u64 hash;	/* of the words */
	__u64 root;	/* the last frame, which lies … */
	__u32 root_off; /* … so many bytes below the registers */
	__s32 nr;	/* of the system call */
	__u32 bytes;	/* from the tracepoint's frame up to the last of the words */
	__u32 cnt;
	__u16 off[OFF_MEMO_SLOTS]; /* of each, from the tracepoint's frame, in units of 8 bytes */
};

#define OFF_KMEMOS 2

struct off_state {
	__u64 out_ns, wake_ns, early_ns;
	__u64 cpu_ns; /* its CPU time when it left */
	__u64 site;
	__u64 reason, user_stack, kernel_stack;
	__u64 raw_ns; /* when its stack was last sent raw */
	__u32 state, flags;
	__u32 rescan;
	__u32 announced; /* its process's execs, and 1, when that was announced last */
	__u32 seed, short_waits, long_waits, pad;
	__u32 phase; /* enum off_phase */
	__u32 next_kernel;
	struct kernel_memo kernel[OFF_KMEMOS];
};

struct kernel_scratch {
	__u64 from, to; /* addresses, where the verifier need not follow them */
	__u32 busy, pad;
	__u64 word[OFF_WINDOW_WORDS];
	__u64 root[OFF_ROOT_WORDS];
	struct hu_kernel_stack stack;
	/* Of a search for the words that make the stack. */
	__u64 lowest, highest, bloom;
	__u32 next, started;
};

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct off_state);
} hu_off_threads SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct hu_off_key);
	__type(value, struct hu_off_site);
} hu_off_sites SEC(".maps");

/* The same by process alone, for what finds no room there. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct hu_off_key);
	__type(value, struct hu_off_site);
} hu_off_sums SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct hu_off_waker_key);
	__type(value, struct hu_off_waker);
} hu_off_wakers SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct hu_kernel_stack);
} hu_off_kstacks SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_scratch);
} hu_off_scratch SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_scratch);
} hu_off_waking_scratch SEC(".maps");

HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hu_off_ask);
} hu_off_ask SEC(".maps");

/* By number of the CPU. */
HU_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hu_off_queue);
} hu_off_queues SEC(".maps");

#endif
