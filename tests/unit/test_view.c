// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports made by hand, printed. The text is compared with tests/golden/; after a wanted change
 *
 *	HOLDUP_RENEW_GOLDEN=1 build/tests/unit/test_view
 *
 * in the top directory writes the files anew, to be looked at in the diff. JSON is parsed again and
 * checked against the schema that holdup prints.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/model/locks_hold.h"
#include "user/view/cgroup.h"
#include "tests/unit/golden.h"
#include "user/view/view.h"

/* Escape sequences, a right-to-left override, a line feed, broken UTF-8. */
#define HOSTILE_COMM "\033]0;x\a\xe2\x80\xae\xff"
#define HOSTILE_NAME "lock\033[31m\nroot\xc2\x9b\xf0\x9f"

/* ---- a report */

#define CONTAINER "5e1f0c93a7b24d68f0aa11bb22cc33dd44ee55ff66007788990a0b0c0d0e0f10"

static struct agg_process shop = { .tgid = 811, .start = 5, .comm = "shop" };
static struct agg_process hostile = { .tgid = 4194304, .start = 6, .comm = HOSTILE_COMM };

#define FRAME(func, mod, src, n, ...)                                                             \
	{                                                                                         \
		.function = func, .raw = func, .module = mod, .file = src, .line = n, __VA_ARGS__ \
	}

static struct sym_frame ledger_frames[] = {
	FRAME("futex_wait", "libc.so.6", "./nptl/futex-internal.h", 146, .inlined = true),
	FRAME("pthread_mutex_lock", "libc.so.6", "", 0, .offset = 0x112),
	FRAME("std::mutex::lock()", "shop", "/usr/include/c++/12/bits/std_mutex.h", 100,
	      .inlined = true),
	FRAME("update_ledger", "shop", "/home/shop/src/ledger.c", 14, .offset = 0x21),
	FRAME("handle_order", "shop", "/home/shop/src/order.c", 16, .offset = 0x9),
	FRAME("worker", "shop", "/home/shop/src/shop.c", 18, .offset = 0x30),
	FRAME("start_thread", "libc.so.6", "", 0, .offset = 0x2f3),
	FRAME("clone3", "libc.so.6", "", 0, .offset = 0x2c),
};
static struct sym_frame deep_frames[] = {
	FRAME("pthread_mutex_lock", "libc.so.6", "", 0),
	FRAME("a", "shop", "", 0),
	FRAME("b", "shop", "", 0),
	FRAME("c", "shop", "", 0),
	FRAME("", "libshop.so", "", 0, .offset = 0x1230),
	FRAME("", "", "", 0, .offset = 0x7f0012345678),
	FRAME("f", "shop", "", 0),
	FRAME("g", "shop", "", 0),
	FRAME("h", "shop", "", 0),
};
static struct sym_frame catalog_frames[] = {
	FRAME("pthread_rwlock_rdlock", "libc.so.6", "", 0),
	FRAME("read_catalog", "shop", "", 0),
};
static struct sym_frame guessed_frames[] = {
	FRAME("pthread_rwlock_rdlock", "libc.so.6", "", 0),
	{ "read_catalog", "read_catalog", "shop", "", .guessed = true },
};
static struct sym_frame hostile_frames[] = {
	FRAME("pthread_mutex_lock", "libc.so.6", "", 0),
	FRAME("f\033[2J\n", "m\001\x80", "s\r.c", 7),
};

static struct lock_site ledger_sites[] = {
	{
		.stats = { .waits = 4700,
			   .sleeps = 15500,
			   .wait_ns = 29400000000,
			   .blocked_ns = 29000000000,
			   .runq_ns = 400000000,
			   .p50_ns = 6100000,
			   .p95_ns = 9000000,
			   .p99_ns = 9800000,
			   .max_ns = 31000000 },
		.frames = ledger_frames,
		.frame_cnt = sizeof(ledger_frames) / sizeof(ledger_frames[0]),
		.api = 1,
		.stack_flags = HU_STACK_COMPLETE,
	},
	{
		.stats = { .waits = 20,
			   .sleeps = 20,
			   .wait_ns = 200000000,
			   .blocked_ns = 200000000 },
		.frames = deep_frames,
		.frame_cnt = sizeof(deep_frames) / sizeof(deep_frames[0]),
		.api = 0,
		.stack_flags = HU_STACK_BADREAD,
	},
	{ .stats = { .waits = 4, .sleeps = 4, .wait_ns = 9000000 }, .api = -1 },
	{
		.stats = { .waits = 1, .sleeps = 1, .wait_ns = 1000000 },
		.frames = guessed_frames,
		.frame_cnt = 2,
		.api = 0,
		.stack_flags = HU_STACK_FRAMEPTR,
	},
	{ .stats = { .waits = 1, .sleeps = 1, .wait_ns = 500 }, .api = -1 },
};
static struct lock_site catalog_sites[] = {
	{
		.stats = { .waits = 811,
			   .sleeps = 811,
			   .wait_ns = 8020000000,
			   .blocked_ns = 8000000000,
			   .runq_ns = 20000000 },
		.frames = catalog_frames,
		.frame_cnt = 2,
		.api = 0,
		.stack_flags = HU_STACK_COMPLETE,
	},
};
static struct lock_site hostile_sites[] = {
	{
		.stats = { .waits = 2, .sleeps = 2, .wait_ns = 999 },
		.frames = hostile_frames,
		.frame_cnt = 2,
		.api = 0,
		.stack_flags = HU_STACK_COMPLETE,
	},
};
static struct lock_row rows[] = {
	{
		.process = &shop,
		.exe = "/usr/bin/shop",
		.cgroup = "/system.slice/docker-" CONTAINER ".scope",
		.address = 0x562f00004480,
		.name = "ledger_lock",
		.module = "shop",
		.module_offset = 0x4480,
		.kind = LOCK_MUTEX,
		.label = "",
		.locks = 1,
		.stats = { .waits = 4726,
			   .sleeps = 15526,
			   .wait_ns = 29610000000,
			   .blocked_ns = 29200000000,
			   .runq_ns = 410000000,
			   .p50_ns = 6100000,
			   .p95_ns = 9000000,
			   .p99_ns = 9800000,
			   .max_ns = 31000000,
			   .ongoing = 3,
			   .requeued = 700 },
		.waiters_now = 3,
		.waiters_max = 3,
		.sites = ledger_sites,
		.site_cnt = 5,
		.has_calls = true,
		.calls = { .waits = 16000,
			   .again = 474,
			   .timedout = 2,
			   .interrupted = 1,
			   .wakes = 15600,
			   .wakes_none = 70,
			   .requeues = 9 },
	},
	{
		.process = &shop,
		.exe = "/usr/bin/shop",
		.cgroup = "/user.slice/session-1.scope",
		.address = 0x7f0000001000,
		.name = "lock in read_catalog",
		.module = "",
		.kind = LOCK_RWLOCK,
		.label = "",
		.shared = true,
		.locks = 1,
		.stats = { .waits = 811,
			   .sleeps = 811,
			   .wait_ns = 8020000000,
			   .blocked_ns = 8000000000,
			   .runq_ns = 20000000,
			   .p50_ns = 9890000,
			   .p95_ns = 11000000,
			   .p99_ns = 12100000,
			   .max_ns = 12900000,
			   .summarized = 811 },
		.waiters_now = 1,
		.sites = catalog_sites,
		.site_cnt = 1,
	},
	{
		.process = &hostile,
		.exe = "/tmp/\033c",
		.cgroup = "/x/\033[2Jpod",
		.address = 0xffffffffff000,
		.name = HOSTILE_NAME,
		.module = "m\033\x9b",
		.module_offset = 0x10,
		.kind = LOCK_FUTEX,
		.label = "",
		.locks = 1,
		.stats = { .waits = 2,
			   .sleeps = 2,
			   .wait_ns = 999,
			   .blocked_ns = 999,
			   .p50_ns = 499,
			   .p95_ns = 500,
			   .p99_ns = 500,
			   .max_ns = 500 },
		.waiters_max = 2,
		.sites = hostile_sites,
		.site_cnt = 1,
	},
	{
		.process = &shop,
		.exe = "",
		.cgroup = "/",
		.address = 0x562f00009000,
		.name = "",
		.module = "",
		.kind = LOCK_SEMAPHORE,
		.label = "",
		.locks = 1,
		.stats = { .waits = 1,
			   .sleeps = 1,
			   .wait_ns = 80,
			   .blocked_ns = 80,
			   .p50_ns = 80,
			   .p95_ns = 80,
			   .p99_ns = 80,
			   .max_ns = 80 },
		.waiters_max = 1,
	},
};

