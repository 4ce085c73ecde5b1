// SPDX-License-Identifier: GPL-2.0-only
/*
 * How two looks become a snapshot: the iterator's passes are played from a script here; the memory that is read
 * meanwhile is this process's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/collect/snapshot.c"

/* ---- the iterator, played */

#define THREADS_MAX 8
#define PASSES_MAX  16

/* What a thread is like at a pass. */
struct moment {
	bool there;
	uint16_t flags;
	uint64_t start, switches;
	uint32_t execs;
};

struct play {
	struct hu_thread_record rec[THREADS_MAX]; /* what does not change */
	struct moment at[PASSES_MAX][THREADS_MAX];
	size_t cnt, passes;
	size_t full, brief;
	bool broken;
	void (*during)(struct play *p, size_t pass); /* what happens between two passes */
};

static struct play play;
static volatile uint32_t word[12] = { 0, 0, 0, 0, 2, 0, 777 };

static int send(const struct moment *now, const struct hu_thread_record *of, bool full,
		int (*fn)(void *ctx, const struct hu_record *rec), void *ctx)
{
	struct hu_thread_record rec = *of;
	struct hu_thread_brief brief = {
		.hdr = { .kind = HU_REC_BRIEF, .size = sizeof(brief) },
		.tgid = rec.tgid,
		.tid = rec.tid,
		.thread_start = now->start,
		.switches = now->switches,
		.flags = now->flags,
	};

	rec.hdr.kind = play.broken ? HU_REC_WAIT : HU_REC_THREAD;
	rec.hdr.size = sizeof(rec);
	rec.thread_start = now->start;
	rec.switches = now->switches;
	rec.flags |= now->flags;
	rec.execs = now->execs;
	return fn(ctx, full ? &rec.hdr : &brief.hdr);
}

int threads__pass(struct threads *t, const struct hu_snap_ask *ask,
		  int (*fn)(void *ctx, const struct hu_record *rec), void *ctx)
{
	bool full = ask->mode == HU_SNAP_FULL;
	size_t pass = play.passes++;
	int err = 0;

	assert_in_range(pass, 0, PASSES_MAX - 1);
	if (play.during)
		play.during(&play, pass);
	*(full ? &play.full : &play.brief) += 1;
	for (size_t i = 0; i < play.cnt && !err; i++)
		if (play.at[pass][i].there)
			err = send(&play.at[pass][i], &play.rec[i], full, fn, ctx);
	return err;
}

bool threads__clock_offset(const struct threads *t, int64_t *ret)
{
	*ret = 1000;
	return true;
}

/* ---- snapshots */

struct fixture {
	struct snapshot_config cfg;
	struct known_names known;
	struct snapshot *s;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&play, 0, sizeof(play));
	word[4] = 2;
	if (!f || known__renew(&f->known))
		return -1;
	f->cfg.known = &f->known;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	snapshot__free(f->s);
	known__free(&f->known);
	free(f);
	return 0;
}

/* A thread of this process that waits for word[4] all the time. */
static size_t add_thread(uint32_t tid)
{
	struct hu_thread_record *rec = &play.rec[play.cnt];

	rec->tgid = getpid();
	rec->tid = tid;
	rec->proc_start = 5;
	rec->off_ns = 40;
	rec->state = 1;
	rec->nr = SYS_futex;
	rec->arg[0] = (uintptr_t)&word[4];
	rec->arg[1] = HU_OP_WAIT | HU_FUTEX_PRIVATE;
	rec->arg[2] = 2;
	memset(rec->comm, 'x', sizeof(rec->comm)); /* no NUL in it */
	memset(rec->leader, 'y', sizeof(rec->leader));
	for (size_t i = 0; i < PASSES_MAX; i++)
		play.at[i][play.cnt] = (struct moment){ .there = true, .start = 6, .switches = 7 };
	return play.cnt++;
}

/* From this pass on it has run once more. */
static void run_at(size_t thread, size_t pass)
{
	for (size_t i = pass; i < PASSES_MAX; i++)
		play.at[i][thread].switches++;
}

static void change(size_t thread, size_t from, struct moment m)
{
	for (size_t i = from; i < PASSES_MAX; i++)
		play.at[i][thread] = m;
}

static const struct snapshot *take(struct fixture *f)
{
	snapshot__free(f->s);
	f->s = NULL;
	assert_int_equal(snapshot__take(&f->cfg, &f->s), 0);
	return f->s;
}

