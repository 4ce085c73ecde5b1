// SPDX-License-Identifier: GPL-2.0-only
/* holdup stacks: every thread now, without stopping any: what it waits for, who keeps it waiting. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/commands.h"
#include "user/live.h"
#include "user/look.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/util/table.h"
#include "user/view/view.h"

#define BETWEEN_NS	  10000000ULL /* between the two looks: a moving queue moves in that time */
#define WATCH_INTERVAL_NS 1000000000ULL /* how often --watch looks unless -i says so */
#define WATCH_MAX	  20 /* threads that are printed in one turn; the rest is counted */

static const char help[] = "usage: holdup stacks [OPTION…]\n\n"
			   "Prints what every thread, and every goroutine of Go programs, waits "
			   "for at this\n"
			   "moment, and who keeps it waiting:\n"
			   "first deadlocks and locks whose owner is gone, then threads behind "
			   "which others\n"
			   "wait, then all, alike ones as one entry. Nothing is stopped.\n"
			   "Without a choice of processes: those of the whole machine.\n\n"
			   "  -p, --pid PID[,PID…]   these processes\n"
			   "      --comm GLOB        processes whose name matches\n"
			   "      --cgroup PATH      processes in this cgroup (v2) and below\n\n"
			   "      --idle             list threads that wait for work, too\n"
			   "      --all              each thread with its whole stack\n"
			   "      --raw              the same with the numbers behind it: state, "
			   "system\n"
			   "                         call, registers, addresses\n"
			   "  -n, --rows N           at most N entries (20)\n"
			   "      --dot              who waits for whom, as a graph for Graphviz\n"
			   "      --json             one JSON document\n"
			   "      --json-schema      describe it\n"
			   "  -o, --output FILE      write the report there\n\n"
			   "      --watch            print a thread once it has been blocked for "
			   "long\n"
			   "      --longer-than TIME so long (5s)\n"
			   "  -i, --interval TIME    how often --watch looks (1s)\n"
			   "  -d, --duration TIME    how long --watch goes on (until Ctrl-C)\n"
			   "  -v, --verbose          whole stacks, those in the kernel too\n";

struct stacks_run {
	const struct options *opt;
	struct look look;
	struct output out;
};

static int write_report(void *ctx, FILE *out)
{
	struct stacks_run *run = ctx;
	const struct stacks_report *r = run->look.report;

	if (run->opt->dot)
		return view__stacks_dot(out, r);
	return run->opt->json ? view__stacks_json(out, r, &run->out.style)
			      : view__stacks_text(out, r, &run->out.style);
}

/* ---- --watch */

/* A thread that was printed, or was idle: not again until it has run. */
struct known {
	uint32_t tid;	/* 0: a goroutine … */
	uint64_t start; /* … of this g and goid */
	uint64_t switches;
	uint64_t turn; /* when it was seen last: those that have gone on are forgotten */
};

struct watching {
	struct stacks_run *run;
	struct table known;
	uint64_t turn;
	bool fresh; /* this turn has found somebody new */
	size_t printed, left;
};

static bool known__equal(const void *value, const void *key)
{
	const struct known *a = value, *b = key;

	return a->tid == b->tid && a->start == b->start && a->switches == b->switches;
}

static struct known *find(struct watching *w, uint32_t tid, uint64_t start, uint64_t switches)
{
	struct known key = { .tid = tid, .start = start, .switches = switches };

	return table__find(&w->known, hash__mix(hash__mix(tid, start), switches), known__equal,
			   &key);
}

static struct known key_of(const struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;

	if (t->goroutine)
		return (struct known){ .start = hash__mix(t->goroutine->addr ^ rec->tgid,
							  t->goroutine->goid),
				       .switches = t->goroutine->seq };
	return (struct known){ rec->tid, rec->thread_start, rec->switches };
}

static int on_long(void *ctx, const struct hu_record *rec)
{
	const struct hu_thread_brief *brief = (const void *)rec;
	struct watching *w = ctx;
	struct known *k;

	if (!brief->state || (brief->flags & HU_THREAD_ON_CPU))
		return 0;
	k = find(w, brief->tid, brief->thread_start, brief->switches);
	if (k)
		k->turn = w->turn;
	else
		w->fresh = true;
	return 0;
}

static int remember(struct watching *w, const struct blocked_thread *t)
{
	struct known key = key_of(t), *k = find(w, key.tid, key.start, key.switches);
	int err;

	if (k) {
		k->turn = w->turn;
		return 0;
	}
	k = malloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	*k = key;
	k->turn = w->turn;
	err = table__add(&w->known, hash__mix(hash__mix(k->tid, k->start), k->switches), k);
	if (err)
		free(k);
	return err;
}

/* Has it been printed, or passed over, already? */
static bool is_known(struct watching *w, const struct blocked_thread *t)
{
	struct known key = key_of(t), *k = find(w, key.tid, key.start, key.switches);

	if (k)
		k->turn = w->turn;
	return k;
}

