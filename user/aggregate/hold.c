// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/aggregate/internal.h"

void hold_set__init(struct hold_set *h, struct aggregate *a)
{
	*h = (struct hold_set){ .aggregate = a };
}

void hold_set__reset(struct hold_set *h)
{
	table__clear(&h->holds, free);
}

void hold_set__forget_edges(struct hold_set *h)
{
	table__clear(&h->edges, free);
}

void hold_set__free(struct hold_set *h)
{
	hold_set__reset(h);
	hold_set__forget_edges(h);
}

/* The process, and the id under which the aggregate knows this stack of it. */
static int place(struct hold_set *h, uint32_t tgid, uint64_t start, struct agg_process **ret)
{
	static const char nobody[HU_COMM_LEN];
	struct process_key key = { tgid, start };

	return process__get(h->aggregate, &key, nobody, ret);
}

static int known_stack(struct hold_set *h, struct agg_process *p, uint64_t raw_id, uint64_t *ret)
{
	*ret = stack__resolve(h->aggregate, raw_id, UINT64_MAX);
	return stack__learn(h->aggregate, p, *ret);
}

/* ---- holds */

struct hold_key {
	const struct agg_process *process;
	uint64_t lock, stack_id;
	uint32_t mode;
};

static bool hold__equal(const void *value, const void *key)
{
	const struct agg_hold *h = value;
	const struct hold_key *k = key;

	return h->process == k->process && h->lock == k->lock && h->stack_id == k->stack_id &&
	       h->mode == k->mode;
}

static int hold__get(struct hold_set *h, struct agg_process *p, uint64_t lock, uint64_t raw_id,
		     uint32_t mode, struct agg_hold **ret)
{
	struct hold_key key = { .process = p, .lock = lock, .mode = mode };
	int err = known_stack(h, p, raw_id, &key.stack_id);
	struct agg_hold *hold;
	uint64_t hash;

	if (err)
		return err;
	hash = hash__mix(hash__mix(hash__mix((uintptr_t)p, lock), key.stack_id), mode);
	hold = table__find(&h->holds, hash, hold__equal, &key);
	if (!hold) {
		hold = calloc(1, sizeof(*hold));
		if (!hold)
			return -ENOMEM;
		hold->process = p;
		hold->lock = lock;
		hold->stack_id = key.stack_id;
		hold->mode = mode;
		err = table__add(&h->holds, hash, hold);
		if (err) {
			free(hold);
			return err;
		}
	}
	*ret = hold;
	return 0;
}

int hold_set__add(void *ctx, const struct hu_hold_key *key, const struct hu_hold *from)
{
	struct hold_set *h = ctx;
	struct agg_process *p;
	struct agg_hold *hold;
	int err = place(h, key->tgid, key->proc_start, &p);

	if (!err)
		err = hold__get(h, p, key->lock, key->site, key->mode, &hold);
	if (err)
		return err;
	hold->sum.cnt += from->cnt;
	hold->sum.ns += from->ns;
	hold->sum.contended += from->contended;
	hold->sum.after_wait += from->after_wait;
	hold->sum.tried += from->tried;
	hold->sum.failed += from->failed;
	hold->sum.unreleased += from->unreleased;
	hold->sum.off_ns += from->off_ns;
	if (from->longest.ns >= hold->sum.longest.ns)
		hold->sum.longest = from->longest;
	for (int i = 0; i < HU_HOLD_BUCKETS; i++)
		hold->hist[i] += from->hist[i];
	return 0;
}

int hold_set__add_held(void *ctx, const struct hu_held_record *rec)
{
	struct hold_set *h = ctx;
	struct agg_process *p;
	struct agg_hold *hold;
	int err = place(h, rec->tgid, rec->proc_start, &p);

	if (!err)
		err = hold__get(h, p, rec->lock, rec->site, rec->mode, &hold);
	if (err)
		return err;
	hold->held_now++;
	if (!hold->oldest_ns || rec->since_ns < hold->oldest_ns)
		hold->oldest_ns = rec->since_ns;
	return 0;
}

/* The lowest value of a bucket (bpf/hist.h: hold__bucket()). */
static uint64_t bucket_start(unsigned int bucket)
{
	unsigned int power = (bucket - 1) >> HU_HOLD_SUB_BITS;
	uint64_t sub = (bucket - 1) & ((1 << HU_HOLD_SUB_BITS) - 1);

	if (!bucket)
		return 0;
	return ((1ULL << HU_HOLD_SUB_BITS) + sub) << (HU_HOLD_LOW_BITS - HU_HOLD_SUB_BITS + power);
}

uint64_t hold_hist__middle(unsigned int bucket)
{
	if (bucket + 1 >= HU_HOLD_BUCKETS)
		return bucket_start(HU_HOLD_BUCKETS - 1);
	return (bucket_start(bucket) + bucket_start(bucket + 1)) / 2;
}

uint64_t hold_hist__percentile(const uint64_t hist[HU_HOLD_BUCKETS], double percent,
			       uint64_t max_ns)
{
	uint64_t cnt = 0, seen = 0, rank, middle;
	unsigned int i;

	for (i = 0; i < HU_HOLD_BUCKETS; i++)
		cnt += hist[i];
	rank = (uint64_t)(percent / 100 * cnt + 0.9999999);
	if (!cnt)
		return 0;
	for (i = 0; i < HU_HOLD_BUCKETS - 1; i++) {
		seen += hist[i];
		if (seen < rank || !seen)
			continue;
		middle = hold_hist__middle(i);
		return middle < max_ns ? middle : max_ns;
	}
	return max_ns;
}

/* ---- orders */

static bool edge__equal(const void *value, const void *key)
{
	const struct agg_edge *e = value, *k = key;

	return e->process == k->process && !memcmp(&e->key, &k->key, sizeof(e->key));
}

int hold_set__add_edge(void *ctx, const struct hu_edge_key *key, const struct hu_edge *edge)
{
	struct hold_set *h = ctx;
	struct agg_edge e = { .key = *key, .sum = *edge }, *found;
	uint64_t hash, id;
	int err = place(h, key->tgid, key->proc_start, &e.process);

	if (!err)
		err = known_stack(h, e.process, key->first_site, &id);
	e.key.first_site = err ? 0 : id;
	if (!err)
		err = known_stack(h, e.process, key->second_site, &id);
	e.key.second_site = err ? 0 : id;
	if (err)
		return err;
	if (e.sum.gate_cnt > HU_HOLD_SLOTS - 1)
		e.sum.gate_cnt = HU_HOLD_SLOTS - 1;
	hash = hash__mix(hash__mix(hash__mix((uintptr_t)e.process, e.key.first), e.key.second),
			 hash__mix(hash__mix(e.key.first_site, e.key.second_site), e.key.gates));
	found = table__find(&h->edges, hash, edge__equal, &e);
	if (found) {
		found->sum.cnt += e.sum.cnt;
		found->sum.several |= e.sum.several | (found->sum.tid != e.sum.tid);
		return 0;
	}
	found = malloc(sizeof(*found));
	if (!found)
		return -ENOMEM;
	*found = e;
	err = table__add(&h->edges, hash, found);
	if (err)
		free(found);
	return err;
}
