// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same programs where tp_btf can't be had. */
#define HU_RAW
#include "bpf/life.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?raw_tp/sched_process_fork")
int hu_fork_raw(__u64 *ctx)
{
	return on_fork(ctx);
}

SEC("?raw_tp/sched_process_exec")
int hu_exec_raw(__u64 *ctx)
{
	return on_exec(ctx);
}

SEC("?raw_tp/sched_process_exit")
int hu_exit_raw(__u64 *ctx)
{
	return on_exit(ctx);
}
