/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Matches a comm against a compiled pattern: one table look-up a character and no branch on the
 * data, so that the verifier of every kernel follows it.
 */
#ifndef HOLDUP_BPF_GLOB_H
#define HOLDUP_BPF_GLOB_H

#include "bpf/abi.h"

static inline int glob__matches(const volatile struct hu_glob *g, const char comm[HU_COMM_LEN])
{
	__u32 state = 1;

	for (int i = 0; i < HU_COMM_LEN; i++) {
		__u8 c = comm[i];

		if (!c)
			break;
		state = (state & g->match[c]) << 1 | (state & g->stay);
	}
	return (state & g->accept) != 0;
}

#endif
