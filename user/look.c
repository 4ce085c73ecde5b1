// SPDX-License-Identifier: GPL-2.0-only
#include "user/look.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/choice.h"
#include "user/collect/adopt.h"
#include "user/machine.h"
#include "user/collect/proc.h"
#include "user/sym/kernel.h"
#include "user/util/log.h"
#include "user/util/privileges.h"
#include "user/watchdog.h"

#define FAMILY_DEPTH 32 /* generations of a program's children */
#define LOOK_MAX_NS \
	60000000000ULL /* a look that takes longer hangs: 100,000 threads take some seconds */

#define HANGING_MAX 16 /* processes in one look that hang who reads them */

/* ---- opening */

/* What -p and --cgroup name has to be there now; each look finds out again. */
static int check_choice(const struct options *o)
{
	struct watch watch = { 0 };
	int fd, status = choice__watch(o, &watch);

	watch__free(&watch);
	if (status || !o->cgroup)
		return status;
	status = choice__cgroup(o, &fd);
	if (!status)
		close(fd);
	return status;
}

static int fill_config(struct look *look, struct threads_config *cfg, struct hu_glob *glob)
{
	const struct options *o = look->opt;

	*cfg = (struct threads_config){ .tgids = o->pids, .tgid_cnt = o->pid_cnt };
	cfg->by_proc = o->by_proc;
	if (o->pid_cnt)
		cfg->filters |= HU_FILTER_TGIDS;
	if (o->cgroup)
		cfg->filters |= HU_FILTER_CGROUP;
	if (o->program) /* its family is added at each look */
		cfg->filters |= HU_FILTER_TGIDS;
	if (o->comm) {
		cfg->filters |= HU_FILTER_COMM;
		cfg->comm = glob;
		return choice__comm(o, glob);
	}
	return EXIT_FINE;
}

static int open_threads(struct look *look, const struct features *f)
{
	struct threads_config cfg;
	struct hu_glob glob;
	const char *why;
	int err, status = fill_config(look, &cfg, &glob);

	if (status)
		return status;
	err = threads__open(&cfg, f, &look->threads, &why);
	if (!err)
		return EXIT_FINE;
	log__msg("%s (%s)", why, strerror(-err));
	return err == -ENOMEM ? EXIT_FAILED : EXIT_UNSUPPORTED;
}

static int tell_no_memory(void)
{
	log__msg("out of memory");
	return EXIT_FAILED;
}

static int start_program(struct look *look)
{
	bool started = false;
	int status =
		choice__start(look->opt, !look->opt->no_last_look, &look->own_program, &started);

	if (started)
		look->program = &look->own_program;
	return status;
}

static int open_beside(struct look *look, const struct options *opt, bool start)
{
	struct features features;
	int status;

	look->opt = opt;
	look->query = (struct stacks_query){
		.idle = opt->query.idle,
		.all = opt->all,
		.raw = opt->raw,
		.lines = true,
		.peers = true,
		.kernel = opt->verbose || opt->json,
		.rows = opt->query.rows,
	};
	status = machine__check(&features);
	if (!status)
		status = check_choice(opt);
	if (!status && start)
		status = start_program(look);
	if (!status)
		status = open_threads(look, &features);
	if (!status && kernel_names__new(&look->kernel))
		status = tell_no_memory();
	return status;
}

int look__open_beside(struct look *look, const struct options *opt)
{
	return open_beside(look, opt, false);
}

int look__open(struct look *look, const struct options *opt)
{
	int status = open_beside(look, opt, true);
	int err = status ? 0 : privileges__drop();

	if (err)
		log__info("not all privileges could be dropped: %s", strerror(-err));
	return status;
}

/* ---- looking */

static int add_member(void *ctx, int pid)
{
	return threads__add_target(ctx, pid);
}

struct family {
	struct threads *threads;
	pid_t pid;
	int depth; /* generations to go */
	int err;
};

static void add_family(struct family *f);

/* Children are those of the thread that made them, or of another one once that has ended. */
static int add_children(void *ctx, uint32_t tid)
{
	struct family *f = ctx;
	struct family next = { .threads = f->threads, .depth = f->depth - 1 };
	char path[64];
	FILE *children;

	snprintf(path, sizeof(path), "/proc/%d/task/%u/children", f->pid, tid);
	children = fopen(path, "re");
	while (children && !f->err && fscanf(children, "%d", &next.pid) == 1) {
		add_family(&next);
		f->err = next.err;
	}
	if (children)
		fclose(children);
	return f->err;
}

