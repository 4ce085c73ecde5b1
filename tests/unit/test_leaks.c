// SPDX-License-Identifier: GPL-2.0-only
/*
 * From lives of threads and looks at them, both made by hand, to suspects; and how these are printed. After a wanted
 * change
 *
 *	HOLDUP_RENEW_GOLDEN=1 build/tests/unit/test_leaks
 *
 * in the top directory writes tests/golden/leaks*.txt anew.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/leaks.h"
#include "user/model/leaks_baseline.h"
#include "user/view/view.h"

#define S	  1000000000ULL
#define NOW_NS	  (1000 * S)
#define THREADS	  32
#define GOLDEN_SZ 65536

/* ---- a process, its sites and threads */

static struct lifetimes lifetimes;
static struct lt_process shop, depot;
static struct lt_site site[3];
static struct lt_thread life[THREADS];
static struct snap_process snap_shop;
static struct snap_thread snap[THREADS];
static struct blocked_thread blocked[THREADS], *member[THREADS], *cycle[2];
static struct waited_lock ledger_lock, *locks[1], *orphans[1];
static struct blocked_group group[1];
static struct deadlock deadlock[1];
static struct stacks_query stacks_query;
static struct stacks_report stacks;
static struct leaks_query query;
static struct leaks_unreachable unreachable;
static struct leaks_input in;
static struct leaks_report *report;
static size_t lives;

#define FRAME(name, src, n)                                                             \
	{                                                                               \
		.function = name, .raw = name, .module = "shop", .file = src, .line = n \
	}

static struct sym_frame frames[] = {
	FRAME("pthread_mutex_lock", "", 0),
	FRAME("append_entry", "/src/shop/ledger.c", 14),
	FRAME("handle_order", "/src/shop/order.c", 16),
	FRAME("worker\033[31m", "/src/shop/order.c", 18),
};
static struct snap_stack snap_stack = { .stack = { .flags = HU_STACK_COMPLETE } };
static struct named_stack stack = { &snap_stack, frames, 4, true };

static int set_up(void **state)
{
	memset(&lifetimes, 0, sizeof(lifetimes));
	memset(site, 0, sizeof(site));
	memset(life, 0, sizeof(life));
	memset(snap, 0, sizeof(snap));
	memset(blocked, 0, sizeof(blocked));
	memset(&stacks, 0, sizeof(stacks));
	memset(group, 0, sizeof(group));
	memset(deadlock, 0, sizeof(deadlock));
	lives = 0;
	lifetimes__init(&lifetimes, NULL);
	shop = (struct lt_process){ .tgid = 811, .comm = "shop", .probed = true, .sites = &site[0] };
	depot = (struct lt_process){ .tgid = 900, .comm = "depot", .sites = &site[2] };
	shop.next = &depot;
	lifetimes.processes = &shop;
	site[0].next = &site[1];
	site[0].process = site[1].process = &shop;
	site[2].process = &depot;
	shop.site_cnt = 2;
	depot.site_cnt = 1;
	snap_shop = (struct snap_process){ .tgid = 811, .comm = "shop" };
	ledger_lock = (struct waited_lock){ .process = &snap_shop,
					    .address = 0x5000,
					    .name = "ledger_lock",
					    .kind = LOCK_MUTEX,
					    .label = "",
					    .steady = true };
	locks[0] = orphans[0] = &ledger_lock;
	stacks.thread = blocked;
	stacks.lock = locks;
	stacks.orphan = orphans;
	stacks.group = group;
	stacks.deadlock = deadlock;
	stacks.processes = 2;
	stacks.query = &stacks_query;
	query = (struct leaks_query){ .min_age_ns = 10 * S, .rows = 20 };
	unreachable = (struct leaks_unreachable){ 0 };
	in = (struct leaks_input){ .lifetimes = &lifetimes,
				   .stacks = &stacks,
				   .unreachable = &unreachable,
				   .began_ns = NOW_NS - 30 * S,
				   .now_ns = NOW_NS };
	report = NULL;
	return 0;
}

static int tear_down(void **state)
{
	leaks_report__free(report);
	lifetimes.processes = NULL; /* not its own */
	lifetimes__free(&lifetimes);
	return 0;
}

static struct lt_thread *add_life(struct lt_site *at, uint64_t ended_ago_ns)
{
	struct lt_thread *t = &life[lives++];

