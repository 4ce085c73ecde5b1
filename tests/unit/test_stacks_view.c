// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of `holdup stacks` made by hand, printed as text, JSON and dot, and compared with tests/golden/; after a
 * wanted change
 *
 *	HOLDUP_RENEW_GOLDEN=1 build/tests/unit/test_stacks_view
 *
 * in the top directory writes the files anew, to be looked at in the diff. That the JSON is as the schema says, and
 * that Graphviz reads the dot, is for tests/integration/test_stacks_golden.py.
 */
#include <errno.h>
#include <jansson.h>
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

#include "tests/unit/golden.h"
#include "user/view/view.h"

/* Escape sequences, quotes, a line feed, a right-to-left override, broken UTF-8. */
#define HOSTILE_COMM "\033]0;\"x\\\a\xff"
#define HOSTILE_NAME "lock\033[31m\n\"root\\l\xc2\x9b\xe2\x80\xae\xf0\x9f"
#define MS	     1000000ULL
#define S	     1000000000ULL

/* ---- a report */

static struct snap_process shop = { .tgid = 811, .comm = "shop", .threads = 9 };
static struct snap_process depot = { .tgid = 900, .comm = "depot", .threads = 1 };
static struct snap_process hostile = { .tgid = 4194304, .comm = HOSTILE_COMM, .threads = 1 };

#define FRAME(func, mod, src, n, ...)                                                             \
	{                                                                                         \
		.function = func, .raw = func, .module = mod, .file = src, .line = n, __VA_ARGS__ \
	}

static struct sym_frame ledger_frames[] = {
	FRAME("futex_wait", "libc.so.6", "./nptl/futex-internal.h", 146, .inlined = true),
	FRAME("pthread_mutex_lock", "libc.so.6", "", 0, .offset = 0x112),
	FRAME("update_ledger", "shop", "/home/shop/src/ledger.c", 14, .offset = 0x21),
	FRAME("handle_order", "shop", "/home/shop/src/order.c", 16, .offset = 0x9),
	FRAME("start_thread", "libc.so.6", "", 0, .offset = 0x2f3),
	FRAME("clone3", "libc.so.6", "", 0, .offset = 0x2c),
};
static struct sym_frame sync_frames[] = {
	FRAME("fdatasync", "libc.so.6", "", 0, .offset = 0x1a),
	FRAME("write_journal", "shop", "", 0, .offset = 0x40),
	{ "main", "main", "shop", "", .guessed = true },
};
static struct sym_frame hostile_frames[] = {
	FRAME("pthread_mutex_lock", "libc.so.6", "", 0),
	FRAME("f\033[2J\n\"", "m\001\x80", "s\r.c", 7),
	FRAME("", "", "", 0, .offset = 0x7f0012345678),
};

static const char *journal_kernel[] = { "__schedule", "jbd2_log_wait_commit", "", "do_syscall_64" };

static struct snap_stack ledger_snap = { .stack = { .flags = HU_STACK_COMPLETE } };
static struct snap_stack sync_snap = { .stack = { .flags = HU_STACK_FRAMEPTR } };
static struct snap_stack hostile_snap = { .stack = { .flags = HU_STACK_DERIVED } };
static struct named_stack ledger_stack = { &ledger_snap, ledger_frames, 6, true };
static struct named_stack sync_stack = { &sync_snap, sync_frames, 3, false };
static struct named_stack hostile_stack = { &hostile_snap, hostile_frames, 3, false };

enum {
	LEDGER,
	ORDER,
	ORPHAN,
	PARK, /* Rust's */
	JOINED,
	WORK, /* for which idle ones wait */
	PRICES,
	WILD,
	LOCKS
};
#define LOCK(p, at, n, k, text, ...)                                                           \
	{                                                                                      \
		.process = p, .address = at, .name = n, .kind = k, .label = text, __VA_ARGS__, \
		.steady = true                                                                 \
	}

