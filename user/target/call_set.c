// SPDX-License-Identifier: GPL-2.0-only
/* Calls that wait for any of several descriptors: poll, select, epoll. The first few are described. */
#include "user/target/call_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define POLLFDS_READ 64
/* select() takes more than FD_SETSIZE; sets of more descriptors than this are counted up to here. */
#define SELECT_FDS 8192
/* The kernel writes fdinfo of an epoll set in one piece, under its lock: too much of it is not asked for. */
#define EPOLL_FDSIZE 65536

struct set {
	struct call_at *at;
	struct fd_set_info has;
};

static void add_member(struct fd_set_info *s, int fd, bool writes)
{
	s->cnt++;
	if (s->known == SET_TOLD)
		return;
	s->fd[s->known] = fd;
	s->writes[s->known++] = writes;
}

/* A set of one is that one: it has an object and peers. */
static int tell_only(struct call_at *at, const struct call_fd *f, bool writes)
{
	uint64_t left;

	at->ret->object = f->object;
	at->ret->fd = f->fd;
	if (f->type == FD_TIMERFD) {
		left = call_fd__timer_left_ns(at->tid, f->fd);
		if (left != UINT64_MAX)
			phrase__add_duration(&at->what, ", which fires in ", left);
	}
	return call_fd__add_peers(at, f, writes);
}

static int tell(struct call_at *at, const struct fd_set_info *s)
{
	const struct call_fd *f;
	int err;

	if (s->cnt)
		phrase__add(&at->what, "of %s%zu descriptor%s", s->more ? "at least " : "", s->cnt,
			    s->cnt == 1 ? "" : "s");
	else
		phrase__add(&at->what, s->more ? "of many descriptors" : "of no descriptors");
	for (size_t i = 0; i < s->known; i++) {
		err = call_fd__get(at->c, at->tgid, at->tid, s->fd[i], &f);
		if (err)
			return err;
		phrase__add(&at->what, "%s%s", i ? ", " : ": ", f->object);
		if (s->cnt == 1 && !s->more)
			return tell_only(at, f, s->writes[0]);
	}
	if (s->known && s->cnt > s->known)
		phrase__add(&at->what, ", …");
	return 0;
}

static void read_pollfds(const struct call_at *at, struct fd_set_info *s)
{
	struct pollfd fds[POLLFDS_READ];
	uint64_t addr = at->args[0], cnt = (uint32_t)at->args[1];
	size_t some = cnt < POLLFDS_READ ? cnt : POLLFDS_READ;

	if (call_at__read(at, addr, fds, some * sizeof(fds[0]))) {
		s->cnt = cnt;
		return;
	}
	/* A negative one is ignored by poll(2). */
	for (size_t i = 0; i < some; i++)
		if (fds[i].fd >= 0)
			add_member(s, fds[i].fd, !(fds[i].events & (POLLIN | POLLPRI)));
	s->cnt += cnt - some;
}

int call__poll(struct call_at *at)
{
	struct fd_set_info s = { 0 };
	uint64_t ns;
	int err;

	read_pollfds(at, &s);
	err = tell(at, &s);
	if (err)
		return err;
	if (at->nr == SYS_ppoll)
		ns = call_at__timespec_ns(at, at->args[2]);
	else
		ns = (int)at->args[2] < 0 ? UINT64_MAX : (int)at->args[2] * 1000000ULL;
	call_at__add_timeout(at, ns);
	return 0;
}

static void read_fd_set(const struct call_at *at, uint64_t addr, size_t words, uint64_t *bits)
{
	memset(bits, 0, words * sizeof(*bits));
	if (addr && call_at__read(at, addr, bits, words * sizeof(*bits)))
		memset(bits, 0, words * sizeof(*bits));
}

static void read_fd_sets(const struct call_at *at, struct fd_set_info *s)
{
	uint64_t bits[3][SELECT_FDS / 64];
	int fds = (int)at->args[0] > 0 ? (int)at->args[0] : 0;
	size_t cnt = fds < SELECT_FDS ? fds : SELECT_FDS, words = (cnt + 63) / 64;
	uint64_t any, bit;

	for (size_t i = 0; i < 3; i++)
		read_fd_set(at, at->args[1 + i], words, bits[i]);
	for (size_t fd = 0; fd < cnt; fd++) {
		bit = 1ULL << fd % 64;
		any = bits[0][fd / 64] | bits[1][fd / 64] | bits[2][fd / 64];
		if (any & bit)
			add_member(s, fd, !((bits[0][fd / 64] | bits[2][fd / 64]) & bit));
	}
	s->more = (size_t)fds > cnt;
}

int call__select(struct call_at *at)
{
	struct fd_set_info s = { 0 };
	int err;

	read_fd_sets(at, &s);
	err = tell(at, &s);
	if (err)
		return err;
	call_at__add_timeout(at, at->nr == SYS_pselect6 ? call_at__timespec_ns(at, at->args[4])
							: call_at__timeval_ns(at, at->args[4]));
	return 0;
}

/* "tfd:        3 events:       1f data: … ino:e7086 sdev:f" (fs/eventpoll.c, ep_show_fdinfo()) */
static int read_epoll(uint32_t tid, int fd, struct fd_set_info *s)
{
	struct lines *l;
	unsigned int events;
	char path[64], size[16];
	int member;
	char *line;

	s->read = true;
	if (!call_proc__status(tid, "FDSize", size, sizeof(size)) ||
	    strtoul(size, NULL, 10) > EPOLL_FDSIZE) {
		s->more = true;
		return 0;
	}
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", tid, fd);
	if (lines__open(l, path, EPOLL_FDSIZE * 100UL))
		while ((line = lines__next(l)))
			if (sscanf(line, "tfd: %d events: %x", &member, &events) == 2)
				add_member(s, member, !(events & (POLLIN | POLLPRI)));
	lines__close(l);
	free(l);
	return 0;
}

int call__epoll(struct call_at *at)
{
	const struct call_fd *f;
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[0], &f);

	if (!err && f->epoll && !f->epoll->read)
		err = read_epoll(at->tid, f->fd, f->epoll);
	if (err)
		return err;
	at->ret->fd = f->fd;
	at->ret->object = f->object;
	err = f->epoll ? tell(at, f->epoll) : 0;
	if (err)
		return err;
	if (at->nr == SYS_epoll_pwait2)
		call_at__add_timeout(at, call_at__timespec_ns(at, at->args[3]));
	else
		call_at__add_timeout(at, (int)at->args[3] < 0 ? UINT64_MAX
							      : (int)at->args[3] * 1000000ULL);
	return 0;
}