	t->process = at->process;
	t->site = at;
	t->tid = 5000 + lives;
	t->join = LT_JOINABLE;
	t->born_ns = NOW_NS - 25 * S;
	if (ended_ago_ns) {
		t->end = LT_RETURNED;
		t->ended_ns = NOW_NS - ended_ago_ns;
		at->unjoined++;
		at->process->unjoined++;
	}
	t->next = at->threads;
	at->threads = t;
	return t;
}

/* So many threads that wait for the ledger's lock, for so long each. */
static void add_waiters(size_t cnt, uint64_t for_ns)
{
	for (size_t i = 0; i < cnt; i++) {
		struct blocked_thread *t = &blocked[stacks.thread_cnt++];

		*t = (struct blocked_thread){ .thread = &snap[i],
					      .stack = &stack,
					      .state = BLOCKED_SLEEPING,
					      .lock = &ledger_lock,
					      .call = { .call = "futex", .what = "", .object = "" },
					      .kernel = "",
					      .runtime = "native",
					      .at_least_ns = for_ns };
		snap[i].rec.tgid = 811;
		snap[i].rec.tid = 6000 + i;
		snap[i].process = &snap_shop;
		snap[i].steady = true;
		memcpy(snap[i].rec.comm, "order", 6);
		member[i] = t;
	}
	ledger_lock.waiters = cnt;
	group[0] =
		(struct blocked_group){ .thread = member, .cnt = cnt, .processes = 1, .locks = 1 };
	stacks.group_cnt = 1;
	stacks.lock_cnt = 1;
}

static void build(void)
{
	leaks_report__free(report);
	report = NULL;
	assert_int_equal(leaks_report__build(&in, &query, &report), 0);
}

static const struct leak_suspect *only(enum leak_reason reason)
{
	build();
	assert_int_equal(report->cnt, 1);
	assert_int_equal(report->suspect[0].reason, reason);
	assert_non_null(report->suspect[0].evidence);
	return &report->suspect[0];
}

static void nobody(void)
{
	build();
	assert_int_equal(report->cnt, 0);
}

/* ---- unjoined */

static void unjoined(void **state)
{
	const struct leak_suspect *s;

	add_life(&site[0], 20 * S);
	add_life(&site[0], 12 * S);
	add_life(&site[0], 2 * S); /* may be joined yet */
	add_life(&site[0], 0);
	s = only(LEAK_UNJOINED);
	assert_true(s->exact);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->oldest_ns, 20 * S);
	assert_int_equal(s->tgid, 811);
	assert_true(s->growth_per_min > 5.9 && s->growth_per_min < 6.1); /* 2 in 20 s */
	query.min_age_ns = 60 * S;
	nobody();
}

static void joined_or_detached(void **state)
{
	add_life(&site[0], 20 * S)->join = LT_DETACHED;
	add_life(&site[0], 20 * S)->join = LT_JOINED;
	add_life(&site[0], 20 * S)->join = LT_JOIN_UNKNOWN;
	add_life(&site[0], 20 * S)->join_unsure = true;
	nobody();
}

/* One joins the threads of this site in order, and waits for the first. */
static void being_joined(void **state)
{
	struct lt_thread *first = add_life(&site[0], 0);

	add_life(&site[0], 20 * S);
	add_life(&site[1], 20 * S); /* another place: nobody joins these */
	first->joiner_tid = 811;
	assert_int_equal(only(LEAK_UNJOINED)->count, 1);
	first->joiner_tid = 0;
	build();
	assert_int_equal(report->cnt, 2);
}

static void over(void **state)
{
	add_life(&site[0], 20 * S);
	shop.over = true;
	shop.over_ns = NOW_NS - 2 * S;
	nobody();
	query.over = true; /* a program that was run */
	assert_int_equal(only(LEAK_UNJOINED)->oldest_ns, 18 * S);
	shop.by_exec = true;
	nobody();
}

/* ---- growing */

static void fill_history(struct history *h, uint32_t (*value)(unsigned i))
{
	memset(h, 0, sizeof(*h));
	for (unsigned i = 0; i < 48; i++)
		history__add(h, NOW_NS - 30 * S + i * (30 * S / 48), value(i));
}

static uint32_t rising(unsigned i)
{
	return 10 + i;
}

static uint32_t slowly(unsigned i)
{
	return 10 + i / 4;
}

static uint32_t filled(unsigned i)
{
	return i < 20 ? i : 20;
}

