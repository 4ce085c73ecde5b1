/* SPDX-License-Identifier: GPL-2.0-only */
/* What hold.c (loading, reading, prices) and hold_attach.c share. */
#ifndef HOLDUP_COLLECT_HOLD_INTERNAL_H
#define HOLDUP_COLLECT_HOLD_INTERNAL_H

#include <bpf/libbpf.h>

#include "user/collect/hold_points.h"

/* A probe at an offset of the file behind fd (the caller's), in the address space of pid. */
int hold__probe(const struct bpf_program *prog, pid_t pid, int fd, uint64_t off, bool at_return,
		uint32_t cookie, struct bpf_link **ret);

#endif
