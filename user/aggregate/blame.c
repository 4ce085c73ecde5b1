// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/blame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDOVER HU_REASON(HU_WHY_HANDOVER, 0, 0)

struct blame_key {
	uint32_t tgid;
	uint64_t uaddr;
};

void agg_blame__free(void *blame)
{
	struct agg_blame *b = blame;

	free(b->charge);
	free(b);
}

static bool blame__equal(const void *value, const void *key)
{
	const struct agg_blame *b = value;
	const struct blame_key *k = key;

	return b->tgid == k->tgid && b->uaddr == k->uaddr;
}

static struct agg_blame *find(const struct aggregate *a, uint32_t tgid, uint64_t uaddr)
{
	struct blame_key key = { tgid, uaddr };

	return table__find(&a->blames, hash__mix(tgid, uaddr), blame__equal, &key);
}

static int get(struct aggregate *a, uint32_t tgid, uint64_t uaddr, struct agg_blame **ret)
{
	struct agg_blame *b = find(a, tgid, uaddr);
	int err;

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->tgid = tgid;
		b->uaddr = uaddr;
		err = table__add(&a->blames, hash__mix(tgid, uaddr), b);
		if (err) {
			free(b);
			return err;
		}
	}
	*ret = b;
	return 0;
}

static bool more_room(struct agg_blame *b)
{
	size_t cap = b->charge_cap ? b->charge_cap * 2 : 4;
	void *more = cap > AGG_CHARGES_MAX ? NULL : realloc(b->charge, cap * sizeof(*b->charge));

	if (!more)
		return false;
	b->charge = more;
	b->charge_cap = cap;
	return true;
}

static void add_blocked(struct aggregate *a, struct agg_blame *b, uint64_t reason, uint64_t ns)
{
	const char *what = NULL;

	for (size_t i = 0; i < b->charge_cnt; i++)
		if (b->charge[i].reason == reason) {
			b->charge[i].ns += ns;
			return;
		}
	if (b->charge_cnt == b->charge_cap && !more_room(b)) {
		b->other_ns += ns;
		return;
	}
	if (a->hooks.call_object && HU_REASON_WHY(reason) == HU_WHY_CALL && HU_REASON_VALUE(reason))
		what = a->hooks.call_object(a->hooks.ctx, b->tgid, HU_REASON_NR(reason),
					    (int)HU_REASON_VALUE(reason) - 1);
	b->charge[b->charge_cnt++] = (struct agg_charge){ reason, ns, what ? what : "" };
}

static void add(struct aggregate *a, struct agg_blame *b, uint64_t reason, uint64_t ns)
{
	switch (HU_REASON_WHY(reason)) {
	case HU_WHY_RUNNING:
		b->running_ns += ns;
		break;
	case HU_WHY_RUNNABLE:
		b->runnable_ns += ns;
		break;
	case HU_WHY_HANDOVER:
		b->handover_ns += ns;
		break;
	case HU_WHY_UNKNOWN:
	case HU_WHY_PENDING:
		b->unknown_ns += ns;
		break;
	default:
		add_blocked(a, b, reason, ns);
	}
}

static uint64_t of_reason(const struct hu_blame *b, uint64_t reason)
{
	for (int i = 0; i < HU_BLAME_CALLS; i++)
		if (b->blocked[i].reason == reason)
			return b->blocked[i].ns;
	return 0;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void add_new(struct aggregate *a, struct agg_blame *b, const struct hu_blame *now,
		    const struct hu_blame *before)
{
	b->running_ns += grown(now->running_ns, before->running_ns);
	b->runnable_ns += grown(now->runnable_ns, before->runnable_ns);
	b->handover_ns += grown(now->handover_ns, before->handover_ns);
	b->unknown_ns += grown(now->unknown_ns, before->unknown_ns);
	b->other_ns += grown(now->other_ns, before->other_ns);
	b->inferred_ns += grown(now->inferred_ns, before->inferred_ns);
	for (int i = 0; i < HU_BLAME_CALLS; i++) {
		const struct hu_charge *c = &now->blocked[i];
		uint64_t ns = c->reason ? grown(c->ns, of_reason(before, c->reason)) : 0;

		if (ns)
			add_blocked(a, b, c->reason, ns);
	}
}

/* What the kernel side has not charged yet: what it is not sure of, and the time since its last look. */
static void add_rest(struct aggregate *a, struct agg_blame *b, const struct hu_blame *now)
{
	uint64_t ns;

	for (int i = 0; i < HU_BLAME_TENT; i++) {
		if (!now->tent[i].reason || !now->tent[i].ns)
			continue;
		add(a, b, now->tent[i].reason, now->tent[i].ns);
		if (!now->sure && now->tent[i].reason != HANDOVER)
			b->inferred_ns += now->tent[i].ns;
	}
	if (now->waiters <= 0 || a->until_ns <= now->since_ns)
		return;
	ns = (a->until_ns - now->since_ns) * now->waiters;
	add(a, b, now->now, ns);
	if (now->holder && !now->sure)
		b->inferred_ns += ns;
}

int aggregate__blame(void *aggregate, const struct hu_lock_key *key, const struct hu_lock *lock)
{
	static const struct hu_blame none;
	struct aggregate *a = aggregate;
	struct agg_blame *b;
	int err = get(a, key->tgid, key->uaddr, &b);

	if (err)
		return err;
	add_new(a, b, &lock->blame, b->last.born_ns == lock->born_ns ? &b->last.blame : &none);
	if (a->last)
		add_rest(a, b, &lock->blame);
	b->last = *lock;
	b->seen = true;
	return 0;
}

uint64_t agg_blame__total(const struct agg_blame *b)
{
	uint64_t sum =
		b->running_ns + b->runnable_ns + b->handover_ns + b->unknown_ns + b->other_ns;

	for (size_t i = 0; i < b->charge_cnt; i++)
		sum += b->charge[i].ns;
	return sum;
}

const struct agg_blame *aggregate__blame_of(const struct aggregate *a, uint32_t tgid,
					    uint64_t uaddr)
{
	const struct agg_blame *b = find(a, tgid, uaddr);

	return b && agg_blame__total(b) ? b : NULL;
}

uint32_t aggregate__waiters(const struct aggregate *a, uint32_t tgid, uint64_t uaddr)
{
	const struct agg_blame *b = find(a, tgid, uaddr);

	return b && b->last.blame.waiters > 0 ? b->last.blame.waiters : 0;
}

static bool is_seen(void *ctx, void *value)
{
	return ((const struct agg_blame *)value)->seen;
}

void aggregate__reset_blame(struct aggregate *a)
{
	struct agg_blame *b;

	/* Those that the kernel side has dropped. When memory is short they stay, which does no harm. */
	table__filter(&a->blames, is_seen, NULL, agg_blame__free);
	for (size_t i = 0; (b = table__next(&a->blames, &i));) {
		b->running_ns = b->runnable_ns = b->handover_ns = b->unknown_ns = 0;
		b->other_ns = b->inferred_ns = 0;
		b->charge_cnt = 0;
		b->seen = false;
	}
}
