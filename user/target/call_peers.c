// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has what: an index of the descriptors of all processes by what their links say, made at most once.
 * A link is a name that a file's owner chose, but none can be taken for a pipe or a socket: paths begin with '/' (or
 * "(unreachable)"). Paths mean the same file only within one mount namespace, so whoever looks for a path verifies.
 */
#include "user/target/call_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A hostile process can have a million descriptors (fs.nr_open) and a user many processes: each costs about 4 us, so
 * this is half a second at most.
 */
#define FDS_OF_PROCESS 16384
#define FDS_OF_ALL     131072

struct entry {
	uint64_t key;
	uint32_t tid; /* by which its descriptors were read: the process's, unless that thread has ended */
	uint32_t tgid;
	int fd;
};

struct fd_index {
	struct entry *entry; /* by key, then tgid */
	size_t cnt, cap;
	bool partial;
};

uint64_t call_peers__key(const struct calls *c, const char *link)
{
	uint64_t h = c->seed;
	uint64_t word;
	size_t len = strlen(link);

	for (size_t i = 0; i < len; i += sizeof(word)) {
		word = 0;
		memcpy(&word, link + i, len - i < sizeof(word) ? len - i : sizeof(word));
		h = hash__mix(h, word);
	}
	return hash__mix(h, len);
}

uint64_t call_peers__socket_key(const struct calls *c, uint64_t ino)
{
	char link[48];

	snprintf(link, sizeof(link), "socket:[%llu]", (unsigned long long)ino);
	return call_peers__key(c, link);
}

