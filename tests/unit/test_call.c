// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real processes that really wait, each in one system call, and what is said about them. Number and arguments of
 * the call are those that the kernel tells (/proc/TID/syscall), once the process is asleep in it.
 */
#include "tests/unit/call_child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

static int fds[2];

/* --- pipes */

static void hold_writing_end(void)
{
	close(fds[0]);
	pause();
}

static void hold_reading_end(void)
{
	close(fds[1]);
	pause();
}

static void read_pipe(void)
{
	char c;

	close(fds[1]);
	(void)!read(fds[0], &c, 1);
}

static void write_pipe(void)
{
	static char page[4096];

	close(fds[0]);
	while (write(fds[1], page, sizeof(page)) > 0)
		;
}

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void close_both(void)
{
	close(fds[0]);
	close(fds[1]);
}

static void test_pipe(void **state)
{
	struct looks *l = *state;
	uint64_t ino;
	pid_t holder, blocked;

	assert_int_equal(pipe(fds), 0);
	ino = inode(fds[0]);
	holder = child(hold_writing_end, SYS_ppoll_or_pause);
	blocked = child(read_pipe, SYS_read);
	close_both();
	look(l, blocked);
	says(l, CALL_PIPE, "read", "from pipe:[%lu], which is open for writing in %s (%d)", ino,
	     COMM, holder);
	assert_int_equal(l->wait.peer_cnt, 1);
	assert_int_equal(l->wait.peer[0].tgid, holder);
	assert_int_equal(l->wait.fd, fds[0]);
	assert_false(l->wait.peers_partial);
}

static void test_full_pipe(void **state)
{
	struct looks *l = *state;
	uint64_t ino;
	pid_t holder, blocked;

	assert_int_equal(pipe(fds), 0);
	ino = inode(fds[0]);
	holder = child(hold_reading_end, SYS_ppoll_or_pause);
	blocked = child(write_pipe, SYS_write);
	close_both();
	look(l, blocked);
	says(l, CALL_PIPE, "write", "to pipe:[%lu], which is open for reading in %s (%d)", ino,
	     COMM, holder);
	assert_int_equal(l->wait.peer_cnt, 1);
}

static void read_own_pipe(void)
{
	char c;

	(void)!read(fds[0], &c, 1);
}

/* The classic: it waits for an end that it has forgotten to close itself. */
static void test_own_pipe(void **state)
{
	struct looks *l = *state;
	pid_t blocked;

	assert_int_equal(pipe(fds), 0);
	blocked = child(read_own_pipe, SYS_read);
	close_both();
	look(l, blocked);
	assert_int_equal(l->wait.peer_cnt, 1);
	assert_int_equal(l->wait.peer[0].tgid, blocked);
}

static void test_without_peers(void **state)
{
	struct looks *l = *state;
	uint64_t ino;
	pid_t blocked;

	assert_int_equal(pipe(fds), 0);
	ino = inode(fds[0]);
	blocked = child(read_own_pipe, SYS_read);
	close_both();
	l->peers = false;
	look(l, blocked);
	says(l, CALL_PIPE, "read", "from pipe:[%lu]", ino);
	assert_int_equal(l->wait.peer_cnt, 0);
}

static char fifo[64];

static void open_fifo(void)
{
	open(fifo, O_RDONLY);
}

static void open_fifo_relative(void)
{
	if (!chdir("/tmp"))
		open(fifo + strlen("/tmp/"), O_WRONLY);
}

static void read_fifo(void)
{
	char c;

	(void)!read(open(fifo, O_RDWR), &c, 1);
}

