// SPDX-License-Identifier: GPL-2.0-only
/* Where reports go, and the options that commands share; what is told to the user is read from standard error. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"
#include "user/options.h"
#include "user/output.h"

/* ---- standard error, caught */

static int saved_err = -1, caught_err = -1;

static void catch_errors(void)
{
	fflush(stderr);
	saved_err = dup(STDERR_FILENO);
	caught_err = open(scratch__path("stderr"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(saved_err >= 0 && caught_err >= 0);
	dup2(caught_err, STDERR_FILENO);
}

/* What was told since; valid until the next call. */
static const char *errors(void)
{
	static char text[4096];
	ssize_t len;

	fflush(stderr);
	dup2(saved_err, STDERR_FILENO);
	len = pread(caught_err, text, sizeof(text) - 1, 0);
	close(saved_err);
	close(caught_err);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

/* ---- output */

static int write_text(void *ctx, FILE *out)
{
	fputs(ctx, out);
	return 3; /* what is not negative is no error */
}

static int write_failure(void *ctx, FILE *out)
{
	fputs("half of it", out);
	return -ENOMEM;
}

static void test_file(void **state)
{
	char path[4096], text[64] = "";
	struct output o;
	FILE *in;

	snprintf(path, sizeof(path), "%s", scratch__path("report"));
	assert_int_equal(output__open(&o, path), EXIT_FINE);
	assert_false(o.style.colour); /* it is no terminal */
	assert_int_equal(output__write(&o, write_text, "one\n"), 0);
	assert_int_equal(output__write(&o, write_text, ""), 0);
	assert_int_equal(output__write(&o, write_text, "two\n"), 0);
	catch_errors();
	/* Of what could not be made nothing is written. */
	assert_int_equal(output__write(&o, write_failure, NULL), -ENOMEM);
	assert_non_null(strstr(errors(), path));
	assert_int_equal(output__close(&o), 0);
	assert_null(o.file);
	assert_int_equal(output__close(&o), 0); /* again: nothing happens */
	in = fopen(path, "re");
	assert_non_null(in);
	assert_int_equal(fread(text, 1, sizeof(text) - 1, in), 8);
	assert_string_equal(text, "one\ntwo\n");
	fclose(in);
}

static void test_no_file(void **state)
{
	struct output o;

	catch_errors();
	assert_int_equal(output__open(&o, "/dev/null/report"), EXIT_FAILED);
	assert_non_null(strstr(errors(), "/dev/null/report can't be written: Not a directory"));
}

static void test_full(void **state)
{
	struct output o;

	assert_int_equal(output__open(&o, "/dev/full"), EXIT_FINE);
	catch_errors();
	assert_int_equal(output__write(&o, write_text, "text"), -ENOSPC);
	assert_non_null(strstr(errors(), "/dev/full can't be written: No space left on device"));
	catch_errors();
	output__close(&o);
	errors();
}

/* main() puts a /dev/null that can't be written where standard output was closed. */
static void test_no_stdout(void **state)
{
	int saved = dup(STDOUT_FILENO), null = open("/dev/null", O_RDONLY | O_CLOEXEC), err;
	struct output o;

	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	catch_errors();
	err = output__open(&o, NULL);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(null);
	assert_non_null(strstr(errors(), "standard output is closed"));
	assert_int_equal(err, EXIT_FAILED);
}

/* ---- options */

static const char help[] = "usage: holdup test\n\n"
			   "  -p, --pid PID[,PID…]  these\n"
			   "      --comm GLOB       those\n"
			   "      --all             each\n"
			   "      --longer-than TIME  long\n"
			   "  -n, --rows N          few\n"
			   "      --json-schema     no --jso, no --idled\n";

#define ARGS_MAX 300

/* 0, or the exit status + 1; what was told is in errors(). */
static int parse(const char *line, struct options *o)
{
	static char copy[4096];
	char *argv[ARGS_MAX] = { "test" }, *save, *word;
	int argc = 1, status;

	snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok_r(copy, " ", &save); word && argc < ARGS_MAX - 1;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	catch_errors();
	status = options__parse(argc, argv, help, o);
	return status;
}

static void check_refused(const char *line, const char *told)
{
	struct options o = { .tid = 77 };
	int status = parse(line, &o);
	const char *text = errors();

	if (status != EXIT_USAGE + 1)
		fail_msg("%s: status %d", line, status - 1);
	if (!strstr(text, told) || strncmp(text, "holdup: ", 8) ||
	    strchr(text, '\n') != text + strlen(text) - 1)
		fail_msg("%s: %s", line, text);
	assert_int_equal(o.tid, 77); /* nothing is given back */
}

static void check_fine(const char *line, struct options *o)
{
	int status = parse(line, o);
	const char *text = errors();

	if (status || *text)
		fail_msg("%s: status %d, %s", line, status - 1, text);
}

static void test_offered(void **state)
{
	struct options o;

	check_fine("", &o);
	assert_false(o.all);
	assert_null(o.program);
	check_fine("--all -n 7 --longer-than 5s -p 1,22", &o);
	assert_true(o.all);
	assert_int_equal(o.query.rows, 7);
	assert_int_equal(o.longer_ns, 5000000000);
	assert_int_equal(o.pid_cnt, 2);
	assert_int_equal(o.pids[1], 22);
	check_fine("--assume hash-state", &o); /* for tests: in no help */
	assert_true(o.force_hash);
}

/* What help does not mention is not taken in silence, nor what only begins like something in it. */
static void test_not_offered(void **state)
{
	check_refused("--dot", "--dot");
	check_refused("--json", "--json");
	check_refused("--idle", "--idle");
	check_refused("-v", "-v");
	check_refused("-d 5s", "no option -d");
	check_refused("-i 5s", "no option -i");
	check_refused("--timeout 5s", "no option --timeout");
	check_refused("-x", "unknown option -x");
	check_refused("--nothing", "--nothing");
	check_refused("-p", "a value is missing after -p");
	check_refused("--comm", "a value is missing after --comm");
	check_refused("--all=yes", "--all");
}

static void test_values(void **state)
{
	char many[2048] = "-p 1";
	struct options o;

	check_refused("-p 0", "process IDs");
	check_refused("-p 1,,2", "process IDs");
	check_refused("-p 1,", "process IDs");
	check_refused("-p 4194305", "process IDs");
	check_refused("-p -1", "process IDs");
	check_refused("-p 99999999999999999999", "process IDs");
	check_refused("-n 0", "-n 0");
	check_refused("-n 1x", "-n 1x");
	check_refused("--longer-than 0s", "a time above 0");
	check_refused("--longer-than 1us", "a time above 0");
	check_refused("--longer-than x\033[2J", "x\\x1b[2J");
	for (int i = 1; i < OPTIONS_PIDS_MAX; i++)
		strcat(many, ",1");
	check_fine(many, &o);
	assert_int_equal(o.pid_cnt, OPTIONS_PIDS_MAX);
	strcat(many, ",1");
	check_refused(many, "at most 256");
}

static void test_together(void **state)
{
	struct options o;

	check_refused("-p 1 --comm x", "choose one of");
	check_refused("-p 1 -- true", "choose one of");
	check_refused("word", "what is word?");
	check_refused("--", "a program is missing");
	check_refused("\033[2J", "what is \\x1b[2J?");
	check_fine("--all -- true --dot -p", &o); /* the program's own */
	assert_string_equal(o.program[0], "true");
	assert_string_equal(o.program[1], "--dot");
	assert_string_equal(o.program[2], "-p");
	assert_null(o.program[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),	cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_full),	cmocka_unit_test(test_no_stdout),
		cmocka_unit_test(test_offered), cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_values),	cmocka_unit_test(test_together),
	};

	return cmocka_run_group_tests(tests, scratch__make, scratch__remove);
}
