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
	struct bpf_link *links[20];
	size_t link_cnt;
	int ncpus;
	bool raw, hash, unwind, blame;
	bool waits, lives;
	bool holds;
	bool calm; /* features.calm */
	bool calls_wanted, calls_by_tp, sees_calls;
	bool offcpu, sched;
	int handler_err;
	struct {
		bool multi; /* by links of many probes each */
		int *fd;    /* of the probes' links */
		size_t fd_cnt;
	} hold;
};

extern const struct source_ops session_ops;

/* Calls fn for each record of an iterator, which are all of this size. */
int session__iterate(const struct bpf_program *prog, size_t record_sz, source_record_fn fn,
		     void *ctx);
/* For a session of SESSION_OFFCPU: its programs and maps instead of those for locks. */
void session__choose_offcpu(struct session *s, const struct session_config *cfg);
/* Of any other: none of its maps. */
void session__leave_out_offcpu(struct session *s);
/* -EOPNOTSUPP: this kernel lacks what they need. */
int session__check_offcpu(const struct session_config *cfg, const struct features *f,
			  const char **why);

#endif
