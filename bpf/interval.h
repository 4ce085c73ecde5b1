/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One interval of a thread off the CPU, from out_ns on: when it ended, and what it was made of. Pure, so that the unit
 * tests run the code that the kernel runs. All times are CLOCK_MONOTONIC; those that two CPUs read may differ by
 * a little (ktime_get_mono_fast_ns()), and nothing here becomes negative by that.
 */
#ifndef HOLDUP_BPF_INTERVAL_H
#define HOLDUP_BPF_INTERVAL_H

#include "bpf/abi.h"

/* Divides it at the waking; wake_ns 0: none was seen, all of it was blocked. */
static inline void interval__divide(__u64 out_ns, __u64 wake_ns, __u64 now_ns, __u64 *blocked_ns,
				    __u64 *runq_ns)
{
	if (now_ns < out_ns)
		now_ns = out_ns;
	if (!wake_ns || wake_ns > now_ns)
		wake_ns = now_ns;
	if (wake_ns < out_ns)
		wake_ns = out_ns;
	*blocked_ns = wake_ns - out_ns;
	*runq_ns = now_ns - wake_ns;
}

/*
 * When it ended for a thread that is seen running at now_ns, though its switch-in was not seen: tracepoints are
 * silent in the context of tasks that a kernel hides (met where the first process of a machine can't be traced), and a
 * switch is traced in the context of the task that leaves. It ran on as long ago as it has used CPU time since, ran_ns;
 * not before it left, nor before it was woken, if that was seen (wake_ns is not 0).
 */
static inline __u64 interval__resumed(__u64 out_ns, __u64 wake_ns, __u64 now_ns, __u64 ran_ns)
{
	__u64 resumed_ns = now_ns > out_ns && ran_ns < now_ns - out_ns ? now_ns - ran_ns : out_ns;

	if (resumed_ns < wake_ns)
		resumed_ns = wake_ns < now_ns ? wake_ns : now_ns;
	return resumed_ns;
}

#endif
