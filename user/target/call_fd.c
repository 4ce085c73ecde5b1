// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a descriptor is, by /proc/TID/fd and fdinfo (proc(5); fs/proc/fd.c). Attributes of a file are asked for only
 * on file systems that answer by themselves: on NFS or FUSE the question can hang like the thread that it is about.
 */
#include "user/target/call_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX (4 << 20)

struct mount {
	uint64_t id;
	const char *fstype;
};

struct mount_ns {
	uint64_t ino;
	struct mount *mount;
	size_t cnt;
};

static void free_ns(void *value)
{
	struct mount_ns *ns = value;

	free(ns->mount);
	free(ns);
}

static void free_fd(void *value)
{
	struct call_fd *f = value;

	free(f->epoll);
	free(f);
}

void call_fd__free(struct calls *c)
{
	table__clear(&c->fds, free_fd);
	table__clear(&c->mounts, free_ns);
}

/* "36 35 98:0 / /mnt rw - ext3 /dev/root rw": blanks inside fields are escaped (proc_pid_mountinfo(5)). */
static int add_mount(struct calls *c, struct mount_ns *ns, const char *line)
{
	const char *dash = strstr(line, " - ");
	struct mount *grown;
	char fstype[32];

	if (!dash || sscanf(dash, " - %31s", fstype) != 1)
		return 0;
	if (!(ns->cnt & (ns->cnt - 1))) {
		grown = reallocarray(ns->mount, ns->cnt ? ns->cnt * 2 : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		ns->mount = grown;
	}
	ns->mount[ns->cnt].id = strtoull(line, NULL, 10);
	ns->mount[ns->cnt].fstype = intern__add(c->strings, fstype);
	return ns->mount[ns->cnt++].fstype ? 0 : -ENOMEM;
}

static int read_mounts(struct calls *c, struct mount_ns *ns, uint32_t tid)
{
	struct lines *l = malloc(sizeof(*l));
	char path[64];
	char *line;
	int err = 0;

	if (!l)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%u/mountinfo", tid);
	if (lines__open(l, path, MOUNTINFO_MAX))
		while (!err && (line = lines__next(l)))
			err = add_mount(c, ns, line);
	lines__close(l);
	free(l);
	return err;
}

static bool same_mount_ns(const void *value, const void *key)
{
	return ((const struct mount_ns *)value)->ino == *(const uint64_t *)key;
}

static int get_mounts(struct calls *c, struct call_proc *p)
{
	uint64_t ino = call_proc__ns(p->tid, "mnt");
	uint64_t hash = hash__mix(c->seed, ino);
	struct mount_ns *ns = table__find(&c->mounts, hash, same_mount_ns, &ino);
	int err;

	if (!ns) {
		ns = calloc(1, sizeof(*ns));
		if (!ns)
			return -ENOMEM;
		ns->ino = ino;
		err = read_mounts(c, ns, p->tid);
		if (!err)
			err = table__add(&c->mounts, hash, ns);
		if (err) {
			free_ns(ns);
			return err;
		}
	}
	p->mounts = ns;
	return 0;
}

bool call_fd__info(uint32_t tid, int fd, const char *key, int base, uint64_t *ret)
{
	char path[64], text[1024];
	size_t key_len = strlen(key);

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", tid, fd);
	call_proc__read(path, text, sizeof(text));
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_len) || line[key_len] != ':')
			continue;
		*ret = strtoull(line + key_len + 1, NULL, base);
		return true;
	}
	return false;
}

uint64_t call_fd__timer_left_ns(uint32_t tid, int fd)
{
	char path[64], text[1024];
	uint64_t s, ns;
	const char *value;

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", tid, fd);
	call_proc__read(path, text, sizeof(text));
	value = strstr(text, "\nit_value: (");
	if (!value || sscanf(value, "\nit_value: (%" SCNu64 ", %" SCNu64 ")", &s, &ns) != 2 ||
	    (!s && !ns) || s > INT64_MAX / 1000000000)
		return UINT64_MAX;
	return s * 1000000000 + ns;
}

