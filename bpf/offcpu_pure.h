/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What needs no kernel: histograms, identities and times, so that the unit tests run the code that the kernel runs. */
#ifndef HOLDUP_BPF_OFFCPU_PURE_H
#define HOLDUP_BPF_OFFCPU_PURE_H

#include "bpf/abi.h"

/* The number of the highest bit that is set; v is not 0. BPF has no instruction for it. */
static inline __u32 off__msb(__u64 v)
{
	__u32 bit = 0;

	if (v >> 32) {
		v >>= 32;
		bit += 32;
	}
	if (v >> 16) {
		v >>= 16;
		bit += 16;
	}
	if (v >> 8) {
		v >>= 8;
		bit += 8;
	}
	if (v >> 4) {
		v >>= 4;
		bit += 4;
	}
	if (v >> 2) {
		v >>= 2;
		bit += 2;
	}
	return bit + (v >> 1);
}

static inline __u32 off__bucket(__u64 ns)
{
	const __u64 subs = 1 << HU_OFF_SUB_BITS;
	__u64 units = ns >> HU_OFF_UNIT_BITS;
	__u32 power, bucket;

	if (units < subs)
		return units;
	power = off__msb(units) - HU_OFF_SUB_BITS;
	bucket = ((power + 1) << HU_OFF_SUB_BITS) + ((units >> power) & (subs - 1));
	return bucket < HU_OFF_BUCKETS - 1 ? bucket : HU_OFF_BUCKETS - 1;
}

/* The middle of a bucket. */
static inline __u64 off__middle_ns(__u32 bucket)
{
	const __u64 subs = 1 << HU_OFF_SUB_BITS;
	__u64 from = bucket, wide = 1;

	if (bucket >= subs) {
		wide = 1ULL << ((bucket >> HU_OFF_SUB_BITS) - 1);
		from = (subs + (bucket & (subs - 1))) * wide;
	}
	return (from << HU_OFF_UNIT_BITS) + (wide << HU_OFF_UNIT_BITS) / 2;
}

static inline __u64 off__mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* What names intervals that have all but args and comm in common; 0 is none. */
static inline __u64 off__site(const struct hu_off_what *w)
{
	__u64 hash = off__mix(w->proc_start, (__u64)w->tgid << 32 | w->tid);

	hash = off__mix(hash, w->reason);
	hash = off__mix(hash, w->user_stack);
	hash = off__mix(hash, w->kernel_stack);
	hash = off__mix(hash, (__u64)w->state << 32 | (w->flags & ~HU_OFF_ARGS));
	return hash ? hash : 1;
}

/*
 * Divides an interval from out_ns to now_ns at the waking; wake_ns 0: none was seen, all of it was blocked. The clocks
 * of two CPUs may differ by a little (ktime_get_mono_fast_ns()).
 */
static inline void off__divide(__u64 out_ns, __u64 wake_ns, __u64 now_ns, __u64 *blocked_ns,
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
 * When a thread ran on that is seen running though its coming to the CPU was not (as in wait__resume_late(),
 * bpf/wait.h): as long ago as it has used CPU time since.
 */
static inline __u64 off__resumed(__u64 out_ns, __u64 wake_ns, __u64 now_ns, __u64 ran_ns)
{
	__u64 resumed_ns = now_ns > out_ns && ran_ns < now_ns - out_ns ? now_ns - ran_ns : out_ns;

	if (resumed_ns < wake_ns)
		resumed_ns = wake_ns < now_ns ? wake_ns : now_ns;
	return resumed_ns;
}

#endif
