/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The processes that are looked at: those that run already, watched so that their end is noticed,
 * or a program that holdup starts and holds back until everything is attached.
 */
#ifndef HOLDUP_COLLECT_TARGET_H
#define HOLDUP_COLLECT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "user/collect/exits.h"

/* Processes by ID. Ownership: watch__free() closes the descriptors. */
struct watch {
	int *fds; /* pidfds; -1: ended */
	size_t cnt;
};

/* -ESRCH: *missing does not exist; -EINVAL: *missing is a thread, not a process. */
int watch__new(const pid_t *pids, size_t cnt, struct watch *ret, pid_t *missing);
/* True once all have ended; never for an empty watch. */
bool watch__all_ended(struct watch *w);
void watch__free(struct watch *w);

/* A child that waits to be released before it becomes the program. */
struct program {
	pid_t pid;
	int release_fd;	    /* closed or written: the child goes on */
	int error_fd;	    /* the child's errno when the program can't be run */
	struct exits exits; /* of it and its children; fd -1: not asked for, or not possible */
	bool reaped;
	int status; /* as of waitpid(), once reaped */
};

/* exits: its processes wait for us before they end. */
int program__start(char **argv, bool exits, struct program *ret);
/* Lets it run; 0, or the -errno of executing it. */
int program__release(struct program *p);
bool program__ended(struct program *p);
/* Waits for its end and returns its exit status, 128 + the signal that ended it. */
int program__wait(struct program *p);
/* Ends it if it has not been released; a zeroed one is none. */
void program__free(struct program *p);

/* The file that a program's name stands for, as execvp(3) finds it: a descriptor, which is the caller's, or -errno. */
int program__open_file(const char *name);

#endif
