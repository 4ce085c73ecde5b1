// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/exits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* include/uapi/linux/seccomp.h has it since 5.5. */
#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1
#endif

/*
 * exit_group's numbers (arch/x86/entry/syscalls/, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl).
 * x32 has those of x86-64, marked.
 */
#define NR_X86_64  231
#define NR_X32	   (0x40000000 | NR_X86_64)
#define NR_I386	   252
#define NR_GENERIC 94
#define NR_ARM	   248
#define REAP_TRIES 20
#define REAP_US	   1000
#define NOTICE_SZ_MAX \
	512 /* of struct seccomp_notif and its answer, as the kernel knows them; today 80 and 24 */

#define ARCH(arch, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, skip)
#define TELL(nr)                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int install(void)
{
	struct sock_filter filter[] = {
		LOAD(arch),
#if defined(__x86_64__)
		ARCH(AUDIT_ARCH_X86_64, 6),
		LOAD(nr),
		TELL(NR_X86_64),
		TELL(NR_X32),
		ALLOW,
		ARCH(AUDIT_ARCH_I386, 3),
		LOAD(nr),
		TELL(NR_I386),
#else
		ARCH(AUDIT_ARCH_AARCH64, 4),
		LOAD(nr),
		TELL(NR_GENERIC),
		ALLOW,
		ARCH(AUDIT_ARCH_ARM, 3),
		LOAD(nr),
		TELL(NR_ARM),
#endif
		ALLOW,
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			 &program);

	return fd < 0 ? -errno : fd;
}

/* ---- handing the listener over: unix(7), SCM_RIGHTS */

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static struct msghdr message(int *err, struct iovec *iov, union control *control)
{
	*iov = (struct iovec){ err, sizeof(*err) };
	return (struct msghdr){ .msg_iov = iov,
				.msg_iovlen = 1,
				.msg_control = control->bytes,
				.msg_controllen = sizeof(control->bytes) };
}

void exits__install(int socket)
{
	int fd = install(), err = fd < 0 ? fd : 0;
	union control control = { { 0 } };
	struct iovec iov;
	struct msghdr msg = message(&err, &iov, &control);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&msg);

	if (fd < 0) {
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	} else {
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	/* Who is not told knows no listener, and the program runs without a look. */
	while (sendmsg(socket, &msg, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
	if (fd >= 0)
		close(fd);
	close(socket);
}

static int receive(int socket, int *ret_err)
{
	union control control = { { 0 } };
	struct iovec iov;
	struct msghdr msg = message(ret_err, &iov, &control);
	struct cmsghdr *rights;
	ssize_t got;
	int fd = -1;

	do
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got != sizeof(*ret_err)) {
		*ret_err = got < 0 ? -errno : -EPIPE;
		return -1;
	}
	rights = CMSG_FIRSTHDR(&msg);
	if (rights && rights->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
	if (fd < 0 && !*ret_err)
		*ret_err = -EPROTO;
	return fd;
}

/* ---- the keeper */

static void close_others(int a, int b)
{
	long max = sysconf(_SC_OPEN_MAX);

	if (max < 0 || max > 65536)
		max = 65536;
	for (int fd = 0; fd < max; fd++)
		if (fd != a && fd != b)
			close(fd);
}

static void keep(int listener, int pipe_fd)
{
	struct exits e = { .fd = listener };
	struct pollfd poll_fd = { .fd = listener, .events = POLLIN };
	struct exit_notice notice;
	char byte;

	setsid(); /* what ends holdup's terminal or process group is not for us */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_NAME, "holdup-exits");
	close_others(listener, pipe_fd);
	while (read(pipe_fd, &byte, 1) < 0 && errno == EINTR)
		;
	close(pipe_fd);
	for (;;) {
		if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
			_exit(1);
		if ((poll_fd.revents & POLLIN) && exits__next(&e, 0, &notice))
			exits__let_go(&e, &notice);
		else if (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL))
			_exit(0);
	}
}

static int start_keeper(struct exits *e)
{
	int ends[2], err;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	err = -errno;
	if (!pid) {
		close(ends[1]);
		keep(e->fd, ends[0]);
	}
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		return err;
	}
	e->keep_fd = ends[1];
	e->keeper = pid;
	return 0;
}

void exits__accept(int socket, struct exits *ret)
{
	struct exits e = { .fd = -1, .keep_fd = -1 };

	e.fd = receive(socket, &e.err);
	if (e.fd >= 0)
		e.err = start_keeper(&e);
	if (e.err && e.fd >= 0) {
		close(e.fd);
		e.fd = -1;
	}
	*ret = e;
}

void exits__free(struct exits *e)
{
	if (e->fd > 0)
		close(e->fd);
	if (e->keep_fd > 0)
		close(e->keep_fd);
	e->fd = e->keep_fd = -1;
	/* Mostly it has nobody left to keep for. Else it goes on, and somebody else will reap it. */
	for (int tries = 0; e->keeper > 0 && tries < REAP_TRIES; tries++) {
		if (waitpid(e->keeper, NULL, WNOHANG))
			break;
		usleep(REAP_US);
	}
	e->keeper = 0;
}

/* ---- notices */

/* Later kernels have longer ones, and want to be given room for them. */
union notice {
	struct seccomp_notif notif;
	struct seccomp_notif_resp resp;
	char room[NOTICE_SZ_MAX];
};

bool exits__next(const struct exits *e, int timeout_ms, struct exit_notice *ret)
{
	struct pollfd poll_fd = { .fd = e->fd > 0 ? e->fd : -1, .events = POLLIN };
	union notice n = { .room = { 0 } };

	if (poll(&poll_fd, 1, timeout_ms) != 1 || !(poll_fd.revents & POLLIN))
		return false;
	/* ENOENT: it was killed in between. */
	if (ioctl(e->fd, SECCOMP_IOCTL_NOTIF_RECV, &n.notif))
		return false;
	*ret = (struct exit_notice){ n.notif.id, (pid_t)n.notif.pid,
				     (int)(n.notif.data.args[0] & 0xff) };
	return true;
}

bool exits__waits(const struct exits *e, const struct exit_notice *notice)
{
	uint64_t id = notice->id;

	return !ioctl(e->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

void exits__let_go(const struct exits *e, const struct exit_notice *notice)
{
	union notice n = { .room = { 0 } };

	n.resp.id = notice->id;
	n.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	/* What fails is that nobody waits any more. */
	if (ioctl(e->fd, SECCOMP_IOCTL_NOTIF_SEND, &n.resp))
		return;
}
