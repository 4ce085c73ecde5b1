// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goroutines that have leaked, in a leaks report: what Go's own collector found, waits that nobody can end, many that
 * wait to hand something over at one line, and places that create more and more.
 *
 * Goroutines that wait for something to come (receive, select, WaitGroup, Cond, I/O, sleep) are none of these by
 * themselves: so wait the workers of a pool, connections that are kept, and loops for signals, for as long as their
 * program is at rest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/model/leaks_build.h"
#include "user/model/trend.h"
#include "user/util/text.h"

static size_t index_of(const struct leaks_builder *b, const struct blocked_thread *t)
{
	return t - b->in->stacks->thread;
}

static struct leak_suspect *add(struct leaks_builder *b, enum leak_reason reason,
				const struct blocked_thread *t)
{
	struct leak_suspect *s =
		leaks__add(b, reason, t->thread->rec.tgid, t->thread->process->comm);

	if (!s)
		return NULL;
	s->goroutines = true;
	s->thread = t;
	s->oldest_ns = t->at_least_ns;
	if (t->created) {
		s->created_by = t->created->frames;
		s->created_cnt = t->created->frame_cnt;
		s->created_whole = true;
	}
	return s;
}

/* Those of a group that no suspect has yet, that have waited for long enough, and of which this holds. */
struct chosen {
	size_t cnt;
	const struct blocked_thread *first; /* who has waited longest */
	uint64_t least_ns;
};

static struct chosen choose(struct leaks_builder *b, struct blocked_thread *const *thread,
			    size_t cnt, bool (*is)(const struct blocked_thread *t))
{
	struct chosen c = { .least_ns = UINT64_MAX };

	for (size_t i = 0; i < cnt; i++) {
		const struct blocked_thread *t = thread[i];

		if (b->taken[index_of(b, t)] || t->at_least_ns < b->r.query->min_age_ns ||
		    (is && !is(t)))
			continue;
		c.cnt++;
		if (!c.first || t->at_least_ns > c.first->at_least_ns)
			c.first = t;
		if (t->at_least_ns < c.least_ns)
			c.least_ns = t->at_least_ns;
	}
	return c;
}

static void take(struct leaks_builder *b, struct blocked_thread *const *thread, size_t cnt,
		 bool (*is)(const struct blocked_thread *t))
{
	for (size_t i = 0; i < cnt; i++)
		if (thread[i]->at_least_ns >= b->r.query->min_age_ns && (!is || is(thread[i])))
			b->taken[index_of(b, thread[i])] = true;
}

/* ---- what Go's own garbage collector says */

static bool is_leaked(const struct blocked_thread *t)
{
	return t->goroutine->status == GO_LEAKED;
}

/* However short it waits: the collector has looked. */
static int add_leaked(struct leaks_builder *b, const struct blocked_group *g)
{
	struct leak_suspect *s;
	size_t cnt = 0;

	for (size_t i = 0; i < g->cnt; i++) {
		if (!is_leaked(g->thread[i]) || b->taken[index_of(b, g->thread[i])])
			continue;
		b->taken[index_of(b, g->thread[i])] = true;
		cnt++;
	}
	if (!cnt)
		return 0;
	s = add(b, LEAK_BLOCKED, g->thread[0]);
	if (!s)
		return -ENOMEM;
	s->exact = true;
	s->sure = 1;
	s->count = cnt;
	return leaks__say(s,
			  "Go's garbage collector says so: nothing that can run refers to what %s "
			  "for",
			  cnt == 1 ? "it waits" : "they wait");
}

/* ---- waits that nobody can end */

static const char *why_stuck(const struct stuck_wait *w)
{
	switch (w->why) {
	case STUCK_NIL_SEND:
		return "a send to a nil channel, which nobody can ever receive from";
	case STUCK_NIL_RECEIVE:
		return "a receive from a nil channel";
	case STUCK_ABANDONED:
		return "the lock is taken, and no goroutine is where it could have it: whoever "
		       "locked it has returned or ended";
	case STUCK_NOBODY_LEFT:
		return "nobody else refers to what they wait for who could go on";
	case STUCK_LEAKED:
		return "Go's garbage collector says so";
	default:
		return "nobody can end the wait";
	}
}

static int add_stuck(struct leaks_builder *b, const struct stuck_wait *w)
{
	struct chosen c = choose(b, w->thread, w->cnt, NULL);
	struct leak_suspect *s;

	/* A receive from a nil channel may be meant so: the Done() of a context without an end. */
	if (!c.cnt || !w->fault)
		return 0;
	take(b, w->thread, w->cnt, NULL);
	s = add(b, w->why == STUCK_ABANDONED ? LEAK_ORPHANED : LEAK_BLOCKED, c.first);
	if (!s)
		return -ENOMEM;
	s->exact = w->certain;
	s->sure = w->certain ? 1 : 0.9;
	s->count = c.cnt;
	if (w->lock)
		s->lock = w->lock->name;
	return leaks__say(s, "%s", why_stuck(w));
}

/* ---- many alike (LeakProf's criterion, arXiv 2312.12002, with age on top) */

/* Who sends has work for somebody, and who waits for a lock is to get it soon: unlike those that wait for work. */
static bool should_go_on(const struct blocked_thread *t)
{
	if (t->idle || t->timed || t->go.system || !t->goroutine->steady)
		return false;
	return t->go.way == GO_WAY_SEND || t->go.kind == LOCK_GO_MUTEX ||
	       t->go.kind == LOCK_GO_RWMUTEX;
}

