/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a goroutine waits for: the runtime's own words for it, and, since those say "semacquire" for every lock of
 * package sync up to 1.19, the functions in which it waits. Pure; nothing is allocated.
 */
#ifndef HOLDUP_GOLANG_GO_WAIT_H
#define HOLDUP_GOLANG_GO_WAIT_H

#include "user/golang/go_snapshot.h"
#include "user/target/kind.h"

/* Which way it wants to use the object. */
enum go_wait_way {
	GO_WAY_NONE = 0,
	GO_WAY_SEND,	/* to a channel */
	GO_WAY_RECEIVE, /* from one */
	GO_WAY_READ,	/* RWMutex.RLock() */
	GO_WAY_WRITE,	/* RWMutex.Lock(), waiting for readers */
	GO_WAY_TURN,	/* RWMutex.Lock(), waiting for another writer */
};

#define GO_RUNTIME_LOCK "Go runtime lock" /* the label of semaphores of the runtime's own */

struct go_wait {
	enum lock_kind kind; /* LOCK_INVALID: for no object */
	enum go_wait_way way;
	uint64_t object;   /* its address; 0: none, or not known */
	const char *label; /* what such a lock is called, where kind does not say it all; "" */
	int api;	   /* frames[0..api] are the runtime's and package sync's; -1: none */
	bool idle;	   /* a wait for work, or of the runtime's own goroutines */
	bool patient; /* for others of the program to come with work: no contention, but worth a line */
	bool timed;  /* ends by itself */
	bool system; /* one of the runtime's own */
	bool never;  /* nothing can end it: a nil channel */
};

/*
 * reason: the runtime's words. frames: of its stack, leaf first. start: the function that it began with; "": not
 * known. chan: of the first channel it waits for; 0: none.
 */
void go_wait__classify(const struct go_goroutine *g, const char *reason,
		       const struct go_frame *frames, size_t cnt, const char *start, uint64_t chan,
		       struct go_wait *ret);

/* The runtime's words for a wait for a semaphore, which is what package sync waits by. */
bool go_wait__is_semaphore(const char *reason);
/* Code of Go's runtime, or of the packages between it and a program's own. */
bool go_wait__is_runtime(const char *function);

#endif
