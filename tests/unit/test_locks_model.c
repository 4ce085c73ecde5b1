// SPDX-License-Identifier: GPL-2.0-only
/*
 * From sites to a report. The watched process is this one: its locks are those below, its stacks
 * are made by hand of addresses in its own functions and in its C library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
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

#include "user/model/locks.h"

#define START 5 /* proc_start of this process; any other is another process to the aggregate */

/* ---- what is watched */

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char before[16];
	pthread_mutex_t lock;
} catalog = { .before = "x", .lock = PTHREAD_MUTEX_INITIALIZER };
static pthread_rwlock_t prices = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t work_cond = PTHREAD_COND_INITIALIZER;

/* Functions long enough for a return address in them; volatile keeps them apart and whole. */
static volatile int sink;

__attribute__((noinline)) static void update_ledger(void)
{
	for (int i = 0; i < 3; i++)
		sink += i * 7;
}

__attribute__((noinline)) static void read_catalog(void)
{
	for (int i = 0; i < 4; i++)
		sink -= i * 9;
}

__attribute__((noinline)) static void thread_main(void)
{
	for (int i = 0; i < 5; i++)
		sink ^= i * 11;
}

static uint64_t in(void (*function)(void))
{
	return (uint64_t)(uintptr_t)function + 6; /* as a return address */
}

/* The C library's own function, not a sanitizer's in front of it. */
static uint64_t libc_function(const char *name)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), *f;

	assert_non_null(libc);
	f = dlsym(libc, name);
	if (!f)
		fail_msg("the C library has no %s", name);
	dlclose(libc);
	return (uintptr_t)f;
}

/* ---- what the kernel would have sent */

enum stack_id {
	STACK_NONE = 0,
	MUTEX_LEDGER, /* pthread_mutex_lock <- update_ledger <- thread_main */
	MUTEX_CATALOG,
	RWLOCK_CATALOG,
	COND_MAIN,
	GUESSED, /* like MUTEX_LEDGER, walked by frame pointers */
	CUT,	 /* like MUTEX_LEDGER, its end missing */
	STACKS
};

struct fixture {
	struct symbolizer *symbolizer;
	struct aggregate aggregate;
	struct locks_input in;
	struct locks_query query;
	struct locks_report *report;
	struct source source;
	struct hu_call_key call_key;
};

static struct hu_stack stack_of(uint64_t id)
{
	static const char *const leaf[STACKS] = {
		[MUTEX_LEDGER] = "pthread_mutex_lock",	    [MUTEX_CATALOG] = "pthread_mutex_lock",
		[RWLOCK_CATALOG] = "pthread_rwlock_rdlock", [COND_MAIN] = "pthread_cond_wait",
		[GUESSED] = "pthread_mutex_lock",	    [CUT] = "pthread_mutex_lock",
	};
	struct hu_stack s = { .tgid = getpid(), .flags = HU_STACK_COMPLETE };

	s.pcs[s.frames++] = libc_function(leaf[id]);
	if (id == MUTEX_LEDGER || id == GUESSED || id == CUT)
		s.pcs[s.frames++] = in(update_ledger);
	if (id == MUTEX_CATALOG || id == RWLOCK_CATALOG)
		s.pcs[s.frames++] = in(read_catalog);
	s.pcs[s.frames++] = in(thread_main);
	if (id == GUESSED)
		s.flags |= HU_STACK_FRAMEPTR;
	s.exact = id == GUESSED ? 1 : s.frames;
	if (id == CUT)
		s.flags = HU_STACK_BADREAD;
	return s;
}

static void on_process(void *ctx, struct agg_process *p)
{
	struct fixture *f = ctx;

	assert_int_equal(symbolizer__add_process(f->symbolizer, p->tgid, &p->names), 0);
}

static int on_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	assert_in_range(id, 1, STACKS - 1);
	*ret = stack_of(id);
	return 0;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct agg_hooks hooks = { .process = on_process, .stack = on_stack, .ctx = f };

	if (!f || symbolizer__new(&f->symbolizer))
		return -1;
	aggregate__init(&f->aggregate, &hooks, 0);
	f->in = (struct locks_input){
		.aggregate = &f->aggregate,
		.symbolizer = f->symbolizer,
		.interval_ns = 10000000000ULL,
	};
	f->query = (struct locks_query){ .sort = SORT_WAIT, .by = BY_LOCK, .rows = 20 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	locks_report__free(f->report);
	aggregate__free(&f->aggregate);
	symbolizer__free(f->symbolizer);
	free(f);
	return 0;
}

