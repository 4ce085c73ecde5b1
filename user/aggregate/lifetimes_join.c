// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who frees what. A call names a thread by its pthread_t, and is told as it begins: what becomes of it follows
 * from the thread's end. pthread_join() comes back when the thread has ended and not before, unless its caller is
 * cancelled; a timed join does so if that is before its deadline.
 */
#include <errno.h>
#include <stdlib.h>

#include "user/aggregate/internal.h"
#include "user/aggregate/lifetimes_internal.h"

/*
 * A thread's end is told some time after its joiners were woken, and a deadline passes some time before who waits
 * for it runs: within this, which of the two came first is not known.
 */
#define DEADLINE_SLACK_NS 50000000
/* More than any library's struct pthread: glibc's takes 2304 to 2496 bytes, musl's 200 (arm64 only). */
#define DESCRIPTOR_MAX 8192

/* Of several, the one that lives: the others were freed. */
static bool is_better(const struct lt_thread *t, const struct lt_thread *than)
{
	if (!than)
		return true;
	if (t->tp != than->tp)
		return t->tp < than->tp;
	return t->end == LT_ALIVE && than->end != LT_ALIVE;
}

struct lt_thread *lt__by_handle(const struct lifetimes *l, const struct lt_process *p,
				uint64_t handle)
{
	struct index_node *n = index__first(&l->by_tp, lt__tp_hash(p, handle));
	struct lt_thread *best = NULL;
	uint64_t reach = 0;

#if defined(__aarch64__)
	reach = DESCRIPTOR_MAX;
#endif
	for (; n; n = index__more(n)) {
		struct lt_thread *t = index__entry(n, struct lt_thread, by_tp);

		if (t->process == p && t->tp >= handle && t->tp - handle <= reach &&
		    is_better(t, best))
			best = t;
	}
	return best;
}

void lt__free_namesakes(struct lifetimes *l, struct lt_process *p, uint64_t tp)
{
	struct index_node *n = tp ? index__first(&l->by_tp, lt__tp_hash(p, tp)) : NULL, *more;

	for (; n; n = more) {
		struct lt_thread *t = index__entry(n, struct lt_thread, by_tp);

		more = index__more(n);
		if (t->process != p || t->tp != tp)
			continue;
		/* One that seems to live has ended as well: its descriptor was free, and its end is on its way. */
		index__remove(&l->by_tp, &t->by_tp);
		if (t->join == LT_JOINABLE || t->join == LT_JOIN_UNKNOWN)
			lt__thread_collected(l, t, LT_JOINED);
	}
}

void lt__end_joining(struct lifetimes *l, const struct lt_thread *joiner, enum lt_end end)
{
	struct lt_thread *t;

	if (end != LT_CANCELLED || !joiner->joining_tid)
		return;
	t = lifetimes__thread(l, joiner->process->tgid, joiner->joining_tid);
	if (t && t->joiner_tid == joiner->tid)
		t->joiner_tid = 0;
}

void lt__settle_join(struct lifetimes *l, struct lt_thread *t, uint64_t now_ns)
{
	if (!t->joiner_tid || t->join != LT_JOINABLE)
		return;
	if (!t->join_until_ns || now_ns <= t->join_until_ns)
		lt__thread_collected(l, t, LT_JOINED);
	else if (now_ns - t->join_until_ns < DEADLINE_SLACK_NS)
		t->join_unsure = true;
}

/* The caller is in no join any more, or it could not call: what it has joined has ended. */
static void end_previous(struct lifetimes *l, struct lt_thread *caller)
{
	struct lt_thread *t;

	if (!caller || !caller->joining_tid)
		return;
	t = lifetimes__thread(l, caller->process->tgid, caller->joining_tid);
	caller->joining_tid = 0;
	if (!t || t->joiner_tid != caller->tid || t->join != LT_JOINABLE)
		return;
	if (!t->join_until_ns)
		lt__thread_collected(l, t, LT_JOINED); /* its end is on its way */
	t->joiner_tid = 0;
}

static void begin_join(struct lifetimes *l, struct lt_thread *t, struct lt_thread *caller,
		       const struct hu_pthread_record *rec)
{
	/* What the libraries refuse: oneself, one's own joiner, what nobody need or may join. */
	if (t == caller || (caller && caller->joiner_tid && caller->joiner_tid == t->tid))
		return;
	if (t->join == LT_JOIN_UNKNOWN)
		t->join = LT_JOINABLE;
	if (t->join != LT_JOINABLE)
		return;
	if (t->end != LT_ALIVE || rec->what == HU_PTHREAD_JOINED) {
		lt__thread_collected(l, t, LT_JOINED);
		return;
	}
	t->joiner_tid = rec->tid;
	t->join_until_ns = rec->what == HU_PTHREAD_TIMEDJOIN ? rec->deadline_ns : 0;
	if (caller)
		caller->joining_tid = t->tid;
}