static int add_alike(struct leaks_builder *b, const struct blocked_group *g)
{
	unsigned least = b->r.query->same_line ? b->r.query->same_line : LEAKS_SAME_LINE;
	struct chosen c = choose(b, g->thread, g->cnt, should_go_on);
	char age[TEXT_DURATION_SZ], holder[64] = "", objects[64] = "";
	const struct waited_lock *lock;
	struct leak_suspect *s;

	if (c.cnt < least)
		return 0;
	take(b, g->thread, g->cnt, should_go_on);
	s = add(b, LEAK_SAME_LINE, c.first);
	if (!s)
		return -ENOMEM;
	lock = c.first->lock;
	if (g->locks == 1 && lock && lock->owner && lock->owner->goroutine)
		snprintf(holder, sizeof(holder), ", probably held by goroutine %llu",
			 (unsigned long long)lock->owner->goroutine->goid);
	if (g->locks > 1)
		snprintf(objects, sizeof(objects), ", for %zu objects", g->locks);
	s->sure = 0.9;
	s->count = c.cnt;
	return leaks__say(s, "%zu goroutines at one line, in %s%s%s, none of which has run for %s",
			  c.cnt, c.first->call.call, objects, holder,
			  text__duration(c.least_ns, age));
}

/* ---- places that create more and more */

static void test(const struct history *h, struct trend *ret)
{
	struct trend_point point[HISTORY_MAX];

	for (size_t i = 0; i < h->cnt; i++)
		point[i] = (struct trend_point){ h->span[i].began_ns, h->span[i].min };
	trend__test(point, h->cnt, LEAKS_GROWTH_LEAST, ret);
}

/* Of those that were created here: where most of them are, and who of these has been there longest. */
static const struct blocked_group *typical(const struct leaks_builder *b,
					   const struct snap_process *p, uint64_t gopc,
					   const struct blocked_thread **ret, size_t *ret_cnt)
{
	const struct stacks_report *r = b->in->stacks;
	const struct blocked_group *most = NULL;
	size_t cnt = 0;

	for (size_t i = 0; i < r->group_cnt; i++) {
		const struct blocked_group *g = &r->group[i];
		const struct blocked_thread *t = g->thread[0];

		if (t->goroutine && t->goroutine->gopc == gopc && t->thread->process == p &&
		    (!most || g->cnt > most->cnt))
			most = g;
	}
	*ret = most ? most->thread[0] : NULL;
	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		if (t->goroutine && t->goroutine->gopc == gopc && t->thread->process == p) {
			*ret = *ret ? *ret : t;
			cnt++;
		}
	}
	*ret_cnt = cnt;
	return most;
}

static int add_growing(struct leaks_builder *b, const struct snap_process *p,
		       const struct go_birthplace *place)
{
	const struct blocked_thread *t;
	const struct blocked_group *most;
	char span[TEXT_DURATION_SZ], alike[64] = "";
	struct leak_suspect *s;
	struct trend trend;
	size_t cnt;

	test(&place->history, &trend);
	if (trend.stretches >= TREND_POINTS_LEAST)
		b->r.coverage.growth_unknown = false;
	most = trend.grows ? typical(b, p, place->gopc, &t, &cnt) : NULL;
	if (!trend.grows || !t || t->go.system)
		return 0;
	s = add(b, LEAK_GROWING, t);
	if (!s)
		return -ENOMEM;
	s->count = cnt;
	s->growth_per_min = trend.per_min;
	s->sure = trend.sure;
	if (most)
		snprintf(alike, sizeof(alike), "; %zu of them wait alike", most->cnt);
	return leaks__say(s,
			  "from %llu to %llu live goroutines that were created there in %s, %.*f "
			  "more a minute; a trend by more than %.1f %%%s",
			  (unsigned long long)trend.from, (unsigned long long)trend.to,
			  text__duration(trend.span_ns, span), trend.per_min < 10 ? 1 : 0,
			  trend.per_min, trend.sure > 0.999 ? 99.9 : trend.sure * 100, alike);
}

static int find_growing(struct leaks_builder *b, const struct go_summary *go)
{
	const struct go_birthplace *place;
	int err = 0;

	for (size_t i = 0; !err && (place = table__next(&go->process->go->population.places, &i));)
		if (place->gopc)
			err = add_growing(b, go->process, place);
	return err;
}

/* ---- */

int leaks__find_goroutines(struct leaks_builder *b)
{
	const struct stacks_report *r = b->in->stacks;
	int err = 0;

	for (size_t i = 0; i < r->group_cnt && !err; i++)
		if (r->group[i].thread[0]->goroutine)
			err = add_leaked(b, &r->group[i]);
	for (size_t i = 0; i < r->stuck_cnt && !err; i++)
		err = add_stuck(b, &r->stuck[i]);
	for (size_t i = 0; i < r->group_cnt && !err; i++)
		if (r->group[i].thread[0]->goroutine)
			err = add_alike(b, &r->group[i]);
	for (size_t i = 0; i < r->go_cnt && !err; i++)
		if (r->go[i].goroutines)
			err = find_growing(b, &r->go[i]);
	return err;
}
