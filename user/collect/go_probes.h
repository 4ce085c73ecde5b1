/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes on the semaphores of Go programs (`locks --go-probes`): every wait of a Mutex, RWMutex or WaitGroup, by lock
 * and call stack, and who ended it, added up in the kernel. BPF programs and maps of its own (bpf/golang.bpf.c).
 *
 * Open and attach with all privileges. Reading, adopting, detaching need no more than those that are kept
 * (util/privileges.h). All that is read is cumulative since go_probes__open(): the reader takes differences. Nothing
 * is taken out, so nothing is lost between two reads; locks for which there is no more room are added up by stack
 * alone (sema 0).
 *
 * Errors: negative errno. -EOPNOTSUPP, -ENOTSUP: *why says why in a sentence (static). Not thread-safe.
 */
#ifndef HOLDUP_COLLECT_GO_PROBES_H
#define HOLDUP_COLLECT_GO_PROBES_H

#include <sys/types.h>

#include "bpf/abi_golang.h"
#include "user/golang/go_points.h"
#include "user/golang/go_process.h"

struct go_probes;

/* -EOPNOTSUPP: this kernel can't (bpf_get_attach_cookie(): 5.15). */
int go_probes__open(struct go_probes **ret, const char **why);
/* Detaches. NULL is fine. */
void go_probes__free(struct go_probes *g);

/*
 * tgid 0: every process that runs this file. fd: of the file, the caller's. text: where its text begins in it
 * (go_points.h). ret_points: NULL, or what was probed.
 */
int go_probes__attach(struct go_probes *g, pid_t tgid, int fd, const struct go_binary *b,
		      uint64_t text, struct go_points *ret_points, const char **why);
/* All probes; what was added up stays. */
void go_probes__detach(struct go_probes *g);

/*
 * The stack of a goroutine that waits for a semaphore, as go_stack__walk() gives it, becomes what the kernel would have
 * kept when it asked, but for functions that the compiler made: the kernel's stacks have them, tracebacks do not (see
 * go_probes__tidy()). Where there are none, ids are equal. points: as attached; bias: of the process.
 * -ENOENT: it is not in semacquire1. -E2BIG: no room.
 */
int go_probes__add_stack(struct go_probes *g, pid_t tgid, uint64_t bias,
			 const struct go_points *points, const uint64_t *pcs, size_t cnt,
			 uint64_t *ret_id);
/*
 * A goroutine that waited already when the probes were attached. Take the snapshot after that, adopt, and recheck
 * (go_snapshot__recheck()): disown what did not hold still. proc_start may be 0: not known. -EEXIST: it has since
 * been seen by the probes themselves.
 */
int go_probes__adopt(struct go_probes *g, pid_t tgid, uint64_t proc_start, uint64_t g_addr,
		     uint64_t sema, uint64_t began_ns, uint64_t stack_id);
void go_probes__disown(struct go_probes *g, pid_t tgid, uint64_t g_addr);
/* The process has ended, or has begun another program: it waits for nothing any more. */
void go_probes__forget(struct go_probes *g, pid_t tgid);

/* A callback that returns other than 0 ends the reading, and is what it returns. */
typedef int (*go_wait_fn)(void *ctx, const struct hu_go_key *key, const struct hu_go_wait *wait);
typedef int (*go_release_fn)(void *ctx, const struct hu_go_release_key *key,
			     const struct hu_go_release *release);
typedef int (*go_pending_fn)(void *ctx, const struct hu_go_waiter_key *key,
			     const struct hu_go_pending *pending);

int go_probes__waits(struct go_probes *g, go_wait_fn fn, void *ctx);
int go_probes__releases(struct go_probes *g, go_release_fn fn, void *ctx);
/*
 * Who has asked and has not been seen to run on since (state HU_GO_ASKS). That it waits is for a snapshot to say: who
 * gets a semaphore at once, without sleep, is one of them until it asks again. total_ns are sleeps of the same wait
 * that are over, and counted.
 */
int go_probes__pending(struct go_probes *g, go_pending_fn fn, void *ctx);
/* Leaf first; see struct hu_go_stack. -ENOENT: no such stack. */
int go_probes__stack(struct go_probes *g, uint64_t id, struct hu_go_stack *ret);
/* Without functions that the compiler made, so that the pcs are those of go_probes__add_stack(). */
void go_probes__tidy(const struct go_process *p, struct hu_go_stack *stack);
int go_probes__counts(struct go_probes *g, uint64_t ret[HU_GO_COUNTS]);
/* Probes that are attached, and those of them at which the kernel single-steps. */
void go_probes__placed(const struct go_probes *g, size_t *ret_probes, size_t *ret_stepped);

#endif
