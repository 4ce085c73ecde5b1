// SPDX-License-Identifier: GPL-2.0-only
/* Threads' lives from records: who is counted where, and what joins, detaches and ends make of each other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/aggregate/lifetimes.h"

#define TGID  100
#define START 7
#define MS    1000000ULL

struct fixture {
	struct aggregate aggregate;
	struct lifetimes l;
	uint64_t now_ns;
};

static int no_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	return -ENOENT;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct agg_hooks hooks = { .stack = no_stack };

	aggregate__init(&f->aggregate, &hooks, 0);
	lifetimes__init(&f->l, &f->aggregate);
	f->now_ns = 1000 * MS;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lifetimes__free(&f->l);
	aggregate__free(&f->aggregate);
	free(f);
	return 0;
}

#define HEAD(f)                            \
	{                                  \
		.ts_ns = (f)->now_ns += MS \
	}

static void born_at(struct fixture *f, uint32_t tid, uint64_t stack_id, uint32_t flags)
{
	struct hu_birth_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = tid,
		.proc_start = START,
		.thread_start = START + tid,
		.stack_id = stack_id,
		.tp = 0x10000ULL * tid,
		.start_routine = 0x4000,
		.creator_tid = TGID,
		.flags = flags,
		.comm = "shop",
	};

	assert_int_equal(lifetimes__birth(&f->l, &rec), 0);
}

static void born(struct fixture *f, uint32_t tid)
{
	born_at(f, tid, 1, HU_BIRTH_PTHREAD);
}

static void dies_by(struct fixture *f, uint32_t tid, uint32_t flags, int exit_code)
{
	struct hu_death_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = tid,
		.proc_start = START,
		.thread_start = tid == TGID ? START : START + tid,
		.cpu_ns = MS / 2,
		.runq_ns = MS / 4,
		.exit_code = exit_code,
		.flags = flags,
	};

	assert_int_equal(lifetimes__death(&f->l, &rec), 0);
}

static void dies(struct fixture *f, uint32_t tid)
{
	dies_by(f, tid, HU_DEATH_ITSELF, 0);
}

static void calls(struct fixture *f, uint32_t caller, uint16_t what, uint32_t tid, int64_t deadline)
{
	struct hu_pthread_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = caller,
		.proc_start = START,
		.thread = 0x10000ULL * tid,
		.what = what,
		.deadline_ns = deadline,
	};

	assert_int_equal(lifetimes__call(&f->l, &rec), 0);
}

static struct lt_process *shop(struct fixture *f)
{
	return lifetimes__find(&f->l, TGID, START);
}

static void assert_counts(struct fixture *f, uint64_t created, uint64_t exited, uint32_t live,
			  uint32_t unjoined)
{
	const struct lt_process *p = shop(f);
	uint64_t ended = 0, site_unjoined = 0, site_live = 0;

	for (int i = 0; i < LT_END_CNT; i++)
		ended += p->all.ended[i];
	for (const struct lt_site *s = p->sites; s; s = s->next) {
		site_unjoined += s->unjoined;
		site_live += s->live;
	}
	assert_int_equal(p->all.born, created);
	assert_int_equal(ended, exited);
	assert_int_equal(p->live, live);
	assert_int_equal(p->unjoined, unjoined);
	assert_int_equal(site_unjoined, unjoined);
	assert_int_equal(site_live + (p->first_ended ? 0 : 1), live);
}

static void test_join_before_and_after_the_end(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	calls(f, TGID, HU_PTHREAD_JOIN, 1, 0);
	assert_counts(f, 1, 0, 2, 0);
	dies(f, 1);
	assert_counts(f, 1, 1, 1, 0);
	born(f, 2);
	dies(f, 2);
	assert_counts(f, 2, 2, 1, 1);
	calls(f, TGID, HU_PTHREAD_JOIN, 2, 0);
	assert_counts(f, 2, 2, 1, 0);
	assert_int_equal(shop(f)->all.joined, 2);
	assert_int_equal(f->l.all.unmatched, 0);
	/* The same call, told by an inner function. */
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 2, 0);
	assert_int_equal(f->l.all.unmatched, 0);
	calls(f, TGID, HU_PTHREAD_JOIN, 99, 0);
	assert_int_equal(f->l.all.unmatched, 1);
}