static struct waited_lock locks[LOCKS] = {
	[LEDGER] = LOCK(&shop, 0x562f00004480, "ledger_lock", LOCK_MUTEX, "", .waiters = 3),
	[ORDER] = LOCK(&shop, 0x7f0000001000, "", LOCK_RWLOCK, "", .waiters = 1),
	[ORPHAN] = LOCK(&shop, 0x562f00004500, "cache+0x40", LOCK_MUTEX, "", .waiters = 2,
			.held_by = HELD_GONE, .owner_word = 799),
	[PARK] = LOCK(&shop, 0, "", LOCK_MUTEX, "Rust Mutex", .waiters = 1),
	[JOINED] = LOCK(&shop, 0x7f0000002990, "", LOCK_JOIN, "", .waiters = 1, .idle = true,
			.held_by = HELD_TARGET),
	[WORK] = LOCK(&shop, 0x562f00004600, "work", LOCK_CONDVAR, "", .waiters = 2, .idle = true),
	[PRICES] = LOCK(&shop, 0x7f0000003000, "prices", LOCK_MUTEX, "", .waiters = 1,
			.shared = true, .held_by = HELD_OWNER, .owner_word = 70000),
	[WILD] = LOCK(&hostile, ~0ULL, HOSTILE_NAME, LOCK_FUTEX, "", .waiters = 2,
		      .held_by = HELD_GONE, .owner_word = 4194304),
};
static struct waited_lock wild_too; /* another one like the last */
static struct waited_lock *lock_list[] = {
	&locks[LEDGER], &locks[ORDER], &locks[ORPHAN], &locks[PARK],   &locks[JOINED],
	&locks[WORK],	&locks[WILD],  &wild_too,      &locks[PRICES],
};
static struct waited_lock *orphans[] = { &locks[ORPHAN], &locks[WILD] };

/* Threads, by their place in the report. */
enum {
	A,	/* waits for the rwlock, which B has */
	B,	/* waits for ledger_lock, which A has */
	C,	/* behind them */
	SELF,	/* waits for itself */
	HEIR,	/* for the dead one's */
	TIMED,	/* the same, but not for ever */
	PARKED, /* for a lock that does not say who has it */
	JOINER, /* for ROOT's end */
	ROOT,	/* in fdatasync */
	RUNNER, /* on a CPU */
	WAITS_FOR_RUNNER,
	STOPPED, /* by a debugger */
	WAITS_FOR_STOPPED,
	NO_CPU,
	IDLE1,
	IDLE2,
	REMOTE, /* whose lock another process has that is not looked at */
	WILD1,	/* of a hostile process */
	WILD2,
	THREADS
};

struct fixture {
	struct snap_thread snap[THREADS];
	struct blocked_thread thread[THREADS];
	struct blocked_thread *order[THREADS];
	struct waited_lock self_lock, runner_lock, stopped_lock;
	struct waited_lock *lock[16];
	struct deadlock deadlock[2];
	struct blocked_thread *circle[2], *self[1];
	struct wait_chain chain[3];
	struct waited_lock *root_locks[4];
	struct blocked_group group[THREADS];
	struct stacks_query query;
	struct stacks_report report;
};

static struct blocked_thread *set_thread(struct fixture *f, int at, struct snap_process *p,
					 const char *comm, struct waited_lock *lock,
					 uint64_t blocked_ns)
{
	struct blocked_thread *t = &f->thread[at];

	f->snap[at].process = p;
	f->snap[at].steady = true;
	f->snap[at].rec.tgid = p->tgid;
	f->snap[at].rec.tid = 812 + at;
	snprintf(f->snap[at].rec.comm, sizeof(f->snap[at].rec.comm), "%s", comm);
	*t = (struct blocked_thread){
		.thread = &f->snap[at],
		.stack = lock ? &ledger_stack : &sync_stack,
		.state = BLOCKED_SLEEPING,
		.kernel = "",
		.api = lock ? 1 : -1,
		.lock = lock,
		.object = lock ? lock->address : 0,
		.call = { .kind = CALL_FUTEX,
			  .call = "futex",
			  .what = "",
			  .object = "",
			  .fd = -1,
			  .timeout_ns = UINT64_MAX },
		.runtime = "native",
		.at_least_ns = blocked_ns,
	};
	return t;
}

static void hold(struct waited_lock *lock, struct blocked_thread *owner)
{
	lock->owner = owner;
	lock->owner_word = owner->thread->rec.tid;
	lock->held_by = lock->kind == LOCK_JOIN ? HELD_TARGET : HELD_OWNER;
}

