// SPDX-License-Identifier: GPL-2.0-only
/* Who held what was waited for, and where it was seen. */
#include "user/aggregate/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool thread__equal(const void *value, const void *key)
{
	const struct agg_thread *t = value, *k = key;

	return t->process == k->process && t->word == k->word;
}

/*
 * Threads come and go without end; what is forgotten here is found again in /proc if it still lives. Pointers
 * into the table are not kept.
 */
static void forget_if_many(struct table *t)
{
	if (t->cnt >= AGG_REMEMBERED_MAX)
		table__clear(t, free);
}

/* A thread that is gone, of a process that shared the lock with p: of those that were seen while they lived. */
static bool thread__of_another(const struct aggregate *a, const struct agg_process *p,
			       uint64_t shared_addr, struct agg_thread *ret)
{
	struct agg_thread key = { .word = ret->word };
	const struct agg_process *other;
	const struct agg_thread *t;

	if (!shared_addr || !a->hooks.shares)
		return false;
	for (size_t i = 0; (other = table__next(&a->processes, &i));) {
		key.process = other;
		t = other == p ? NULL
			       : table__find(&a->threads, hash__mix((uintptr_t)other, key.word),
					     thread__equal, &key);
		if (!t || !a->hooks.shares(a->hooks.ctx, p, shared_addr, other))
			continue;
		*ret = *t;
		ret->process = p;
		return true;
	}
	return false;
}

/* Only threads that were found to exist are kept: a word can be stale, or no owner at all. */
static const struct agg_thread *thread__find(struct aggregate *a, struct agg_process *p,
					     uint32_t word, uint64_t shared_addr)
{
	struct agg_thread key = { .process = p, .word = word }, *t;
	uint64_t hash = hash__mix((uintptr_t)p, word);

	t = table__find(&a->threads, hash, thread__equal, &key);
	if (t)
		return t;
	if ((!a->hooks.thread || a->hooks.thread(a->hooks.ctx, p, word, shared_addr, &key)) &&
	    !thread__of_another(a, p, shared_addr, &key))
		return NULL;
	forget_if_many(&a->threads);
	t = malloc(sizeof(*t));
	if (!t)
		return NULL;
	*t = key;
	if (table__add(&a->threads, hash, t)) {
		free(t);
		return NULL;
	}
	return t;
}

int aggregate__thread_seen(struct aggregate *a, struct agg_process *p, uint32_t tid,
			   const char *comm)
{
	struct agg_thread key = { .process = p, .word = tid, .tgid = p->tgid, .tid = tid }, *t;
	uint64_t hash = hash__mix((uintptr_t)p, tid);
	int err;

	/* In another PID namespace owner words are other numbers; there the hook has to find it. */
	if (p->in_pid_namespace)
		return 0;
	t = table__find(&a->threads, hash, thread__equal, &key);
	if (!t) {
		forget_if_many(&a->threads);
		t = malloc(sizeof(*t));
		if (!t)
			return -ENOMEM;
		*t = key;
		err = table__add(&a->threads, hash, t);
		if (err) {
			free(t);
			return err;
		}
	}
	if (*comm)
		memcpy(t->comm, comm, sizeof(t->comm));
	return 0;
}

static struct agg_holder *holder__get(struct agg_site *site, uint32_t tid, bool owner)
{
	struct agg_holder *more;

	for (uint32_t i = 0; i < site->holder_cnt; i++)
		if (site->holder[i].tid == tid && site->holder[i].owner == owner)
			return &site->holder[i];
	if (site->holder_cnt == AGG_HOLDERS_MAX)
		return NULL;
	more = realloc(site->holder, (site->holder_cnt + 1) * sizeof(*more));
	if (!more)
		return NULL;
	site->holder = more;
	more += site->holder_cnt++;
	*more = (struct agg_holder){ .tid = tid, .owner = owner };
	return more;
}

static uint64_t site__hold(struct agg_site *site, uint32_t tgid, uint32_t tid, bool owner,
			   uint64_t sleeps, uint64_t ns, const char *comm)
{
	struct agg_holder *h = holder__get(site, tid, owner);

	if (!h)
		return 0;
	h->tgid = tgid;
	h->sleeps += sleeps;
	h->ns += ns;
	if (comm)
		memcpy(h->comm, comm, sizeof(h->comm));
	return ns;
}

