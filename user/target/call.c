// SPDX-License-Identifier: GPL-2.0-only
/* The table of calls that wait, and the way from a number to a description. */
#include "user/target/call_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "user/target/call_new.h"

static const char *const kinds[CALL_KINDS] = {
	[CALL_INVALID] = "invalid",   [CALL_OTHER] = "other",	[CALL_FUTEX] = "futex",
	[CALL_FILE] = "file",	      [CALL_PIPE] = "pipe",	[CALL_SOCKET] = "socket",
	[CALL_TERMINAL] = "terminal", [CALL_CHILD] = "child",	[CALL_TIMER] = "timer",
	[CALL_POLL] = "poll",	      [CALL_SIGNAL] = "signal", [CALL_IPC] = "ipc",
	[CALL_EVENT] = "event",	      [CALL_VFORK] = "vfork",	[CALL_STOPPED] = "stopped",
	[CALL_FAULT] = "fault",
};

const char *call_kind__name(enum call_kind kind)
{
	return kinds[kind > CALL_INVALID && kind < CALL_KINDS ? kind : CALL_INVALID];
}

/* All that the headers of the build know, made by the Makefile, and what is newer than they may be. */
static const char *const names[] = {
#define CALL(name) [__NR_##name] = #name,
#include "user/target/call_names.inc"
#undef CALL
};

const char *call__name(long nr)
{
	return nr >= 0 && (size_t)nr < sizeof(names) / sizeof(names[0]) ? names[nr] : NULL;
}

/* One row a call; the others wait for nothing that can be told. */
#define ROW(name, ...)	   [SYS_##name] = { __VA_ARGS__ }
#define TAKE(name, word)   ROW(name, call__fd, word, .arg = 0)
#define GIVE(name, word)   ROW(name, call__fd, word, .arg = 0, .writes = true)
#define PATH(name, number) ROW(name, call__path, "of ", CALL_FILE, .arg = number, .dir_arg = NO_ARG)
#define PATHAT(name)	   ROW(name, call__path, "of ", CALL_FILE, .arg = 1, .dir_arg = 0)
#define PLAIN(name, kind)  ROW(name, call__plain, "", kind)

