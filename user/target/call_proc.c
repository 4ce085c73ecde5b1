// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of /proc, none of which takes the target's mmap_lock (proc(5); fs/proc/base.c). /proc/TID is there for every
 * thread, though only processes are listed, and stays readable when the first thread of a process has ended.
 */
#include "user/target/call_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t call_proc__read(const char *path, char *buf, size_t cap)
{
	size_t len = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && len < cap - 1) {
		n = read(fd, buf + len, cap - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return len;
}

size_t call_proc__readlink(const char *path, char *buf, size_t cap)
{
	ssize_t n = readlink(path, buf, cap - 1);

	if (n < 0)
		n = 0;
	buf[n] = '\0';
	return n;
}

uint64_t call_proc__ns(uint32_t tid, const char *name)
{
	char path[64], link[64];
	const char *number;

	if (tid)
		snprintf(path, sizeof(path), "/proc/%u/ns/%s", tid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	call_proc__readlink(path, link, sizeof(link));
	number = strchr(link, '[');
	return number ? strtoull(number + 1, NULL, 10) : 0;
}

/* Lines of status stay whole: names in it are escaped (fs/proc/array.c, proc_task_name()). */
bool call_proc__status(uint32_t tid, const char *key, char *ret, size_t cap)
{
	char path[64], text[4096];
	size_t key_len = strlen(key);

	snprintf(path, sizeof(path), "/proc/%u/status", tid);
	call_proc__read(path, text, sizeof(text));
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (strncmp(line, key, key_len) || line[key_len] != ':')
			continue;
		line += key_len + 1;
		snprintf(ret, cap, "%s", line + strspn(line, " \t"));
		return true;
	}
	return false;
}

void call_proc__wchan(uint32_t tid, char *ret, size_t cap)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/wchan", tid);
	call_proc__read(path, ret, cap);
	if (!strcmp(ret, "0"))
		*ret = '\0';
}

static bool same_proc(const void *value, const void *key)
{
	return ((const struct call_proc *)value)->tgid == *(const uint32_t *)key;
}

int call_proc__get(struct calls *c, uint32_t tgid, uint32_t tid, struct call_proc **ret)
{
	uint64_t hash = hash__mix(c->seed, tgid);
	struct call_proc *p = table__find(&c->procs, hash, same_proc, &tgid);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->tgid = tgid;
		p->tid = tid;
		if (table__add(&c->procs, hash, p)) {
			free(p);
			return -ENOMEM;
		}
	}
	*ret = p;
	return 0;
}

int call_proc__comm(struct calls *c, uint32_t tgid, const char **ret)
{
	char path[64], comm[16];
	struct call_proc *p;
	size_t n;
	int err = call_proc__get(c, tgid, tgid, &p);

	if (err)
		return err;
	if (!p->comm) {
		snprintf(path, sizeof(path), "/proc/%u/comm", tgid);
		n = call_proc__read(path, comm, sizeof(comm));
		if (n && comm[n - 1] == '\n')
			comm[n - 1] = '\0';
		p->comm = intern__add(c->strings, comm);
	}
	*ret = p->comm;
	return p->comm ? 0 : -ENOMEM;
}

bool lines__open(struct lines *l, const char *path, size_t max)
{
	l->fd = open(path, O_RDONLY | O_CLOEXEC);
	l->start = l->end = 0;
	l->left = max;
	l->skip = false;
	return l->fd >= 0;
}

/* Moves what is left to the front and reads more; false: nothing came. */
static bool fill(struct lines *l)
{
	size_t room;
	ssize_t n;

	memmove(l->buf, l->buf + l->start, l->end - l->start);
	l->end -= l->start;
	l->start = 0;
	room = LINES_SZ - l->end;
	if (room > l->left)
		room = l->left;
	n = room ? read(l->fd, l->buf + l->end, room) : 0;
	if (n <= 0)
		return false;
	l->end += n;
	l->left -= n;
	return true;
}

char *lines__next(struct lines *l)
{
	char *line, *end;
	bool skipped;

	for (;;) {
		line = l->buf + l->start;
		end = memchr(line, '\n', l->end - l->start);
		skipped = l->skip;
		if (!end && l->end - l->start < LINES_SZ && fill(l))
			continue;
		if (!end && l->start == l->end)
			return NULL;
		/* What is left without an end is a line that was cut, or the file's last. */
		l->skip = !end;
		line = l->buf + l->start;
		if (!end)
			end = l->buf + l->end;
		*end = '\0';
		l->start = end - l->buf + !l->skip;
		if (!skipped)
			return line;
	}
}

void lines__close(struct lines *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
