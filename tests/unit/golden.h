/* SPDX-License-Identifier: GPL-2.0-only */
/* Text that is compared with a file of tests/golden, or becomes it (HOLDUP_RENEW_GOLDEN=1). After cmocka.h. */
#ifndef HOLDUP_TEST_GOLDEN_H
#define HOLDUP_TEST_GOLDEN_H

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN_MAX (1 << 20)

/* From the top directory, or from anywhere when the program lies below the tree. */
static inline void golden__path(const char *name, char ret[PATH_MAX])
{
	char dir[PATH_MAX - 64] = "", *slash;
	ssize_t len;

	snprintf(ret, PATH_MAX, "tests/golden/%s", name);
	if (!access("tests/golden", F_OK))
		return;
	len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	dir[len > 0 ? len : 0] = '\0';
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		snprintf(ret, PATH_MAX, "%.4000s/tests/golden", dir);
		if (!access(ret, F_OK)) {
			snprintf(ret, PATH_MAX, "%.4000s/tests/golden/%.50s", dir, name);
			return;
		}
	}
	fail_msg("tests/golden is not found: run this in the top directory");
}

static inline char *golden__read(const char *path)
{
	FILE *in = fopen(path, "re");
	char *text = calloc(1, GOLDEN_MAX);
	size_t len;

	if (!in || !text)
		fail_msg("%s: %s", path, strerror(errno));
	len = fread(text, 1, GOLDEN_MAX - 1, in);
	assert_true(len < GOLDEN_MAX - 1 && !ferror(in));
	fclose(in);
	return text;
}

static inline void golden__check(const char *name, const char *text)
{
	char path[PATH_MAX], *expected;
	FILE *out;

	golden__path(name, path);
	if (getenv("HOLDUP_RENEW_GOLDEN")) {
		out = fopen(path, "we");
		assert_non_null(out);
		fputs(text, out);
		assert_int_equal(fclose(out), 0);
		print_message("%s is new: look at its diff\n", path);
	}
	expected = golden__read(path);
	assert_string_equal(text, expected);
	free(expected);
}

#endif
