// SPDX-License-Identifier: GPL-2.0-only
/*
 * A report of `holdup threads` made by hand, printed as text and JSON, and compared with tests/golden/; after a wanted
 * change
 *
 *	HOLDUP_RENEW_GOLDEN=1 build/tests/unit/test_threads_view
 *
 * in the top directory writes the files anew, to be looked at in the diff.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/view/view.h"

#define HOSTILE_COMM "\033]0;\"x\\\a\xff"
#define MS	     1000000ULL
#define S	     1000000000ULL

#define FRAME(func, mod, src, n, ...)                                                             \
	{                                                                                         \
		.function = func, .raw = func, .module = mod, .file = src, .line = n, __VA_ARGS__ \
	}

static struct sym_frame creator[] = {
	FRAME("clone3", "libc.so.6", "", 0, .offset = 0x2b),
	FRAME("create_thread", "libc.so.6", "./nptl/pthread_create.c", 295),
	FRAME("pthread_create", "libc.so.6", "./nptl/pthread_create.c", 831),
	FRAME("spawn_worker", "shop", "/home/shop/src/pool.c", 41),
	FRAME("handle_order", "shop", "/home/shop/src/order.c", 16),
	FRAME("main", "shop", "/home/shop/src/main.c", 7),
	FRAME("__libc_start_call_main", "libc.so.6", "", 0),
};
static struct sym_frame hostile[] = {
	FRAME("pthread_create", "", "", 0),
	FRAME("f\033[2J\n\"", "m\001\x80", "s\r.c", 7),
};

static struct threads_site sites[] = {
	{
		.counts = { .live = 12,
			    .unjoined = 30,
			    .live_change = 7,
			    .unjoined_change = 30,
			    .peak = 20,
			    .created = 1045,
			    .exited = 1038,
			    .joined = 900,
			    .detached = 108,
			    .ended = { [LT_RETURNED] = 1000, [LT_EXITED] = 30, [LT_CANCELLED] = 8 },
			    .age_ns = 1038 * 20 * MS,
			    .cpu_ns = 1038 * 2 * MS,
			    .runq_ns = 1038 * MS,
			    .age_max_ns = 900 * MS },
		.frames = creator,
		.frame_cnt = 7,
		.api = 2,
		.stack_flags = HU_STACK_COMPLETE,
		.start = FRAME("worker_main", "shop", "/home/shop/src/pool.c", 12),
		.has_start = true,
		.oldest_ns = 70 * S,
		.median_ns = 5 * S,
		.youngest_ns = 3 * MS,
		.live_cpu_ns = 400 * MS,
		.live_blocked_ns = 90 * S,
		.ran_ago_ns = 2 * MS,
		.oldest_unjoined_ns = 9 * S,
		.comm = "worker",
	},
	{ .counts = { .live = 3, .peak = 3 },
	  .api = -1,
	  .before = true,
	  .oldest_ns = 3600 * S,
	  .median_ns = 3600 * S,
	  .youngest_ns = 3599 * S,
	  .ran_ago_ns = UINT64_MAX },
	{ .counts = { .created = 5, .exited = 5, .ended = { [LT_UNSEEN] = 5 } },
	  .api = -1,
	  .beyond = true,
	  .ran_ago_ns = UINT64_MAX },
};
static struct threads_site hostile_site = {
	.counts = { .live = 0, .created = 1, .exited = 1, .peak = 1, .ended = { [LT_KILLED] = 1 } },
	.frames = hostile,
	.frame_cnt = 2,
	.api = 0,
	.ran_ago_ns = UINT64_MAX,
	.comm = HOSTILE_COMM,
};

static struct threads_process rows[] = {
	{ .pid = 811,
	  .comm = "shop",
	  .exe = "/usr/bin/shop",
	  .counts = { .live = 16,
		      .unjoined = 30,
		      .live_change = 7,
		      .unjoined_change = 30,
		      .peak = 24,
		      .created = 1050,
		      .exited = 1043,
		      .joined = 900,
		      .detached = 108,
		      .ended = { [LT_RETURNED] = 1000,
				 [LT_EXITED] = 30,
				 [LT_CANCELLED] = 8,
				 [LT_UNSEEN] = 5 } },
	  .before = true,
	  .joins_known = true,
	  .joins_known_before = true,
	  .sites = sites,
	  .site_cnt = 3 },
	{ .pid = 4194304,
	  .comm = HOSTILE_COMM,
	  .exe = "",
	  .over = true,
	  .exit_code = 9,
	  .counts = { .created = 1, .exited = 1, .peak = 2, .ended = { [LT_KILLED] = 1 } },
	  .sites = &hostile_site,
	  .site_cnt = 1 },
	{ .pid = 900,
	  .comm = "depot",
	  .exe = "",
	  .over = true,
	  .by_exec = true,
	  .joins_known = true,
	  .counts = { .peak = 1 } },
	{ .pid = 901,
	  .comm = "depot",
	  .exe = "",
	  .over = true,
	  .exit_code = 3 << 8,
	  .joins_known = true },
	{ .pid = 902,
	  .comm = "depot",
	  .exe = "",
	  .first_ended = true,
	  .joins_known = true,
	  .counts = { .live = 1 } },
};

static struct threads_report report = {
	.interval_ns = 10 * S,
	.processes = 7,
	.row = rows,
	.row_cnt = 5,
	.counts = { .live = 17,
		    .unjoined = 30,
		    .live_change = 7,
		    .unjoined_change = 30,
		    .peak = 25,
		    .created = 1051,
		    .exited = 1044 },
	.coverage = { .events = 2000, .libraries = 2 },
};

static char *printed(int (*print)(FILE *out, const struct threads_report *r,
				  const struct view_style *style),
		     const struct threads_report *r, const struct view_style *style)
{
	char *text;
	size_t sz;
	FILE *out = open_memstream(&text, &sz);

	assert_non_null(out);
	assert_int_equal(print(out, r, style), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void check(const char *name, char *text)
{
	char path[PATH_MAX], expected[65536] = "";
	const char *renew = getenv("HOLDUP_RENEW_GOLDEN");
	FILE *file;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	file = fopen(path, renew && *renew ? "w" : "r");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	if (renew && *renew)
		assert_true(fputs(text, file) >= 0);
	else
		assert_true(fread(expected, 1, sizeof(expected) - 1, file) > 0);
	assert_int_equal(fclose(file), 0);
	if (!(renew && *renew))
		assert_string_equal(text, expected);
	free(text);
}

static const struct view_style utf8 = { .utf8 = true };

static void test_text(void **state)
{
	check("threads.txt", printed(view__threads_text, &report, &utf8));
}

static void test_interval(void **state)
{
	struct threads_report r = report;

	r.live_view = true;
	r.row_cnt = r.processes = 1;
	check("threads-interval.txt", printed(view__threads_text, &r, &utf8));
}

static void test_losses(void **state)
{
	struct threads_report r = report;
	struct view_style ascii = { .verbose = true };

	r.coverage = (struct threads_coverage){
		.lost = 3,
		.summarized = 5,
		.calls_lost = 1,
		.records_lost = 2,
		.processes_forgotten = 7,
		.stacks_lost = 8,
		.stacks_incomplete = 1,
		.unnamed = 1,
		.unprobed = 2,
		.probes_failed = 4,
		.probes_err = -EACCES,
	};
	check("threads-losses.txt", printed(view__threads_text, &r, &ascii));
}

static void test_empty(void **state)
{
	struct threads_report r = { .interval_ns = S };

	check("threads-empty.txt", printed(view__threads_text, &r, &utf8));
}

static void test_json(void **state)
{
	check("threads.json", printed(view__threads_json, &report, &utf8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_interval),
		cmocka_unit_test(test_losses), cmocka_unit_test(test_empty),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
