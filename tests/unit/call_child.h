/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For tests/unit/test_call*.c: children that sleep in a system call, and looks at them. Nothing waits for a time: a
 * child is awaited until the kernel says that it is asleep in the call (or the test fails after 20 s). Code in a
 * header: it is a part of each test, of which a unit test has but one file.
 */
#ifndef HOLDUP_TESTS_CALL_CHILD_H
#define HOLDUP_TESTS_CALL_CHILD_H

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/target/call.h"

#define CHILD_LIMIT_S 20
#define CHILDREN      32
#define COMM	      own_comm()

/* What the C library's functions call differs between architectures. */
#ifdef SYS_poll
#define SYS_poll_or_ppoll	SYS_poll
#define SYS_ppoll_or_pause	SYS_pause
#define SYS_select_or_pselect6	SYS_pselect6
#define SYS_epoll_wait_or_pwait SYS_epoll_wait
#else
#define SYS_poll_or_ppoll	SYS_ppoll
#define SYS_ppoll_or_pause	SYS_ppoll
#define SYS_select_or_pselect6	SYS_pselect6
#define SYS_epoll_wait_or_pwait SYS_epoll_pwait
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

struct looks {
	struct calls *calls;
	struct call_wait wait;
	bool peers;
};

static pid_t children[CHILDREN];

static inline const char *own_comm(void)
{
	static char comm[16];

	prctl(PR_GET_NAME, comm);
	return comm;
}

static inline double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The state of a thread (proc(5)); 0: gone. */
static inline char state_of(pid_t tid)
{
	char path[64], text[512] = "";
	const char *name_end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	name_end = strrchr(text, ')');
	return name_end ? name_end[2] : 0;
}

/* The call that a thread is in; -1: it sleeps in none; RUNNING: it runs, or is gone. */
#define RUNNING -2
static inline long call_of(pid_t tid, uint64_t args[6])
{
	unsigned long long a[6] = { 0 };
	char path[64], text[512] = "";
	long nr = RUNNING;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	file = fopen(path, "re");
	if (!file)
		return RUNNING;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &nr, a, a + 1, a + 2, a + 3, a + 4,
	       a + 5);
	for (size_t i = 0; i < 6; i++)
		args[i] = a[i];
	return nr;
}

static inline void wait_state(pid_t tid, char state)
{
	double end = now_s() + CHILD_LIMIT_S;

	while (state_of(tid) != state) {
		if (now_s() > end)
			fail_msg("thread %d is in state %c, not %c", tid, state_of(tid), state);
		sched_yield();
	}
}

/* Until a child has told a number other than 0. */
static inline pid_t wait_told(const volatile pid_t *number)
{
	double end = now_s() + CHILD_LIMIT_S;

	while (!*number) {
		if (now_s() > end)
			fail_msg("a child has not told a number");
		sched_yield();
	}
	return *number;
}

static inline void wait_asleep_in_either(pid_t tid, long nr, long other)
{
	double end = now_s() + CHILD_LIMIT_S;
	uint64_t args[6];
	long call = RUNNING;
	char state;

	for (;;) {
		state = state_of(tid);
		if ((state == 'S' || state == 'D') &&
		    ((call = call_of(tid, args)) == nr || call == other))
			return;
		if (now_s() > end)
			fail_msg("thread %d is in state %c, call %ld, not %ld", tid, state, call,
				 nr);
		sched_yield();
	}
}

static inline void wait_asleep(pid_t tid, long nr)
{
	wait_asleep_in_either(tid, nr, nr);
}

/* Until it sleeps in no call, or *unable. */
static inline void wait_fault(pid_t tid, const volatile pid_t *unable)
{
	double end = now_s() + CHILD_LIMIT_S;
	uint64_t args[6];

	while (!*unable &&
	       !((state_of(tid) == 'S' || state_of(tid) == 'D') && call_of(tid, args) == -1)) {
		if (now_s() > end)
			fail_msg("thread %d is in state %c, call %ld", tid, state_of(tid),
				 call_of(tid, args));
		sched_yield();
	}
}

static inline void end_child(pid_t pid)
{
	for (size_t i = 0; i < CHILDREN; i++)
		if (children[i] == pid)
			children[i] = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline void end_other_children(pid_t keep)
{
	/* First all, then each: one that is traced by another can't be awaited before that has ended. */
	for (size_t i = 0; i < CHILDREN; i++)
		if (children[i] && children[i] != keep)
			kill(children[i], SIGKILL);
	for (size_t i = 0; i < CHILDREN; i++)
		if (children[i] && children[i] != keep)
			end_child(children[i]);
}

/* A child that runs fn, and is asleep in system call nr now; nr -1: not awaited. */
static inline pid_t child(void (*fn)(void), long nr)
{
	size_t i = 0;
	pid_t pid;

	while (children[i])
		assert_true(++i < CHILDREN);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn();
		_exit(1);
	}
	children[i] = pid;
	if (nr >= 0)
		wait_asleep(pid, nr);
	return pid;
}

static inline int read_memory(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	struct iovec here = { buf, sz }, there = { (void *)(uintptr_t)addr, sz };
	ssize_t n = process_vm_readv(*(pid_t *)ctx, &here, 1, &there, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == sz ? 0 : -EFAULT;
}

static inline void look_thread(struct looks *l, pid_t tgid, pid_t tid)
{
	uint64_t args[6] = { 0 };
	long nr = call_of(tid, args);

	assert_int_equal(calls__describe(l->calls, tgid, tid, nr, args, false, l->peers,
					 read_memory, &tgid, &l->wait),
			 0);
}

static inline void look(struct looks *l, pid_t pid)
{
	look_thread(l, pid, pid);
}

static inline void look_after_closing(struct looks *l, pid_t pid, const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
	look(l, pid);
}

__attribute__((format(printf, 4, 5))) static inline void
says(const struct looks *l, enum call_kind kind, const char *call, const char *fmt, ...)
{
	char what[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	assert_string_equal(l->wait.what, what);
	assert_string_equal(l->wait.call, call);
	assert_string_equal(call_kind__name(l->wait.kind), call_kind__name(kind));
}

__attribute__((format(printf, 2, 3))) static inline void starts(const struct looks *l,
								const char *fmt, ...)
{
	char what[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (strncmp(l->wait.what, what, strlen(what)))
		fail_msg("\"%s\" does not begin with \"%s\"", l->wait.what, what);
}

/* A new object, which has looked at nothing yet. */
static inline void fresh(struct looks *l)
{
	calls__free(l->calls);
	assert_int_equal(calls__new(&l->calls), 0);
}

static inline int set_up(void **state)
{
	static struct looks l;

	l.peers = true;
	*state = &l;
	return calls__new(&l.calls);
}

static inline int tear_down(void **state)
{
	struct looks *l = *state;

	end_other_children(0);
	calls__free(l->calls);
	l->calls = NULL;
	return 0;
}

#endif
