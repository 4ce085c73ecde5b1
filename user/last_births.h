/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was seen of the births of one process's threads, for who tells what it leaves behind (model/leftovers.h):
 * of those that live, and those that ended and were not joined. Frames belong to the object, strings to the
 * symbolizer of the live measurement. -ENOMEM.
 */
#ifndef HOLDUP_LAST_BIRTHS_H
#define HOLDUP_LAST_BIRTHS_H

#include "user/live.h"
#include "user/model/birth_site.h"
#include "user/model/leftovers.h"

struct last_births {
	struct left_birth *birth; /* oldest first at each site */
	size_t cnt;
	struct left_end *end; /* of a process that is over: who was still there */
	size_t end_cnt;
	struct birth_site *site;
	size_t site_cnt;
};

/* NULL: it has never had a second thread, as far as is known. */
const struct lt_process *last_births__process(const struct live *l, uint32_t tgid);
int last_births__take(const struct live *l, const struct lt_process *p, struct last_births *ret);
void last_births__free(struct last_births *b); /* an empty one is fine */

/* TIDs of threads that have ended, process by process: whoever has one as the owner of a lock is gone. */
struct last_deaths {
	uint64_t *key; /* sorted up to `sorted` */
	size_t cnt, cap, sorted;
};

void last_deaths__note(void *deaths, const struct hu_death_record *rec);
bool last_deaths__has(struct last_deaths *d, uint32_t tgid, uint32_t tid);
void last_deaths__free(struct last_deaths *d);

#endif
