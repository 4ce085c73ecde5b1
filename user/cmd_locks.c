// SPDX-License-Identifier: GPL-2.0-only
/* holdup locks: top contended locks, over a time or live by intervals. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <linux/magic.h>

#include "user/aggregate/aggregate.h"
#include "user/collect/session.h"
#include "user/collect/target.h"
#include "user/commands.h"
#include "user/decode/decode.h"
#include "user/model/locks.h"
#include "user/options.h"
#include "user/sym/symbolizer.h"
#include "user/util/glob.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/view.h"

#define DURATION_DEFAULT_NS 10000000000ULL
#define POLL_MS		    100
/* A woken thread that sleeps again after at most so much CPU time tries again for the same lock. */
#define JOIN_CPU_NS 20000

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
	"      --min-wait TIME    leave out waits shorter than this\n"
	"      --idle             list waits for work too (condvars, joins)\n"
	"      --by WHAT          lock (default), site, process\n"
	"      --sort WHAT        wait (default), waits, max, avg, p99, waiters\n"
	"  -n, --rows N           at most N rows (20)\n"
	"      --json             one JSON document; with -i one a line\n"
	"      --json-schema      describe it\n"
	"  -o, --output FILE      write the report there\n"
	"      --futex-calls      count futex calls and their results even where that\n"
	"                         slows every system call of the machine\n"
	"      --ring-size SIZE   buffer between kernel and holdup (16M)\n"
	"  -v, --verbose          whole stacks; twice: the kernel's words as well\n\n"
	"Ctrl-C ends early with the full report, a second one at once.\n";

/* Everything of one run. */
struct run {
	const struct options *opt;
	struct features features;
	struct session *session;
	struct symbolizer *symbolizer;
	struct aggregate aggregate;
	struct decode_handler decoder;
	struct watch watch;
	struct program program;
	bool has_program;
	FILE *out;
	struct view_style style;
	uint64_t losses[HU_LOSS_CNT]; /* at the last report */
	uint64_t malformed;
	uint64_t began_ns, interval_began_ns;
	bool progress;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = 1;
}

static void catch_signals(void)
{
	/* The second one finds the default again and ends holdup at once. */
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- hooks: looking at processes and stacks while they are there */

static void on_process(void *ctx, struct agg_process *p)
{
	struct run *run = ctx;

	if (symbolizer__add_process(run->symbolizer, p->tgid, &p->names))
		p->names = NULL;
}

static int on_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	struct run *run = ctx;
	int err = source__stack(session__source(run->session), id, ret);

	if (err || !p->names)
		return err;
	/* Code that was mapped since: look again, once for each new stack. */
	for (size_t i = 0; i < ret->frames && i < HU_MAX_FRAMES; i++)
		if (!maps__find(sym_process__maps(p->names), ret->pcs[i])) {
			symbolizer__rescan(run->symbolizer, p->names);
			break;
		}
	return 0;
}

/* ---- setting up */

static int open_output(struct run *run)
{
	const char *path = run->opt->output;
	struct stat st;
	int flags;

	run->out = stdout;
	if (path) {
		run->out = fopen(path, "we");
		if (!run->out) {
			log__msg("%s can't be written: %s", path, strerror(errno));
			return EXIT_FAILED;
		}
	} else {
		/* main() put a read-only /dev/null where a closed standard output was. */
		flags = fcntl(STDOUT_FILENO, F_GETFL);
		if (flags < 0 || fstat(STDOUT_FILENO, &st) || (flags & O_ACCMODE) == O_RDONLY) {
			log__msg("standard output is closed: open it, or use -o FILE");
			return EXIT_FAILED;
		}
	}
	run->style = view__style(run->out);
	run->style.verbose = run->opt->verbose > 0;
	run->style.compact = run->opt->interval_ns != 0;
	run->progress = isatty(STDERR_FILENO) && !run->opt->interval_ns;
	return 0;
}

static int find_targets(struct run *run)
{
	const struct options *o = run->opt;
	pid_t missing;
	char path[64];
	int err;

	if (o->tid) {
		snprintf(path, sizeof(path), "/proc/%d", o->tid);
		if (access(path, F_OK)) {
			log__msg("there is no thread %d", o->tid);
			return EXIT_FAILED;
		}
	}
	err = watch__new(o->pids, o->pid_cnt, &run->watch, &missing);
	if (!err)
		return 0;
	if (err == -ESRCH)
		log__msg("there is no process %d", missing);
	else if (err == -EINVAL)
		log__msg("%d is a thread, not a process: use -t %d, or -p with its process",
			 missing, missing);
	else
		log__msg("process %d can't be watched: %s", missing, strerror(-err));
	return EXIT_FAILED;
}

