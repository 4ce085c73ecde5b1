/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The names that a process gives its generated code: /tmp/perf-PID.map within its own root, PID in
 * its own namespace. When it is read, when again, and when it is not believed.
 *
 * The file is the target's: it has to be a regular file of the process's effective user or of root, is
 * opened without following a link, and only its last JIT_TEXT_MAX bytes are read. All processes'
 * maps together take at most JIT_TOTAL_MAX bytes; then the one read longest ago is dropped, and read
 * again when it is needed.
 *
 * The file is opened at first sight, where it is there already, since the process may be gone when
 * names are asked for; at most JIT_FILES_MAX stay open.
 */
#ifndef HOLDUP_SYM_JIT_H
#define HOLDUP_SYM_JIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/sym/perfmap.h"

#define JIT_TEXT_MAX  (32u << 20)
#define JIT_TOTAL_MAX (64u << 20)
#define JIT_FILES_MAX 64

/* What is shared by all processes. Starts as { 0 }. */
struct jit_set {
	struct jit *newest, *oldest; /* those that have a map, by when it was read */
	size_t bytes, file_cnt;
	/* Time for reading maps that may yet be spent; it grows with time. See jit.c. */
	uint64_t allowed_ns, allowed_at_ns;
};

/* Of one process. Starts with jit__init(). */
struct jit {
	struct jit_set *set;
	struct jit *older, *newer;
	pid_t tgid;
	int fd;		     /* -1: not open */
	uint64_t start_time; /* as of process__start_time() */
	uint64_t tried_ns;
	uint64_t file_sz; /* when it was read */
	struct perfmap *map;
};

void jit__init(struct jit *j, struct jit_set *set, pid_t tgid, uint64_t start_time);
void jit__free(struct jit *j);
/* The process has generated code: keeps its map's file open, if there is one. */
void jit__open(struct jit *j);
/*
 * Names addr. When it is not known and the file has grown, the file is read again, but not more than
 * once in a second, and all files together not all the time; *ret_renewed is set then, and names given before may
 * have changed. The name lives until the next call for any process.
 */
bool jit__find(struct jit *j, uint64_t addr, struct symbol *ret, bool *ret_renewed);

#endif