static int add(struct fd_index *x, const struct entry *e)
{
	size_t cap = x->cap ? x->cap * 2 : 4096;
	struct entry *grown;

	if (x->cnt == x->cap) {
		grown = reallocarray(x->entry, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		x->entry = grown;
		x->cap = cap;
	}
	x->entry[x->cnt++] = *e;
	return 0;
}

/* The descriptors of one thread; those of most processes are all their threads'. */
static int add_thread(const struct calls *c, struct fd_index *x, uint32_t tgid, uint32_t tid)
{
	struct entry e = { .tgid = tgid, .tid = tid };
	char path[64], link[4096];
	struct dirent *entry;
	size_t cnt = 0;
	ssize_t n;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", tid);
	dir = opendir(path);
	while (dir && !err && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (++cnt > FDS_OF_PROCESS || x->cnt >= FDS_OF_ALL) {
			x->partial = true;
			break;
		}
		n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (n <= 0 || !strncmp(link, "anon_inode:", 11))
			continue;
		link[n] = '\0';
		e.key = call_peers__key(c, link);
		e.fd = atoi(entry->d_name);
		err = add(x, &e);
	}
	if (dir)
		closedir(dir);
	return err;
}

/* Some other thread of a process whose first has ended (it has no descriptors then); 0: none. */
static uint32_t another_thread(uint32_t tgid)
{
	struct dirent *entry;
	char path[64];
	uint32_t tid = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	dir = opendir(path);
	while (dir && !tid && (entry = readdir(dir))) {
		tid = strtoul(entry->d_name, NULL, 10);
		if (tid == tgid)
			tid = 0;
	}
	if (dir)
		closedir(dir);
	return tid;
}

static int add_process(const struct calls *c, struct fd_index *x, uint32_t tgid)
{
	size_t before = x->cnt;
	uint32_t tid;
	char path[64], exe[8];
	int err = add_thread(c, x, tgid, tgid);

	if (err || x->cnt > before || x->partial)
		return err;
	/* Nothing: a kernel thread, one without descriptors, or an ended first thread. Only the last has tasks. */
	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	if (call_proc__readlink(path, exe, sizeof(exe)))
		return 0;
	tid = another_thread(tgid);
	return tid ? add_thread(c, x, tgid, tid) : 0;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int make_index(struct calls *c)
{
	struct fd_index *x = calloc(1, sizeof(*x));
	struct dirent *entry;
	uint32_t tgid;
	int err = 0;
	DIR *dir;

	if (!x)
		return -ENOMEM;
	dir = opendir("/proc");
	while (dir && !err && (entry = readdir(dir))) {
		tgid = strtoul(entry->d_name, NULL, 10);
		if (tgid)
			err = add_process(c, x, tgid);
	}
	if (dir)
		closedir(dir);
	if (err) {
		free(x->entry);
		free(x);
		return err;
	}
	if (x->cnt)
		qsort(x->entry, x->cnt, sizeof(*x->entry), by_key);
	c->index = x;
	return 0;
}

static const struct entry *first_of(const struct fd_index *x, uint64_t key)
{
	size_t low = 0, high = x->cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->entry[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return x->entry + low;
}

static int add_peer(struct calls *c, struct call_peers *p, uint32_t tgid)
{
	const char *comm = "";
	int err = 0;

	if (p->cnt < CALL_PEERS) {
		err = call_proc__comm(c, tgid, &comm);
		p->peer[p->cnt].tgid = tgid;
		if (!err)
			snprintf(p->peer[p->cnt].comm, sizeof(p->peer[0].comm), "%s", comm);
	}
	p->cnt++;
	return err;
}

static int look(struct calls *c, uint64_t key, call_accept_fn accept, void *ctx,
		struct call_peers *p)
{
	const struct entry *e = first_of(c->index, key), *end = c->index->entry + c->index->cnt;
	uint32_t last = 0;
	int err = 0;

	for (; e < end && e->key == key && !err; e++) {
		if (e->tgid == last || (accept && !accept(ctx, e->tid, e->fd)))
			continue;
		last = e->tgid;
		err = add_peer(c, p, e->tgid);
	}
	return err;
}

static bool same_key(const void *value, const void *key)
{
	return ((const struct call_peers *)value)->key == *(const uint64_t *)key;
}

int call_peers__find(struct calls *c, uint64_t key, uint64_t salt, call_accept_fn accept, void *ctx,
		     const struct call_peers **ret)
{
	uint64_t hash = hash__mix(key, salt);
	struct call_peers *p = table__find(&c->peers, hash, same_key, &hash);
	int err = 0;

	if (!p) {
		if (!c->index)
			err = make_index(c);
		p = err ? NULL : calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->key = hash;
		err = look(c, key, accept, ctx, p);
		if (!err)
			err = table__add(&c->peers, hash, p);
		if (err) {
			free(p);
			return err;
		}
	}
	*ret = p;
	return 0;
}

bool call_peers__partial(const struct calls *c)
{
	return c->index && c->index->partial;
}

void call_peers__tell(struct call_at *at, const struct call_peers *p, const char *words)
{
	struct call_wait *w = at->ret;
	size_t told = p->cnt < CALL_PEERS ? p->cnt : CALL_PEERS;

	w->peers_partial = call_peers__partial(at->c);
	if (!p->cnt)
		return;
	memcpy(w->peer, p->peer, told * sizeof(w->peer[0]));
	w->peer_cnt = told;
	w->peers_more = p->cnt - told;
	phrase__add(&at->what, "%s%s (%u)", words, p->peer[0].comm, p->peer[0].tgid);
	if (p->cnt == 2)
		phrase__add(&at->what, " and %s (%u)", p->peer[1].comm, p->peer[1].tgid);
	else if (p->cnt > 2)
		phrase__add(&at->what, " and %zu more", p->cnt - 1);
}

int call_peers__tell_one(struct call_at *at, uint32_t tgid, const char *words)
{
	struct call_peers p = { 0 };
	int err = add_peer(at->c, &p, tgid);

	if (!err)
		call_peers__tell(at, &p, words);
	return err;
}

void call_peers__free(struct calls *c)
{
	table__clear(&c->peers, free);
	if (c->index)
		free(c->index->entry);
	free(c->index);
}
