// SPDX-License-Identifier: GPL-2.0-only
/* Processes, the places that create threads, and threads as they come and go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/aggregate/internal.h"
#include "user/aggregate/lifetimes_internal.h"

void lifetimes__init(struct lifetimes *l, struct aggregate *a)
{
	memset(l, 0, sizeof(*l));
	l->aggregate = a;
}

/* ---- threads */

uint64_t lt__tp_hash(const struct lt_process *p, uint64_t tp)
{
#if defined(__aarch64__)
	/* A pthread_t lies somewhat below the thread pointer: all of a process are looked through. */
	return hash__mix(0, (uintptr_t)p);
#endif
	return hash__mix((uintptr_t)p, tp);
}

static uint64_t tid_hash(uint32_t tgid, uint32_t tid)
{
	return hash__mix(tgid, tid);
}

static void enter_site(struct lt_thread *t, struct lt_site *site)
{
	t->site = site;
	t->next = site->threads;
	t->from = &site->threads;
	if (t->next)
		t->next->from = &t->next;
	site->threads = t;
}

static void leave_site(struct lt_thread *t)
{
	if (!t->site)
		return;
	*t->from = t->next;
	if (t->next)
		t->next->from = t->from;
	t->site = NULL;
}

void lt__thread_free(struct lifetimes *l, struct lt_thread *t)
{
	if (t->end != LT_ALIVE)
		l->ended_cnt--;
	leave_site(t);
	index__remove(&l->by_tid, &t->by_tid);
	index__remove(&l->by_tp, &t->by_tp);
	free(t);
}

static void count_live(struct lifetimes *l, struct lt_process *p, struct lt_site *site)
{
	if (++l->live > l->live_peak)
		l->live_peak = l->live;
	if (++p->live > p->live_peak)
		p->live_peak = p->live;
	if (site && ++site->live > site->live_peak)
		site->live_peak = site->live;
}

int lt__thread_new(struct lifetimes *l, struct lt_process *p, struct lt_site *site, uint32_t tid,
		   uint64_t start, uint64_t tp, struct lt_thread **ret)
{
	struct lt_thread *t = calloc(1, sizeof(*t));
	int err = t ? 0 : -ENOMEM;

	if (!err && tid)
		err = index__add(&l->by_tid, &t->by_tid, tid_hash(p->tgid, tid));
	if (!err && tp)
		err = index__add(&l->by_tp, &t->by_tp, lt__tp_hash(p, tp));
	if (err) {
		if (t)
			index__remove(&l->by_tid, &t->by_tid);
		free(t);
		return err;
	}
	t->process = p;
	t->tid = tid;
	t->start = start;
	t->tp = tp;
	if (site)
		enter_site(t, site);
	count_live(l, p, site);
	*ret = t;
	return 0;
}

void lt__thread_move(struct lifetimes *l, struct lt_thread *t, struct lt_site *to)
{
	if (t->site)
		t->site->live--;
	leave_site(t);
	enter_site(t, to);
	if (++to->live > to->live_peak)
		to->live_peak = to->live;
}

struct lt_thread *lifetimes__thread(const struct lifetimes *l, uint32_t tgid, uint32_t tid)
{
	struct index_node *n = index__first(&l->by_tid, tid_hash(tgid, tid));

	for (; n; n = index__more(n)) {
		struct lt_thread *t = index__entry(n, struct lt_thread, by_tid);

		if (t->tid == tid && t->process->tgid == tgid)
			return t;
	}
	return NULL;
}

uint64_t lt_thread__blocked_ns(const struct lt_thread *t, uint64_t now_ns)
{
	uint64_t until_ns = t->ended_ns ? t->ended_ns : now_ns;
	uint64_t busy_ns = t->cpu_ns + t->runq_ns;

	if (!t->born_ns || until_ns < t->born_ns || until_ns - t->born_ns < busy_ns)
		return 0;
	return until_ns - t->born_ns - busy_ns;
}

static void add_end(struct lt_counts *c, const struct lt_thread *t)
{
	uint64_t age_ns = t->born_ns && t->ended_ns > t->born_ns ? t->ended_ns - t->born_ns : 0;

	c->ended[t->end]++;
	c->age_ns += age_ns;
	c->cpu_ns += t->cpu_ns;
	c->runq_ns += t->runq_ns;
	if (age_ns > c->age_max_ns)
		c->age_max_ns = age_ns;
}

static void count_end(struct lifetimes *l, const struct lt_thread *t)
{
	struct lt_process *p = t->process;

	l->live--;
	p->live--;
	if (!t->site)
		return; /* the first thread's end is its process's */
	t->site->live--;
	add_end(&t->site->all, t);
	add_end(&t->site->now, t);
	add_end(&p->all, t);
	add_end(&p->now, t);
	l->all.ended++;
	l->now.ended++;
}

static void count_collected(struct lifetimes *l, const struct lt_thread *t, bool joined)
{
	struct lt_counts *const counts[] = { &t->process->all, &t->process->now,
					     t->site ? &t->site->all : NULL,
					     t->site ? &t->site->now : NULL };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && counts[i]; i++) {
		if (joined)
			counts[i]->joined++;
		else
			counts[i]->detached++;
	}
	if (joined) {
		l->all.joined++;
		l->now.joined++;
	} else {
		l->all.detached++;
		l->now.detached++;
	}
}

static bool room_for_ended(const struct lifetimes *l, const struct lt_process *p)
{
	return l->ended_cnt <= LT_UNJOINED_ALL && p->unjoined <= LT_UNJOINED_MAX;
}

