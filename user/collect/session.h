/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF programs in the kernel: chooses, loads, attaches and detaches them, and is the live
 * source. Nothing stays behind when the process ends, however it ends: all links are file
 * descriptors.
 */
#ifndef HOLDUP_COLLECT_SESSION_H
#define HOLDUP_COLLECT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/collect/features.h"
#include "user/collect/source.h"

/* What is watched: which programs are loaded. */
enum session_what {
	SESSION_WAITS = 1 << 0,	 /* for locks */
	SESSION_LIVES = 1 << 1,	 /* births and deaths of threads, calls of the thread library */
	SESSION_OFFCPU = 1 << 2, /* all time off the CPU; session_offcpu.h reads the sums */
};

struct session_config {
	unsigned what;	     /* enum session_what */
	uint32_t off_mode;   /* enum hu_off_mode */
	uint64_t off_min_ns; /* intervals off the CPU shorter than this are only counted */
	uint32_t filters;    /* enum hu_filter */
	const pid_t *tgids;
	size_t tgid_cnt;
	pid_t tid;
	const struct hu_glob *comm;
	int cgroup_fd;	  /* a directory of cgroup v2; -1: none */
	uint64_t ring_sz; /* bytes: a power of two and a multiple of the page size */
	uint64_t join_cpu_ns;
	uint64_t holder_every_ns; /* at most so often one lock's holder shows its stack */
	bool stacks;
	bool blame; /* needs stacks by rows: kernels that have these have all that it takes */
	bool (*takes_fd)(long nr); /* is a system call's first argument a descriptor? NULL: none */
	bool futex_calls;	   /* by the tracepoint where fexit is refused */
	/* For tests: behave as an older kernel would make us. */
	bool force_hash; /* thread state in a hash */
	uint16_t memo;	 /* enum hu_memo; needs thread state in task storage, and stacks by rows */
	bool force_raw;	 /* raw tracepoints, which imply the hash and frame pointers */
	bool force_frame_pointers;
	uint64_t rows; /* room for unwind rows, 8 bytes each */
	bool hold;     /* hold times and lock order as well (collect/hold.h) */
};

struct session;

/* Programs for calls of the thread library (bpf/pthread.bpf.c), loaded with SESSION_LIVES. */
#define SESSION_PTHREAD_PROGRAMS                                                                  \
	"hu_pthread_create", "hu_pthread_create_musl", "hu_pthread_join", "hu_pthread_timedjoin", \
		"hu_pthread_clockjoin", "hu_pthread_tryjoin", "hu_pthread_tryjoin_ret",           \
		"hu_pthread_detach", "hu_pthread_cancel", "hu_pthread_exit", "hu_thrd_exit"

/*
 * Loads, but attaches nothing yet. *why gets a sentence for the user when it fails (static text).
 * -EPERM, -EOPNOTSUPP: not possible here; others: failures.
 */
int session__open(const struct session_config *cfg, const struct features *features,
		  struct session **ret, const char **why);
int session__attach(struct session *s, const char **why);
/*
 * Takes in the threads that wait already: fn gets a struct hu_adopt_record for each. -EOPNOTSUPP: this kernel
 * has no registers of other threads (before 5.15).
 */
int session__adopt(struct session *s, source_record_fn fn, void *ctx);
/*
 * Where are these threads now? ask() names one that is believed to hold what waiter_tgid waits for at uaddr;
 * where() then calls fn with a struct hu_adopt_record for each that does not run. -EOPNOTSUPP as above.
 */
int session__ask(struct session *s, pid_t tid, pid_t waiter_tgid, uint64_t uaddr);
int session__where(struct session *s, source_record_fn fn, void *ctx);
/* Is it known of locks what their holders do? */
bool session__sees_blame(const struct session *s);
/* What holders do that have not been seen to leave the CPU yet; before source__locks(). */
int session__settle_blame(struct session *s);
/* The thread `who` (as in struct hu_blame) holds what waits that were adopted are for: process, futex word. */
int session__claim(struct session *s, uint64_t who, uint32_t tgid, uint64_t uaddr);
/* Every thread that lives now: fn gets a struct hu_alive_record for each. Needs SESSION_LIVES. */
int session__alive(struct session *s, source_record_fn fn, void *ctx);
/* Births and deaths that found the ring full; taken out. */
typedef int (*session_lost_fn)(void *ctx, const struct hu_life_key *key,
			       const struct hu_life_sum *sum);
int session__lost_lives(struct session *s, session_lost_fn fn, void *ctx);
/*
 * The loaded programs, for those that are attached to processes' files (probes.h): by name, NULL: none. Of one that has
 * a variant NAME_calm (bpf/calm.h) that is the one, where the kernel allows it.
 */
struct bpf_program;
struct bpf_program *session__program(struct session *s, const char *name);
/* No new events from here on; those in the ring stay. Returns when no program runs any more. */
void session__detach(struct session *s);
int session__add_target(struct session *s, pid_t tgid);
/* With lifetimes, programs do not do so when a process ends: its ID is another one's later. */
void session__drop_target(struct session *s, pid_t tgid);

struct source *session__source(struct session *s); /* belongs to the session */
/* The maps that user/collect/rows.h fills; -1: this session does not unwind by rows. */
int session__rows_fd(const struct session *s);
int session__maps_fd(const struct session *s);
bool session__sees_futex_calls(const struct session *s);
const char *session__hooks(const struct session *s); /* "tp_btf" or "raw_tp" */
/*
 * Makes room in the kernel's tables, which fill in long runs: locks that nobody waits for now, and stacks of
 * which known() says that the caller has them already. What is met again comes back by itself.
 */
#define SESSION_LOCKS_ROOM  32768 /* entries, as in bpf/maps.h */
#define SESSION_STACKS_ROOM 8192
void session__trim_locks(struct session *s);
/* Holders that hold nothing and have not been heard of since before_ns (CLOCK_MONOTONIC). */
void session__trim_tracked(struct session *s, uint64_t before_ns);
void session__trim_stacks(struct session *s, bool (*known)(void *ctx, uint64_t id), void *ctx);
/* A stack that nobody will name again. */
void session__drop_stack(struct session *s, uint64_t id);
void session__free(struct session *s);

#endif
