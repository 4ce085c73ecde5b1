/* SPDX-License-Identifier: GPL-2.0-only */
/* A folder for files that a test program makes, and the compilers that make them. After cmocka.h. */
#ifndef HOLDUP_TEST_SCRATCH_H
#define HOLDUP_TEST_SCRATCH_H

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char scratch[] = "/tmp/holdup-test.XXXXXX";

static inline int scratch__make(void **state)
{
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch__remove(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", scratch);
	return system(cmd);
}

/* A shell command within the folder; the test fails if it does. */
static inline void __attribute__((format(printf, 1, 2))) scratch__run(const char *format, ...)
{
	char cmd[2048], full[4096];
	va_list ap;

	va_start(ap, format);
	vsnprintf(cmd, sizeof(cmd), format, ap);
	va_end(ap);
	snprintf(full, sizeof(full), "cd %s && %s", scratch, cmd);
	if (system(full) != 0)
		fail_msg("%s", full);
}

/* Valid until the next call. */
static inline const char *scratch__path(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}

static inline void scratch__write(const char *name, const char *text)
{
	FILE *f = fopen(scratch__path(name), "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		fail_msg("%s can't be written", name);
}

#endif
