// SPDX-License-Identifier: GPL-2.0-only
/* Calls that wait for time, a signal, or System V and POSIX messages and semaphores. */
#include "user/target/call_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>

#include "user/util/text.h"

void phrase__add_duration(struct phrase *p, const char *before, uint64_t ns)
{
	char text[TEXT_DURATION_SZ];

	phrase__add(p, "%s%s", before, text__duration(ns, text));
}

/* Both structs are two longs on 64-bit machines. What no clock can hold is no timeout (and the call refuses it). */
static uint64_t read_time(const struct call_at *at, uint64_t addr, uint64_t unit_ns)
{
	int64_t pair[2];

	if (call_at__read(at, addr, pair, sizeof(pair)) || pair[0] < 0 ||
	    pair[0] >= INT64_MAX / 1000000000 || pair[1] < 0 || pair[1] >= 1000000000)
		return UINT64_MAX;
	return pair[0] * 1000000000ULL + pair[1] * unit_ns;
}

uint64_t call_at__timespec_ns(const struct call_at *at, uint64_t addr)
{
	return read_time(at, addr, 1);
}

uint64_t call_at__timeval_ns(const struct call_at *at, uint64_t addr)
{
	return read_time(at, addr, 1000);
}

void call_at__add_timeout(struct call_at *at, uint64_t ns)
{
	if (ns == UINT64_MAX)
		return;
	at->ret->timeout_ns = ns;
	phrase__add_duration(&at->what, ", for at most ", ns);
}

/* What is left until a clock shows deadline_ns; UINT64_MAX: it can't be told. */
static uint64_t left_ns(const struct call_at *at, int clock, uint64_t deadline_ns)
{
	struct timespec now;
	uint64_t now_ns;

	if (deadline_ns == UINT64_MAX)
		return UINT64_MAX;
	/* CPU-time clocks are the asker's own; a time namespace moves the others (time_namespaces(7)). */
	switch (clock) {
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		if (call_proc__ns(at->tid, "time") != call_proc__ns(0, "time"))
			return UINT64_MAX;
		break;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		break;
	default:
		return UINT64_MAX;
	}
	if (clock_gettime(clock, &now))
		return UINT64_MAX;
	now_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

void call_at__add_deadline(struct call_at *at, int clock, uint64_t deadline_ns)
{
	uint64_t left = left_ns(at, clock, deadline_ns);

	if (left == UINT64_MAX)
		return;
	at->ret->timeout_ns = left;
	at->ret->timeout_left = true;
	phrase__add_duration(&at->what, ", for another ", left);
	phrase__add(&at->what, " at most");
}

int call__nanosleep(struct call_at *at)
{
	uint64_t ns = call_at__timespec_ns(at, at->args[0]);

	if (ns == UINT64_MAX)
		return 0;
	at->ret->timeout_ns = ns;
	phrase__add_duration(&at->what, at->shape->word, ns);
	return 0;
}

int call__clock_nanosleep(struct call_at *at)
{
	uint64_t ns = call_at__timespec_ns(at, at->args[2]);
	int clock = (int)at->args[0];

	if (at->args[1] & TIMER_ABSTIME) {
		ns = left_ns(at, clock, ns);
		at->ret->timeout_left = ns != UINT64_MAX;
	}
	if (ns == UINT64_MAX)
		return 0;
	at->ret->timeout_ns = ns;
	phrase__add_duration(&at->what, at->ret->timeout_left ? "for another " : "for ", ns);
	/* Negative ones are those of some process or thread: clock_getcpuclockid(3). */
	if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID)
		phrase__add(&at->what, " of CPU time");
	return 0;
}

