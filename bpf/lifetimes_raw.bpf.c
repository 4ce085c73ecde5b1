// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same programs where tp_btf can't be had. */
#define HU_RAW
#include "bpf/lifetimes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?raw_tp/sched_process_fork")
int hu_birth_raw(__u64 *ctx)
{
	return on_birth(ctx);
}

SEC("?raw_tp/sched_process_exit")
int hu_death_raw(__u64 *ctx)
{
	return on_death(ctx);
}
