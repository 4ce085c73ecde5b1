/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one look at processes has learned of them, for the next one: names, and unwind tables of their modules, which
 * take much longer to read than threads do. A process is the same one while its PID, its start and its count of execs
 * are (struct hu_thread_record); its mappings are read anew at each look.
 *
 * Ownership: names belong to the object. What is known of processes that are gone goes with known__renew(), which frees
 * everything; it is wanted once most of it is of no use any more. Errors: negative errno.
 */
#ifndef HOLDUP_COLLECT_KNOWN_H
#define HOLDUP_COLLECT_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "user/collect/golang.h"
#include "user/collect/walker.h"
#include "user/util/table.h"

struct known_names {
	struct symbolizer *symbolizer;
	struct walker *walker;
	struct table processes; /* of struct known_process */
	struct go_set go;	/* Go programs */
	size_t looks;
};

/* *k zeroed before the first time. -ENOMEM; then only known__free() may follow. */
int known__renew(struct known_names *k);
void known__free(struct known_names *k);
/* Is it time for that? live: processes of the last look. */
bool known__worn(const struct known_names *k, size_t live);
/* The names of the process in this record; -ESRCH: it is gone. */
int known__process(struct known_names *k, const struct hu_thread_record *rec,
		   struct sym_process **ret);
/* The same process as a Go program, once its names are known; *ret NULL: it is none, or not known. -ENOMEM. */
int known__golang(struct known_names *k, const struct hu_thread_record *rec,
		  struct go_target **ret);
/* Samples the goroutines of all Go programs that are known (go_target__sample()). */
int known__sample_golang(struct known_names *k);

#endif
