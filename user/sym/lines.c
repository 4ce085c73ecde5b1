// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/sym/lines_worker.h"

#define ANSWER_TIMEOUT_MS 10000 /* the first answer reads all compilation units' headers */
#define MEMORY_MAX	  (4ull << 30)
#define NOBODY		  65534 /* the kernel's overflow ID, which owns nothing */

/* Where the worker finds its descriptors; all others are closed. */
enum {
	WORKER_SOCK = 3,
	WORKER_ELF = 4,
	WORKER_FIRST_FREE = 5
};

struct lines {
	pid_t pid;
	int sock; /* -1: the worker has failed */
};

/* Address space of this process, bytes; 0 when unknown. */
static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void limit(int resource, uint64_t value)
{
	struct rlimit lim = { value, value };

	setrlimit(resource, &lim); /* best effort: the time limit holds anyway */
}

/*
 * The terminal's signals are meant for the parent, which wants names while it writes its last
 * report; crashes must not run its handlers.
 */
static void set_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	static const int plain[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGCHLD };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		signal(plain[i], SIG_DFL);
}

static void drop_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (geteuid() != 0)
		return;
	/* In a user namespace without these IDs we stay who we are. */
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return;
}

static void run_worker(int sock, int elf_fd, pid_t parent)
{
	uint64_t used = address_space();

	set_signals();
	/* The new descriptors must not hit each other: move both out of the way first. */
	sock = fcntl(sock, F_DUPFD, WORKER_FIRST_FREE);
	elf_fd = fcntl(elf_fd, F_DUPFD, WORKER_FIRST_FREE);
	if (sock < 0 || elf_fd < 0 || dup2(sock, WORKER_SOCK) < 0 || dup2(elf_fd, WORKER_ELF) < 0)
		_exit(1);
	close_range(WORKER_FIRST_FREE, ~0u, 0);
	limit(RLIMIT_CORE, 0);
	if (used)
		limit(RLIMIT_AS, used + MEMORY_MAX);
	drop_privileges();
	/* After the change of IDs, which clears it. prctl(2), PR_SET_PDEATHSIG. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	unsetenv("DEBUGINFOD_URLS");
	lines_worker__serve(WORKER_SOCK, WORKER_ELF);
	_exit(0);
}

int lines__start(int fd, struct lines **ret)
{
	struct lines *l = calloc(1, sizeof(*l));
	pid_t parent = getpid();
	int pair[2], err;

	if (!l)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
		free(l);
		return err;
	}
	l->pid = fork();
	if (l->pid < 0) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		free(l);
		return err;
	}
	if (l->pid == 0)
		run_worker(pair[1], fd, parent);
	close(pair[1]);
	l->sock = pair[0];
	*ret = l;
	return 0;
}

static void end_worker(struct lines *l)
{
	if (l->sock < 0)
		return;
	close(l->sock);
	l->sock = -1;
	/* It has nothing to save, and may be stuck. */
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void lines__stop(struct lines *l)
{
	if (!l)
		return;
	end_worker(l);
	free(l);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool wait_answer(int sock)
{
	int64_t end = now_ms() + ANSWER_TIMEOUT_MS, left;
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int n;

	do {
		left = end - now_ms();
		n = poll(&pfd, 1, left > 0 ? left : 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 && (pfd.revents & POLLIN);
}

/* The worker may have been taken over by what it read: nothing in an answer is trusted. */
static void sanitize(struct lines_frame *f)
{
	f->function[sizeof(f->function) - 1] = '\0';
	f->file[sizeof(f->file) - 1] = '\0';
	if (f->line < 0)
		f->line = 0;
}

size_t lines__query(struct lines *l, uint64_t vaddr, struct lines_frame *ret, size_t cap)
{
	struct lines_frame *answer;
	ssize_t n = -1;
	size_t cnt = 0;

	if (l->sock < 0)
		return 0;
	answer = calloc(LINES_FRAMES_MAX, sizeof(*answer));
	if (!answer)
		return 0;
	if (send(l->sock, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) == sizeof(vaddr) &&
	    wait_answer(l->sock))
		n = recv(l->sock, answer, LINES_FRAMES_MAX * sizeof(*answer), 0);
	/* One byte stands for "nothing known": an empty packet would look like the end. */
	if (n <= 0)
		end_worker(l);
	else
		cnt = n / sizeof(*answer);
	if (cnt > cap)
		cnt = cap;
	for (size_t i = 0; i < cnt; i++) {
		sanitize(&answer[i]);
		ret[i] = answer[i];
	}
	free(answer);
	return cnt;
}
