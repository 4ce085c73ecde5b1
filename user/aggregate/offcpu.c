// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/offcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/offcpu_pure.h"
#include "user/aggregate/internal.h"

/* An entry of the kernel side, as it was when the last interval ended. */
struct off_seen {
	struct hu_off_key key;
	bool sum; /* of the table by process */
	uint64_t waits, blocked_ns, runq_ns;
	uint32_t hist[HU_OFF_BUCKETS];
};

struct off_waker_seen {
	struct hu_off_waker_key key;
	uint64_t samples, wakes, ns;
};

struct off_id {
	uint64_t id;
	struct off_site *site;
};

/* Time so far of the threads of a site, at the interval's begin and end. */
struct off_so_far {
	uint64_t id;
	uint64_t blocked_ns, runq_ns;
	uint64_t next_blocked_ns, next_runq_ns, next_cnt, max_ns;
	uint32_t max_tid;
	struct hu_off_what what;
};

void offcpu__init(struct offcpu *o, struct aggregate *a, const struct off_hooks *hooks)
{
	*o = (struct offcpu){ .aggregate = a, .hooks = *hooks };
}

static void site__free(void *value)
{
	struct off_site *site = value;

	free(site->waker);
	free(site);
}

static void clear_interval(struct offcpu *o)
{
	table__clear(&o->sites, site__free);
	table__clear(&o->ids, free);
}

void offcpu__free(struct offcpu *o)
{
	clear_interval(o);
	table__clear(&o->seen, free);
	table__clear(&o->wakers_seen, free);
	table__clear(&o->kernel_stacks, free);
	table__clear(&o->so_far, free);
}

void offcpu__next(struct offcpu *o)
{
	clear_interval(o);
	o->turn++;
}

/* Adds a zeroed entry of sz bytes for a key that begins it; NULL: out of memory. */
static void *table__make(struct table *t, uint64_t hash, size_t sz, const void *key, size_t key_sz)
{
	void *value = calloc(1, sz);

	if (!value)
		return NULL;
	memcpy(value, key, key_sz);
	if (!table__add(t, hash, value))
		return value;
	free(value);
	return NULL;
}

static bool id__equal(const void *value, const void *key)
{
	return *(const uint64_t *)value == *(const uint64_t *)key;
}

/* ---- kernel stacks */

const struct hu_kernel_stack *offcpu__kernel_stack(const struct offcpu *o, uint64_t id)
{
	const struct off_kernel_stack *s = id ? table__find(&o->kernel_stacks, id, id__equal, &id)
					      : NULL;

	return s ? &s->stack : NULL;
}

/* While the kernel side has it; one that can't be had is simply not there later. */
static int learn_kernel_stack(struct offcpu *o, uint64_t id)
{
	struct hu_kernel_stack stack;
	struct off_kernel_stack *s;

	if (!id || offcpu__kernel_stack(o, id) || o->hooks.kernel_stack(o->hooks.ctx, id, &stack))
		return 0;
	s = table__make(&o->kernel_stacks, id, sizeof(*s), &id, sizeof(id));
	if (!s)
		return -ENOMEM;
	s->stack = stack;
	return 0;
}

/* ---- sites */

static int find_process(struct offcpu *o, const struct hu_off_what *what, struct agg_process **ret)
{
	struct process_key key = { what->tgid, what->proc_start };
	char comm[HU_COMM_LEN];

	*ret = NULL;
	memcpy(comm, what->comm, sizeof(comm));
	comm[HU_COMM_LEN - 1] = '\0';
	return what->tgid ? process__get(o->aggregate, &key, comm, ret) : 0;
}

static int learn(struct offcpu *o, const struct hu_off_what *what, struct agg_process **ret)
{
	int err = find_process(o, what, ret);

	if (!err && *ret)
		err = stack__learn(o->aggregate, *ret, what->user_stack);
	return err ? err : learn_kernel_stack(o, what->kernel_stack);
}

static bool what__equal(const struct hu_off_what *a, const struct hu_off_what *b)
{
	return a->proc_start == b->proc_start && a->tgid == b->tgid && a->tid == b->tid &&
	       a->reason == b->reason && a->user_stack == b->user_stack &&
	       a->kernel_stack == b->kernel_stack && a->state == b->state &&
	       !((a->flags ^ b->flags) & ~(uint32_t)HU_OFF_ARGS);
}

static bool site__equal(const void *value, const void *key)
{
	return what__equal(&((const struct off_site *)value)->what, key);
}

static int site__get(struct offcpu *o, uint64_t id, const struct hu_off_what *what, uint64_t end_ns,
		     struct off_site **ret)
{
	struct hu_off_what key = *what;
	struct agg_process *process;
	struct off_id *known = id ? table__find(&o->ids, id, id__equal, &id) : NULL;
	struct off_site *site;
	uint64_t hash;
	int err;

