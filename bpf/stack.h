/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user stack of current, stored once under a 64-bit hash of our own: two stacks never share an
 * entry in practice (2^-64 a pair), and none is lost to a collision as in BPF_MAP_TYPE_STACK_TRACE.
 */
#ifndef HOLDUP_BPF_STACK_H
#define HOLDUP_BPF_STACK_H

#include "bpf/maps.h"
#include "bpf/hash.h"

static __always_inline __u64 stack__store(struct hu_stack *s)
{
	__u64 id = stack__hash(s);

	if (bpf_map_lookup_elem(&hu_stacks, &id))
		return id;
	if (bpf_map_update_elem(&hu_stacks, &id, s, BPF_ANY)) {
		loss__add(HU_LOSS_STACK_FULL, 1);
		return 0;
	}
	loss__add(HU_LOSS_STACKS_NEW, 1);
	return id;
}

/* By frame pointers: the kernel's own walk, which misses frames where code keeps none. */
static __always_inline __u64 stack__by_frame_pointers(void *ctx, struct hu_stack *s, __u32 tgid)
{
	long sz = bpf_get_stack(ctx, s->pcs, sizeof(s->pcs), BPF_F_USER_STACK);

	if (sz <= 0) {
		loss__add(HU_LOSS_STACK_FAIL, 1);
		return 0;
	}
	s->tgid = tgid;
	s->frames = (__u64)sz / sizeof(s->pcs[0]);
	s->exact = 1;
	s->flags = HU_STACK_FRAMEPTR;
	if (s->frames == HU_MAX_FRAMES)
		s->flags |= HU_STACK_TRUNCATED;
	return stack__store(s);
}

#endif
