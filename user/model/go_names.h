/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Go's frames as all frames are shown: names by the program's own tables, generic functions as Go prints them.
 * Ownership: strings belong to the symbolizer and to the target's program.
 */
#ifndef HOLDUP_MODEL_GO_NAMES_H
#define HOLDUP_MODEL_GO_NAMES_H

#include "user/collect/golang.h"
#include "user/golang/go_wait.h"
#include "user/sym/symbolizer.h"

/* Those at one pc, inlined ones first; 0: no Go code. all: with those that are inlined, and lines. */
size_t go_names__frames(struct symbolizer *symbolizer, const struct go_target *go, uint64_t pc,
			bool leaf, bool all, struct sym_frame *ret, size_t cap);
/* What a goroutine waits for, by these frames of its stack, leaf first; chan: as go_wait__classify() takes it. */
void go_names__classify(const struct go_target *go, const struct go_goroutine *g,
			const struct sym_frame *frames, size_t cnt, uint64_t chan,
			struct go_wait *ret);

#endif
