// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What hooks cost by themselves: programs that do nothing where holdup's two hot ones are. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

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
