/* SPDX-License-Identifier: GPL-2.0-only */
/* What hold.c (loading, reading, prices) and hold_attach.c share; go_probes.c places its probes by the same functions. */
#ifndef HOLDUP_COLLECT_HOLD_INTERNAL_H
#define HOLDUP_COLLECT_HOLD_INTERNAL_H

#include <bpf/libbpf.h>

#include "user/collect/hold_points.h"

/* <linux/bpf.h> of 6.6, which may be newer than the one that this is built with. */
#define BPF_TRACE_UPROBE_MULTI	  48
#define BPF_F_UPROBE_MULTI_RETURN 1

/* Probes of one program in one file. */
struct hold_probes {
	const struct bpf_program *prog;
	pid_t pid; /* in whose address space alone they are placed; 0: of all who run the file */
	int fd;	   /* of the file; the caller's */
	bool at_return; /* the return address is replaced */
	size_t cnt;
	uint64_t off[HOLD_POINTS_MAX];
	uint64_t cookie[HOLD_POINTS_MAX];
};

/*
 * Return the descriptor of a link, whose end takes them away, or negative errno. All by one link (6.6), which ends as
 * quickly as one probe, for which the kernel waits up to 100 ms; or number i.
 */
int hold__probe_many(const struct hold_probes *p);
int hold__probe_one(const struct hold_probes *p, size_t i);

#endif
