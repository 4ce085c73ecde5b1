// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hash.h"
#include "user/aggregate/blame.h"

void aggregate__init(struct aggregate *a, const struct agg_hooks *hooks, uint64_t min_wait_ns)
{
	memset(a, 0, sizeof(*a));
	a->hooks = *hooks;
	a->min_wait_ns = min_wait_ns;
}

static void site__free(void *value)
{
	struct agg_site *site = value;

	hist__free(&site->hist);
	free(site->holder);
	free(site);
}

/* The processes that the interval's report was about. */
static void mark_used(struct aggregate *a)
{
	struct agg_holder_stack *h;
	struct agg_site *site;

	for (size_t i = 0; (site = table__next(&a->sites, &i));)
		site->process->used = true;
	for (size_t i = 0; (h = table__next(&a->holders, &i));)
		h->holder->used = true;
}

static void clear_interval(struct aggregate *a)
{
	table__clear(&a->sites, site__free);
	table__clear(&a->holders, free);
	memset(&a->totals, 0, sizeof(a->totals));
}

void aggregate__reset(struct aggregate *a)
{
	mark_used(a);
	clear_interval(a);
	aggregate__reset_blame(a);
	aggregate__forget(a);
}

void aggregate__free(struct aggregate *a)
{
	clear_interval(a);
	table__clear(&a->processes, agg_process__free);
	table__clear(&a->threads, free);
	table__clear(&a->before, free);
	table__clear(&a->stacks, free);
	table__clear(&a->aliases, free);
	table__clear(&a->blames, agg_blame__free);
}

/* ---- processes */

void agg_process__free(void *process)
{
	struct agg_process *p = process;

	free(p->cgroup);
	free(p);
}

static bool process__equal(const void *value, const void *key)
{
	const struct agg_process *p = value;
	const struct process_key *k = key;

	return !p->gone && p->tgid == k->tgid && p->start == k->start;
}

struct agg_process *aggregate__find(const struct aggregate *a, uint32_t tgid, uint64_t start)
{
	struct process_key key = { tgid, start };

	return table__find(&a->processes, hash__mix(hash__mix(0, tgid), start), process__equal,
			   &key);
}

int process__get(struct aggregate *a, const struct process_key *key, const char *comm,
		 struct agg_process **ret)
{
	uint64_t hash = hash__mix(hash__mix(0, key->tgid), key->start);
	struct agg_process *p = table__find(&a->processes, hash, process__equal, key);
	int err;