static int open_cgroup(const char *path, int *ret)
{
	char shown[256];
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	text__escape(path, strlen(path), shown, sizeof(shown));
	if (fd < 0) {
		log__msg("cgroup %s: %s", shown, strerror(errno));
		return EXIT_FAILED;
	}
	if (fstatfs(fd, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC) {
		log__msg("%s is not a cgroup v2 directory (they lie below /sys/fs/cgroup)", shown);
		close(fd);
		return EXIT_FAILED;
	}
	*ret = fd;
	return 0;
}

static int fill_config(struct run *run, struct session_config *cfg, struct hu_glob *glob)
{
	const struct options *o = run->opt;

	*cfg = (struct session_config){
		.cgroup_fd = -1,
		.ring_sz = o->ring_sz,
		.join_cpu_ns = JOIN_CPU_NS,
		.stacks = true,
		.futex_calls = o->futex_calls,
		.force_hash = o->force_hash,
		.force_raw = o->force_raw,
		.tgids = o->pids,
		.tgid_cnt = o->pid_cnt,
		.tid = o->tid,
	};
	if (o->pid_cnt)
		cfg->filters |= HU_FILTER_TGIDS;
	if (o->tid)
		cfg->filters |= HU_FILTER_TID;
	if (o->program) {
		cfg->filters |= HU_FILTER_TGIDS | HU_FILTER_FOLLOW;
		cfg->tgids = &run->program.pid;
		cfg->tgid_cnt = 1;
	}
	if (o->comm) {
		if (glob__compile(o->comm, glob)) {
			log__msg("--comm: a pattern of at most 31 characters with *, ? and [a-z]");
			return EXIT_USAGE;
		}
		cfg->filters |= HU_FILTER_COMM;
		cfg->comm = glob;
	}
	if (o->cgroup) {
		cfg->filters |= HU_FILTER_CGROUP;
		return open_cgroup(o->cgroup, &cfg->cgroup_fd);
	}
	return 0;
}

/* Can holdup work here at all? */
static int check_machine(struct run *run)
{
	int err = features__privileges();

	if (err) {
		log__msg("not permitted: run as root (sudo), or with CAP_BPF, CAP_PERFMON and "
			 "CAP_SYS_PTRACE");
		return EXIT_UNSUPPORTED;
	}
	err = features__detect(&run->features);
	if (err) {
		log__msg("/sys/kernel/btf/vmlinux: %s: this kernel lacks BTF "
			 "(CONFIG_DEBUG_INFO_BTF), "
			 "without which holdup can't work; see holdup doctor",
			 strerror(-err));
		return EXIT_UNSUPPORTED;
	}
	return 0;
}

static int start(struct run *run)
{
	struct session_config cfg;
	struct hu_glob glob;
	const char *why;
	int err, status;

	if (run->opt->program) {
		err = program__start(run->opt->program, &run->program);
		if (err) {
			log__msg("no process can be started: %s", strerror(-err));
			return EXIT_FAILED;
		}
		run->has_program = true;
	}
	status = fill_config(run, &cfg, &glob);
	if (status)
		return status;
	/* Is fexit refused here? Only attaching tells, and costs a few milliseconds. */
	features__probe_fentry(&run->features);
	err = session__open(&cfg, &run->features, &run->session, &why);
	if (!err)
		err = session__attach(run->session, &why);
	if (cfg.cgroup_fd >= 0)
		close(cfg.cgroup_fd);
	if (err) {
		log__msg("%s (%s)", why, strerror(-err));
		return err == -EPERM || err == -EACCES || err == -EOPNOTSUPP || err == -EINVAL ||
				       err == -ENOENT
			       ? EXIT_UNSUPPORTED
			       : EXIT_FAILED;
	}
	if (!session__sees_futex_calls(run->session))
		log__info("futex calls that do not sleep are not counted here: fexit is refused; "
			  "--futex-calls would, and slow every system call by about a quarter");
	return 0;
}

static int release_program(struct run *run)
{
	char shown[128];
	int err;

	if (!run->has_program)
		return 0;
	err = program__release(&run->program);
	if (!err)
		return 0;
	text__escape(run->opt->program[0], strlen(run->opt->program[0]), shown, sizeof(shown));
	log__msg("%s can't be run: %s", shown, strerror(-err));
	return err == -ENOENT ? 127 : 126; /* as shells and env(1) say it */
}

/* ---- reporting */

static int take_pending(struct run *run)
{
	struct decode_handler pending = {
		.wait = aggregate__pending,
		.process = aggregate__process,
		.ctx = &run->aggregate,
	};
	int err = source__pending(session__source(run->session), decode__record, &pending);

	run->malformed += pending.bad;
	return err;
}

static int report(struct run *run, uint64_t until_ns)
{
	struct source *source = session__source(run->session);
	struct locks_input in = {
		.aggregate = &run->aggregate,
		.symbolizer = run->symbolizer,
		.source = source,
		.interval_ns = until_ns - run->interval_began_ns,
		.futex_calls = session__sees_futex_calls(run->session),
	};
	struct locks_report *r;
	uint64_t losses[HU_LOSS_CNT];
	int err;

	err = source__sums(source, aggregate__sum, &run->aggregate);
	if (!err)
		err = take_pending(run);
	if (!err)
		err = source__losses(source, losses);
	if (err) {
		log__msg("reading from the kernel failed: %s", strerror(-err));
		return err;
	}
	for (int i = 0; i < HU_LOSS_CNT; i++)
		in.losses[i] = losses[i] - run->losses[i];
	memcpy(run->losses, losses, sizeof(losses));
	in.malformed = run->decoder.bad + run->malformed;
	run->decoder.bad = run->malformed = 0;
	err = locks_report__build(&in, &run->opt->query, &r);
	if (err) {
		log__msg("the report can't be made: %s", strerror(-err));
		return err;
	}
	err = run->opt->json ? view__locks_json(run->out, r, &run->style)
			     : view__locks_text(run->out, r, &run->style);
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
		text__count(run->aggregate.totals.waits, waits));
	fflush(stderr);
}

