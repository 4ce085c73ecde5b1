/* SPDX-License-Identifier: GPL-2.0-only */
/* The side of lines.h that runs in the worker process. */
#ifndef HOLDUP_SYM_LINES_WORKER_H
#define HOLDUP_SYM_LINES_WORKER_H

#include "user/sym/lines.h"

/* Answers the 64-bit addresses that arrive on sock with arrays of frames, until it is closed. */
void lines_worker__serve(int sock, int elf_fd);

#endif