static struct hu_wait_record wait_for(const void *word, enum stack_id stack, uint64_t ns)
{
	struct hu_wait_record rec = {
		.hdr = { .kind = HU_REC_WAIT, .size = sizeof(rec) },
		.tgid = getpid(),
		.tid = 1,
		.proc_start = START,
		.uaddr = (uintptr_t)word,
		.stack_id = stack,
		.start_ns = 1000,
		.end_ns = 1000 + ns,
		.blocked_ns = ns - ns / 10,
		.runq_ns = ns / 10,
		.sleeps = 2,
		.depth = 3,
		.val = stack == COND_MAIN || stack == RWLOCK_CATALOG ? 1 : 2,
		.op = stack == COND_MAIN || stack == RWLOCK_CATALOG ? HU_OP_WAIT_BITSET
								    : HU_OP_WAIT,
		.comm = "worker",
	};

	return rec;
}

static void add(struct fixture *f, const void *word, enum stack_id stack, uint64_t ns)
{
	struct hu_wait_record rec = wait_for(word, stack, ns);

	assert_int_equal(aggregate__wait(&f->aggregate, &rec), 0);
}

static const struct locks_report *build(struct fixture *f)
{
	locks_report__free(f->report);
	f->report = NULL;
	assert_int_equal(locks_report__build(&f->in, &f->query, &f->report), 0);
	assert_non_null(f->report);
	return f->report;
}

static const struct lock_row *only_row(struct fixture *f)
{
	const struct locks_report *r = build(f);

	assert_int_equal(r->row_cnt, 1);
	return &r->row[0];
}

/* ---- tests */

static void test_empty(void **state)
{
	struct fixture *f = *state;

	for (f->query.by = BY_LOCK; f->query.by <= BY_PROCESS; f->query.by++) {
		const struct locks_report *r = build(f);

		assert_int_equal(r->row_cnt, 0);
		assert_int_equal(r->locks, 0);
		assert_int_equal(r->waits, 0);
		assert_int_equal(r->processes, 0);
		assert_int_equal(r->interval_ns, 10000000000ULL);
	}
}

static void test_symbol(void **state)
{
	struct fixture *f = *state;
	const struct lock_row *row;
	const struct lock_site *site;

	add(f, &ledger_lock, MUTEX_LEDGER, 1000000);
	add(f, &ledger_lock, MUTEX_LEDGER, 3000000);
	row = only_row(f);
	assert_string_equal(row->name, "ledger_lock");
	assert_int_equal(row->kind, LOCK_MUTEX);
	assert_int_equal(row->address, (uintptr_t)&ledger_lock);
	assert_string_equal(row->module, "test_locks_model");
	assert_int_not_equal(row->module_offset, 0);
	assert_true(row->module_offset < row->address);
	assert_non_null(strstr(row->exe, "/test_locks_model"));
	assert_int_equal(row->process->tgid, getpid());
	assert_false(row->shared);
	assert_int_equal(row->locks, 1);
	assert_int_equal(row->stats.waits, 2);
	assert_int_equal(row->stats.sleeps, 4);
	assert_int_equal(row->stats.wait_ns, 4000000);
	assert_int_equal(row->stats.blocked_ns, 3600000);
	assert_int_equal(row->stats.runq_ns, 400000);
	assert_int_equal(row->stats.max_ns, 3000000);
	assert_in_range(row->stats.p50_ns, 984375, 1015625);
	assert_in_range(row->stats.p99_ns, 2953125, 3000000);
	assert_int_equal(row->waiters_max, 3);
	assert_int_equal(row->site_cnt, 1);
	site = &row->sites[0];
	assert_int_equal(site->frame_cnt, 3);
	assert_int_equal(site->api, 0);
	assert_string_equal(site->frames[1].function, "update_ledger");
	assert_string_equal(site->frames[2].function, "thread_main");
	assert_int_equal(site->stack_flags, HU_STACK_COMPLETE);
	assert_int_equal(site->stats.waits, 2);
	assert_int_equal(f->report->locks, 1);
	assert_int_equal(f->report->waits, 2);
	assert_int_equal(f->report->sleeps, 4);
	assert_int_equal(f->report->wait_ns, 4000000);
	assert_int_equal(f->report->processes, 1);
	assert_int_equal(f->report->coverage.events, 2);
	assert_int_equal(f->report->coverage.stacks_incomplete, 0);
}

