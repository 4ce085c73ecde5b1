// SPDX-License-Identifier: GPL-2.0-only
/* Threads as /proc tells of them: its texts, hostile ones too, and a real child. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/collect/threads_proc.h"

static void test_stat(void **state)
{
	struct hu_thread_record rec = { 0 };

	assert_true(threads_proc__parse_stat("812 (a) b (c\n) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 "
					     "20 0 3 0 4711 99",
					     &rec));
	assert_string_equal(rec.comm, "a) b (c\n");
	assert_int_equal(rec.parent, 7);
	assert_int_equal(rec.thread_start, 4711);
	assert_int_equal(rec.state, 1);
	assert_int_equal(rec.flags, 0);
	memset(&rec, 0, sizeof(rec));
	assert_true(threads_proc__parse_stat("812 (0123456789abcdefgh) R 7 1 1 0 -1 0 1 2 3 4 5 6 "
					     "7 8 20 0 3 0 5 99",
					     &rec));
	assert_string_equal(rec.comm, "0123456789abcde");
	assert_int_equal(rec.flags, HU_THREAD_ON_CPU);
	/* a kernel thread, a zombie, and what is no such text */
	assert_false(threads_proc__parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 "
					      "20 0 1 0 5 0",
					      &rec));
	assert_false(threads_proc__parse_stat("812 (z) Z 7 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 3 0 5 "
					      "99",
					      &rec));
	assert_false(threads_proc__parse_stat("", &rec));
	assert_false(threads_proc__parse_stat(")(", &rec));
	assert_false(threads_proc__parse_stat("812 (x) S 7", &rec));
}

static void test_call(void **state)
{
	struct hu_thread_record rec = { 0 };

	threads_proc__parse_call("202 0x7f01 0x80 0x2 0x0 0x0 0x9 0x7ffd00001000 0x7f0000002000\n",
				 &rec);
	assert_int_equal(rec.nr, 202);
	assert_int_equal(rec.arg[0], 0x7f01);
	assert_int_equal(rec.arg[5], 9);
	assert_int_equal(rec.sp, 0x7ffd00001000);
	assert_int_equal(rec.ip, 0x7f0000002000);
	assert_int_equal(rec.flags, 0);
	threads_proc__parse_call("-1 0x7ffd00003000 0x7f0000004000\n", &rec);
	assert_int_equal(rec.nr, -1);
	assert_int_equal(rec.sp, 0x7ffd00003000);
	threads_proc__parse_call("240 0x1 0x2 0x3 0x4 0x5 0x6 0xffffd000 0xf7f00000\n", &rec);
	assert_true(rec.flags & HU_THREAD_COMPAT);
	threads_proc__parse_call("running\n", &rec);
	assert_int_equal(rec.nr, -1);
	threads_proc__parse_call("", &rec);
	threads_proc__parse_call("1 2 3", &rec);
	assert_int_equal(rec.nr, -1);
}

struct seen {
	pid_t child;
	struct hu_thread_record rec;
	int full, brief;
};

static bool is_child(void *ctx, pid_t tgid, const char comm[HU_COMM_LEN])
{
	return tgid == ((struct seen *)ctx)->child;
}

static int on_record(void *ctx, const struct hu_record *rec)
{
	struct seen *s = ctx;

	if (rec->kind == HU_REC_THREAD) {
		s->full++;
		memcpy(&s->rec, rec, sizeof(s->rec));
	} else {
		s->brief++;
	}
	return 0;
}

/* A child that sleeps in pause() is seen there, once it has got so far. */
static void test_child(void **state)
{
	struct hu_snap_ask full = { .mode = HU_SNAP_FULL }, brief = { .mode = HU_SNAP_BRIEF };
	struct seen s = { 0 };
	int tries = 0;

	s.child = fork();
	assert_true(s.child >= 0);
	if (!s.child) {
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
		_exit(0);
	}
	do {
		s.full = 0;
		assert_int_equal(threads_proc__pass(&full, is_child, on_record, &s, &s), 0);
		assert_int_equal(s.full, 1);
		usleep(1000);
	} while (s.rec.nr != SYS_ppoll && tries++ < 10000);
	assert_int_equal(s.rec.nr, SYS_ppoll);
	assert_int_equal(s.rec.tgid, s.child);
	assert_int_equal(s.rec.tid, s.child);
	assert_int_equal(s.rec.parent, getpid());
	assert_true(s.rec.switches > 0);
	assert_true(s.rec.sp && s.rec.ip);
	assert_int_equal(threads_proc__pass(&brief, is_child, on_record, &s, &s), 0);
	assert_int_equal(s.brief, 1);
	kill(s.child, SIGKILL);
	assert_int_equal(waitpid(s.child, NULL, 0), s.child);
	s.full = 0;
	assert_int_equal(threads_proc__pass(&full, is_child, on_record, &s, &s), 0);
	assert_int_equal(s.full, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
