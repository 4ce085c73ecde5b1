/* SPDX-License-Identifier: GPL-2.0-only */
/* Compiles a pattern with *, ? and [a-z] into the automaton of bpf/abi.h. */
#ifndef HOLDUP_UTIL_GLOB_H
#define HOLDUP_UTIL_GLOB_H

#include "bpf/abi.h"

/* -EINVAL: an unclosed bracket; -E2BIG: more than 31 characters, which no comm can match. */
int glob__compile(const char *pattern, struct hu_glob *ret);

#endif
