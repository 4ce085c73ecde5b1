/* SPDX-License-Identifier: GPL-2.0-only */
/* What session.c (loading, attaching) and session_source.c (reading) share. */
#ifndef HOLDUP_COLLECT_SESSION_INTERNAL_H
#define HOLDUP_COLLECT_SESSION_INTERNAL_H

#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "bpf/holdup.skel.h"
#include "user/collect/session.h"

struct session {
	struct source source; /* first: ops get it back */
	struct holdup_bpf *skel;
	struct ring_buffer *ring;
	struct bpf_link *links[10];
	size_t link_cnt;
	int ncpus;
	bool raw, hash, unwind;
	bool holds;
	bool calls_wanted, calls_by_tp, sees_calls;
	int handler_err;
	struct {
		bool multi; /* by links of many probes each */
		int *fd;    /* of the probes' links */
		size_t fd_cnt;
	} hold;
};

extern const struct source_ops session_ops;

/* Runs an iterator: fn gets each of its records. */
int session__iterate(const struct bpf_program *prog, size_t record_sz, source_record_fn fn,
		     void *ctx);

#endif
