/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread that sleeps in a system call waits for, in words: "read from pipe:[4711], whose writing end is
 * open in cat (812)", "accept on 0.0.0.0:80", "poll of 3 descriptors, 4.1 s to go".
 *
 * In: the call's number and arguments, as the thread's registers hold them, and what /proc tells about the
 * process's descriptors, which is looked up at most once a process and descriptor. Out: a kind, a sentence, and the
 * facts in it for machines. Everything comes from a hostile target: reads are bounded, text is escaped by who
 * prints it. Nothing is stopped, and nothing that could block is opened (no file of the target is: links and
 * fdinfo are read). Ownership: strings belong to the calls object. Errors: a fact that can't be had is left
 * out; -ENOMEM.
 */
#ifndef HOLDUP_TARGET_CALL_H
#define HOLDUP_TARGET_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the wait is for. Numbered and append-only: JSON has the names (call_kind__name()). */
enum call_kind {
	CALL_INVALID = 0,
	CALL_OTHER = 1,	   /* a call that is not known to wait, or an unknown one: its name only */
	CALL_FUTEX = 2,	   /* the lock, join or condvar: said by others (target/kind.h) */
	CALL_FILE = 3,	   /* reading, writing, syncing or locking a file */
	CALL_PIPE = 4,	   /* a pipe or FIFO */
	CALL_SOCKET = 5,   /* a socket: receiving, sending, connecting, accepting */
	CALL_TERMINAL = 6, /* a terminal or another character device */
	CALL_CHILD = 7,	   /* wait4, waitid */
	CALL_TIMER = 8,	   /* sleeping, for a time that the program chose */
	CALL_POLL = 9,	   /* several descriptors: poll, select, epoll_wait */
	CALL_SIGNAL = 10,  /* pause, sigsuspend, sigtimedwait, signalfd */
	CALL_IPC = 11,	   /* System V semaphores and messages, POSIX message queues */
	CALL_EVENT = 12,   /* eventfd, timerfd, inotify, io_uring */
	CALL_VFORK = 13,   /* a parent, until its child has called exec or exit */
	CALL_STOPPED = 14, /* by a signal or a debugger */
	CALL_FAULT = 15,   /* no call: a page fault, or memory reclaim */
	CALL_KINDS
};

const char *call_kind__name(enum call_kind kind); /* "file", "pipe", …; "invalid" for others */
/* Name of a system call of this machine, NULL: unknown. */
const char *call__name(long nr);
/* Is its first argument a file descriptor that it waits for? */
bool call__takes_fd(long nr);

/* Who else has what is waited for: the other end of a pipe or of a socket on this machine. */
struct call_peer {
	uint32_t tgid;
	char comm[16]; /* untrusted */
};

#define CALL_PEERS 4 /* as many are told */

struct call_wait {
	enum call_kind kind;
	const char *call; /* "read", "futex", …; "" when it is in none; static */
	const char *
		what; /* a phrase that goes on from the call: "from pipe:[4711]", "for any child"; "" */
	int fd;	      /* -1: none */
	const char *object;  /* path, "pipe:[4711]", "tcp 10.0.0.1:80 -> …"; "" */
	uint64_t timeout_ns; /* that the call was given; UINT64_MAX: none, or not known */
	bool timeout_left;   /* timeout_ns counts from this look, not from the call's begin */
	/* Only where one object is waited for: never for a poll of several descriptors. */
	struct call_peer peer[CALL_PEERS];
	size_t peer_cnt;
	size_t peers_more;  /* beyond those */
	bool peers_partial; /* there were too many descriptors to look at: there may be others */
	uint32_t child;	    /* CALL_CHILD: the PID it waits for; 0: any */
};

/* sz bytes of the target's memory at addr; 0, or -errno: they can't all be read. */
typedef int (*call_read_fn)(void *ctx, uint64_t addr, void *buf, size_t sz);

struct calls;

int calls__new(struct calls **ret);
void calls__free(struct calls *c);
/*
 * A thread in system call nr (-1: in none) with args; compat: a 32-bit one, of which only the name of the call
 * "32-bit call N" is told. peers: look for who has the other end, which means to look at the descriptors of all
 * processes once for this object. ret is always written. -ENOMEM.
 *
 * A process's descriptors are taken to be those of its thread that was described first: threads that unshare
 * their table (CLONE_FILES) are not told apart.
 */
int calls__describe(struct calls *c, uint32_t tgid, uint32_t tid, long nr, const uint64_t args[6],
		    bool compat, bool peers, call_read_fn read, void *read_ctx,
		    struct call_wait *ret);
/*
 * A thread that is known to be stopped, in whichever call: by a signal (state T of proc(5)), or by a debugger
 * (t), which is the peer then. calls__describe() says this by itself for threads in no call only: it does not
 * ask for the state of others.
 */
int calls__describe_stopped(struct calls *c, uint32_t tgid, uint32_t tid, struct call_wait *ret);

#endif