static struct locks_report full_report(void)
{
	return (struct locks_report){
		.interval_ns = 10000000000,
		.processes = 2,
		.locks = 6,
		.rows = 6,
		.waits = 5543,
		.sleeps = 16343,
		.wait_ns = 37630001079,
		.idle_waits = 40,
		.idle_wait_ns = 182000000000,
		.ongoing = 3,
		.row = rows,
		.row_cnt = sizeof(rows) / sizeof(rows[0]),
		.coverage = { .events = 4732,
			      .summarized = 811,
			      .summarized_ns = 8020000000,
			      .stacks_complete = 4708,
			      .stacks_incomplete = 24,
			      .stacks_missing = 5,
			      .stacks_no_row = 11,
			      .stacks_no_map = 3,
			      .stacks_bad_read = 4,
			      .stacks_too_deep = 1,
			      .stacks_guessed = 30,
			      .stacks_derived = 40 },
		.by = BY_LOCK,
		.own_cgroup = "/user.slice/session-1.scope",
	};
}

static struct locks_report empty_report(void)
{
	return (struct locks_report){ .interval_ns = 1000000000, .by = BY_LOCK, .own_cgroup = "" };
}

/* Everything went wrong that can. */
static struct locks_report lossy_report(void)
{
	struct locks_report r = full_report();

	r.row_cnt = 0;
	r.coverage = (struct locks_coverage){
		.events = 100,
		.lost = 1234,
		.lost_ns = 5600000,
		.summarized = 500,
		.summarized_ns = 1000,
		.records_lost = 1,
		.stacks_lost = 2,
		.stacks_incomplete = 50,
		.depth_unknown = 3,
		.malformed = 4,
		.below_min = 5,
		.below_min_ns = 6000,
		.processes_unreadable = 6,
		.processes_unnamed = 7,
		.modules_full = 9,
		.maps_dropped = 1,
		.inferred = 800,
	};
	return r;
}

/* ---- printing */

typedef int (*view_fn)(FILE *, const struct locks_report *, const struct view_style *);

/* What a view prints; to be freed. */
static char *printed(view_fn view, const struct locks_report *r, const struct view_style *style)
{
	char *text = NULL;
	size_t sz = 0;
	FILE *out = open_memstream(&text, &sz);

	assert_non_null(out);
	assert_int_equal(view(out, r, style), 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strlen(text), sz);
	return text;
}

/* ---- holds */

#define CALL_FDATASYNC 75 /* arch/x86/entry/syscalls/syscall_64.tbl; the views are told in words */

static struct hold_site hold_sites[] = {
	{ .stats = { .acquisitions = 1000,
		     .contended = 250,
		     .after_wait = 10,
		     .ns = 2000000000,
		     .off_ns = 1900000000,
		     .p50_ns = 1500000,
		     .p95_ns = 4000000,
		     .p99_ns = 8000000,
		     .max_ns = 31000000 },
	  .mode = HU_HOLD_MUTEX,
	  .longest = { .ns = 31000000,
		       .end_ns = 5,
		       .off_ns = 30500000,
		       .worst_ns = 30000000,
		       .worst_reason = HU_REASON(HU_WHY_CALL, CALL_FDATASYNC, 4),
		       .tid = 813 },
	  .inside = "in fdatasync",
	  .frames = ledger_frames + 1,
	  .frame_cnt = 7,
	  .stack_flags = HU_STACK_COMPLETE },
	{ .stats = { .acquisitions = 5,
		     .failed = 7,
		     .ns = 500,
		     .p50_ns = 100,
		     .p95_ns = 100,
		     .p99_ns = 100,
		     .max_ns = 110 },
	  .mode = HU_HOLD_MUTEX,
	  .longest = { .ns = 110, .tid = 814 },
	  .inside = "" },
};