static void clear_progress(const struct run *run)
{
	if (run->progress)
		fputs("\r\033[K", stderr);
}

static bool over(struct run *run)
{
	return interrupted || watch__all_ended(&run->watch) ||
	       (run->has_program && program__ended(&run->program));
}

/* Takes events in until it is over; with -i reports in between. */
static int collect(struct run *run)
{
	struct source *source = session__source(run->session);
	uint64_t end = run->opt->duration_ns ? run->began_ns + run->opt->duration_ns : UINT64_MAX;
	uint64_t next = UINT64_MAX, tell = run->began_ns, now;
	int err;

	if (run->opt->interval_ns)
		next = run->began_ns + run->opt->interval_ns;
	while (!over(run)) {
		uint64_t until = end < next ? end : next;

		now = now_ns();
		if (now >= end)
			return 0;
		if (now >= next) {
			err = report(run, now);
			if (err)
				return err;
			aggregate__reset(&run->aggregate);
			session__housekeep(run->session);
			run->interval_began_ns = now;
			next += run->opt->interval_ns;
			continue;
		}
		if (now >= tell) {
			show_progress(run, now);
			tell = now + 1000000000;
		}
		until = (until - now) / 1000000 + 1;
		err = source__poll(source, until < POLL_MS ? until : POLL_MS);
		if (err && err != -EINTR) {
			log__msg("reading from the kernel failed: %s", strerror(-err));
			return err;
		}
	}
	return 0;
}

static int finish(struct run *run)
{
	uint64_t until = now_ns();
	int err;

	clear_progress(run);
	session__detach(run->session);
	err = source__poll(session__source(run->session), 0);
	if (err) {
		log__msg("reading from the kernel failed: %s", strerror(-err));
		return err;
	}
	run->aggregate.last = true;
	return report(run, until);
}

static void prepare_source(struct run *run)
{
	struct source *source = session__source(run->session);
	struct agg_hooks hooks = { .process = on_process, .stack = on_stack, .ctx = run };

	aggregate__init(&run->aggregate, &hooks, run->opt->min_wait_ns);
	run->decoder = (struct decode_handler){
		.wait = aggregate__wait,
		.process = aggregate__process,
		.ctx = &run->aggregate,
	};
	source->on_record = decode__record;
	source->on_record_ctx = &run->decoder;
}

static int run_locks(struct run *run)
{
	int status;

	status = check_machine(run);
	if (!status)
		status = open_output(run);
	if (!status)
		status = find_targets(run);
	if (!status && symbolizer__new(&run->symbolizer)) {
		log__msg("out of memory");
		status = EXIT_FAILED;
	}
	if (!status)
		status = start(run);
	if (status)
		return status;
	prepare_source(run);
	catch_signals();
	run->began_ns = run->interval_began_ns = now_ns();
	status = release_program(run);
	if (status)
		return status;
	if (collect(run) || finish(run))
		return EXIT_FAILED;
	return run->has_program ? program__wait(&run->program) : EXIT_FINE;
}

int cmd_locks(int argc, char **argv)
{
	struct options opt;
	struct run run = { .opt = &opt, .program = { .release_fd = -1, .error_fd = -1 } };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose);
	if (!opt.duration_ns && !opt.program && !opt.interval_ns)
		opt.duration_ns = DURATION_DEFAULT_NS;
	status = run_locks(&run);
	if (run.out && run.out != stdout && fclose(run.out) && !status) {
		log__msg("%s can't be written: %s", opt.output, strerror(errno));
		status = EXIT_FAILED;
	}
	program__free(&run.program);
	watch__free(&run.watch);
	aggregate__free(&run.aggregate);
	session__free(run.session);
	symbolizer__free(run.symbolizer);
	return status;
}
