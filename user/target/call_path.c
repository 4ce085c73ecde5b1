// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that take a path: it is told as the thread's memory has it, from the directory that it starts at. It is not
 * looked up: that could hang like the thread does.
 */
#include "user/target/call_internal.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* The string at addr: by pages, since the next one may not be there. "" when it can't be read. */
static void read_string(const struct call_at *at, uint64_t addr, char *buf, size_t cap)
{
	size_t len = 0, part;

	while (len < cap - 1) {
		part = 256 - (addr + len) % 256;
		if (part > cap - 1 - len)
			part = cap - 1 - len;
		if (call_at__read(at, addr + len, buf + len, part))
			break;
		if (memchr(buf + len, '\0', part))
			return;
		len += part;
	}
	buf[len] = '\0';
}

static int add_directory(struct call_at *at, struct phrase *p)
{
	int dir = at->shape->dir_arg == NO_ARG ? AT_FDCWD : (int)at->args[at->shape->dir_arg];
	char path[64], link[4096];
	const struct call_fd *f;
	int err;

	if (dir != AT_FDCWD) {
		err = call_fd__get(at->c, at->tgid, at->tid, dir, &f);
		if (!err)
			phrase__add(p, "%s", f->link);
		return err;
	}
	snprintf(path, sizeof(path), "/proc/%u/cwd", at->tid);
	call_proc__readlink(path, link, sizeof(link));
	phrase__add(p, "%s", link);
	return 0;
}

/* Which end of a FIFO an open waits for is that which it does not open. */
static uint64_t open_flags(const struct call_at *at)
{
	struct open_how how;

	switch (at->nr) {
#ifdef SYS_open
	case SYS_open:
		return at->args[1];
	case SYS_creat:
		return O_WRONLY;
#endif
	case SYS_openat2:
		return call_at__read(at, at->args[2], &how, sizeof(how)) ? 0 : how.flags;
	default:
		return at->args[2];
	}
}

static bool opens(const struct call_at *at)
{
#ifdef SYS_open
	if (at->nr == SYS_open || at->nr == SYS_creat)
		return true;
#endif
	return at->nr == SYS_openat || at->nr == SYS_openat2;
}

int call__path(struct call_at *at)
{
	struct phrase *p = &at->c->scratch;
	char path[4096], wchan[64] = "";
	int err = 0;

	p->len = 0;
	p->text[0] = '\0';
	read_string(at, at->args[at->shape->arg], path, sizeof(path));
	if (!*path)
		return 0;
	if (*path != '/') {
		err = add_directory(at, p);
		if (p->len && p->text[p->len - 1] != '/')
			phrase__add(p, "/");
	}
	phrase__add(p, "%s", path);
	if (!err)
		err = call__object(at, p->text);
	if (err)
		return err;
	phrase__add(&at->what, "%s%s", at->shape->word, at->ret->object);
	if (!opens(at))
		return 0;
	/* Only the kernel's stack tells that it is a FIFO (fs/pipe.c, fifo_open() and wait_for_partner()). */
	call_proc__wchan(at->tid, wchan, sizeof(wchan));
	if (strcmp(wchan, "wait_for_partner") && strcmp(wchan, "fifo_open"))
		return 0;
	at->ret->kind = CALL_PIPE;
	phrase__add(&at->what, ", a FIFO that nobody has opened for %s yet",
		    (open_flags(at) & O_ACCMODE) == O_WRONLY ? "reading" : "writing");
	return 0;
}
