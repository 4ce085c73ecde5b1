// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/probe_broker.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PMU_TYPE "/sys/bus/event_source/devices/uprobe/type"

struct probe_broker {
	int socket;
	pid_t pid;
};

struct request {
	uint64_t off;
	uint32_t on_return;
	uint32_t pad;
};

struct reply {
	int32_t err;
};

/* ---- one message with a descriptor, both ways */

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* fd -1: none goes with it. */
static int send_message(int socket, const void *data, size_t sz, int fd)
{
	union control control = { 0 };
	struct iovec iov = { (void *)data, sz };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *head;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)sz ? 0 : -errno;
}

/* *fd: -1 if none came. -EPIPE: the other side is gone. */
static int receive_message(int socket, void *data, size_t sz, int *fd)
{
	union control control = { 0 };
	struct iovec iov = { data, sz };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head;
	ssize_t got;

	do
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	*fd = -1;
	if (got < 0)
		return -errno;
	head = CMSG_FIRSTHDR(&msg);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	if (got == (ssize_t)sz)
		return 0;
	if (*fd >= 0)
		close(*fd);
	return -EPIPE;
}

/* ---- the broker's side */

static int read_type(void)
{
	FILE *file = fopen(PMU_TYPE, "re");
	int type = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &type) != 1)
		type = -EOPNOTSUPP;
	fclose(file);
	return type;
}

/* tracefs is not needed for that: the PMU of 4.17, commit 33ea4b24277b. */
static int open_event(int type, int fd, const struct request *r)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .type = (uint32_t)type };
	char path[32];
	int event;

	if (type < 0)
		return type;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	attr.config = r->on_return != 0; /* format/retprobe */
	attr.uprobe_path = (uintptr_t)path;
	attr.probe_offset = r->off;
	event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : event;
}

static void keep_one_capability(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return;
	data[0].effective &= 1u << CAP_SYS_ADMIN;
	data[0].permitted &= 1u << CAP_SYS_ADMIN;
	data[1].effective &= 1u << (CAP_PERFMON - 32);
	data[1].permitted &= 1u << (CAP_PERFMON - 32);
	data[0].inheritable = data[1].inheritable = 0;
	syscall(SYS_capset, &header, data);
}

/* No copies of what the other one has open: it would stay as long as we do. */
static void close_others(int keep)
{
	for (int fd = 3; fd < 4096; fd++)
		if (fd != keep)
			close(fd);
}

static void serve(int socket)
{
	int type = read_type(), fd, event;
	struct request request;
	struct reply reply;

	while (!receive_message(socket, &request, sizeof(request), &fd)) {
		event = fd < 0 ? -EBADF : open_event(type, fd, &request);
		reply.err = event < 0 ? event : 0;
		send_message(socket, &reply, sizeof(reply), event);
		if (event >= 0)
			close(event);
		if (fd >= 0)
			close(fd);
	}
}

static void run(int socket, pid_t parent)
{
	prctl(PR_SET_NAME, "holdup-probes");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	/* Ctrl-C is for the other one, which has to close what it has. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	close_others(socket);
	keep_one_capability();
	serve(socket);
	_exit(0);
}

/* ---- holdup's side */

int probe_broker__start(struct probe_broker **ret)
{
	struct probe_broker *b = calloc(1, sizeof(*b));
	pid_t parent = getpid();
	int sockets[2], err;

	if (!b)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		err = -errno;
		free(b);
		return err;
	}
	b->pid = fork();
	if (b->pid < 0) {
		err = -errno;
		close(sockets[0]);
		close(sockets[1]);
		free(b);
		return err;
	}
	if (!b->pid)
		run(sockets[1], parent);
	close(sockets[1]);
	b->socket = sockets[0];
	*ret = b;
	return 0;
}

int probe_broker__open(struct probe_broker *b, int fd, uint64_t off, bool on_return)
{
	struct request request = { .off = off, .on_return = on_return };
	struct reply reply;
	int event, err = send_message(b->socket, &request, sizeof(request), fd);

	if (!err)
		err = receive_message(b->socket, &reply, sizeof(reply), &event);
	if (err)
		return err;
	return reply.err ? reply.err : event >= 0 ? event : -EPROTO;
}

void probe_broker__free(struct probe_broker *b)
{
	if (!b)
		return;
	close(b->socket);
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(b);
}
