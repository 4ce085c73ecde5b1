// SPDX-License-Identifier: GPL-2.0-only
/* What threads' births and deaths tell: those that nobody joins, and sites that make more and more. */
#include <errno.h>
#include <stdlib.h>

#include "user/model/leaks_build.h"
#include "user/model/trend.h"
#include "user/util/text.h"

#define STARTS_MAX 64 /* start routines of one site */

/* ---- ended, and never joined */

/* What a process that is over had leaked is of no matter, unless it was run to be looked at. */
static bool is_past(const struct leaks_builder *b, const struct lt_process *p)
{
	return p->over && (p->by_exec || !b->r.query->over);
}

/* So long ago, at least. */
static uint64_t ended_for(const struct leaks_builder *b, const struct lt_thread *t)
{
	uint64_t since = t->ended_ns ? t->ended_ns : b->in->began_ns;

	uint64_t until = t->process->over ? t->process->over_ns : b->in->now_ns;

	return until > since ? until - since : 0;
}

/* Is somebody about to join the threads of this site, one after the other? */
static bool is_being_joined(const struct leaks_builder *b, const struct lt_site *site)
{
	const struct stacks_report *r = b->in->stacks;

	for (const struct lt_thread *t = site->threads; t; t = t->next)
		if (t->end == LT_ALIVE && t->joiner_tid)
			return true;
	for (size_t i = 0; i < r->lock_cnt; i++) {
		const struct waited_lock *lock = r->lock[i];

		if (lock->held_by == HELD_TARGET && lock->owner &&
		    lock->process->tgid == site->process->tgid &&
		    leaks__site_of(b, lock->owner) == site)
			return true;
	}
	return false;
}

/* Of one start routine: a site of threads that are older than holdup has several. */
struct unjoined {
	uint64_t start;
	uint64_t cnt, young, oldest_ns, in_time;
};

static uint64_t start_of(const struct lt_thread *t)
{
	return t->start_routine ? t->start_routine : t->site->start_routine;
}

static bool counts(const struct lt_thread *t)
{
	return lt_thread__unjoined(t) && !t->join_unsure;
}

static struct unjoined count_unjoined(const struct leaks_builder *b, const struct lt_site *site,
				      uint64_t start)
{
	struct unjoined u = { .start = start };

	if (start == site->start_routine)
		u.cnt = site->forgotten;
	for (const struct lt_thread *t = site->threads; t; t = t->next) {
		uint64_t age = ended_for(b, t);

		if (!counts(t) || start_of(t) != start)
			continue;
		if (age < b->r.query->min_age_ns) {
			u.young++;
			continue;
		}
		u.cnt++;
		u.in_time += t->ended_ns >= b->in->began_ns;
		if (age > u.oldest_ns)
			u.oldest_ns = age;
	}
	return u;
}

/* By what its C library says of threads with this start routine. */
static uint64_t stack_bytes(const struct leaks_builder *b, uint32_t tgid, const struct unjoined *u)
{
	for (size_t i = 0; i < b->in->stack_cnt; i++) {
		const struct leaks_stack *s = &b->in->stack[i];

		if (s->tgid == tgid && s->start == u->start)
			return u->cnt < s->cnt ? s->bytes / s->cnt * u->cnt : s->bytes;
	}
	return 0;
}

static int add_unjoined(struct leaks_builder *b, const struct lt_process *p,
			const struct lt_site *site, const struct unjoined *u)
{
	struct leak_suspect *s = leaks__add(b, LEAK_UNJOINED, p->tgid, p->comm);
	uint64_t watched = b->in->now_ns - b->in->began_ns;
	char age[TEXT_DURATION_SZ];
	int err;

	if (!s)
		return -ENOMEM;
	s->exact = true;
	s->sure = 1;
	s->count = u->cnt;
	s->oldest_ns = u->oldest_ns;
	/* Of those that have come while holdup looked; the last ones may yet be joined. */
	if (u->in_time && watched > b->r.query->min_age_ns)
		s->growth_per_min = u->in_time * 60e9 / (watched - b->r.query->min_age_ns);
	err = leaks__name_site(b, s, site, u->start);
	if (err)
		return err;
	s->stack_bytes = stack_bytes(b, p->tgid, u);
	return leaks__say(
		s, "%llu joinable thread%s ended and %s neither joined nor detached%s for %s",
		(unsigned long long)u->cnt, u->cnt == 1 ? "" : "s", u->cnt == 1 ? "was" : "were",
		u->cnt == 1 ? "" : ", the first of them", text__duration(u->oldest_ns, age));
}

/* The next start routine of the site's unjoined threads, in order of address, from `from` on. */
static bool next_start(const struct lt_site *site, uint64_t from, uint64_t *ret)
{
	bool found = false;

	for (const struct lt_thread *t = site->threads; t; t = t->next)
		if (counts(t) && start_of(t) >= from && (!found || start_of(t) < *ret)) {
			*ret = start_of(t);
			found = true;
		}
	return found;
}

static int find_in_site(struct leaks_builder *b, const struct lt_process *p,
			const struct lt_site *site)
{
	uint64_t start = 0;
	int err = 0;

	if (!site->unjoined || is_being_joined(b, site))
		return 0;
	for (int left = STARTS_MAX; left && !err && next_start(site, start, &start);
	     start++, left--) {
		struct unjoined u = count_unjoined(b, site, start);

		if (u.cnt)
			err = add_unjoined(b, p, site, &u);
	}
	return err;
}

int leaks__find_unjoined(struct leaks_builder *b)
{
	int err = 0;

	for (const struct lt_process *p = b->in->lifetimes->processes; p && !err; p = p->next) {
		if (is_past(b, p) || !p->unjoined)
			continue;
		for (const struct lt_site *site = p->sites; site && !err; site = site->next)
			err = find_in_site(b, p, site);
	}
	return err;
}

