// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of `holdup offcpu` made by hand, printed and compared with tests/golden/; after a wanted change
 *
 *	HOLDUP_RENEW_GOLDEN=1 build/tests/unit/test_offcpu_view
 *
 * in the top directory writes the files anew, to be looked at in the diff.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/view/offcpu.h"

/* Escape sequences, a frame separator, a line feed, broken UTF-8. */
#define HOSTILE "x\033]0;\n\xff"
#define US	1000ULL
#define MS	1000000ULL

static struct agg_process shop = { .tgid = 811, .comm = "shop" };
static struct agg_process hostile = { .tgid = 4194304, .comm = HOSTILE };

#define FRAME(func, mod, src, n, ...)                                                             \
	{                                                                                         \
		.function = func, .raw = func, .module = mod, .file = src, .line = n, __VA_ARGS__ \
	}

static struct sym_frame sync_frames[] = {
	FRAME("fdatasync", "libc.so.6", "", 0),
	FRAME("audit_write", "shop", "/src/shop.c", 163),
	FRAME("place_order", "shop", "/src/shop.c", 251, .inlined = true),
	FRAME("main", "shop", "", 0),
};
static struct sym_frame commit_frames[] = {
	FRAME("jbd_commit", "shop", "", 0),
	FRAME("", "shop", "", 0, .offset = 0x1234),
};
static struct sym_frame hostile_frames[] = { FRAME("f;\033[2J\n", "m\001", "", 0) };
static const char *sync_kernel[] = {
	"__schedule",		"schedule",	  "io_schedule", "folio_wait_bit",
	"file_fdatawait_range", "ext4_sync_file", "do_fsync",	 "do_syscall_64"
};
static const char *timer_kernel[] = { "try_to_wake_up", "hrtimer_wakeup" };
static const char *waker_kernel[] = { "try_to_wake_up", "folio_wake_bit" };

static struct off_waker_row sync_wakers[] = {
	{ .context = OFF_BY_A_THREAD,
	  .tgid = 300,
	  .tid = 301,
	  .comm = "writer",
	  .process = "store",
	  .waits = 60,
	  .ns = 60 * MS,
	  .samples = 60,
	  .frames = commit_frames,
	  .frame_cnt = 2,
	  .stack_flags = HU_STACK_COMPLETE,
	  .kernel = { waker_kernel, 2 } },
	{ .context = OFF_BY_SOFTIRQ,
	  .comm = "",
	  .process = "",
	  .waits = 40,
	  .ns = 30 * MS,
	  .samples = 10,
	  .sampled = true },
	{ .context = OFF_BY_INTERRUPT,
	  .comm = "",
	  .process = "",
	  .waits = 1,
	  .ns = 10 * MS,
	  .samples = 1 },
};
static struct off_waker_row sleep_wakers[] = {
	{ .context = OFF_BY_TIMER,
	  .comm = "",
	  .process = "",
	  .waits = 9,
	  .ns = 18 * MS,
	  .samples = 9,
	  .kernel = { timer_kernel, 2 } },
};

static struct off_place places[] = {
	{ .process = &shop,
	  .comm = "shop",
	  .category = "file",
	  .reason = "fdatasync of /var/lib/shop/wal",
	  .general = "fdatasync (file)",
	  .call = "fdatasync",
	  .object = "/var/lib/shop/wal",
	  .iowait = true,
	  .state = 'D',
	  .stats = { .waits = 101,
		     .ongoing = 1,
		     .blocked_ns = 100 * MS,
		     .runq_ns = 2 * MS,
		     .p50_ns = 900 * US,
		     .p95_ns = 2 * MS,
		     .p99_ns = 4 * MS,
		     .max_ns = 9 * MS,
		     .max_tid = 812 },
	  .frames = sync_frames,
	  .frame_cnt = 4,
	  .api = 0,
	  .stack_flags = HU_STACK_COMPLETE,
	  .kernel = { sync_kernel, 8 },
	  .waker = sync_wakers,
	  .waker_cnt = 3 },
	{ .process = &shop,
	  .comm = "shop",
	  .category = "sleep",
	  .reason = "clock_nanosleep",
	  .general = "clock_nanosleep",
	  .call = "clock_nanosleep",
	  .object = "",
	  .state = 'S',
	  .stats = { .waits = 9,
		     .blocked_ns = 18 * MS,
		     .runq_ns = 1 * MS,
		     .p50_ns = 2 * MS,
		     .p95_ns = 2 * MS,
		     .p99_ns = 2 * MS,
		     .max_ns = 3 * MS,
		     .max_tid = 813 },
	  .api = -1,
	  .waker = sleep_wakers,
	  .waker_cnt = 1 },
	{ .process = &hostile,
	  .comm = HOSTILE,
	  .tid = 7,
	  .category = "preempted",
	  .reason = "preempted",
	  .general = "preempted",
	  .call = "",
	  .object = HOSTILE,
	  .state = 'R',
	  .stats = { .waits = 3,
		     .runq_ns = 12 * MS,
		     .p50_ns = 4 * MS,
		     .p95_ns = 5 * MS,
		     .p99_ns = 5 * MS,
		     .max_ns = 5 * MS,
		     .max_tid = 7 },
	  .frames = hostile_frames,
	  .frame_cnt = 1,
	  .api = -1 },
};

