// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds the locks of package sync that goroutines wait for. Their words don't say; what stacks point to, and what
 * functions were called in them, does in most cases, so that all of this is probable at best. Certain is one thing
 * only: who waits in RLock() waits for the writer that has announced itself (src/sync/rwmutex.go: readerCount is
 * negative).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_evidence.h"
#include "user/golang/go_sites.h"
#include "user/model/stacks_build.h"
#include "user/util/patience.h"

#define LOCKS_MAX \
	256 /* of one process; those with most waiters are not preferred: more are very rare */

/* src/sync/mutex.go, rwmutex.go */
#define MUTEX_LOCKED	 1
#define READER_COUNT_OFF 16

struct go_lock {
	struct waited_lock *lock;
	bool taken;
	bool writer_waits;	       /* has announced itself: new readers wait for it */
	struct blocked_thread *writer; /* that one; NULL: not known */
	struct blocked_thread *strong; /* points to it, and has locked and not given back */
	size_t strongs, unknown;
	size_t weak;		      /* others that point to it: what they do is not understood */
	struct blocked_thread *again; /* a waiter that seems to have it itself */
	size_t agains;
};

struct go_graph {
	struct stacks_builder *b;
	const struct go_summary *go;
	struct go_lock lock[LOCKS_MAX];
	size_t cnt;
	struct go_sites *sites;
	bool *explained; /* the report's goroutines: they are seen to have one of these locks */
	bool partial;	 /* not everything was looked at */
	bool looked;	 /* at all goroutines, for: */
	size_t hidden[GO_HELD_KINDS]; /* how many have a lock of each kind, who knows which: bits of enum go_held */
};

static bool is_kept(const struct waited_lock *lock, const struct snap_process *p)
{
	return lock->process == p && lock->address && !*lock->label &&
	       (lock->kind == LOCK_GO_MUTEX || lock->kind == LOCK_GO_RWMUTEX);
}

static int by_address(const void *a, const void *b)
{
	const struct go_lock *x = a, *y = b;

	return x->lock->address < y->lock->address ? -1 : x->lock->address > y->lock->address;
}

static void list_locks(struct go_graph *g)
{
	struct waited_lock *lock;

	for (size_t i = 0; (lock = table__next(&g->b->locks, &i));) {
		if (!is_kept(lock, g->go->process))
			continue;
		if (g->cnt < LOCKS_MAX)
			g->lock[g->cnt++] = (struct go_lock){ .lock = lock };
		else
			g->partial = true;
	}
	qsort(g->lock, g->cnt, sizeof(g->lock[0]), by_address);
}

static struct go_lock *find_lock(struct go_graph *g, const struct waited_lock *lock)
{
	struct go_lock key = { .lock = (struct waited_lock *)lock };

	return lock ? bsearch(&key, g->lock, g->cnt, sizeof(g->lock[0]), by_address) : NULL;
}

static void read_words(struct go_graph *g, struct go_lock *l)
{
	const struct go_memory *m = &g->go->process->go->process.memory;
	uint8_t bytes[GO_LOCK_SZ];
	int32_t state, readers;

	if (go_memory__read(m, l->lock->address, bytes,
			    l->lock->kind == LOCK_GO_MUTEX ? 8 : GO_LOCK_SZ))
		return;
	memcpy(&state, bytes, sizeof(state));
	l->taken = state & MUTEX_LOCKED;
	if (l->lock->kind == LOCK_GO_MUTEX)
		return;
	memcpy(&readers, bytes + READER_COUNT_OFF, sizeof(readers));
	l->writer_waits = readers < 0;
	l->taken |= readers != 0;
}

/* ---- evidence */

static unsigned wanted(const struct go_lock *l)
{
	if (l->lock->kind == LOCK_GO_MUTEX)
		return GO_HELD_MUTEX;
	return l->writer ? GO_HELD_READ : GO_HELD_WRITE | GO_HELD_READ;
}

/* Of one that runs, its thread's stack is as good as any. */
static unsigned held_by_thread(struct go_graph *g, const struct blocked_thread *t)
{
	const struct snap_stack *from = t->on ? t->on->thread->stack : NULL;
	struct go_stack *stack = malloc(sizeof(*stack) + GO_FRAMES_MAX * sizeof(stack->pcs[0]));
	unsigned held = 0;
	uint64_t pc;

	if (stack && from) {
		stack->frames = 0;
		for (size_t i = 0; i < from->stack.frames && i < GO_FRAMES_MAX; i++)
			stack->pcs[stack->frames++] = from->stack.pcs[i];
		held = go_sites__held(g->sites, stack, &pc);
	}
	free(stack);
	return held;
}

static unsigned held(struct go_graph *g, const struct blocked_thread *t)
{
	uint64_t pc;

	return t->goroutine->stack ? go_sites__held(g->sites, t->goroutine->stack, &pc)
				   : held_by_thread(g, t);
}

/* A pointer alone says nothing: who uses the object around a lock has one, locked or not. */
static void weigh(struct go_graph *g, struct go_lock *l, struct blocked_thread *t)
{
	bool strong = held(g, t) & wanted(l);

	if (t == l->writer)
		return;
	/* It waits for this lock itself: only what it did before can make it the holder. */
	if (t->lock == l->lock) {
		if (!strong)
			return;
		if (!l->writer) {
			l->again = t;
			l->agains++;
			return;
		}
	}
	if (strong) {
		l->strong = t;
		l->strongs++;
		g->explained[t->goroutine - g->go->goroutines->goroutine] = true;
	} else if (!t->goroutine->stack) {
		l->unknown++;
	} else if (!t->go.system) {
		l->weak++;
	}
}