	if (p) {
		if (!*p->comm)
			memcpy(p->comm, comm, sizeof(p->comm));
		*ret = p;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->tgid = key->tgid;
	p->start = key->start;
	memcpy(p->comm, comm, sizeof(p->comm));
	err = table__add(&a->processes, hash, p);
	if (err) {
		free(p);
		return err;
	}
	if (a->hooks.process)
		a->hooks.process(a->hooks.ctx, p);
	*ret = p;
	return 0;
}

int aggregate__process(void *aggregate, const struct hu_proc_record *rec)
{
	struct aggregate *a = aggregate;
	struct process_key key = { rec->tgid, rec->proc_start };
	struct agg_process *p;
	int err;

	if (rec->hdr.kind == HU_REC_EXEC || rec->hdr.kind == HU_REC_EXIT) {
		p = aggregate__find(a, rec->tgid, rec->proc_start);
		if (p && rec->hdr.kind == HU_REC_EXEC)
			p->gone = true;
		else if (p)
			p->exited = true; /* not gone: waits may still come, from other CPUs */
		return 0;
	}
	if (rec->hdr.kind != HU_REC_SEEN)
		return 0;
	err = process__get(a, &key, rec->comm, &p);
	if (!err)
		memcpy(p->comm, rec->comm, sizeof(p->comm));
	return err;
}

/* ---- stacks */

static bool stack__equal(const void *value, const void *key)
{
	return ((const struct agg_stack *)value)->id == *(const uint64_t *)key;
}

const struct agg_stack *aggregate__stack(const struct aggregate *a, uint64_t id)
{
	return table__find(&a->stacks, id, stack__equal, &id);
}

static int stack__keep(struct aggregate *a, uint64_t id, const struct hu_stack *raw)
{
	uint8_t frames = raw->frames < HU_MAX_FRAMES ? raw->frames : HU_MAX_FRAMES;
	struct agg_stack *s = malloc(sizeof(*s) + frames * sizeof(raw->pcs[0]));
	int err;

	if (!s)
		return -ENOMEM;
	s->id = id;
	s->tgid = raw->tgid;
	s->flags = raw->flags;
	s->frames = frames;
	s->exact = raw->exact < frames ? raw->exact : frames;
	memcpy(s->pcs, raw->pcs, frames * sizeof(raw->pcs[0]));
	err = table__add(&a->stacks, id, s);
	if (err)
		free(s);
	else
		a->stacks_made++;
	return err;
}

/* Fetches a stack while the kernel has it; one that can't be had is simply not there later. */
int stack__learn(struct aggregate *a, struct agg_process *p, uint64_t id)
{
	struct hu_stack raw;

	if (!id || aggregate__stack(a, id) || a->hooks.stack(a->hooks.ctx, p, id, &raw))
		return 0;
	return stack__keep(a, id, &raw);
}

static bool alias__equal(const void *value, const void *key)
{
	return ((const struct agg_alias *)value)->raw_id == *(const uint64_t *)key;
}

int aggregate__stack_walked(struct aggregate *a, const struct hu_stack *stack, uint64_t *ret_id)
{
	uint64_t id = stack__hash(stack);
	int err = aggregate__stack(a, id) ? 0 : stack__keep(a, id, stack);

	if (!err)
		*ret_id = id;
	return err;
}

int aggregate__stack_unwound(struct aggregate *a, uint64_t raw_id, const struct hu_stack *stack,
			     uint64_t read_ns)
{
	struct agg_alias *alias;
	uint64_t id;
	int err = aggregate__stack_walked(a, stack, &id);

	if (err)
		return err;
	alias = malloc(sizeof(*alias));
	if (!alias)
		return -ENOMEM;
	*alias = (struct agg_alias){ raw_id, id, read_ns };
	err = table__add(&a->aliases, raw_id, alias);
	if (err)
		free(alias);
	return err;
}

uint64_t stack__resolve(const struct aggregate *a, uint64_t id, uint64_t end_ns)
{
	const struct agg_alias *alias = id ? table__find(&a->aliases, id, alias__equal, &id) : NULL;

	if (!alias)
		return id;
	return alias->read_ns <= end_ns ? alias->id : 0;
}

/* ---- sites */

struct site_key {
	const struct agg_process *process;
	uint64_t uaddr, stack_id;
	uint16_t op, flags;
	bool summarized;
};

static bool site__equal(const void *value, const void *key)
{
	const struct agg_site *s = value;
	const struct site_key *k = key;

	return s->process == k->process && s->uaddr == k->uaddr && s->stack_id == k->stack_id &&
	       s->op == k->op && s->flags == k->flags && s->summarized == k->summarized;
}

static int site__get(struct aggregate *a, struct agg_process *p, const struct site_key *key,
		     struct agg_site **ret)
{
	uint64_t hash =
		hash__mix(hash__mix(hash__mix((uintptr_t)p, key->uaddr), key->stack_id),
			  key->op | (uint64_t)key->flags << 16 | (uint64_t)key->summarized << 32);
	struct agg_site *site = table__find(&a->sites, hash, site__equal, key);
	int err;

	if (!site) {
		site = calloc(1, sizeof(*site));
		if (!site)
			return -ENOMEM;
		site->process = p;
		site->uaddr = key->uaddr;
		site->stack_id = key->stack_id;
		site->op = key->op;
		site->flags = key->flags;
		site->summarized = key->summarized;
		err = table__add(&a->sites, hash, site);
		if (err) {
			free(site);
			return err;
		}
		a->sites_made++;
	}
	*ret = site;
	return 0;
}

static int site__of_wait(struct aggregate *a, const struct hu_wait_record *rec,
			 struct agg_site **ret)
{
	struct process_key pkey = { rec->tgid, rec->proc_start };
	struct site_key key = {
		.uaddr = rec->uaddr,
		.stack_id = stack__resolve(a, rec->stack_id, rec->end_ns),
		.op = rec->op,
		.flags = rec->flags & (HU_WAIT_SHARED | HU_WAIT_COMPAT),
	};
	struct agg_process *p;
	int err;

