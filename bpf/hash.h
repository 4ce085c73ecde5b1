/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The identity of a stack, the same on both sides. */
#ifndef HOLDUP_BPF_HASH_H
#define HOLDUP_BPF_HASH_H

#include "bpf/abi.h"

/* Multiply and fold, one pc at a time; the constant is 2^64 / phi (Knuth, TAOCP 6.4). */
static inline __u64 stack__hash(const struct hu_stack *s)
{
	__u64 hash = s->tgid + ((__u64)s->flags << 32) + ((__u64)s->exact << 48);

	for (int i = 0; i < HU_MAX_FRAMES; i++) {
		if (i >= s->frames)
			break;
		hash = (hash ^ s->pcs[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	return hash ? hash : 1; /* 0 means no stack */
}

#endif
