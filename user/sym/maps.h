/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mappings of one process, as text from /proc/PID/maps (proc(5)): which file lies where.
 *
 * In: a process ID, or the text itself (hostile: paths hold any byte but NUL, the file may be
 * huge). Out: mappings sorted by start. Ownership: maps__free() frees everything; pointers into a
 * struct maps live as long as it does. Errors: negative errno, and the output parameter is not
 * written. Bounds: at most MAPS_MAX mappings are kept; maps->dropped counts the rest.
 */
#ifndef HOLDUP_SYM_MAPS_H
#define HOLDUP_SYM_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAPS_MAX 65536 /* vm.max_map_count defaults to 65530 */

struct mapping {
	uint64_t start, end; /* [start, end) */
	uint64_t off;	     /* file offset of start, bytes */
	uint64_t ino;	     /* 0: no file behind it */
	uint32_t major, minor;
	bool read, write, exec, shared;
	bool deleted;	  /* the path ended in " (deleted)", which path does not hold any more */
	const char *path; /* "" when anonymous; "[heap]", "[vdso]", "[stack]", … for special ones */
};

struct maps {
	struct mapping *map;
	size_t cnt;
	size_t dropped; /* lines that were malformed or beyond MAPS_MAX */
	char *text;	/* owns the paths */
};

int maps__parse(const char *text, size_t len, struct maps **ret);
int maps__read(pid_t tgid,
	       struct maps **ret); /* -ESRCH, -ENOENT: gone; -EACCES; -EBUSY (patience.h); -ENOMEM */
/* All of now, plus what of before overlaps nothing in it: names for code that was unloaded. */
int maps__merge(const struct maps *now, const struct maps *before, struct maps **ret);
void maps__free(struct maps *m);				       /* NULL is fine */
const struct mapping *maps__find(const struct maps *m, uint64_t addr); /* NULL: none */

#endif
