// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What hooks cost by themselves: programs that do nothing where holdup's two hot ones are; and what the
 * kernel's own walk by frame pointers costs there, for the sleeps of one process.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_FRAMES 127 /* PERF_MAX_STACK_DEPTH, include/uapi/linux/perf_event.h */

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 watched_tgid;
const volatile _Bool takes_stacks;

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16384);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, MAX_FRAMES * sizeof(__u64));
} stacks SEC(".maps");

SEC("tp_btf/sched_switch")
int empty_switch(void *ctx)
{
	return 0;
}

SEC("tp_btf/sched_waking")
int empty_waking(void *ctx)
{
	return 0;
}

/* ctx[0]: the thread did not want to leave. Current is still the one that does. */
SEC("?tp_btf/sched_switch")
int stackid_switch(__u64 *ctx)
{
	if (ctx[0] || bpf_get_current_pid_tgid() >> 32 != watched_tgid)
		return 0;
	if (takes_stacks)
		bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	return 0;
}
