/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A report on time off the CPU in the making: sites become places (offcpu_places.c), with a reason in words
 * (offcpu_reason.c) and wakers (offcpu_wakers.c); places become rows (offcpu.c). Internal to these. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_OFFCPU_BUILD_H
#define HOLDUP_MODEL_OFFCPU_BUILD_H

#include "user/model/offcpu.h"

#define OFF_FRAMES_MAX	      256
#define OFF_PLACES_WITH_LINES 16 /* of a report, and of a row: libdw is slow */
#define OFF_WAKERS_WITH_LINES 3

struct off_builder {
	const struct off_input *in;
	const struct off_query *query;
	struct off_report *report;
	struct table places; /* of struct off_place */
};

/* Everything of a place's reason; its frames and kernel stack are set. */
int off_place__explain(struct off_builder *b, const struct off_site *site, struct off_place *p);
/* Adds a site's wakers to those of its place. */
int off_place__add_wakers(struct off_builder *b, const struct off_site *site, struct off_place *p);
/* After the last site. */
void off_place__finish_wakers(struct off_place *p);

int off_builder__places(struct off_builder *b);
/* Source lines for its frames. */
int off_place__find_lines(struct off_builder *b, struct off_place *p);
void off_place__free(void *place);

/* Names of a kernel stack, without what lies below the scheduler or the waking. */
int off_kernel__name(struct off_builder *b, uint64_t id, bool waker, struct off_kernel *ret);
bool off_kernel__has(const struct off_kernel *k, const char *const *prefixes);
/* The same function where several lie at one address, or none has a name. */
bool off_frames__equal(const struct sym_frame *a, size_t a_cnt, const struct sym_frame *b,
		       size_t b_cnt);
bool off_kernel__equal(const struct off_kernel *a, const struct off_kernel *b);
uint64_t off_frames__hash(uint64_t hash, const struct sym_frame *frames, size_t cnt);
const char *off_builder__text(struct off_builder *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void off_stats__add(struct off_stats *to, const struct off_stats *from);

#endif
