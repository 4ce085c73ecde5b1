/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a command's report goes: standard output, or a file. A report is made in memory and written in one go, so
 * that what fails has its own errno; every failure is told. Errors: an enum exit_status, or negative errno.
 */
#ifndef HOLDUP_OUTPUT_H
#define HOLDUP_OUTPUT_H

#include <stdio.h>

#include "user/view/view.h"

struct output {
	FILE *file;
	const char *path; /* NULL: standard output */
	struct view_style style;
};

/* path belongs to the caller; an exit status. */
int output__open(struct output *o, const char *path);
/* Writes what write(ctx, memory) writes. */
int output__write(struct output *o, int (*write)(void *ctx, FILE *out), void *ctx);
int output__close(struct output *o);

#endif
