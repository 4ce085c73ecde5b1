// SPDX-License-Identifier: GPL-2.0-only
/* Calls on one descriptor, and who has its other end. */
#include "user/target/call_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What one looks for among the descriptors whose links are equal. */
struct wanted {
	bool writes;	/* the end of a pipe that takes, not the one that gives */
	uint64_t ino;	/* FIFO: of this inode; 0: a pipe, of which the link says all */
	uint64_t index; /* terminal: of this number */
};

/* The mode of a link in /proc/TID/fd is how the file was opened: 0500, 0300, 0700 (fs/proc/fd.c). */
static bool is_end(void *ctx, uint32_t tid, int fd)
{
	const struct wanted *w = ctx;
	struct stat st;
	uint64_t ino;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", tid, fd);
	if (lstat(path, &st) || !(st.st_mode & (w->writes ? S_IRUSR : S_IWUSR)))
		return false;
	/* "ino" is there since Linux 5.14 (commit 3845f256a8b5). */
	return !w->ino || !call_fd__info(tid, fd, "ino", 10, &ino) || ino == w->ino;
}

int call_pipe__add_peers(struct call_at *at, const struct call_fd *f, bool writes)
{
	struct wanted w = { .writes = writes };
	bool named = *f->link == '/';
	const struct call_peers *p;
	int err;

	if (!at->peers)
		return 0;
	if (named)
		call_fd__info(at->tid, f->fd, "ino", 10, &w.ino);
	err = call_peers__find(at->c, call_peers__key(at->c, f->link), hash__mix(w.ino, writes),
			       is_end, &w, &p);

	if (err)
		return err;
	/* A FIFO may have other names; an end may be on its way through a socket. */
	if (!p->cnt && !named && !call_peers__partial(at->c))
		phrase__add(&at->what, ", which is open for %s in no process",
			    writes ? "reading" : "writing");
	call_peers__tell(at, p,
			 writes ? ", which is open for reading in "
				: ", which is open for writing in ");
	return 0;
}

/* The index of a master is in its fdinfo since Linux 4.15: drivers/tty/pty.c, pty_show_fdinfo(). */
static bool is_master(void *ctx, uint32_t tid, int fd)
{
	const struct wanted *w = ctx;
	uint64_t index;

	return call_fd__info(tid, fd, "tty-index", 10, &index) && index == w->index;
}

static int terminal_peers(struct call_at *at, const struct call_fd *f)
{
	static const char *const masters[] = { "/dev/ptmx", "/dev/pts/ptmx" };
	const struct call_peers *p;
	struct wanted w;
	char *end;
	int err;

	if (strncmp(f->link, "/dev/pts/", 9))
		return 0;
	w.index = strtoull(f->link + 9, &end, 10);
	if (end == f->link + 9 || *end)
		return 0;
	for (size_t i = 0; i < sizeof(masters) / sizeof(masters[0]); i++) {
		err = call_peers__find(at->c, call_peers__key(at->c, masters[i]), w.index,
				       is_master, &w, &p);
		if (err)
			return err;
		if (!p->cnt)
			continue;
		call_peers__tell(at, p, ", at the other end ");
		return 0;
	}
	return 0;
}

static int socket_peers(struct call_at *at, const struct call_fd *f)
{
	uint64_t other = f->sock ? call_net__other_end(at->c, f->ns, f->sock) : 0;
	const struct call_peers *p;
	int err;

	if (!other)
		return 0;
	err = call_peers__find(at->c, call_peers__socket_key(at->c, other), 0, NULL, NULL, &p);
	if (!err)
		call_peers__tell(at, p, ", at the other end ");
	return err;
}

int call_fd__add_peers(struct call_at *at, const struct call_fd *f, bool writes)
{
	if (!at->peers)
		return 0;
	switch (f->type) {
	case FD_PIPE:
		return call_pipe__add_peers(at, f, writes);
	case FD_SOCKET:
		return socket_peers(at, f);
	case FD_CHAR:
		return terminal_peers(at, f);
	case FD_PIDFD:
		return f->ino ? call_peers__tell_one(at, f->ino, ": ") : 0;
	default:
		return 0;
	}
}

/* What only the descriptor itself tells, and what changes: it is not kept. */
static void add_fdinfo(struct call_at *at, const struct call_fd *f)
{
	uint64_t mask, left;

	if (f->type == FD_TIMERFD) {
		left = call_fd__timer_left_ns(at->tid, f->fd);
		if (left == UINT64_MAX) {
			phrase__add(&at->what, ", which is not armed");
			return;
		}
		at->ret->timeout_ns = left;
		at->ret->timeout_left = true;
		phrase__add_duration(&at->what, ", which fires in ", left);
	} else if (f->type == FD_SIGNALFD && call_fd__info(at->tid, f->fd, "sigmask", 16, &mask)) {
		phrase__add(&at->what, " for ");
		phrase__add_signals(&at->what, mask);
	}
}

