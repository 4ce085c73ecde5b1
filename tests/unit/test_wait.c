// SPDX-License-Identifier: GPL-2.0-only
/* One thread's wait as the kernel follows it: the very functions that the BPF programs run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/wait.h"

#define JOIN_CPU_NS 20000

static const struct wait_call call = {
	.uaddr = 0x7f0000001000,
	.ip = 0x7f0000400000,
	.sp = 0x7ffc00001000,
	.val = 2,
	.op = HU_OP_WAIT,
	.flags = HU_WAIT_OWNER_READ,
};
static const struct wait_waker waker = {
	.tgid = 100,
	.tid = 101,
	.flags = HU_WAIT_WAKER_KNOWN | HU_WAIT_WAKER_FUTEX,
};

/* What on_sleep() in bpf/sched.h does with a sleep; true: it belongs to the wait before. */
static bool sleeps(struct wait_state *w, const struct wait_call *c, uint64_t now_ns,
		   uint64_t cpu_ns)
{
	if (wait__continues(w, c, cpu_ns, JOIN_CPU_NS, 0)) {
		wait__sleep(w, now_ns, cpu_ns);
		return true;
	}
	wait__begin(w, c, now_ns, cpu_ns);
	return false;
}

/* A wait of one sleep, out at 1000, woken at 1500, on at 1600, after 700 ns of CPU time. */
static struct wait_state ended_wait(void)
{
	struct wait_state w = { 0 };

	assert_false(sleeps(&w, &call, 1000, 700));
	wait__woken(&w, &waker, 1500);
	wait__resume(&w, 1600, 700);
	return w;
}

static void test_one_sleep(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	assert_int_equal(w.phase, WAIT_SLEEPING);
	assert_int_equal(w.sleeps, 1);
	wait__woken(&w, &waker, 1500);
	assert_int_equal(w.phase, WAIT_WOKEN);
	wait__resume(&w, 1600, 700);
	assert_int_equal(w.phase, WAIT_ENDED);
	assert_int_equal(w.start_ns, 1000);
	assert_int_equal(w.end_ns, 1600);
	assert_int_equal(w.blocked_ns, 500);
	assert_int_equal(w.runq_ns, 100);
	assert_int_equal(w.cpu_ns, 700);
}

static void test_join_adds_sleeps(void **state)
{
	struct wait_state w = ended_wait();
	struct wait_waker second = { .tgid = 100, .tid = 102, .flags = HU_WAIT_WAKER_KNOWN };

	assert_true(sleeps(&w, &call, 1700, 800));
	assert_int_equal(w.phase, WAIT_SLEEPING);
	assert_int_equal(w.waker.tid, 0); /* that of the first sleep is no longer true */
	assert_int_equal(w.wake_ns, 0);
	wait__woken(&w, &second, 2000);
	wait__resume(&w, 2050, 900);
	assert_int_equal(w.sleeps, 2);
	assert_int_equal(w.start_ns, 1000);
	assert_int_equal(w.end_ns, 2050);
	/* Running in between, 1600 to 1700, is no wait time. */
	assert_int_equal(w.blocked_ns, 500 + 300);
	assert_int_equal(w.runq_ns, 100 + 50);
	assert_int_equal(w.waker.tid, 102);
	assert_int_equal(w.cpu_ns, 900);
}

/* The limit counts from the last resume, so that any number of short attempts joins. */
static void test_many_joins(void **state)
{
	struct wait_state w = ended_wait();
	uint64_t now = 1600, cpu = 700;

	for (int i = 0; i < 1000; i++) {
		now += 10;
		cpu += JOIN_CPU_NS;
		assert_true(sleeps(&w, &call, now, cpu));
		now += 90;
		wait__woken(&w, &waker, now);
		now += 5;
		wait__resume(&w, now, cpu);
	}
	assert_int_equal(w.sleeps, 1001);
	assert_int_equal(w.blocked_ns, 500 + 1000 * 90);
	assert_int_equal(w.runq_ns, 100 + 1000 * 5);
	assert_int_equal(w.end_ns - w.start_ns, 600 + 1000 * 105);
}