static void test_detach(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	calls(f, TGID, HU_PTHREAD_DETACH, 1, 0);
	dies(f, 1);
	born(f, 2);
	dies(f, 2);
	calls(f, TGID, HU_PTHREAD_DETACH, 2, 0);
	born_at(f, 3, 1, HU_BIRTH_PTHREAD | HU_BIRTH_DETACHED);
	dies(f, 3);
	assert_counts(f, 3, 3, 1, 0);
	assert_int_equal(shop(f)->all.detached, 2);
}

/* clone(2) itself: nobody joins those. */
static void test_without_library(void **state)
{
	struct fixture *f = *state;

	born_at(f, 1, 1, 0);
	dies(f, 1);
	assert_counts(f, 1, 1, 1, 0);
	assert_false(shop(f)->probed);
}

static void test_joiner_that_is_cancelled(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	born(f, 2);
	calls(f, 2, HU_PTHREAD_JOIN, 1, 0);
	calls(f, TGID, HU_PTHREAD_CANCEL, 2, 0);
	dies(f, 2);
	assert_int_equal(shop(f)->all.ended[LT_CANCELLED], 1);
	dies(f, 1);
	assert_counts(f, 2, 2, 1, 2);
}

/* A join came back, and its caller ended, before the end of who was joined was told. */
static void test_joiner_that_is_quick(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	born(f, 2);
	calls(f, 2, HU_PTHREAD_JOIN, 1, 0);
	dies(f, 2);
	dies(f, 1);
	assert_counts(f, 2, 2, 1, 1); /* 2 alone */
	born(f, 3);
	calls(f, TGID, HU_PTHREAD_JOIN, 3, 0);
	calls(f, TGID, HU_PTHREAD_JOIN, 2, 0);
	dies(f, 3);
	assert_counts(f, 3, 3, 1, 0);
}

static void test_timed_join(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 1, f->now_ns + 2 * MS);
	f->now_ns += 100 * MS;
	dies(f, 1);
	assert_counts(f, 1, 1, 1, 1); /* too late */
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 1, f->now_ns + 2 * MS);
	assert_counts(f, 1, 1, 1, 0);
	born(f, 2);
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 2, f->now_ns + 100 * MS);
	dies(f, 2);
	assert_counts(f, 2, 2, 1, 0);
}

/* Refused by the libraries: oneself, and one's own joiner. */
static void test_joins_in_vain(void **state)
{
	struct fixture *f = *state;

	born(f, 1);
	born(f, 2);
	calls(f, 1, HU_PTHREAD_JOIN, 1, 0);
	calls(f, 1, HU_PTHREAD_JOIN, 2, 0);
	calls(f, 2, HU_PTHREAD_JOIN, 1, 0);
	dies(f, 2);
	dies(f, 1);
	assert_counts(f, 2, 2, 1, 1);
}

/* A thread pointer that comes again: its last owner was freed. */
static void test_reused_descriptor(void **state)
{
	struct fixture *f = *state;
	struct hu_birth_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = 2,
		.proc_start = START,
		.thread_start = 99,
		.tp = 0x10000,
		.flags = HU_BIRTH_PTHREAD,
	};

	born(f, 1);
	dies(f, 1);
	assert_counts(f, 1, 1, 1, 1);
	assert_int_equal(lifetimes__birth(&f->l, &rec), 0);
	assert_counts(f, 2, 1, 2, 0);
}