static void set_others(struct fixture *f)
{
	struct blocked_thread *t;

	t = set_thread(f, ROOT, &shop, "journal", NULL, 812 * MS);
	t->state = BLOCKED_DISK;
	t->kernel = "jbd2_log_wait_commit";
	t->kernel_stack = journal_kernel;
	t->kernel_cnt = 4;
	t->call.kind = CALL_FILE;
	t->call.call = "fdatasync";
	t->call.what = "of /var/lib/shop/journal\n";
	t->call.object = "/var/lib/shop/journal\n";
	t->call.fd = 7;
	t->behind = 1;
	t = set_thread(f, RUNNER, &shop, "busy", NULL, 0);
	t->state = BLOCKED_RUNNING;
	t->behind = 1;
	t = set_thread(f, STOPPED, &shop, "traced", NULL, 5 * S);
	t->state = BLOCKED_STOPPED;
	t->call.kind = CALL_STOPPED;
	t->call.call = "";
	t->call.what = "stopped";
	t->behind = 1;
	t = set_thread(f, NO_CPU, &depot, "late", NULL, 2 * MS);
	t->state = BLOCKED_RUNNABLE;
	t->call.kind = CALL_OTHER;
	t->call.call = "";
	t->stack = NULL;
	f->snap[NO_CPU].moved = true;
}

static void set_hostile(struct fixture *f)
{
	for (int i = WILD1; i <= WILD2; i++) {
		struct blocked_thread *t = set_thread(f, i, &hostile, HOSTILE_COMM,
						      i == WILD1 ? &locks[WILD] : &wild_too, 0);

		t->stack = &hostile_stack;
		t->api = i == WILD1 ? 0 : 999; /* no frame has that number */
		t->kernel = "";
		t->call.peer_cnt = 1;
		t->call.peer[0].tgid = 1;
		memcpy(t->call.peer[0].comm, "a\033b", 4);
	}
}

static void set_threads(struct fixture *f)
{
	struct blocked_thread *t;

	set_thread(f, A, &shop, "request-1", &locks[ORDER], 61 * S)->behind = 2;
	set_thread(f, B, &depot, "request-2", &locks[LEDGER], 60 * S)->behind = 2;
	set_thread(f, C, &shop, "request-3", &locks[LEDGER], 59 * S);
	set_thread(f, SELF, &shop, "alone", &f->self_lock, 3 * S);
	set_thread(f, HEIR, &shop, "heir", &locks[ORPHAN], 7 * S);
	set_thread(f, TIMED, &shop, "heir", &locks[ORPHAN], 9 * S)->timed = true;
	set_thread(f, PARKED, &shop, "rusty", &locks[PARK], 11 * MS);
	t = set_thread(f, JOINER, &shop, "main", &locks[JOINED], 90 * S);
	t->idle = true;
	set_others(f);
	set_thread(f, WAITS_FOR_RUNNER, &shop, "w1", &f->runner_lock, 3 * MS);
	set_thread(f, WAITS_FOR_STOPPED, &shop, "w2", &f->stopped_lock, 4 * S);
	set_thread(f, IDLE1, &shop, "pool-1", &locks[WORK], 100 * S)->idle = true;
	set_thread(f, IDLE2, &shop, "pool-2", &locks[WORK], 3600 * S)->idle = true;
	set_thread(f, REMOTE, &shop, "w3", &locks[PRICES], 1 * S);
	set_hostile(f);
}

static void set_findings(struct fixture *f)
{
	hold(&locks[ORDER], &f->thread[B]);
	hold(&locks[LEDGER], &f->thread[A]);
	hold(&f->self_lock, &f->thread[SELF]);
	hold(&locks[JOINED], &f->thread[ROOT]);
	hold(&f->runner_lock, &f->thread[RUNNER]);
	hold(&f->stopped_lock, &f->thread[STOPPED]);
	for (int i = 0; i < THREADS; i++)
		f->thread[i].holder = f->thread[i].lock ? f->thread[i].lock->owner : NULL;
	f->circle[0] = &f->thread[A];
	f->circle[1] = &f->thread[B];
	f->self[0] = &f->thread[SELF];
	f->deadlock[0] = (struct deadlock){ f->circle, 2, 1 };
	f->deadlock[1] = (struct deadlock){ f->self, 1, 0 };
	f->root_locks[0] = &locks[LEDGER];
	f->root_locks[1] = &locks[PARK];
	f->root_locks[2] = &f->runner_lock;
	f->root_locks[3] = &f->self_lock;
	f->chain[0] = (struct wait_chain){ &f->thread[ROOT], 41, f->root_locks, 4 };
	f->chain[1] = (struct wait_chain){ &f->thread[RUNNER], 1, &f->root_locks[2], 1 };
	f->chain[2] = (struct wait_chain){ &f->thread[STOPPED], 1, NULL, 0 };
}

