// SPDX-License-Identifier: GPL-2.0-only
/* Threads that wait for one of several descriptors, for locks of files, at terminals. Like test_call.c. */
#include "tests/unit/call_child.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/stat.h>

static int fds[2];

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

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* --- several descriptors */

static void poll_three(void)
{
	struct pollfd p[4] = { { .fd = fds[0], .events = POLLIN },
			       { .fd = -1 },
			       { .fd = eventfd(0, 0), .events = POLLIN },
			       { .fd = inotify_init(), .events = POLLIN } };

	poll(p, 4, 100000);
}

static void poll_one(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };

	close(fds[1]);
	poll(&p, 1, -1);
}

static void select_two(void)
{
	struct timeval timeout = { .tv_sec = 100, .tv_usec = 500000 };
	int event = eventfd(0, 0);
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fds[0], &in);
	FD_SET(event, &in);
	select((event > fds[0] ? event : fds[0]) + 1, &in, NULL, NULL, &timeout);
}

static void wait_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN }, got;
	int set = epoll_create1(0);

	epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &event);
	epoll_ctl(set, EPOLL_CTL_ADD, inotify_init(), &event);
	epoll_wait(set, &got, 1, 250000);
}

static void test_poll(void **state)
{
	struct looks *l = *state;
	pid_t holder, blocked;
	uint64_t ino;

	assert_int_equal(pipe(fds), 0);
	ino = inode(fds[0]);
	blocked = child(poll_three, SYS_poll_or_ppoll);
	look(l, blocked);
	assert_int_equal(l->wait.kind, CALL_POLL);
	assert_int_equal(l->wait.timeout_ns, 100000000000);
	assert_int_equal(l->wait.peer_cnt, 0);
	assert_int_equal(l->wait.fd, -1);
	starts(l, "of 3 descriptors: pipe:[%lu], eventfd, inotify, for at most ", ino);
	end_child(blocked);
	blocked = child(select_two, SYS_select_or_pselect6);
	look(l, blocked);
	assert_int_equal(l->wait.timeout_ns, 100500000000);
	starts(l, "of 2 descriptors: pipe:[%lu], eventfd, for at most ", ino);
	end_child(blocked);
	look(l, child(wait_epoll, SYS_epoll_wait_or_pwait));
	assert_int_equal(l->wait.timeout_ns, 250000000000);
	starts(l, "of 2 descriptors: ");
	assert_non_null(strstr(l->wait.what, "inotify"));
	assert_string_equal(l->wait.object, "epoll set");
	holder = child(hold_writing_end, SYS_ppoll_or_pause);
	end_other_children(holder);
	blocked = child(poll_one, SYS_poll_or_ppoll);
	close(fds[0]);
	close(fds[1]);
	look(l, blocked);
	says(l, CALL_POLL, l->wait.call,
	     "of 1 descriptor: pipe:[%lu], which is open for writing in %s (%d)", ino, COMM,
	     holder);
	assert_int_equal(l->wait.timeout_ns, UINT64_MAX);
}

/* --- file locks */

static char locked[128];

static int open_locked(void)
{
	return open(locked, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void hold_flock(void)
{
	flock(open_locked(), LOCK_EX);
	pause();
}

static void want_flock(void)
{
	flock(open_locked(), LOCK_EX);
}

static void set_lock(int cmd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	fcntl(open_locked(), cmd, &lock);
}

static void hold_posix(void)
{
	set_lock(F_SETLK);
	pause();
}

static void want_posix(void)
{
	set_lock(F_SETLKW);
}

static void hold_ofd(void)
{
	set_lock(F_OFD_SETLK);
	pause();
}

static void want_ofd(void)
{
	set_lock(F_OFD_SETLKW);
}

static void check_lock(struct looks *l, void (*hold)(void), void (*want)(void), long nr)
{
	pid_t holder = child(hold, SYS_ppoll_or_pause);

	look(l, child(want, nr));
	says(l, CALL_FILE, nr == SYS_flock ? "flock" : "fcntl",
	     "for a lock on %s, which is locked by %s (%d)", locked, COMM, holder);
	assert_int_equal(l->wait.peer_cnt, 1);
	assert_int_equal(l->wait.peer[0].tgid, holder);
	assert_string_equal(l->wait.object, locked);
	end_other_children(0);
	fresh(l);
}

/* The name would clear the screen, and end the line. */
static void test_locks(void **state)
{
	struct looks *l = *state;

	snprintf(locked, sizeof(locked), "/tmp/holdup-\033[2J\n-call-%d", getpid());
	check_lock(l, hold_flock, want_flock, SYS_flock);
	check_lock(l, hold_posix, want_posix, SYS_fcntl);
	check_lock(l, hold_ofd, want_ofd, SYS_fcntl);
	unlink(locked);
}

/* --- terminals */

static void read_terminal(void)
{
	char c;

	close(fds[0]);
	(void)!read(fds[1], &c, 1);
}

static void test_terminal(void **state)
{
	struct looks *l = *state;
	char slave[64];
	pid_t holder;

	fds[0] = posix_openpt(O_RDWR | O_NOCTTY);
	if (fds[0] < 0 || grantpt(fds[0]) || unlockpt(fds[0]) ||
	    ptsname_r(fds[0], slave, sizeof(slave)))
		skip();
	fds[1] = open(slave, O_RDWR | O_NOCTTY);
	assert_true(fds[1] >= 0);
	holder = child(hold_reading_end, SYS_ppoll_or_pause);
	look_after_closing(l, child(read_terminal, SYS_read), fds);
	says(l, CALL_TERMINAL, "read", "from %s, at the other end %s (%d)", slave, COMM, holder);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_poll),
		TEST(test_locks),
		TEST(test_terminal),
	};

	return cmocka_run_group_tests_name("call for sets and locks", tests, NULL, NULL);
}