static void test_symbol_and_offset(void **state)
{
	struct fixture *f = *state;

	add(f, &catalog.lock, MUTEX_CATALOG, 1000);
	assert_string_equal(only_row(f)->name, "catalog+0x10");
}

static void test_heap(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_t *lock = malloc(sizeof(*lock));
	const struct lock_row *row;

	assert_non_null(lock);
	add(f, lock, MUTEX_CATALOG, 1000);
	row = only_row(f);
	assert_string_equal(row->name, "lock in read_catalog");
	assert_string_equal(row->module, "");
	assert_int_equal(row->module_offset, 0);
	assert_int_equal(row->kind, LOCK_MUTEX);
	free(lock);
}

/* Of frames that may be missing nothing is concluded: no caller's name, no incomplete guess. */
static void test_frame_pointers_prove_nothing(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_t *lock = malloc(sizeof(*lock));
	const struct lock_row *row;

	assert_non_null(lock);
	add(f, lock, GUESSED, 1000);
	row = only_row(f);
	assert_string_equal(row->name, "");
	assert_int_equal(row->kind, LOCK_MUTEX); /* the leaf is certain */
	assert_true(row->sites[0].stack_flags & HU_STACK_FRAMEPTR);
	free(lock);
}

static void test_sites_of_one_lock(void **state)
{
	struct fixture *f = *state;
	const struct locks_report *r;
	const struct lock_row *row;

	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	add(f, &ledger_lock, MUTEX_CATALOG, 5000);
	add(f, &ledger_lock, MUTEX_LEDGER, 2000);
	row = only_row(f);
	assert_int_equal(row->stats.waits, 3);
	assert_int_equal(row->site_cnt, 2);
	assert_int_equal(row->sites[0].stats.wait_ns, 5000); /* most wait time first */
	assert_string_equal(row->sites[0].frames[1].function, "read_catalog");
	assert_int_equal(row->sites[1].stats.wait_ns, 3000);
	assert_int_equal(row->sites[1].stats.waits, 2);
	f->query.by = BY_SITE;
	r = build(f);
	assert_int_equal(r->row_cnt, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(r->row[i].site_cnt, 1);
		assert_string_equal(r->row[i].name, "ledger_lock");
	}
	assert_int_equal(r->row[0].stats.wait_ns, 5000);
	assert_int_equal(r->row[1].stats.wait_ns, 3000);
	assert_int_equal(r->waits, 3);
}

/* Another process that runs this program: the same names, at the same addresses here. */
static void add_in(struct fixture *f, uint64_t start, const void *word, enum stack_id stack,
		   uint64_t ns)
{
	struct hu_wait_record rec = wait_for(word, stack, ns);

	rec.proc_start = start;
	assert_int_equal(aggregate__wait(&f->aggregate, &rec), 0);
}

