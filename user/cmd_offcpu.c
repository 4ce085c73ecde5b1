// SPDX-License-Identifier: GPL-2.0-only
/* holdup offcpu: where threads spend their time off the CPU, and why; --sched: how long they wait for one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/collect/session_offcpu.h"
#include "user/commands.h"
#include "user/live_offcpu.h"
#include "user/model/offcpu.h"
#include "user/model/sched.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/offcpu.h"

#define DURATION_DEFAULT_NS 10000000000ULL
#define POLL_MS		    100

static const char help[] =
	"usage: holdup offcpu [OPTION…] [-- PROGRAM ARGS…]\n\n"
	"Prints where threads spend their time off the CPU and why: blocked in which\n"
	"call, on which file or lock, or runnable without a CPU, and who woke them.\n"
	"Without a choice of processes: those of the whole machine.\n\n"
	"  -p, --pid PID[,PID…]   these processes\n"
	"  -t, --tid TID          this thread\n"
	"      --comm GLOB        processes whose name matches\n"
	"      --cgroup PATH      processes in this cgroup (v2) and below\n"
	"  -- PROGRAM ARGS…       run a program and watch it and its children from\n"
	"                         their first instruction; passes on its exit status\n\n"
	"  -d, --duration TIME    how long (10s; with a program: until it ends)\n"
	"  -i, --interval TIME    a report each TIME, until -d or Ctrl-C\n"
	"      --by WHAT          stack (default), reason, process, thread, waker\n"
	"      --state LETTERS    only R, S, D, T, t as in ps(1): R is preempted,\n"
	"                         D in uninterruptible sleep\n"
	"      --min-wait TIME    leave out waits shorter than this\n"
	"      --idle             list waits for work too (poll, accept, condvars)\n"
	"  -n, --rows N           at most N rows (20)\n"
	"      --sched            run queues: their length on each CPU, and how long\n"
	"                         threads wait on them\n"
	"      --folded           lines for flame graphs, in microseconds\n"
	"      --json             one JSON document; with -i one a line\n"
	"      --json-schema      describe it\n"
	"  -o, --output FILE      write the report there\n"
	"      --debuginfod       fetch missing debug files ($DEBUGINFOD_URLS)\n"
	"      --unwind-mem SIZE  kernel memory for unwind tables (16M)\n"
	"  -v, --verbose          whole stacks; twice: the kernel's words as well\n\n"
	"Ctrl-C ends early with the full report, a second one at once.\n";

struct run {
	const struct options *opt;
	struct live_offcpu off;
	struct output out;
	struct kernel_names *kernel;
	uint64_t began_ns, interval_began_ns;
	bool progress;
	struct hu_off_queue *queue_before, *queue; /* --sched: of each CPU */
	size_t cpu_cnt;
	const struct off_report *report; /* being written */
	const struct sched_report *sched;
};

static int write_report(void *ctx, FILE *out)
{
	struct run *run = ctx;
	const struct view_style *style = &run->out.style;

	if (run->sched)
		return run->opt->json ? view__sched_json(out, run->sched, style)
				      : view__sched_text(out, run->sched, style);
	if (run->opt->folded)
		return view__offcpu_folded(out, run->report);
	return run->opt->json ? view__offcpu_json(out, run->report, style)
			      : view__offcpu_text(out, run->report, style);
}

static int tell(int err)
{
	if (err)
		log__msg("the report can't be made: %s", strerror(-err));
	return err;
}

static int read_queues(struct run *run, struct hu_off_queue *ret)
{
	for (size_t i = 0; i < run->cpu_cnt; i++) {
		int err = session__off_queue(run->off.live.session, i, &ret[i]);

		if (err)
			return err;
	}
	return 0;
}

static int report_sched(struct run *run, uint64_t until_ns)
{
	struct sched_input in = {
		.offcpu = &run->off.offcpu,
		.queue_before = run->queue_before,
		.queue = run->queue,
		.cpu_cnt = run->cpu_cnt,
		.interval_ns = until_ns - run->interval_began_ns,
		.until_ns = until_ns,
	};
	struct sched_report *r;
	int err = read_queues(run, run->queue);

	memcpy(in.losses, run->off.live.losses, sizeof(in.losses));
	if (!err)
		err = sched_report__build(&in, run->opt->query.rows, &r);
	if (err)
		return tell(err);
	run->sched = r;
	err = output__write(&run->out, write_report, run);
	run->sched = NULL;
	sched_report__free(r);
	memcpy(run->queue_before, run->queue, run->cpu_cnt * sizeof(*run->queue));
	return err;
}

static int report_offcpu(struct run *run, uint64_t until_ns)
{
	const struct options *o = run->opt;
	struct live *l = &run->off.live;
	const struct off_query query = {
		.by = o->folded ? OFF_BY_STACK : o->off_by,
		.idle = o->query.idle || o->folded,
		.all = o->folded,
		.states = o->states,
		.rows = o->query.rows,
	};
	struct off_input in = {
		.offcpu = &run->off.offcpu,
		.aggregate = &l->aggregate,
		.symbolizer = l->symbolizer,
		.kernel = run->kernel,
		.call = live_offcpu__call,
		.call_ctx = &run->off,
		.interval_ns = until_ns - run->interval_began_ns,
	};
	struct row_stats rows = { 0 };
	struct off_report *r;
	int err;

	memcpy(in.losses, l->losses, sizeof(in.losses));
	in.losses[HU_LOSS_OFF_THREADS] = l->seen[HU_LOSS_OFF_THREADS];
	if (l->rows)
		row_store__stats(l->rows, &rows);
	in.modules_full = rows.modules_full;
	in.maps_dropped = rows.maps_dropped;
	err = off_report__build(&in, &query, &r);
	if (err)
		return tell(err);
	run->report = r;
	err = output__write(&run->out, write_report, run);
	run->report = NULL;
	off_report__free(r);
	return err;
}

