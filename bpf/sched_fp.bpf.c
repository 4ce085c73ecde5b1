// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The clock for kernels without bpf_loop(): call stacks by frame pointers. */
#include "bpf/sched.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_switch")
int hu_switch_fp(__u64 *ctx)
{
	return on_switch(ctx, (bool)ctx[0], (struct task_struct *)ctx[1],
			 (struct task_struct *)ctx[2]);
}

SEC("?tp_btf/sched_waking")
int hu_waking_fp(__u64 *ctx)
{
	on_waking(ctx, (struct task_struct *)ctx[0]);
	return 0;
}
