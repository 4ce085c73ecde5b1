/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last limit for work that may hang in the kernel, where util/patience.h does not see it: a wait there that is
 * killable, and not interruptible, is ended by ending us, with a message.
 */
#ifndef HOLDUP_WATCHDOG_H
#define HOLDUP_WATCHDOG_H

#include <stdint.h>

struct watchdog;

/* -ENOMEM, -EAGAIN */
int watchdog__new(struct watchdog **ret);
/* Ends the process with EXIT_FAILED unless watchdog__stop() is called within ns. */
void watchdog__start(struct watchdog *w, uint64_t ns);
void watchdog__stop(struct watchdog *w);
void watchdog__free(struct watchdog *w); /* NULL is fine */

#endif
