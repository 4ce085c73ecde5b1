// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/util/clock.h"

#define MEMORY_MAX     (4ull << 30)
#define PARENT_EVERY_S 5

/* Where the worker finds its descriptors; all others are closed. */
enum {
	WORKER_SOCK = 3,
	WORKER_FD = 4,
	WORKER_FIRST_FREE = 5
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

/* capset(2): no capabilities, also where we got them without being root. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	syscall(SYS_capset, &header, none);
}

static void drop_privileges(void)
{
	int left;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* In a user namespace without these IDs we stay who we are, but without capabilities. */
	if (geteuid() == 0 && setgroups(0, NULL) == 0 &&
	    setresgid(WORKER_UID, WORKER_UID, WORKER_UID) == 0)
		left = setresuid(WORKER_UID, WORKER_UID, WORKER_UID);
	(void)left;
	drop_capabilities();
}

/* In the worker. */
static pid_t parent_pid;

static void look_for_parent(int signo)
{
	if (getppid() != parent_pid)
		_exit(1);
}

/*
 * Who waits for a question sees its end by the socket, but one that works on an answer does not. Not by
 * PR_SET_PDEATHSIG: that tells of the end of the thread that has forked us, and looks are made in threads of their own.
 */
static void end_with(pid_t parent)
{
	const struct itimerval often = { { PARENT_EVERY_S, 0 }, { PARENT_EVERY_S, 0 } };
	struct sigaction act = { .sa_handler = look_for_parent, .sa_flags = SA_RESTART };

	parent_pid = parent;
	look_for_parent(SIGALRM);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

struct job {
	worker_fn serve;
	int fd;
	const void *arg;
};

static void run(int sock, const struct job *job, pid_t parent)
{
	uint64_t used = address_space();
	int fd = job->fd;

	set_signals();
	/* What takes long is not to go first, as who has forked us may (live_lives.c). */
	if (getpriority(PRIO_PROCESS, 0) < 0)
		setpriority(PRIO_PROCESS, 0, 0);
	/* The new descriptors must not hit each other: move both out of the way first. */
	sock = fcntl(sock, F_DUPFD, WORKER_FIRST_FREE);
	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD, WORKER_FIRST_FREE);
	if (sock < 0 || dup2(sock, WORKER_SOCK) < 0 ||
	    (job->fd >= 0 && (fd < 0 || dup2(fd, WORKER_FD) < 0)))
		_exit(1);
	close_range(job->fd >= 0 ? WORKER_FIRST_FREE : WORKER_FD, ~0u, 0);
	limit(RLIMIT_CORE, 0);
	if (used)
		limit(RLIMIT_AS, used + MEMORY_MAX);
	drop_privileges();
	end_with(parent);
	unsetenv("DEBUGINFOD_URLS"); /* libdw would ask the network */
	job->serve(WORKER_SOCK, job->fd >= 0 ? WORKER_FD : -1, job->arg);
	_exit(0);
}

int worker__start(worker_fn serve, int fd, const void *arg, struct worker *ret)
{
	const struct job job = { serve, fd, arg };
	pid_t pid, parent = getpid();
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (pid == 0)
		run(pair[1], &job, parent);
	close(pair[1]);
	*ret = (struct worker){ pid, pair[0] };
	return 0;
}

void worker__stop(struct worker *w)
{
	if (w->sock < 0)
		return;
	close(w->sock);
	w->sock = -1;
	/* It has nothing to save, and may be stuck. */
	kill(w->pid, SIGKILL);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int64_t now_ms(void)
{
	return (int64_t)(clock__now_ns() / 1000000);
}

bool worker__wait(const struct worker *w, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left;
	struct pollfd pfd = { .fd = w->sock, .events = POLLIN };
	int n;

	do {
		left = end - now_ms();
		n = poll(&pfd, 1, left > 0 ? left : 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 && (pfd.revents & POLLIN);
}
