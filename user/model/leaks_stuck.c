// SPDX-License-Identifier: GPL-2.0-only
/* What a look at all threads tells: who waits for what will never come, and who waits alike. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/model/leaks_build.h"
#include "user/util/text.h"

static size_t index_of(const struct leaks_builder *b, const struct blocked_thread *t)
{
	return t - b->in->stacks->thread;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* A process's threads count for it alone: a suspect is one process's. */
static struct leak_suspect *add(struct leaks_builder *b, enum leak_reason reason,
				const struct blocked_thread *t)
{
	struct leak_suspect *s =
		leaks__add(b, reason, t->thread->rec.tgid, t->thread->process->comm);
	const struct lt_thread *life;

	if (!s)
		return NULL;
	s->thread = t;
	life = leaks__life_of(b, t);
	if (life && leaks__name_site(b, s, life->site, life->start_routine))
		return NULL;
	return s;
}

/* ---- locks whose owner is gone */

static int add_orphan(struct leaks_builder *b, const struct waited_lock *lock)
{
	const struct stacks_report *r = b->in->stacks;
	const struct blocked_thread *first = NULL;
	struct leak_suspect *s;
	char name[EVIDENCE_SZ / 2];

	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		if (t->lock != lock)
			continue;
		b->taken[i] = true;
		if (!first || t->at_least_ns > first->at_least_ns)
			first = t;
	}
	if (!first)
		return 0;
	s = add(b, LEAK_ORPHANED, first);
	if (!s)
		return -ENOMEM;
	s->exact = true;
	s->sure = 1;
	s->count = lock->waiters;
	s->oldest_ns = first->at_least_ns;
	s->lock = lock->name;
	snprintf(name, sizeof(name), "%s%s%s",
		 *lock->label ? lock->label : lock_kind__name(lock->kind), *lock->name ? " " : "",
		 lock->name);
	return leaks__say(s, "%zu thread%s wait%s for %s, whose owner, thread %u, is gone",
			  lock->waiters, plural(lock->waiters), lock->waiters == 1 ? "s" : "", name,
			  lock->owner_word);
}

int leaks__find_orphaned(struct leaks_builder *b)
{
	int err = 0;

	for (size_t i = 0; i < b->in->stacks->orphan_cnt && !err; i++)
		err = add_orphan(b, b->in->stacks->orphan[i]);
	return err;
}

/* ---- blocked for ever */

static bool is_old(const struct leaks_builder *b, const struct blocked_thread *t)
{
	return t->at_least_ns >= b->r.query->min_age_ns;
}

/* Of goroutines: where they were created is known. */
static void use_goroutine(struct leak_suspect *s, const struct deadlock *d)
{
	const struct named_stack *created = s->thread->created;

	s->goroutines = true;
	s->created_by = created ? created->frames : NULL;
	s->created_cnt = created ? created->frame_cnt : 0;
	s->created_whole = true;
	s->exact = !d->probable;
	s->sure = d->probable ? 0.9 : 1;
}

static int add_deadlock(struct leaks_builder *b, const struct deadlock *d)
{
	const char *who;
	const struct blocked_thread *first = d->thread[0];
	struct leak_suspect *s;

	for (size_t i = 0; i < d->cnt; i++) {
		b->taken[index_of(b, d->thread[i])] = true;
		if (d->thread[i]->at_least_ns > first->at_least_ns)
			first = d->thread[i];
	}
	s = add(b, LEAK_BLOCKED, first);
	if (!s)
		return -ENOMEM;
	s->exact = true;
	s->sure = 1;
	s->count = d->cnt + d->behind;
	s->oldest_ns = first->at_least_ns;
	s->lock = first->lock->name;
	if (first->goroutine)
		use_goroutine(s, d);
	who = s->goroutines ? "goroutine" : "thread";
	if (d->cnt == 1)
		return leaks__say(s, "%sdeadlock: a %s waits for what it holds itself%s",
				  d->probable ? "probable " : "", who,
				  d->behind ? ", and others behind it" : "");
	return leaks__say(s, "%sdeadlock: %zu %ss wait for one another%s",
			  d->probable ? "probable " : "", d->cnt, who,
			  d->behind ? ", and others behind them" : "");
}

static int compare_tids(const void *key, const void *value)
{
	uint32_t a = *(const uint32_t *)key, b = *(const uint32_t *)value;

	return a < b ? -1 : a > b;
}

static bool is_unreachable(const struct leaks_builder *b, const struct blocked_thread *t)
{
	const struct leaks_unreachable *u = b->in->unreachable;

	return u && u->cnt &&
	       bsearch(&t->thread->rec.tid, u->tid, u->cnt, sizeof(*u->tid), compare_tids);
}

/* How long those that wait in the same place, and for what others know, have been there, in the middle. */
struct siblings {
	size_t cnt;
	uint64_t longest_ns;
};

static struct siblings find_siblings(const struct leaks_builder *b, const struct blocked_group *g)
{
	struct siblings s = { 0 };

	for (size_t i = 0; i < g->cnt; i++) {
		const struct blocked_thread *t = g->thread[i];

		if (is_unreachable(b, t))
			continue;
		s.cnt++;
		if (t->at_least_ns > s.longest_ns)
			s.longest_ns = t->at_least_ns;
	}
	return s;
}

