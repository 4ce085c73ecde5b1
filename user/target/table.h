/* SPDX-License-Identifier: GPL-2.0-only */
/* The tables of functions that wait: internal to user/target. Everything is constant. */
#ifndef HOLDUP_TARGET_TABLE_H
#define HOLDUP_TARGET_TABLE_H

#include "user/target/kind.h"

/*
 * Which of several functions of one stack tells what the wait is for: the highest rank, and of equals the
 * one nearest to the leaf. A condition variable (CALL) can be a JVM's parked thread (BUILT), which waits for a
 * Java monitor (MEANING).
 */
enum target_rank {
	RANK_NONE = 0,
	RANK_LABEL, /* only names what the functions below it wait for, when that is of its kind */
	RANK_CALL,  /* waits by itself */
	RANK_BUILT, /* built from such calls */
	RANK_MEANING, /* what these are used for */
};

enum target_flag {
	TARGET_IDLE = 1 << 0,	  /* a wait for work, whatever the kind */
	TARGET_BUSY = 1 << 1,	  /* no wait for work, whatever the kind */
	TARGET_UNSURE = 1 << 2,	  /* see struct target_wait */
	TARGET_OWN = 1 << 3,	  /* on a word that is the thread's own, or as good as that */
	TARGET_KNOWN = 1 << 4,	  /* known_as_label of struct target_wait */
	TARGET_LOWLEVEL = 1 << 5, /* glibc's own lock (lll_lock), not one of a pthread_… function */
	TARGET_WRITER = 1 << 6,	  /* waits on the second word of a Rust RwLock */
};

struct target_function {
	/*
	 * A pattern, for the name in the file without leading underscores, or for the demangled name without
	 * a leading '<'; "*": any, also unnamed.
	 */
	const char *name;
	enum lock_kind kind;
	enum target_rank rank;
	const char *label;  /* NULL: none */
	unsigned flags;	    /* enum target_flag */
	const char *module; /* pattern; NULL: any */
	const char *symbol; /* the data symbol in which the word must lie; NULL: any */
};

/* NULL: no function that is known to wait. symbol: as in struct target_site. */
const struct target_function *target__function(const struct sym_frame *frame, const char *symbol);
/* What waits on words in this symbol wait for, of whatever function; NULL: nothing is known. */
const struct target_function *target__symbol(const char *symbol, enum lock_kind kind);
/* Is it a pthread, C11 or POSIX function, so that its objects are the C library's? */
bool target__is_c(const struct target_function *function);
/* fnmatch() for patterns that mostly begin with plain text. */
bool target__matches(const char *pattern, const char *text);

/* object.c: the address of the lock that the word belongs to. api: of struct target_wait. */
uint64_t target__object(enum lock_kind kind, const struct target_site *site, int api);
/* The kind by the futex call and the lock's memory; LOCK_FUTEX: they don't tell. */
enum lock_kind target__kind_of_call(const struct hu_wait_record *rec);
/* Does a musl function wait here? Its condition variables have words of the threads' own. */
bool target__is_musl(const struct target_site *site, int api);

#endif