/* ---- more and more */

static void test(const struct history *h, struct trend *ret)
{
	struct trend_point points[HISTORY_MAX];
	uint64_t least;
	size_t cnt = h->cnt;

	for (size_t i = 0; i < cnt; i++)
		points[i] = (struct trend_point){ h->span[i].began_ns, h->span[i].min };
	/* The last one may have just begun. */
	if (cnt && h->in_last < h->samples_a_span)
		cnt--;
	/* A few more on top of many are none that would ever matter. */
	least = cnt ? points[0].count / 10 : 0;
	trend__test(points, cnt, least > LEAKS_GROWTH_LEAST ? least : LEAKS_GROWTH_LEAST, ret);
}

/* What most of the site's threads are doing: one that is where most of them are. */
static const struct blocked_thread *typical(const struct leaks_builder *b,
					    const struct lt_site *site)
{
	const struct stacks_report *r = b->in->stacks;
	const struct blocked_thread *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < r->group_cnt; i++) {
		const struct blocked_group *g = &r->group[i];
		const struct blocked_thread *one = NULL;
		size_t cnt = 0;

		if (g->thread[0]->thread->rec.tgid != site->process->tgid && g->processes == 1)
			continue;
		for (size_t n = 0; n < g->cnt; n++)
			if (leaks__site_of(b, g->thread[n]) == site) {
				one = one ? one : g->thread[n];
				cnt++;
			}
		if (cnt > most) {
			most = cnt;
			best = one;
		}
	}
	return best;
}

static uint64_t oldest(const struct leaks_builder *b, const struct lt_site *site)
{
	uint64_t age = 0;

	for (const struct lt_thread *t = site->threads; t; t = t->next)
		if (t->end == LT_ALIVE && t->born_ns && b->in->now_ns - t->born_ns > age)
			age = b->in->now_ns - t->born_ns;
	return age;
}

static int add_growing(struct leaks_builder *b, const struct lt_process *p,
		       const struct lt_site *site, const struct trend *t)
{
	struct leak_suspect *s = leaks__add(b, LEAK_GROWING, p->tgid, p->comm);
	const struct lt_counts *c = site ? &site->all : &p->all;
	uint64_t ended = 0;
	char span[TEXT_DURATION_SZ];
	int err;

	if (!s)
		return -ENOMEM;
	for (int i = 0; i < LT_END_CNT; i++)
		ended += c->ended[i];
	s->count = site ? site->live : p->live;
	s->growth_per_min = t->per_min;
	s->sure = t->sure;
	s->oldest_ns = site ? oldest(b, site) : 0;
	s->thread = site ? typical(b, site) : NULL;
	err = leaks__name_site(b, s, site, site ? site->start_routine : 0);
	if (err)
		return err;
	return leaks__say(s,
			  "from %llu to %llu live threads in %s, %.*f more a minute: %llu created, "
			  "%llu ended; a trend by more than %.1f %%",
			  (unsigned long long)t->from, (unsigned long long)t->to,
			  text__duration(t->span_ns, span),
			  t->per_min<10, t->per_min, (unsigned long long)c->born,
				     (unsigned long long)ended, t->sure> 0.999
				  ? 99.9
				  : t->sure * 100);
}

/*
 * More load makes more threads, too, which end like those before them: then all that live are young. What leaks stays:
 * most of what has come on top is far older than what ended got.
 */
#define FAR_OLDER 4 /* times the average life */

static uint64_t count_older(const struct leaks_builder *b, const struct lt_site *site,
			    uint64_t age_ns)
{
	uint64_t cnt = 0;

	for (const struct lt_thread *t = site->threads; t; t = t->next)
		cnt += t->end == LT_ALIVE && t->born_ns && b->in->now_ns - t->born_ns > age_ns;
	return cnt;
}

static bool stays(const struct leaks_builder *b, const struct lt_process *p,
		  const struct lt_site *only, const struct trend *t)
{
	const struct lt_counts *c = only ? &only->all : &p->all;
	uint64_t ended = 0, old = 0, age_ns;

	for (int i = 0; i < LT_END_CNT; i++)
		ended += c->ended[i];
	if (!ended)
		return true;
	age_ns = FAR_OLDER * (c->age_ns / ended);
	for (const struct lt_site *site = p->sites; site; site = site->next)
		if (!only || site == only)
			old += count_older(b, site, age_ns);
	return old >= LEAKS_GROWTH_LEAST && old >= (t->to - t->from) / 2;
}

int leaks__find_growing(struct leaks_builder *b)
{
	struct trend t;
	int err = 0;

	b->r.coverage.growth_unknown = true;
	if (b->r.query->early)
		return 0;
	for (const struct lt_process *p = b->in->lifetimes->processes; p && !err; p = p->next) {
		bool found = false;

		if (is_past(b, p))
			continue;
		for (const struct lt_site *site = p->sites; site && !err; site = site->next) {
			test(&site->history, &t);
			if (t.stretches >= TREND_POINTS_LEAST)
				b->r.coverage.growth_unknown = false;
			if (t.grows && !site->before && !site->beyond && stays(b, p, site, &t)) {
				err = add_growing(b, p, site, &t);
				found = true;
			}
		}
		test(&p->history, &t);
		if (t.stretches >= TREND_POINTS_LEAST)
			b->r.coverage.growth_unknown = false;
		if (t.grows && !found && !err &&
		    stays(b, p, NULL, &t)) /* by many sites, each a little */
			err = add_growing(b, p, NULL, &t);
	}
	return err;
}