static struct hold_lock held_locks[] = {
	{ .row = { .process = &shop,
		   .processes = 1,
		   .exe = "/usr/bin/shop",
		   .cgroup = "",
		   .address = 0x562f00004480,
		   .name = "ledger_lock",
		   .module = "shop",
		   .kind = LOCK_MUTEX,
		   .label = "",
		   .locks = 1 },
	  .waited = true,
	  .stats = { .acquisitions = 1005,
		     .contended = 250,
		     .after_wait = 10,
		     .failed = 7,
		     .unreleased = 1,
		     .held_now = 1,
		     .ns = 2000000500,
		     .off_ns = 1900000000,
		     .p50_ns = 1500000,
		     .p95_ns = 4000000,
		     .p99_ns = 8000000,
		     .max_ns = 31000000 },
	  .site = hold_sites,
	  .site_cnt = 2,
	  .longest = { &hold_sites[0], &hold_sites[1] },
	  .longest_cnt = 2 },
	{ .row = { .process = &hostile,
		   .processes = 1,
		   .exe = "",
		   .cgroup = "",
		   .address = 0x1000,
		   .name = HOSTILE_NAME,
		   .module = "",
		   .kind = LOCK_SPIN,
		   .label = "",
		   .locks = 1 },
	  .stats = { .acquisitions = 3,
		     .ns = 96,
		     .p50_ns = 32,
		     .p95_ns = 32,
		     .p99_ns = 32,
		     .max_ns = 40 } },
};

static struct order_step order_steps[] = {
	{ .first = "ledger_lock",
	  .second = HOSTILE_NAME,
	  .first_address = 0x562f00004480,
	  .second_address = 0x1000,
	  .second_shared = true,
	  .cnt = 12,
	  .tid = 813,
	  .first_stack = { ledger_frames + 1, 7, HU_STACK_COMPLETE } },
	{ .first = HOSTILE_NAME,
	  .second = "ledger_lock",
	  .first_address = 0x1000,
	  .second_address = 0x562f00004480,
	  .cnt = 1,
	  .tid = 814,
	  .second_stack = { ledger_frames + 1, 3, 0 } },
};

static struct order_cycle order_cycles[] = {
	{ .process = &hostile, .step = order_steps, .cnt = 2, .one_thread = true },
};

static struct hold_report hold_report = {
	.lock = held_locks,
	.lock_cnt = 2,
	.locks = 3,
	.acquisitions = 1008,
	.contended = 250,
	.cycle = order_cycles,
	.cycle_cnt = 1,
	.cycles_cut = true,
	.orders = 4,
	.cost = { .operations = 2000, .hits = 2007, .probe_ns = 2200000, .program_ns = 800000 },
	.price = { 1100, 9700, 400 },
	.count = { [HU_HOLD_UNKNOWN] = 2,
		   [HU_HOLD_TOO_MANY] = 3,
		   [HU_HOLD_SITES_FULL] = 4,
		   [HU_HOLD_EDGES_FULL] = 5,
		   [HU_HOLD_NO_STACK] = 6 },
};

/* ---- goldens */

static void check_golden(const char *name, const struct locks_report *r,
			 const struct view_style *style)
{
	char *text = printed(view__locks_text, r, style);

	golden__check(name, text);
	free(text);
}

static const struct view_style plain = { 0 };
static const struct view_style utf8 = { .utf8 = true };

static void test_text(void **state)
{
	struct locks_report r = full_report();

	check_golden("locks.txt", &r, &utf8);
}

static void test_text_ascii(void **state)
{
	struct locks_report r = full_report();

	check_golden("locks-ascii.txt", &r, &plain);
}

static void test_text_verbose(void **state)
{
	struct view_style style = { .utf8 = true, .verbose = true };
	struct locks_report r = full_report();

	check_golden("locks-verbose.txt", &r, &style);
}

static void test_text_colour(void **state)
{
	struct view_style style = { .utf8 = true, .colour = true };
	struct locks_report r = full_report();

	r.row_cnt = 1;
	check_golden("locks-colour.txt", &r, &style);
}

static void test_text_processes(void **state)
{
	struct locks_report r = full_report();
	struct lock_row by_process[2] = { rows[0], rows[2] };

	by_process[0].locks = 3;
	by_process[0].kind = by_process[1].kind = LOCK_INVALID;
	by_process[0].address = by_process[1].address = 0;
	r.by = BY_PROCESS;
	r.row = by_process;
	r.row_cnt = 2;
	r.rows = 5;
	check_golden("locks-by-process.txt", &r, &utf8);
}

static void test_text_sites(void **state)
{
	struct locks_report r = full_report();
	struct lock_row by_site[2] = { rows[0], rows[1] };

	by_site[0].locks = 16;
	by_site[0].processes = 12;
	by_site[0].address = 0;
	by_site[0].module = "";
	by_site[0].has_calls = false;
	by_site[0].stats.sleeps = by_site[0].stats.waits * 123;
	r.by = BY_SITE;
	r.row = by_site;
	r.row_cnt = r.rows = 2;
	check_golden("locks-by-site.txt", &r, &utf8);
}

static void test_text_idle(void **state)
{
	struct locks_report r = full_report();
	struct lock_row idle = rows[1];

	idle.kind = LOCK_CONDVAR;
	idle.idle = true;
	idle.name = "work_cond";
	idle.stats.wait_ns = r.idle_wait_ns;
	r.idle = true;
	r.row = &idle;
	r.row_cnt = 1;
	check_golden("locks-idle.txt", &r, &utf8);
}

#define OWN(fn, mod)                                                 \
	{                                                            \
		.function = fn, .raw = fn, .module = mod, .file = "" \
	}
#define GUESS(fn, mod)                                                                \
	{                                                                             \
		.function = fn, .raw = fn, .module = mod, .file = "", .guessed = true \
	}

