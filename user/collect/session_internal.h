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
	struct bpf_link *links[16];
	size_t link_cnt;
	int ncpus;
	bool raw, hash, unwind;
	bool waits, lives;
	bool calm; /* features.calm */
	bool calls_wanted, calls_by_tp, sees_calls;
	int handler_err;
};

extern const struct source_ops session_ops;

#endif
