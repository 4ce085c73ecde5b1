/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Source lines and inlined functions of one file's DWARF, by libdw in a worker process.
 *
 * Debugging information is the largest and least bounded format that targets hand us: libdw
 * recurses as deep as its trees and has no limits on time. So a worker (worker.h) reads it, which is
 * ended when an answer takes too long; we only see fixed-size answers. Errors: negative errno; once a
 * worker has failed, every further question is answered with 0 frames at once.
 */
#ifndef HOLDUP_SYM_LINES_H
#define HOLDUP_SYM_LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINES_FRAMES_MAX 16
#define LINES_TEXT_MAX	 512

/* Innermost first; the last is the function that has the code, those before are inlined into it. */
struct lines_frame {
	char function[LINES_TEXT_MAX]; /* linkage name, else the plain name; "" when unknown */
	char file[LINES_TEXT_MAX];     /* "" when unknown */
	int32_t line;		       /* 0 when unknown */
};

struct lines;

int lines__start(int fd, struct lines **ret); /* fd stays the caller's */
void lines__stop(struct lines *l);	      /* NULL is fine */
size_t lines__query(struct lines *l, uint64_t vaddr, struct lines_frame *ret, size_t cap);

#endif