static bool before__equal(const void *value, const void *key)
{
	const struct agg_before *b = value, *k = key;

	return b->tgid == k->tgid && b->tid == k->tid;
}

int aggregate__owner_before(struct aggregate *a, uint32_t tgid, uint32_t tid, uint32_t word)
{
	struct agg_before *b = malloc(sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	*b = (struct agg_before){ tgid, tid, word };
	err = table__add(&a->before, hash__mix(tgid, tid), b);
	if (err)
		free(b);
	return err;
}

/* The owner of a wait that began before was read by us, not by the kernel side. */
static void add_owner_before(const struct aggregate *a, struct hu_wait_record *rec)
{
	struct agg_before key = { .tgid = rec->tgid, .tid = rec->tid };
	const struct agg_before *b;

	if (!(rec->flags & HU_WAIT_BEFORE) || rec->owner[0].sleeps)
		return;
	b = table__find(&a->before, hash__mix(rec->tgid, rec->tid), before__equal, &key);
	if (!b || !b->word)
		return;
	rec->owner[0] = (struct hu_owner){ .word = b->word,
					   .sleeps = rec->sleeps,
					   .ns = rec->blocked_ns + rec->runq_ns };
}

/* Divides the wait's time over its holders: the owners, else who ended it, else nobody known. */
void site__charge(struct aggregate *a, struct agg_site *site, const struct hu_wait_record *raw)
{
	struct hu_wait_record copy = *raw, *rec = &copy;
	uint64_t left = rec->blocked_ns + rec->runq_ns;

	add_owner_before(a, rec);

	for (int i = 0; i < HU_OWNERS; i++) {
		const struct hu_owner *o = &rec->owner[i];
		const struct agg_thread *t;
		uint64_t ns;

		if (!o->word || !o->sleeps)
			continue;
		ns = o->ns < left ? o->ns : left; /* a wait that goes on was cut */
		t = thread__find(a, site->process, o->word,
				 site->flags & HU_WAIT_SHARED ? site->uaddr : 0);
		if (t)
			left -= site__hold(site, t->tgid, t->tid, true, o->sleeps, ns, t->comm);
	}
	if (left && (rec->flags & HU_WAIT_WAKER_FUTEX))
		left -= site__hold(site, rec->waker_tgid, rec->waker_tid, false, 1, left, NULL);
	site->holder_unknown_ns += left;
}

static bool holder_stack__equal(const void *value, const void *key)
{
	const struct agg_holder_stack *h = value, *k = key;

	return h->process == k->process && h->uaddr == k->uaddr && h->tid == k->tid &&
	       h->why == k->why && h->stack_id == k->stack_id;
}

/* The process that waits, for a lock that another one holds: known by its ID only. */
static struct agg_process *process__of_tgid(const struct aggregate *a, uint32_t tgid)
{
	struct agg_process *p;

	for (size_t i = 0; (p = table__next(&a->processes, &i));)
		if (p->tgid == tgid && !p->gone)
			return p;
	return NULL;
}

int aggregate__holder(void *aggregate, const struct hu_holder_record *rec)
{
	struct aggregate *a = aggregate;
	struct process_key pkey = { rec->tgid, rec->proc_start };
	struct agg_holder_stack key = { .uaddr = rec->uaddr, .tid = rec->tid, .why = rec->why }, *h;
	uint64_t hash;
	int err;

	err = process__get(a, &pkey, rec->comm, &key.holder);
	if (err)
		return err;
	key.process = rec->waiter_tgid == rec->tgid ? key.holder
						    : process__of_tgid(a, rec->waiter_tgid);
	key.stack_id = stack__resolve(a, rec->stack_id, UINT64_MAX);
	memcpy(key.comm, rec->comm, sizeof(key.comm));
	err = stack__learn(a, key.holder, key.stack_id);
	if (err || !key.process)
		return err;
	hash = hash__mix(hash__mix(hash__mix((uintptr_t)key.process, key.uaddr), key.tid),
			 key.stack_id + key.why);
	h = table__find(&a->holders, hash, holder_stack__equal, &key);
	if (!h) {
		h = malloc(sizeof(*h));
		if (!h)
			return -ENOMEM;
		*h = key;
		err = table__add(&a->holders, hash, h);
		if (err) {
			free(h);
			return err;
		}
	}
	h->cnt++;
	return 0;
}
