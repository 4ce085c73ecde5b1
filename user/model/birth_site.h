/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The place that creates threads, in names: the creator's call stack. Frames are the caller's to free; strings belong
 * to the symbolizer. -ENOMEM.
 */
#ifndef HOLDUP_MODEL_BIRTH_SITE_H
#define HOLDUP_MODEL_BIRTH_SITE_H

#include <stdbool.h>

#include "user/aggregate/lifetimes.h"
#include "user/sym/symbolizer.h"

struct birth_site {
	const struct lt_site *site;
	struct sym_frame *frames; /* leaf first */
	size_t cnt;
	int api;    /* frames[0..api] are the thread library's; -1: none */
	bool whole; /* the stack reaches to the creator's start */
};

/* A site whose stack is not known has no frames. */
int birth_site__name(const struct lt_site *site, const struct aggregate *aggregate,
		     struct symbolizer *symbolizer, struct birth_site *ret);

#endif