static int take_now(void *ctx)
{
	return take(ctx) ? 0 : 1;
}

/* … while a process has hung who read it before. */
static const struct snapshot *take_without(struct fixture *f, pid_t tgid)
{
	struct patience p = { .slow = { { .tgid = tgid, .hung = true } }, .cnt = 1 };
	int ret = -1;

	assert_int_equal(patience__run(&p, take_now, f, &ret), 0);
	assert_int_equal(ret, 0);
	return f->s;
}

static void test_nobody(void **state)
{
	const struct snapshot *s = take(*state);

	assert_int_equal(s->cnt, 0);
	assert_null(snapshot__thread(s, 1));
	assert_int_equal(play.passes, 2);
	snapshot__free(NULL);
}

static void test_still(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;
	const struct snap_thread *t;
	uint32_t owner;

	add_thread(102);
	add_thread(101);
	s = take(f);
	assert_int_equal(play.passes, 2);
	assert_int_equal(s->cnt, 2);
	assert_int_equal(s->thread[0].rec.tid, 101); /* sorted */
	t = snapshot__thread(s, 102);
	assert_ptr_equal(t, &s->thread[1]);
	assert_true(t->steady);
	assert_false(t->moved);
	assert_true(t->futex);
	assert_int_equal(t->call.op, HU_OP_WAIT);
	assert_int_equal(t->call.flags, HU_WAIT_OWNER_READ);
	assert_int_equal(t->call.word, 2);
	assert_true(snap_thread__near(t, 8, &owner));
	assert_int_equal(owner, 777);
	assert_int_equal(t->since_ns, 1040);
	assert_non_null(t->stack);
	assert_int_equal(strlen(t->rec.comm), HU_COMM_LEN - 1);
	assert_int_equal(strlen(t->process->comm), HU_COMM_LEN - 1);
	assert_int_equal(s->processes.cnt, 1);
	assert_int_equal(t->process->threads, 2);
	assert_int_equal(s->retried + s->gone + s->unreadable, 0);
	assert_true(s->taken_ns >= s->began_ns);
}

/* Passes: 0 full, 1 brief, 2 full, 3 brief, … */
static void test_moves_once(void **state)
{
	const struct snapshot *s;

	add_thread(101);
	run_at(add_thread(102), 1);
	s = take(*state);
	assert_int_equal(play.passes, 4);
	assert_int_equal(s->retried, 1);
	assert_true(snapshot__thread(s, 101)->steady);
	assert_true(snapshot__thread(s, 102)->steady);
	assert_int_equal(snapshot__thread(s, 102)->rec.switches, 8);
}

static void test_keeps_moving(void **state)
{
	const struct snapshot *s;
	size_t at = add_thread(101);

	for (size_t i = 0; i < PASSES_MAX; i++)
		run_at(at, i);
	s = take(*state);
	assert_int_equal(play.brief, TRIES + 1); /* and no more */
	assert_true(s->thread[0].moved);
	assert_false(s->thread[0].steady);
	assert_int_equal(s->retried, 1);
	assert_int_equal(s->gone, 0);
}

/* It was still at one look, and has moved at the next, which is for others. */
static void test_moves_late(void **state)
{
	const struct snapshot *s;

	run_at(add_thread(101), 3);
	run_at(add_thread(102), 1);
	s = take(*state);
	assert_true(snapshot__thread(s, 101)->steady); /* as it was at the third look */
	assert_int_equal(snapshot__thread(s, 101)->rec.switches, 8);
	assert_int_equal(play.brief, 3);
}

static void test_on_a_cpu(void **state)
{
	struct moment running = { .there = true, .flags = HU_THREAD_ON_CPU, .start = 6 };
	const struct snapshot *s;

	change(add_thread(101), 0, running);
	s = take(*state);
	assert_int_equal(play.passes, 2);
	assert_false(s->thread[0].steady);
	assert_false(s->thread[0].moved);
	assert_false(s->thread[0].futex);
	assert_non_null(s->thread[0].stack); /* a hint */
	/* At the second look only. */
	play.passes = play.brief = 0;
	play.cnt = 0;
	memset(play.rec, 0, sizeof(play.rec));
	change(add_thread(101), 1, running);
	s = take(*state);
	assert_true(play.passes > 2);
	assert_false(s->thread[0].steady);
}

