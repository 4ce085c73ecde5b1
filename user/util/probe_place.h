/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in a function a probe costs least. The kernel carries some instructions out itself, at about 1 us a hit; the
 * others it lets the processor step over, at about 12 us. Any of those that every call passes first will do as long
 * as the arguments are still in their registers.
 *
 * In: the first bytes of a function (hostile). Out: an offset within them, 0 where nothing better is found.
 */
#ifndef HOLDUP_UTIL_PROBE_PLACE_H
#define HOLDUP_UTIL_PROBE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_PLACE_SZ 64 /* as many bytes are worth looking at */

/* Does the kernel carry out this instruction of len bytes itself? */
bool probe_place__emulated(const uint8_t *code, size_t len);
/* args: bit i stands for the function's argument i, of the first four. */
size_t probe_place__find(const uint8_t *code, size_t sz, unsigned args);

#endif
