// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goroutines that wait for channels and WaitGroups to which nobody else refers who could go on: what the collector of
 * Go 1.26 and newer finds as leaked goroutines ("GOLF", ASPLOS 2025), from outside and for all versions. Nothing is
 * stopped while memory is copied, so what is found is looked for a second time, and told if both say so: probable,
 * never certain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/resident.h"
#include "user/golang/go_reach.h"
#include "user/model/stacks_build.h"
#include "user/util/patience.h"

#define MEMORY_MAX \
	(64u << 20) /* of variables and objects with pointers; more would take too long */
#define LOOKS 2
#define TRIES 3 /* of a look at goroutines that will not hold still */

struct left {
	struct stacks_builder *b;
	const struct go_summary *go;
	bool *candidate; /* of the report's goroutines: waits for nothing but objects, and was not found to go on */
	size_t candidates;
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

	if (!g->steady || g->status != GO_WAITING || t->go.idle || t->go.system || t->go.never)
		return false;
	if (t->go.kind == LOCK_GO_CHAN || t->go.kind == LOCK_GO_SELECT)
		return g->chans && g->chans < GO_CHANS_MAX;
	return t->go.kind == LOCK_GO_WAITGROUP && t->go.object;
}

static void list_candidates(struct left *l)
{
	for (size_t i = 0; i < l->go->goroutines->cnt; i++) {
		l->candidate[i] = is_candidate(l, i);
		l->candidates += l->candidate[i];
	}
}

/* ---- one look */

struct look {
	struct go_snapshot *now;
	struct go_heap heap;
	struct go_copy *copy;
	size_t copies;
	struct go_awaits *awaits;
	size_t cnt;
	bool *live; /* of the goroutines of this look */
};

static void look__free(struct look *k)
{
	resident__free(k->copy, k->copies);
	go_heap__free(&k->heap);
	go_snapshot__free(k->now);
	free(k->awaits);
	free(k->live);
}

static int by_start(const void *a, const void *b)
{
	const struct go_range *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* What the collector looks at: variables, and objects with pointers. Goroutines and stacks are read when it comes to them. */
static int copy_memory(const struct left *l, struct look *k)
{
	const struct snap_process *p = l->go->process;
	struct go_range *range = calloc(k->heap.cnt + 2, sizeof(*range));
	size_t cnt = 0;
	int err;

	if (!range)
		return -ENOMEM;
	range[cnt++] = p->go->process.data;
	range[cnt++] = p->go->process.bss;
	for (size_t i = 0; i < k->heap.cnt; i++) {
		const struct go_span *span = &k->heap.span[i];

		if (!span->noscan && !span->goroutines)
			range[cnt++] =
				(struct go_range){ span->addr,
						   span->addr + span->elems * span->elem_sz };
	}
	qsort(range, cnt, sizeof(*range), by_start);
	err = resident__copy(p->tgid, sym_process__maps(p->names), range, cnt, MEMORY_MAX, &k->copy,
			     &k->copies);
	free(range);
	return err;
}

/* Is it the same goroutine, and has it not run since the report's look? */
static bool same(const struct go_goroutine *a, const struct go_goroutine *b)
{
	return a->addr == b->addr && a->goid == b->goid && a->seq == b->seq && a->sp == b->sp &&
	       a->status == b->status;
}

static void add_awaits(const struct left *l, struct look *k, size_t i, size_t now)
{
	const struct go_goroutine *g = goroutine(l, i);

	k->live[now] = false;
	if (entry(l, i)->go.kind == LOCK_GO_WAITGROUP)
		k->awaits[k->cnt++] = (struct go_awaits){ now, entry(l, i)->go.object };
	else
		for (size_t c = 0; c < g->chans; c++)
			k->awaits[k->cnt++] =
				(struct go_awaits){ now, l->go->goroutines->chan[g->chan_at + c] };
}

/* Both lists are by address. */
static int list_awaits(const struct left *l, struct look *k)
{
	size_t at = 0;

	k->live = malloc(k->now->cnt + 1);
	k->awaits = calloc(l->candidates * GO_CHANS_MAX + 1, sizeof(*k->awaits));
	if (!k->live || !k->awaits)
		return -ENOMEM;
	for (size_t now = 0; now < k->now->cnt; now++) {
		const struct go_goroutine *g = &k->now->goroutine[now];

		k->live[now] = true;
		while (at < l->go->goroutines->cnt && goroutine(l, at)->addr < g->addr)
			at++;
		if (at < l->go->goroutines->cnt && l->candidate[at] && same(g, goroutine(l, at)))
			add_awaits(l, k, at, now);
	}
	return 0;
}

/* Those that may go on are candidates no more. */
static void strike(struct left *l, const struct look *k)
{
	size_t now = 0;

	for (size_t i = 0; i < l->go->goroutines->cnt; i++) {
		if (!l->candidate[i])
			continue;
		while (now < k->now->cnt && k->now->goroutine[now].addr < goroutine(l, i)->addr)
			now++;
		if (now == k->now->cnt || k->live[now] ||
		    k->now->goroutine[now].addr != goroutine(l, i)->addr) {
			l->candidate[i] = false;
			l->candidates--;
		}
	}
}

/*
 * Who has not run since the report's look is taken over from it. Of goroutines that would not hold still the stacks
 * are missing, so that nothing can be told.
 */
static int look_once(struct left *l)
{
	struct go_process *p = (struct go_process *)&l->go->process->go->process;
	struct look k = { 0 };
	int err = go_snapshot__again(p, l->go->goroutines, &k.now);

	if (!err && (k.now->rejected || k.now->beyond))
		err = -EAGAIN;
	if (!err)
		err = go_heap__read(p, k.now, &k.heap);
	if (!err)
		err = copy_memory(l, &k);
	if (!err)
		err = list_awaits(l, &k);
	if (!err) {
		const struct go_reach_input in = { p,	     k.now,    &k.heap, k.copy,
						   k.copies, k.awaits, k.cnt };

		err = go_reach__find(&in, k.live);
	}
	/* What was not read for that led nowhere. */
	if (!err && patience__is_over(l->go->process->tgid))
		err = -EBUSY;
	if (!err)
		strike(l, &k);
	look__free(&k);
	return err;
}

/* ---- findings */

static int look(struct left *l)
{
	size_t cnt = l->go->goroutines->cnt;
	int err = 0;

	l->candidate = calloc(cnt + 1, sizeof(bool));
	if (!l->candidate)
		return -ENOMEM;
	list_candidates(l);
	for (int i = 0; i < LOOKS && l->candidates && !err; i++) {
		err = look_once(l);
		for (int k = 1; k < TRIES && err == -EAGAIN; k++)
			err = look_once(l);
	}
	for (size_t i = 0; i < cnt && !err; i++)
		entry(l, i)->left = l->candidate[i];
	l->b->r.coverage.go_unsearched += err != 0;
	return err == -ENOMEM ? err : 0; /* too large to be searched, or it would not hold still */
}

int stacks__find_left(struct stacks_builder *b)
{
	int err = 0;

	for (size_t i = 0; i < b->r.go_cnt && !err; i++) {
		struct left l = { .b = b, .go = &b->r.go[i] };

		if (!l.go->goroutines || !l.go->process->names)
			continue;
		err = look(&l);
		free(l.candidate);
	}
	return err;
}
