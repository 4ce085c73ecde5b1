// SPDX-License-Identifier: GPL-2.0-only
/* Which file a program's name stands for: the one that execvp(3) would run. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"
#include "user/collect/target.h"

static char *path_was;

/*
 * In the folder: first/tool can't be executed, second/tool is a directory, third/tool and fourth/tool can, and so can
 * tool itself.
 */
static int make_programs(void **state)
{
	path_was = strdup(getenv("PATH"));
	if (scratch__make(state))
		return -1;
	scratch__run("mkdir -p first second/tool third fourth && echo first >first/tool &&"
		     " for i in third/tool fourth/tool tool; do echo $i >$i && chmod +x $i; done");
	return 0;
}

static int remove_programs(void **state)
{
	int err = scratch__remove(state);

	free(path_was);
	return err;
}

static int restore_path(void **state)
{
	return setenv("PATH", path_was, 1);
}

/* What is in the file that was found by a path of these of the folder's directories. */
static void check_found(const char *dirs, const char *name, const char *expected)
{
	char *path, text[64] = "", list[256], *rest = list, *dir;
	size_t path_sz;
	FILE *to = open_memstream(&path, &path_sz);
	ssize_t n;
	int fd;

	assert_non_null(to);
	snprintf(list, sizeof(list), "%s", dirs);
	while ((dir = strsep(&rest, ":")))
		fprintf(to, "%s%s", dir == list ? "" : ":", *dir ? scratch__path(dir) : "");
	assert_int_equal(fclose(to), 0);
	setenv("PATH", path, 1);
	free(path);
	fd = program__open_file(name);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	close(fd);
	assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
}

static void test_by_path(void **state)
{
	/* What can't be run is passed over. */
	check_found("first:second:third:fourth", "tool", "third/tool");
	check_found("fourth:third", "tool", "fourth/tool");
	check_found("none:third", "tool", "third/tool");
}

static void test_directory_of_our_own(void **state)
{
	char was[4096];

	assert_non_null(getcwd(was, sizeof(was)));
	assert_int_equal(chdir(scratch), 0);
	check_found("first::third", "tool", "tool");
	check_found("first", "./tool", "tool"); /* a path is none that PATH is asked for */
	check_found("first", "fourth/tool", "fourth/tool");
	assert_int_equal(chdir(was), 0);
}

static void test_no_path(void **state)
{
	int fd;

	unsetenv("PATH");
	fd = program__open_file("sh");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(program__open_file("tool"), -ENOENT);
}

static void test_not_there(void **state)
{
	char name[5000], path[5200];
	int fd;

	setenv("PATH", scratch__path("first"), 1);
	assert_int_equal(program__open_file("tool"), -ENOENT); /* it can't be run */
	assert_int_equal(program__open_file("another"), -ENOENT);
	assert_int_equal(program__open_file("/nonexistent/tool"), -ENOENT);
	assert_int_equal(program__open_file(scratch__path("second/tool")), -ENOEXEC);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(program__open_file(name), -ENOENT);
	/* A directory with too long a name is passed over. */
	snprintf(path, sizeof(path), "/%.4500s:%.500s", name, scratch__path("third"));
	setenv("PATH", path, 1);
	fd = program__open_file("tool");
	assert_true(fd >= 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_teardown(name, restore_path)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_by_path),
		TEST(test_directory_of_our_own),
		TEST(test_no_path),
		TEST(test_not_there),
	};

	return cmocka_run_group_tests(tests, make_programs, remove_programs);
}