/* … even if its end has not been told, as its joiner was quicker. */
static void test_reused_before_the_end_is_told(void **state)
{
	struct fixture *f = *state;
	struct hu_birth_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = 2,
		.proc_start = START,
		.thread_start = START + 2,
		.tp = 0x10000,
		.flags = HU_BIRTH_PTHREAD,
	};

	born(f, 1);
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 1, f->now_ns + 1000 * MS);
	assert_int_equal(lifetimes__birth(&f->l, &rec), 0);
	calls(f, TGID, HU_PTHREAD_TIMEDJOIN, 1,
	      f->now_ns + 2 * MS); /* of 2, which has its descriptor */
	dies(f, 1);
	assert_counts(f, 2, 1, 2, 0);
	f->now_ns += 100 * MS;
	dies(f, 2);
	assert_counts(f, 2, 2, 1, 1);
}

static void test_how_they_end(void **state)
{
	struct fixture *f = *state;

	for (uint32_t tid = 1; tid <= 6; tid++)
		born(f, tid);
	dies_by(f, 1, HU_DEATH_ITSELF | HU_DEATH_EXIT_CALLED, 0);
	dies_by(f, 2, HU_DEATH_ITSELF | HU_DEATH_EXIT_CALLED | HU_DEATH_CANCELLED, 0);
	dies_by(f, 3, HU_DEATH_ITSELF | HU_DEATH_GROUP, 9); /* just before the signal */
	dies_by(f, 4, HU_DEATH_GROUP, 9);
	dies_by(f, 5, HU_DEATH_GROUP, 0x300);
	dies_by(f, TGID, HU_DEATH_GROUP | HU_DEATH_LAST, 0x300);
	dies_by(f, 6, HU_DEATH_GROUP, 0x300); /* another CPU was slower */
	assert_int_equal(shop(f)->all.ended[LT_EXITED], 1);
	assert_int_equal(shop(f)->all.ended[LT_CANCELLED], 1);
	assert_int_equal(shop(f)->all.ended[LT_RETURNED], 1);
	assert_int_equal(shop(f)->all.ended[LT_KILLED], 1);
	assert_int_equal(shop(f)->all.ended[LT_WITH_PROCESS], 2);
	assert_int_equal(shop(f)->unjoined, 3);
	assert_true(shop(f)->over);
	assert_int_equal(shop(f)->exit_code, 0x300);
	assert_int_equal(shop(f)->live, 0);
	assert_int_equal(f->l.live, 0);
	assert_int_equal(f->l.unjoined, 0);
}

static void test_exec(void **state)
{
	struct fixture *f = *state;
	struct hu_proc_record rec = { .hdr = { .kind = HU_REC_EXEC },
				      .tgid = TGID,
				      .tid = TGID,
				      .proc_start = START,
				      .comm = "other" };
	struct lt_process *old;

	born(f, 1);
	born(f, 2);
	old = shop(f);
	dies_by(f, 1, HU_DEATH_EXEC, 0);
	rec.hdr.ts_ns = f->now_ns;
	assert_int_equal(lifetimes__process(&f->l, &rec), 0);
	assert_true(old->over && old->by_exec);
	assert_int_equal(old->all.ended[LT_EXEC], 2);
	assert_ptr_not_equal(shop(f), old);
	assert_int_equal(shop(f)->live, 1);
	assert_string_equal(shop(f)->comm, "other");
	assert_int_equal(f->l.live, 1);
}

static void alive(struct fixture *f, uint32_t tid, uint64_t born_ns)
{
	struct hu_alive_record rec = {
		.hdr = HEAD(f),
		.tgid = TGID,
		.tid = tid,
		.proc_start = START,
		.thread_start = tid == TGID ? START : START + tid,
		.born_ns = born_ns,
		.tp = 0x10000ULL * tid,
		.cpu_ns = 5,
		.comm = "worker",
		.leader = "shop",
	};

	assert_int_equal(lifetimes__alive(&f->l, &rec), 0);
}

