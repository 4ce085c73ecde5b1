// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bpf/life.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_process_fork")
int hu_fork(__u64 *ctx)
{
	return on_fork(ctx);
}

SEC("?tp_btf/sched_process_exec")
int hu_exec(__u64 *ctx)
{
	return on_exec(ctx);
}

SEC("?tp_btf/sched_process_exit")
int hu_exit(__u64 *ctx)
{
	return on_exit(ctx);
}
