/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last moment of programs that holdup starts: a process that calls exit_group(2) waits in that call until holdup
 * has looked at it. All of it is there still, with its threads, and its exit handlers and destructors have run.
 *
 * By a seccomp filter with a listener (SECCOMP_RET_USER_NOTIF, Linux 5.0; its answer "go on", 5.5: commit
 * fb3c5386b382), which the program inherits and passes on to its children; no other call is touched, whatever the C
 * library is. Programs that are killed, and those whose last thread ends by exit(2), don't come by.
 *
 * Without a listener the call would fail, which glibc does not survive. So a process of ours keeps the other copy of
 * it, does nothing while holdup lives, and lets everybody go on from then: also children that outlive the run, and
 * when holdup is killed. It ends with the last process that has the filter (Linux 5.9, commit 99cdb8b9a573).
 *
 * A process has one listener at most: within a program that is looked at already, and in programs that want one for
 * themselves, exits__install() or theirs fails with EBUSY.
 */
#ifndef HOLDUP_COLLECT_EXITS_H
#define HOLDUP_COLLECT_EXITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct exits {
	int fd; /* of the listener; -1 or 0: none, and nobody waits */
	pid_t keeper;
	int keep_fd; /* its other end tells the keeper that we are gone */
	int err;     /* why there is none; 0: there is one, or none was wanted */
};

/* In the child that becomes the program: installs the filter, hands the listener over by socket. */
void exits__install(int socket);
/* In the parent: takes it over and starts the keeper. Always fills ret; what failed is in ret->err. */
void exits__accept(int socket, struct exits *ret);
void exits__free(struct exits *e);

struct exit_notice {
	uint64_t id;
	pid_t tid;  /* the thread that called */
	int status; /* what it passes */
};

/* Waits at most so long for a process that is about to end; false: none. */
bool exits__next(const struct exits *e, int timeout_ms, struct exit_notice *ret);
/* Is it waiting still? It may have been killed, or interrupted by a signal: then it will come again. */
bool exits__waits(const struct exits *e, const struct exit_notice *notice);
void exits__let_go(const struct exits *e, const struct exit_notice *notice);

#endif
