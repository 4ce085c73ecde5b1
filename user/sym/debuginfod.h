/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debug files from servers, by build-id (debuginfod(8)); only for users who ask for it.
 *
 * libdebuginfod is loaded in a worker (worker.h) that has given up root, and nowhere else: holdup starts
 * without it, and neither its HTTP and TLS nor what servers answer come near our privileges. Files
 * are unlinked once they are here, and nothing is kept between runs.
 *
 * Time: a file may take DEBUGINFOD_FILE_MS, all files of a run together DEBUGINFOD_TOTAL_MS; after
 * DEBUGINFOD_FAILURES servers that did not answer, one after the other, none is asked any more. A
 * server that has no such file has answered.
 */
#ifndef HOLDUP_SYM_DEBUGINFOD_H
#define HOLDUP_SYM_DEBUGINFOD_H

#define DEBUGINFOD_FILE_MS  5000
#define DEBUGINFOD_TOTAL_MS 30000
#define DEBUGINFOD_FAILURES 3

struct debuginfod;

/*
 * Servers are those of $DEBUGINFOD_URLS, else of /etc/debuginfod, which distributions set up.
 * -ENOENT: there are none; -ELIBACC: libdebuginfod is not installed; or another negative errno.
 */
int debuginfod__new(struct debuginfod **ret);
void debuginfod__free(struct debuginfod *d); /* NULL is fine */
/*
 * The debug file for a build-id in hexadecimal: a descriptor, the caller's. What it holds is for the
 * caller to check. -ENOENT: no server has it; else a negative errno.
 */
int debuginfod__fetch(struct debuginfod *d, const char *build_id);

#endif
