/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A look at the threads that there are, as `stacks` and `check` need it: iterator, names, unwind tables and what calls
 * wait for, wired together; each look makes a report of its own.
 *
 * look__open() tells the user what went wrong and returns an enum exit_status; the others return 0 or negative errno
 * after telling. Everything is freed by look__close(), also after a failed open.
 */
#ifndef HOLDUP_LOOK_H
#define HOLDUP_LOOK_H

#include "user/collect/snapshot.h"
#include "user/collect/target.h"
#include "user/model/stacks.h"
#include "user/options.h"

struct look {
	const struct options *opt;
	struct threads *threads;
	struct known_names known; /* of processes, from look to look */
	struct calls *calls;
	struct kernel_names *kernel;
	struct watchdog *watchdog;
	struct snapshot *snapshot;
	struct stacks_report *report;
	struct stacks_query query;
	struct program *program; /* with -- PROGRAM; NULL: none */
	struct program own_program;
	pid_t also; /* one more process of the program, which may be no more among its children; 0: none */
};

/* *look zeroed. With a program to run it is started and held back. */
int look__open(struct look *look, const struct options *opt);
/*
 * The same beside a struct live, which is opened after it: it starts the program, which is to be set then, and gives
 * up the privileges.
 */
int look__open_beside(struct look *look, const struct options *opt);
/* A new report in look->report, in place of the last one; between_ns: at least so long between its two looks. */
int look__take(struct look *look, uint64_t between_ns);
void look__close(struct look *look);

#endif
