/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A leaks report in the making: what births and deaths tell (leaks_births.c), what a look at the threads tells
 * (leaks_stuck.c), names (leaks_names.c); leaks.c puts it together. Internal to these files. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LEAKS_BUILD_H
#define HOLDUP_MODEL_LEAKS_BUILD_H

#include "user/model/birth_site.h"
#include "user/model/leaks.h"

#define EVIDENCE_SZ 1024

struct leaks_builder {
	struct leaks_report r;
	const struct leaks_input *in;
	size_t cap;
	struct table sites; /* of struct birth_site, by struct lt_site */
	/* Threads that a suspect has already: one suspect for each thread and kind of trouble. */
	uint8_t *taken; /* for each of stacks->thread */
};

/* A new one, zeroed but for its process; evidence is to be set by leaks__say(). NULL: -ENOMEM. */
struct leak_suspect *leaks__add(struct leaks_builder *b, enum leak_reason reason, uint32_t tgid,
				const char *comm);
int leaks__say(struct leak_suspect *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Where the site's threads are created, and what they run (start, 0: not known); site NULL: nothing is known. */
int leaks__name_site(struct leaks_builder *b, struct leak_suspect *s, const struct lt_site *site,
		     uint64_t start);
/* What is known of a thread's life; NULL: nothing. */
const struct lt_thread *leaks__life_of(const struct leaks_builder *b,
				       const struct blocked_thread *t);
/* Its site; NULL: not known. */
const struct lt_site *leaks__site_of(const struct leaks_builder *b, const struct blocked_thread *t);

int leaks__find_unjoined(struct leaks_builder *b);
int leaks__find_growing(struct leaks_builder *b);
int leaks__find_orphaned(struct leaks_builder *b);
int leaks__find_blocked(struct leaks_builder *b);
int leaks__find_same_line(struct leaks_builder *b);
int leaks__find_goroutines(struct leaks_builder *b); /* leaks_go.c */

#endif