/* File systems whose attributes are all in memory, or on a disk of this machine. */
static bool answers(const char *fstype)
{
	static const char *const local[] = {
		"ext2", "ext3",	    "ext4",	"xfs",	   "btrfs",    "f2fs",
		"zfs",	"bcachefs", "tmpfs",	"ramfs",   "devtmpfs", "devpts",
		"vfat", "exfat",    "squashfs", "erofs",   "overlay",  "rootfs",
		"proc", "sysfs",    "cgroup",	"cgroup2", "mqueue",   "hugetlbfs",
	};

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (!strcmp(fstype, local[i]))
			return true;
	return false;
}

/* A path: a file, a FIFO, or a device. */
static int find_path_type(struct calls *c, struct call_proc *p, struct call_fd *f)
{
	uint64_t mount;
	struct statx st;
	char path[64];
	int err;

	f->type = FD_FILE;
	if (!strncmp(f->link, "/dev/pts/", 9) || !strncmp(f->link, "/dev/tty", 8)) {
		f->type = FD_CHAR;
		return 0;
	}
	err = p->mounts ? 0 : get_mounts(c, p);
	if (err || !call_fd__info(p->tid, f->fd, "mnt_id", 10, &mount))
		return err;
	for (size_t i = 0; i < p->mounts->cnt; i++)
		if (p->mounts->mount[i].id == mount)
			f->fstype = p->mounts->mount[i].fstype;
	snprintf(path, sizeof(path), "/proc/%u/fd/%d", p->tid, f->fd);
	if (!answers(f->fstype) || statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
					 STATX_TYPE | STATX_INO, &st))
		return 0;
	f->ino = st.stx_ino;
	if (S_ISFIFO(st.stx_mode))
		f->type = FD_PIPE;
	else if (S_ISCHR(st.stx_mode))
		f->type = FD_CHAR;
	return 0;
}

static const struct {
	const char *link;
	enum fd_type type;
	const char *object; /* NULL: the link */
} anon[] = {
	/* What anon_inode_getfile() is given (fs/eventpoll.c, fs/eventfd.c, …). */
	{ "anon_inode:[eventpoll]", FD_EPOLL, "epoll set" },
	{ "anon_inode:[eventfd]", FD_EVENTFD, "eventfd" },
	{ "anon_inode:[timerfd]", FD_TIMERFD, "timerfd" },
	{ "anon_inode:[signalfd]", FD_SIGNALFD, "signalfd" },
	{ "anon_inode:inotify", FD_INOTIFY, "inotify" },
	{ "anon_inode:[fanotify]", FD_INOTIFY, "fanotify" },
	{ "anon_inode:[io_uring]", FD_URING, "io_uring" },
	{ "anon_inode:[pidfd]", FD_PIDFD, "pidfd" },
	{ "pidfd:[", FD_PIDFD, "pidfd" }, /* since Linux 6.9: fs/pidfs.c */
	{ "anon_inode:", FD_ANON, NULL },
	{ "pipe:[", FD_PIPE, NULL },
	{ "socket:[", FD_SOCKET, NULL },
};

static int describe_socket(struct calls *c, struct call_proc *p, struct call_fd *f)
{
	struct phrase *text = &c->scratch;
	int err = call_net__find(c, p, f->ino, &f->sock);

	if (err)
		return err;
	f->ns = p->net;
	text->len = 0;
	if (f->sock)
		call_net__describe(f->ns, f->sock, text);
	else
		call_net__other(p->tid, f->fd, f->link, text);
	f->object = intern__add(c->strings, text->text);
	return f->object ? 0 : -ENOMEM;
}