/* A process and its children, as far as they have not been given away. */
static void add_family(struct family *f)
{
	f->err = threads__add_target(f->threads, f->pid);
	if (!f->err && f->depth)
		proc__each_thread(f->pid, add_children, f);
}

static int add_targets(struct look *look)
{
	struct family program = {
		.threads = look->threads,
		.pid = look->program ? look->program->pid : 0,
		.depth = FAMILY_DEPTH,
	};

	if (!look->program && !look->opt->cgroup)
		return 0;
	threads__clear_targets(look->threads);
	if (!look->program)
		return adopt__cgroup_members(look->opt->cgroup, add_member, look->threads);
	add_family(&program);
	if (!program.err && look->also)
		program.err = threads__add_target(look->threads, look->also);
	return program.err;
}

/* What is known of processes stays: reading it again for each look would take most of a CPU. */
static void forget(struct look *look)
{
	stacks_report__free(look->report);
	snapshot__free(look->snapshot);
	calls__free(look->calls);
	look->report = NULL;
	look->snapshot = NULL;
	look->calls = NULL;
}

/* Reports refer to names, so this is a moment without any. */
static int renew_known(struct look *look, size_t live)
{
	return known__worn(&look->known, live) ? known__renew(&look->known) : 0;
}

struct taking {
	struct look *look;
	uint64_t between_ns;
};

static int take(void *ctx)
{
	const struct taking *t = ctx;
	struct look *look = t->look;
	struct snapshot_config cfg = { .threads = look->threads,
				       .known = &look->known,
				       .kernel = look->query.kernel,
				       .between_ns = t->between_ns };
	struct stacks_input in;
	int err = calls__new(&look->calls);

	if (!err)
		err = snapshot__take(&cfg, &look->snapshot);
	if (err)
		return err;
	in = (struct stacks_input){ look->snapshot, look->known.symbolizer, look->calls,
				    look->kernel };
	return stacks_report__build(&in, &look->query, &look->report);
}

/* Each process that hangs us costs a try, and what had been read of the others: then they are read without it. */
static int take_patiently(struct look *look, uint64_t between_ns)
{
	struct taking taking = { look, between_ns };
	int status = 0, err = -ETIMEDOUT;

	patience__renew(&look->patience);
	for (int tries = 0; err == -ETIMEDOUT && tries < HANGING_MAX; tries++) {
		err = patience__run(&look->patience, take, &taking, &status);
		if (err != -ETIMEDOUT)
			break;
		/* Not freed: they belong to a thread that is stuck in the kernel. */
		look->known = (struct known_names){ 0 };
		look->calls = NULL;
		look->snapshot = NULL;
		look->report = NULL;
		if (known__renew(&look->known))
			return -ENOMEM;
	}
	return err ? err : status;
}

/* What is probable only must stand for a while: whoever has not moved then is told. */
static int take_again(struct look *look, uint64_t between_ns)
{
	struct timespec moment = { .tv_sec = 1, .tv_nsec = 50000000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	forget(look);
	return take_patiently(look, between_ns);
}

int look__take(struct look *look, uint64_t between_ns)
{
	size_t live;
	int err;

	/* Not before privileges are dropped: capabilities are each thread's own. */
	if (!look->watchdog && watchdog__new(&look->watchdog)) {
		tell_no_memory();
		return -ENOMEM;
	}
	live = look->report ? look->report->processes : 0;
	forget(look);
	err = renew_known(look, live);
	if (!err)
		err = add_targets(look);
	if (err) {
		log__msg("the processes can't be listed: %s", strerror(-err));
		return err;
	}
	watchdog__start(look->watchdog, LOOK_MAX_NS);
	err = take_patiently(look, between_ns);
	if (!err && look->report->unripe)
		err = take_again(look, between_ns);
	watchdog__stop(look->watchdog);
	if (err)
		log__msg("the threads can't be read: %s", strerror(-err));
	return err;
}

void look__close(struct look *look)
{
	forget(look);
	known__free(&look->known);
	threads__free(look->threads);
	kernel_names__free(look->kernel);
	watchdog__free(look->watchdog);
	if (look->program == &look->own_program)
		program__free(&look->own_program);
}
