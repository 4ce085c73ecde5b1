/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line that all oracle workloads have, for truth.h. */
#ifndef TRUTH_OPTIONS_H
#define TRUTH_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define TRUTH_MAX_THREADS 256
#define TRUTH_FORGOTTEN_S 600ULL /* nobody will tell a workload that ran so long */

/* What the command line said. Set the defaults before truth_start(). */
struct truth_options {
	const char *how; /* --how, for workloads that have several ways */
	double seconds;	 /* 0: no limit */
	uint64_t count;	 /* lock calls a thread; 0: no limit */
	uint64_t hold_ns, pause_ns;
	int threads;
	bool spin; /* hold by computing */
	bool wait_for_usr1;
};

static struct truth_options truth_opt = { NULL, 2, 0, 1000000, 0, 4, false, false };
static const char *truth_workload;

static inline void truth_usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--for SECONDS] [--count CALLS] [--until-told] [--threads N]\n"
		"       [--hold US] [--pause US] [--spin] [--how WAY] [--wait-for-usr1]\n",
		truth_workload);
}

static inline double truth_number(const char *text, double least, double most)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end || !(number >= least && number <= most)) {
		fprintf(stderr, "%s: '%s' is no number from %g to %g\n", truth_workload, text,
			least, most);
		exit(2);
	}
	return number;
}

static inline void truth_parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "until-told", no_argument, NULL, 'u' },
		{ "threads", required_argument, NULL, 't' },
		{ "hold", required_argument, NULL, 'h' },
		{ "pause", required_argument, NULL, 'p' },
		{ "spin", no_argument, NULL, 's' },
		{ "how", required_argument, NULL, 'w' },
		{ "wait-for-usr1", no_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'H' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'f')
			truth_opt.seconds = truth_number(optarg, 0.001, 86400);
		else if (option == 'c')
			truth_opt.count = (uint64_t)truth_number(optarg, 1, 1e12);
		else if (option == 't')
			truth_opt.threads = (int)truth_number(optarg, 1, TRUTH_MAX_THREADS);
		else if (option == 'h')
			truth_opt.hold_ns = (uint64_t)(truth_number(optarg, 0, 1e7) * 1000);
		else if (option == 'p')
			truth_opt.pause_ns = (uint64_t)(truth_number(optarg, 0, 1e7) * 1000);
		else if (option == 's')
			truth_opt.spin = true;
		else if (option == 'w')
			truth_opt.how = optarg;
		else if (option == 'g')
			truth_opt.wait_for_usr1 = true;
		else if (option == 'H')
			truth_usage(stdout), exit(0);
		else if (option != 'u')
			truth_usage(stderr), exit(2);
		/* A count replaces the default time, and until-told both. */
		if (option == 'c')
			truth_opt.seconds = 0;
		if (option == 'u')
			truth_opt.seconds = TRUTH_FORGOTTEN_S, truth_opt.count = 0;
	}
	if (optind != argc)
		truth_usage(stderr), exit(2);
}

#endif