static int describe_pidfd(struct calls *c, struct call_fd *f, uint32_t tid)
{
	uint64_t pid;
	char text[64];

	if (!call_fd__info(tid, f->fd, "Pid", 10, &pid) || pid > INT32_MAX)
		return 0;
	f->ino = pid;
	snprintf(text, sizeof(text), "pidfd of %u", (uint32_t)pid);
	f->object = intern__add(c->strings, text);
	return f->object ? 0 : -ENOMEM;
}

static int find_type(struct calls *c, struct call_proc *p, struct call_fd *f)
{
	if (*f->link == '/' || *f->link == '(')
		return find_path_type(c, p, f);
	for (size_t i = 0; i < sizeof(anon) / sizeof(anon[0]); i++) {
		const char *number = strchr(f->link, '[');

		if (strncmp(f->link, anon[i].link, strlen(anon[i].link)))
			continue;
		f->type = anon[i].type;
		if (anon[i].object)
			f->object = anon[i].object;
		if (number && (f->type == FD_PIPE || f->type == FD_SOCKET))
			f->ino = strtoull(number + 1, NULL, 10);
		if (f->type == FD_SOCKET)
			return describe_socket(c, p, f);
		if (f->type == FD_EPOLL)
			f->epoll = calloc(1, sizeof(*f->epoll));
		if (f->type == FD_EPOLL && !f->epoll)
			return -ENOMEM;
		return f->type == FD_PIDFD ? describe_pidfd(c, f, p->tid) : 0;
	}
	f->type = FD_ANON;
	return 0;
}

static int look(struct calls *c, uint32_t tgid, uint32_t tid, struct call_fd *f)
{
	char path[64], link[4096], number[32];
	struct call_proc *p;
	int err = call_proc__get(c, tgid, tid, &p);

	if (err)
		return err;
	f->fstype = "";
	snprintf(path, sizeof(path), "/proc/%u/fd/%d", p->tid, f->fd);
	if (f->fd < 0 || !call_proc__readlink(path, link, sizeof(link))) {
		snprintf(number, sizeof(number), "descriptor %d", f->fd);
		f->link = "";
		f->object = intern__add(c->strings, number);
		return f->object ? 0 : -ENOMEM;
	}
	f->link = f->object = intern__add(c->strings, link);
	return f->link ? find_type(c, p, f) : -ENOMEM;
}

static bool same_fd(const void *value, const void *key)
{
	const struct call_fd *a = value, *b = key;

	return a->tgid == b->tgid && a->fd == b->fd;
}

int call_fd__get(struct calls *c, uint32_t tgid, uint32_t tid, int fd, const struct call_fd **ret)
{
	struct call_fd key = { .tgid = tgid, .fd = fd };
	uint64_t hash = hash__mix(hash__mix(c->seed, tgid), (uint32_t)fd);
	struct call_fd *f = table__find(&c->fds, hash, same_fd, &key);
	int err;

	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		f->tgid = tgid;
		f->fd = fd;
		err = look(c, tgid, tid, f);
		if (!err)
			err = table__add(&c->fds, hash, f);
		if (err) {
			free_fd(f);
			return err;
		}
	}
	*ret = f;
	return 0;
}

enum call_kind call_fd__kind(const struct call_fd *f)
{
	switch (f->type) {
	case FD_FILE:
		return CALL_FILE;
	case FD_PIPE:
		return CALL_PIPE;
	case FD_SOCKET:
		return CALL_SOCKET;
	case FD_CHAR:
		return CALL_TERMINAL;
	case FD_EPOLL:
		return CALL_POLL;
	case FD_SIGNALFD:
		return CALL_SIGNAL;
	case FD_PIDFD:
		return CALL_CHILD;
	case FD_EVENTFD:
	case FD_TIMERFD:
	case FD_INOTIFY:
	case FD_URING:
	case FD_ANON:
		return CALL_EVENT;
	case FD_UNKNOWN:
		break;
	}
	return CALL_OTHER;
}