static const struct call_shape shapes[] = {
	TAKE(read, "from "),
	TAKE(pread64, "from "),
	TAKE(readv, "from "),
	TAKE(preadv, "from "),
	TAKE(preadv2, "from "),
	TAKE(recvfrom, "from "),
	TAKE(recvmsg, "from "),
	TAKE(recvmmsg, "from "),
	TAKE(accept, "on "),
	TAKE(accept4, "on "),
	TAKE(getdents64, "of "),
	GIVE(write, "to "),
	GIVE(pwrite64, "to "),
	GIVE(writev, "to "),
	GIVE(pwritev, "to "),
	GIVE(pwritev2, "to "),
	GIVE(sendmsg, "to "),
	GIVE(sendmmsg, "to "),
	GIVE(vmsplice, "to "),
	ROW(sendto, call__sendto, "to ", .writes = true),
	ROW(connect, call__connect, "to "),
	GIVE(fsync, "of "),
	GIVE(fdatasync, "of "),
	GIVE(sync_file_range, "of "),
	GIVE(syncfs, "of the file system of "),
	GIVE(ftruncate, "of "),
	GIVE(fallocate, "of "),
	TAKE(close, "of "),
	TAKE(lseek, "in "),
	TAKE(readahead, "of "),
	TAKE(fadvise64, "of "),
	TAKE(ioctl, "on "),
	TAKE(fchdir, "to "),
	TAKE(fstat, "of "),
	GIVE(fchmod, "of "),
	GIVE(shutdown, "of "),
	ROW(flock, call__fcntl, "on "),
	ROW(fcntl, call__fcntl, "on "),
	ROW(splice, call__splice),
	ROW(tee, call__splice),
	ROW(sendfile, call__splice),
	ROW(copy_file_range, call__splice),
	PATHAT(openat),
	PATHAT(openat2),
	PATHAT(newfstatat),
	PATHAT(statx),
	PATHAT(faccessat),
	PATHAT(faccessat2),
	PATHAT(unlinkat),
	PATHAT(mkdirat),
	PATHAT(renameat),
	PATHAT(renameat2),
	PATHAT(linkat),
	PATHAT(readlinkat),
	PATHAT(fchmodat),
	PATHAT(fchownat),
	PATHAT(execveat),
	PATHAT(utimensat),
	PATH(truncate, 0),
	PATH(execve, 0),
	PATH(chdir, 0),
	PATH(statfs, 0),
	PATH(umount2, 0),
	PATH(mount, 1),
	PATH(symlinkat, 2),
	PATH(getxattr, 0),
	PATH(setxattr, 0),
	ROW(ppoll, call__poll, "of ", CALL_POLL),
	ROW(pselect6, call__select, "of ", CALL_POLL),
	ROW(epoll_pwait, call__epoll, "of ", CALL_POLL),
	ROW(epoll_pwait2, call__epoll, "of ", CALL_POLL),
	ROW(nanosleep, call__nanosleep, "for ", CALL_TIMER),
	ROW(clock_nanosleep, call__clock_nanosleep, "for ", CALL_TIMER),
	ROW(rt_sigsuspend, call__any_signal, "for ", CALL_SIGNAL),
	ROW(rt_sigtimedwait, call__sigtimedwait, "for ", CALL_SIGNAL),
	ROW(wait4, call__wait4, "for ", CALL_CHILD),
	ROW(waitid, call__waitid, "for ", CALL_CHILD),
	ROW(clone, call__clone, "", CALL_VFORK),
	ROW(clone3, call__clone, "", CALL_VFORK),
	ROW(semop, call__semop, "on ", CALL_IPC),
	ROW(semtimedop, call__semop, "on ", CALL_IPC, .arg = 3),
	ROW(msgrcv, call__msg, "from ", CALL_IPC),
	ROW(msgsnd, call__msg, "to ", CALL_IPC, .writes = true),
	ROW(mq_timedreceive, call__mq, "from ", CALL_IPC),
	ROW(mq_timedsend, call__mq, "to ", CALL_IPC, .writes = true),
	ROW(io_uring_enter, call__uring, "of ", CALL_EVENT),
	PLAIN(io_getevents, CALL_EVENT),
	PLAIN(io_pgetevents, CALL_EVENT),
	PLAIN(io_submit, CALL_FILE),
	PLAIN(sync, CALL_FILE),
	PLAIN(msync, CALL_FILE),
	PLAIN(futex, CALL_FUTEX),
	PLAIN(futex_waitv, CALL_FUTEX),
	PLAIN(futex_wait, CALL_FUTEX),
	PLAIN(futex_requeue, CALL_FUTEX),
	PLAIN(futex_wake, CALL_FUTEX),
	ROW(restart_syscall, call__restart, "", CALL_OTHER),
#ifdef SYS_open /* what asm-generic/unistd.h, and so arm64, has no more */
	PATH(open, 0),
	PATH(creat, 0),
	PATH(stat, 0),
	PATH(lstat, 0),
	PATH(access, 0),
	PATH(unlink, 0),
	PATH(mkdir, 0),
	PATH(rmdir, 0),
	PATH(rename, 0),
	PATH(link, 0),
	PATH(readlink, 0),
	PATH(chmod, 0),
	PATH(chown, 0),
	PATH(mknod, 0),
	PATH(symlink, 1),
	TAKE(getdents, "of "),
	ROW(poll, call__poll, "of ", CALL_POLL),
	ROW(select, call__select, "of ", CALL_POLL),
	ROW(epoll_wait, call__epoll, "of ", CALL_POLL),
	ROW(pause, call__any_signal, "for ", CALL_SIGNAL),
	ROW(vfork, call__clone, "", CALL_VFORK),
#endif
};

bool call__takes_fd(long nr)
{
	const struct call_shape *s;

	if (nr < 0 || (size_t)nr >= sizeof(shapes) / sizeof(shapes[0]))
		return false;
	s = &shapes[nr];
	return s->arg == 0 && (s->describe == call__fd || s->describe == call__fcntl ||
			       s->describe == call__sendto || s->describe == call__connect ||
			       s->describe == call__epoll || s->describe == call__uring);
}

