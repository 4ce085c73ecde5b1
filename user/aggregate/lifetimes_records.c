// SPDX-License-Identifier: GPL-2.0-only
/* Births, deaths, processes that become others; intervals. */
#include <errno.h>
#include <string.h>

#include "user/aggregate/internal.h"
#include "user/aggregate/lifetimes_internal.h"

static void count_birth(struct lifetimes *l, struct lt_site *site, uint64_t now_ns)
{
	struct lt_process *p = site->process;

	site->all.born++;
	site->now.born++;
	p->all.born++;
	p->now.born++;
	l->all.born++;
	l->now.born++;
	if (!site->first_ns)
		site->first_ns = now_ns;
	site->last_ns = now_ns;
}

static int site_of_birth(struct lifetimes *l, struct lt_process *p,
			 const struct hu_birth_record *rec, struct lt_site **ret)
{
	struct process_key key = { rec->tgid, rec->proc_start };
	/* Frame pointers find whatever lies on the stack where code keeps none: as many stacks as threads. */
	struct lt_where where = { .start_routine = rec->start_routine,
				  .guessed = l->stacks_guessed };
	int err = 0;

	if (!p->names)
		err = process__get(l->aggregate, &key, rec->comm, &p->names);
	where.stack_id = stack__resolve(l->aggregate, rec->stack_id, UINT64_MAX);
	if (!err)
		err = lt__site_get(l, p, &where, ret);
	if (!err && !(*ret)->all.born)
		err = stack__learn(l->aggregate, p->names, (*ret)->stack_id);
	return err;
}

/* The new thread of this record; a pass may have met it before the record was read. */
static int thread_of_birth(struct lifetimes *l, struct lt_process *p, struct lt_site *site,
			   const struct hu_birth_record *rec, struct lt_thread **ret)
{
	struct lt_thread *t = lifetimes__thread(l, rec->tgid, rec->tid);

	if (t && t->start == rec->thread_start) {
		lt__thread_move(l, t, site);
		*ret = t;
		return 0;
	}
	lt__free_namesakes(l, p, rec->tp);
	return lt__thread_new(l, p, site, rec->tid, rec->thread_start, rec->tp, ret);
}

/* A process is known from its second thread on; the first one has not been told of. */
static int process_of_birth(struct lifetimes *l, const struct hu_birth_record *rec,
			    struct lt_process **ret)
{
	bool known = lifetimes__find(l, rec->tgid, rec->proc_start);
	struct lt_thread *t;
	int err = lt__process_get(l, rec->tgid, rec->proc_start, rec->comm, ret);

	if (err || known)
		return err;
	err = lt__thread_new(l, *ret, NULL, rec->tgid, rec->proc_start, 0, &t);
	if (!err)
		t->first = true;
	return err;
}

int lifetimes__birth(void *lifetimes, const struct hu_birth_record *rec)
{
	struct lifetimes *l = lifetimes;
	struct lt_process *p;
	struct lt_thread *t;
	struct lt_site *site;
	int err = process_of_birth(l, rec, &p);

	if (!err)
		err = site_of_birth(l, p, rec, &site);
	if (!err)
		err = thread_of_birth(l, p, site, rec, &t);
	if (err)
		return err;
	t->before = false;
	t->born_ns = rec->hdr.ts_ns;
	t->creator_tid = rec->creator_tid;
	t->start_routine = rec->start_routine;
	t->join = LT_JOIN_NONE;
	memcpy(p->comm, rec->comm, sizeof(p->comm));
	if (rec->flags & HU_BIRTH_PTHREAD) {
		p->probed = true;
		t->join = rec->flags & HU_BIRTH_DETACHED ? LT_DETACHED : LT_JOINABLE;
	}
	count_birth(l, site, rec->hdr.ts_ns);
	return 0;
}

static enum lt_end end_of(const struct hu_death_record *rec, const struct lt_thread *t)
{
	if (rec->flags & HU_DEATH_ITSELF) {
		if (rec->flags & HU_DEATH_CANCELLED)
			return LT_CANCELLED;
		if (rec->flags & HU_DEATH_EXIT_CALLED)
			return LT_EXITED;
		return t->cancel_asked ? LT_CANCELLED : LT_RETURNED;
	}
	if (rec->flags & HU_DEATH_EXEC)
		return LT_EXEC;
	/* The low bits are the signal: wait(2). */
	return rec->exit_code & 0x7f ? LT_KILLED : LT_WITH_PROCESS;
}