static void test_fifo(void **state)
{
	struct looks *l = *state;
	pid_t blocked;

	snprintf(fifo, sizeof(fifo), "/tmp/holdup-call-%d", getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	blocked = child(open_fifo, SYS_openat);
	look(l, blocked);
	says(l, CALL_PIPE, "openat", "of %s, a FIFO that nobody has opened for writing yet", fifo);
	end_child(blocked);
	blocked = child(open_fifo_relative, SYS_openat);
	look(l, blocked);
	says(l, CALL_PIPE, "openat", "of %s, a FIFO that nobody has opened for reading yet", fifo);
	assert_string_equal(l->wait.object, fifo);
	end_child(blocked);
	blocked = child(read_fifo, SYS_read);
	look(l, blocked);
	says(l, CALL_PIPE, "read", "from %s, which is open for writing in %s (%d)", fifo, COMM,
	     blocked);
	unlink(fifo);
}

/* --- time */

static void sleep_long(void)
{
	nanosleep(&(struct timespec){ .tv_sec = 3600 }, NULL);
}

static void sleep_until(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += 7200;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void test_sleep(void **state)
{
	struct looks *l = *state;

	look(l, child(sleep_long, SYS_clock_nanosleep));
	assert_int_equal(l->wait.kind, CALL_TIMER);
	assert_int_equal(l->wait.timeout_ns, 3600000000000);
	assert_false(l->wait.timeout_left);
	assert_memory_equal(l->wait.what, "for ", 4);
}

static void test_sleep_until(void **state)
{
	struct looks *l = *state;

	look(l, child(sleep_until, SYS_clock_nanosleep));
	assert_int_equal(l->wait.kind, CALL_TIMER);
	assert_true(l->wait.timeout_left);
	assert_true(l->wait.timeout_ns <= 7200000000000);
	assert_true(l->wait.timeout_ns > 7100000000000);
	assert_memory_equal(l->wait.what, "for another ", 12);
}

static void test_resumed(void **state)
{
	struct looks *l = *state;
	pid_t blocked = child(sleep_long, SYS_clock_nanosleep);

	kill(blocked, SIGSTOP);
	wait_state(blocked, 'T');
	kill(blocked, SIGCONT);
	wait_asleep(blocked, SYS_restart_syscall);
	look(l, blocked);
	says(l, CALL_TIMER, "restart_syscall", "to sleep on");
}

static void read_timer(void)
{
	struct itimerspec in = { .it_value = { .tv_sec = 5000 } };
	uint64_t ticks;

	fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fds[0], 0, &in, NULL);
	(void)!read(fds[0], &ticks, sizeof(ticks));
}

static void test_timerfd(void **state)
{
	struct looks *l = *state;

	look(l, child(read_timer, SYS_read));
	assert_int_equal(l->wait.kind, CALL_EVENT);
	assert_string_equal(l->wait.object, "timerfd");
	assert_true(l->wait.timeout_left);
	assert_true(l->wait.timeout_ns <= 5000000000000 && l->wait.timeout_ns > 4900000000000);
	assert_non_null(strstr(l->wait.what, "from timerfd, which fires in "));
}

/* --- events and signals */

static void read_eventfd(void)
{
	eventfd_t value;

	eventfd_read(eventfd(0, 0), &value);
}

static void read_inotify(void)
{
	char event[512];

	(void)!read(inotify_init(), event, sizeof(event));
}

static void read_signalfd(void)
{
	struct signalfd_siginfo info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)!read(signalfd(-1, &set, 0), &info, sizeof(info));
}

static void wait_signal(void)
{
	struct timespec timeout = { .tv_sec = 1000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigtimedwait(&set, NULL, &timeout);
}

static void suspend(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigsuspend(&set);
}

static void test_events(void **state)
{
	struct looks *l = *state;

	look(l, child(read_eventfd, SYS_read));
	says(l, CALL_EVENT, "read", "from eventfd");
	look(l, child(read_inotify, SYS_read));
	says(l, CALL_EVENT, "read", "from inotify");
}

static void test_signals(void **state)
{
	struct looks *l = *state;

	look(l, child(read_signalfd, SYS_read));
	says(l, CALL_SIGNAL, "read", "from signalfd for SIGHUP, SIGUSR1");
	look(l, child(suspend, SYS_rt_sigsuspend));
	says(l, CALL_SIGNAL, "rt_sigsuspend", "for a signal");
	look(l, child(wait_signal, SYS_rt_sigtimedwait));
	assert_int_equal(l->wait.kind, CALL_SIGNAL);
	assert_int_equal(l->wait.timeout_ns, 1000000000000);
	assert_non_null(strstr(l->wait.what, "for SIGINT, SIGTERM, for at most "));
}

/* --- hostile input */

static int no_memory(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	return -EFAULT;
}

static int random_memory(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	unsigned int *seed = ctx;

	for (size_t i = 0; i < sz; i++)
		((uint8_t *)buf)[i] = rand_r(seed);
	return 0;
}

/* Each call with arguments of any kind: all that is asked is an answer. */
static void test_any_arguments(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 37, 0xffffffff, UINT64_MAX, 1ULL << 63 };
	struct looks *l = *state;
	pid_t target = child(suspend, SYS_rt_sigsuspend);
	unsigned int seed = 5;
	uint64_t args[6];

	for (long nr = -2; nr < 600; nr++) {
		for (size_t i = 0; i < 64; i++) {
			for (size_t j = 0; j < 6; j++)
				args[j] = values[i < 8 ? i : (size_t)rand_r(&seed) % 8];
			assert_int_equal(calls__describe(l->calls, target, target, nr, args, false,
							 true, i & 1 ? random_memory : no_memory,
							 &seed, &l->wait),
					 0);
			assert_int_not_equal(l->wait.kind, CALL_INVALID);
			assert_true(l->wait.kind < CALL_KINDS);
			assert_non_null(l->wait.what);
			assert_non_null(l->wait.object);
			assert_true(l->wait.peer_cnt <= CALL_PEERS);
		}
	}
}