static int report(struct run *run, uint64_t until_ns)
{
	int err = live_offcpu__settle(&run->off, until_ns);

	if (err)
		return err;
	return run->opt->sched ? report_sched(run, until_ns) : report_offcpu(run, until_ns);
}

static void show_progress(const struct run *run, uint64_t now)
{
	char left[TEXT_DURATION_SZ], elapsed[TEXT_DURATION_SZ];
	uint64_t gone = now - run->began_ns;

	if (!run->progress)
		return;
	fprintf(stderr, "\r\033[K%s", text__duration(gone / 1000000000 * 1000000000, elapsed));
	if (run->opt->duration_ns)
		fprintf(stderr, " of %s", text__duration(run->opt->duration_ns, left));
	fputs(" (Ctrl-C for the report)", stderr);
	fflush(stderr);
}

/* The interval ends: a report, and a new one begins. */
static int turn(struct run *run, uint64_t now)
{
	int err = report(run, now);

	if (!err)
		err = live_offcpu__next(&run->off);
	run->interval_began_ns = now;
	return err;
}

/* Looks on until it is over; with -i reports in between. */
static int collect(struct run *run)
{
	const struct options *o = run->opt;
	uint64_t end = o->duration_ns ? run->began_ns + o->duration_ns : UINT64_MAX;
	uint64_t next = o->interval_ns ? run->began_ns + o->interval_ns : UINT64_MAX;
	uint64_t told = run->began_ns, now, left_ms;
	int err = 0;

	while (!err && !live__over(&run->off.live) && (now = clock__now_ns()) < end) {
		if (now >= next) {
			next += o->interval_ns;
			err = next < end ? turn(run, now) : 0;
			continue;
		}
		if (now >= told) {
			show_progress(run, now);
			told = now + 1000000000;
		}
		left_ms = ((end < next ? end : next) - now) / 1000000 + 1;
		err = live_offcpu__poll(&run->off, left_ms < POLL_MS ? left_ms : POLL_MS);
	}
	if (run->progress)
		fputs("\r\033[K", stderr);
	return err;
}

static int prepare(struct run *run)
{
	const struct options *o = run->opt;
	uint32_t mode = o->sched ? HU_OFF_SCHED : HU_OFF_WAKERS;
	int status = output__open(&run->out, o->output);

	if (status)
		return status;
	run->out.style.verbose = o->verbose > 0;
	run->out.style.compact = o->interval_ns != 0;
	run->progress = isatty(STDERR_FILENO) && !o->interval_ns;
	run->cpu_cnt = o->sched ? sysconf(_SC_NPROCESSORS_CONF) : 0;
	run->queue = calloc(run->cpu_cnt + 1, sizeof(*run->queue));
	run->queue_before = calloc(run->cpu_cnt + 1, sizeof(*run->queue));
	if (!run->queue || !run->queue_before || kernel_names__new(&run->kernel)) {
		log__msg("out of memory");
		return EXIT_FAILED;
	}
	/* Privileges that reading addresses takes will be given up. */
	kernel_names__find(run->kernel, 0);
	if (o->off_by == OFF_BY_THREAD)
		mode |= HU_OFF_BY_THREAD;
	return live_offcpu__open(&run->off, o, mode);
}

static int run_offcpu(struct run *run)
{
	int status = prepare(run);

	if (status)
		return status;
	live__catch_signals();
	run->began_ns = run->interval_began_ns = clock__now_ns();
	if (live_offcpu__adopt(&run->off))
		return EXIT_FAILED;
	status = live__release(&run->off.live);
	if (status)
		return status;
	if (collect(run) || live__stop(&run->off.live) || report(run, run->off.live.stopped_ns))
		return EXIT_FAILED;
	return live__wait(&run->off.live);
}

static int check(const struct options *o)
{
	if (o->folded && (o->json || o->sched || o->off_by != OFF_BY_STACK)) {
		log__msg("--folded goes with none of --json, --by and --sched");
		return EXIT_USAGE;
	}
	if (o->sched && o->off_by != OFF_BY_STACK && o->off_by != OFF_BY_PROCESS &&
	    o->off_by != OFF_BY_THREAD) {
		log__msg("--sched goes --by process (default) or thread");
		return EXIT_USAGE;
	}
	return 0;
}

int cmd_offcpu(int argc, char **argv)
{
	struct options opt;
	struct run run = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	status = check(&opt);
	if (status)
		return status;
	log__set_verbose(opt.verbose);
	opt.no_stacks |= opt.sched;
	if (!opt.duration_ns && !opt.program && !opt.interval_ns)
		opt.duration_ns = DURATION_DEFAULT_NS;
	status = run_offcpu(&run);
	if (output__close(&run.out) && !status)
		status = EXIT_FAILED;
	live_offcpu__close(&run.off);
	kernel_names__free(run.kernel);
	free(run.queue);
	free(run.queue_before);
	return status;
}