static void growing(void **state)
{
	const struct leak_suspect *s;

	fill_history(&site[0].history, rising);
	fill_history(&shop.history, rising);
	site[0].live = 57;
	site[0].all.born = 48;
	s = only(LEAK_GROWING);
	assert_int_equal(s->count, 57);
	assert_false(s->exact);
	assert_true(s->growth_per_min > 85 && s->growth_per_min < 105);
	assert_true(s->sure > 0.99);
	assert_false(report->coverage.growth_unknown);
	query.early = true;
	nobody();
	assert_true(report->coverage.growth_unknown);
}

static void grown(void **state)
{
	fill_history(&site[0].history, filled);
	fill_history(&shop.history, filled);
	nobody();
}

/* More and more threads, since there is more and more to do: all of them end. */
static void busier(void **state)
{
	fill_history(&site[0].history, rising);
	site[0].live = 57;
	site[0].all.born = 480;
	site[0].all.ended[LT_RETURNED] = 432;
	site[0].all.age_ns = 432 * 2 * S;
	for (int i = 0; i < 20; i++)
		add_life(&site[0], 0)->born_ns = NOW_NS - 3 * S;
	nobody();
	for (int i = 0; i < 20; i++)
		life[i].born_ns = NOW_NS - i * S; /* too few are old */
	nobody();
	fill_history(&site[0].history, slowly);
	assert_int_equal(only(LEAK_GROWING)->count, 57);
}

/* Not by one place, but by many. */
static void growing_everywhere(void **state)
{
	fill_history(&shop.history, rising);
	shop.live = 57;
	assert_int_equal(only(LEAK_GROWING)->count, 57);
}

static void too_short(void **state)
{
	history__add(&site[0].history, NOW_NS, 4);
	nobody();
	assert_true(report->coverage.growth_unknown);
}

/* ---- stuck */

static void same_line(void **state)
{
	const struct leak_suspect *s;

	add_waiters(6, 15 * S);
	blocked[5].at_least_ns = 3 * S;
	s = only(LEAK_SAME_LINE);
	assert_int_equal(s->count, 5);
	assert_string_equal(s->lock, "ledger_lock");
	query.same_line = 6;
	nobody();
}

static void not_alike(void **state)
{
	add_waiters(6, 15 * S);
	for (size_t i = 0; i < 6; i++)
		blocked[i].idle = true;
	nobody();
	for (size_t i = 0; i < 6; i++) {
		blocked[i].idle = false;
		blocked[i].timed = true;
	}
	nobody();
	for (size_t i = 0; i < 6; i++)
		blocked[i].timed = false;
	ledger_lock.kind = LOCK_SEMAPHORE;
	nobody();
	ledger_lock.kind = LOCK_MUTEX;
	for (size_t i = 0; i < 6; i++)
		blocked[i].at_least_ns = 2 * S;
	nobody();
}

static void orphaned(void **state)
{
	const struct leak_suspect *s;

	add_waiters(6, 15 * S);
	ledger_lock.held_by = HELD_GONE;
	ledger_lock.owner_word = 4242;
	stacks.orphan_cnt = 1;
	s = only(LEAK_ORPHANED); /* and not on the same line as well */
	assert_true(s->exact);
	assert_int_equal(s->count, 6);
	assert_non_null(strstr(s->evidence, "thread 4242, is gone"));
}

static void in_deadlock(void **state)
{
	const struct leak_suspect *s;

	add_waiters(6, 15 * S);
	cycle[0] = &blocked[0];
	cycle[1] = &blocked[1];
	deadlock[0] = (struct deadlock){ .thread = cycle, .cnt = 2, .behind = 0 };
	stacks.deadlock_cnt = 1;
	build();
	assert_int_equal(report->cnt, 2);
	s = &report->suspect[0];
	if (s->reason != LEAK_BLOCKED)
		s = &report->suspect[1];
	assert_int_equal(s->reason, LEAK_BLOCKED);
	assert_int_equal(s->count, 2);
	assert_true(s->exact);
}

static void no_waker(void **state)
{
	const uint32_t tids[] = { 6000, 6002 };
	const struct leak_suspect *s;

	add_waiters(3, 45 * S);
	ledger_lock.kind = LOCK_SEMAPHORE;
	unreachable = (struct leaks_unreachable){ tids, 2, 0 };
	blocked[1].at_least_ns = 5 * S;
	s = only(LEAK_BLOCKED);
	assert_int_equal(s->count, 2);
	assert_false(s->exact);
	assert_non_null(strstr(s->evidence, "1 other in the same place"));
	blocked[1].at_least_ns = 40 * S; /* not far longer than its siblings */
	nobody();
}

