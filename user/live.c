// SPDX-License-Identifier: GPL-2.0-only
#include "user/live.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/choice.h"
#include "user/collect/adopt.h"
#include "user/live_events.h"
#include "user/live_go_probes.h"
#include "user/live_go_waits.h"
#include "user/live_hold.h"
#include "user/machine.h"
#include "user/target/call.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/util/privileges.h"
#include "user/util/text.h"

/*
 * A woken thread that sleeps again for the same lock after at most so much CPU time tries again: a retry takes
 * 2 to 50 us here, and who has had the lock has usually woken a waiter, which ends the wait in any case.
 */
#define JOIN_CPU_NS 100000
/* A stack taken so often tells what a holder does at a cost that does not grow with the waits. */
#define HOLDER_EVERY_NS 2000000
#define ENDING_NS	300000000ULL /* for a program that was interrupted, to end */

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

void live__catch_signals(void)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

bool live__interrupted(void)
{
	return interrupted;
}

/* ---- opening */

static int find_targets(struct live *l)
{
	const struct options *o = l->opt;
	char path[64];

	if (o->tid) {
		snprintf(path, sizeof(path), "/proc/%d", o->tid);
		if (access(path, F_OK)) {
			log__msg("there is no thread %d", o->tid);
			return EXIT_FAILED;
		}
	}
	return choice__watch(o, &l->watch);
}

static int fill_config(struct live *l, struct session_config *cfg, struct hu_glob *glob)
{
	const struct options *o = l->opt;

	*cfg = (struct session_config){
		.what = l->what,
		.off_mode = l->off_mode,
		.off_min_ns = (l->what & SESSION_OFFCPU) ? o->min_wait_ns : 0,
		.takes_fd = call__takes_fd,
		.cgroup_fd = -1,
		.ring_sz = o->ring_sz,
		.join_cpu_ns = JOIN_CPU_NS,
		.holder_every_ns = HOLDER_EVERY_NS,
		.stacks = !o->no_stacks,
		.blame = !o->no_blame,
		.futex_calls = o->futex_calls,
		.hold = o->hold,
		.force_hash = o->force_hash,
		.force_raw = o->force_raw,
		.memo = o->memo,
		.force_frame_pointers = o->force_frame_pointers,
		.rows = o->unwind_mem / sizeof(struct hu_row),
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
		cfg->tgids = &l->program.pid;
		cfg->tgid_cnt = 1;
	}
	if (o->comm) {
		cfg->filters |= HU_FILTER_COMM;
		cfg->comm = glob;
		return choice__comm(o, glob);
	}
	if (o->cgroup) {
		cfg->filters |= HU_FILTER_CGROUP;
		return choice__cgroup(o, &cfg->cgroup_fd);
	}
	return 0;
}

static int open_and_attach(struct live *l, const struct session_config *cfg, const char **why)
{
	int err = session__open(cfg, &l->features, &l->session, why);

	if (err)
		return err;
	err = session__attach(l->session, why);
	if (err) {
		session__free(l->session);
		l->session = NULL;
	}
	return err;
}

static int open_session(struct live *l)
{
	struct session_config cfg;
	struct hu_glob glob;
	const char *why, *raw_why;
	int err, status;

	status = fill_config(l, &cfg, &glob);
	if (status)
		return status;
	/* Is fexit refused here? Only attaching tells, and costs a few milliseconds. */
	if (l->what & SESSION_WAITS)
		features__probe_fentry(&l->features);
	err = open_and_attach(l, &cfg, &why);
	if (err && !cfg.force_raw && !cfg.hold && (l->what & SESSION_WAITS)) {
		/* Typed tracepoints may be what is refused: plain ones do, with less. */
		cfg.force_raw = true;
		if (!open_and_attach(l, &cfg, &raw_why)) {
			log__info("raw tracepoints are used, call stacks by frame pointers: %s "
				  "(%s)",
				  why, strerror(-err));
			err = 0;
		}
	}
	if (cfg.cgroup_fd >= 0)
		close(cfg.cgroup_fd);
	if (err) {
		log__msg("%s (%s)", why, strerror(-err));
		return err == -EPERM || err == -EACCES || err == -EOPNOTSUPP || err == -EINVAL ||
				       err == -ENOENT
			       ? EXIT_UNSUPPORTED
			       : EXIT_FAILED;
	}
	if ((l->what & SESSION_WAITS) && !session__sees_futex_calls(l->session))
		log__info("futex calls that do not sleep are not counted here: fexit is refused; "
			  "--futex-calls would, and slow every system call by about a quarter");
	return EXIT_FINE;
}