static void test_cpu_limit(void **state)
{
	struct wait_state w = ended_wait();

	assert_true(wait__continues(&w, &call, 700, JOIN_CPU_NS, 0));
	assert_true(wait__continues(&w, &call, 700 + JOIN_CPU_NS, JOIN_CPU_NS, 0));
	assert_false(wait__continues(&w, &call, 700 + JOIN_CPU_NS + 1, JOIN_CPU_NS, 0));
	assert_true(wait__continues(&w, &call, 700, 0, 0));
	assert_false(wait__continues(&w, &call, 701, 0, 0));
	/* A clock that went back is no proof of anything. */
	assert_false(wait__continues(&w, &call, 699, JOIN_CPU_NS, 0));
}

/* Where wake calls are seen, those of a mutex tell what CPU time can't. */
static void test_wakes_seen(void **state)
{
	struct wait_state w = ended_wait();
	struct wait_call c = call;

	w.call.op = c.op = HU_OP_WAIT;
	w.call.val = c.val = 2;
	assert_true(wait__continues(&w, &c, 700 + 10 * JOIN_CPU_NS, JOIN_CPU_NS, 1));
	assert_false(wait__continues(&w, &c, 700 + 10 * JOIN_CPU_NS, JOIN_CPU_NS, 0));
	w.closed = 1;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 1));
	w.closed = 0;
	w.call.val = c.val = 0; /* a semaphore: who takes it calls nobody */
	assert_false(wait__continues(&w, &c, 700 + 10 * JOIN_CPU_NS, JOIN_CPU_NS, 1));
}

