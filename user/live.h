/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live measurement, as every command that watches needs it: targets, programs in the kernel, names,
 * unwind rows and the aggregate, wired together. What a command adds is its report.
 *
 * live__open() tells the user what went wrong and returns an enum exit_status; the others return 0 or
 * negative errno after telling. Everything is freed by live__close(), also after a failed open.
 */
#ifndef HOLDUP_LIVE_H
#define HOLDUP_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/aggregate/aggregate.h"
#include "user/aggregate/hold.h"
#include "user/aggregate/lifetimes.h"
#include "user/collect/features.h"
#include "user/collect/go_probes.h"
#include "user/collect/golang.h"
#include "user/collect/hold.h"
#include "user/collect/probes.h"
#include "user/collect/pthreads.h"
#include "user/collect/rows.h"
#include "user/collect/session.h"
#include "user/collect/target.h"
#include "user/decode/decode.h"
#include "user/options.h"
#include "user/sym/symbolizer.h"

/* --go-probes: the processes that were chosen and are Go programs; or the one that is started. */
struct live_go_probed {
	pid_t tgid;
	struct go_points points;
};

struct live_go_probes {
	struct go_probes *probes; /* NULL: none */
	struct live_go_probed *process;
	size_t cnt;
	uint64_t seen[HU_GO_COUNTS], counts[HU_GO_COUNTS]; /* at the last interval's end; of it */
};

struct live {
	unsigned what;	   /* enum session_what; set before live__open(), 0: waits */
	uint32_t off_mode; /* SESSION_OFFCPU: enum hu_off_mode */
	/* Told of each death, if given; set before as well. */
	void (*on_death)(void *ctx, const struct hu_death_record *rec);
	void *on_death_ctx;
	bool go_waits; /* what goroutines wait for as well; set before */
	bool exits;    /* the program's processes wait for us before they end; as well */
	const struct options *opt;
	struct features features;
	struct session *session;
	struct symbolizer *symbolizer;
	struct row_store *rows; /* NULL: stacks by frame pointers */
	struct aggregate aggregate;
	struct lifetimes lifetimes;
	struct probes *probes;	   /* of the thread library; NULL: none */
	struct pthreads *pthreads; /* what C libraries know of their threads */
	bool hurries;		   /* holdup's priority is raised … */
	int usual_nice;		   /* … and was this before */
	bool early;		   /* a process is looked at before it has mapped its libraries */
	int64_t sched_offset_ns;   /* CLOCK_MONOTONIC less the scheduler's clock */
	struct live_later *later;  /* processes whose files are looked at once more */
	struct decode_handler decoder;
	struct watch watch;
	struct program program;
	bool has_program;
	uint64_t malformed;
	uint64_t stopped_ns;			/* when live__stop() had detached everything */
	uint64_t stacks_trimmed, sites_trimmed; /* how many there were at the last trim */
	uint64_t blame_ns;			/* when blame is to be read next */
	uint64_t tracked_ns;			/* when holders were trimmed last */
	uint64_t seen[HU_LOSS_CNT];		/* counters at the last interval's end */
	uint64_t losses[HU_LOSS_CNT];		/* of the interval that live__settle() ended */
	struct go_set go_set;			/* these: go_waits only */
	struct live_go_probes go_probes;
	uint64_t go_began_ns, go_ask_ns;
	size_t go_asked;      /* processes that there were when it was asked last */
	struct hold_set hold; /* these: --hold only */
	struct hold_price hold_price;
	uint64_t hold_seen[HU_HOLD_COUNTS], hold_counts[HU_HOLD_COUNTS];
};

/* Everything attached; a program to run is still held back. Attach *live zeroed but for `what`, `exits`, `on_death`. */
int live__open(struct live *l, const struct options *opt);
/* Takes in the threads that wait already; what is read of them is a snapshot, nothing is stopped. */
int live__adopt(struct live *l);
/* Lets the program run; returns an exit status, 126 or 127 when it can't be run. */
int live__release(struct live *l);
/* Takes events in for at most timeout_ms. */
int live__poll(struct live *l, int timeout_ms);
/* Interrupted, or all that was watched has ended. */
bool live__over(struct live *l);
/* No more events; those on their way are taken in. */
int live__stop(struct live *l);
/*
 * Takes in what is no event: sums, waits that were not sent, loss counters. Ends an interval at until_ns:
 * what goes on longer counts up to then.
 */
int live__settle(struct live *l, uint64_t until_ns);
/* A new interval begins. */
void live__next(struct live *l);
/* Forgets processes that are over where too many are for one interval. */
void live__make_room(struct live *l);
/* The exit status: the program's own, else EXIT_FINE. */
int live__wait(struct live *l);
void live__close(struct live *l);

/* Ctrl-C and SIGTERM end the measurement; the second one ends holdup. */
void live__catch_signals(void);
bool live__interrupted(void);

#endif
