/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The options that commands share, parsed once. Every mistake is one line on stderr that names the
 * option and what it takes; the exit status is then EXIT_USAGE.
 */
#ifndef HOLDUP_OPTIONS_H
#define HOLDUP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/model/locks.h"

/* What holdup's exit status says; the design's table. */
enum exit_status {
	EXIT_FINE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_UNSUPPORTED = 3, /* not permitted, or not possible here: the message says what to do */
	EXIT_FOUND = 10,      /* `check` */
};

#define OPTIONS_PIDS_MAX   256
#define OPTIONS_IGNORE_MAX 64

struct options {
	pid_t pids[OPTIONS_PIDS_MAX];
	unsigned pid_cnt;
	pid_t tid;
	const char *comm;
	const char *cgroup;
	char **program;	      /* NULL: none; else a NULL-terminated argv */
	uint64_t duration_ns; /* 0: not given */
	uint64_t interval_ns; /* 0: one report at the end */
	struct locks_query query;
	int off_by;				/* enum off_by: offcpu */
	const char *states;			/* of proc(5): offcpu; NULL: all */
	bool sched, folded;			/* offcpu */
	bool all, raw, dot, watch;		/* stacks */
	uint64_t longer_ns;			/* stacks --watch: blocked for so long */
	uint64_t for_ns, timeout_ns;		/* check; 0: not given */
	const char *ignore[OPTIONS_IGNORE_MAX]; /* check: patterns of functions */
	unsigned ignore_cnt;
	uint64_t min_age_ns;  /* leaks; 0: not given */
	const char *baseline; /* leaks: a file; NULL: none */
	uint64_t min_wait_ns;
	bool json;
	const char *output; /* NULL: stdout */
	bool futex_calls;
	bool hold;
	bool go_probes;
	bool debuginfod;
	uint64_t ring_sz, unwind_mem; /* bytes */
	int verbose;
	/* --assume, for tests and benchmarks */
	bool by_proc;	   /* --assume no-iterator: stacks and check */
	bool no_last_look; /* check: a kernel on which a program's end can't be waited for */
	bool force_hash, force_raw, force_frame_pointers, no_stacks, no_blame;
	uint16_t memo; /* enum hu_memo; --assume too */
};

/*
 * Parses argv[1…]; 0, or an exit status + 1 to end with (help was printed, or a mistake told). An option that help
 * does not mention is none of this command's.
 */
int options__parse(int argc, char **argv, const char *help, struct options *ret);

#endif
