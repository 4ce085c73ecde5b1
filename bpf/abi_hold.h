/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What hold.bpf.c and the loader say to each other: a part of bpf/abi.h, which includes it. The same rules hold. */
#ifndef HOLDUP_ABI_HOLD_H
#define HOLDUP_ABI_HOLD_H

/* How a lock is held. Append only. */
enum hu_hold_mode {
	HU_HOLD_INVALID = 0,
	HU_HOLD_MUTEX = 1,
	HU_HOLD_READ = 2, /* a rwlock: others may read it as well */
	HU_HOLD_WRITE = 3,
	HU_HOLD_SPIN = 4,
	HU_HOLD_SEM = 5, /* nobody owns it: it is in no lock order */
};

/* The cookie of a probe: enum hu_hold_mode in the low byte, and these. */
enum hu_hold_probe {
	HU_HOLD_TRY = 1 << 8,	   /* it may fail, and never waits: its return tells */
	HU_HOLD_TIMED = 1 << 9,	   /* it may fail: its return tells */
	HU_HOLD_MUSL = 1 << 10,	   /* the C library is musl */
	HU_HOLD_STEPPED = 1 << 12, /* the kernel single-steps the instruction */
	HU_HOLD_ZERO_GOT =
		1
		<< 11, /* the probed instruction comes after the attempt: zero flag set, the lock was got */
};
#define HU_HOLD_MODE(cookie) ((cookie)&0xff)

struct hu_hold_key {
	__u64 proc_start;
	__u64 lock;
	__u64 site; /* stack_id of the acquisition; 0: not known */
	__u32 tgid;
	__u32 mode; /* enum hu_hold_mode */
};

/* The longest hold of a site, and what its holder did inside. */
struct hu_longest {
	__u64 ns, end_ns;
	__u64 off_ns;	    /* of ns: the holder did not run */
	__u64 worst_ns;	    /* … at once, for the longest time */
	__u64 worst_reason; /* HU_REASON() of that */
	__u32 tid;
	__u32 pad;
};

/*
 * A histogram of durations: 8 linear buckets in each power of two from 32 ns on; below that one bucket, above
 * 2^36 ns (68 s) the last.
 */
#define HU_HOLD_SUB_BITS 3
#define HU_HOLD_LOW_BITS 5
#define HU_HOLD_BUCKETS	 256

/* Holds of one lock that began at one site (map hu_holds): added up when they end. */
struct hu_hold {
	__u64 cnt, ns;
	__u64 contended;  /* of cnt: for which the thread had slept */
	__u64 after_wait; /* of cnt: a condition variable's wait took the mutex back */
	__u64 tried;	  /* of cnt: by a try function */
	__u64 failed;	  /* not of cnt: attempts by try and timed functions without success */
	__u64 unreleased; /* not of cnt: the thread ended, or got it again, with no release seen */
	__u64 off_ns;	  /* of ns: the holder did not run */
	struct hu_longest longest;
	__u32 busy; /* longest is being written */
	__u32 pad;
	__u32 hist[HU_HOLD_BUCKETS];
};

#define HU_HOLD_SLOTS 16 /* locks that a thread can hold at once and be seen holding */

/* One order in which a thread has got two locks (map hu_edges). */
struct hu_edge_key {
	__u64 proc_start;
	__u64 first, second; /* first was held when second was asked for */
	__u64 first_site, second_site;
	__u64 gates; /* a hash of the other locks held; two orders behind one gate can't meet */
	__u32 tgid;
	__u16 first_mode, second_mode; /* enum hu_hold_mode */
};

#define HU_GATE_SHARED 1 /* in a gate's address: it is held for reading */

struct hu_edge {
	__u64 cnt;
	__u32 tid;     /* who was the first to do it */
	__u16 several; /* threads have done it */
	__u16 gate_cnt;
	__u64 gate[HU_HOLD_SLOTS - 1];
};

/* A lock that is held now. */
struct hu_held_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start;
	__u64 lock, site;
	__u64 since_ns;
	__u32 mode;
	__u32 pad;
	char comm[HU_COMM_LEN];
};

/* What hold.bpf.c counts (map hu_hold_counts, one array a CPU). Append only. */
enum hu_hold_count {
	HU_HOLD_HITS,		  /* of probes, by enum hu_hold_place */
	HU_HOLD_RUN_NS = 3,	  /* time of the programs, of one in HU_HOLD_SAMPLE of these hits */
	HU_HOLD_SAMPLES = 6,	  /* … how many of them */
	HU_HOLD_STEPPED_HITS = 9, /* of the hits: where the kernel single-steps */
	HU_HOLD_UNKNOWN = 12, /* releases of locks that were taken before, or by another thread */
	HU_HOLD_TOO_MANY,     /* acquisitions with HU_HOLD_SLOTS locks held already */
	HU_HOLD_SITES_FULL,   /* holds whose lock and site found no room */
	HU_HOLD_EDGES_FULL,   /* orders that found no room */
	HU_HOLD_NO_STATE,     /* operations whose thread state could not be had */
	HU_HOLD_NO_STACK,     /* acquisitions whose stack could not be had */
	HU_HOLD_LONGEST_BUSY, /* longest holds that two threads had at once: one was not kept */
	HU_HOLD_POSTS,	      /* not a loss: semaphores posted by threads that had not waited */
	HU_HOLD_COUNTS,
};

enum hu_hold_place {
	HU_HOLD_AT_LOCK,
	HU_HOLD_AT_UNLOCK,
	HU_HOLD_AT_RETURN,
	HU_HOLD_PLACES
};
#define HU_HOLD_SAMPLE 64

#endif