static void test_no_process(void **state)
{
	struct looks *l = *state;
	pid_t gone = child(suspend, SYS_rt_sigsuspend);
	uint64_t args[6] = { 0 };

	end_child(gone);
	for (long nr = -1; nr < 500; nr++)
		assert_int_equal(calls__describe(l->calls, gone, gone, nr, args, false, true, NULL,
						 NULL, &l->wait),
				 0);
	assert_int_equal(calls__describe(l->calls, gone, gone, SYS_read, args, false, true, NULL,
					 NULL, &l->wait),
			 0);
	says(l, CALL_OTHER, "read", "from descriptor 0");
}

static void test_known_once(void **state)
{
	struct looks *l = *state;
	const char *what;
	pid_t blocked;

	assert_int_equal(pipe(fds), 0);
	blocked = child(read_own_pipe, SYS_read);
	close_both();
	look(l, blocked);
	what = l->wait.what;
	end_child(blocked);
	/* There is nothing to look at any more; it is known. */
	assert_int_equal(calls__describe(l->calls, blocked, blocked, SYS_read,
					 (uint64_t[6]){ fds[0] }, false, true, NULL, NULL,
					 &l->wait),
			 0);
	assert_ptr_equal(l->wait.what, what);
}

static void test_names(void **state)
{
	struct looks *l = *state;
	uint64_t args[6] = { 0 };

	assert_string_equal(call__name(SYS_read), "read");
	assert_string_equal(call__name(SYS_futex), "futex");
	assert_string_equal(call__name(455), "futex_wait"); /* the same everywhere since 424 */
	assert_null(call__name(-1));
	assert_null(call__name(100000));
	assert_string_equal(call_kind__name(CALL_PIPE), "pipe");
	assert_string_equal(call_kind__name(CALL_INVALID), "invalid");
	assert_string_equal(call_kind__name(CALL_KINDS), "invalid");
	for (int kind = CALL_OTHER; kind < CALL_KINDS; kind++)
		assert_string_not_equal(call_kind__name(kind), "invalid");
	assert_int_equal(calls__describe(l->calls, getpid(), getpid(), 240, args, true, true, NULL,
					 NULL, &l->wait),
			 0);
	says(l, CALL_OTHER, "32-bit call 240", "%s", "");
}

/* fsync rarely waits long; which file it is for is the same question. */
static void test_files(void **state)
{
	struct looks *l = *state;
	uint64_t args[6] = { 0 };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/tmp/holdup-call-file-%d", getpid());
	fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	args[0] = fd;
	assert_int_equal(calls__describe(l->calls, getpid(), getpid(), SYS_fdatasync, args, false,
					 true, NULL, NULL, &l->wait),
			 0);
	says(l, CALL_FILE, "fdatasync", "of %s", path);
	assert_string_equal(l->wait.object, path);
	close(fd);
	unlink(path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_pipe),	  TEST(test_full_pipe),	 TEST(test_own_pipe),
		TEST(test_without_peers), TEST(test_fifo),	 TEST(test_sleep),
		TEST(test_sleep_until),	  TEST(test_resumed),	 TEST(test_timerfd),
		TEST(test_events),	  TEST(test_signals),	 TEST(test_any_arguments),
		TEST(test_no_process),	  TEST(test_known_once), TEST(test_names),
		TEST(test_files),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