/* Who ends, or has ended long ago, does not move: there is nothing to look at again. */
static void test_zombie(void **state)
{
	struct moment ends = {
		.there = true, .flags = HU_THREAD_EXITING, .start = 6, .switches = 7
	};
	const struct snapshot *s;

	change(add_thread(101), 0, ends);
	s = take(*state);
	assert_int_equal(play.passes, 2);
	assert_int_equal(s->cnt, 1);
	assert_false(s->thread[0].moved);
	assert_false(s->thread[0].steady);
	assert_null(s->thread[0].stack);
	assert_int_equal(s->gone, 0);
}

static void test_ends_meanwhile(void **state)
{
	struct moment ends = {
		.there = true, .flags = HU_THREAD_EXITING, .start = 6, .switches = 8
	};
	const struct snapshot *s;

	change(add_thread(101), 1, ends);
	s = take(*state);
	assert_int_equal(play.passes, 4);
	assert_int_equal(s->cnt, 1);
	assert_true(s->thread[0].rec.flags & HU_THREAD_EXITING);
	assert_false(s->thread[0].futex);
	assert_false(s->thread[0].steady || s->thread[0].moved);
}

static void test_gone(void **state)
{
	const struct snapshot *s;

	change(add_thread(101), 1, (struct moment){ 0 });
	add_thread(102);
	s = take(*state);
	assert_int_equal(s->cnt, 1);
	assert_int_equal(s->gone, 1);
	assert_null(snapshot__thread(s, 101));
	assert_non_null(snapshot__thread(s, 102));
}

/* It was still at one look, and is no more at the next one. */
static void test_gone_late(void **state)
{
	const struct snapshot *s;

	change(add_thread(101), 3, (struct moment){ 0 });
	run_at(add_thread(102), 1);
	s = take(*state);
	assert_int_equal(play.brief, 2);
	assert_null(snapshot__thread(s, 101));
	assert_int_equal(s->gone, 1);
}

/* Its number is another thread's by then. */
static void test_number_reused(void **state)
{
	change(add_thread(101), 1, (struct moment){ .there = true, .start = 9, .switches = 7 });
	assert_int_equal(take(*state)->cnt, 0);
	assert_int_equal(((struct fixture *)*state)->s->gone, 1);
	assert_int_equal(((struct fixture *)*state)->s->born, 1);
}

/* Threads that come meanwhile are for the next snapshot. */
static void test_comes_meanwhile(void **state)
{
	size_t at = add_thread(101);

	play.at[0][at].there = false;
	run_at(add_thread(102), 1);
	assert_int_equal(take(*state)->cnt, 1);
	assert_int_equal(((struct fixture *)*state)->s->born, 1);
}

static void test_exec(void **state)
{
	const struct snapshot *s;
	const struct snap_thread *t;

	add_thread(101);
	change(add_thread(102), 1,
	       (struct moment){ .there = true, .start = 6, .switches = 9, .execs = 1 });
	s = take(*state);
	t = snapshot__thread(s, 102);
	assert_int_equal(s->processes.cnt, 2);
	assert_ptr_not_equal(t->process, snapshot__thread(s, 101)->process);
	assert_int_equal(t->process->execs, 1);
	assert_non_null(t->process->names);
	assert_ptr_not_equal(t->process->names, snapshot__thread(s, 101)->process->names);
	assert_ptr_equal(t->stack->process, t->process);
	assert_int_equal(t->process->threads, 1);
}

static void hand_over(struct play *p, size_t pass)
{
	if (pass == 1)
		word[4] = 1;
}

/* The thread sleeps on, but the lock is no more what it was. */
static void test_word_changes(void **state)
{
	add_thread(101);
	play.during = hand_over;
	assert_false(take(*state)->thread[0].steady);
	assert_false(((struct fixture *)*state)->s->thread[0].moved);
}

/* Reads of its memory took too long before: no more of them, and it is said. */
static void test_locked(void **state)
{
	const struct snapshot *s;

	add_thread(101);
	add_thread(102);
	s = take_without(*state, getpid());
	assert_int_equal(s->unreadable, 1);
	assert_true(s->thread[0].process->locked);
	assert_null(s->thread[0].process->names);
	assert_null(s->thread[0].stack);
	assert_true(s->thread[0].steady);
}

