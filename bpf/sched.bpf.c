// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The clock with call stacks by unwind rows: tp_btf, bpf_loop() (5.17). */
#define HU_UNWIND
#include "bpf/sched.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_switch")
int hu_switch(__u64 *ctx)
{
	return on_switch(ctx, (bool)ctx[0], (struct task_struct *)ctx[1],
			 (struct task_struct *)ctx[2]);
}

SEC("?tp_btf/sched_waking")
int hu_waking(__u64 *ctx)
{
	on_waking(ctx, (struct task_struct *)ctx[0]);
	return 0;
}
