/* SPDX-License-Identifier: GPL-2.0-only */
/* What the ways to create threads in lives.c have in common: places, what threads do, waiting for it. */
#ifndef LIVES_H
#define LIVES_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define FRAME	    __attribute__((noinline, noclone))
#define SITES_MAX   8
#define COUNT_MAX   200000
#define PATIENCE_MS 60000

static struct site {
	const char *function, *ended; /* how: a key of the report's `ended` */
	int line, created, exited, unjoined;
} sites[SITES_MAX];
static int site_cnt, count = 20;
static char **program;
static atomic_int tids[COUNT_MAX], begun, told;

static void die(const char *what, int err)
{
	fprintf(stderr, "lives: %s: %s\n", what, strerror(err));
	exit(1);
}

static void ok(const char *what, int err)
{
	if (err)
		die(what, err);
}

static void moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

#define WAIT_FOR(condition)                         \
	do {                                        \
		int left_ = PATIENCE_MS * 5;        \
		while (!(condition) && left_--)     \
			moment();                   \
		if (left_ < 0)                      \
			die(#condition, ETIMEDOUT); \
	} while (0)

static struct site *site_of(const char *function, int line, const char *ended)
{
	for (int i = 0; i < site_cnt; i++)
		if (sites[i].line == line)
			return &sites[i];
	sites[site_cnt] = (struct site){ .function = function, .ended = ended, .line = line };
	return &sites[site_cnt++];
}

/* Creates one, in a line that the report is to name. */
#define CREATE(thread, attr, start, arg, how)         \
	(site_of(__func__, __LINE__, how)->created++, \
	 ok("pthread_create", pthread_create(thread, attr, start, (void *)(intptr_t)(arg))))
#define LAST_SITE (&sites[site_cnt - 1])

static void *quick(void *arg)
{
	tids[(intptr_t)arg] = syscall(SYS_gettid);
	begun++;
	return arg;
}

static int quick_c11(void *arg)
{
	quick(arg);
	return 7;
}

static int exit_c11(void *arg)
{
	quick(arg);
	thrd_exit(-1); /* the number that pthread_exit() takes for a cancellation elsewhere */
	return 0;
}

static void *quick_exit_thread(void *arg)
{
	quick(arg);
	pthread_exit(arg);
}

/* Lives until it is told. */
static void *patient(void *arg)
{
	quick(arg);
	WAIT_FOR(told);
	return arg;
}

static void *endless(void *arg)
{
	quick(arg);
	for (;;)
		pause();
	return NULL;
}

static int is_gone(int i)
{
	char path[64];

	if (!tids[i])
		return 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d", tids[i]);
	return access(path, F_OK) != 0;
}

static void begin(void)
{
	for (int i = 0; i < count; i++)
		tids[i] = 0;
	begun = told = 0;
}

#endif
