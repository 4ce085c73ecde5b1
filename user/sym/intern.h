/* SPDX-License-Identifier: GPL-2.0-only */
/* A set of strings, each kept once and until intern__free(). The hash is seeded: strings are
 * hostile. */
#ifndef HOLDUP_SYM_INTERN_H
#define HOLDUP_SYM_INTERN_H

#include <stddef.h>

struct intern;

int intern__new(struct intern **ret); /* -ENOMEM */
void intern__free(struct intern *s);  /* NULL is fine */
/* The set's own copy of text; NULL: out of memory. */
const char *intern__add(struct intern *s, const char *text);
/* The same for a symbol's name, and what it reads like demangled; each name is demangled once. */
const char *intern__add_symbol(struct intern *s, const char *raw, const char **ret_readable);

#endif