/* An interpreter's frames are one item, and sites that look the same without them are one line. */
static void test_text_runtimes(void **state)
{
	struct sym_frame compiled[] = {
		OWN("pthread_cond_wait", "libc.so.6"),
		OWN("ObjectMonitor::enter", "libjvm.so"),
		OWN("ObjectSynchronizer::enter", "libjvm.so"),
		OWN("", ""),
		GUESS("", ""),
		GUESS("JavaCalls::call_helper", "libjvm.so"),
		GUESS("JavaThread::run", "libjvm.so"),
		GUESS("start_thread", "libc.so.6"),
		GUESS("clone3", "libc.so.6"),
	};
	struct sym_frame interpreted[] = {
		OWN("pthread_cond_wait", "libc.so.6"),
		OWN("ObjectMonitor::enter", "libjvm.so"),
		OWN("InterpreterRuntime::monitorenter", "libjvm.so"),
		OWN("ObjectSynchronizer::enter", "libjvm.so"),
		OWN("", ""),
		GUESS("", ""),
		GUESS("", ""),
		GUESS("JavaCalls::call_helper", "libjvm.so"),
		GUESS("JavaThread::run", "libjvm.so"),
		GUESS("start_thread", "libc.so.6"),
		GUESS("clone3", "libc.so.6"),
	};
	struct sym_frame releasing[] = {
		OWN("pthread_cond_signal", "libc.so.6"),
		OWN("ObjectMonitor::exit", "libjvm.so"),
		OWN("", ""),
		OWN("", ""),
		OWN("start_thread", "libc.so.6"),
		OWN("clone3", "libc.so.6"),
	};
	struct sym_frame python[] = {
		OWN("pthread_cond_timedwait", "libc.so.6"),
		OWN("PyEval_RestoreThread", "python3.11"),
		OWN("", "python3.11"),
		OWN("", "python3.11"),
		OWN("compute", "numbers.so"),
		OWN("", "python3.11"),
		OWN("Py_RunMain", "python3.11"),
		OWN("main", "python3.11"),
	};
	struct lock_site monitor_sites[] = {
		{ .stats = { .waits = 3, .sleeps = 3, .wait_ns = 5000000 },
		  .frames = compiled,
		  .frame_cnt = 9,
		  .api = 1,
		  .stack_flags = HU_STACK_COMPLETE },
		{ .stats = { .waits = 1, .sleeps = 1, .wait_ns = 1000000 },
		  .frames = interpreted,
		  .frame_cnt = 11,
		  .api = 1,
		  .stack_flags = HU_STACK_COMPLETE },
	};
	struct lock_site gil_sites[] = {
		{ .stats = { .waits = 2, .sleeps = 2, .wait_ns = 3000000 },
		  .frames = python,
		  .frame_cnt = 8,
		  .api = 1,
		  .stack_flags = HU_STACK_COMPLETE },
	};
	/* The same thread as an owner as well, which is no other thread. */
	struct lock_holder holders[] = {
		{ .tgid = 811,
		  .tid = 815,
		  .comm = "auditor",
		  .sleeps = 4,
		  .wait_ns = 3000000,
		  .frames = releasing,
		  .frame_cnt = 6,
		  .why = HU_HOLDER_WAKE },
		{ .tgid = 811, .tid = 815, .comm = "auditor", .owner = true, .wait_ns = 1500000 },
		{ .tgid = 811, .tid = 816, .comm = "clerk", .wait_ns = 900000 },
		{ .tgid = 811, .tid = 817, .comm = "", .owner = true, .wait_ns = 500000 },
		{ .tgid = 811, .tid = 817, .comm = "", .wait_ns = 90000 },
		{ .tgid = 811, .tid = 818, .comm = "", .wait_ns = 10000 },
	};
	struct lock_row three[] = {
		{ .process = &shop,
		  .name = "Java monitor",
		  .label = "Java monitor",
		  .module = "",
		  .exe = "",
		  .cgroup = "",
		  .kind = LOCK_MUTEX,
		  .locks = 1,
		  .sites = monitor_sites,
		  .site_cnt = 2,
		  .stats = { .waits = 4, .sleeps = 4, .wait_ns = 6000000 },
		  .holders = holders,
		  .holder_cnt = 6 },
		{ .process = &shop,
		  .name = "_PyRuntime",
		  .label = "Python GIL",
		  .known_as_label = true,
		  .module = "python3.11",
		  .module_offset = 0xa5b740,
		  .address = 0xa5b740,
		  .exe = "",
		  .cgroup = "",
		  .kind = LOCK_MUTEX,
		  .locks = 1,
		  .sites = gil_sites,
		  .site_cnt = 1,
		  .stats = { .waits = 2, .sleeps = 2, .wait_ns = 3000000 } },
		{ .process = &shop,
		  .name = "app::LEDGER",
		  .label = "Rust Mutex",
		  .module = "app",
		  .module_offset = 0x10,
		  .address = 0x1010,
		  .exe = "",
		  .cgroup = "",
		  .kind = LOCK_MUTEX,
		  .locks = 1,
		  .stats = { .waits = 1, .sleeps = 1, .wait_ns = 1000000 } },
	};
	struct locks_report r = full_report();

	r.row = three;
	r.row_cnt = 3;
	r.unsure_wait_ns = 2000000000;
	check_golden("locks-runtimes.txt", &r, &utf8);
}

