// SPDX-License-Identifier: GPL-2.0-only
/* holdup check: is there a deadlock, or a lock whose owner is gone? For scripts, health checks and test runs. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/commands.h"
#include "user/last_look.h"
#include "user/live.h"
#include "user/look.h"
#include "user/output.h"
#include "user/util/clock.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/view.h"

#define BETWEEN_NS 20000000ULL	 /* between the two looks */
#define EVERY_NS   500000000ULL	 /* between one pair of looks and the next */
#define POLL_NS	   10000000ULL	 /* how soon the end of a program is noticed */
#define GRACE_NS   2000000000ULL /* from SIGTERM to SIGKILL for a program that hangs */

static const char help[] =
	"usage: holdup check [OPTION…] [-- PROGRAM ARGS…]\n\n"
	"Looks for deadlocks, threads that wait for themselves, and locks whose owner is\n"
	"gone. Exit status 10 and one line each if there are any, 0 and nothing if not.\n"
	"Of a program that it runs also for what is left when it ends: threads that were\n"
	"never joined, still run or are blocked, and locks that threads died with.\n"
	"Goroutines count as well: what is probable only (Go's locks name nobody) after it\n"
	"has stood for a second.\n"
	"Without a choice of processes: those of the whole machine.\n\n"
	"  -p, --pid PID[,PID…]   these processes\n"
	"      --comm GLOB        processes whose name matches\n"
	"      --cgroup PATH      processes in this cgroup (v2) and below\n"
	"      --for TIME         look again and again for so long, until one is found\n"
	"  -- PROGRAM ARGS…       run a program and look at it and its children until it\n"
	"                         ends; passes on its exit status if nothing is found\n"
	"      --timeout TIME     a program that runs longer hangs: it is ended, with a\n"
	"                         report of what its threads wait for, and counts as found\n"
	"  -o, --output FILE      write the lines there\n"
	"      --ignore GLOB      nothing of threads with such a function in their stack, or\n"
	"                         as start routine, or where they were created (repeatable)\n"
	"  -v, --verbose          the whole report of holdup stacks as well, to standard error\n";

struct check {
	const struct options *opt;
	struct look look;
	struct live live; /* with a program: births and deaths of its threads */
	struct last_deaths deaths;
	struct output out;
	int found;		      /* the last look's findings */
	const struct leftovers *left; /* of the process that is being looked at */
	bool any_left;		      /* of those that could not be */
};

static int write_findings(void *ctx, FILE *out)
{
	struct check *c = ctx;

	c->found = view__findings(out, c->look.report);
	return c->found;
}

static void print_report(const struct check *c)
{
	struct view_style style = view__style(stderr);

	style.verbose = c->opt->verbose > 1;
	view__stacks_text(stderr, c->look.report, &style);
}

/* What nobody could look at is no reason to say that all is fine, and none to say that it is not. */
static void tell_unread(const struct stacks_report *r)
{
	uint64_t n = r->coverage.locked;

	if (n)
		log__msg("%llu process%s could not be looked at: %s address space stays locked",
			 (unsigned long long)n, n == 1 ? "" : "es", n == 1 ? "its" : "their");
}

/* 0, EXIT_FOUND, or another exit status. report: it will be printed whatever is found. */
static int look_once(struct check *c, bool report)
{
	/* What only the report shows takes time, at each look. */
	c->look.query.lines = c->look.query.peers = report || c->opt->verbose;
	if (look__take(&c->look, BETWEEN_NS))
		return EXIT_FAILED;
	if (output__write(&c->out, write_findings, c))
		return EXIT_FAILED;
	tell_unread(c->look.report);
	if (!c->found)
		return EXIT_FINE;
	if (c->opt->verbose)
		print_report(c);
	return EXIT_FOUND;
}

