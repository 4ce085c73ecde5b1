// SPDX-License-Identifier: GPL-2.0-only
/* What takes too long ends us; in processes of their own, of which only the status and the message are looked at. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/options.h"
#include "user/watchdog.h"

#define SECOND 1000000000ULL

static struct watchdog *started(uint64_t ns)
{
	struct watchdog *w = NULL;

	if (watchdog__new(&w))
		_exit(99);
	watchdog__start(w, ns);
	return w;
}

static void hang(void)
{
	started(1);
	for (;;)
		pause();
}

/* It was stopped in time, several times over, and does not come back when it is idle. */
static void finish_in_time(void)
{
	struct watchdog *w = started(3600 * SECOND);

	for (int i = 0; i < 1000; i++) {
		watchdog__stop(w);
		watchdog__start(w, 3600 * SECOND);
	}
	watchdog__stop(w);
	watchdog__free(w);
	watchdog__free(NULL);
	_exit(42);
}

/* Freed while it is armed. */
static void end_early(void)
{
	watchdog__free(started(3600 * SECOND));
	_exit(42);
}

static void hang_the_second_time(void)
{
	struct watchdog *w = started(3600 * SECOND);

	watchdog__stop(w);
	watchdog__start(w, 1);
	for (;;)
		pause();
}

/* It must not matter that nobody reads the message. */
static void hang_unheard(void)
{
	close(STDERR_FILENO);
	hang();
}

static volatile sig_atomic_t caught;
static volatile pthread_t main_thread;

static void on_signal(int sig)
{
	caught = pthread_equal(pthread_self(), main_thread) ? 1 : 2;
}

/* Signals are for who waits for them. */
static void get_signal(void)
{
	sigset_t set, before;

	main_thread = pthread_self();
	signal(SIGUSR1, on_signal);
	started(3600 * SECOND);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &before);
	kill(getpid(), SIGUSR1); /* pending, unless the other thread takes it */
	sigsuspend(&before);
	_exit(caught == 1 ? 42 : 1);
}

static int status_of(void (*fn)(void), char *message, size_t sz)
{
	int fds[2], status;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		alarm(60);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		fn();
	}
	close(fds[1]);
	len = read(fds[0], message, sz - 1);
	message[len > 0 ? len : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_watchdog(void **state)
{
	char text[1024];

	assert_int_equal(status_of(hang, text, sizeof(text)), EXIT_FAILED);
	assert_non_null(strstr(text, "could not be read in time"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
	assert_int_equal(status_of(hang_the_second_time, text, sizeof(text)), EXIT_FAILED);
	assert_int_equal(status_of(hang_unheard, text, sizeof(text)), EXIT_FAILED);
	assert_int_equal(status_of(finish_in_time, text, sizeof(text)), 42);
	assert_string_equal(text, "");
	assert_int_equal(status_of(end_early, text, sizeof(text)), 42);
	assert_int_equal(status_of(get_signal, text, sizeof(text)), 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