#define PLACES (sizeof(places) / sizeof(places[0]))

static const struct off_place *listed[PLACES];
static uint64_t listed_ns[PLACES];
static struct off_row rows[PLACES];

static struct off_report report_by(enum off_by by)
{
	for (size_t i = 0; i < PLACES; i++) {
		listed[i] = &places[i];
		listed_ns[i] = places[i].stats.blocked_ns + places[i].stats.runq_ns;
		rows[i] = (struct off_row){ .place = &places[i],
					    .stats = places[i].stats,
					    .processes = 1,
					    .places = &listed[i],
					    .place_ns = &listed_ns[i],
					    .place_cnt = 1 };
		if (by == OFF_BY_WAKER && places[i].waker_cnt)
			rows[i].by = &places[i].waker[0];
	}
	return (struct off_report){
		.interval_ns = 5000 * MS,
		.by = by,
		.processes = 2,
		.threads = 12,
		.waits = 114,
		.blocked_ns = 118 * MS,
		.runq_ns = 15 * MS,
		.idle_waits = 4,
		.idle_ns = 20000 * MS,
		.row = rows,
		.row_cnt = PLACES,
		.rows = PLACES + 2,
		.coverage = { .intervals = 118 },
	};
}

static void golden_path(const char *name, char ret[PATH_MAX])
{
	char dir[PATH_MAX - 64] = "", *slash;
	ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

	snprintf(ret, PATH_MAX, "tests/golden/%s", name);
	if (!access("tests/golden", F_OK))
		return;
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

static char *read_file(const char *path)
{
	char *text = calloc(1, 1 << 18);
	FILE *in = fopen(path, "re");

	if (!in || !text)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(fread(text, 1, (1 << 18) - 1, in) < (1 << 18) - 1);
	fclose(in);
	return text;
}

static void check_golden(const char *name, char *text, bool colour)
{
	char path[PATH_MAX], *expected;
	FILE *out;

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\n' && !(colour && *c == '\033'))
			fail_msg("byte %d at '%.40s'", *c, c);
	assert_null(strstr(text, "\033]"));
	assert_null(strstr(text, "\xff"));
	golden_path(name, path);
	if (getenv("HOLDUP_RENEW_GOLDEN")) {
		out = fopen(path, "we");
		assert_non_null(out);
		fputs(text, out);
		assert_int_equal(fclose(out), 0);
	}
	expected = read_file(path);
	assert_string_equal(text, expected);
	free(expected);
	free(text);
}

typedef int (*view_fn)(FILE *out, const struct off_report *r, const struct view_style *style);

static char *printed(view_fn view, const struct off_report *r, const struct view_style *style)
{
	char *text = NULL;
	size_t sz = 0;
	FILE *out = open_memstream(&text, &sz);

	assert_non_null(out);
	assert_int_equal(view(out, r, style), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const struct view_style utf8 = { .utf8 = true };

static void test_text(void **state)
{
	struct off_report r = report_by(OFF_BY_STACK);

	check_golden("offcpu.txt", printed(view__offcpu_text, &r, &utf8), false);
}

static void test_ways(void **state)
{
	static const struct {
		enum off_by by;
		const char *name;
	} ways[] = { { OFF_BY_REASON, "offcpu-by-reason.txt" },
		     { OFF_BY_PROCESS, "offcpu-by-process.txt" },
		     { OFF_BY_THREAD, "offcpu-by-thread.txt" },
		     { OFF_BY_WAKER, "offcpu-by-waker.txt" } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct off_report r = report_by(ways[i].by);

		check_golden(ways[i].name, printed(view__offcpu_text, &r, &utf8), false);
	}
}

static void test_verbose_ascii(void **state)
{
	struct off_report r = report_by(OFF_BY_STACK);
	const struct view_style style = { .verbose = true };

	check_golden("offcpu-ascii.txt", printed(view__offcpu_text, &r, &style), false);
}

static void test_losses(void **state)
{
	struct off_report r = report_by(OFF_BY_STACK);

	r.row_cnt = r.rows = 0;
	r.throttled_ns = 3 * MS;
	r.coverage = (struct off_coverage){ .intervals = 1000,
					    .lost = 3,
					    .lost_ns = 5 * MS,
					    .summarized = 7,
					    .summarized_ns = 9 * MS,
					    .below_min = 11,
					    .below_min_ns = 13 * US,
					    .stacks_incomplete = 100,
					    .stacks_lost = 2,
					    .kernel_stacks_lost = 4,
					    .records_lost = 5,
					    .wakers_lost = 6,
					    .inferred = 20,
					    .processes_unnamed = 1,
					    .modules_full = 2,
					    .maps_dropped = 3 };
	check_golden("offcpu-losses.txt", printed(view__offcpu_text, &r, &utf8), false);
}

static void test_json(void **state)
{
	struct off_report r = report_by(OFF_BY_STACK);

	check_golden("offcpu.json", printed(view__offcpu_json, &r, &utf8), false);
}

static int folded(FILE *out, const struct off_report *r, const struct view_style *style)
{
	return view__offcpu_folded(out, r);
}

static void test_folded(void **state)
{
	struct off_report r = report_by(OFF_BY_STACK);
	char *text = printed(folded, &r, &utf8), *line = text, *end;
	uint64_t us = 0;

	/* Lines add up to the rows, and each ends in its number. */
	for (; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		us += strtoull(strrchr(line, ' '), NULL, 10);
		*end = '\n';
	}
	assert_int_equal(us, 133000);
	check_golden("offcpu.folded", text, false);
}

static struct sched_cpu cpus[] = {
	{ .cpu = 0,
	  .seen_ns = 1000 * MS,
	  .mean = 1.6,
	  .busy = 0.9,
	  .waiting = 0.5,
	  .max = 4,
	  .ns = { 100 * MS, 400 * MS, 300 * MS, 200 * MS } },
	{ .cpu = 1, .seen_ns = 1000 * MS, .max = 1, .ns = { 1000 * MS } },
};
static struct sched_row sched_rows[] = {
	{ .process = &shop,
	  .comm = "shop",
	  .stats = { .waits = 30,
		     .runq_ns = 60 * MS,
		     .p50_ns = 8 * US,
		     .p95_ns = 2 * MS,
		     .p99_ns = 9 * MS,
		     .max_ns = 12 * MS,
		     .max_tid = 811 },
	  .bucket = { 0, 0, 2, 20, 4, 0, 4 } },
	{ .process = NULL,
	  .comm = "",
	  .stats = { .waits = 1, .runq_ns = 3 * US, .max_ns = 3 * US },
	  .bucket = { 0, 0, 1 } },
};
static const struct sched_report sched = {
	.interval_ns = 1000 * MS,
	.cpu = cpus,
	.cpu_cnt = 2,
	.row = sched_rows,
	.row_cnt = 2,
	.rows = 3,
	.waits = 31,
	.runq_ns = 60 * MS,
	.all = { .stats = { .p50_ns = 8 * US, .p99_ns = 9 * MS, .max_ns = 12 * MS } },
};

static int sched_text(FILE *out, const struct off_report *r, const struct view_style *style)
{
	return view__sched_text(out, &sched, style);
}

static int sched_json(FILE *out, const struct off_report *r, const struct view_style *style)
{
	return view__sched_json(out, &sched, style);
}

static void test_sched(void **state)
{
	check_golden("sched.txt", printed(sched_text, NULL, &utf8), false);
	check_golden("sched.json", printed(sched_json, NULL, &utf8), false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	      cmocka_unit_test(test_ways),
		cmocka_unit_test(test_verbose_ascii), cmocka_unit_test(test_losses),
		cmocka_unit_test(test_json),	      cmocka_unit_test(test_folded),
		cmocka_unit_test(test_sched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
