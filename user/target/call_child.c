// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that wait for children, threads that wait in no call, and those that are stopped. Children are in
 * /proc/TID/task/TID/children (Linux 4.2, CONFIG_PROC_CHILDREN), oldest first.
 */
#include "user/target/call_internal.h"

#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILDREN_FILE_MAX 16384
#define THREADS_ASKED	  64

/* Calls fn for each child of a thread until it returns other than 0, which is returned. */
typedef int (*child_fn)(void *ctx, uint32_t pid);

static int each_child_of(uint32_t tgid, uint32_t tid, child_fn fn, void *ctx)
{
	char path[64], text[CHILDREN_FILE_MAX];
	char *at = text, *end;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/children", tgid, tid);
	call_proc__read(path, text, sizeof(text));
	while (!err) {
		unsigned long pid = strtoul(at, &end, 10);

		/* A number at the end may have been cut: each is followed by a blank. */
		if (end == at || *end != ' ')
			break;
		at = end;
		err = fn(ctx, pid);
	}
	return err;
}

/* Any thread may wait for the children of all. */
static int each_child(uint32_t tgid, child_fn fn, void *ctx)
{
	struct dirent *entry;
	size_t threads = 0;
	char path[64];
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	dir = opendir(path);
	while (dir && !err && threads < THREADS_ASKED && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		threads++;
		err = each_child_of(tgid, strtoul(entry->d_name, NULL, 10), fn, ctx);
	}
	if (dir)
		closedir(dir);
	return err;
}

struct children {
	struct calls *c;
	struct call_peers found;
	uint32_t last;
	int depth;	/* by_inner(): at which place of NSpid its parent's namespace stands */
	uint32_t inner; /* the number in it that is looked for */
};

static int collect(void *ctx, uint32_t pid)
{
	struct children *all = ctx;
	struct call_peers *p = &all->found;
	const char *comm;

	all->last = pid;
	if (p->cnt < CALL_PEERS) {
		if (call_proc__comm(all->c, pid, &comm))
			return -ENOMEM;
		p->peer[p->cnt].tgid = pid;
		snprintf(p->peer[p->cnt].comm, sizeof(p->peer[0].comm), "%s", comm);
	}
	p->cnt++;
	return 0;
}

/* Numbers of a process, from our PID namespace to its own; which: one of them, 0: there are less. */
static int ns_pid(uint32_t tid, int which, uint32_t *ret)
{
	char text[256], *at = text, *end;
	int cnt = 0;

	*ret = 0;
	if (!call_proc__status(tid, "NSpid", text, sizeof(text)))
		return 0;
	for (;; at = end) {
		unsigned long pid = strtoul(at, &end, 10);

		if (end == at)
			return cnt;
		if (++cnt == which)
			*ret = pid;
	}
}

static int by_inner(void *ctx, uint32_t pid)
{
	struct children *s = ctx;
	uint32_t inner;

	ns_pid(pid, s->depth, &inner);
	s->last = pid;
	return inner == s->inner;
}

/* The process that the caller knows as pid; 0: not found. */
static int outer_pid(struct call_at *at, uint32_t pid, uint32_t *ret)
{
	struct children s = { .c = at->c, .inner = pid };
	struct call_proc *p;
	uint32_t ignored;
	int err = call_proc__get(at->c, at->tgid, at->tid, &p);

	if (err)
		return err;
	if (!p->ns_depth)
		p->ns_depth = ns_pid(at->tid, 0, &ignored);
	*ret = pid;
	if (p->ns_depth < 2)
		return 0;
	s.depth = p->ns_depth;
	*ret = each_child(at->tgid, by_inner, &s) ? s.last : 0;
	return 0;
}

static int tell_one(struct call_at *at, uint32_t pid)
{
	uint32_t outer;
	int err = outer_pid(at, pid, &outer);

	if (err)
		return err;
	at->ret->child = outer;
	if (outer)
		return call_peers__tell_one(at, outer, "for child ");
	phrase__add(&at->what, "for child %u of its PID namespace", pid);
	return 0;
}

static int tell_any(struct call_at *at)
{
	struct children all = { .c = at->c };
	int err = each_child(at->tgid, collect, &all);

	if (err)
		return err;
	if (!all.found.cnt) {
		phrase__add(&at->what, "for any child");
		return 0;
	}
	phrase__add(&at->what, "for any child of %zu", all.found.cnt);
	call_peers__tell(at, &all.found, ": ");
	return 0;
}