	if (known) {
		*ret = known->site;
		return 0;
	}
	err = learn(o, what, &process);
	if (!err && o->hooks.fresh && !(what->flags & HU_OFF_SUMMARY))
		err = o->hooks.fresh(o->hooks.ctx, what);
	if (err)
		return err;
	key.comm[HU_COMM_LEN - 1] = '\0';
	key.user_stack = stack__resolve(o->aggregate, what->user_stack, end_ns);
	/* Those that were off the CPU before stand beside the others of their kind. */
	key.flags &= ~(uint32_t)HU_OFF_BEFORE;
	hash = off__site(&key);
	site = table__find(&o->sites, hash, site__equal, &key);
	if (!site) {
		site = calloc(1, sizeof(*site));
		if (!site)
			return -ENOMEM;
		site->what = key;
		site->process = process;
		err = table__add(&o->sites, hash, site);
		if (err) {
			free(site);
			return err;
		}
	}
	if (id) {
		known = table__make(&o->ids, id, sizeof(*known), &id, sizeof(id));
		if (!known)
			return -ENOMEM;
		known->site = site;
	}
	*ret = site;
	return 0;
}

struct seen_key {
	struct hu_off_key key;
	bool sum;
};

static bool seen__equal(const void *value, const void *key)
{
	const struct off_seen *s = value;
	const struct seen_key *k = key;

	return s->key.site == k->key.site && s->key.cpu == k->key.cpu && s->sum == k->sum;
}

static uint64_t seen__hash(const struct seen_key *k)
{
	return hash__mix(hash__mix(k->key.site, k->key.cpu), k->sum);
}

static struct off_seen *seen__get(struct offcpu *o, const struct seen_key *k)
{
	struct off_seen *s = table__find(&o->seen, seen__hash(k), seen__equal, k);

	if (s)
		return s;
	s = table__make(&o->seen, seen__hash(k), sizeof(*s), &k->key, sizeof(k->key));
	if (s)
		s->sum = k->sum;
	return s;
}

int offcpu__site(struct offcpu *o, const struct hu_off_key *key, const struct hu_off_site *now,
		 bool *settled)
{
	bool sum = now->what.flags & HU_OFF_SUMMARY;
	struct seen_key k = { *key, sum };
	struct off_seen *seen = seen__get(o, &k);
	struct off_site *site;
	int err;

	if (!seen)
		return -ENOMEM;
	*settled = now->waits == seen->waits;
	if (*settled)
		return 0;
	/* The two tables name theirs independently of each other. */
	err = site__get(o, sum ? ~key->site : key->site, &now->what, now->last_ns, &site);
	if (err)
		return err;
	site->waits += now->waits - seen->waits;
	site->blocked_ns += now->blocked_ns - seen->blocked_ns;
	site->runq_ns += now->runq_ns - seen->runq_ns;
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		site->hist[i] += (uint32_t)(now->hist[i] - seen->hist[i]);
	if (now->turn == o->turn && now->max_ns > site->max_ns) {
		site->max_ns = now->max_ns;
		site->max_tid = now->max_tid;
	}
	seen->waits = now->waits;
	seen->blocked_ns = now->blocked_ns;
	seen->runq_ns = now->runq_ns;
	memcpy(seen->hist, now->hist, sizeof(seen->hist));
	return 0;
}

void offcpu__dropped(struct offcpu *o, const struct hu_off_key *key, bool sum)
{
	struct seen_key k = { *key, sum };
	struct off_seen *seen = table__find(&o->seen, seen__hash(&k), seen__equal, &k);

	/* Should it come back, it counts from nothing again. offcpu__end() takes it away. */
	if (seen) {
		seen->waits = seen->blocked_ns = seen->runq_ns = 0;
		memset(seen->hist, 0, sizeof(seen->hist));
	}
}

/* ---- wakers */

static bool waker__equal(const void *value, const void *key)
{
	const struct off_waker_seen *s = value;
	const struct hu_off_waker_key *k = key;

	return s->key.site == k->site && s->key.waker == k->waker;
}

static struct off_waker_seen *waker__seen(struct offcpu *o, const struct hu_off_waker_key *key)
{
	uint64_t hash = hash__mix(key->site, key->waker);
	struct off_waker_seen *s = table__find(&o->wakers_seen, hash, waker__equal, key);

	return s ? s : table__make(&o->wakers_seen, hash, sizeof(*s), key, sizeof(*key));
}

static int learn_waker(struct offcpu *o, const struct hu_off_waker *w, struct agg_process **ret)
{
	struct hu_off_what who = {
		.proc_start = w->proc_start,
		.tgid = w->flags & HU_OFF_WAKER_KERNEL ? 0 : w->tgid,
		.user_stack = w->user_stack,
		.kernel_stack = w->kernel_stack,
	};

	memcpy(who.comm, w->comm, sizeof(who.comm));
	return learn(o, &who, ret);
}

