/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an earlier `holdup leaks --json` found, for telling what is new since. The file may be anybody's: what is read
 * of it is bounded, and what has not the shape of such a report is refused.
 *
 * Errors: -EINVAL: *why says what is wrong with it; -EFBIG; -ENOMEM; those of reading.
 */
#ifndef HOLDUP_MODEL_LEAKS_BASELINE_H
#define HOLDUP_MODEL_LEAKS_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#define LEAKS_BASELINE_MAX (64 << 20) /* bytes */

struct leaks_baseline;

int leaks_baseline__read(const char *path, struct leaks_baseline **ret, const char **why);
int leaks_baseline__parse(const char *text, size_t len, struct leaks_baseline **ret,
			  const char **why);
void leaks_baseline__free(struct leaks_baseline *b); /* NULL is fine */
/* How many threads the suspect with this key had; 0: it is new. */
uint64_t leaks_baseline__count(const struct leaks_baseline *b, uint64_t key);

#endif