static int write_new(void *ctx, FILE *out)
{
	struct watching *w = ctx;
	const struct stacks_report *r = w->run->look.report;
	uint64_t longer = w->run->opt->longer_ns;
	int err = 0;

	w->printed = w->left = 0;
	for (size_t i = 0; i < r->thread_cnt && !err; i++) {
		const struct blocked_thread *t = &r->thread[i];

		if (t->at_least_ns < longer || t->state == BLOCKED_RUNNING || is_known(w, t))
			continue;
		err = remember(w, t);
		if (err || (t->idle && !w->run->opt->query.idle))
			continue;
		if (w->printed++ < WATCH_MAX)
			err = view__blocked_thread(out, t, &w->run->out.style);
		else
			w->left++;
	}
	if (w->left)
		fprintf(out, "%zu more threads\n\n", w->left);
	return err;
}

static int look_for_new(struct watching *w)
{
	struct hu_snap_ask ask = { .mode = HU_SNAP_BRIEF };
	struct look *look = &w->run->look;
	uint64_t longer = w->run->opt->longer_ns;
	int64_t offset;
	int err;

	w->turn++;
	/* The first look tells; and goroutines are seen by whole looks only. */
	w->fresh = !threads__clock_offset(look->threads, &offset) ||
		   (look->report && look->report->goroutine_cnt);
	if (!w->fresh) {
		uint64_t now = clock__now_ns() - offset;

		if (longer >= now)
			return 0; /* longer than since the machine was started */
		ask.off_before_ns = now - longer;
		err = threads__pass(look->threads, &ask, on_long, w);
		if (err)
			return err;
	}
	if (!w->fresh)
		return 0;
	err = look__take(look, BETWEEN_NS);
	if (!err && !threads__clock_offset(look->threads, &offset)) {
		log__msg("--watch needs to know for how long threads are blocked: Linux 5.15, and "
			 "CONFIG_SCHED_INFO");
		return -EOPNOTSUPP;
	}
	return err ? err : output__write(&w->run->out, write_new, w);
}

/* Those that have run since are no more of interest. */
static int forget_gone(struct watching *w)
{
	struct table kept = { 0 };
	struct known *k;
	int err = 0;

	for (size_t i = 0; (k = table__next(&w->known, &i));) {
		if (k->turn + 1 < w->turn ||
		    table__add(&kept, hash__mix(hash__mix(k->tid, k->start), k->switches), k))
			free(k);
	}
	table__clear(&w->known, NULL);
	w->known = kept;
	return err;
}

static int watch(struct stacks_run *run)
{
	const struct options *o = run->opt;
	uint64_t every = o->interval_ns ? o->interval_ns : WATCH_INTERVAL_NS;
	uint64_t next = clock__now_ns(), end = o->duration_ns ? next + o->duration_ns : UINT64_MAX;
	struct watching w = { .run = run };
	int err = 0;

	live__catch_signals();
	while (!err && !live__interrupted() && next < end) {
		struct timespec at = { next / 1000000000, next % 1000000000 };

		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			continue;
		err = look_for_new(&w);
		if (!err)
			err = forget_gone(&w);
		next += every;
	}
	table__clear(&w.known, free);
	return err == -EOPNOTSUPP ? EXIT_UNSUPPORTED : err ? EXIT_FAILED : EXIT_FINE;
}

/* ---- */

static int once(struct stacks_run *run)
{
	if (look__take(&run->look, BETWEEN_NS))
		return EXIT_FAILED;
	return output__write(&run->out, write_report, run) ? EXIT_FAILED : EXIT_FINE;
}

static int check_options(struct options *o)
{
	if (o->json && o->dot) {
		log__msg("choose one of --json and --dot");
		return EXIT_USAGE;
	}
	if (!o->watch && (o->longer_ns || o->interval_ns || o->duration_ns)) {
		log__msg("--longer-than, -i and -d are for --watch");
		return EXIT_USAGE;
	}
	if (o->watch && (o->json || o->dot || o->all)) {
		log__msg("--watch prints text, a thread at a time");
		return EXIT_USAGE;
	}
	if (o->program) {
		log__msg("stacks looks at programs that run already: use check -- PROGRAM");
		return EXIT_USAGE;
	}
	if (!o->longer_ns)
		o->longer_ns = 5000000000ULL;
	return EXIT_FINE;
}

int cmd_stacks(int argc, char **argv)
{
	struct options opt;
	struct stacks_run run = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose > 1 ? opt.verbose : 0);
	status = check_options(&opt);
	if (!status)
		status = output__open(&run.out, opt.output);
	if (status)
		return status;
	run.out.style.verbose = opt.verbose > 0;
	status = look__open(&run.look, &opt);
	if (!status)
		status = opt.watch ? watch(&run) : once(&run);
	if (output__close(&run.out) && !status)
		status = EXIT_FAILED;
	look__close(&run.look);
	return status;
}
