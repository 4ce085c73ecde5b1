/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A child process for what should not be done with our privileges: reading debugging information,
 * talking to servers. It has given up root and all capabilities, holds no descriptors but those it was
 * given, and its memory is bounded. We ask it over a socket, wait with a time limit, and end it without
 * warning; nothing that it says is trusted, since it may have been taken over by what it read.
 *
 * The child ends with worker__stop() or with us. It is an ordinary child (SIGCHLD, waitpid).
 */
#ifndef HOLDUP_SYM_WORKER_H
#define HOLDUP_SYM_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

struct worker {
	pid_t pid;
	int sock; /* SOCK_SEQPACKET; -1: it has ended */
};

/* What the child does, until sock is closed; fd is -1 when there is none. Returning ends it. */
typedef void (*worker_fn)(int sock, int fd, const void *arg);

/* fd (-1: none) stays the caller's; arg is read in the child only. Negative errno. */
int worker__start(worker_fn serve, int fd, const void *arg, struct worker *ret);
/* Ends it now. For one that has ended, nothing. */
void worker__stop(struct worker *w);
/* Is there an answer to be received within timeout_ms? */
bool worker__wait(const struct worker *w, int timeout_ms);

/* The kernel's overflow ID, which owns nothing: who the child is. */
#define WORKER_UID 65534

#endif
