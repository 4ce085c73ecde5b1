// SPDX-License-Identifier: GPL-2.0-only
/* holdup leaks: suspected leaks of threads, with evidence: from their births and deaths, and looks at those that live. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/collect/proc.h"
#include "user/commands.h"
#include "user/live.h"
#include "user/live_memory.h"
#include "user/look.h"
#include "user/model/leaks.h"
#include "user/model/leaks_baseline.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/view/view.h"

#define FOR_DEFAULT_NS	   30000000000ULL
#define MIN_AGE_DEFAULT_NS 10000000000ULL
#define FIRST_LOOK_NS	   500000000ULL /* the first answer, of what is to be seen at once */
#define BETWEEN_NS	   20000000ULL	/* between the two looks of one */
#define SAMPLE_NS	   100000000ULL
#define POLL_MS		   50
#define GOROUTINES_NS	   500000000ULL /* between two countings of goroutines … */
#define GOROUTINES_SHARE   50		/* … of which they take one part at most */

static const char help[] =
	"usage: holdup leaks [OPTION…] [-- PROGRAM ARGS…]\n\n"
	"Looks for threads that have leaked: ended and never joined, blocked for ever,\n"
	"more and more from one place, many alike at one line, waiting for a lock whose\n"
	"owner is gone. Each suspect comes with its evidence, the worst first. A first\n"
	"answer comes at once; whether something grows takes the whole time.\n"
	"Without a choice of processes: those of the whole machine.\n\n"
	"  -p, --pid PID[,PID…]   these processes\n"
	"  -t, --tid TID          the process of this thread\n"
	"      --comm GLOB        processes whose name matches\n"
	"      --cgroup PATH      processes in this cgroup (v2) and below\n"
	"  -- PROGRAM ARGS…       run a program and watch it and its children; passes on\n"
	"                         its exit status\n\n"
	"      --for TIME         watch so long (30s)\n"
	"      --min-age TIME     ended or blocked for so long (10s)\n"
	"      --baseline FILE    a report by --json: only what is new since\n"
	"  -n, --rows N           at most N suspects (20)\n"
	"      --json             one JSON document, at the end\n"
	"      --json-schema      describe it\n"
	"  -o, --output FILE      write the report there\n"
	"      --debuginfod       fetch missing debug files ($DEBUGINFOD_URLS)\n"
	"      --unwind-mem SIZE  kernel memory for unwind tables (16M)\n"
	"      --ring-size SIZE   buffer between kernel and holdup (16M)\n"
	"  -v, --verbose          whole stacks; twice: the kernel's words too\n\n"
	"Ctrl-C ends early with the report, a second one at once.\n";

struct run {
	const struct options *opt;
	struct live live;
	struct look look;
	struct output out;
	struct leaks_query query;
	struct leaks_baseline *baseline;
	struct leaks_report *report;
	uint64_t began_ns, lost;
	size_t printed; /* suspects of the last answer */
};

static int write_report(void *ctx, FILE *out)
{
	const struct run *run = ctx;

	if (run->opt->json)
		return view__leaks_json(out, run->report, &run->out.style);
	if (run->printed)
		fputc('\n', out);
	return view__leaks_text(out, run->report, &run->out.style);
}

/* ---- a report */

static void count_lost(struct run *run)
{
	const struct live *l = &run->live;

	run->lost += l->losses[HU_LOSS_LIVES] + l->losses[HU_LOSS_LIVES_FULL];
}

static int build(struct run *run, uint64_t now_ns, const struct live_stacks *stacks)
{
	struct leaks_unreachable unreachable = { 0 };
	struct leaks_input in = { .lifetimes = &run->live.lifetimes,
				  .stacks = run->look.report,
				  .symbolizer = run->live.symbolizer,
				  .look_symbolizer = run->look.known.symbolizer,
				  .unreachable = &unreachable,
				  .stack = stacks->stack,
				  .stack_cnt = stacks->cnt,
				  .began_ns = run->began_ns,
				  .now_ns = now_ns,
				  .lost = run->lost };
	int err = live_memory__search(&run->look, run->query.min_age_ns, &unreachable);

	leaks_report__free(run->report);
	run->report = NULL;
	if (!err)
		err = leaks_report__build(&in, &run->query, &run->report);
	free((void *)unreachable.tid);
	if (err)
		log__msg("the report can't be made: %s", strerror(-err));
	return err;
}

/* What is known now; last: print it, whatever it is. */
static int answer(struct run *run, bool last)
{
	uint64_t now = clock__now_ns();
	struct live_stacks stacks = { 0 };
	int err = live__settle(&run->live, now);

	if (err)
		return err;
	run->query.early = !last;
	count_lost(run);
	leaks_report__free(run->report); /* refers to the last look */
	run->report = NULL;
	err = look__take(&run->look, BETWEEN_NS);
	if (!err)
		err = live_memory__read_stacks(&run->live, &run->look, &stacks);
	if (!err)
		err = build(run, now, &stacks);
	free(stacks.stack);
	if (err || (!last && (run->opt->json || run->report->cnt <= run->printed)))
		return err;
	err = output__write(&run->out, write_report, run);
	run->printed = run->report->cnt;
	return err;
}

