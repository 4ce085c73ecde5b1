/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of generated code, as just-in-time compilers write them for perf: lines "START SIZE NAME",
 * hexadecimal (Linux, tools/perf/Documentation/jit-interface.txt).
 *
 * In: the text (hostile: the target writes it). Out: the name at an address. Code is generated anew in
 * the place of other code, so where entries overlap the later line wins; what remains of the
 * earlier one keeps its name. Bounds: the last PERFMAP_ENTRIES_MAX lines, names cut at
 * PERFMAP_NAME_MAX bytes; time is n log n. Lines that are none are left out. A name is the target's
 * bytes, not yet escaped, without NUL, never empty, and belongs to the map. Errors: negative errno.
 */
#ifndef HOLDUP_SYM_PERFMAP_H
#define HOLDUP_SYM_PERFMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/sym/module.h"

#define PERFMAP_ENTRIES_MAX (1u << 18) /* a large Java or Node.js service has a third of that */
#define PERFMAP_NAME_MAX    1024

struct perfmap;

/* Takes over text (malloc'ed, len bytes and one more that may be written), also when it fails. */
int perfmap__parse(char *text, size_t len, struct perfmap **ret);
void perfmap__free(struct perfmap *m); /* NULL is fine */
/* The entry that addr belongs to, its address and size as its line says. */
bool perfmap__find(const struct perfmap *m, uint64_t addr, struct symbol *ret);
/* The entry of the last line that is one; false: there is none. */
bool perfmap__last(const struct perfmap *m, struct symbol *ret);
size_t perfmap__count(const struct perfmap *m);
size_t perfmap__bytes(const struct perfmap *m); /* of memory */

#endif
