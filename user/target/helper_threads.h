/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that a runtime or library keeps for itself until the program ends, without being asked to end them: at a
 * program's end they are no leftovers of its own. Pure; strings are constants.
 */
#ifndef HOLDUP_TARGET_HELPER_THREADS_H
#define HOLDUP_TARGET_HELPER_THREADS_H

#include <stddef.h>

#include "user/sym/symbolizer.h"

/*
 * Whose thread this is ("JVM", "libgomp pool", …); NULL: the program's. comm is its name; start the frame of its start
 * routine, NULL: not known; frames its stack, leaf first.
 */
const char *target__helper_thread(const char *comm, const struct sym_frame *start,
				  const struct sym_frame *frames, size_t cnt);

#endif
