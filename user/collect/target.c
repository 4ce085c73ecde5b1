// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/sym/safe_open.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* include/uapi/asm-generic/unistd.h, since 5.3 */
#endif

int watch__new(const pid_t *pids, size_t cnt, struct watch *ret, pid_t *missing)
{
	struct watch w = { .fds = calloc(cnt + 1, sizeof(int)) };
	int err;

	if (!w.fds)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		w.fds[i] = syscall(SYS_pidfd_open, pids[i], 0);
		if (w.fds[i] < 0) {
			/* A thread's ID that is no process's: EINVAL until 6.15, ENOENT since. */
			err = errno == ENOENT ? -EINVAL : -errno;
			*missing = pids[i];
			watch__free(&w);
			return err;
		}
		w.cnt++;
	}
	*ret = w;
	return 0;
}

bool watch__all_ended(struct watch *w)
{
	bool all = w->cnt > 0;

	for (size_t i = 0; i < w->cnt; i++) {
		struct pollfd p = { .fd = w->fds[i], .events = POLLIN };

		if (w->fds[i] < 0)
			continue;
		if (poll(&p, 1, 0) == 1) {
			close(w->fds[i]);
			w->fds[i] = -1;
		} else {
			all = false;
		}
	}
	return all;
}

void watch__free(struct watch *w)
{
	for (size_t i = 0; i < w->cnt; i++)
		if (w->fds[i] >= 0)
			close(w->fds[i]);
	free(w->fds);
	*w = (struct watch){ 0 };
}

static void run_child(char **argv, int release_fd, int error_fd, int exits_fd)
{
	char byte;
	int err;

	if (exits_fd >= 0)
		exits__install(exits_fd);
	/* Nothing written: holdup gave up, and so does the program. */
	if (read(release_fd, &byte, 1) != 1)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	err = errno;
	if (write(error_fd, &err, sizeof(err)) != sizeof(err))
		_exit(126);
	_exit(127);
}

static void close_pair(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* What connects us with the child: [0] is read, or the child's; [1] is written, or ours. */
struct ends {
	int release[2], error[2], exits[2];
};

static int connect_ends(struct ends *e, bool exits)
{
	int err = 0;

	*e = (struct ends){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(e->release, O_CLOEXEC) || pipe2(e->error, O_CLOEXEC) ||
	    (exits && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->exits)))
		err = -errno;
	if (err) {
		close_pair(e->release);
		close_pair(e->error);
		close_pair(e->exits);
	}
	return err;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int program__start(char **argv, bool exits, struct program *ret)
{
	struct program p = { .exits = { .fd = -1, .keep_fd = -1 } };
	struct ends e;
	int err = connect_ends(&e, exits);

	if (err)
		return err;
	p.pid = fork();
	err = -errno;
	if (!p.pid) {
		close(e.release[1]);
		close(e.error[0]);
		close_end(&e.exits[1]);
		run_child(argv, e.release[0], e.error[1], e.exits[0]);
	}
	if (p.pid < 0) {
		close_pair(e.release);
		close_pair(e.error);
		close_pair(e.exits);
		return err;
	}
	close(e.release[0]);
	close(e.error[1]);
	close_end(&e.exits[0]);
	p.release_fd = e.release[1];
	p.error_fd = e.error[0];
	if (exits)
		exits__accept(e.exits[1], &p.exits);
	close_end(&e.exits[1]);
	*ret = p;
	return 0;
}

int program__release(struct program *p)
{
	ssize_t n;
	int err;

	n = write(p->release_fd, "g", 1);
	close(p->release_fd);
	p->release_fd = -1;
	if (n != 1)
		return -EPIPE;
	/* exec closes the other end; a failure comes as its errno. */
	do
		n = read(p->error_fd, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(err))
		return 0;
	kill(p->pid, SIGKILL); /* it may be waiting for us before it ends */
	return -err;
}

bool program__ended(struct program *p)
{
	if (!p->reaped && waitpid(p->pid, &p->status, WNOHANG) == p->pid)
		p->reaped = true;
	return p->reaped;
}

int program__wait(struct program *p)
{
	while (!p->reaped) {
		if (waitpid(p->pid, &p->status, 0) == p->pid)
			p->reaped = true;
		else if (errno != EINTR)
			return 127;
	}
	return WIFSIGNALED(p->status) ? 128 + WTERMSIG(p->status) : WEXITSTATUS(p->status);
}

void program__free(struct program *p)
{
	if (!p->pid)
		return;
	if (p->release_fd >= 0)
		close(p->release_fd);
	if (p->error_fd >= 0)
		close(p->error_fd);
	p->release_fd = p->error_fd = -1;
	exits__free(&p->exits);
}

int program__open_file(const char *name)
{
	const char *path = getenv("PATH");
	char *copy, *rest, *dir, full[4096];
	int fd = -ENOENT;

	if (strchr(name, '/'))
		return safe_open__regular("", name, false);
	if (!path)
		path = "/bin:/usr/bin"; /* as execvp(3): sysdeps/unix/confstr.h of glibc 2.36 */
	copy = rest = strdup(path);
	if (!copy)
		return -ENOMEM;
	while (fd < 0 && (dir = strsep(&rest, ":"))) {
		size_t len = snprintf(full, sizeof(full), "%s/%s", *dir ? dir : ".", name);

		if (len < sizeof(full) && !access(full, X_OK))
			fd = safe_open__regular("", full, false);
	}
	free(copy);
	return fd;
}