static int open_rows(struct live *l)
{
	int err;

	if (session__rows_fd(l->session) < 0) {
		log__info("call stacks are taken by frame pointers, which most programs lack: "
			  "unwinding needs bpf_loop() (Linux 5.17)");
		return EXIT_FINE;
	}
	err = row_store__new(session__rows_fd(l->session),
			     l->opt->unwind_mem / sizeof(struct hu_row),
			     session__maps_fd(l->session), &l->rows);
	if (err) {
		log__msg("the unwind rows can't be mapped: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return EXIT_FINE;
}

static int open_symbolizer(struct live *l)
{
	int err = symbolizer__new(&l->symbolizer);

	if (err) {
		log__msg("out of memory");
		return EXIT_FAILED;
	}
	if (!l->opt->debuginfod)
		return EXIT_FINE;
	err = symbolizer__use_debuginfod(l->symbolizer);
	if (err == -ENOENT)
		log__msg("--debuginfod: no server is known: set DEBUGINFOD_URLS (sudo needs "
			 "--preserve-env=DEBUGINFOD_URLS to pass it on)");
	else if (err == -ELIBACC)
		log__msg("--debuginfod: libdebuginfod.so.1 is not installed (Debian: "
			 "libdebuginfod1, "
			 "Fedora: elfutils-debuginfod-client)");
	else if (err)
		log__msg("--debuginfod: %s", strerror(-err));
	return err ? EXIT_UNSUPPORTED : EXIT_FINE;
}

int live__open(struct live *l, const struct options *opt)
{
	int status, err = 0;

	l->opt = opt;
	if (!l->what)
		l->what = SESSION_WAITS;
	status = machine__check(&l->features);
	if (!status)
		status = find_targets(l);
	if (!status)
		status = open_symbolizer(l);
	if (!status)
		status = choice__start(opt, l->exits, &l->program, &l->has_program);
	if (!status)
		live__hurry(l, true);
	if (!status)
		status = open_session(l);
	if (!status)
		status = open_rows(l);
	if (!status) {
		live__wire(l);
		if (l->what & SESSION_LIVES)
			status = live__open_probes(l);
		else
			status = live_hold__open(l);
		if (!status)
			status = live_go_probes__open(l);
	}
	if (!status)
		err = privileges__drop();
	if (err)
		log__info("not all privileges could be dropped: %s", strerror(-err));
	return status;
}

static int add_target(void *ctx, int pid)
{
	struct live *l = ctx;

	return session__add_target(l->session, pid);
}

int live__adopt(struct live *l)
{
	int err = 0;

	if (l->has_program)
		return 0; /* it has not begun */
	if (l->opt->cgroup)
		err = adopt__cgroup_members(l->opt->cgroup, add_target, l);
	if (!err && (l->what & SESSION_LIVES))
		err = live__pass(l, clock__now_ns());
	if (!err && (l->what & SESSION_WAITS))
		err = live__take_waiting(l);
	if (err == -EOPNOTSUPP) {
		log__info("threads that wait already are not seen: that needs Linux 5.15");
		return 0;
	}
	if (err)
		log__msg("the threads that wait already can't be listed: %s", strerror(-err));
	return err;
}

int live__release(struct live *l)
{
	char shown[128];
	int err;

	if (!l->has_program)
		return EXIT_FINE;
	err = program__release(&l->program);
	if (!err)
		return EXIT_FINE;
	text__escape(l->opt->program[0], strlen(l->opt->program[0]), shown, sizeof(shown));
	log__msg("%s can't be run: %s", shown, strerror(-err));
	return err == -ENOENT ? 127 : 126; /* as shells and env(1) say it */
}

/* ---- running */

int live__tell(int err)
{
	if (err)
		log__msg("reading from the kernel failed: %s", strerror(-err));
	return err;
}

bool live__over(struct live *l)
{
	return interrupted || watch__all_ended(&l->watch) ||
	       (l->has_program && program__ended(&l->program));
}

/* Ctrl-C reached the program as well. Waits that end with it would otherwise end unseen; but it need not end. */
static int let_program_end(struct live *l)
{
	uint64_t until_ns = clock__now_ns() + ENDING_NS;
	int err = 0;

	while (l->has_program && interrupted == SIGINT && !program__ended(&l->program) && !err &&
	       clock__now_ns() < until_ns)
		err = live__poll(l, 10);
	return err;
}

int live__stop(struct live *l)
{
	int err = let_program_end(l);

	/* While ends are still told: what is gone later was not lost. */
	if (!err && (l->what & SESSION_LIVES))
		err = live__pass(l, clock__now_ns());
	if (err)
		return live__tell(err);
	live__hurry(l, false);
	session__detach(l->session);
	live_go_probes__detach(l);
	l->stopped_ns = clock__now_ns();
	l->aggregate.last = true;
	return live__poll(l, 0);
}

static int settle_waits(struct live *l, struct decode_handler *pending)
{
	struct source *source = session__source(l->session);
	int err = source__sums(source, aggregate__sum, &l->aggregate);

	if (!err)
		err = source__pending(source, decode__record, pending);
	if (!err)
		err = live__find_holders(l);
	if (!err)
		err = session__settle_blame(l->session);
	return err ? err : live__read_blame(l);
}

int live__settle(struct live *l, uint64_t until_ns)
{
	struct source *source = session__source(l->session);
	struct decode_handler pending = { .wait = live__on_pending,
					  .process = live__on_process_record,
					  .ctx = l };
	uint64_t now[HU_LOSS_CNT];
	int err = 0;

	l->aggregate.until_ns = until_ns;
	if (l->what & SESSION_WAITS)
		err = settle_waits(l, &pending);
	if (!err && (l->what & SESSION_LIVES) && !l->stopped_ns)
		err = live__pass(l, clock__now_ns());
	if (!err)
		err = live_hold__settle(l);
	if (!err)
		err = live_go__settle(l);
	if (!err)
		err = live_go_probes__settle(l, until_ns);
	if (!err)
		err = source__losses(source, now);
	if (err)
		return live__tell(err);
	for (int i = 0; i < HU_LOSS_CNT; i++)
		l->losses[i] = now[i] - l->seen[i];
	if (l->opt->memo == HU_MEMO_CHECK)
		log__msg("of %llu remembered stacks %llu were wrong",
			 (unsigned long long)l->losses[HU_LOSS_REMEMBERED],
			 (unsigned long long)l->losses[HU_LOSS_MISREMEMBERED]);
	if (l->opt->memo == HU_MEMO_CHECK && (l->what & SESSION_OFFCPU))
		log__msg("of %llu remembered kernel stacks %llu were wrong",
			 (unsigned long long)l->losses[HU_LOSS_KREMEMBERED],
			 (unsigned long long)l->losses[HU_LOSS_KMISREMEMBERED]);
	memcpy(l->seen, now, sizeof(now));
	live__hurry(l, false); /* what follows is the report */
	l->malformed = l->decoder.bad + pending.bad;
	l->decoder.bad = 0;
	return 0;
}

void live__next(struct live *l)
{
	live__hurry(l, true);
	lifetimes__next(&l->lifetimes);
	live_hold__next(l);
	live_go__next(l);
	aggregate__reset(&l->aggregate);
}

void live__make_room(struct live *l)
{
	if (!lifetimes__crowded(&l->lifetimes))
		return;
	lifetimes__forget(&l->lifetimes);
	if (!(l->what & SESSION_WAITS))
		aggregate__reset(&l->aggregate);
}

int live__wait(struct live *l)
{
	/* Ctrl-C reached the program as well; a SIGTERM was meant for both. */
	if (l->has_program && interrupted == SIGTERM && !program__ended(&l->program))
		kill(l->program.pid, SIGTERM);
	return l->has_program ? program__wait(&l->program) : EXIT_FINE;
}

void live__close(struct live *l)
{
	program__free(&l->program);
	watch__free(&l->watch);
	probes__free(l->probes);
	pthreads__free(l->pthreads);
	free(l->later);
	lifetimes__free(&l->lifetimes);
	live_hold__close(l);
	live_go__close(l);
	live_go_probes__close(l);
	aggregate__free(&l->aggregate);
	row_store__free(l->rows);
	session__free(l->session);
	symbolizer__free(l->symbolizer);
}
