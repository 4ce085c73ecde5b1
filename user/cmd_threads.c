// SPDX-License-Identifier: GPL-2.0-only
/* holdup threads: births, deaths and live threads by where they are created, over a time or by intervals. */
#include <errno.h>
#include <string.h>

#include "user/commands.h"
#include "user/live.h"
#include "user/live_golang.h"
#include "user/model/threads.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/view/view.h"

#define DURATION_DEFAULT_NS 10000000000ULL
#define SAMPLE_NS	    1000000000ULL
#define POLL_MS		    100

static const char help[] =
	"usage: holdup threads [OPTION…] [-- PROGRAM ARGS…]\n\n"
	"Prints how many threads are born, die and live, where they are created, how\n"
	"they end, and how many have ended without being joined. With -p, of Go programs\n"
	"also what their scheduler does: goroutines, and the queues of each P.\n"
	"Without a choice of processes: those of the whole machine.\n\n"
	"  -p, --pid PID[,PID…]   these processes\n"
	"      --comm GLOB        processes whose name matches\n"
	"      --cgroup PATH      processes in this cgroup (v2) and below\n"
	"  -- PROGRAM ARGS…       run a program and watch it and its children from\n"
	"                         their first instruction; passes on its exit status\n\n"
	"  -d, --duration TIME    how long (10s; with a program: until it ends)\n"
	"  -i, --interval TIME    a report each TIME, with what has changed, until -d or\n"
	"                         Ctrl-C\n"
	"  -n, --rows N           at most N processes (20)\n"
	"      --json             one JSON document; with -i one a line\n"
	"      --json-schema      describe it\n"
	"  -o, --output FILE      write the report there\n"
	"      --debuginfod       fetch missing debug files ($DEBUGINFOD_URLS)\n"
	"      --unwind-mem SIZE  kernel memory for unwind tables (16M)\n"
	"      --ring-size SIZE   buffer between kernel and holdup (16M)\n"
	"  -v, --verbose          whole stacks, all places; twice: the kernel's words too\n\n"
	"Ctrl-C ends early with the full report, a second one at once.\n";

struct run {
	const struct options *opt;
	struct live live;
	struct go_watch golang;
	struct output out;
	uint64_t began_ns, interval_began_ns;
};

struct rendering {
	const struct run *run;
	struct threads_report *report;
};

static int write_report(void *ctx, FILE *out)
{
	const struct rendering *r = ctx;

	return r->run->opt->json ? view__threads_json(out, r->report, &r->run->out.style)
				 : view__threads_text(out, r->report, &r->run->out.style);
}

static int report(struct run *run, uint64_t until_ns)
{
	struct live *l = &run->live;
	struct threads_input in = {
		.lifetimes = &l->lifetimes,
		.symbolizer = l->symbolizer,
		.interval_ns = until_ns - run->interval_began_ns,
		.now_ns = until_ns,
		.live_view = run->opt->interval_ns != 0,
		.rows = run->opt->query.rows,
	};
	struct rendering rendering = { .run = run };
	struct threads_report *r;
	int err = live__settle(l, until_ns);

	if (err)
		return err;
	memcpy(in.losses, l->losses, sizeof(in.losses));
	in.malformed = l->malformed;
	probes__stats(l->probes, &in.probes);
	err = go_watch__look(&run->golang);
	if (!err)
		err = threads_report__build(&in, &r);
	if (err) {
		log__msg("the report can't be made: %s", strerror(-err));
		return err;
	}
	r->golang = run->golang.told;
	r->golang_cnt = run->golang.cnt;
	rendering.report = r;
	err = output__write(&run->out, write_report, &rendering);
	threads_report__free(r);
	return err;
}

/* The interval ends: a report, and a new one begins. */
static int turn(struct run *run, uint64_t now_ns)
{
	int err = report(run, now_ns);

	if (err)
		return err;
	live__next(&run->live);
	run->interval_began_ns = now_ns;
	return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Takes events in until it is over; with -i reports in between. */
static int collect(struct run *run)
{
	const struct options *o = run->opt;
	uint64_t end = o->duration_ns ? run->began_ns + o->duration_ns : UINT64_MAX;
	uint64_t next = o->interval_ns ? run->began_ns + o->interval_ns : UINT64_MAX;
	uint64_t sample = run->began_ns, now, left_ms;
	int err = 0;

	while (!err && !live__over(&run->live)) {
		now = clock__now_ns();
		if (now >= end)
			break;
		if (now >= sample) {
			lifetimes__sample(&run->live.lifetimes, now);
			sample = now + SAMPLE_NS;
		}
		if (now >= next) {
			err = turn(run, now);
			next += o->interval_ns;
			continue;
		}
		left_ms = (earlier(end, next) - now) / 1000000 + 1;
		err = live__poll(&run->live, left_ms < POLL_MS ? left_ms : POLL_MS);
		if (!err)
			live__make_room(&run->live);
	}
	return err;
}

static int run_threads(struct run *run)
{
	int status = output__open(&run->out, run->opt->output);

	run->out.style.verbose = run->opt->verbose > 0;
	run->out.style.compact = run->opt->interval_ns != 0;
	run->live.what = SESSION_LIVES;
	if (!status)
		status = live__open(&run->live, run->opt);
	if (status)
		return status;
	live__catch_signals();
	run->began_ns = run->interval_began_ns = clock__now_ns();
	if (live__adopt(&run->live))
		return EXIT_FAILED;
	/* What is older than the interval is no change. */
	live__next(&run->live);
	if (go_watch__new(run->opt, &run->golang) || go_watch__look(&run->golang)) {
		log__msg("out of memory");
		return EXIT_FAILED;
	}
	status = live__release(&run->live);
	if (status)
		return status;
	if (collect(run) || live__stop(&run->live) || report(run, run->live.stopped_ns))
		return EXIT_FAILED;
	return live__wait(&run->live);
}

int cmd_threads(int argc, char **argv)
{
	struct options opt;
	struct run run = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose);
	if (!opt.duration_ns && !opt.program && !opt.interval_ns)
		opt.duration_ns = DURATION_DEFAULT_NS;
	status = run_threads(&run);
	if (output__close(&run.out) && !status)
		status = EXIT_FAILED;
	go_watch__free(&run.golang);
	live__close(&run.live);
	return status;
}
