/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which bucket of a histogram a duration belongs to (HU_HOLD_BUCKETS in bpf/abi_hold.h). Pure. */
#ifndef HOLDUP_BPF_HIST_H
#define HOLDUP_BPF_HIST_H

#include "bpf/abi.h"

/* Of ns >= 1 << HU_HOLD_LOW_BITS and below 2^36. */
static __always_inline __u32 hold__log2(__u64 ns)
{
	__u32 log = 0;

	if (ns >> 32) {
		log += 32;
		ns >>= 32;
	}
	if (ns >> 16) {
		log += 16;
		ns >>= 16;
	}
	if (ns >> 8) {
		log += 8;
		ns >>= 8;
	}
	if (ns >> 4) {
		log += 4;
		ns >>= 4;
	}
	if (ns >> 2) {
		log += 2;
		ns >>= 2;
	}
	return log + (ns >> 1);
}

static __always_inline __u32 hold__bucket(__u64 ns)
{
	__u32 log, bucket;

	if (ns < 1 << HU_HOLD_LOW_BITS)
		return 0;
	log = hold__log2(ns);
	bucket = ((log - HU_HOLD_LOW_BITS) << HU_HOLD_SUB_BITS) + 1 +
		 ((ns >> (log - HU_HOLD_SUB_BITS)) & ((1 << HU_HOLD_SUB_BITS) - 1));
	return bucket < HU_HOLD_BUCKETS ? bucket : HU_HOLD_BUCKETS - 1;
}

#endif