/* Sets what is told of a descriptor, and begins the sentence with it. */
static int tell(struct call_at *at, const struct call_fd *f, const char *word)
{
	at->ret->fd = f->fd;
	at->ret->object = f->object;
	at->ret->kind = call_fd__kind(f);
	phrase__add(&at->what, "%s%s", word, f->object);
	if (*f->fstype && f->type == FD_FILE &&
	    (!strncmp(f->fstype, "nfs", 3) || !strncmp(f->fstype, "fuse", 4) ||
	     !strcmp(f->fstype, "cifs") || !strcmp(f->fstype, "ceph") || !strcmp(f->fstype, "9p")))
		phrase__add(&at->what, " (%s)", f->fstype);
	return 0;
}

int call__fd(struct call_at *at)
{
	const struct call_fd *f;
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[at->shape->arg], &f);

	if (err)
		return err;
	tell(at, f, at->shape->word);
	add_fdinfo(at, f);
	return call_fd__add_peers(at, f, at->shape->writes);
}

int call__fcntl(struct call_at *at)
{
	const struct call_fd *f;
	bool locks = at->nr == SYS_flock || at->args[1] == F_SETLKW || at->args[1] == F_OFD_SETLKW;
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[0], &f);

	if (err)
		return err;
	tell(at, f, locks ? "for a lock on " : at->shape->word);
	return locks ? call_lock__add_holder(at, f) : 0;
}

/*
 * From one descriptor to another, one of which is waited for: a file is not, if the other is something else. The
 * other end of two that both may wait is not looked for.
 */
int call__splice(struct call_at *at)
{
	bool out_first = at->nr == SYS_sendfile;
	int from_fd = (int)at->args[out_first ? 1 : 0], to_fd;
	const struct call_fd *from, *to, *waited;
	int err;

	to_fd = (int)at->args[out_first ? 0 : at->nr == SYS_tee ? 1 : 2];
	err = call_fd__get(at->c, at->tgid, at->tid, from_fd, &from);
	if (!err)
		err = call_fd__get(at->c, at->tgid, at->tid, to_fd, &to);
	if (err)
		return err;
	waited = from->type == FD_FILE ? to : from;
	tell(at, waited, "");
	at->what.len = 0;
	phrase__add(&at->what, "from %s to %s", from->object, to->object);
	if (from->type != FD_FILE && to->type != FD_FILE)
		return 0;
	return call_fd__add_peers(at, waited, waited == to);
}

/* An address that a call is given. cnt may be anything: what no family needs is not read. */
static int add_address(struct call_at *at, uint64_t addr, uint64_t cnt)
{
	struct sockaddr_storage to = { 0 };
	struct phrase text;
	size_t sz = cnt < sizeof(to) ? cnt : sizeof(to);

	text.len = 0;
	if (sz < sizeof(sa_family_t) || call_at__read(at, addr, &to, sz) ||
	    !call_net__sockaddr(&to, sz, &text))
		return 0;
	phrase__add(&at->what, "%s", text.text);
	return call__object(at, text.text);
}

int call__connect(struct call_at *at)
{
	static const char unix_word[] = "unix ";
	const struct call_peers *p;
	const struct call_fd *f;
	uint64_t listener = 0;
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[0], &f);

	if (err)
		return err;
	tell(at, f, "");
	at->what.len = 0;
	phrase__add(&at->what, "to ");
	err = add_address(at, at->args[1], (uint32_t)at->args[2]);
	if (err)
		return err;
	if (at->what.len == strlen("to ")) /* unreadable */
		phrase__add(&at->what, "somewhere, by %s", f->object);
	else if (!strncmp(at->ret->object, unix_word, strlen(unix_word)) && at->peers && f->ns)
		listener = call_net__listener(f->ns, at->ret->object + strlen(unix_word));
	if (!listener)
		return 0;
	/* A connect to a unix socket waits while the backlog is full. */
	err = call_peers__find(at->c, call_peers__socket_key(at->c, listener), 0, NULL, NULL, &p);
	if (!err)
		call_peers__tell(at, p, ", which is for ");
	return err;
}

int call__sendto(struct call_at *at)
{
	const char *object;
	int err = call__fd(at);

	if (err || !at->args[4] || !at->args[5])
		return err;
	object = at->ret->object;
	phrase__add(&at->what, ", for ");
	err = add_address(at, at->args[4], (uint32_t)at->args[5]);
	at->ret->object = object;
	return err;
}

int call__uring(struct call_at *at)
{
	const struct call_fd *f;
	uint32_t min = at->args[2];
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[0], &f);

	if (err)
		return err;
	at->ret->fd = f->fd;
	at->ret->object = f->object;
	phrase__add(&at->what, "for %u completion%s", min, min == 1 ? "" : "s");
	return 0;
}