int lifetimes__call(void *lifetimes, const struct hu_pthread_record *rec)
{
	struct lifetimes *l = lifetimes;
	struct lt_process *p = lifetimes__find(l, rec->tgid, rec->proc_start);
	struct lt_thread *caller = lifetimes__thread(l, rec->tgid, rec->tid);
	struct lt_thread *t;

	if (!p)
		return 0;
	p->probed = true;
	end_previous(l, caller);
	t = lt__by_handle(l, p, rec->thread);
	/* One function of a library calls another, so that a call is told twice. */
	if (!t && caller && caller->joined_handle == rec->thread)
		return 0;
	if (caller)
		caller->joined_handle = rec->thread;
	if (!t) {
		l->all.unmatched++;
		l->now.unmatched++;
		return 0;
	}
	if (rec->what == HU_PTHREAD_CANCEL)
		t->cancel_asked = true;
	else if (rec->what != HU_PTHREAD_DETACH)
		begin_join(l, t, caller, rec);
	else if (t->join == LT_JOINABLE || t->join == LT_JOIN_UNKNOWN)
		lt__thread_collected(l, t, LT_DETACHED);
	return 0;
}

/* ---- what the process's memory says */

/* Where threads that are older than holdup belong: by what they run. */
static int site_before(struct lifetimes *l, struct lt_process *p, uint64_t start_routine,
		       struct lt_site **ret)
{
	struct lt_where where = { .before = true, .start_routine = start_routine };
	struct process_key key = { p->tgid, p->start };
	int err = 0;

	if (start_routine && !p->names)
		err = process__get(l->aggregate, &key, p->comm, &p->names);
	return err ? err : lt__site_get(l, p, &where, ret);
}

static int add_zombie(struct lifetimes *l, struct lt_process *p, const struct lt_descriptor *d)
{
	struct lt_thread *t;
	struct lt_site *site;
	int err = site_before(l, p, d->start_routine, &site);

	if (!err)
		err = lt__thread_new(l, p, site, 0, 0, d->tp, &t);
	if (err)
		return err;
	t->before = true;
	t->start_routine = d->start_routine;
	t->join = LT_JOINABLE;
	lt__zombie(l, t);
	return 0;
}

/* What the library knows of a thread that is older than holdup. */
static int learn(struct lifetimes *l, struct lt_thread *t, const struct lt_descriptor *d)
{
	struct lt_site *site;
	int err = 0;

	if (t->join == LT_JOIN_UNKNOWN)
		t->join = d->detached ? LT_DETACHED : LT_JOINABLE;
	if (t->start_routine || !d->start_routine || !t->site || !t->site->before ||
	    t->end != LT_ALIVE)
		return 0;
	t->start_routine = d->start_routine;
	err = site_before(l, t->process, d->start_routine, &site);
	if (!err && site != t->site)
		lt__thread_move(l, t, site);
	return err;
}

static int descriptor_cmp(const void *key, const void *elem)
{
	const struct lt_thread *t = key;
	const struct lt_descriptor *d = elem;

	return t->tp < d->tp ? -1 : t->tp > d->tp;
}

/* What has ended and is in the library's lists no more was freed. */
static void drop_freed(struct lifetimes *l, struct lt_process *p, const struct lt_descriptor *d,
		       size_t cnt)
{
	struct lt_thread *t, *next;

	for (struct lt_site *site = p->sites; site; site = site->next) {
		for (t = site->threads; t; t = next) {
			next = t->next;
			if (t->end != LT_ALIVE && t->tp &&
			    !bsearch(t, d, cnt, sizeof(*d), descriptor_cmp))
				lt__thread_collected(l, t, LT_JOINED);
		}
	}
}

int lifetimes__descriptors(struct lifetimes *l, struct lt_process *p, const struct lt_descriptor *d,
			   size_t cnt, bool complete)
{
	struct lt_thread *t;
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i++) {
		t = lt__by_handle(l, p, d[i].tp);
		if (t && t->tp != d[i].tp)
			t = NULL;
		if (!t && !d[i].tid && !d[i].detached)
			err = add_zombie(l, p, &d[i]);
		if (t && !err)
			err = learn(l, t, &d[i]);
	}
	if (!err && complete) {
		p->zombies_known = true;
		drop_freed(l, p, d, cnt);
	}
	return err;
}
