/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes of strangers as text: names of threads, files and symbols may hold anything, terminal
 * escapes and broken UTF-8 included. Out comes printable UTF-8; what is not becomes \xNN.
 */
#ifndef HOLDUP_UTIL_TEXT_H
#define HOLDUP_UTIL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Escapes in[len] into out[cap] (NUL-terminated, cut at a character); returns out. */
char *text__escape(const char *in, size_t len, char *out, size_t cap);
/* The same for a NUL-terminated string; malloc'ed, NULL when out of memory. */
char *text__escape_dup(const char *in);
/* Terminal columns of escaped text: its code points. */
size_t text__columns(const char *text);

/* "29.61 s", "6.27 ms", "31.0 us", "80 ns": three significant digits or so, in buf. */
#define TEXT_DURATION_SZ 24
const char *text__duration(uint64_t ns, char buf[TEXT_DURATION_SZ]);
/* "4,726" */
#define TEXT_COUNT_SZ 32
const char *text__count(uint64_t n, char buf[TEXT_COUNT_SZ]);
/* "40.0 MiB" */
#define TEXT_SIZE_SZ 24
const char *text__size(uint64_t bytes, char buf[TEXT_SIZE_SZ]);

#endif