	err = process__get(a, &pkey, rec->comm, &p);
	if (!err)
		err = stack__learn(a, p, key.stack_id);
	key.process = p;
	return err ? err : site__get(a, p, &key, ret);
}

/* ---- waits */

int aggregate__wait(void *aggregate, const struct hu_wait_record *rec)
{
	struct aggregate *a = aggregate;
	uint64_t ns = rec->blocked_ns + rec->runq_ns;
	struct agg_site *site;
	int err;

	a->totals.events++;
	if (ns < a->min_wait_ns) {
		a->totals.below_min++;
		a->totals.below_min_ns += ns;
		return 0;
	}
	err = site__of_wait(a, rec, &site);
	if (!err)
		err = aggregate__thread_seen(a, site->process, rec->tid, rec->comm);
	if (err)
		return err;
	site->waits++;
	site->sleeps += rec->sleeps;
	site->blocked_ns += rec->blocked_ns;
	site->runq_ns += rec->runq_ns;
	site__charge(a, site, rec);
	if (rec->depth > site->depth_max)
		site->depth_max = rec->depth;
	if (rec->flags & HU_WAIT_BEFORE)
		site->before++;
	if (rec->flags & HU_WAIT_REQUEUED)
		site->requeued++;
	if (rec->flags & HU_WAIT_ONGOING) {
		site->ongoing++;
		a->totals.ongoing++;
	} else {
		hist__add(&site->hist, ns);
	}
	if (ns >= site->max_ns) {
		site->max_ns = ns;
		site->sample = *rec;
	}
	a->totals.waits++;
	a->totals.sleeps += rec->sleeps;
	a->totals.wait_ns += ns;
	return 0;
}

/* A wait that goes on was read a little after the interval's end. */
static void cut(struct hu_wait_record *rec, uint64_t until_ns)
{
	uint64_t over = until_ns && rec->end_ns > until_ns ? rec->end_ns - until_ns : 0;
	uint64_t runq = over < rec->runq_ns ? over : rec->runq_ns;

	rec->runq_ns -= runq;
	over -= runq;
	rec->blocked_ns -= over < rec->blocked_ns ? over : rec->blocked_ns;
}

int aggregate__pending(void *aggregate, const struct hu_wait_record *rec)
{
	struct aggregate *a = aggregate;
	struct hu_wait_record ongoing;
	struct agg_site *site;
	int err;

	if (!(rec->flags & HU_WAIT_ONGOING))
		return a->last ? aggregate__wait(a, rec) : 0;
	ongoing = *rec;
	cut(&ongoing, a->until_ns);
	err = site__of_wait(a, &ongoing, &site);
	if (err)
		return err;
	site->waiters_now++;
	if (!site->waits)
		site->sample = ongoing;
	return a->last ? aggregate__wait(a, &ongoing) : 0;
}

int aggregate__sum(void *aggregate, const struct hu_sum_key *key, const struct hu_sum *sum)
{
	struct aggregate *a = aggregate;
	struct process_key pkey = { key->tgid, key->proc_start };
	struct site_key skey = {
		.uaddr = key->uaddr,
		.stack_id = stack__resolve(a, sum->stack_id, UINT64_MAX),
		.op = key->op,
		.flags = key->flags,
		.summarized = true,
	};
	static const char nobody[HU_COMM_LEN];
	struct agg_process *p;
	struct agg_site *site;
	int err;

	err = process__get(a, &pkey, nobody, &p);
	if (!err)
		err = stack__learn(a, p, skey.stack_id);
	skey.process = p;
	if (!err)
		err = site__get(a, p, &skey, &site);
	if (err)
		return err;
	site->waits += sum->waits;
	site->sleeps += sum->sleeps;
	site->blocked_ns += sum->blocked_ns;
	site->runq_ns += sum->runq_ns;
	if (sum->max_ns > site->max_ns)
		site->max_ns = sum->max_ns;
	a->totals.waits += sum->waits;
	a->totals.sleeps += sum->sleeps;
	a->totals.wait_ns += sum->blocked_ns + sum->runq_ns;
	a->totals.summarized += sum->waits;
	a->totals.summarized_ns += sum->blocked_ns + sum->runq_ns;
	return 0;
}
