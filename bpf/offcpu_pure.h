/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What needs no kernel: histograms and identities, so that the unit tests run the code that the kernel runs. */
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

#endif