/* ---- */

static uint64_t end_of(const struct run *run)
{
	const struct options *o = run->opt;

	if (o->for_ns)
		return run->began_ns + o->for_ns;
	return o->program ? UINT64_MAX : run->began_ns + FOR_DEFAULT_NS;
}

/* Counts goroutines by where they were created when it is time to; from the first answer on it is known which are. */
static int sample_goroutines(struct run *run, uint64_t now_ns, uint64_t *next_ns)
{
	uint64_t took;
	int err;

	if (now_ns < *next_ns)
		return 0;
	took = clock__cpu_ns();
	err = known__sample_golang(&run->look.known);
	took = (clock__cpu_ns() - took) * GOROUTINES_SHARE;
	*next_ns = now_ns + (took > GOROUTINES_NS ? took : GOROUTINES_NS);
	return err;
}

/* Takes events in until it is over, with an answer in between when there is one: at once, and at the least age. */
static int collect(struct run *run)
{
	const uint64_t looks[] = { FIRST_LOOK_NS, run->query.min_age_ns + FIRST_LOOK_NS,
				   UINT64_MAX };
	uint64_t end = end_of(run), sample = run->began_ns, goroutines = 0, now;
	const uint64_t *look = looks;
	int err = 0;

	while (!err && !live__over(&run->live)) {
		now = clock__now_ns();
		if (now >= end)
			break;
		if (now >= sample) {
			lifetimes__sample(&run->live.lifetimes, now);
			sample = now + SAMPLE_NS;
		}
		err = sample_goroutines(run, now, &goroutines);
		if (!err && now - run->began_ns >= *look) {
			look++;
			err = answer(run, false);
			continue;
		}
		if (!err)
			err = live__poll(&run->live, POLL_MS);
		if (!err)
			live__make_room(&run->live);
	}
	return err;
}

/* Both are opened before either gives up its privileges: the second one does. */
static int open_all(struct run *run)
{
	int status = output__open(&run->out, run->opt->output);

	run->out.style.verbose = run->opt->verbose > 0;
	run->live.what = SESSION_LIVES;
	if (!status)
		status = look__open_beside(&run->look, run->opt);
	if (!status)
		status = live__open(&run->live, run->opt);
	if (!status && run->opt->program)
		run->look.program = &run->live.program;
	return status;
}

static int run_leaks(struct run *run)
{
	int status = open_all(run);

	if (status)
		return status;
	live__catch_signals();
	run->began_ns = clock__now_ns();
	if (live__adopt(&run->live))
		return EXIT_FAILED;
	live__next(&run->live); /* what is older is no change */
	status = live__release(&run->live);
	if (status)
		return status;
	if (collect(run) || answer(run, true))
		return EXIT_FAILED;
	if (live__stop(&run->live))
		return EXIT_FAILED;
	return live__wait(&run->live);
}

/* A thread by itself leaks nothing: its process is what is asked for. */
static int choose_process(struct options *o)
{
	if (!o->tid)
		return EXIT_FINE;
	o->pids[0] = proc__of_thread(o->tid);
	if (!o->pids[0]) {
		log__msg("there is no thread %d", o->tid);
		return EXIT_FAILED;
	}
	o->pid_cnt = 1;
	o->tid = 0;
	return EXIT_FINE;
}

static int read_baseline(struct run *run)
{
	const char *path = run->opt->baseline, *why = "";
	int err;

	if (!path)
		return EXIT_FINE;
	err = leaks_baseline__read(path, &run->baseline, &why);
	run->query.baseline = run->baseline;
	if (err == -EINVAL)
		log__msg("--baseline %s: %s", path, why);
	else if (err)
		log__msg("--baseline %s: %s", path, strerror(-err));
	return err ? EXIT_USAGE : EXIT_FINE;
}

int cmd_leaks(int argc, char **argv)
{
	struct options opt;
	struct run run = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose > 1 ? opt.verbose : 0);
	run.query = (struct leaks_query){
		.min_age_ns = opt.min_age_ns ? opt.min_age_ns : MIN_AGE_DEFAULT_NS,
		.rows = opt.query.rows,
		.over = opt.program != NULL,
	};
	status = choose_process(&opt);
	if (!status)
		status = read_baseline(&run);
	if (!status)
		status = run_leaks(&run);
	if (output__close(&run.out) && !status)
		status = EXIT_FAILED;
	leaks_report__free(run.report);
	leaks_baseline__free(run.baseline);
	look__close(&run.look);
	live__close(&run.live);
	return status;
}