static const struct call_shape other = { call__plain, "", CALL_OTHER, 0, 0, false };

void phrase__add(struct phrase *p, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(p->text + p->len, sizeof(p->text) - p->len, fmt, args);
	va_end(args);
	if (n > 0)
		p->len += n;
	if (p->len > sizeof(p->text) - 1)
		p->len = sizeof(p->text) - 1;
}

int calls__new(struct calls **ret)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (intern__new(&c->strings)) {
		free(c);
		return -ENOMEM;
	}
	/* Before the kernel has entropy we do without. */
	if (getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK) != sizeof(c->seed))
		c->seed = (uintptr_t)c;
	*ret = c;
	return 0;
}

void calls__free(struct calls *c)
{
	if (!c)
		return;
	table__clear(&c->procs, free);
	call_fd__free(c);
	call_net__free(c);
	call_peers__free(c);
	call_lock__free(c);
	intern__free(c->strings);
	free(c);
}

int call_at__read(const struct call_at *at, uint64_t addr, void *buf, size_t sz)
{
	if (!at->read || !addr)
		return -EFAULT;
	return at->read(at->read_ctx, addr, buf, sz);
}

int call__object(struct call_at *at, const char *object)
{
	at->ret->object = intern__add(at->c->strings, object);
	return at->ret->object ? 0 : -ENOMEM;
}

int call__plain(struct call_at *at)
{
	return 0;
}

static int begin(struct call_at *at, bool compat)
{
	const char *name = call__name(at->nr);
	char number[48];

	at->shape = &other;
	if (!compat && at->nr >= 0 && (size_t)at->nr < sizeof(shapes) / sizeof(shapes[0]) &&
	    shapes[at->nr].describe)
		at->shape = &shapes[at->nr];
	at->ret->kind = at->shape->kind ? at->shape->kind : CALL_OTHER;
	if (at->nr < 0) {
		at->ret->call = "";
		return 0;
	}
	if (name && !compat) {
		at->ret->call = name;
		return 0;
	}
	snprintf(number, sizeof(number), "%s %ld", compat ? "32-bit call" : "call", at->nr);
	at->ret->call = intern__add(at->c->strings, number);
	return at->ret->call ? 0 : -ENOMEM;
}

static const struct call_wait nothing = {
	.kind = CALL_OTHER,
	.call = "",
	.what = "",
	.object = "",
	.fd = -1,
	.timeout_ns = UINT64_MAX,
};

static int end(struct call_at *at, int err)
{
	struct call_wait *w = at->ret;
	const char *what = err ? NULL : intern__add(at->c->strings, at->what.text);

	if (!what) {
		*w = nothing;
		return -ENOMEM;
	}
	w->what = what;
	return 0;
}

int calls__describe(struct calls *c, uint32_t tgid, uint32_t tid, long nr, const uint64_t args[6],
		    bool compat, bool peers, call_read_fn read, void *read_ctx,
		    struct call_wait *ret)
{
	struct call_at at;
	int err;

	/* The sentence is large, and is not cleared for each thread. */
	at.c = c;
	at.tgid = tgid;
	at.tid = tid;
	at.nr = nr;
	at.args = args;
	at.peers = peers;
	at.read = read;
	at.read_ctx = read_ctx;
	at.ret = ret;
	at.what.len = 0;
	at.what.text[0] = '\0';
	*ret = nothing;
	err = begin(&at, compat);
	if (!err)
		err = nr < 0 ? call__in_none(&at) : at.shape->describe(&at);
	return end(&at, err);
}

int calls__describe_stopped(struct calls *c, uint32_t tgid, uint32_t tid, struct call_wait *ret)
{
	struct call_at at = {
		.c = c, .tgid = tgid, .tid = tid, .nr = -1, .peers = true, .ret = ret
	};

	*ret = nothing;
	return end(&at, call__stopped(&at));
}