static int gather(struct go_graph *g)
{
	const struct snap_process *p = g->go->process;
	struct go_evidence *found = NULL;
	uint64_t addr[LOCKS_MAX];
	struct go_heap heap;
	bool partial = false, known;
	size_t cnt = 0;
	int err;

	for (size_t i = 0; i < g->cnt; i++)
		addr[i] = g->lock[i].lock->address;
	known = !go_heap__read(&p->go->process, g->go->goroutines, &heap);
	err = go_evidence__gather(&p->go->process, g->go->goroutines, known ? &heap : NULL, addr,
				  g->cnt, &found, &cnt, &partial);
	go_heap__free(&heap);
	g->partial |= partial;
	for (size_t i = 0; i < cnt && !err; i++)
		weigh(g, &g->lock[found[i].lock],
		      &g->b->r.thread[g->go->first + found[i].goroutine]);
	free(found);
	return err;
}

/* ---- holders */

/*
 * Who has locked something, nobody knows what: reached by a pointer in another object, or one that nobody waits for.
 * Who waits for a Cond has given its lock back.
 */
static unsigned hidden_of(struct go_graph *g, const struct blocked_thread *t)
{
	bool explained = g->explained[t->goroutine - g->go->goroutines->goroutine];

	return explained || t->go.kind == LOCK_GO_COND ? 0 : held(g, t);
}

static void find_hidden(struct go_graph *g)
{
	for (size_t i = 0; i < g->go->goroutines->cnt && !g->looked; i++) {
		unsigned kinds = hidden_of(g, &g->b->r.thread[g->go->first + i]);

		for (int k = 0; k < GO_HELD_KINDS; k++)
			g->hidden[k] += kinds >> k & 1;
	}
	g->looked = true;
}

/*
 * Does nobody have it but this one (NULL: nobody at all), as far as all can be seen? A lock may be taken where that
 * is not recognised (through an interface, say), so who only points to it may have it, and so may who would not hold
 * still.
 */
static bool nobody_but(struct go_graph *g, const struct go_lock *l, const struct blocked_thread *t)
{
	const struct go_snapshot *s = g->go->goroutines;
	unsigned own;

	if (l->strongs || l->unknown || l->weak || l->writer || l->agains != (t ? 1 : 0))
		return false;
	if (g->partial || s->rejected || s->beyond || patience__is_over(g->go->process->tgid))
		return false;
	find_hidden(g);
	own = t ? hidden_of(g, t) : 0;
	for (int k = 0; k < GO_HELD_KINDS; k++)
		if ((wanted(l) >> k & 1) && g->hidden[k] > (own >> k & 1))
			return false;
	return true;
}

static void choose(struct go_graph *g, struct go_lock *l)
{
	struct waited_lock *lock = l->lock;

	if (!l->taken) {
		lock->held_by = HELD_NOBODY;
		return;
	}
	/* Where nobody else can have it, it is one who waits and has locked before: maybe this one, maybe another. */
	if (l->strongs == 1)
		lock->owner = l->strong;
	else if (nobody_but(g, l, l->again))
		lock->owner = l->again;
	lock->abandoned = !lock->owner && nobody_but(g, l, NULL);
	if (lock->owner)
		lock->held_by = HELD_PROBABLE;
}

static void set_holder(struct go_graph *g, struct blocked_thread *t)
{
	struct go_lock *l = find_lock(g, t->lock);

	if (!l || l->lock != t->lock)
		return;
	if (l->writer && t != l->writer) {
		t->holder = l->writer;
		return;
	}
	t->holder = l->lock->held_by == HELD_PROBABLE ? l->lock->owner : NULL;
	t->probable = t->holder != NULL;
}

/* The writer that has announced itself and waits for the readers that were there before. */
static void find_writers(struct go_graph *g)
{
	for (size_t i = 0; i < g->go->goroutines->cnt; i++) {
		struct blocked_thread *t = &g->b->r.thread[g->go->first + i];
		struct go_lock *l = t->go.way == GO_WAY_WRITE ? find_lock(g, t->lock) : NULL;

		if (l && l->lock == t->lock && l->writer_waits)
			l->writer = t;
	}
}

static int find_holders(struct go_graph *g)
{
	const struct go_process *p = &g->go->process->go->process;
	int err;

	list_locks(g);
	if (!g->cnt)
		return 0;
	g->explained = calloc(g->go->goroutines->cnt + 1, sizeof(bool));
	if (!g->explained)
		return -ENOMEM;
	for (size_t i = 0; i < g->cnt; i++)
		read_words(g, &g->lock[i]);
	find_writers(g);
	err = go_sites__new(p, &g->sites);
	if (!err)
		err = gather(g);
	for (size_t i = 0; i < g->cnt && !err; i++)
		choose(g, &g->lock[i]);
	for (size_t i = 0; i < g->go->goroutines->cnt; i++)
		set_holder(g, &g->b->r.thread[g->go->first + i]);
	go_sites__free(g->sites);
	free(g->explained);
	return err;
}

int stacks__find_go_holders(struct stacks_builder *b)
{
	struct go_graph *g = malloc(sizeof(*g));
	int err = g ? 0 : -ENOMEM;

	for (size_t i = 0; i < b->r.go_cnt && !err; i++) {
		if (!b->r.go[i].goroutines)
			continue;
		*g = (struct go_graph){ .b = b, .go = &b->r.go[i] };
		err = find_holders(g);
	}
	free(g);
	return err;
}
