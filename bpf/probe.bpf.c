// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What can this kernel attach? Empty programs in a skeleton of their own, tried one by one. */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?tp_btf/sched_switch")
int hu_probe_tp_btf(void *ctx)
{
	return 0;
}

SEC("?raw_tp/sched_switch")
int hu_probe_raw_tp(void *ctx)
{
	return 0;
}

#if defined(__TARGET_ARCH_x86)
SEC("?fexit/__x64_sys_futex")
#else
SEC("?fexit/__arm64_sys_futex")
#endif
int hu_probe_fentry(void *ctx)
{
	return 0;
}
