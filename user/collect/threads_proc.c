// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/threads_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/util/clock.h"

#define FILE_MAX   4096	      /* more than stat, status or syscall ever have */
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h, in the flags of stat */
#define LOW_4G	   (1ULL << 32)

struct pass {
	const struct hu_snap_ask *ask;
	threads_proc_wanted_fn wanted;
	int (*fn)(void *ctx, const struct hu_record *rec);
	void *wanted_ctx, *fn_ctx;
};

/* The file as a string, cut to the room; false: it can't be read, the thread is gone. */
static bool read_file(const char *path, char buf[FILE_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, buf, FILE_MAX - 1);
	close(fd);
	buf[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static uint32_t state_of(char letter)
{
	static const struct {
		char letter;
		uint32_t state; /* include/linux/sched.h */
	} states[] = { { 'S', 1 }, { 'D', 2 }, { 'T', 4 }, { 't', 8 }, { 'I', 2 } };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (states[i].letter == letter)
			return states[i].state;
	return 0;
}

/* "TID (comm) S ppid …": the comm may hold anything, so its end is the last parenthesis. */
bool threads_proc__parse_stat(const char *text, struct hu_thread_record *rec)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long start;
	unsigned int flags;
	size_t len;
	char letter;
	int ppid;

	if (!open || !close || close < open)
		return false;
	/* Fields 3 state, 4 ppid, 9 flags, 22 starttime */
	if (sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &letter, &ppid, &flags, &start) != 4)
		return false;
	if ((flags & PF_KTHREAD) || strchr("ZXx", letter))
		return false;
	len = close - open - 1;
	len = len < HU_COMM_LEN - 1 ? len : HU_COMM_LEN - 1;
	memset(rec->comm, 0, sizeof(rec->comm));
	memcpy(rec->comm, open + 1, len);
	rec->parent = ppid;
	rec->thread_start = start;
	rec->state = state_of(letter);
	/* Whether it has a CPU or only wants one, /proc does not tell. */
	if (!rec->state)
		rec->flags |= HU_THREAD_ON_CPU;
	return true;
}

/* "running", "-1 sp pc" in no call, or "nr arg… sp pc" */
void threads_proc__parse_call(const char *line, struct hu_thread_record *rec)
{
	unsigned long long arg[6], sp, pc;
	long long nr;

	rec->nr = -1;
	if (sscanf(line, "%lld %llx %llx %llx %llx %llx %llx %llx %llx", &nr, &arg[0], &arg[1],
		   &arg[2], &arg[3], &arg[4], &arg[5], &sp, &pc) == 9) {
		rec->nr = nr;
		for (int i = 0; i < 6; i++)
			rec->arg[i] = arg[i];
	} else if (sscanf(line, "-1 %llx %llx", &sp, &pc) != 2) {
		return;
	}
	rec->sp = sp;
	rec->ip = pc;
	/* The numbers of a 32-bit program's calls are others; its stack lies where no 64-bit one's does. */
	if (sp < LOW_4G)
		rec->flags |= HU_THREAD_COMPAT;
}

static uint64_t parse_switches(const char *status)
{
	static const char *const names[] = { "\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_"
									   "switches:" };
	uint64_t sum = 0;

	for (int i = 0; i < 2; i++) {
		const char *at = strstr(status, names[i]);

		sum += at ? strtoull(at + strlen(names[i]), NULL, 10) : 0;
	}
	return sum;
}

static int send_brief(const struct pass *p, const struct hu_thread_record *rec)
{
	struct hu_thread_brief brief = {
		.hdr = { .kind = HU_REC_BRIEF, .size = sizeof(brief), .ts_ns = clock__now_ns() },
		.tgid = rec->tgid,
		.tid = rec->tid,
		.thread_start = rec->thread_start,
		.switches = rec->switches,
		.state = rec->state,
		.flags = rec->flags,
	};

	return p->fn(p->fn_ctx, &brief.hdr);
}

/* 0 also for a thread that ends meanwhile. */
static int send_thread(const struct pass *p, const struct hu_thread_record *leader, pid_t tid)
{
	struct hu_thread_record rec = { .tgid = leader->tgid, .tid = tid, .nr = -1 };
	char path[80], buf[FILE_MAX];

	snprintf(path, sizeof(path), "/proc/%u/task/%d/stat", leader->tgid, tid);
	if (!read_file(path, buf) || !threads_proc__parse_stat(buf, &rec))
		return 0;
	/* Switches first: who runs after they were read has more of them at the second look. */
	snprintf(path, sizeof(path), "/proc/%u/task/%d/status", leader->tgid, tid);
	if (!read_file(path, buf))
		return 0;
	rec.switches = parse_switches(buf);
	if (p->ask->mode == HU_SNAP_BRIEF)
		return send_brief(p, &rec);
	snprintf(path, sizeof(path), "/proc/%u/task/%d/syscall", leader->tgid, tid);
	if (read_file(path, buf))
		threads_proc__parse_call(buf, &rec);
	rec.hdr.kind = HU_REC_THREAD;
	rec.hdr.size = sizeof(rec);
	rec.hdr.ts_ns = clock__now_ns();
	rec.proc_start = leader->thread_start;
	rec.parent = leader->parent;
	memcpy(rec.leader, leader->comm, sizeof(rec.leader));
	return p->fn(p->fn_ctx, &rec.hdr);
}

static int send_process(const struct pass *p, pid_t tgid)
{
	struct hu_thread_record leader = { .tgid = tgid };
	char path[64], buf[FILE_MAX];
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	/* A leader that has ended is a zombie until its last thread has: it is no thread, and yet names them. */
	snprintf(path, sizeof(path), "/proc/%d/stat", tgid);
	if (!read_file(path, buf))
		return 0;
	threads_proc__parse_stat(buf, &leader);
	if (tgid == getpid() || !p->wanted(p->wanted_ctx, tgid, leader.comm))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	dir = opendir(path);
	while (dir && !err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = send_thread(p, &leader, strtol(entry->d_name, NULL, 10));
	if (dir)
		closedir(dir);
	return err;
}

int threads_proc__pass(const struct hu_snap_ask *ask, threads_proc_wanted_fn wanted,
		       int (*fn)(void *ctx, const struct hu_record *rec), void *wanted_ctx,
		       void *fn_ctx)
{
	struct pass p = { ask, wanted, fn, wanted_ctx, fn_ctx };
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			err = send_process(&p, strtol(entry->d_name, NULL, 10));
	closedir(dir);
	return err;
}
