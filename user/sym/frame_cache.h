/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What pcs were named before, by (serial of the process, pc, leaf). Bounded: when it is full, or
 * there is no memory for more, it starts anew. The strings are the symbolizer's.
 */
#ifndef HOLDUP_SYM_FRAME_CACHE_H
#define HOLDUP_SYM_FRAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/sym/symbolizer.h"

struct frame_cache;

struct frame_key {
	uint64_t serial; /* not 0 */
	uint64_t pc;
	bool leaf;
};

int frame_cache__new(struct frame_cache **ret); /* -ENOMEM */
void frame_cache__free(struct frame_cache *c);	/* NULL is fine */
bool frame_cache__get(const struct frame_cache *c, struct frame_key key, struct sym_frame *ret);
size_t frame_cache__count(const struct frame_cache *c);
/* Forgets all, and gives the memory back. */
void frame_cache__clear(struct frame_cache *c);
/* A frame without file and line. */
void frame_cache__put(struct frame_cache *c, struct frame_key key, const struct sym_frame *frame);

#endif
