// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a lock of a file (flock, fcntl), by /proc/locks (proc_locks(5); fs/locks.c, lock_get_status()): those
 * that wait stand, with "->", below the one that keeps them waiting, under the same number. PIDs are processes.
 */
#include "user/target/call_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS_FILE_MAX (16 << 20)

struct file_lock {
	uint64_t id, ino;
	int64_t pid; /* -1: of an open file, not of a process (F_OFD_SETLKW) */
	bool waits;
};

static int add_lock(struct calls *c, const char *line)
{
	struct file_lock lock = { 0 }, *grown;
	unsigned long long id, ino;
	long long pid;
	int at = 0;

	if (sscanf(line, "%llu: %n", &id, &at) != 1 || !at)
		return 0;
	line += at;
	lock.waits = !strncmp(line, "->", 2);
	line += lock.waits ? 2 : 0;
	/* Type, "ADVISORY", "WRITE", PID, device (two numbers in hexadecimal) and inode. */
	if (sscanf(line, "%*s %*s %*s %lld %*x:%*x:%llu", &pid, &ino) != 2)
		return 0;
	lock.id = id;
	lock.ino = ino;
	lock.pid = pid;
	if (!(c->lock_cnt & (c->lock_cnt - 1))) {
		grown = reallocarray(c->locks, c->lock_cnt ? c->lock_cnt * 2 : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		c->locks = grown;
	}
	c->locks[c->lock_cnt++] = lock;
	return 0;
}

static int read_locks(struct calls *c)
{
	struct lines *l = malloc(sizeof(*l));
	char *line;
	int err = 0;

	if (!l)
		return -ENOMEM;
	c->locks_read = true;
	if (lines__open(l, "/proc/locks", LOCKS_FILE_MAX))
		while (!err && (line = lines__next(l)))
			err = add_lock(c, line);
	lines__close(l);
	free(l);
	return err;
}

void call_lock__free(struct calls *c)
{
	free(c->locks);
}

/* The lock that f's process waits for. The inode is as /proc/locks has it, which is not always what stat(2) says. */
static const struct file_lock *find_waiting(struct call_at *at, const struct call_fd *f)
{
	uint64_t ino;
	bool known = call_fd__info(at->tid, f->fd, "ino", 10, &ino);

	if (!known)
		ino = f->ino;
	for (size_t i = 0; i < at->c->lock_cnt; i++) {
		const struct file_lock *l = &at->c->locks[i];

		if (l->waits && (l->pid == at->tgid || l->pid == -1) && l->ino == ino)
			return l;
	}
	return NULL;
}

/* Locks of an open file are in the fdinfo of its descriptors ("lock:", with the inode), whoever has them. */
static bool has_lock(void *ctx, uint32_t tid, int fd)
{
	const struct file_lock *lock = ctx;
	char path[64], text[4096], ino[32];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", tid, fd);
	call_proc__read(path, text, sizeof(text));
	line = strstr(text, "\nlock:");
	snprintf(ino, sizeof(ino), ":%llu ", (unsigned long long)lock->ino);
	return line && strstr(line, ino) && strstr(line, "OFDLCK");
}

int call_lock__add_holder(struct call_at *at, const struct call_fd *f)
{
	static const char words[] = ", which is locked by ";
	struct calls *c = at->c;
	int err = c->locks_read ? 0 : read_locks(c);
	const struct call_peers *p;
	struct file_lock *holder;
	const struct file_lock *l;

	if (err || !at->peers)
		return err;
	l = find_waiting(at, f);
	for (size_t i = 0; l && i < c->lock_cnt; i++) {
		holder = &c->locks[i];
		if (holder->id != l->id || holder->waits)
			continue;
		if (holder->pid > 0)
			return call_peers__tell_one(at, holder->pid, words);
		err = call_peers__find(c, call_peers__key(c, f->link), ~l->ino, has_lock, holder,
				       &p);
		if (!err)
			call_peers__tell(at, p, words);
		return err;
	}
	return 0;
}
