/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Go programs among the processes that are looked at: what is known of a program's file is kept for all its processes,
 * and what is known of a process from look to look. Asking whether a process is one costs a stat() and a look into a
 * table, or for a program that is new the reading of its ELF headers.
 *
 * Ownership: everything belongs to the set; a process's goroutines to the process, until the next look at them.
 * Errors: -ENOMEM. That a Go program can't be understood is no error: go_target.why says it in a sentence.
 */
#ifndef HOLDUP_COLLECT_GOLANG_H
#define HOLDUP_COLLECT_GOLANG_H

#include <sys/types.h>

#include "bpf/abi.h"
#include "user/aggregate/goroutines.h"
#include "user/golang/go_snapshot.h"
#include "user/util/table.h"

struct go_set {
	struct table files; /* of struct go_file */
	size_t room; /* bytes of their tables that are kept, of large programs 30 MB each; 0: any */
	size_t used;
	size_t left_out; /* Go programs (files) for which there was no more room: taken for others */
};

struct go_target {
	pid_t tgid;
	const struct go_binary *binary;
	const char *module; /* base name of its program; untrusted */
	bool open;	    /* process is set */
	char why[128];	    /* "": it is understood */
	struct go_process process;
	struct go_snapshot *now; /* NULL: could not be taken */
	struct go_seen *seen;	 /* when each goroutine was first seen as it is */
	size_t seen_cnt;
	struct go_population population; /* by go_target__sample() */
};

/* *ret NULL: not a Go program. */
int go_set__find(struct go_set *set, pid_t tgid, struct go_target **ret);
void go_target__free(struct go_target *t); /* NULL is fine */
void go_set__free(struct go_set *set);

/* Finds its runtime if that is not known yet. */
void go_target__open(struct go_target *t);
/* A thread's stack ends where the runtime switched to it from a goroutine's, or began it. */
void go_target__end_stack(const struct go_target *t, struct hu_stack *stack);
/* The same for pcs, leaf first: how many frames it has; 0: that is not seen. */
size_t go_target__end_of(const struct go_target *t, const uint64_t *pcs, size_t cnt);
/* Its goroutines as they are now, in t->now. */
int go_target__look(struct go_target *t);
/* Counts its goroutines by where they were created, and sees which have not run; t->now stays as it is. */
int go_target__sample(struct go_target *t);

/* All Go programs among these processes: their goroutines, and later which of them have not run since. */
int golang__look(const struct table *processes); /* of struct snap_process */
void golang__recheck(const struct table *processes);

#endif