/* signal(7); numbers differ on other architectures than x86 and arm, so they are the headers'. */
void phrase__add_signals(struct phrase *p, uint64_t mask)
{
	static const char *const names[] = {
		[SIGHUP] = "HUP",	[SIGINT] = "INT",   [SIGQUIT] = "QUIT",
		[SIGILL] = "ILL",	[SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",
		[SIGBUS] = "BUS",	[SIGFPE] = "FPE",   [SIGKILL] = "KILL",
		[SIGUSR1] = "USR1",	[SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
		[SIGPIPE] = "PIPE",	[SIGALRM] = "ALRM", [SIGTERM] = "TERM",
		[SIGCHLD] = "CHLD",	[SIGCONT] = "CONT", [SIGSTOP] = "STOP",
		[SIGTSTP] = "TSTP",	[SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",
		[SIGURG] = "URG",	[SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ",
		[SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH",
		[SIGIO] = "IO",		[SIGPWR] = "PWR",   [SIGSYS] = "SYS",
	};
	const char *between = "";
	size_t told = 0;

	for (size_t sig = 1; sig <= 64; sig++) {
		if (!(mask >> (sig - 1) & 1))
			continue;
		if (told++ == 6) {
			phrase__add(p, ", …");
			break;
		}
		if (sig < sizeof(names) / sizeof(names[0]) && names[sig])
			phrase__add(p, "%sSIG%s", between, names[sig]);
		else
			phrase__add(p, "%ssignal %zu", between, sig);
		between = ", ";
	}
}

int call__any_signal(struct call_at *at)
{
	phrase__add(&at->what, "for a signal");
	return 0;
}

int call__sigtimedwait(struct call_at *at)
{
	uint64_t mask;

	if (call_at__read(at, at->args[0], &mask, sizeof(mask)))
		phrase__add(&at->what, "for a signal");
	else {
		phrase__add(&at->what, "for ");
		phrase__add_signals(&at->what, mask);
	}
	call_at__add_timeout(at, call_at__timespec_ns(at, at->args[2]));
	return 0;
}

/* System V objects have numbers of their own in each namespace, and in holdup's it may ask the kernel about them. */
static bool same_ipc(const struct call_at *at)
{
	uint64_t own = call_proc__ns(0, "ipc");

	return at->peers && own && call_proc__ns(at->tid, "ipc") == own;
}

int call__semop(struct call_at *at)
{
	int id = (int)at->args[0], pid = 0;
	struct sembuf op;
	char object[64];
	int err;

	snprintf(object, sizeof(object), "System V semaphores %d", id);
	err = call__object(at, object);
	if (err)
		return err;
	phrase__add(&at->what, "on %s", object);
	if (at->args[2] && !call_at__read(at, at->args[1], &op, sizeof(op))) {
		phrase__add(&at->what, at->args[2] > 1 ? ", number %u and others" : ", number %u",
			    op.sem_num);
		if (op.sem_op)
			phrase__add(&at->what, ", until it is %d", -op.sem_op);
		else
			phrase__add(&at->what, ", until it is 0");
		pid = same_ipc(at) ? semctl(id, op.sem_num, GETPID) : 0;
	}
	if (pid > 0)
		err = call_peers__tell_one(at, pid, ", last changed by ");
	if (!err && at->nr == SYS_semtimedop)
		call_at__add_timeout(at, call_at__timespec_ns(at, at->args[3]));
	return err;
}

int call__msg(struct call_at *at)
{
	bool sends = at->shape->writes;
	struct msqid_ds ds;
	char object[64];
	int pid, err;

	snprintf(object, sizeof(object), "System V queue %d", (int)at->args[0]);
	err = call__object(at, object);
	if (err)
		return err;
	phrase__add(&at->what, "%s%s", at->shape->word, object);
	if (!same_ipc(at) || msgctl((int)at->args[0], IPC_STAT, &ds))
		return 0;
	pid = sends ? ds.msg_lrpid : ds.msg_lspid;
	if (pid <= 0)
		return 0;
	return call_peers__tell_one(at, pid, sends ? ", last read by " : ", last sent to by ");
}

/* Its descriptor looks like one of a file: the file system is seldom mounted (mq_overview(7)). */
int call__mq(struct call_at *at)
{
	const struct call_fd *f;
	int err = call_fd__get(at->c, at->tgid, at->tid, (int)at->args[0], &f);

	if (err)
		return err;
	at->ret->fd = f->fd;
	at->ret->object = f->object;
	phrase__add(&at->what, "%sPOSIX queue %s", at->shape->word, f->object);
	err = *f->link ? call_pipe__add_peers(at, f, at->shape->writes) : 0;
	if (!err)
		call_at__add_deadline(at, CLOCK_REALTIME, call_at__timespec_ns(at, at->args[4]));
	return err;
}
