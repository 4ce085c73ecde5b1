// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread asleep in a call with wal_lock in its hands, and --threads N (3) that wait for it. --how
 *   sleep, fsync, recv, poll, waitpid, pipe: the call; what it waits for never comes
 *   chain     waits for third_lock, whose owner sleeps; three more behind, each for the next one's lock
 * A pipe's other end is in a process "writer"; the socket is TCP on 127.0.0.1; the file is of a file
 * system (FUSE, in a mount namespace of its own) whose server never answers fsync: needs root.
 */
#include "hang.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static pthread_mutex_t wal_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t first_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t second_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t third_lock = PTHREAD_MUTEX_INITIALIZER;
static int wal_id, the_fd, the_child;

/* --- a file system of one file, which is its root */

static void fuse_reply(int fuse, uint64_t unique, const void *body, size_t sz)
{
	char buf[512];
	struct fuse_out_header *out = (struct fuse_out_header *)buf;

	memset(buf, 0, sizeof(*out));
	out->len = (uint32_t)(sizeof(*out) + sz);
	out->unique = unique;
	memcpy(out + 1, body, sz);
	if (write(fuse, buf, out->len) != (ssize_t)out->len)
		hang_die("write to /dev/fuse", errno);
}

static void fuse_refuse(int fuse, uint64_t unique)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = -ENOSYS, .unique = unique };

	if (write(fuse, &out, sizeof(out)) != sizeof(out))
		hang_die("write to /dev/fuse", errno);
}

static void fuse_answer(int fuse, const struct fuse_in_header *in)
{
	static const struct fuse_attr_out attr = {
		.attr = { .ino = FUSE_ROOT_ID, .mode = S_IFREG | 0600, .nlink = 1 }
	};
	static const struct fuse_open_out opened;
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = FUSE_KERNEL_MINOR_VERSION,
				      .max_write = 4096 };

	switch (in->opcode) {
	case FUSE_INIT:
		fuse_reply(fuse, in->unique, &init, sizeof(init));
		break;
	case FUSE_GETATTR:
		fuse_reply(fuse, in->unique, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		fuse_reply(fuse, in->unique, &opened, sizeof(opened));
		break;
	case FUSE_FSYNC:  /* never */
	case FUSE_FORGET: /* has no answer */
	case FUSE_INTERRUPT:
		break;
	default:
		fuse_refuse(fuse, in->unique);
	}
}

/*
 * In a process of its own, which alone has /dev/fuse open: when it ends, so does every call into the
 * file system, and nothing is left that could not be killed.
 */
HANG_FRAME static void serve_file(const char *path, int told)
{
	static char buf[FUSE_MIN_READ_BUFFER + 4096];
	char options[64];
	int fuse;

	hang_child("server", "serve_file");
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		hang_die("/dev/fuse", errno);
	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0", fuse);
	if (mount("holdup-hang", path, "fuse", MS_NODEV | MS_NOSUID, options))
		hang_die("mount", errno);
	if (write(told, "", 1) != 1)
		hang_die("write", errno);
	for (;;) {
		ssize_t sz = read(fuse, buf, sizeof(buf));

		if (sz >= (ssize_t)sizeof(struct fuse_in_header))
			fuse_answer(fuse, (const struct fuse_in_header *)buf);
		else if (errno != EINTR && errno != ENOENT)
			_exit(0);
	}
}

static void open_slow_file(void)
{
	char path[] = "/tmp/holdup-hang-XXXXXX", byte;
	int told[2], pid, fd = mkstemp(path);

	if (fd < 0 || pipe(told) || unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		hang_die("a mount namespace", errno);
	pid = fork();
	if (pid < 0)
		hang_die("fork", errno);
	if (!pid)
		serve_file(path, told[1]);
	close(told[1]);
	if (read(told[0], &byte, 1) != 1)
		hang_die("the file's server", EIO);
	the_fd = open(path, O_RDWR | O_CLOEXEC);
	if (the_fd < 0)
		hang_die(path, errno);
	/* Takes the mount along, while the open file keeps the file system. */
	if (umount2(path, MNT_DETACH) || unlink(path))
		hang_die("umount", errno);
}

/* --- what the other calls wait for */

static void open_socket(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t sz = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	the_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || the_fd < 0 || bind(listener, (void *)&addr, sz) ||
	    listen(listener, 1) || getsockname(listener, (void *)&addr, &sz) ||
	    connect(the_fd, (void *)&addr, sz))
		hang_die("a connection", errno);
	peer = accept(listener, NULL, NULL);
	if (peer < 0)
		hang_die("accept", errno);
}