/* By call chain, wherever the locks are; but not across kinds. */
static void test_by_site(void **state)
{
	struct fixture *f = *state;
	const struct locks_report *r;
	const struct lock_row *row;

	f->query.by = BY_SITE;
	for (uint64_t start = START; start < START + 4; start++) {
		add_in(f, start, &ledger_lock, MUTEX_LEDGER, 1000 * start);
		add_in(f, start, &catalog.lock, MUTEX_LEDGER, 100);
		add_in(f, start, &prices.__data.__writers_futex, RWLOCK_CATALOG, 10);
	}
	add_in(f, START, &ledger_lock, MUTEX_CATALOG, 5);
	r = build(f);
	assert_int_equal(r->row_cnt, 3);
	assert_int_equal(r->rows, 3);
	assert_int_equal(r->locks, 12);
	assert_int_equal(r->processes, 4);
	assert_int_equal(r->waits, 13);
	row = &r->row[0];
	assert_int_equal(row->locks, 8);
	assert_int_equal(row->processes, 4);
	assert_int_equal(row->kind, LOCK_MUTEX);
	assert_int_equal(row->stats.waits, 8);
	assert_int_equal(row->stats.wait_ns, 5000 + 6000 + 7000 + 8000 + 400);
	assert_int_equal(row->stats.max_ns, 8000);
	assert_in_range(row->stats.p50_ns, 98, 102); /* half of them are of 100 ns */
	assert_in_range(row->stats.p99_ns, 7800, 8000);
	assert_int_equal(row->address, 0);
	assert_string_equal(row->name, "lock in update_ledger");
	assert_int_equal(row->site_cnt, 1);
	assert_int_equal(row->sites[0].stats.waits, 8);
	assert_int_equal(row->sites[0].stats.p99_ns, row->stats.p99_ns);
	assert_string_equal(row->sites[0].frames[1].function, "update_ledger");
	/* The same variable in each. */
	row = &r->row[1];
	assert_int_equal(row->kind, LOCK_RWLOCK);
	assert_int_equal(row->locks, 4);
	assert_string_equal(row->name, "prices");
	/* One lock is as known as ever. */
	row = &r->row[2];
	assert_int_equal(row->locks, 1);
	assert_int_equal(row->address, (uintptr_t)&ledger_lock);
	assert_string_equal(row->name, "ledger_lock");
	assert_string_equal(row->sites[0].frames[1].function, "read_catalog");
}

/* Waits at the same place for a lock and for work are not one thing. */
static void test_by_site_without_stacks(void **state)
{
	struct fixture *f = *state;
	const struct locks_report *r;

	f->query.by = BY_SITE;
	add(f, &ledger_lock, STACK_NONE, 100);
	add(f, &catalog.lock, STACK_NONE, 200);
	r = build(f);
	assert_int_equal(r->row_cnt, 2); /* nothing says that it was in one place */
	assert_string_equal(r->row[1].name, "ledger_lock");
}

static void test_moved_waits(void **state)
{
	struct fixture *f = *state;
	struct hu_wait_record rec = wait_for(&ledger_lock, MUTEX_LEDGER, 100);

	add(f, &ledger_lock, MUTEX_LEDGER, 100);
	rec.flags |= HU_WAIT_REQUEUED;
	assert_int_equal(aggregate__wait(&f->aggregate, &rec), 0);
	assert_int_equal(only_row(f)->stats.requeued, 1);
	assert_int_equal(only_row(f)->sites[0].stats.requeued, 1);
}

/* What all processes of a row have in common. */
static void test_cgroup(void **state)
{
	struct fixture *f = *state;
	struct agg_process *p;

	f->query.by = BY_SITE;
	for (uint64_t start = START; start < START + 2; start++) {
		add_in(f, start, &ledger_lock, MUTEX_LEDGER, 100);
		p = aggregate__find(&f->aggregate, getpid(), start);
		p->cgroup = strdup("/shop.slice");
		assert_non_null(p->cgroup);
	}
	assert_string_equal(only_row(f)->cgroup, "/shop.slice");
	p->cgroup[1] = 'c';
	assert_string_equal(only_row(f)->cgroup, "");
	free(p->cgroup);
	p->cgroup = NULL;
	assert_string_equal(only_row(f)->cgroup, "");
	f->query.by = BY_LOCK;
	assert_int_equal(build(f)->row_cnt, 2);
}

/* Both words of a rwlock are one lock, at the address of the object. */
static void test_words_of_one_object(void **state)
{
	struct fixture *f = *state;
	const struct lock_row *row;

	add(f, &prices.__data.__wrphase_futex, RWLOCK_CATALOG, 1000);
	add(f, &prices.__data.__writers_futex, RWLOCK_CATALOG, 2000);
	row = only_row(f);
	assert_string_equal(row->name, "prices");
	assert_int_equal(row->kind, LOCK_RWLOCK);
	assert_int_equal(row->address, (uintptr_t)&prices);
	assert_int_equal(row->stats.waits, 2);
	assert_int_equal(row->site_cnt, 2);
}

/* What a wait without a usable stack is for, is known from others for the same word. */
static void test_unknown_joins_known(void **state)
{
	struct fixture *f = *state;
	const struct lock_row *row;

	for (int i = 0; i < 2; i++) {
		add(f, &prices.__data.__writers_futex, i ? RWLOCK_CATALOG : STACK_NONE, 1000);
	}
	row = only_row(f);
	assert_int_equal(row->kind, LOCK_RWLOCK);
	assert_int_equal(row->address, (uintptr_t)&prices);
	assert_int_equal(row->stats.waits, 2);
	assert_int_equal(row->site_cnt, 2);
	assert_int_equal(f->report->coverage.stacks_incomplete, 1);
}