static void test_older_threads(void **state)
{
	struct fixture *f = *state;
	struct lt_descriptor d[] = {
		{ .tp = 0x10000, .tid = 1, .start_routine = 0x5000 },
		{ .tp = 0x20000, .tid = 2, .start_routine = 0x5000, .detached = true },
		{ .tp = 0x30000, .tid = 0, .start_routine = 0x6000 },
		{ .tp = 0x40000, .tid = 0, .start_routine = 0x6000, .detached = true },
	};

	lifetimes__pass_begin(&f->l, f->now_ns);
	alive(f, TGID, 1);
	alive(f, 1, 2);
	alive(f, 2, 3);
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	assert_counts(f, 0, 0, 3, 0);
	assert_int_equal(lifetimes__descriptors(&f->l, shop(f), d, 4, true), 0);
	assert_counts(f, 0, 0, 3, 1);
	assert_true(shop(f)->zombies_known);
	dies(f, 1);
	dies(f, 2);
	assert_counts(f, 0, 2, 1, 2);
	/* Joined meanwhile, and the record was lost. */
	d[0].tid = 0;
	assert_int_equal(lifetimes__descriptors(&f->l, shop(f), d, 1, true), 0);
	assert_counts(f, 0, 2, 1, 1);
	calls(f, TGID, HU_PTHREAD_JOIN, 1, 0);
	assert_counts(f, 0, 2, 1, 0);
}

/* A pass meets a thread before the record of its birth is read. */
static void test_pass_before_birth(void **state)
{
	struct fixture *f = *state;

	lifetimes__pass_begin(&f->l, f->now_ns);
	alive(f, TGID, 1);
	alive(f, 1, 2);
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	born(f, 1);
	assert_counts(f, 1, 0, 2, 0);
	dies(f, 1);
	assert_counts(f, 1, 1, 1, 1);
}

static void test_lost_records(void **state)
{
	struct fixture *f = *state;
	struct hu_life_key key = { .proc_start = START, .tgid = TGID };
	struct hu_life_sum sum = { .born = 10, .died = 6 };

	born(f, 1);
	born(f, 2);
	born(f, 3);
	dies(f, 50); /* its birth was among the lost */
	assert_int_equal(lifetimes__lost(&f->l, &key, &sum), 0);
	f->now_ns += MS;
	lifetimes__pass_begin(&f->l, f->now_ns);
	alive(f, TGID, 1);
	alive(f, 3, 2); /* the ends of 1 and 2 were among the lost */
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	assert_int_equal(shop(f)->all.born, 13);
	assert_int_equal(shop(f)->all.ended[LT_UNSEEN], 7);
	assert_int_equal(shop(f)->live, 2);
	assert_int_equal(f->l.all.lost, 16);
	/* Nothing is counted twice. */
	lifetimes__pass_begin(&f->l, f->now_ns);
	alive(f, TGID, 1);
	alive(f, 3, 2);
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	assert_int_equal(shop(f)->all.born, 13);
	assert_int_equal(shop(f)->all.ended[LT_UNSEEN], 7);
}

/* The kernel counts the end of the first thread among those without a record; here it is the process's, not a thread's. */
static void test_lost_records_of_all(void **state)
{
	struct fixture *f = *state;
	struct hu_life_key key = { .proc_start = START, .tgid = TGID };
	struct hu_life_sum sum = { .born = 10, .died = 14 };

	alive(f, TGID, 1);
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	born(f, 1);
	born(f, 2);
	born(f, 3);
	assert_int_equal(lifetimes__lost(&f->l, &key, &sum), 0);
	f->now_ns += MS;
	lifetimes__pass_begin(&f->l, f->now_ns);
	assert_int_equal(lifetimes__pass_end(&f->l), 0);
	assert_int_equal(f->l.all.born, 13);
	assert_int_equal(f->l.all.ended, 13);
}

