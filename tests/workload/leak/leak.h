/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program that leaks threads on purpose knows of its leak, and how it says so.
 *
 * leak_start() reads the options; LEAK_CREATE() creates a thread and notes function and line; leak_tell() adds a
 * finding; leak_ready() prints one JSON line and stays, doing nothing or calling leak_again() every --every
 * milliseconds, or, with --end, returns after --linger milliseconds (0): main then returns --status. Nothing outlives
 * the process that started it, or --seconds (300).
 *
 * The line: workload, how, pid, suspects[]{reason, count, function, file, line, start}: where the threads were created
 * and what they run; count 0: it grows. A healthy program has none.
 * This header holds code because each workload is one file that links with nothing else.
 */
#ifndef LEAK_H
#define LEAK_H

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LEAK_START_S 60
#define LEAK_TOLD    4

/* A frame that a test can look for: neither inlined nor cloned under another name. */
#define LEAK_FRAME __attribute__((noipa))
/* At the end of such a function: the call before it can't become a jump. */
#define LEAK_NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

struct leak_finding {
	const char *reason, *function, *file, *start;
	int count, line;
};

static struct {
	const char *workload, *how;
	int count, status;
	unsigned int seconds;
	long every_ms, linger_ms;
	bool end;
	struct leak_finding told[LEAK_TOLD];
	int told_cnt;
} leak;

/* Where the last thread was created. */
static struct {
	const char *function;
	int line;
} leak_site;

static inline void leak_die(const char *what, int err)
{
	fprintf(stderr, "%s --how %s: %s: %s\n", leak.workload, leak.how, what, strerror(err));
	_exit(1);
}

static inline void leak_ok(int rc)
{
	if (rc)
		leak_die("call failed", rc < 0 ? errno : rc);
}

static inline bool leak_is(const char *how)
{
	return !strcmp(leak.how, how);
}

static inline void leak_usage(const char *ways)
{
	fprintf(stderr,
		"usage: %s --how WAY [--count N] [--every MS] [--seconds N] [--end [--linger MS] "
		"[--status N]]\n"
		"ways: %s\n",
		leak.workload, ways);
	exit(2);
}

static inline bool leak_has_word(const char *words, const char *word)
{
	size_t sz = strlen(word);
	const char *at = words;

	while ((at = strstr(at, word))) {
		if ((at == words || at[-1] == ' ') && (!at[sz] || at[sz] == ' '))
			return sz > 0;
		at += sz ? sz : 1;
	}
	return false;
}

static inline void leak_start(int argc, char **argv, const char *workload, const char *ways)
{
	static const struct option options[] = {
		{ "how", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'c' },
		{ "every", required_argument, NULL, 'e' },
		{ "seconds", required_argument, NULL, 's' },
		{ "status", required_argument, NULL, 'x' },
		{ "end", no_argument, NULL, 'E' },
		{ "linger", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	leak.workload = workload;
	leak.how = "";
	leak.count = 5;
	leak.seconds = 300;
	leak.every_ms = 100;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'w')
			leak.how = optarg;
		else if (opt == 'c')
			leak.count = atoi(optarg);
		else if (opt == 'e')
			leak.every_ms = atol(optarg);
		else if (opt == 's')
			leak.seconds = (unsigned int)atoi(optarg);
		else if (opt == 'x')
			leak.status = atoi(optarg);
		else if (opt == 'l')
			leak.linger_ms = atol(optarg);
		else if (opt == 'E')
			leak.end = true;
		else
			leak_usage(ways);
	}
	if (optind != argc || !leak_has_word(ways, leak.how))
		leak_usage(ways);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(leak.seconds);
}

/* The call of pthread_create() stands in the function and line of the macro. */
#define LEAK_CREATE(thread, attr, run, arg)                      \
	do {                                                     \
		leak_site.function = __func__;                   \
		leak_site.line = __LINE__;                       \
		leak_ok(pthread_create(thread, attr, run, arg)); \
	} while (0)

static inline void leak_rest(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* Waits until a count of other threads is there. */
static inline void leak_await(const int *count, int least)
{
	time_t end = time(NULL) + LEAK_START_S;

	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < least) {
		if (time(NULL) > end)
			leak_die("waiting for the other threads", ETIMEDOUT);
		usleep(200);
	}
}

/* Until this process has so few threads: those that end have ended for the kernel too. */
__attribute__((unused)) static void leak_await_threads(int most)
{
	time_t end = time(NULL) + LEAK_START_S;
	char line[128];
	int threads;

	do {
		FILE *status = fopen("/proc/self/status", "re");

		threads = 0;
		while (status && fgets(line, sizeof(line), status))
			if (sscanf(line, "Threads: %d", &threads) == 1)
				break;
		if (status)
			fclose(status);
		if (time(NULL) > end)
			leak_die("waiting for threads to end", ETIMEDOUT);
		usleep(200);
	} while (threads > most);
}

/* Of the threads that were created by LEAK_CREATE() last. */
static inline void leak_tell(const char *reason, int count, const char *start)
{
	struct leak_finding *f = &leak.told[leak.told_cnt++];

	*f = (struct leak_finding){ .reason = reason,
				    .function = leak_site.function ? leak_site.function : "",
				    .file = strrchr(__BASE_FILE__, '/')
						    ? strrchr(__BASE_FILE__, '/') + 1
						    : __BASE_FILE__,
				    .start = start,
				    .count = count,
				    .line = leak_site.line };
}

static inline void leak_print(void)
{
	printf("{\"workload\":\"%s\",\"how\":\"%s\",\"pid\":%d,\"suspects\":[", leak.workload,
	       leak.how, (int)getpid());
	for (int i = 0; i < leak.told_cnt; i++) {
		const struct leak_finding *f = &leak.told[i];

		printf("%s{\"reason\":\"%s\",\"count\":%d,\"function\":\"%s\",\"file\":\"%s\","
		       "\"line\":%d,\"start\":\"%s\"}",
		       i ? "," : "", f->reason, f->count, f->function, f->file, f->line, f->start);
	}
	printf("]}\n");
	fflush(stdout);
}

/* again: NULL: nothing more happens. */
static inline int leak_ready(void (*again)(void))
{
	leak_print();
	if (leak.end) {
		leak_rest(leak.linger_ms);
		return leak.status;
	}
	for (;;) {
		if (again) {
			again();
			leak_rest(leak.every_ms);
		} else {
			pause();
		}
	}
}

#endif
