/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of symtab.h share: symtab_read.c gathers symbols from files, symtab.c sorts them
 * by address and looks up, symtab_names.c looks up by name.
 */
#ifndef HOLDUP_SYM_SYMTAB_INTERNAL_H
#define HOLDUP_SYM_SYMTAB_INTERNAL_H

#include "user/sym/symtab.h"

#define BLOBS_MAX 4 /* .symtab and .dynsym, of the file, its debug file, .gnu_debugdata */

/* A string table; its names have the offsets base + position. */
struct blob {
	char *text;
	uint32_t base, sz;
};

/* A symbol as found, in file order. */
struct raw {
	uint64_t addr, size;
	uint64_t limit; /* the end of its section, or addr when that is not known */
	uint32_t name;
	uint8_t type;
	bool local, hidden; /* hidden: an old version, not what a plain name binds to */
};

struct entry; /* a symbol as looked up */

struct table {
	struct entry *entry;
	size_t cnt;
};

struct symtab {
	struct blob blob[BLOBS_MAX];
	size_t blob_cnt;
	struct raw *raw;
	size_t raw_cnt, raw_cap;
	struct table func, object;
	uint64_t *budget;
	uint32_t *by_name; /* open addressing; built at the first question */
	size_t by_name_mask;
};

const char *symtab__name(const struct symtab *t, uint32_t name);

#endif