static void test_no_such_process(void **state)
{
	const struct snapshot *s;

	add_thread(101);
	play.rec[0].tgid = 4194305; /* beyond PID_MAX_LIMIT */
	s = take(*state);
	assert_int_equal(s->unreadable, 1);
	assert_null(s->thread[0].stack);
	/* One that has ended has nothing to be read. */
	play.passes = 0;
	change(0, 0, (struct moment){ .there = true, .flags = HU_THREAD_EXITING, .start = 6 });
	assert_int_equal(take(*state)->unreadable, 0);
}

static void test_broken_record(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = NULL;

	add_thread(101);
	play.broken = true;
	assert_int_equal(snapshot__take(&f->cfg, &s), -EIO);
	assert_null(s);
}

static void test_many(void **state)
{
	static const uint32_t tids[] = { 7, 3, 99, 1, 50, 4, 98, 2 };
	const struct snapshot *s;

	for (size_t i = 0; i < THREADS_MAX; i++)
		play.rec[add_thread(tids[i])].tgid = i % 2 ? getpid() : 4194305;
	s = take(*state);
	for (size_t i = 1; i < s->cnt; i++) {
		const struct hu_thread_record *a = &s->thread[i - 1].rec, *b = &s->thread[i].rec;

		assert_true(a->tgid < b->tgid || (a->tgid == b->tgid && a->tid < b->tid));
		assert_ptr_equal(snapshot__thread(s, b->tid), &s->thread[i]);
	}
	assert_int_equal(s->processes.cnt, 2);
}

/* ---- what is known from look to look */

static void test_known(void **state)
{
	struct fixture *f = *state;
	struct sym_process *names;
	struct sym_stats stats;
	char *library = NULL;

	add_thread(101);
	names = take(f)->thread[0].process->names;
	play.passes = 0;
	assert_ptr_equal(take(f)->thread[0].process->names, names);
	symbolizer__stats(f->known.symbolizer, &stats);
	assert_int_equal(stats.processes, 1);
	/* What it has mapped since is found. */
	library = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(library, MAP_FAILED);
	play.passes = 0;
	assert_ptr_equal(take(f)->thread[0].process->names, names);
	assert_non_null(maps__find(sym_process__maps(names), (uintptr_t)library));
	munmap(library, 4096);
	/* Another program, and another process by the same number. */
	change(0, 0, (struct moment){ .there = true, .start = 6, .switches = 7, .execs = 1 });
	play.passes = 0;
	assert_ptr_not_equal(take(f)->thread[0].process->names, names);
	play.rec[0].proc_start++;
	play.passes = 0;
	assert_ptr_not_equal(take(f)->thread[0].process->names, names);
	symbolizer__stats(f->known.symbolizer, &stats);
	assert_int_equal(stats.processes, 3);
	assert_false(known__worn(&f->known, 1));
}

/* Processes that come and go do not add up. */
static void test_worn(void **state)
{
	struct fixture *f = *state;
	int looks = 0;

	add_thread(101);
	for (; !known__worn(&f->known, 1); looks++) {
		assert_in_range(looks, 0, 1000);
		play.passes = 0;
		play.rec[0].proc_start++;
		take(f);
	}
	assert_in_range(looks, 10, 1000);
	snapshot__free(f->s);
	f->s = NULL;
	assert_int_equal(known__renew(&f->known), 0);
	assert_false(known__worn(&f->known, 1));
	assert_int_equal(f->known.processes.cnt, 0);
	for (looks = 0; !known__worn(&f->known, 1); looks++) {
		assert_in_range(looks, 0, 100000);
		play.passes = 0;
		take(f);
	}
}

static void test_32_bit(void **state)
{
	const struct snapshot *s;

	play.rec[add_thread(101)].flags = HU_THREAD_COMPAT;
	s = take(*state);
	assert_false(s->thread[0].futex);
	assert_null(s->thread[0].stack);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_known),	  TEST(test_worn),
		TEST(test_nobody),	  TEST(test_still),
		TEST(test_moves_once),	  TEST(test_keeps_moving),
		TEST(test_moves_late),	  TEST(test_on_a_cpu),
		TEST(test_zombie),	  TEST(test_ends_meanwhile),
		TEST(test_gone),	  TEST(test_gone_late),
		TEST(test_number_reused), TEST(test_comes_meanwhile),
		TEST(test_exec),	  TEST(test_word_changes),
		TEST(test_locked),	  TEST(test_no_such_process),
		TEST(test_broken_record), TEST(test_many),
		TEST(test_32_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
