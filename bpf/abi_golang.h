/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What golang.bpf.c and its loader (user/collect/go_probes.h) say to each other: waits for semaphores of Go programs,
 * which is what sync's Mutex, RWMutex and WaitGroup wait by, added up by lock and by call stack. Rules and units are
 * those of bpf/abi.h.
 */
#ifndef HOLDUP_ABI_GOLANG_H
#define HOLDUP_ABI_GOLANG_H

#include <linux/types.h>

#include "bpf/abi.h"

/* The cookie of a probe: where it is, and more. */
enum hu_go_place {
	HU_GO_INVALID = 0,
	HU_GO_ACQUIRE = 1, /* runtime.semacquire1(addr, lifo, …) begins */
	HU_GO_RESUME = 2,  /* … goes on after it has slept */
	HU_GO_RELEASE = 3, /* runtime.semrelease1(addr, …) begins */
	HU_GO_PLACES,
};

/* At the branch of the stack check (up to 1.20): taken, the function begins anew with a larger stack. */
#define HU_GO_AT_CHECK	 (1 << 8)
#define HU_GO_STEPPED	 (1 << 9) /* the kernel single-steps the instruction */
#define HU_GO_GOID_SHIFT 16	  /* offset of goid in g, above */

#define HU_GO_COOKIE(place, flags, goid_off) \
	((place) | (flags) | (__u64)(goid_off) << HU_GO_GOID_SHIFT)
#define HU_GO_PLACE(cookie)    ((__u32)(cookie)&0xff)
#define HU_GO_GOID_OFF(cookie) ((__u32)((cookie) >> HU_GO_GOID_SHIFT) & 0xffff)

#define HU_GO_FRAMES_MAX 64

/*
 * A goroutine's stack (map hu_go_stacks, by its hash): leaf first. The first is the probed instruction in semacquire1
 * or semrelease1, the others are return addresses, the first of them that of the function around. frames is written
 * last: while it is 0 the rest is not there yet.
 */
struct hu_go_stack {
	__u32 tgid;
	__u16 frames;
	__u8 truncated; /* there were more than HU_GO_FRAMES_MAX */
	__u8 broken;	/* it ends where memory could not be read */
	__u64 pcs[HU_GO_FRAMES_MAX];
};

/* A goroutine, and where it waits (map hu_go_pending). */
struct hu_go_waiter_key {
	__u64 g; /* address of its runtime.g: it may move between threads */
	__u32 tgid;
	__u32 pad;
};

enum hu_go_state {
	HU_GO_NONE = 0,
	HU_GO_ASKS = 1, /* has asked for it, and sleeps, if it did not get it at once */
	HU_GO_RAN = 2,	/* has slept, and ran on */
};

enum hu_go_flag {
	HU_GO_BEFORE = 1 << 0,	/* the wait began before it was looked at */
	HU_GO_ADOPTED = 1 << 1, /* … and the loader told of it */
	HU_GO_COUNTED = 1 << 2, /* the wait is one of hu_go_wait's */
};

struct hu_go_pending {
	__u64 proc_start;
	__u64 sema;
	__u64 site;	/* id of the stack; 0: not known */
	__u64 since_ns; /* this sleep */
	__u64 total_ns; /* of the sleeps before */
	__u32 state;	/* enum hu_go_state */
	__u32 flags;	/* enum hu_go_flag */
};

struct hu_go_key {
	__u64 proc_start;
	__u64 sema; /* address of the semaphore; 0: all those that have no entry of their own */
	__u64 site;
	__u32 tgid;
	__u32 pad;
};

/*
 * Waits (maps hu_go_waits and, without sema, hu_go_rest), since the start. Every wait is in one of the two: when room
 * gets scarce, locks that were waited for once have no entry of their own. A wait counts from its first sleep's end
 * on; when it sleeps again, its time is added, and its place in the histogram moves.
 */
struct hu_go_wait {
	__u64 waits, sleeps, ns;
	__u64 before; /* of waits: that began before they were looked at */
	__u64 max_ns; /* the longest wait, all its sleeps */
	__u64 max_goid;
	__u32 busy; /* max_* are being written */
	__u32 pad;
	__u32 hist[HU_HOLD_BUCKETS]; /* as struct hu_hold's, of waits */
};

/* Who let a waiter go (map hu_go_releases), since the start: who released that semaphore last before it ran on. */
struct hu_go_release_key {
	__u64 proc_start;
	__u64 sema;	/* 0: as above */
	__u64 site;	/* the waiter's */
	__u64 releaser; /* id of the stack of who released it; 0: not known */
	__u32 tgid;
	__u32 pad;
};

struct hu_go_release {
	__u64 waits, sleeps, ns; /* waits: those whose first sleep was ended so */
	__u64 goid;		 /* of the last of those who released it; 0: not known, or none */
};

/* What is counted (map hu_go_counts, one array a CPU). Append only. */
enum hu_go_count {
	HU_GO_HITS = 0,		   /* by enum hu_go_place */
	HU_GO_RUN_NS = 4,	   /* time of the programs, of one in HU_GO_SAMPLE of these hits */
	HU_GO_SAMPLES = 8,	   /* … how many of them */
	HU_GO_STEPPED_HITS = 12,   /* of the hits: where the kernel single-steps */
	HU_GO_UNKNOWN_SLEEPS = 16, /* sleeps that began before, and that nobody told of */
	HU_GO_PENDING_FULL,	   /* waits that found no room: not counted */
	HU_GO_WAITS_REST,	   /* sleeps that were added up without their lock */
	HU_GO_WAITS_FULL,	   /* … not even so */
	HU_GO_RELEASES_REST,	   /* the same for who let them go */
	HU_GO_RELEASES_FULL,
	HU_GO_RELEASED_FULL, /* releases that could not be noted */
	HU_GO_STACKS_FULL,   /* stacks that found no room */
	HU_GO_NO_STACK,	     /* … whose first frame could not be read */
	HU_GO_BROKEN_STACKS, /* … or a later one: hits, not stacks */
	HU_GO_DEEP_STACKS,   /* … with more frames than there is room: hits */
	HU_GO_NO_GOID,	     /* ids that could not be read */
	HU_GO_MAX_BUSY,	     /* longest waits that two threads had at once: one was not kept */
	HU_GO_REPEATS, /* not a loss: hits of a stack check that failed, before the one that counts */
	HU_GO_COUNTS,
};
#define HU_GO_SAMPLE 64

#define HU_GO_SIZES(X)                           \
	X(hu_go_stack, 8 + 8 * HU_GO_FRAMES_MAX) \
	X(hu_go_waiter_key, 16)                  \
	X(hu_go_pending, 48)                     \
	X(hu_go_key, 32)                         \
	X(hu_go_wait, 56 + 4 * HU_HOLD_BUCKETS)  \
	X(hu_go_release_key, 40)                 \
	X(hu_go_release, 32)

#endif
