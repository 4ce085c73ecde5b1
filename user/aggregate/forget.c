// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a run of days must not keep: processes that are over, their threads and stacks.
 *
 * A stack of a living process stays: the kernel side sends each only once, and its threads remember the ID. IDs
 * have the process's in them, so nobody else has one that goes with it. Exec leaves the process its ID: its old
 * stacks stay as long as the new program.
 */
#include "user/aggregate/internal.h"

#include <stdlib.h>

#define QUIET_INTERVALS 2 /* without a site: what other CPUs had still to say has come */

static bool is_over(const struct agg_process *p)
{
	return p->gone || p->exited;
}

/* What goes with the processes that go. */
struct going {
	struct aggregate *a;
	struct table tgids; /* of struct agg_process: those of which none stays by that ID */
};

static bool tgid__equal(const void *value, const void *key)
{
	return ((const struct agg_process *)value)->tgid == *(const uint32_t *)key;
}

static bool goes(const struct going *g, uint32_t tgid)
{
	return table__find(&g->tgids, hash__mix(0, tgid), tgid__equal, &tgid);
}

static bool process__stays(void *ctx, void *value)
{
	return ((const struct agg_process *)value)->quiet < QUIET_INTERVALS;
}

static bool thread__stays(void *ctx, void *value)
{
	return process__stays(NULL, (void *)((const struct agg_thread *)value)->process);
}

static bool before__stays(void *ctx, void *value)
{
	return !goes(ctx, ((const struct agg_before *)value)->tgid);
}

static bool stack__stays(void *ctx, void *value)
{
	return !goes(ctx, ((const struct agg_stack *)value)->tgid);
}

static bool alias__stays(void *ctx, void *value)
{
	const struct going *g = ctx;
	const struct agg_stack *s = aggregate__stack(g->a, ((const struct agg_alias *)value)->id);

	return s && stack__stays(ctx, (void *)s);
}

static void tell_stacks(const struct going *g)
{
	const struct agg_hooks *hooks = &g->a->hooks;
	const struct agg_stack *s;

	for (size_t i = 0; hooks->forget_stack && (s = table__next(&g->a->stacks, &i));)
		if (goes(g, s->tgid))
			hooks->forget_stack(hooks->ctx, s->id);
}

static void tell_processes(const struct going *g)
{
	const struct agg_hooks *hooks = &g->a->hooks;
	struct agg_process *p;

	for (size_t i = 0; hooks->forget && (p = table__next(&g->a->processes, &i));)
		if (!process__stays(NULL, p))
			hooks->forget(hooks->ctx, p);
}

/* How many go. */
static size_t count_quiet(struct aggregate *a)
{
	struct agg_process *p;
	size_t cnt = 0;

	for (size_t i = 0; (p = table__next(&a->processes, &i));) {
		if (p->used || !is_over(p))
			p->quiet = 0;
		else if (p->quiet < QUIET_INTERVALS)
			p->quiet++;
		p->used = false;
		cnt += !process__stays(NULL, p);
	}
	return cnt;
}

static bool none_stays(void *ctx, void *value)
{
	const struct agg_process *p = value;

	return !table__find(ctx, hash__mix(0, p->tgid), tgid__equal, &p->tgid);
}

static void drop_nothing(void *value)
{
}

/* Without memory for that, all stay until the next time. */
static int find_going(struct going *g)
{
	struct table staying = { 0 };
	struct agg_process *p;
	int err = 0;

	for (size_t i = 0; !err && (p = table__next(&g->a->processes, &i));)
		err = table__add(process__stays(NULL, p) ? &staying : &g->tgids,
				 hash__mix(0, p->tgid), p);
	if (!err)
		err = table__filter(&g->tgids, none_stays, &staying, drop_nothing);
	table__clear(&staying, NULL);
	return err;
}

void aggregate__forget(struct aggregate *a)
{
	struct going g = { .a = a };

	/* Threads first, and nothing after them that fails: they point to processes. */
	if (count_quiet(a) && !find_going(&g) &&
	    !table__filter(&a->threads, thread__stays, NULL, free)) {
		tell_stacks(&g);
		table__filter(&a->aliases, alias__stays, &g, free);
		table__filter(&a->stacks, stack__stays, &g, free);
		table__filter(&a->before, before__stays, &g, free);
		tell_processes(&g);
		table__filter(&a->processes, process__stays, NULL, agg_process__free);
	}
	table__clear(&g.tgids, NULL);
}