/* A pipe that only another process can write to, or a child that does not end. */
static void start_process(bool has_pipe)
{
	int fds[2];

	if (pipe(fds))
		hang_die("pipe", errno);
	the_child = fork();
	if (the_child < 0)
		hang_die("fork", errno);
	if (!the_child) {
		hang_child(has_pipe ? "writer" : "child", "hang_sleep start_process");
		close(fds[0]);
		hang_sleep();
	}
	close(fds[1]);
	the_fd = fds[0];
}

static void prepare(void)
{
	if (hang_is("fsync"))
		open_slow_file();
	else if (hang_is("recv"))
		open_socket();
	else if (hang_is("pipe") || hang_is("poll") || hang_is("waitpid"))
		start_process(!hang_is("waitpid"));
}

/* --- threads */

HANG_FRAME static void do_slow_thing(void)
{
	struct pollfd poll_fd = { .fd = the_fd, .events = POLLIN };
	char byte;

	if (hang_is("fsync")) {
		hang_will("fsync", HANG_NO_LOCK);
		fsync(the_fd);
	} else if (hang_is("recv")) {
		hang_will("recvfrom", HANG_NO_LOCK);
		recv(the_fd, &byte, 1, 0);
	} else if (hang_is("poll")) {
		hang_will("poll ppoll", HANG_NO_LOCK);
		poll(&poll_fd, 1, -1);
	} else if (hang_is("pipe")) {
		hang_will("read", HANG_NO_LOCK);
		if (read(the_fd, &byte, 1) < 0)
			hang_die("read", errno);
	} else if (hang_is("waitpid")) {
		hang_will("wait4", HANG_NO_LOCK);
		waitpid(the_child, NULL, 0);
	}
	hang_sleep();
}

HANG_FRAME static void *hold(void *arg)
{
	hang_enter("keeper",
		   hang_is("sleep") ? "hang_sleep do_slow_thing hold" : "do_slow_thing hold");
	hang_ok(pthread_mutex_lock(&wal_lock));
	hang_took(wal_id);
	hang_arrive(1);
	do_slow_thing();
	return arg;
}

HANG_FRAME static void *append(void *arg)
{
	hang_enter("appender", "append");
	hang_will("futex", wal_id);
	hang_ok(pthread_mutex_lock(&wal_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void herd(void)
{
	int i, children;

	prepare();
	children = hang_is("pipe") || hang_is("poll") || hang_is("waitpid");
	wal_id = hang_lock("wal_lock", &wal_lock, sizeof(wal_lock), "mutex");
	hang_spawn(hold, NULL);
	hang_await(&hang_all->arrived, 1);
	for (i = 0; i < hang_opt.threads; i++)
		hang_spawn(append, NULL);
	hang_ready(1 + children + hang_opt.threads);
}

/* One of the chain: has the lock of its place, if there is one, and wants the next. */
struct link {
	char role[16];
	pthread_mutex_t *has, *wants;
	int has_id, wants_id;
};

HANG_FRAME static void *be_link(void *arg)
{
	const struct link *link = arg;

	hang_enter(link->role, link->wants ? "be_link" : "hang_sleep be_link");
	if (link->has) {
		hang_ok(pthread_mutex_lock(link->has));
		hang_took(link->has_id);
	}
	hang_arrive(4);
	if (!link->wants)
		hang_sleep();
	hang_will("futex", link->wants_id);
	hang_ok(pthread_mutex_lock(link->wants));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void chain(void)
{
	int one = hang_lock("first_lock", &first_lock, sizeof(first_lock), "mutex");
	int two = hang_lock("second_lock", &second_lock, sizeof(second_lock), "mutex");
	int three = hang_lock("third_lock", &third_lock, sizeof(third_lock), "mutex");
	static struct link link[4];
	int i;

	link[0] = (struct link){ "link-a", NULL, &first_lock, HANG_NO_LOCK, one };
	link[1] = (struct link){ "link-b", &first_lock, &second_lock, one, two };
	link[2] = (struct link){ "link-c", &second_lock, &third_lock, two, three };
	link[3] = (struct link){ "link-d", &third_lock, NULL, three, HANG_NO_LOCK };
	for (i = 0; i < 4; i++)
		hang_spawn(be_link, &link[i]);
	hang_ready(4);
}

int main(int argc, char **argv)
{
	hang_opt.how = "sleep";
	hang_opt.threads = 3;
	hang_start(argc, argv, "holder", "sleep fsync recv poll waitpid pipe chain");
	if (hang_is("chain"))
		chain();
	else
		herd();
}
