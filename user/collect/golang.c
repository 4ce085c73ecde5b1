// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/golang.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/collect/snapshot.h"
#include "user/util/text.h"

/* ---- programs */

struct go_file {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	char name[64];
	struct go_binary *binary; /* NULL: no Go program */
};

static bool file__is(const void *value, const void *key)
{
	const struct go_file *f = value;
	const struct stat *st = key;

	return f->dev == st->st_dev && f->ino == st->st_ino && f->size == st->st_size &&
	       f->mtime.tv_sec == st->st_mtim.tv_sec && f->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

/* As the process sees it; "" when unknown. */
static void name_of(const char *exe, char ret[64])
{
	char path[4096];
	ssize_t len = readlink(exe, path, sizeof(path) - 1);
	const char *slash;

	path[len > 0 ? len : 0] = '\0';
	slash = strrchr(path, '/');
	snprintf(ret, 64, "%.63s", slash ? slash + 1 : path);
}

static int open_binary(struct go_set *set, int fd, struct go_binary **ret)
{
	struct elf_file *elf;
	int err;

	if (!set->room || set->used < set->room) {
		err = go_binary__open(fd, ret);
		set->used += *ret ? (*ret)->table_sz : 0;
		return err;
	}
	err = elf_file__open(fd, &elf);
	if (err)
		return err;
	set->left_out += go_binary__recognise(elf);
	elf_file__close(elf);
	return 0;
}

static int add_file(struct go_set *set, const char *exe, int fd, const struct stat *st,
		    struct go_file **ret)
{
	struct go_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->size = st->st_size;
	f->mtime = st->st_mtim;
	name_of(exe, f->name);
	err = open_binary(set, fd, &f->binary);
	if (err != -ENOMEM)
		err = table__add(&set->files, hash__mix(st->st_dev, st->st_ino), f);
	if (err) {
		go_binary__free(f->binary);
		free(f);
		return err;
	}
	*ret = f;
	return 0;
}

static void file__free(void *value)
{
	struct go_file *f = value;

	go_binary__free(f->binary);
	free(f);
}

void go_set__free(struct go_set *set)
{
	table__clear(&set->files, file__free);
}

/* ---- processes */

/*
 * Not understood for now: it may just have been started. Only what the file itself says stays so.
 */
void go_target__open(struct go_target *t)
{
	struct go_memory memory = go_memory__of(&t->tgid);
	const struct go_binary *b = t->binary;
	const char *why = "it can't be read";
	char version[40];
	uint64_t bias;

	text__escape(b->version, strlen(b->version), version, sizeof(version));
	if (t->open)
		return;
	*t->why = '\0';
	if (!b->known && b->minor)
		snprintf(t->why, sizeof(t->why), "%s is not known; native threads are shown",
			 version);
	else if (!b->known)
		snprintf(t->why, sizeof(t->why),
			 "its version of Go is not known; native threads are shown");
	if (*t->why || go_process__bias(b, t->tgid, &bias) == -ESRCH)
		return;
	t->open = !go_process__open(b, &memory, bias, &t->process, &why);
	if (!t->open)
		snprintf(t->why, sizeof(t->why), "%s: %s; native threads are shown", version, why);
}

int go_set__find(struct go_set *set, pid_t tgid, struct go_target **ret)
{
	struct go_file *f;
	struct stat st;
	char exe[64];
	int fd, err = 0;

	*ret = NULL;
	snprintf(exe, sizeof(exe), "/proc/%d/exe", tgid);
	if (stat(exe, &st) || !S_ISREG(st.st_mode))
		return 0;
	f = table__find(&set->files, hash__mix(st.st_dev, st.st_ino), file__is, &st);
	if (!f) {
		fd = open(exe, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return 0;
		err = fstat(fd, &st) ? 0 : add_file(set, exe, fd, &st, &f);
		close(fd);
	}
	if (!f || !f->binary)
		return err;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->tgid = tgid;
	(*ret)->binary = f->binary;
	(*ret)->module = f->name;
	return 0;
}

void go_target__free(struct go_target *t)
{
	if (!t)
		return;
	if (t->open)
		go_process__close(&t->process);
	go_snapshot__free(t->now);
	go_population__free(&t->population);
	free(t->seen);
	free(t);
}

/* ---- goroutines */

struct go_seen {
	uint64_t addr, goid, sp, first_ns;
	uint32_t status;
	uint8_t seq;
};

/* Unchanged since an earlier look, so it has not run since (but for a count of turns that has gone around). */
static bool same(const struct go_seen *a, const struct go_goroutine *g)
{
	return a->goid == g->goid && a->sp == g->sp && a->status == g->status && a->seq == g->seq;
}

/* Both are sorted by address. */
static int remember(struct go_target *t, struct go_snapshot *s)
{
	struct go_seen *seen = malloc((s->cnt + 1) * sizeof(*seen));
	size_t old = 0;

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < s->cnt; i++) {
		struct go_goroutine *g = &s->goroutine[i];

		while (old < t->seen_cnt && t->seen[old].addr < g->addr)
			old++;
		if (old < t->seen_cnt && t->seen[old].addr == g->addr && same(&t->seen[old], g))
			g->first_ns = t->seen[old].first_ns;
		seen[i] =
			(struct go_seen){ g->addr, g->goid, g->sp, g->first_ns, g->status, g->seq };
	}
	free(t->seen);
	t->seen = seen;
	t->seen_cnt = s->cnt;
	return 0;
}

int go_target__look(struct go_target *t)
{
	int err;

	go_snapshot__free(t->now);
	t->now = NULL;
	go_target__open(t);
	if (!t->open)
		return 0;
	err = go_snapshot__take(&t->process, &t->now);
	if (!err)
		return remember(t, t->now);
	t->now = NULL;
	snprintf(t->why, sizeof(t->why), "its goroutines can't be read; native threads are shown");
	return err == -ENOMEM ? err : 0;
}

int go_target__sample(struct go_target *t)
{
	struct go_snapshot *s;
	uint64_t *gopc;
	int err;

	go_target__open(t);
	err = t->open ? go_snapshot__take(&t->process, &s) : -ENOTSUP;
	if (err)
		return err == -ENOMEM ? err : 0;
	gopc = malloc((s->cnt + 1) * sizeof(*gopc));
	if (!gopc)
		err = -ENOMEM;
	for (size_t i = 0; gopc && i < s->cnt; i++)
		gopc[i] = s->goroutine[i].gopc;
	if (!err)
		err = remember(t, s);
	if (!err)
		err = go_population__sample(&t->population, s->taken_ns, gopc, s->cnt);
	free(gopc);
	go_snapshot__free(s);
	return err;
}

/* Functions that leave the stack that they were called on: FuncFlagSPWrite, src/internal/abi/symtab.go. */
#define GO_FUNC_SPWRITE (1 << 1)

size_t go_target__end_of(const struct go_target *t, const uint64_t *pcs, size_t cnt)
{
	struct go_frame f;

	for (size_t i = 1; t->open && i < cnt; i++)
		if (go_process__frames(&t->process, pcs[i], false, &f, 1) &&
		    (f.flags & (GO_FUNC_TOP | GO_FUNC_SPWRITE)))
			return i + 1;
	return 0;
}

void go_target__end_stack(const struct go_target *t, struct hu_stack *stack)
{
	size_t end = go_target__end_of(t, (const uint64_t *)stack->pcs, stack->frames);

	if (!end)
		return;
	stack->frames = end;
	stack->flags |= HU_STACK_COMPLETE;
	if (stack->exact > stack->frames)
		stack->exact = stack->frames;
}

int golang__look(const struct table *processes)
{
	struct snap_process *p;
	int err = 0;

	for (size_t i = 0; !err && (p = table__next(processes, &i));)
		if (p->go)
			err = go_target__look(p->go);
	return err;
}

void golang__recheck(const struct table *processes)
{
	struct snap_process *p;

	for (size_t i = 0; (p = table__next(processes, &i));)
		if (p->go && p->go->now)
			go_snapshot__recheck(&p->go->process, p->go->now);
}