/* Goroutines: one lock that was looked at from time to time, one whose waits were counted. */
static void test_text_goroutines(void **state)
{
	struct sym_frame waiting[] = {
		FRAME("sync.(*Mutex).Lock", "orders", "/usr/lib/go/src/sync/mutex.go", 81),
		FRAME("main.(*Ledger).add", "orders", "/src/ledger.go", 30),
		FRAME("main.handle", "orders", "/src/handler.go", 118),
	};
	struct sym_frame releasing[] = {
		FRAME("sync.(*Mutex).Unlock", "orders", "/usr/lib/go/src/sync/mutex.go", 219),
		FRAME("main.flush", "orders", "/src/ledger.go", 52),
	};
	struct lock_site seen_site = {
		.stats = { .waits = 40, .wait_ns = 19000000000, .max_ns = 2000000000 },
		.frames = waiting,
		.frame_cnt = 3,
		.api = 0,
		.stack_flags = HU_STACK_COMPLETE,
	};
	struct lock_site counted_site = {
		.stats = { .waits = 250, .sleeps = 300, .wait_ns = 4000000000 },
		.frames = waiting,
		.frame_cnt = 3,
		.api = 0,
		.stack_flags = HU_STACK_COMPLETE,
	};
	struct lock_holder releaser = {
		.tgid = 811,
		.goroutine = 77,
		.comm = "orders",
		.sleeps = 290,
		.wait_ns = 3900000000,
		.frames = releasing,
		.frame_cnt = 2,
		.why = HU_HOLDER_WAKE,
	};
	struct lock_row two[] = {
		{ .goroutines = true,
		  .sampled = true,
		  .process = &shop,
		  .processes = 1,
		  .exe = "/usr/bin/orders",
		  .cgroup = "",
		  .address = 0xc000012340,
		  .name = "main.ledger",
		  .module = "orders",
		  .module_offset = 0x10,
		  .kind = LOCK_GO_MUTEX,
		  .label = "",
		  .locks = 1,
		  .stats = { .waits = 40, .wait_ns = 19000000000, .max_ns = 2000000000 },
		  .waiters_now = 3,
		  .sites = &seen_site,
		  .site_cnt = 1 },
		{ .goroutines = true,
		  .process = &hostile,
		  .processes = 1,
		  .exe = "",
		  .cgroup = "",
		  .address = 0xc000056780,
		  .name = "lock in main.(*Ledger).add",
		  .module = "",
		  .kind = LOCK_GO_RWMUTEX,
		  .label = "",
		  .locks = 1,
		  .stats = { .waits = 250,
			     .sleeps = 300,
			     .wait_ns = 4000000000,
			     .p50_ns = 12000000,
			     .p95_ns = 30000000,
			     .p99_ns = 90000000,
			     .max_ns = 110000000,
			     .ongoing = 2 },
		  .waiters_now = 2,
		  .waiters_max = 9,
		  .sites = &counted_site,
		  .site_cnt = 1,
		  .holders = &releaser,
		  .holder_cnt = 1,
		  .holder_unknown_ns = 100000000 },
	};
	struct locks_golang go[] = {
		{ .process = &shop,
		  .version = "go1.24.4",
		  .why = "",
		  .semaphores = 480,
		  .others = 95,
		  .goroutines = 10250,
		  .rejected = 3,
		  .unplaced_ns = 5000000 },
		{ .process = &hostile,
		  .version = "go1.99\033[2J",
		  .why = "Go 1.99\033[2J is not known; native threads are shown" },
	};
	const struct view_style loud = { .utf8 = true, .verbose = true };
	struct locks_report r = full_report();

	r.row = two;
	r.row_cnt = 2;
	r.rows = r.locks = 2;
	r.sampled_ns = 19000000000;
	r.go = go;
	r.go_cnt = 2;
	r.coverage.go_left_out = 1;
	r.coverage.go_lost = 4;
	r.coverage.go_unknown = 5;
	r.coverage.go_unnamed = 6;
	r.coverage.go_stacks_lost = 7;
	r.coverage.go_hits = 1000;
	r.coverage.go_program_ns = 900000;
	check_golden("locks-goroutines.txt", &r, &utf8);
	check_golden("locks-goroutines-verbose.txt", &r, &loud);
}

static void test_text_empty(void **state)
{
	struct locks_report r = empty_report();

	check_golden("locks-empty.txt", &r, &utf8);
}

static void test_text_losses(void **state)
{
	struct locks_report r = lossy_report();

	check_golden("locks-losses.txt", &r, &utf8);
}

/* What people call the cgroup, from the paths that systemd, docker, Kubernetes and others make. */
static void test_cgroup_names(void **state)
{
	static const char *const names[][2] = {
		{ "/", "" },
		{ "", "" },
		{ "/system.slice/mariadb.service", "mariadb.service" },
		{ "/system.slice/docker-" CONTAINER ".scope", "docker-5e1f0c93a7b2" },
		{ "/docker/" CONTAINER, "docker/5e1f0c93a7b2" },
		{ "/" CONTAINER, "5e1f0c93a7b2" },
		{ "/kubepods.slice/kubepods-pod8d3ab.slice/cri-containerd-" CONTAINER ".scope",
		  "cri-containerd-5e1f0c93a7b2" },
		{ "/lxc.payload.web/", "lxc.payload.web" },
		{ "/user.slice/user-0.slice/session-2.scope", "session-2" },
		{ "/machine.slice/.scope", ".scope" },
		{ "/deadbeef", "deadbeef" },
	};
	char path[4096], buf[CGROUP_SZ];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(cgroup__shorten(names[i][0], buf), names[i][1]);
	/* As long as the kernel allows, and longer than the buffer. */
	for (size_t len = 2; len < sizeof(path); len += 61) {
		memset(path, 'z', len);
		path[0] = '/';
		path[len] = '\0';
		assert_in_range(strlen(cgroup__shorten(path, buf)), 1, CGROUP_SZ - 1);
		memset(path + 1, 'a', len - 1);
		assert_in_range(strlen(cgroup__shorten(path, buf)), 1, CGROUP_SZ - 1);
	}
}

/* Nothing of a target's bytes reaches the terminal but printable characters. */
static void test_text_is_clean(void **state)
{
	struct locks_report r = full_report();
	struct view_style style = { .verbose = true };
	char *text = printed(view__locks_text, &r, &style);

	for (const unsigned char *p = (unsigned char *)text; *p; p++)
		assert_true((*p >= 0x20 && *p < 0x7f) || *p == '\n');
	assert_non_null(strstr(text, "lock\\x1b[31m\\x0aroot\\xc2\\x9b\\xf0\\x9f"));
	assert_non_null(strstr(text, "\\x1b]0;x\\x07\\xe2\\x80\\xae\\xff (4194304)"));
	assert_non_null(strstr(text, "f\\x1b[2J\\x0a s\\x0d.c:7"));
	assert_non_null(strstr(text, "cgroup \\x1b[2Jpod"));
	free(text);
}

/* Columns of the table begin at the same place in every line, whatever the names hold. */
static void test_columns_line_up(void **state)
{
	struct locks_report r = full_report();
	struct lock_row wide[2] = { rows[0], rows[1] };
	char *text, *line, *rest;
	size_t column = 0, lines = 0;

	wide[0].name = "gr\xc3\xb6\xc3\x9f"
		       "enordnung_lock"; /* fewer columns than bytes */
	r.row = wide;
	r.row_cnt = 2;
	text = printed(view__locks_text, &r, &plain);
	rest = strstr(text, "\n\n") + 2;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *process = strstr(line, lines ? "shop (811)" : "PROCESS");
		size_t at = 0;

		if (!process)
			break; /* "2 more" */
		for (char *p = line; p < process; p++)
			at += (*p & 0xc0) != 0x80;
		if (lines++)
			assert_int_equal(at, column);
		column = at;
	}
	assert_int_equal(lines, 3);
	free(text);
}