int offcpu__waker(struct offcpu *o, const struct hu_off_waker_key *key,
		  const struct hu_off_waker *now, bool *settled)
{
	struct off_waker_seen *seen = waker__seen(o, key);
	struct off_id *known = table__find(&o->ids, key->site, id__equal, &key->site);
	struct off_waker *more;
	int err;

	if (!seen)
		return -ENOMEM;
	*settled = now->samples == seen->samples;
	/* Of a wait that is not over yet, or in a sum: its turn comes when its site does. */
	if (*settled || !known)
		return 0;
	more = reallocarray(known->site->waker, known->site->waker_cnt + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	known->site->waker = more;
	more += known->site->waker_cnt;
	more->what = *now;
	more->what.comm[HU_COMM_LEN - 1] = '\0';
	err = learn_waker(o, now, &more->process);
	if (err)
		return err;
	known->site->waker_cnt++;
	more->what.samples -= seen->samples;
	more->what.wakes -= seen->wakes;
	more->what.ns -= seen->ns;
	seen->samples = now->samples;
	seen->wakes = now->wakes;
	seen->ns = now->ns;
	return 0;
}

void offcpu__waker_dropped(struct offcpu *o, const struct hu_off_waker_key *key)
{
	struct off_waker_seen *seen =
		table__find(&o->wakers_seen, hash__mix(key->site, key->waker), waker__equal, key);

	if (seen)
		seen->samples = seen->wakes = seen->ns = 0;
}

/* ---- threads that are off the CPU at the interval's end */

/* What lies after the interval's end belongs to the next one, or to none. */
static void cut(struct offcpu *o, const struct hu_off_now *now, uint64_t *blocked_ns,
		uint64_t *runq_ns)
{
	uint64_t after = now->hdr.ts_ns > o->until_ns ? now->hdr.ts_ns - o->until_ns : 0;
	uint64_t of_runq = after < now->runq_ns ? after : now->runq_ns;

	after -= of_runq;
	*runq_ns = now->runq_ns - of_runq;
	*blocked_ns = after < now->blocked_ns ? now->blocked_ns - after : 0;
}

int offcpu__now(struct offcpu *o, const struct hu_off_now *now)
{
	uint64_t blocked_ns, runq_ns;
	struct off_so_far *s = table__find(&o->so_far, now->site, id__equal, &now->site);
	struct agg_process *process;

	if (!s) {
		s = table__make(&o->so_far, now->site, sizeof(*s), &now->site, sizeof(now->site));
		if (!s)
			return -ENOMEM;
		s->what = now->what;
	}
	cut(o, now, &blocked_ns, &runq_ns);
	s->next_blocked_ns += blocked_ns;
	s->next_runq_ns += runq_ns;
	s->next_cnt++;
	if (blocked_ns + runq_ns > s->max_ns) {
		s->max_ns = blocked_ns + runq_ns;
		s->max_tid = now->tid;
	}
	return learn(o, &now->what, &process);
}

static uint64_t no_less(uint64_t sum, uint64_t now, uint64_t before)
{
	return sum + now > before ? sum + now - before : 0;
}

static int settle(struct offcpu *o, struct off_so_far *s)
{
	struct off_site *site;
	int err = site__get(o, s->id, &s->what, UINT64_MAX, &site);

	if (err)
		return err;
	site->blocked_ns = no_less(site->blocked_ns, s->next_blocked_ns, s->blocked_ns);
	site->runq_ns = no_less(site->runq_ns, s->next_runq_ns, s->runq_ns);
	site->ongoing += s->next_cnt;
	site->ongoing_ns += no_less(s->next_blocked_ns, 0, s->blocked_ns);
	if (s->max_ns > site->max_ns) {
		site->max_ns = s->max_ns;
		site->max_tid = s->max_tid;
	}
	s->blocked_ns = s->next_blocked_ns;
	s->runq_ns = s->next_runq_ns;
	s->next_blocked_ns = s->next_runq_ns = s->next_cnt = s->max_ns = 0;
	return 0;
}

static bool has_time(void *ctx, void *value)
{
	const struct off_so_far *s = value;

	return s->blocked_ns || s->runq_ns;
}

static bool was_counted(void *ctx, void *value)
{
	return ((const struct off_seen *)value)->waits;
}

static bool waker_was_counted(void *ctx, void *value)
{
	return ((const struct off_waker_seen *)value)->samples;
}

int offcpu__end(struct offcpu *o)
{
	struct off_so_far *s;
	int err = 0;

	for (size_t i = 0; !err && (s = table__next(&o->so_far, &i));)
		err = settle(o, s);
	if (!err)
		err = table__filter(&o->so_far, has_time, NULL, free);
	if (!err)
		err = table__filter(&o->seen, was_counted, NULL, free);
	return err ? err : table__filter(&o->wakers_seen, waker_was_counted, NULL, free);
}

uint64_t offcpu__percentile(const uint64_t hist[HU_OFF_BUCKETS], double percent, uint64_t max_ns)
{
	uint64_t cnt = 0, seen = 0, rank, ns;

	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		cnt += hist[i];
	if (!cnt)
		return 0;
	rank = (uint64_t)(percent / 100 * cnt + 0.9999999);
	if (rank < 1)
		rank = 1;
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++) {
		seen += hist[i];
		if (seen >= rank) {
			ns = off__middle_ns(i);
			return ns < max_ns ? ns : max_ns;
		}
	}
	return max_ns;
}
