/* SPDX-License-Identifier: GPL-2.0-only */
/* The side of debuginfod.h that runs in workers. */
#ifndef HOLDUP_SYM_DEBUGINFOD_WORKER_H
#define HOLDUP_SYM_DEBUGINFOD_WORKER_H

struct debuginfod_job {
	char *urls;
	char folder[64];
};

/*
 * Says once whether the library is there (-EALREADY) or not (-ELIBACC), then answers build-ids with a
 * 32-bit negative errno, or 0 and a descriptor. arg: struct debuginfod_job.
 */
void debuginfod_worker__serve(int sock, int fd, const void *arg);
/* Removes what is in the folder, and says so by ending. */
void debuginfod_worker__clean(int sock, int fd, const void *arg);

#endif