static void test_incomplete_stack(void **state)
{
	struct fixture *f = *state;

	add(f, &ledger_lock, CUT, 1000);
	add(f, &ledger_lock, CUT, 1000);
	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	assert_int_equal(only_row(f)->stats.waits, 3);
	assert_int_equal(f->report->coverage.stacks_incomplete, 2);
}

static void test_idle_is_apart(void **state)
{
	struct fixture *f = *state;
	const struct locks_report *r;

	add(f, &work_cond.__data.__g_signals[1], COND_MAIN, 9000000);
	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	r = build(f);
	assert_int_equal(r->row_cnt, 1);
	assert_string_equal(r->row[0].name, "ledger_lock");
	assert_int_equal(r->locks, 1);
	assert_int_equal(r->waits, 1);
	assert_int_equal(r->wait_ns, 1000);
	assert_int_equal(r->idle_waits, 1);
	assert_int_equal(r->idle_wait_ns, 9000000);
	assert_false(r->idle);
	f->query.idle = true;
	r = build(f);
	assert_true(r->idle);
	assert_int_equal(r->row_cnt, 2);
	assert_string_equal(r->row[0].name, "work_cond");
	assert_int_equal(r->row[0].kind, LOCK_CONDVAR);
	assert_int_equal(r->row[0].address, (uintptr_t)&work_cond);
	assert_int_equal(r->locks, 1); /* totals say the same */
	assert_int_equal(r->wait_ns, 1000);
	assert_int_equal(r->idle_wait_ns, 9000000);
}

static void test_by_process(void **state)
{
	struct fixture *f = *state;
	struct hu_wait_record other = wait_for(&ledger_lock, MUTEX_LEDGER, 7000);
	const struct locks_report *r;

	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	add(f, &catalog.lock, MUTEX_CATALOG, 2000);
	add(f, &work_cond.__data.__g_signals[0], COND_MAIN, 90000);
	other.proc_start = START + 1;
	assert_int_equal(aggregate__wait(&f->aggregate, &other), 0);
	assert_int_equal(build(f)->row_cnt, 3); /* by lock: one address in two processes is two */
	f->query.by = BY_PROCESS;
	r = build(f);
	assert_int_equal(r->by, BY_PROCESS);
	assert_int_equal(r->row_cnt, 2);
	assert_int_equal(r->row[0].process->start, START + 1);
	assert_int_equal(r->row[0].stats.wait_ns, 7000);
	assert_int_equal(r->row[1].process->start, START);
	assert_int_equal(r->row[1].stats.wait_ns, 3000);
	assert_int_equal(r->row[1].stats.waits, 2);
	assert_int_equal(r->row[1].stats.max_ns, 2000);
	assert_int_equal(r->row[1].site_cnt, 2);
	assert_int_equal(r->row[1].address, 0);
	assert_int_equal(r->row[1].locks, 2);
	assert_int_equal(r->row[0].locks, 1);
	assert_int_equal(r->locks, 3);
	assert_int_equal(r->processes, 2);
	assert_int_equal(r->idle_wait_ns, 90000);
	f->query.idle = true;
	r = build(f);
	assert_int_equal(r->row_cnt, 3);
	assert_true(lock_kind__idle(r->row[0].kind));
	assert_int_equal(r->row[0].stats.wait_ns, 90000);
}

static void check_order(struct fixture *f, enum locks_sort sort, const char *const names[3])
{
	const struct locks_report *r;

	f->query.sort = sort;
	r = build(f);
	assert_int_equal(r->row_cnt, 3);
	for (int i = 0; i < 3; i++)
		if (strcmp(r->row[i].name, names[i]))
			fail_msg("sort %d, row %d: %s, not %s", sort, i, r->row[i].name, names[i]);
}

