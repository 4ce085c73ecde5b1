// SPDX-License-Identifier: GPL-2.0-only
/* Passes over all living threads, and births and deaths that are only counted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/aggregate/lifetimes_internal.h"

void lifetimes__pass_begin(struct lifetimes *l, uint64_t now_ns)
{
	l->pass++;
	l->pass_ns = now_ns;
	l->met_cnt = 0;
}

static void update(struct lt_thread *t, const struct hu_alive_record *rec, uint64_t pass)
{
	t->pass = pass;
	t->cpu_ns = rec->cpu_ns;
	t->runq_ns = rec->runq_ns;
	t->last_ran_ns = rec->flags & HU_THREAD_ON_CPU ? rec->hdr.ts_ns : rec->off_ns;
	memcpy(t->comm, rec->comm, sizeof(t->comm));
	if (t->first)
		memcpy(t->process->comm, rec->leader, sizeof(t->process->comm));
}

int lifetimes__alive(void *lifetimes, const struct hu_alive_record *rec)
{
	struct lifetimes *l = lifetimes;
	struct lt_thread *t = lifetimes__thread(l, rec->tgid, rec->tid);
	struct hu_alive_record *more;
	size_t cap;

	if (t && t->start == rec->thread_start) {
		update(t, rec, l->pass);
		return 0;
	}
	if (l->met_cnt == l->met_cap) {
		cap = l->met_cap ? l->met_cap * 2 : 256;
		more = reallocarray(l->met, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->met = more;
		l->met_cap = cap;
	}
	l->met[l->met_cnt++] = *rec;
	return 0;
}

/* A thread without a birth: it is older than holdup, the first of its process, or its birth was lost. */
static int take_met(struct lifetimes *l, const struct hu_alive_record *rec)
{
	struct lt_where where = { .before = l->pass == 1, .beyond = l->pass != 1 };
	bool first = rec->tgid == rec->tid;
	struct lt_process *p;
	struct lt_thread *t;
	struct lt_site *site = NULL;
	int err;

	t = lifetimes__thread(l, rec->tgid, rec->tid);
	if (t && t->start == rec->thread_start) {
		update(t, rec, l->pass);
		return 0;
	}
	err = lt__process_get(l, rec->tgid, rec->proc_start, rec->leader, &p);
	if (err || p->over)
		return err;
	if (!first)
		err = lt__site_get(l, p, &where, &site);
	if (!err)
		err = lt__thread_new(l, p, site, rec->tid, rec->thread_start, rec->tp, &t);
	if (err)
		return err;
	t->first = first;
	t->before = l->pass == 1;
	t->born_ns = rec->born_ns;
	t->join = first ? LT_JOIN_NONE : LT_JOIN_UNKNOWN;
	if (first) {
		p->before = t->before;
		p->began_ns = rec->born_ns;
	}
	update(t, rec, l->pass);
	return 0;
}

/* Threads that this pass should have met: their ends found the ring full. */
static void end_unmet(struct lifetimes *l, struct lt_process *p)
{
	struct lt_thread *t, *next;

	for (struct lt_site *site = p->sites; site; site = site->next) {
		for (t = site->threads; t; t = next) {
			next = t->next;
			if (t->end != LT_ALIVE || t->pass == l->pass || t->born_ns >= l->pass_ns)
				continue;
			p->unseen++;
			lt__thread_ends(l, t, LT_UNSEEN, l->pass_ns);
		}
	}
	t = lifetimes__thread(l, p->tgid, p->tgid);
	if (t && t->process == p && t->pass != l->pass && t->born_ns < l->pass_ns) {
		p->first_ended = true;
		p->unseen++;
		lt__thread_ends(l, t, LT_UNSEEN, l->pass_ns);
	}
}

/* What was counted without records belongs to a site of its own, less what is known of it by now. */
static int add_lost(struct lifetimes *l, struct lt_process *p)
{
	static const struct lt_where where = { .beyond = true };
	uint64_t died = p->lost_died > p->unseen ? p->lost_died - p->unseen : 0, born;
	struct lt_site *site;
	int err;

	if (!p->lost_born && !died)
		return 0;
	err = lt__site_get(l, p, &where, &site);
	if (err)
		return err;
	born = p->lost_born;
	p->lost_born = 0;
	p->lost_died = p->unseen;
	site->all.born += born;
	site->now.born += born;
	p->all.born += born;
	p->now.born += born;
	l->all.born += born;
	l->now.born += born;
	site->all.ended[LT_UNSEEN] += died;
	site->now.ended[LT_UNSEEN] += died;
	p->all.ended[LT_UNSEEN] += died;
	p->now.ended[LT_UNSEEN] += died;
	l->all.ended += died;
	l->now.ended += died;
	return 0;
}

int lifetimes__pass_end(struct lifetimes *l)
{
	struct lt_process *p, *next;
	int err = 0;

	for (size_t i = 0; i < l->met_cnt && !err; i++)
		err = take_met(l, &l->met[i]);
	for (p = l->processes; p && !err; p = next) {
		next = p->next;
		end_unmet(l, p);
		err = add_lost(l, p);
		if (!p->over && !p->live)
			lt__process_over(l, p, l->pass_ns);
	}
	return err;
}

int lifetimes__lost(void *lifetimes, const struct hu_life_key *key, const struct hu_life_sum *sum)
{
	static const char nobody[HU_COMM_LEN];
	struct lifetimes *l = lifetimes;
	struct lt_process *p;
	int err;

	/* The end of a process that had one thread is no loss. */
	p = lifetimes__find(l, key->tgid, key->proc_start);
	if (!p && !sum->born)
		return 0;
	err = lt__process_get(l, key->tgid, key->proc_start, nobody, &p);
	if (err)
		return err;
	p->lost_born += sum->born;
	p->lost_died += sum->died;
	l->all.lost += sum->born + sum->died;
	l->now.lost += sum->born + sum->died;
	return 0;
}