void lt__thread_ends(struct lifetimes *l, struct lt_thread *t, enum lt_end end, uint64_t now_ns)
{
	struct lt_process *p = t->process;

	t->end = end;
	t->ended_ns = now_ns;
	l->ended_cnt++;
	count_end(l, t);
	index__remove(&l->by_tid, &t->by_tid);
	/* What goes with its process leaves nothing behind. */
	if (!t->site || end == LT_WITH_PROCESS || end == LT_KILLED || end == LT_EXEC ||
	    end == LT_UNSEEN || t->join != LT_JOINABLE) {
		lt__thread_free(l, t);
		return;
	}
	if (!p->over)
		l->unjoined++;
	p->unjoined++;
	t->site->unjoined++;
	if (!room_for_ended(l, p)) {
		t->site->forgotten++;
		lt__thread_free(l, t);
	}
}

void lt__zombie(struct lifetimes *l, struct lt_thread *t)
{
	t->end = LT_RETURNED;
	l->ended_cnt++;
	l->live--;
	t->process->live--;
	t->site->live--;
	l->unjoined++;
	t->process->unjoined++;
	t->site->unjoined++;
}

void lt__thread_collected(struct lifetimes *l, struct lt_thread *t, enum lt_join how)
{
	bool over = t->process->over;

	count_collected(l, t, how == LT_JOINED);
	if (t->end == LT_ALIVE) {
		t->join = how; /* freed with its end */
		return;
	}
	if (!over)
		l->unjoined--;
	t->process->unjoined--;
	t->site->unjoined--;
	lt__thread_free(l, t);
}

void lt__end_all(struct lifetimes *l, struct lt_process *p, enum lt_end end, uint64_t now_ns)
{
	struct lt_thread *t = lifetimes__thread(l, p->tgid, p->tgid), *next;

	if (t && t->process == p)
		lt__thread_ends(l, t, end, now_ns);
	for (struct lt_site *site = p->sites; site; site = site->next) {
		for (t = site->threads; t; t = next) {
			next = t->next;
			if (t->end == LT_ALIVE)
				lt__thread_ends(l, t, end, now_ns);
		}
	}
}

/* ---- sites */

int lt__site_get(struct lifetimes *l, struct lt_process *p, const struct lt_where *where,
		 struct lt_site **ret)
{
	static const struct lt_where elsewhere = { .beyond = true };
	struct lt_site *s = p->sites;

	while (s && ((s->stack_id != where->stack_id && !where->guessed) ||
		     s->guessed != where->guessed || s->start_routine != where->start_routine ||
		     s->before != where->before || s->beyond != where->beyond))
		s = s->next;
	if (!s && !where->beyond && !where->before &&
	    (p->site_cnt >= LT_SITES_MAX || l->site_cnt >= LT_SITES_ALL))
		return lt__site_get(l, p, &elsewhere, ret);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->process = p;
		s->stack_id = where->stack_id;
		s->start_routine = where->start_routine;
		s->guessed = where->guessed;
		s->before = where->before;
		s->beyond = where->beyond;
		s->next = p->sites;
		p->sites = s;
		p->site_cnt++;
		l->site_cnt++;
	}
	*ret = s;
	return 0;
}

/* ---- processes */

struct lt_process *lifetimes__find(const struct lifetimes *l, uint32_t tgid, uint64_t start)
{
	struct index_node *n = index__first(&l->by_tgid, hash__mix(0, tgid));

	for (; n; n = index__more(n)) {
		struct lt_process *p = index__entry(n, struct lt_process, by_tgid);

		/* Threads of a process that ends may be told after its end, not after an exec. */
		if (p->tgid == tgid && p->start == start && !p->by_exec)
			return p;
	}
	return NULL;
}

int lt__process_get(struct lifetimes *l, uint32_t tgid, uint64_t start, const char *comm,
		    struct lt_process **ret)
{
	struct lt_process *p = lifetimes__find(l, tgid, start);
	int err;

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		err = index__add(&l->by_tgid, &p->by_tgid, hash__mix(0, tgid));
		if (err) {
			free(p);
			return err;
		}
		p->tgid = tgid;
		p->start = start;
		memcpy(p->comm, comm, sizeof(p->comm));
		p->next = l->processes;
		p->from = &l->processes;
		if (p->next)
			p->next->from = &p->next;
		l->processes = p;
		l->process_cnt++;
	}
	*ret = p;
	return 0;
}

void lt__process_free(struct lifetimes *l, struct lt_process *p)
{
	struct lt_site *site, *next;

	lt__end_all(l, p, LT_UNSEEN, p->over_ns);
	for (site = p->sites; site; site = next) {
		next = site->next;
		while (site->threads)
			lt__thread_free(l, site->threads);
		l->site_cnt--;
		free(site);
	}
	index__remove(&l->by_tgid, &p->by_tgid);
	*p->from = p->next;
	if (p->next)
		p->next->from = p->from;
	if (p->over)
		l->over_cnt--;
	l->process_cnt--;
	free(p);
}

void lifetimes__free(struct lifetimes *l)
{
	struct index_node *n;

	for (size_t i = 0; i < l->by_tid.buckets; i++) {
		/* First threads are in no site. */
		while ((n = l->by_tid.bucket[i]))
			lt__thread_free(l, index__entry(n, struct lt_thread, by_tid));
	}
	while (l->processes)
		lt__process_free(l, l->processes);
	index__free(&l->by_tgid);
	index__free(&l->by_tid);
	index__free(&l->by_tp);
	free(l->met);
	l->met = NULL;
}

void lt__process_over(struct lifetimes *l, struct lt_process *p, uint64_t now_ns)
{
	if (p->over)
		return;
	p->over = true;
	p->over_ns = now_ns;
	l->over_cnt++;
	l->unjoined -= p->unjoined; /* freed with the rest of its memory */
	l->all.processes_over++;
	l->now.processes_over++;
}
