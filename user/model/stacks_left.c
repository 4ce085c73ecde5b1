// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goroutines that wait for channels and WaitGroups to which nobody else refers who could go on: what the collector of Go
 * 1.26 and newer finds as leaked goroutines ("GOLF", ASPLOS 2025), from outside and for all versions, but with the
 * collector's knowledge of objects replaced by a judgement (golang/go_reach.h): probable, never certain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/resident.h"
#include "user/model/stacks_build.h"

#define MEMORY_MAX	(64u << 20) /* a program that has more is not searched: it would take too long */
#define OBJECTS_MAX	8192
#define WAITGROUP_BELOW 4096 /* where the object that it is in may begin */
#define WAITGROUP_SZ	12

struct left {
	struct stacks_builder *b;
	const struct go_summary *go;
	struct go_object *object;
	size_t objects;
	bool *candidate; /* of the goroutines of the snapshot: waits for nothing but objects */
	bool *live;	 /* of them: may go on */
};

static const struct go_goroutine *goroutine(const struct left *l, size_t i)
{
	return &l->go->goroutines->goroutine[i];
}

static struct blocked_thread *entry(const struct left *l, size_t i)
{
	return &l->b->r.thread[l->go->first + i];
}

/* Could it be that nobody is left for it? */
static bool is_candidate(const struct left *l, size_t i)
{
	const struct blocked_thread *t = entry(l, i);
	const struct go_goroutine *g = goroutine(l, i);

	if (!g->steady || t->go.idle || t->go.system || t->go.never)
		return false;
	if (t->go.kind == LOCK_GO_CHAN || t->go.kind == LOCK_GO_SELECT)
		return g->chans && g->chans < GO_CHANS_MAX;
	return t->go.kind == LOCK_GO_WAITGROUP && t->go.object;
}

/* ---- objects */

static int by_address(const void *a, const void *b)
{
	const struct go_object *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static size_t add_objects_of(struct left *l, size_t i, size_t cnt)
{
	const struct go_goroutine *g = goroutine(l, i);

	if (entry(l, i)->go.kind == LOCK_GO_WAITGROUP) {
		l->object[cnt++] = (struct go_object){ .addr = entry(l, i)->go.object,
						       .below = WAITGROUP_BELOW,
						       .above = WAITGROUP_SZ };
		return cnt;
	}
	for (size_t c = 0; c < g->chans; c++)
		l->object[cnt++] = (struct go_object){
			.addr = l->go->goroutines->chan[g->chan_at + c],
			.above = 1, /* a channel is an object of its own */
		};
	return cnt;
}

static int list_objects(struct left *l)
{
	size_t cnt = l->go->goroutines->cnt, all = 0, kept = 0;

	for (size_t i = 0; i < cnt; i++)
		all += l->candidate[i] ? GO_CHANS_MAX : 0;
	l->object = calloc(all + 1, sizeof(*l->object));
	if (!l->object)
		return -ENOMEM;
	all = 0;
	for (size_t i = 0; i < cnt; i++)
		if (l->candidate[i])
			all = add_objects_of(l, i, all);
	qsort(l->object, all, sizeof(l->object[0]), by_address);
	for (size_t i = 0; i < all; i++)
		if (!kept || l->object[kept - 1].addr != l->object[i].addr)
			l->object[kept++] = l->object[i];
	l->objects = kept;
	return kept <= OBJECTS_MAX ? 0 : -E2BIG;
}

static const struct go_object *find_object(const struct left *l, uint64_t addr)
{
	struct go_object key = { .addr = addr };

	return bsearch(&key, l->object, l->objects, sizeof(key), by_address);
}

/* ---- who may go on */

/* Somebody else who may go on refers to it. */
static bool object_lives(const struct left *l, const struct go_object *o)
{
	bool lives = !o || o->rooted;

	for (size_t i = 0; !lives && i < o->by_cnt; i++)
		lives = l->live[o->by[i]];
	return lives;
}

static bool may_go_on(const struct left *l, size_t i)
{
	const struct go_goroutine *g = goroutine(l, i);
	bool lives = false;

	if (entry(l, i)->go.kind == LOCK_GO_WAITGROUP)
		return object_lives(l, find_object(l, entry(l, i)->go.object));
	for (size_t c = 0; c < g->chans && !lives; c++)
		lives = object_lives(l, find_object(l, l->go->goroutines->chan[g->chan_at + c]));
	return lives;
}

/* Who may go on may let others go on, until nobody new is found. */
static void spread(struct left *l)
{
	bool more = true;

	for (size_t i = 0; i < l->go->goroutines->cnt; i++)
		l->live[i] = !l->candidate[i];
	while (more) {
		more = false;
		for (size_t i = 0; i < l->go->goroutines->cnt; i++)
			if (!l->live[i] && may_go_on(l, i))
				l->live[i] = more = true;
	}
}

/*
 * What the collector looks at: variables, and the heap, which grows upwards from where it begins, in pieces of 64 MiB
 * (src/runtime/malloc.go, arenaHints). Goroutines are in it. What the runtime has elsewhere keeps nothing alive.
 */
#define ARENA_SZ (64ull << 20)
#define HEAP_MAX (1ull << 40)

static int search(struct left *l)
{
	const struct snap_process *p = l->go->process;
	const struct go_process *go = &p->go->process;
	uint64_t heap = goroutine(l, 0)->addr & ~(ARENA_SZ - 1); /* they are sorted */
	const struct go_range range[] = { go->data, go->bss, { heap, heap + HEAP_MAX } };
	struct go_copy *copy;
	size_t copies;
	int err = resident__copy(p->tgid, sym_process__maps(p->names), range, 3, MEMORY_MAX, &copy,
				 &copies);

	if (err)
		return err;
	err = go_reach__find(&p->go->process, l->go->goroutines, copy, copies, l->object,
			     l->objects);
	resident__free(copy, copies);
	if (!err)
		spread(l);
	return err;
}

/* ---- findings */

static void mark(struct left *l)
{
	for (size_t i = 0; i < l->go->goroutines->cnt; i++)
		if (!l->live[i])
			entry(l, i)->left = true;
}

static int look(struct left *l)
{
	size_t cnt = l->go->goroutines->cnt, candidates = 0;
	int err;

	l->candidate = calloc(cnt + 1, sizeof(bool));
	l->live = calloc(cnt + 1, sizeof(bool));
	if (!l->candidate || !l->live)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		l->candidate[i] = is_candidate(l, i);
		candidates += l->candidate[i];
	}
	if (!candidates)
		return 0;
	err = list_objects(l);
	if (!err)
		err = search(l);
	if (!err)
		mark(l);
	return err == -ENOMEM ? err : 0; /* too large to be searched, or gone */
}

int stacks__find_left(struct stacks_builder *b)
{
	int err = 0;

	for (size_t i = 0; i < b->r.go_cnt && !err; i++) {
		struct left l = { .b = b, .go = &b->r.go[i] };

		if (!l.go->goroutines || !l.go->process->names)
			continue;
		err = look(&l);
		go_reach__free(l.object, l.objects);
		free(l.candidate);
		free(l.live);
	}
	return err;
}