static void test_sorting(void **state)
{
	struct fixture *f = *state;
	struct hu_wait_record rec;

	/* prices: most wait time; ledger_lock: most waits; catalog: longest, on average and p99. */
	for (int i = 0; i < 3; i++)
		add(f, &prices.__data.__writers_futex, RWLOCK_CATALOG, 4000000);
	for (int i = 0; i < 10; i++)
		add(f, &ledger_lock, MUTEX_LEDGER, 1000000);
	add(f, &catalog.lock, MUTEX_CATALOG, 9000000);
	rec = wait_for(&ledger_lock, MUTEX_LEDGER, 500);
	rec.depth = 40;
	aggregate__wait(&f->aggregate, &rec);
	rec = wait_for(&catalog.lock, MUTEX_CATALOG, 500);
	rec.flags |= HU_WAIT_ONGOING;
	aggregate__pending(&f->aggregate, &rec);
	check_order(f, SORT_WAIT, (const char *[]){ "prices", "ledger_lock", "catalog+0x10" });
	check_order(f, SORT_WAITS, (const char *[]){ "ledger_lock", "prices", "catalog+0x10" });
	check_order(f, SORT_MAX, (const char *[]){ "catalog+0x10", "prices", "ledger_lock" });
	check_order(f, SORT_AVG, (const char *[]){ "catalog+0x10", "prices", "ledger_lock" });
	check_order(f, SORT_P99, (const char *[]){ "catalog+0x10", "prices", "ledger_lock" });
	/* Who waits now comes before who once did. */
	check_order(f, SORT_WAITERS, (const char *[]){ "catalog+0x10", "ledger_lock", "prices" });
}

static void test_rows_are_cut(void **state)
{
	static pthread_mutex_t many[50];
	struct fixture *f = *state;
	const struct locks_report *r;

	for (int i = 0; i < 50; i++)
		add(f, &many[i], MUTEX_LEDGER, 1000 * (i + 1));
	f->query.rows = 2;
	r = build(f);
	assert_int_equal(r->row_cnt, 2);
	assert_int_equal(r->row[0].stats.wait_ns, 50000);
	assert_int_equal(r->row[1].stats.wait_ns, 49000);
	assert_int_equal(r->locks, 50);
	assert_int_equal(r->waits, 50);
	assert_int_equal(r->wait_ns, 1000 * 50 * 51 / 2);
}

static void test_coverage(void **state)
{
	struct fixture *f = *state;
	const struct locks_coverage *c;

	for (int i = 0; i < HU_LOSS_CNT; i++)
		f->in.losses[i] = 1ULL << i;
	f->in.malformed = 1ULL << 40;
	f->in.futex_calls = true;
	f->aggregate.min_wait_ns = 500;
	add(f, &ledger_lock, MUTEX_LEDGER, 100);
	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	c = &build(f)->coverage;
	assert_int_equal(c->lost, 1ULL << HU_LOSS_STATE | 1ULL << HU_LOSS_SUM_FULL |
					  1ULL << HU_LOSS_MISSED | 1ULL << 40);
	assert_int_equal(c->inferred, 1ULL << HU_LOSS_INFERRED);
	assert_int_equal(c->lost_ns, 1ULL << HU_LOSS_SUM_FULL_NS);
	assert_int_equal(c->depth_unknown, 1ULL << HU_LOSS_LOCK_FULL);
	assert_int_equal(c->malformed, 1ULL << 40);
	/* Each of these counters tells of something that nobody else does. */
	assert_true(c->records_lost & 1ULL << HU_LOSS_RECORD);
	assert_true(c->records_lost & 1ULL << HU_LOSS_PROC_FULL);
	assert_true(c->stacks_lost & 1ULL << HU_LOSS_STACK_FULL);
	assert_true(c->stacks_lost & 1ULL << HU_LOSS_STACK_FAIL);
	assert_int_equal(c->events, 2);
	assert_int_equal(c->below_min, 1);
	assert_int_equal(c->below_min_ns, 100);
	assert_int_equal(c->processes_unreadable, 0);
	assert_true(c->futex_calls);
}

static void test_ongoing_and_waiters(void **state)
{
	struct fixture *f = *state;
	struct hu_wait_record rec = wait_for(&ledger_lock, MUTEX_LEDGER, 8000);
	const struct lock_row *row;

	f->aggregate.last = true;
	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	rec.flags |= HU_WAIT_ONGOING;
	for (int i = 0; i < 3; i++)
		aggregate__pending(&f->aggregate, &rec);
	row = only_row(f);
	assert_int_equal(row->waiters_now, 3);
	assert_int_equal(row->stats.ongoing, 3);
	assert_int_equal(row->stats.waits, 4);
	assert_int_equal(row->stats.max_ns, 8000);
	assert_in_range(row->stats.p99_ns, 980, 1020); /* of the one that is over */
	assert_int_equal(f->report->ongoing, 3);
}

