// SPDX-License-Identifier: GPL-2.0-only
/* holdup check: is there a deadlock, or a lock whose owner is gone? For scripts, health checks and test runs. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/commands.h"
#include "user/live.h"
#include "user/look.h"
#include "user/output.h"
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
	"  -v, --verbose          the whole report of holdup stacks as well, to standard error\n";

struct check {
	const struct options *opt;
	struct look look;
	struct output out;
	int found; /* the last look's findings */
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

/* 0, EXIT_FOUND, or another exit status. report: it will be printed whatever is found. */
static int look_once(struct check *c, bool report)
{
	/* What only the report shows takes time, at each look. */
	c->look.query.lines = c->look.query.peers = report || c->opt->verbose;
	if (look__take(&c->look, BETWEEN_NS))
		return EXIT_FAILED;
	if (output__write(&c->out, write_findings, c))
		return EXIT_FAILED;
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
	uint64_t end = live__now_ns() + c->opt->for_ns, next;
	int status;

	do {
		next = live__now_ns() + EVERY_NS;
		status = look_once(c, false);
		if (status || next >= end)
			break;
		pause_until(next);
	} while (!live__interrupted());
	return status;
}

/* ---- a program of our own */

static void end_program(struct check *c)
{
	struct program *p = &c->look.program;
	uint64_t end = live__now_ns() + GRACE_NS;

	kill(p->pid, SIGTERM);
	while (!program__ended(p) && live__now_ns() < end)
		pause_until(live__now_ns() + POLL_NS);
	if (!program__ended(p))
		kill(p->pid, SIGKILL);
	program__wait(p);
}

static int write_hang(void *ctx, FILE *out)
{
	struct check *c = ctx;
	char took[TEXT_DURATION_SZ], name[256];

	text__escape(c->opt->program[0], strlen(c->opt->program[0]), name, sizeof(name));
	fprintf(out, "hang: %u %s: has not ended within %s\n", c->look.program.pid, name,
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

/* Until the program ends, something is found, or it has run for too long. */
static int look_at_program(struct check *c)
{
	struct program *p = &c->look.program;
	uint64_t end = c->opt->timeout_ns ? live__now_ns() + c->opt->timeout_ns : UINT64_MAX;
	uint64_t next = live__now_ns() + EVERY_NS;
	int status = EXIT_FINE;

	while (!status && !program__ended(p) && !live__interrupted()) {
		uint64_t now = live__now_ns();

		if (now >= end) {
			status = report_hang(c);
		} else if (now >= next) {
			status = look_once(c, false);
			next = live__now_ns() + EVERY_NS;
		} else {
			pause_until(now + POLL_NS);
		}
	}
	if (!program__ended(p))
		end_program(c);
	return status ? status : program__wait(p);
}

static int run_program(struct check *c)
{
	char shown[128];
	int err = program__release(&c->look.program);

	if (!err)
		return look_at_program(c);
	text__escape(c->opt->program[0], strlen(c->opt->program[0]), shown, sizeof(shown));
	log__msg("%s can't be run: %s", shown, strerror(-err));
	return err == -ENOENT ? 127 : 126; /* as shells and env(1) say it */
}

int cmd_check(int argc, char **argv)
{
	struct options opt;
	struct check c = { .opt = &opt };
	int status = options__parse(argc, argv, help, &opt);

	if (status)
		return status - 1;
	log__set_verbose(opt.verbose > 1 ? opt.verbose : 0);
	if (opt.timeout_ns && !opt.program) {
		log__msg("--timeout is for -- PROGRAM; to look for some time use --for");
		return EXIT_USAGE;
	}
	status = output__open(&c.out, opt.output);
	if (status)
		return status;
	c.out.style.utf8 = false;
	live__catch_signals();
	status = look__open(&c.look, &opt);
	if (!status && c.look.has_program)
		status = run_program(&c);
	else if (!status)
		status = look_for(&c);
	if (output__close(&c.out) && !status)
		status = EXIT_FAILED;
	look__close(&c.look);
	return status;
}