static int tell_group(struct call_at *at, uint32_t pgid)
{
	if (pgid)
		phrase__add(&at->what, "for a child in process group %u", pgid);
	else
		phrase__add(&at->what, "for a child in its own process group");
	return 0;
}

int call__wait4(struct call_at *at)
{
	int pid = (int)at->args[0];

	if (pid == -1)
		return tell_any(at);
	return pid > 0 ? tell_one(at, pid) : tell_group(at, -(uint32_t)pid);
}

int call__waitid(struct call_at *at)
{
	const struct call_fd *f;
	int err;

	switch ((idtype_t)at->args[0]) {
	case P_ALL:
		return tell_any(at);
	case P_PID:
		return tell_one(at, at->args[1]);
	case P_PGID:
		return tell_group(at, at->args[1]);
	case P_PIDFD:
		err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[1], &f);
		if (err)
			return err;
		at->ret->fd = f->fd;
		at->ret->object = f->object;
		at->ret->child = f->type == FD_PIDFD ? f->ino : 0;
		if (at->ret->child)
			return call_peers__tell_one(at, at->ret->child, "for child ");
	}
	return 0;
}

/* A vfork returns when its child, the latest one, has called exec or exit. Other clones do not wait. */
int call__clone(struct call_at *at)
{
	struct children all = { .c = at->c };
	struct clone_args args;
	bool waits = true;
	int err;

	if (at->nr == SYS_clone)
		waits = at->args[0] & CLONE_VFORK;
	else if (at->nr == SYS_clone3)
		waits = !call_at__read(at, at->args[0], &args, CLONE_ARGS_SIZE_VER0) &&
			args.flags & CLONE_VFORK;
	if (!waits) {
		at->ret->kind = CALL_OTHER;
		return 0;
	}
	err = each_child_of(at->tgid, at->tid, collect, &all);
	if (err)
		return err;
	if (!all.last) {
		phrase__add(&at->what, "until its child calls exec or exit");
		return 0;
	}
	at->ret->child = all.last;
	err = call_peers__tell_one(at, all.last, "until ");
	phrase__add(&at->what, " calls exec or exit");
	return err;
}

/*
 * A call that a stop has interrupted; which one only the kernel's stack tells. Calls that are resumed this way are
 * poll, futex and those that sleep (set_restart_fn() and its callers), and for the last the stack names no function
 * of their own.
 */
int call__restart(struct call_at *at)
{
	char wchan[64];

	call_proc__wchan(at->tid, wchan, sizeof(wchan));
	if (strstr(wchan, "futex")) {
		at->ret->kind = CALL_FUTEX;
	} else if (strstr(wchan, "poll")) {
		at->ret->kind = CALL_POLL;
		phrase__add(&at->what, "to poll on");
	} else if (*wchan) {
		at->ret->kind = CALL_TIMER;
		phrase__add(&at->what, "to sleep on");
	}
	return 0;
}

int call__stopped(struct call_at *at)
{
	char text[64];
	uint32_t tracer = 0;

	at->ret->kind = CALL_STOPPED;
	if (call_proc__status(at->tid, "TracerPid", text, sizeof(text)))
		tracer = strtoul(text, NULL, 10);
	phrase__add(&at->what, "stopped");
	if (tracer)
		return call_peers__tell_one(at, tracer, ", traced by ");
	return 0;
}

int call__in_none(struct call_at *at)
{
	char state[64], wchan[64];

	if (!call_proc__status(at->tid, "State", state, sizeof(state)))
		return 0;
	if (*state == 'T' || *state == 't')
		return call__stopped(at);
	if (*state == 'R') {
		phrase__add(&at->what, "running");
		return 0;
	}
	call_proc__wchan(at->tid, wchan, sizeof(wchan));
	if (!strcmp(wchan, "handle_userfault")) /* fs/userfaultfd.c */
		phrase__add(&at->what, "for whoever handles its page faults (userfaultfd)");
	else if (*wchan)
		phrase__add(&at->what, "in the kernel's %s", wchan);
	/* Whoever sleeps by itself, like a worker of io_uring, is interruptible, or says so. */
	if (*state == 'D' || strstr(wchan, "fault"))
		at->ret->kind = CALL_FAULT;
	return 0;
}
