// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Births for kernels without bpf_loop(): call stacks by frame pointers. */
#include "bpf/lifetimes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_process_fork")
int hu_birth_fp(__u64 *ctx)
{
	return on_birth(ctx);
}

SEC("?tp_btf/sched_process_exit")
int hu_death_fp(__u64 *ctx)
{
	return on_death(ctx);
}