static void pause_until(uint64_t ns)
{
	struct timespec at = { ns / 1000000000, ns % 1000000000 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static int look_for(struct check *c)
{
	uint64_t end = clock__now_ns() + c->opt->for_ns, next;
	int status;

	do {
		next = clock__now_ns() + EVERY_NS;
		status = look_once(c, false);
		if (status || next >= end)
			break;
		pause_until(next);
	} while (!live__interrupted());
	return status;
}

/* ---- a program of our own */

/* Time passes until a process of the program is about to end, or for as long as can be said. */
static bool next_exit(const struct program *p, struct exit_notice *ret)
{
	if (p->exits.fd > 0)
		return exits__next(&p->exits, POLL_NS / 1000000, ret);
	pause_until(clock__now_ns() + POLL_NS);
	return false;
}

/* No more is asked of it: who ends does not wait for us. */
static void end_program(struct check *c)
{
	struct program *p = c->look.program;
	uint64_t end = clock__now_ns() + GRACE_NS;
	struct exit_notice notice;

	kill(p->pid, SIGTERM);
	while (!program__ended(p) && clock__now_ns() < end)
		if (next_exit(p, &notice))
			exits__let_go(&p->exits, &notice);
	if (!program__ended(p))
		kill(p->pid, SIGKILL);
	program__wait(p);
}

static int write_hang(void *ctx, FILE *out)
{
	struct check *c = ctx;
	char took[TEXT_DURATION_SZ], name[256];

	text__escape(c->opt->program[0], strlen(c->opt->program[0]), name, sizeof(name));
	fprintf(out, "hang: %u %s: has not ended within %s\n", c->look.program->pid, name,
		text__duration(c->opt->timeout_ns, took));
	return 0;
}

static int report_hang(struct check *c)
{
	int status = look_once(c, true);

	if (status == EXIT_FAILED)
		return status;
	if (output__write(&c->out, write_hang, c))
		return EXIT_FAILED;
	if (status == EXIT_FINE || !c->opt->verbose)
		print_report(c);
	return EXIT_FOUND;
}

static int write_left(void *ctx, FILE *out)
{
	struct check *c = ctx;
	int orphans = view__findings(out, c->look.report);
	int left = orphans < 0 ? orphans : view__leftovers(out, c->left);

	c->found = left < 0 ? left : orphans + left;
	return c->found;
}

static void print_left_out(const struct leftovers *left)
{
	if (left->helpers)
		log__info("%zu threads that runtimes keep are no leftovers", left->helpers);
	if (left->ignored)
		log__info("%zu threads left out by --ignore", left->ignored);
	if (left->unsure_locks)
		log__info("%zu places in the memory of %u look like mutexes of dead threads, which "
			  "is not certain",
			  left->unsure_locks, left->tgid);
	if (left->partial)
		log__info("not all of the memory of %u could be looked at", left->tgid);
}

static int tell_left(void *ctx, const struct leftovers *left)
{
	struct check *c = ctx;
	int err;

	print_left_out(left);
	c->left = left;
	err = output__write(&c->out, write_left, c);
	c->left = NULL;
	return err;
}

/* One of the program's processes waits for us before it ends: what does it leave behind? */
static int look_at_end(struct check *c, const struct exit_notice *notice)
{
	const struct last_look last = { &c->look, &c->live, &c->deaths, c->opt->ignore,
					c->opt->ignore_cnt };
	int status = EXIT_FINE;

	c->found = 0;
	if (last_look__take(&last, notice, tell_left, c))
		status = EXIT_FAILED;
	else if (c->found)
		status = EXIT_FOUND;
	if (status == EXIT_FOUND && c->opt->verbose)
		print_report(c);
	exits__let_go(&c->look.program->exits, notice);
	return status;
}

static int write_of_dead(void *ctx, FILE *out)
{
	struct check *c = ctx;

	c->found = view__leftovers(out, c->left);
	return c->found;
}

static int tell_of_dead(void *ctx, const struct leftovers *left)
{
	struct check *c = ctx;
	int err;

	c->left = left;
	err = output__write(&c->out, write_of_dead, c);
	c->left = NULL;
	c->any_left = true;
	return err;
}

/* It has ended, and nobody could look at its end: what births and deaths tell. */
static int look_back(struct check *c)
{
	const struct last_look last = { &c->look, &c->live, &c->deaths, c->opt->ignore,
					c->opt->ignore_cnt };

	if (c->look.program->exits.fd > 0)
		return EXIT_FINE;
	if (last_look__of_dead(&last, tell_of_dead, c))
		return EXIT_FAILED;
	return c->any_left ? EXIT_FOUND : EXIT_FINE;
}

/* Until the program ends, something is found, or it has run for too long. */
static int look_at_program(struct check *c)
{
	struct program *p = c->look.program;
	uint64_t end = c->opt->timeout_ns ? clock__now_ns() + c->opt->timeout_ns : UINT64_MAX;
	uint64_t next = clock__now_ns() + EVERY_NS;
	int status = EXIT_FINE, left = EXIT_FINE;
	struct exit_notice notice;

	while (!status && !program__ended(p) && !live__interrupted()) {
		uint64_t now = clock__now_ns();

		if (now >= end) {
			status = report_hang(c);
		} else if (now >= next) {
			status = look_once(c, false);
			next = clock__now_ns() + EVERY_NS;
		} else if (live__poll(&c->live, 0)) {
			status = EXIT_FAILED;
		} else if (next_exit(p, &notice)) {
			int end_status = look_at_end(c, &notice);

			if (end_status == EXIT_FAILED)
				status = end_status;
			else if (end_status)
				left = end_status;
		}
	}
	if (!program__ended(p))
		end_program(c);
	if (!status && !left)
		left = look_back(c);
	if (status || left)
		return status ? status : left;
	return program__wait(p);
}

static int run_program(struct check *c)
{
	char shown[128];
	const struct exits *exits = &c->look.program->exits;
	int err = program__release(c->look.program);

	if (exits->err)
		log__msg("the program's end can't be waited for (%s): what is left is known "
			 "by births and deaths of threads only",
			 exits->err == -EBUSY ? "it is looked at already, by another check"
					      : strerror(-exits->err));
	if (!err)
		return look_at_program(c);
	text__escape(c->opt->program[0], strlen(c->opt->program[0]), shown, sizeof(shown));
	log__msg("%s can't be run: %s", shown, strerror(-err));
	return err == -ENOENT ? 127 : 126; /* as shells and env(1) say it */
}

/* A program is watched from its first instruction on. */
static int open_all(struct check *c)
{
	int status;

	c->live.program.release_fd = c->live.program.error_fd = -1;
	if (!c->opt->program)
		return look__open(&c->look, c->opt);
	c->live.what = SESSION_LIVES;
	c->live.exits = !c->opt->no_last_look;
	c->live.on_death = last_deaths__note;
	c->live.on_death_ctx = &c->deaths;
	status = look__open_beside(&c->look, c->opt);
	if (!status)
		status = live__open(&c->live, c->opt);
	if (!status)
		c->look.program = &c->live.program;
	return status;
}

int cmd_check(int argc, char **argv)
{
	struct options opt;
	struct check c = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose > 1 ? opt.verbose : 0);
	if ((opt.timeout_ns || opt.ignore_cnt) && !opt.program) {
		log__msg(opt.timeout_ns ? "--timeout is for -- PROGRAM; to look for some time use "
					  "--for"
					: "--ignore is for -- PROGRAM");
		return EXIT_USAGE;
	}
	status = output__open(&c.out, opt.output);
	if (status)
		return status;
	c.out.style.utf8 = false;
	live__catch_signals();
	status = open_all(&c);
	if (!status && c.look.program)
		status = run_program(&c);
	else if (!status)
		status = look_for(&c);
	if (output__close(&c.out) && !status)
		status = EXIT_FAILED;
	look__close(&c.look);
	live__close(&c.live);
	last_deaths__free(&c.deaths);
	return status;
}