static void test_another_call(void **state)
{
	struct wait_state w = ended_wait();
	struct wait_call c;

	c = call;
	c.uaddr ^= 4;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	/* The other word of a glibc rwlock. */
	w.call.op = c.op = HU_OP_WAIT_BITSET;
	w.call.val = 3;
	c.val = 2;
	assert_true(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	c.val = 0; /* a condvar's other group */
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	w = ended_wait();
	c = call;
	c.uaddr += 8;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	c = call;
	c.ip++;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	c = call;
	c.sp -= 16;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	c = call;
	c.op = HU_OP_WAIT_BITSET;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	/* Another value is another state: a barrier's next round. */
	c = call;
	c.val++;
	assert_false(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
	/* But not where the word holds the owner's TID: a robust mutex has got another owner. */
	w.call.val = HU_FUTEX_WAITERS | 1234;
	c.val = HU_FUTEX_WAITERS | 1235;
	assert_true(wait__continues(&w, &c, 700, JOIN_CPU_NS, 0));
}

static void test_closed(void **state)
{
	struct wait_state w = ended_wait();

	w.closed = 1; /* it woke somebody on this lock: it held it */
	assert_false(sleeps(&w, &call, 1700, 700));
	assert_int_equal(w.closed, 0);
	assert_int_equal(w.sleeps, 1);
	assert_int_equal(w.start_ns, 1700);
	assert_int_equal(w.blocked_ns, 0);
	assert_int_equal(w.runq_ns, 0);
}

static void test_only_an_ended_wait_continues(void **state)
{
	struct wait_state w = { 0 };

	w.call = call;
	assert_false(wait__continues(&w, &call, 0, JOIN_CPU_NS, 0));
	wait__begin(&w, &call, 1000, 700);
	assert_false(wait__continues(&w, &call, 0, JOIN_CPU_NS, 0));
	wait__woken(&w, &waker, 1100);
	assert_false(wait__continues(&w, &call, 0, JOIN_CPU_NS, 0));
}

/* Everything of the wait before must be gone. */
static void test_begin_clears(void **state)
{
	struct wait_state w, fresh = { 0 };
	struct wait_call other = call;

	memset(&w, 0xff, sizeof(w));
	other.uaddr = 0x1234;
	wait__begin(&w, &other, 5000, 700);
	wait__begin(&fresh, &other, 5000, 700);
	assert_memory_equal(&w.call, &fresh.call, sizeof(w.call));
	assert_int_equal(w.phase, WAIT_SLEEPING);
	assert_int_equal(w.closed, 0);
	assert_int_equal(w.sleeps, 1);
	assert_int_equal(w.depth, 0);
	assert_int_equal(w.word, 0);
	assert_int_equal(w.owner_word, 0);
	assert_int_equal(w.stack_id, 0);
	assert_int_equal(w.start_ns, 5000);
	assert_int_equal(w.out_ns, 5000);
	assert_int_equal(w.end_ns, 0);
	assert_int_equal(w.wake_ns, 0);
	assert_int_equal(w.cpu_ns, 700);
	assert_int_equal(w.blocked_ns, 0);
	assert_int_equal(w.runq_ns, 0);
	assert_int_equal(w.waker.tgid, 0);
	assert_int_equal(w.waker.tid, 0);
	assert_int_equal(w.waker.flags, 0);
}

/* A waking that was traced before the switch-out: no blocked time, never a negative one. */
static void test_early_wake(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__woken(&w, &waker, 990);
	assert_int_equal(w.phase, WAIT_WOKEN);
	wait__resume(&w, 1040, 0);
	assert_int_equal(w.blocked_ns, 0);
	assert_int_equal(w.runq_ns, 40);
	assert_int_equal(w.waker.tid, 101);
}

/* Clocks of two CPUs may differ by a little. */
static void test_wake_after_resume(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__woken(&w, &waker, 1050);
	wait__resume(&w, 1040, 0);
	assert_int_equal(w.blocked_ns, 40);
	assert_int_equal(w.runq_ns, 0);
}

static void test_unseen_wake(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__resume(&w, 3000, 0);
	assert_int_equal(w.phase, WAIT_ENDED);
	assert_int_equal(w.blocked_ns, 2000);
	assert_int_equal(w.runq_ns, 0);
	assert_int_equal(w.waker.flags, 0);
}

/* bpf_ktime_get_ns() may step back a little between CPUs: see ktime_get_mono_fast_ns(),
 * kernel/time/timekeeping.c. No time may become negative, that is, huge. */
static void test_resume_before_sleep(void **state)
{
	for (int woken = 0; woken < 2; woken++) {
		struct wait_state w = { 0 };

		wait__begin(&w, &call, 1000, 700);
		if (woken)
			wait__woken(&w, &waker, 995);
		wait__resume(&w, 990, 700);
		assert_int_equal(w.phase, WAIT_ENDED);
		assert_int_equal(w.blocked_ns, 0);
		assert_int_equal(w.runq_ns, 0);
		assert_true(w.end_ns >= w.start_ns); /* or it counts as malformed */
	}
}

/* The switch-in was not seen; the thread has run for as long as it used CPU time since. */
static void test_late_resume(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__resume_late(&w, 5000, 700 + 1500);
	assert_int_equal(w.phase, WAIT_ENDED);
	assert_int_equal(w.end_ns, 3500);
	assert_int_equal(w.blocked_ns, 2500);
	assert_int_equal(w.runq_ns, 0);
	/* What it used since counts against joining. */
	assert_false(wait__continues(&w, &call, 700 + JOIN_CPU_NS + 1, JOIN_CPU_NS, 0));
	assert_true(wait__continues(&w, &call, 700 + 1500, JOIN_CPU_NS, 0));
}

static void test_late_resume_after_waking(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__woken(&w, &waker, 2000);
	wait__resume_late(&w, 5000, 700 + 1500);
	assert_int_equal(w.end_ns, 3500);
	assert_int_equal(w.blocked_ns, 1000);
	assert_int_equal(w.runq_ns, 1500);
}

/* It ran at the earliest when it was woken, and when it had gone to sleep. */
static void test_late_resume_is_bounded(void **state)
{
	static const uint64_t cpu[] = { 0, 699, 700, 701, 4699, 4700, 4701, 100000, UINT64_MAX };

	for (size_t i = 0; i < sizeof(cpu) / sizeof(cpu[0]); i++)
		for (uint64_t wake = 900; wake < 6000; wake += 100) {
			struct wait_state w = { 0 };

			wait__begin(&w, &call, 1000, 700);
			if (wake > 900)
				wait__woken(&w, &waker, wake);
			wait__resume_late(&w, 5000, cpu[i]);
			assert_int_equal(w.phase, WAIT_ENDED);
			assert_in_range(w.end_ns, 1000, 5000);
			assert_int_equal(w.blocked_ns + w.runq_ns, w.end_ns - 1000);
		}
}

static void test_asleep(void **state)
{
	struct wait_state w = { 0 };

	assert_false(wait__asleep(&w));
	wait__begin(&w, &call, 1000, 700);
	assert_true(wait__asleep(&w));
	wait__woken(&w, &waker, 1500);
	assert_true(wait__asleep(&w));
	wait__resume(&w, 1600, 700);
	assert_false(wait__asleep(&w));
}

static void test_second_wake_is_ignored(void **state)
{
	struct wait_state w = { 0 }, ended = ended_wait();
	struct wait_waker second = { .tgid = 5, .tid = 6, .flags = HU_WAIT_WAKER_KNOWN };

	wait__begin(&w, &call, 1000, 700);
	wait__woken(&w, &waker, 1500);
	wait__woken(&w, &second, 1550);
	assert_int_equal(w.wake_ns, 1500);
	assert_int_equal(w.waker.tid, 101);
	/* One that runs is not woken by a stray waking. */
	wait__woken(&ended, &second, 1700);
	assert_int_equal(ended.phase, WAIT_ENDED);
	assert_int_equal(ended.waker.tid, 101);
}

static void check_so_far(const struct wait_state *w, uint64_t now_ns, uint64_t blocked_ns,
			 uint64_t runq_ns)
{
	struct wait_state before = *w;
	__u64 blocked, runq;

	wait__so_far(w, now_ns, &blocked, &runq);
	assert_int_equal(blocked, blocked_ns);
	assert_int_equal(runq, runq_ns);
	assert_memory_equal(&before, w, sizeof(before));
}

static void test_so_far(void **state)
{
	struct wait_state w = ended_wait();

	check_so_far(&w, 9999, 500, 100); /* it runs: nothing is added */
	assert_true(sleeps(&w, &call, 2000, 700));
	check_so_far(&w, 2000, 500, 100);
	check_so_far(&w, 1990, 500, 100); /* a clock a little behind */
	check_so_far(&w, 2300, 800, 100);
	wait__woken(&w, &waker, 2400);
	check_so_far(&w, 2400, 900, 100);
	check_so_far(&w, 2450, 900, 150);
	check_so_far(&w, 2399, 899, 100); /* now lies before the waking */
	wait__resume(&w, 2450, 700);
	check_so_far(&w, 2500, 900, 150);
}

static void test_so_far_early_wake(void **state)
{
	struct wait_state w = { 0 };

	wait__begin(&w, &call, 1000, 700);
	wait__woken(&w, &waker, 900);
	check_so_far(&w, 1030, 0, 30);
}

/* so_far at the very moment of resume says what resume will, whatever happened before. */
static void test_so_far_agrees_with_resume(void **state)
{
	for (uint64_t wake = 980; wake <= 1100; wake += 10)
		for (uint64_t now = 1000; now <= 1100; now += 10) {
			struct wait_state w = { 0 };
			__u64 blocked, runq;

			wait__begin(&w, &call, 1000, 700);
			wait__woken(&w, &waker, wake);
			wait__so_far(&w, now, &blocked, &runq);
			wait__resume(&w, now, 0);
			assert_int_equal(blocked, w.blocked_ns);
			assert_int_equal(runq, w.runq_ns);
			assert_int_equal(blocked + runq, now - 1000);
		}
}

static void test_record(void **state)
{
	struct wait_state w = ended_wait();
	struct hu_wait_record rec, untouched;

	w.stack_id = 0xabcdef;
	w.depth = 7;
	w.word = 2;
	w.owner_word = 4711;
	memset(&rec, 0xa5, sizeof(rec));
	untouched = rec;
	wait__record(&w, &rec);
	assert_int_equal(rec.uaddr, call.uaddr);
	assert_int_equal(rec.stack_id, 0xabcdef);
	assert_int_equal(rec.start_ns, 1000);
	assert_int_equal(rec.end_ns, 1600);
	assert_int_equal(rec.blocked_ns, 500);
	assert_int_equal(rec.runq_ns, 100);
	assert_int_equal(rec.sleeps, 1);
	assert_int_equal(rec.depth, 7);
	assert_int_equal(rec.val, 2);
	assert_int_equal(rec.word, 2);
	assert_int_equal(rec.owner_word, 4711);
	assert_int_equal(rec.waker_tgid, 100);
	assert_int_equal(rec.waker_tid, 101);
	assert_int_equal(rec.op, HU_OP_WAIT);
	assert_int_equal(rec.flags, HU_WAIT_OWNER_READ | HU_WAIT_WAKER_KNOWN | HU_WAIT_WAKER_FUTEX);
	/* Who it is, is the caller's. */
	assert_memory_equal(&rec.hdr, &untouched.hdr, sizeof(rec.hdr));
	assert_memory_equal(rec.comm, untouched.comm, sizeof(rec.comm));
	assert_int_equal(rec.tid, untouched.tid);
	assert_int_equal(rec.tgid, untouched.tgid);
	assert_int_equal(rec.proc_start, untouched.proc_start);
}

static void test_fits(void **state)
{
	const uint64_t rec = sizeof(struct hu_wait_record);

	for (uint64_t ring = 4096; ring <= 1ULL << 30; ring *= 2) {
		uint64_t limit = ring / 8 * 7;

		assert_true(wait__fits(0, ring));
		assert_true(wait__fits(limit - rec, ring));
		assert_false(wait__fits(limit - rec + 1, ring));
		assert_false(wait__fits(limit, ring));
		assert_false(wait__fits(ring, ring));
	}
}

/* Filled up by waits from any start below a quarter, the ring wakes the loader exactly once. */
static void test_wakes_loader_once(void **state)
{
	const uint64_t step = sizeof(struct hu_wait_record) + 8; /* BPF_RINGBUF_HDR_SZ */

	for (uint64_t ring = 4096; ring <= 65536; ring *= 2)
		for (uint64_t start = 0; start < ring / 4; start += 8) {
			unsigned int wakes = 0;
			uint64_t unread;

			for (unread = start; wait__fits(unread, ring); unread += step)
				if (wait__wakes_loader(unread, ring)) {
					wakes++;
					assert_true(unread + step >= ring / 4);
				}
			assert_int_equal(wakes, 1);
		}
}

static void test_wakes_loader_edges(void **state)
{
	const uint64_t ring = 1 << 20, quarter = ring / 4;
	const uint64_t step = sizeof(struct hu_wait_record) + 8;

	assert_false(wait__wakes_loader(0, ring));
	assert_false(wait__wakes_loader(quarter - step - 1, ring));
	assert_true(wait__wakes_loader(quarter - step, ring));
	assert_true(wait__wakes_loader(quarter - 1, ring));
	assert_false(wait__wakes_loader(quarter, ring));
	assert_false(wait__wakes_loader(ring, ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_sleep),
		cmocka_unit_test(test_join_adds_sleeps),
		cmocka_unit_test(test_many_joins),
		cmocka_unit_test(test_cpu_limit),
		cmocka_unit_test(test_wakes_seen),
		cmocka_unit_test(test_another_call),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_only_an_ended_wait_continues),
		cmocka_unit_test(test_begin_clears),
		cmocka_unit_test(test_early_wake),
		cmocka_unit_test(test_wake_after_resume),
		cmocka_unit_test(test_unseen_wake),
		cmocka_unit_test(test_resume_before_sleep),
		cmocka_unit_test(test_late_resume),
		cmocka_unit_test(test_late_resume_after_waking),
		cmocka_unit_test(test_late_resume_is_bounded),
		cmocka_unit_test(test_asleep),
		cmocka_unit_test(test_second_wake_is_ignored),
		cmocka_unit_test(test_so_far),
		cmocka_unit_test(test_so_far_early_wake),
		cmocka_unit_test(test_so_far_agrees_with_resume),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_wakes_loader_once),
		cmocka_unit_test(test_wakes_loader_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
