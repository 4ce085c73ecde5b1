/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers as users write them, with range and end checks: the whole text must be the number.
 * Errors: -EINVAL (not one) or -ERANGE (out of range); ret is not written then.
 */
#ifndef HOLDUP_UTIL_PARSE_H
#define HOLDUP_UTIL_PARSE_H

#include <stdint.h>

int parse__u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "10s", "1.5ms", "2m", "1h", "500us", "80ns"; a bare number is seconds. Nanoseconds. */
int parse__duration(const char *text, uint64_t *ret_ns);
/* "4096", "64K", "8M", "1G": bytes, 1024-based. */
int parse__size(const char *text, uint64_t *ret);

#endif
