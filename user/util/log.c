// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/log.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>

static int verbose;

void log__set_verbose(int level)
{
	verbose = level;
}

int log__verbose(void)
{
	return verbose;
}

__attribute__((format(printf, 1, 0))) static void emit(const char *fmt, va_list args)
{
	fputs("holdup: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void log__msg(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(fmt, args);
	va_end(args);
}

void log__info(const char *fmt, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, fmt);
	emit(fmt, args);
	va_end(args);
}

__attribute__((format(printf, 2, 0))) static int libbpf_print(enum libbpf_print_level level,
							      const char *fmt, va_list args)
{
	if (verbose < 2)
		return 0;
	return vfprintf(stderr, fmt, args);
}

void log__hook_libbpf(void)
{
	libbpf_set_print(libbpf_print);
}
