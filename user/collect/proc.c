// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/proc.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int proc__comm(uint32_t tgid, uint32_t tid, char ret[HU_COMM_LEN])
{
	char path[64];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/comm", tgid, tid);
	file = fopen(path, "re");
	if (!file)
		return -ESRCH;
	n = fread(ret, 1, HU_COMM_LEN - 1, file);
	fclose(file);
	if (n && ret[n - 1] == '\n')
		n--;
	ret[n] = '\0';
	return 0;
}

/* /proc/TID is there for every thread, though only processes are listed. */
pid_t proc__of_thread(uint32_t tid)
{
	char path[64], line[256];
	unsigned int tgid = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%u/status", tid);
	status = fopen(path, "re");
	while (status && !tgid && fgets(line, sizeof(line), status))
		if (sscanf(line, "Tgid: %u", &tgid) != 1)
			tgid = 0;
	if (status)
		fclose(status);
	return tgid;
}

/* Zombies are there still: a process until its parent asks, a main thread until all others have ended. */
bool proc__lives(uint32_t tgid, uint32_t tid)
{
	char path[64], line[256], state = 0;
	FILE *status;

	if (tgid)
		snprintf(path, sizeof(path), "/proc/%u/task/%u/status", tgid, tid);
	else
		snprintf(path, sizeof(path), "/proc/%u/status", tid);
	status = fopen(path, "re");
	while (status && !state && fgets(line, sizeof(line), status))
		if (sscanf(line, "State: %c", &state) != 1)
			state = 0;
	if (status)
		fclose(status);
	return state && state != 'Z' && state != 'X';
}

bool proc__in_pid_namespace(pid_t tgid)
{
	char path[64];
	struct stat own, theirs;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", tgid);
	return !stat("/proc/self/ns/pid", &own) && !stat(path, &theirs) &&
	       own.st_ino != theirs.st_ino;
}

/* The thread's TID in its innermost namespace, which stands last in NSpid; 0: not known. */
static uint32_t inner_tid(uint32_t tgid, uint32_t tid)
{
	char path[64], line[256];
	uint32_t inner = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/status", tgid, tid);
	status = fopen(path, "re");
	while (status && !inner && fgets(line, sizeof(line), status)) {
		const char *last = strncmp(line, "NSpid:", 6) ? NULL : strrchr(line, '\t');

		inner = last ? strtoul(last + 1, NULL, 10) : 0;
	}
	if (status)
		fclose(status);
	return inner;
}

void proc__each_thread(uint32_t tgid, int (*fn)(void *ctx, uint32_t tid), void *ctx)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && fn(ctx, strtoul(entry->d_name, NULL, 10)))
			break;
	if (dir)
		closedir(dir);
}

/*
 * cgroups(7): hierarchy:controllers:path, and version 2 is hierarchy 0. A cgroup's name has no line feed
 * (cgroup_mkdir(), kernel/cgroup/cgroup.c); that it was removed is marked, which is no part of its name.
 */
char *proc__cgroup(uint32_t tgid)
{
	static const char deleted[] = " (deleted)";
	char path[64], *line = NULL, *ret = NULL;
	size_t room = 0;
	ssize_t len, tail = sizeof(deleted) - 1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/cgroup", tgid);
	file = fopen(path, "re");
	while (file && !ret && (len = getline(&line, &room, file)) > 0) {
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (strncmp(line, "0::", 3))
			continue;
		if (len > tail && !strcmp(line + len - tail, deleted))
			line[len - tail] = '\0';
		ret = strdup(line + 3);
	}
	if (file)
		fclose(file);
	free(line);
	return ret;
}

struct search {
	uint32_t tgid, inner, found;
};

static int compare_inner(void *ctx, uint32_t tid)
{
	struct search *s = ctx;

	if (inner_tid(s->tgid, tid) != s->inner)
		return 0;
	s->found = tid;
	return 1;
}

int proc__by_inner_tid(uint32_t tgid, uint32_t inner, uint32_t *ret_tid)
{
	struct search s = { .tgid = tgid, .inner = inner };

	proc__each_thread(tgid, compare_inner, &s);
	if (!s.found)
		return -ESRCH;
	*ret_tid = s.found;
	return 0;
}