static void test_write_errors_are_told(void **state)
{
	struct locks_report r = full_report();
	view_fn views[] = { view__locks_text, view__locks_json };

	for (size_t i = 0; i < 2; i++) {
		FILE *full = fopen("/dev/full", "we");
		int err;

		assert_non_null(full);
		err = views[i](full, &r, &plain);
		/* stdio keeps no errno of writes before the last one. */
		assert_true(err == -ENOSPC || err == -EIO);
		fclose(full);
	}
}

/* ---- JSON: a validator for what schema.json uses of JSON Schema, draft 7 */

static json_t *schema_root;

static void load_schema(void)
{
	char *text = NULL;
	json_error_t error;
	size_t sz = 0;
	FILE *out = open_memstream(&text, &sz);

	assert_int_equal(view__json_schema(out), 0);
	fclose(out);
	schema_root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!schema_root)
		fail_msg("the schema: line %d: %s", error.line, error.text);
	free(text);
}

static bool valid(const json_t *schema, const json_t *value, char why[256]);

static bool has_type(const char *type, const json_t *value)
{
	return (!strcmp(type, "object") && json_is_object(value)) ||
	       (!strcmp(type, "array") && json_is_array(value)) ||
	       (!strcmp(type, "string") && json_is_string(value)) ||
	       (!strcmp(type, "integer") && json_is_integer(value)) ||
	       (!strcmp(type, "boolean") && json_is_boolean(value)) ||
	       (!strcmp(type, "null") && json_is_null(value));
}

static bool refuse(char why[256], const char *keyword, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	snprintf(why, 256, "%s: %.200s", keyword, text ? text : "");
	free(text);
	return false;
}

static bool matches_pattern(const char *pattern, const char *text)
{
	regex_t re;
	bool ok;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ok = !regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return ok;
}

static bool valid_object(const json_t *schema, const json_t *value, char why[256])
{
	const json_t *properties = json_object_get(schema, "properties");
	const json_t *additional = json_object_get(schema, "additionalProperties"), *name, *member;
	const char *key;
	size_t i;

	json_array_foreach(
		json_object_get(schema, "required"), i,
		name) if (!json_object_get(value,
					   json_string_value(
						   name))) return refuse(why,
									 json_string_value(name),
									 value);
	json_object_foreach((json_t *)value, key, member)
	{
		const json_t *of = json_object_get(properties, key);

		if (!of && json_is_false(additional))
			return refuse(why, "additionalProperties", value);
		if (!of && json_is_object(additional))
			of = additional;
		if (of && !valid(of, member, why))
			return false;
	}
	return true;
}

static bool valid_combined(const json_t *schema, const json_t *value, char why[256])
{
	const json_t *one_of = json_object_get(schema, "oneOf"), *part, *all;
	char ignored[256];
	unsigned int hits = 0;
	size_t i;

	all = json_object_get(schema, "allOf");
	json_array_foreach(all, i, part) if (!valid(part, value, why)) return false;
	json_array_foreach(one_of, i, part)
	{
		bool hit = valid(part, value, ignored);

		/* With one choice only its own words help. */
		if (!hit && json_array_size(one_of) == 1)
			memcpy(why, ignored, sizeof(ignored));
		hits += hit;
	}
	if (one_of && hits != 1)
		return json_array_size(one_of) == 1 ? false : refuse(why, "oneOf", value);
	return true;
}

static bool valid_scalar(const json_t *schema, const json_t *value, char why[256])
{
	const json_t *type = json_object_get(schema, "type"), *choice;
	const json_t *constant = json_object_get(schema, "const");
	const json_t *minimum = json_object_get(schema, "minimum");
	const json_t *pattern = json_object_get(schema, "pattern");
	const json_t *choices = json_object_get(schema, "enum");
	bool found = !choices;
	size_t i;

	if (type && !has_type(json_string_value(type), value))
		return refuse(why, "type", value);
	if (constant && !json_equal(constant, value))
		return refuse(why, "const", value);
	if (minimum && json_integer_value(value) < json_integer_value(minimum))
		return refuse(why, "minimum", value);
	if (pattern && !matches_pattern(json_string_value(pattern), json_string_value(value)))
		return refuse(why, "pattern", value);
	json_array_foreach(choices, i, choice) found |= json_equal(choice, value);
	return found ? true : refuse(why, "enum", value);
}

static bool valid(const json_t *schema, const json_t *value, char why[256])
{
	static const char *const known[] = { "$schema",
					     "$id",
					     "$ref",
					     "title",
					     "description",
					     "type",
					     "required",
					     "oneOf",
					     "allOf",
					     "definitions",
					     "enum",
					     "const",
					     "minimum",
					     "pattern",
					     "properties",
					     "items",
					     "additionalProperties" };
	const char *ref = json_string_value(json_object_get(schema, "$ref")), *key;
	const json_t *items = json_object_get(schema, "items"), *item;
	json_t *unused;
	size_t i;

	/* A keyword that this validator does not know would pass unchecked. */
	json_object_foreach((json_t *)schema, key, unused)
	{
		for (i = 0; i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], key); i++)
			;
		if (i == sizeof(known) / sizeof(known[0]))
			fail_msg("the schema uses '%s'", key);
	}
	if (ref) {
		assert_int_equal(strncmp(ref, "#/definitions/", 14), 0);
		schema = json_object_get(json_object_get(schema_root, "definitions"), ref + 14);
		if (!schema)
			fail_msg("the schema has no %s", ref);
		return valid(schema, value, why);
	}
	if (!valid_scalar(schema, value, why) || !valid_combined(schema, value, why))
		return false;
	json_array_foreach(json_is_array(value) ? value : NULL, i,
			   item) if (items && !valid(items, item, why)) return false;
	return json_is_object(value) ? valid_object(schema, value, why) : true;
}

/* The document that a report prints as, valid; to be released. */
static json_t *document(const struct locks_report *r, const struct view_style *style)
{
	char *text = printed(view__locks_json, r, style), why[256] = "";
	json_error_t error;
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!doc)
		fail_msg("line %d: %s", error.line, error.text);
	load_schema();
	if (!valid(schema_root, doc, why))
		fail_msg("not as the schema says: %s", why);
	json_decref(schema_root);
	free(text);
	return doc;
}