static void thread_dies(struct lifetimes *l, struct lt_thread *t, const struct hu_death_record *rec)
{
	enum lt_end end = end_of(rec, t);

	memcpy(t->comm, rec->comm, sizeof(t->comm));
	t->cpu_ns = rec->cpu_ns;
	t->runq_ns = rec->runq_ns;
	if (!t->born_ns)
		t->born_ns = rec->born_ns;
	if (t->first)
		t->process->first_ended = true;
	lt__end_joining(l, t, end);
	lt__settle_join(l, t, rec->hdr.ts_ns);
	lt__thread_ends(l, t, end, rec->hdr.ts_ns);
}

int lifetimes__death(void *lifetimes, const struct hu_death_record *rec)
{
	struct lifetimes *l = lifetimes;
	struct lt_process *p = lifetimes__find(l, rec->tgid, rec->proc_start);
	struct lt_thread *t = lifetimes__thread(l, rec->tgid, rec->tid);

	if (!p)
		return 0; /* it never had a second thread, and no pass has met it */
	if (t && t->process == p && t->start == rec->thread_start)
		thread_dies(l, t, rec);
	else if (rec->tid != rec->tgid)
		p->lost_died++; /* its birth was lost: counted as such */
	if (rec->flags & HU_DEATH_LAST) {
		p->exit_code = rec->exit_code;
		lt__process_over(l, p, rec->hdr.ts_ns);
	}
	return 0;
}

/* Another program: all threads but the one that called execve(2) have told their ends. */
static int becomes_another(struct lifetimes *l, const struct hu_proc_record *rec)
{
	struct lt_process *p = lifetimes__find(l, rec->tgid, rec->proc_start);
	struct lt_thread *t;
	int err;

	if (p) {
		lt__process_over(l, p, rec->hdr.ts_ns);
		p->by_exec = true;
		lt__end_all(l, p, LT_EXEC, rec->hdr.ts_ns);
	}
	err = lt__process_get(l, rec->tgid, rec->proc_start, rec->comm, &p);
	if (!err)
		err = lt__thread_new(l, p, NULL, rec->tgid, rec->proc_start, 0, &t);
	if (err)
		return err;
	p->began_ns = t->born_ns = rec->hdr.ts_ns;
	t->first = true;
	return 0;
}

int lifetimes__process(void *lifetimes, const struct hu_proc_record *rec)
{
	return rec->hdr.kind == HU_REC_EXEC ? becomes_another(lifetimes, rec) : 0;
}

/* ---- intervals */

static bool goes(const struct lt_process *p)
{
	bool dull = !p->all.born && !p->sites; /* nothing that a report could tell */

	return p->over && (p->told || dull);
}

static void drop_over(struct lifetimes *l, bool (*which)(const struct lt_process *p))
{
	struct lt_process *p, *next;

	for (p = l->processes; p; p = next) {
		next = p->next;
		if (which(p))
			lt__process_free(l, p);
	}
}

static void begin_process(struct lt_process *p)
{
	memset(&p->now, 0, sizeof(p->now));
	p->live_before = p->live_peak = p->live;
	p->unjoined_before = p->unjoined;
	p->told = p->over;
	for (struct lt_site *s = p->sites; s; s = s->next) {
		memset(&s->now, 0, sizeof(s->now));
		s->live_before = s->live_peak = s->live;
		s->unjoined_before = s->unjoined;
	}
	/* Its names are wanted on. */
	if (p->names)
		p->names->used = true;
}

void lifetimes__next(struct lifetimes *l)
{
	drop_over(l, goes);
	memset(&l->now, 0, sizeof(l->now));
	l->live_peak = l->live;
	for (struct lt_process *p = l->processes; p; p = p->next)
		begin_process(p);
	/* What was told a moment ago goes: only what is over stays for one more report, as part of `all`. */
	drop_over(l, goes);
}

bool lifetimes__crowded(const struct lifetimes *l)
{
	return l->over_cnt > LT_OVER_MAX;
}

static bool is_over(const struct lt_process *p)
{
	return p->over;
}

static bool is_over_and_clean(const struct lt_process *p)
{
	return p->over && !p->unjoined;
}

void lifetimes__forget(struct lifetimes *l)
{
	uint32_t had = l->process_cnt;

	drop_over(l, is_over_and_clean);
	if (lifetimes__crowded(l))
		drop_over(l, is_over);
	l->all.forgotten += had - l->process_cnt;
	l->now.forgotten += had - l->process_cnt;
	for (struct lt_process *p = l->processes; p; p = p->next)
		if (p->names)
			p->names->used = true;
}

void lifetimes__sample(struct lifetimes *l, uint64_t now_ns)
{
	for (struct lt_process *p = l->processes; p; p = p->next) {
		if (p->over)
			continue;
		history__add(&p->history, now_ns, p->live);
		for (struct lt_site *s = p->sites; s; s = s->next)
			history__add(&s->history, now_ns, s->live);
	}
}
