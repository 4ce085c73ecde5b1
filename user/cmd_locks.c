// SPDX-License-Identifier: GPL-2.0-only
/* holdup locks: top contended locks, over a time or live by intervals. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/commands.h"
#include "user/collect/proc.h"
#include "user/live.h"
#include "user/model/locks.h"
#include "user/model/locks_hold.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/view.h"

#define DURATION_DEFAULT_NS 10000000000ULL
#define POLL_MS		    100

static const char help[] =
	"usage: holdup locks [OPTION…] [-- PROGRAM ARGS…]\n\n"
	"Prints which locks threads wait for: name, kind, waits, wait time, where.\n"
	"Without a choice of processes: those of the whole machine.\n\n"
	"  -p, --pid PID[,PID…]   these processes\n"
	"  -t, --tid TID          this thread\n"
	"      --comm GLOB        processes whose name matches\n"
	"      --cgroup PATH      processes in this cgroup (v2) and below\n"
	"  -- PROGRAM ARGS…       run a program and watch it and its children from\n"
	"                         their first instruction; passes on its exit status\n\n"
	"  -d, --duration TIME    how long (10s; with a program: until it ends)\n"
	"  -i, --interval TIME    a report each TIME, until -d or Ctrl-C\n"
	"      --min-wait TIME    leave out threads' waits shorter than this\n"
	"      --hold             hold times, acquisitions, and lock-order inversions by\n"
	"                         probes on each lock and unlock: needs -p or a program\n"
	"      --go-probes        count the waits of Go's Mutex, RWMutex and WaitGroup\n"
	"                         exactly, and tell who releases them: needs -p or a\n"
	"                         program\n"
	"      --idle             list waits for work too (condvars, joins)\n"
	"      --by WHAT          lock (default), site, process\n"
	"      --sort WHAT        wait (default), waits, max, avg, p99, waiters\n"
	"  -n, --rows N           at most N rows (20)\n"
	"      --json             one JSON document; with -i one a line\n"
	"      --json-schema      describe it\n"
	"  -o, --output FILE      write the report there\n"
	"      --futex-calls      count futex calls and their results even where that\n"
	"                         slows every system call of the machine\n"
	"      --debuginfod       fetch missing debug files ($DEBUGINFOD_URLS)\n"
	"      --unwind-mem SIZE  kernel memory for unwind tables (16M)\n"
	"      --ring-size SIZE   buffer between kernel and holdup (16M)\n"
	"  -v, --verbose          whole stacks; twice: the kernel's words as well\n\n"
	"Ctrl-C ends early with the full report, a second one at once.\n";

struct run {
	const struct options *opt;
	struct live live;
	struct output out;
	uint64_t began_ns, interval_began_ns;
	bool progress;
	char *own_cgroup; /* NULL: not known */
};

static int open_output(struct run *run)
{
	int status = output__open(&run->out, run->opt->output);

	run->out.style.verbose = run->opt->verbose > 0;
	run->out.style.compact = run->opt->interval_ns != 0;
	run->progress = isatty(STDERR_FILENO) && !run->opt->interval_ns;
	return status;
}

struct rendering {
	const struct run *run;
	const struct locks_report *report;
};

static int write_report(void *ctx, FILE *out)
{
	const struct rendering *r = ctx;

	return r->run->opt->json ? view__locks_json(out, r->report, &r->run->out.style)
				 : view__locks_text(out, r->report, &r->run->out.style);
}

static int render(struct run *run, const struct locks_report *r)
{
	struct rendering rendering = { run, r };

	return output__write(&run->out, write_report, &rendering);
}

static int add_holds(struct run *run, struct locks_report *r)
{
	struct hold_input in = {
		.holds = &run->live.hold,
		.symbolizer = run->live.symbolizer,
		.price = &run->live.hold_price,
		.count = run->live.hold_counts,
	};

	return hold_report__build(&in, &run->opt->query, r, &r->hold);
}