static const json_t *get(const json_t *doc, const char *name)
{
	const json_t *value = json_object_get(doc, name);

	if (!value)
		fail_msg("no '%s'", name);
	return value;
}

static uint64_t number(const json_t *doc, const char *name)
{
	assert_true(json_is_integer(get(doc, name)));
	return json_integer_value(get(doc, name));
}

static const char *text_of(const json_t *doc, const char *name)
{
	assert_true(json_is_string(get(doc, name)));
	return json_string_value(get(doc, name));
}

static void test_json(void **state)
{
	struct locks_report r = full_report();
	json_t *doc = document(&r, &plain);
	const json_t *lock, *site, *frame;

	assert_string_equal(text_of(doc, "schema"), "holdup.locks.v1");
	assert_int_equal(number(doc, "interval_ns"), 10000000000);
	assert_int_equal(number(doc, "idle_wait_ns"), 182000000000);
	assert_int_equal(number(doc, "waits"), 5543);
	assert_int_equal(number(doc, "contended_locks"), 6);
	assert_int_equal(number(get(doc, "coverage"), "events"), 4732);
	assert_int_equal(number(get(doc, "coverage"), "lost"), 0);
	assert_int_equal(number(get(doc, "coverage"), "summarized"), 811);
	assert_int_equal(number(get(doc, "coverage"), "stacks_complete"), 4708);
	assert_int_equal(number(get(doc, "coverage"), "stacks_incomplete"), 24);
	assert_int_equal(number(get(doc, "coverage"), "stacks_missing"), 5);
	assert_int_equal(number(get(doc, "coverage"), "stacks_no_row"), 11);
	assert_int_equal(number(get(doc, "coverage"), "stacks_no_mapping"), 3);
	assert_int_equal(number(get(doc, "coverage"), "stacks_unreadable"), 4);
	assert_int_equal(number(get(doc, "coverage"), "stacks_too_deep"), 1);
	assert_int_equal(number(get(doc, "coverage"), "stacks_guessed"), 30);
	assert_int_equal(number(get(doc, "coverage"), "stacks_derived"), 40);
	assert_int_equal(json_array_size(get(doc, "locks")), 4);
	lock = json_array_get(get(doc, "locks"), 0);
	assert_int_equal(number(lock, "pid"), 811);
	assert_string_equal(text_of(lock, "comm"), "shop");
	assert_string_equal(text_of(lock, "exe"), "/usr/bin/shop");
	assert_string_equal(text_of(lock, "cgroup"), "/system.slice/docker-" CONTAINER ".scope");
	assert_int_equal(number(lock, "requeued"), 700);
	assert_string_equal(text_of(lock, "address"), "0x562f00004480");
	assert_string_equal(text_of(lock, "name"), "ledger_lock");
	assert_string_equal(text_of(lock, "kind"), "mutex");
	assert_int_equal(number(lock, "waits"), 4726);
	assert_int_equal(number(lock, "sleeps"), 15526);
	assert_int_equal(number(lock, "wait_ns"), 29610000000);
	assert_int_equal(number(lock, "p50_ns"), 6100000);
	assert_int_equal(number(lock, "p95_ns"), 9000000);
	assert_int_equal(number(lock, "p99_ns"), 9800000);
	assert_int_equal(number(lock, "max_ns"), 31000000);
	assert_int_equal(number(lock, "waiters_now"), 3);
	assert_int_equal(number(lock, "waiters_max"), 3);
	assert_int_equal(number(get(lock, "futex_calls"), "again"), 474);
	assert_int_equal(json_array_size(get(lock, "sites")), 5);
	site = json_array_get(get(lock, "sites"), 0);
	assert_int_equal(number(site, "waits"), 4700);
	assert_int_equal(number(site, "wait_ns"), 29400000000);
	assert_int_equal(json_array_size(get(site, "stack")), 8);
	frame = json_array_get(get(site, "stack"), 3);
	assert_string_equal(text_of(frame, "function"), "update_ledger");
	assert_string_equal(text_of(frame, "module"), "shop");
	assert_string_equal(text_of(frame, "file"), "/home/shop/src/ledger.c");
	assert_int_equal(number(frame, "line"), 14);
	assert_true(json_is_false(get(frame, "inlined")));
	assert_true(json_is_true(get(json_array_get(get(site, "stack"), 2), "inlined")));
	/* Not known is null, not 0; not counted is not there. */
	lock = json_array_get(get(doc, "locks"), 1);
	assert_true(json_is_null(get(lock, "waiters_max")));
	assert_null(json_object_get(lock, "futex_calls"));
	assert_true(json_is_true(get(lock, "shared")));
	json_decref(doc);
}

static void test_json_hostile(void **state)
{
	struct locks_report r = full_report();
	json_t *doc = document(&r, &plain);
	const json_t *lock = json_array_get(get(doc, "locks"), 2), *frame;

	assert_string_equal(text_of(lock, "comm"), "\\x1b]0;x\\x07\\xe2\\x80\\xae\\xff");
	assert_string_equal(text_of(lock, "name"), "lock\\x1b[31m\\x0aroot\\xc2\\x9b\\xf0\\x9f");
	assert_string_equal(text_of(lock, "exe"), "/tmp/\\x1bc");
	assert_string_equal(text_of(lock, "cgroup"), "/x/\\x1b[2Jpod");
	assert_string_equal(text_of(lock, "module"), "m\\x1b\\x9b");
	frame = json_array_get(get(json_array_get(get(lock, "sites"), 0), "stack"), 1);
	assert_string_equal(text_of(frame, "function"), "f\\x1b[2J\\x0a");
	assert_string_equal(text_of(frame, "module"), "m\\x01\\x80");
	assert_string_equal(text_of(frame, "file"), "s\\x0d.c");
	json_decref(doc);
}

static void test_json_processes(void **state)
{
	struct locks_report r = full_report();
	struct lock_row by_process = rows[0];
	json_t *doc;

	by_process.kind = LOCK_INVALID;
	by_process.address = 0;
	by_process.locks = 3;
	r.by = BY_PROCESS;
	r.row = &by_process;
	r.row_cnt = 1;
	doc = document(&r, &plain);
	assert_null(json_object_get(doc, "locks"));
	assert_int_equal(json_array_size(get(doc, "processes")), 1);
	assert_int_equal(number(json_array_get(get(doc, "processes"), 0), "locks"), 3);
	assert_int_equal(number(json_array_get(get(doc, "processes"), 0), "pid"), 811);
	json_decref(doc);
}