static void test_summarized(void **state)
{
	struct fixture *f = *state;
	struct hu_sum_key key = {
		.proc_start = START,
		.uaddr = (uintptr_t)&ledger_lock,
		.tgid = getpid(),
		.op = HU_OP_WAIT,
	};
	struct hu_sum sum = {
		.waits = 10, .sleeps = 11, .blocked_ns = 9000, .runq_ns = 100, .max_ns = 4000
	};
	const struct lock_row *row;

	sum.stack_id = MUTEX_LEDGER;
	aggregate__sum(&f->aggregate, &key, &sum);
	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	row = only_row(f);
	assert_int_equal(row->stats.waits, 11);
	assert_int_equal(row->stats.summarized, 10);
	assert_int_equal(row->stats.wait_ns, 10100);
	assert_int_equal(row->stats.max_ns, 4000);
	assert_int_equal(row->kind, LOCK_MUTEX);
	assert_string_equal(row->name, "ledger_lock");
	assert_int_equal(f->report->coverage.summarized, 10);
	assert_int_equal(f->report->coverage.summarized_ns, 9100);
}

static int give_calls(struct source *s, source_calls_fn fn, void *ctx)
{
	struct fixture *f = (struct fixture *)((char *)s - offsetof(struct fixture, source));
	struct hu_calls calls = { .waits = 1,
				  .again = 2,
				  .timedout = 3,
				  .interrupted = 4,
				  .wakes = 5,
				  .wakes_none = 6,
				  .requeues = 7 };
	struct hu_call_key other = f->call_key;
	int err = fn(ctx, &f->call_key, &calls);

	if (!err)
		err = fn(ctx, &f->call_key, &calls); /* a second CPU's */
	other.uaddr += 4096;			     /* a word that nobody slept on */
	if (!err)
		err = fn(ctx, &other, &calls);
	other = f->call_key;
	other.tgid++; /* a process that never waited */
	return err ? err : fn(ctx, &other, &calls);
}

static const struct source_ops calls_ops = { .calls = give_calls };

static void test_futex_calls(void **state)
{
	struct fixture *f = *state;
	const struct lock_row *row;

	add(f, &ledger_lock, MUTEX_LEDGER, 1000);
	f->source.ops = &calls_ops;
	f->call_key = (struct hu_call_key){
		.proc_start = START,
		.uaddr = (uintptr_t)&ledger_lock,
		.tgid = getpid(),
	};
	f->in.source = &f->source;
	assert_false(only_row(f)->has_calls); /* not asked for */
	f->in.futex_calls = true;
	row = only_row(f);
	assert_true(row->has_calls);
	assert_int_equal(row->calls.waits, 2);
	assert_int_equal(row->calls.again, 4);
	assert_int_equal(row->calls.timedout, 6);
	assert_int_equal(row->calls.interrupted, 8);
	assert_int_equal(row->calls.wakes, 10);
	assert_int_equal(row->calls.wakes_none, 12);
	assert_int_equal(row->calls.requeues, 14);
	f->query.by = BY_PROCESS;
	row = only_row(f);
	assert_true(row->has_calls);
	assert_int_equal(row->calls.wakes, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty),
		TEST(test_symbol),
		TEST(test_symbol_and_offset),
		TEST(test_heap),
		TEST(test_frame_pointers_prove_nothing),
		TEST(test_sites_of_one_lock),
		TEST(test_words_of_one_object),
		TEST(test_unknown_joins_known),
		TEST(test_incomplete_stack),
		TEST(test_idle_is_apart),
		TEST(test_by_process),
		TEST(test_sorting),
		TEST(test_rows_are_cut),
		TEST(test_coverage),
		TEST(test_by_site),
		TEST(test_by_site_without_stacks),
		TEST(test_moved_waits),
		TEST(test_cgroup),
		TEST(test_ongoing_and_waiters),
		TEST(test_summarized),
		TEST(test_futex_calls),
	};

	/* Called, so that they are no dead code. */
	update_ledger();
	read_catalog();
	thread_main();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