/* What a runtime keeps waits for ever, as it should. */
static void a_helper(void **state)
{
	const uint32_t tids[] = { 6000 };

	add_waiters(1, 45 * S);
	ledger_lock.kind = LOCK_SEMAPHORE;
	unreachable = (struct leaks_unreachable){ tids, 1, 0 };
	memcpy(snap[0].rec.comm, "iou-wrk-1", 10);
	nobody();
	assert_int_equal(report->helpers, 1);
}

/* The most and the surest first. */
static void ranked(void **state)
{
	add_life(&site[0], 20 * S);
	fill_history(&site[2].history, rising);
	site[2].live = 57;
	add_waiters(6, 15 * S);
	build();
	assert_int_equal(report->cnt, 3);
	assert_int_equal(report->suspect[0].reason, LEAK_GROWING);
	assert_int_equal(report->suspect[1].reason, LEAK_UNJOINED); /* 1, +3 a minute */
	assert_int_equal(report->suspect[2].reason, LEAK_SAME_LINE);
}

/* ---- a baseline */

static void baseline(void **state)
{
	char text[256];
	struct leaks_baseline *known;
	const char *why;
	int len;

	add_waiters(6, 15 * S);
	len = snprintf(text, sizeof(text),
		       "{\"schema\": \"holdup.leaks.v1\", \"suspects\": [{\"key\": \"0x%llx\", "
		       "\"count\": 6}]}",
		       (unsigned long long)leak_suspect__key(only(LEAK_SAME_LINE)));
	assert_int_equal(leaks_baseline__parse(text, len, &known, &why), 0);
	query.baseline = known;
	nobody();
	assert_int_equal(report->old, 1);
	add_waiters(1, 15 * S);
	group[0].cnt = ledger_lock.waiters = 7;
	member[6] = &blocked[6];
	blocked[6].stack = &stack;
	assert_int_equal(only(LEAK_SAME_LINE)->known, 6);
	leaks_report__free(report);
	report = NULL;
	leaks_baseline__free(known);
}

/* ---- views */

static void compare_golden(const char *name, const char *text)
{
	char path[128], *want = calloc(1, GOLDEN_SZ);
	FILE *file;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("HOLDUP_RENEW_GOLDEN")) {
		file = fopen(path, "w");
		assert_non_null(file);
		fputs(text, file);
		fclose(file);
	}
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(want, 1, GOLDEN_SZ - 1, file) > 0);
	fclose(file);
	assert_string_equal(text, want);
	free(want);
}

static char *render(int (*view)(FILE *, const struct leaks_report *, const struct view_style *),
		    bool verbose)
{
	struct view_style style = { .utf8 = true, .verbose = verbose };
	char *text = NULL;
	size_t sz;
	FILE *out = open_memstream(&text, &sz);

	assert_non_null(out);
	assert_int_equal(view(out, report, &style), 0);
	fclose(out);
	return text;
}

static void golden(void **state)
{
	struct leaks_stack held = { 811, 0x1234, 1, 8 << 20 };
	char *text;

	add_life(&site[0], 20 * S)->start_routine = 0x1234;
	fill_history(&site[2].history, rising);
	site[2].live = 57;
	site[2].all.born = 48;
	add_waiters(6, 15 * S);
	in.stack = &held;
	in.stack_cnt = 1;
	in.lost = 3;
	snprintf(depot.comm, sizeof(depot.comm), "%s", "de\033[31mpot\n");
	build();
	text = render(view__leaks_text, false);
	compare_golden("leaks.txt", text);
	free(text);
	text = render(view__leaks_text, true);
	compare_golden("leaks-verbose.txt", text);
	free(text);
}

static void golden_none(void **state)
{
	char *text;

	build();
	text = render(view__leaks_text, false);
	compare_golden("leaks-none.txt", text);
	free(text);
}

static void json(void **state)
{
	json_t *doc, *suspects;
	char *text;

	add_waiters(6, 15 * S);
	build();
	text = render(view__leaks_json, false);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	suspects = json_object_get(doc, "suspects");
	assert_int_equal(json_array_size(suspects), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(suspects, 0), "reaso"
											   "n")),
			    "same-line");
	json_decref(doc);
	free(text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unjoined),  T(joined_or_detached), T(being_joined), T(over),	      T(growing),
		T(grown),     T(growing_everywhere), T(busier),	      T(too_short),   T(same_line),
		T(not_alike), T(orphaned),	     T(in_deadlock),  T(no_waker),    T(a_helper),
		T(ranked),    T(baseline),	     T(golden),	      T(golden_none), T(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