static void test_json_empty(void **state)
{
	struct locks_report r = empty_report();
	json_t *doc = document(&r, &plain);

	assert_true(json_is_array(get(doc, "locks")));
	assert_int_equal(json_array_size(get(doc, "locks")), 0);
	json_decref(doc);
}

static void test_json_losses(void **state)
{
	struct locks_report r = lossy_report();
	json_t *doc = document(&r, &plain);
	const json_t *c = get(doc, "coverage");

	assert_int_equal(number(c, "lost"), 1234);
	assert_int_equal(number(c, "lost_ns"), 5600000);
	assert_int_equal(number(c, "records_lost"), 1);
	assert_int_equal(number(c, "stacks_lost"), 2);
	assert_int_equal(number(c, "depth_unknown"), 3);
	assert_int_equal(number(c, "malformed"), 4);
	assert_int_equal(number(c, "below_min"), 5);
	assert_int_equal(number(c, "below_min_ns"), 6000);
	assert_int_equal(number(c, "processes_unreadable"), 6);
	assert_int_equal(number(c, "processes_unnamed"), 7);
	assert_int_equal(number(c, "modules_full"), 9);
	assert_int_equal(number(c, "mappings_dropped"), 1);
	json_decref(doc);
}

/* With -i: one document a line. */
static void test_json_compact(void **state)
{
	struct view_style style = { .compact = true };
	struct locks_report r = full_report();
	char *text = printed(view__locks_json, &r, &style);

	assert_int_equal(strchr(text, '\n') - text, strlen(text) - 1);
	json_decref(document(&r, &style));
	free(text);
}

/* The validator must be able to refuse. */
static void test_schema_refuses(void **state)
{
	struct locks_report r = full_report();
	json_t *doc = document(&r, &plain);
	char why[256];

	load_schema();
	assert_true(valid(schema_root, doc, why));
	json_object_set_new(doc, "unheard_of", json_true());
	assert_false(valid(schema_root, doc, why));
	json_object_del(doc, "unheard_of");
	json_object_set_new(doc, "waits", json_integer(-1));
	assert_false(valid(schema_root, doc, why));
	json_object_set_new(doc, "waits", json_string("1"));
	assert_false(valid(schema_root, doc, why));
	json_object_set_new(doc, "waits", json_integer(1));
	assert_true(valid(schema_root, doc, why));
	json_object_del((json_t *)json_array_get(get(doc, "locks"), 0), "name");
	assert_false(valid(schema_root, doc, why));
	json_object_del(doc, "coverage");
	assert_false(valid(schema_root, doc, why));
	json_decref(schema_root);
	json_decref(doc);
}

static void test_text_hold(void **state)
{
	struct locks_report r = full_report();

	r.row_cnt = 1;
	r.hold = &hold_report;
	check_golden("locks-hold.txt", &r, &utf8);
}

static void test_text_hold_empty(void **state)
{
	struct hold_report none = { 0 };
	struct locks_report r = empty_report();

	r.hold = &none;
	check_golden("locks-hold-empty.txt", &r, &utf8);
}

static void test_json_hold(void **state)
{
	struct locks_report r = full_report();
	const json_t *lock, *edge;
	json_t *doc;

	r.hold = &hold_report;
	doc = document(&r, &plain);
	/* Those that were waited for, and one that was only held. */
	assert_int_equal(json_array_size(get(doc, "locks")), 5);
	lock = json_array_get(get(doc, "locks"), 0);
	assert_int_equal(number(get(lock, "hold"), "acquisitions"), 1005);
	assert_int_equal(number(get(lock, "hold"), "failed"), 7);
	assert_int_equal(number(get(lock, "hold"), "avg_ns"), 2000000500 / 1005);
	assert_int_equal(json_array_size(get(get(lock, "hold"), "sites")), 2);
	assert_string_equal(text_of(json_array_get(get(get(lock, "hold"), "longest"), 0), "inside"),
			    "in fdatasync");
	assert_null(json_object_get(json_array_get(get(doc, "locks"), 1), "hold"));
	lock = json_array_get(get(doc, "locks"), 4);
	assert_string_equal(text_of(lock, "kind"), "spinlock");
	assert_int_equal(number(lock, "waits"), 0);
	assert_int_equal(number(get(lock, "hold"), "acquisitions"), 3);
	assert_int_equal(json_array_size(get(doc, "lock_order")), 1);
	edge = json_array_get(get(json_array_get(get(doc, "lock_order"), 0), "edges"), 0);
	assert_string_equal(text_of(edge, "first"), "ledger_lock");
	assert_string_equal(text_of(edge, "second_mode"), "read");
	assert_int_equal(number(edge, "count"), 12);
	assert_int_equal(json_array_size(get(edge, "stack_first")), 7);
	assert_int_equal(number(get(doc, "hold_cost"), "per_operation_ns"), 1500);
	assert_int_equal(number(get(doc, "hold_coverage"), "unknown_releases"), 2);
	assert_true(json_is_true(get(get(doc, "hold_coverage"), "orders_cut")));
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_hold),
		cmocka_unit_test(test_text_hold_empty),
		cmocka_unit_test(test_json_hold),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_ascii),
		cmocka_unit_test(test_text_verbose),
		cmocka_unit_test(test_text_colour),
		cmocka_unit_test(test_text_processes),
		cmocka_unit_test(test_text_sites),
		cmocka_unit_test(test_text_idle),
		cmocka_unit_test(test_text_runtimes),
		cmocka_unit_test(test_text_goroutines),
		cmocka_unit_test(test_text_empty),
		cmocka_unit_test(test_text_losses),
		cmocka_unit_test(test_cgroup_names),
		cmocka_unit_test(test_text_is_clean),
		cmocka_unit_test(test_columns_line_up),
		cmocka_unit_test(test_write_errors_are_told),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_hostile),
		cmocka_unit_test(test_json_processes),
		cmocka_unit_test(test_json_empty),
		cmocka_unit_test(test_json_losses),
		cmocka_unit_test(test_json_compact),
		cmocka_unit_test(test_schema_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