#define FAR_LONGER 3 /* times as long as the longest of its siblings */

static int add_unreachable(struct leaks_builder *b, const struct blocked_group *g)
{
	struct siblings siblings = find_siblings(b, g);
	const struct blocked_thread *first = NULL;
	struct leak_suspect *s;
	char longest[TEXT_DURATION_SZ];
	size_t cnt = 0;

	for (size_t i = 0; i < g->cnt; i++) {
		const struct blocked_thread *t = g->thread[i];
		size_t at = index_of(b, t);

		if (b->taken[at] || !is_unreachable(b, t) || !is_old(b, t) ||
		    t->at_least_ns < FAR_LONGER * siblings.longest_ns)
			continue;
		b->taken[at] = true;
		cnt++;
		first = first ? first : t;
	}
	if (!cnt)
		return 0;
	s = add(b, LEAK_BLOCKED, first);
	if (!s)
		return -ENOMEM;
	s->sure = 0.95;
	s->count = cnt;
	s->oldest_ns = first->at_least_ns;
	if (!siblings.cnt)
		return leaks__say(s,
				  "no waker left: nothing in the process's memory but %s own "
				  "stack%s leads to "
				  "what %s for",
				  cnt == 1 ? "its" : "their", plural(cnt),
				  cnt == 1 ? "it waits" : "they wait");
	return leaks__say(s,
			  "no waker left: nothing in the process's memory but %s own stack%s leads "
			  "to what %s for; "
			  "%zu other%s in the same place wait%s for %s at most",
			  cnt == 1 ? "its" : "their", plural(cnt),
			  cnt == 1 ? "it waits" : "they wait", siblings.cnt, plural(siblings.cnt),
			  siblings.cnt == 1 ? "s" : "",
			  text__duration(siblings.longest_ns, longest));
}

int leaks__find_blocked(struct leaks_builder *b)
{
	const struct stacks_report *r = b->in->stacks;
	int err = 0;

	for (size_t i = 0; i < r->deadlock_cnt && !err; i++)
		err = add_deadlock(b, &r->deadlock[i]);
	for (size_t i = 0; i < r->group_cnt && !err; i++)
		if (r->group[i].thread[0]->lock)
			err = add_unreachable(b, &r->group[i]);
	return err;
}

/* ---- many alike */

/*
 * What others hold and should have given back: mutexes, rwlocks and what stands for them, a file's lock, a device. Not
 * what serves to wait for work as well: semaphores, sockets, pipes.
 */
static bool should_end(const struct blocked_thread *t)
{
	if (t->idle || t->timed || t->thread->moved)
		return false;
	if (t->lock)
		return !t->lock->idle &&
		       (t->lock->kind == LOCK_MUTEX || t->lock->kind == LOCK_RWLOCK ||
			t->lock->kind == LOCK_ONCE);
	return t->state == BLOCKED_DISK ||
	       (t->state == BLOCKED_SLEEPING && t->call.kind == CALL_FILE);
}

static int say_alike(struct leak_suspect *s, const struct blocked_group *g, size_t cnt)
{
	const struct blocked_thread *t = s->thread;
	const struct waited_lock *lock = t->lock;
	char least[TEXT_DURATION_SZ], name[EVIDENCE_SZ / 2] = "", owner[128] = "";

	if (lock && g->locks == 1) {
		snprintf(name, sizeof(name), " for %s%s%s",
			 *lock->label ? lock->label : lock_kind__name(lock->kind),
			 *lock->name ? " " : "", lock->name);
		if (lock->owner)
			snprintf(owner, sizeof(owner), ", held by %s (%u)",
				 lock->owner->thread->rec.comm, lock->owner->thread->rec.tid);
	} else if (lock) {
		snprintf(name, sizeof(name), " for %zu locks", g->locks);
	}
	return leaks__say(s, "%zu threads wait in the same place%s%s, each for more than %s", cnt,
			  name, owner, text__duration(s->oldest_ns, least));
}

static int add_alike(struct leaks_builder *b, const struct blocked_group *g)
{
	unsigned least = b->r.query->same_line ? b->r.query->same_line : LEAKS_SAME_LINE;
	const struct blocked_thread *first = NULL;
	uint64_t least_ns = UINT64_MAX;
	struct leak_suspect *s;
	size_t cnt = 0;
	int err;

	for (size_t i = 0; i < g->cnt; i++) {
		const struct blocked_thread *t = g->thread[i];

		if (b->taken[index_of(b, t)] || !should_end(t) || !is_old(b, t))
			continue;
		cnt++;
		first = first ? first : t;
		if (t->at_least_ns < least_ns)
			least_ns = t->at_least_ns;
	}
	if (cnt < least)
		return 0;
	s = add(b, LEAK_SAME_LINE, first);
	if (!s)
		return -ENOMEM;
	s->sure = 0.9;
	s->count = cnt;
	s->oldest_ns = least_ns;
	s->lock = first->lock ? first->lock->name : "";
	err = say_alike(s, g, cnt);
	s->oldest_ns = first->at_least_ns;
	return err;
}

int leaks__find_same_line(struct leaks_builder *b)
{
	const struct stacks_report *r = b->in->stacks;
	int err = 0;

	for (size_t i = 0; i < r->group_cnt && !err; i++)
		err = add_alike(b, &r->group[i]);
	return err;
}
