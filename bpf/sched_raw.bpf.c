// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same programs where tp_btf can't be had: raw tracepoints, thread state in a hash. */
#define HU_RAW
#include "bpf/sched.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?raw_tp/sched_switch")
int hu_switch_raw(__u64 *ctx)
{
	return on_switch(ctx, (bool)ctx[0], (struct task_struct *)ctx[1],
			 (struct task_struct *)ctx[2]);
}

SEC("?raw_tp/sched_waking")
int hu_waking_raw(__u64 *ctx)
{
	on_waking(ctx, (struct task_struct *)ctx[0]);
	return 0;
}