static int report(struct run *run, uint64_t until_ns)
{
	struct live *l = &run->live;
	struct locks_input in = {
		.aggregate = &l->aggregate,
		.symbolizer = l->symbolizer,
		.source = session__source(l->session),
		.interval_ns = until_ns - run->interval_began_ns,
		.futex_calls = session__sees_futex_calls(l->session),
		.blame = session__sees_blame(l->session),
		.own_cgroup = run->own_cgroup,
		.go_counts = l->go_probes.probes ? l->go_probes.counts : NULL,
	};
	struct row_stats rows = { 0 };
	struct locks_report *r;
	int err = live__settle(l, until_ns);

	if (err)
		return err;
	memcpy(in.losses, l->losses, sizeof(in.losses));
	if (l->rows)
		row_store__stats(l->rows, &rows);
	in.modules_full = rows.modules_full;
	in.maps_dropped = rows.maps_dropped;
	in.malformed = l->malformed;
	in.go_left_out = l->go_set.left_out;
	err = locks_report__build(&in, &run->opt->query, &r);
	if (!err && run->opt->hold) {
		err = add_holds(run, r);
		if (err)
			locks_report__free(r);
	}
	if (err) {
		log__msg("the report can't be made: %s", strerror(-err));
		return err;
	}
	err = render(run, r);
	locks_report__free(r);
	return err;
}

static void show_progress(const struct run *run, uint64_t now)
{
	char left[TEXT_DURATION_SZ], waits[TEXT_COUNT_SZ], elapsed[TEXT_DURATION_SZ];
	uint64_t gone = now - run->began_ns;

	if (!run->progress)
		return;
	fprintf(stderr, "\r\033[K%s", text__duration(gone / 1000000000 * 1000000000, elapsed));
	if (run->opt->duration_ns)
		fprintf(stderr, " of %s", text__duration(run->opt->duration_ns, left));
	fprintf(stderr, ", %s waits so far (Ctrl-C for the report)",
		text__count(run->live.aggregate.totals.waits, waits));
	fflush(stderr);
}

static void clear_progress(const struct run *run)
{
	if (run->progress)
		fputs("\r\033[K", stderr);
}

/* The interval ends: a report, and a new one begins. */
static int turn(struct run *run, uint64_t now)
{
	int err = report(run, now);

	if (err)
		return err;
	live__next(&run->live);
	run->interval_began_ns = now;
	return 0;
}

/* Takes events in until it is over; with -i reports in between. */
static int collect(struct run *run)
{
	uint64_t end = run->opt->duration_ns ? run->began_ns + run->opt->duration_ns : UINT64_MAX;
	uint64_t next = run->opt->interval_ns ? run->began_ns + run->opt->interval_ns : UINT64_MAX;
	uint64_t tell = run->began_ns, now, left_ms;
	int err = 0;

	while (!err && !live__over(&run->live)) {
		now = clock__now_ns();
		if (now >= end)
			break;
		if (now >= next) {
			err = turn(run, now);
			next += run->opt->interval_ns;
			continue;
		}
		if (now >= tell) {
			show_progress(run, now);
			tell = now + 1000000000;
		}
		left_ms = ((end < next ? end : next) - now) / 1000000 + 1;
		err = live__poll(&run->live, left_ms < POLL_MS ? left_ms : POLL_MS);
	}
	clear_progress(run);
	return err;
}

static int finish(struct run *run)
{
	int err = live__stop(&run->live);

	return err ? err : report(run, run->live.stopped_ns);
}

static int run_locks(struct run *run)
{
	int status = open_output(run);

	run->live.go_waits = !run->opt->tid; /* goroutines belong to no thread */
	if (!status)
		status = live__open(&run->live, run->opt);
	if (status)
		return status;
	run->own_cgroup = proc__cgroup(getpid());
	live__catch_signals();
	run->began_ns = run->interval_began_ns = clock__now_ns();
	if (live__adopt(&run->live))
		return EXIT_FAILED;
	status = live__release(&run->live);
	if (status)
		return status;
	if (collect(run) || finish(run))
		return EXIT_FAILED;
	return live__wait(&run->live);
}

int cmd_locks(int argc, char **argv)
{
	struct options opt;
	struct run run = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose);
	if (!opt.duration_ns && !opt.program && !opt.interval_ns)
		opt.duration_ns = DURATION_DEFAULT_NS;
	status = run_locks(&run);
	if (output__close(&run.out) && !status)
		status = EXIT_FAILED;
	live__close(&run.live);
	free(run.own_cgroup);
	return status;
}