static void add_group(struct fixture *f, int first, size_t cnt, size_t processes, size_t of_locks)
{
	struct blocked_group *g = &f->group[f->report.group_cnt++];

	*g = (struct blocked_group){
		.thread = &f->order[first],
		.cnt = cnt,
		.least_ns = UINT64_MAX,
		.processes = processes,
		.locks = of_locks,
	};
	for (size_t i = 0; i < cnt; i++) {
		uint64_t ns = f->thread[first + i].at_least_ns;

		g->least_ns = ns < g->least_ns ? ns : g->least_ns;
		g->most_ns = ns > g->most_ns ? ns : g->most_ns;
	}
}

static void set_report(struct fixture *f)
{
	size_t cnt = sizeof(lock_list) / sizeof(lock_list[0]);

	memcpy(f->lock, lock_list, sizeof(lock_list));
	f->lock[cnt++] = &f->self_lock;
	f->lock[cnt++] = &f->runner_lock;
	f->lock[cnt++] = &f->stopped_lock;
	f->report = (struct stacks_report){
		.took_ns = 31 * MS,
		.thread = f->thread,
		.thread_cnt = THREADS,
		.lock = f->lock,
		.lock_cnt = cnt,
		.deadlock = f->deadlock,
		.deadlock_cnt = 2,
		.orphan = orphans,
		.orphan_cnt = 2,
		.chain = f->chain,
		.chain_cnt = 3,
		.group = f->group,
		.processes = 3,
		.running = 1,
		.runnable = 1,
		.idle = 2,
		.coverage = { .moved = 1,
			      .retried = 3,
			      .gone = 2,
			      .born = 1,
			      .unreadable = 3,
			      .locked = 1,
			      .stacks_incomplete = 4 },
		.query = &f->query,
	};
	add_group(f, A, 3, 2, 2);
	add_group(f, HEIR, 2, 1, 1);
	add_group(f, PARKED, 1, 1, 1);
	add_group(f, REMOTE, 1, 1, 1);
	add_group(f, WILD1, 2, 1, 2);
	add_group(f, ROOT, 1, 1, 0);
	add_group(f, STOPPED, 1, 1, 0);
	add_group(f, NO_CPU, 1, 1, 0);
	add_group(f, JOINER, 1, 1, 1);
	add_group(f, IDLE1, 2, 1, 1);
	add_group(f, RUNNER, 1, 1, 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->self_lock = f->runner_lock = f->stopped_lock = locks[PRICES];
	f->self_lock.name = "self";
	f->runner_lock.name = "hot";
	f->stopped_lock.name = "cold";
	f->self_lock.shared = f->runner_lock.shared = f->stopped_lock.shared = false;
	wild_too = locks[WILD];
	wild_too.held_by = HELD_NOBODY;
	f->query = (struct stacks_query){ .rows = 20 };
	for (int i = 0; i < THREADS; i++)
		f->order[i] = &f->thread[i];
	set_threads(f);
	set_findings(f);
	set_report(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

/* ---- printing */

static const struct view_style plain = { 0 };
static const struct view_style utf8 = { .utf8 = true };

typedef int (*view_fn)(FILE *, const struct stacks_report *, const struct view_style *);

static int dot(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	return view__stacks_dot(out, r);
}

static int findings(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	assert_int_equal(view__findings(out, r), r->deadlock_cnt + r->orphan_cnt);
	return 0;
}

static int one_by_one(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	int err = 0;

	for (size_t i = 0; i < r->thread_cnt && !err; i++)
		err = view__blocked_thread(out, &r->thread[i], style);
	return err;
}

static char *printed(view_fn view, const struct stacks_report *r, const struct view_style *style)
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

/* Whatever the names are: what reaches a terminal is text, line by line. */
static void check_harmless(const char *text, bool colour)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\n' && !(colour && *c == '\033'))
			fail_msg("byte %d at '%.40s'", *c, c);
	assert_null(strstr(text, "\033]"));
	assert_null(strstr(text, "\033[31m"));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_null(strstr(text, "\xff"));
}

static void check_golden(const char *name, view_fn view, const struct stacks_report *r,
			 const struct view_style *style)
{
	char *text = printed(view, r, style);

	check_harmless(text, style->colour);
	golden__check(name, text);
	free(text);
}

/* ---- tests */

static void test_text(void **state)
{
	struct fixture *f = *state;

	check_golden("stacks.txt", view__stacks_text, &f->report, &utf8);
}

static void test_text_ascii(void **state)
{
	struct fixture *f = *state;
	char *text = printed(view__stacks_text, &f->report, &plain);

	for (const char *c = text; *c; c++)
		assert_true((signed char)*c > 0);
	free(text);
	f->query.rows = 2;
	check_golden("stacks-ascii.txt", view__stacks_text, &f->report, &plain);
}

static void test_text_idle(void **state)
{
	struct fixture *f = *state;

	f->query.idle = true;
	f->report.deadlock_cnt = f->report.orphan_cnt = f->report.chain_cnt = 0;
	f->report.coverage.times_unknown = true;
	check_golden("stacks-idle.txt", view__stacks_text, &f->report, &utf8);
}

static void test_text_all(void **state)
{
	struct view_style style = { .utf8 = true, .verbose = true };
	struct fixture *f = *state;

	f->query.all = true;
	check_golden("stacks-all.txt", view__stacks_text, &f->report, &style);
}

static void test_text_colour(void **state)
{
	struct view_style style = { .utf8 = true, .colour = true };
	struct fixture *f = *state;

	f->report.group_cnt = 1;
	check_golden("stacks-colour.txt", view__stacks_text, &f->report, &style);
}

static void test_text_empty(void **state)
{
	struct fixture *f = *state;
	struct stacks_report empty = { .took_ns = MS, .query = &f->query };

	check_golden("stacks-empty.txt", view__stacks_text, &empty, &utf8);
}

/* A large circle is cut in the text, not in a line for scripts. */
static void test_large_circle(void **state)
{
	struct fixture *f = *state;
	struct blocked_thread *circle[15];
	char *text;

	for (int i = 0; i < 15; i++)
		circle[i] = &f->thread[i % 2 ? B : A];
	f->deadlock[0] = (struct deadlock){ circle, 15, 0 };
	text = printed(view__stacks_text, &f->report, &plain);
	assert_non_null(strstr(text, "DEADLOCK  15 threads of shop (811) and others"));
	assert_non_null(strstr(text, "\n   3 more\n"));
	free(text);
	text = printed(findings, &f->report, &plain);
	*strchr(text, '\n') = '\0';
	for (int i = 0; i < 14; i++)
		*strstr(text, "; tid") = ',';
	assert_null(strstr(text, "; tid"));
	free(text);
}

static void test_findings(void **state)
{
	struct fixture *f = *state;

	check_golden("stacks-check.txt", findings, &f->report, &plain);
}

static void test_watch(void **state)
{
	struct fixture *f = *state;

	check_golden("stacks-watch.txt", one_by_one, &f->report, &utf8);
}

static void test_dot(void **state)
{
	struct fixture *f = *state;

	check_golden("stacks.dot", dot, &f->report, &utf8);
}

static size_t listed(const struct stacks_report *r)
{
	char *text = printed(view__stacks_json, r, &plain);
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	size_t cnt;

	assert_non_null(doc);
	cnt = json_array_size(json_object_get(doc, "threads"));
	json_decref(doc);
	free(text);
	return cnt;
}

static void test_json(void **state)
{
	struct view_style style = { .compact = true };
	struct fixture *f = *state;
	char *text;

	/* Idle ones are left out, unless others wait for them; so is who runs. */
	assert_int_equal(listed(&f->report), THREADS - 3);
	f->query.idle = true;
	assert_int_equal(listed(&f->report), THREADS);
	text = printed(view__stacks_json, &f->report, &style);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
	free(text);
	check_golden("stacks.json", view__stacks_json, &f->report, &plain);
}

static void test_nobody_to_write_to(void **state)
{
	static const view_fn views[] = { view__stacks_text, view__stacks_json, dot };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		FILE *full = fopen("/dev/full", "we");

		assert_non_null(full);
		setvbuf(full, NULL, _IONBF, 0);
		assert_true(views[i](full, &f->report, &plain) < 0);
		fclose(full);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_text),	 TEST(test_text_ascii),	 TEST(test_text_idle),
		TEST(test_text_all),	 TEST(test_text_colour), TEST(test_text_empty),
		TEST(test_large_circle), TEST(test_findings),	 TEST(test_watch),
		TEST(test_dot),		 TEST(test_json),	 TEST(test_nobody_to_write_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
