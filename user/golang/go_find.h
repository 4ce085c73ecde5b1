/* SPDX-License-Identifier: GPL-2.0-only */
/* The runtime's variables of a running program, by symbols or by proof: internal to user/golang. */
#ifndef HOLDUP_GOLANG_GO_FIND_H
#define HOLDUP_GOLANG_GO_FIND_H

#include "user/golang/go_process.h"

struct go_found {
	uint64_t allgs, allp, sched, wait_reasons; /* 0: not found */
	bool by_proof;
};

/* NULL, or why the goroutines can't be believed. allgs is set then; others may be missing. */
const char *go_find__variables(const struct go_process *p, struct go_found *ret);

#endif
