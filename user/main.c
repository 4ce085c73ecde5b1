// SPDX-License-Identifier: GPL-2.0-only
/* holdup: what is holding your threads up? The table of commands; each has a file of its own. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/commands.h"
#include "user/options.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/view.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* returns an enum exit_status, or a program's own */
	const char *summary;
} commands[] = {
	{ "locks", cmd_locks, "which locks are contended: who waits, where, for how long" },
	{ "offcpu", cmd_offcpu, "where threads spend time off the CPU, why, and who woke them" },
	{ "stacks", cmd_stacks, "what every thread waits for now; deadlocks, locks of the dead" },
	{ "check", cmd_check,
	  "exit status 10 for deadlocks, locks of the dead, threads left over" },
	{ "threads", cmd_threads, "births, deaths and live threads by where they are created" },
	{ "leaks", cmd_leaks, "suspected leaks of threads, each with its evidence" },
	{ "doctor", cmd_doctor, "what this kernel and machine can do, and what is missing" },
};

#define STDOUT_SZ (1 << 18)
#define COMMANDS  (sizeof(commands) / sizeof(commands[0]))

static int print_help(FILE *out)
{
	fputs("holdup: what is holding your threads up?\n\n"
	      "usage: holdup COMMAND [OPTION…]\n\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n  holdup COMMAND --help   the options of a command\n"
	      "  holdup --json-schema    what --json prints\n"
	      "  holdup --version\n\n"
	      "Exit status: 0 fine, 1 failed, 2 wrong usage, 3 not permitted or not\n"
	      "supported here (the message says what to do), 10 found (check).\n",
	      out);
	return view__flush(out) ? EXIT_FAILED : EXIT_FINE;
}

/* A closed standard descriptor would be given to the next file that is opened. */
static void reserve_standard_fds(void)
{
	struct stat st;

	for (int fd = 0; fd <= 2; fd++)
		if (fstat(fd, &st) && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	static char stdout_buf[STDOUT_SZ]; /* glibc ignores the size when it allocates the buffer */
	const char *name = argc > 1 ? argv[1] : "";
	char shown[64];

	reserve_standard_fds();
	setlocale(LC_CTYPE, "");
	/* Nothing is written before view__flush(), which sees why it fails. */
	setvbuf(stdout, stdout_buf, _IOFBF, sizeof(stdout_buf));
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, told as such */
	log__hook_libbpf();
	if (!*name) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
		return print_help(stdout);
	if (!strcmp(name, "--version")) {
		puts("holdup " HOLDUP_VERSION);
		return view__flush(stdout) ? EXIT_FAILED : EXIT_FINE;
	}
	if (!strcmp(name, "--json-schema"))
		return view__json_schema(stdout) ? EXIT_FAILED : EXIT_FINE;
	log__msg("unknown command %s (see holdup --help)",
		 text__escape(name, strlen(name), shown, sizeof(shown)));
	return EXIT_USAGE;
}