static void test_intervals(void **state)
{
	struct fixture *f = *state;
	const struct lt_site *site;

	born(f, 1);
	born(f, 2);
	dies(f, 1);
	site = shop(f)->sites;
	assert_int_equal(site->now.born, 2);
	assert_int_equal(site->live_peak, 2);
	lifetimes__next(&f->l);
	assert_int_equal(site->now.born, 0);
	assert_int_equal(site->all.born, 2);
	assert_int_equal(site->live_before, 1);
	assert_int_equal(site->unjoined_before, 1);
	assert_int_equal(site->live_peak, 1);
	dies_by(f, 2, HU_DEATH_GROUP, 0);
	dies_by(f, TGID, HU_DEATH_GROUP | HU_DEATH_LAST, 0);
	assert_non_null(shop(f)); /* until it was reported */
	lifetimes__next(&f->l);
	assert_null(shop(f));
	assert_int_equal(f->l.process_cnt, 0);
	assert_int_equal(f->l.site_cnt, 0);
	assert_int_equal(f->l.ended_cnt, 0);
	assert_int_equal(f->l.by_tp.cnt, 0);
}

static void test_too_many_sites(void **state)
{
	struct fixture *f = *state;
	const struct lt_site *beyond = NULL;

	for (uint32_t tid = 1; tid <= LT_SITES_MAX + 10; tid++)
		born_at(f, tid + TGID, tid, HU_BIRTH_PTHREAD);
	assert_int_equal(shop(f)->site_cnt, LT_SITES_MAX + 1);
	for (const struct lt_site *s = shop(f)->sites; s; s = s->next)
		if (s->beyond)
			beyond = s;
	assert_non_null(beyond);
	assert_int_equal(beyond->live, 10);
}

static void test_too_many_unjoined(void **state)
{
	struct fixture *f = *state;

	for (uint32_t tid = 1; tid <= LT_UNJOINED_MAX + 10; tid++) {
		born(f, tid + TGID);
		dies(f, tid + TGID);
	}
	assert_int_equal(shop(f)->unjoined, LT_UNJOINED_MAX + 10);
	assert_int_equal(shop(f)->sites->forgotten, 10);
	assert_int_equal(f->l.ended_cnt, LT_UNJOINED_MAX);
}

static void test_blocked_time(void **state)
{
	struct lt_thread t = { .born_ns = 10, .cpu_ns = 20, .runq_ns = 30 };

	assert_int_equal(lt_thread__blocked_ns(&t, 110), 50);
	assert_int_equal(lt_thread__blocked_ns(&t, 40), 0); /* clocks differ a little */
	t.ended_ns = 70;
	assert_int_equal(lt_thread__blocked_ns(&t, 110), 10);
	t.born_ns = 0;
	assert_int_equal(lt_thread__blocked_ns(&t, 110), 0);
}

static void test_history(void **state)
{
	struct history h = { 0 };

	for (uint32_t i = 0; i < HISTORY_MAX; i++)
		history__add(&h, i, i);
	assert_int_equal(h.cnt, HISTORY_MAX);
	assert_int_equal(h.samples_a_span, 1);
	history__add(&h, HISTORY_MAX, 1000);
	assert_int_equal(h.cnt, HISTORY_MAX / 2 + 1);
	assert_int_equal(h.span[1].began_ns, 2);
	assert_int_equal(h.span[1].min, 2);
	assert_int_equal(h.span[1].max, 3);
	assert_int_equal(h.span[1].last, 3);
	for (uint32_t i = 0; i < 1000; i++)
		history__add(&h, HISTORY_MAX + 1 + i, 5);
	assert_true(h.cnt <= HISTORY_MAX);
	assert_int_equal(h.span[h.cnt - 1].min, 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_join_before_and_after_the_end),
		T(test_detach),
		T(test_without_library),
		T(test_joiner_that_is_cancelled),
		T(test_joiner_that_is_quick),
		T(test_timed_join),
		T(test_joins_in_vain),
		T(test_reused_descriptor),
		T(test_reused_before_the_end_is_told),
		T(test_how_they_end),
		T(test_exec),
		T(test_older_threads),
		T(test_pass_before_birth),
		T(test_lost_records),
		T(test_lost_records_of_all),
		T(test_intervals),
		T(test_too_many_sites),
		T(test_too_many_unjoined),
		cmocka_unit_test(test_blocked_time),
		cmocka_unit_test(test_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
