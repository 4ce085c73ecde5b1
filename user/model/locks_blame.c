// SPDX-License-Identifier: GPL-2.0-only
/* What holders did while others waited. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/wait.h"
#include "user/model/locks_build.h"
#include "user/target/call.h"

static bool blamed__equal(const void *value, const void *key)
{
	const struct blamed *x = value, *k = key;

	return x->process == k->process && x->uaddr == k->uaddr;
}

static uint64_t blamed__hash(const struct agg_process *p, uint64_t uaddr)
{
	return hash__mix((uintptr_t)p, uaddr);
}

const struct blamed *builder__blamed(const struct builder *b, const struct agg_process *p,
				     uint64_t uaddr)
{
	struct blamed key = { .process = p, .uaddr = uaddr };

	return table__find(&b->blames, blamed__hash(p, uaddr), blamed__equal, &key);
}

/* As the kernel side calls it. */
static uint64_t word_of(const struct agg_site *agg)
{
	struct wait_call call = { .uaddr = agg->uaddr, .val = agg->sample.val, .op = agg->op };

	return wait__word(&call);
}

/* Words of a thread's own serve for several locks: they have no name, and the first row says what they are. */
static int add_word(struct builder *b, const struct draft_row *d, const struct draft_site *site,
		    const char *name)
{
	const struct agg_site *agg = site->agg;
	struct blamed *x = (void *)builder__blamed(b, agg->process, agg->uaddr);
	int err;

	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			return -ENOMEM;
		x->process = agg->process;
		x->uaddr = agg->uaddr;
		x->agg = aggregate__blame_of(b->in->aggregate, agg->process->tgid, word_of(agg));
		x->name = name;
		x->idle = d->row.idle;
		err = table__add(&b->blames, blamed__hash(x->process, x->uaddr), x);
		if (err) {
			free(x);
			return err;
		}
	}
	x->wait_ns += agg->blocked_ns + agg->runq_ns;
	return 0;
}

int builder__blame_locks(struct builder *b)
{
	struct draft_row *d;
	const char *name;
	int err = 0;

	if (!b->in->blame)
		return 0;
	for (size_t i = 0; !err && (d = table__next(&b->rows, &i));) {
		name = builder__name_lock(b, d);
		if (!name)
			return -ENOMEM;
		for (size_t s = 0; s < d->site_cnt && !err; s++)
			err = add_word(b, d, d->site[s], name);
	}
	return err;
}

/* ---- of a row */

static int compare_blocked(const void *a, const void *b)
{
	const struct lock_blocked *x = a, *y = b;

	if (x->wait_ns != y->wait_ns)
		return x->wait_ns < y->wait_ns ? 1 : -1;
	return strcmp(x->call, y->call);
}

static const char *call_name(struct builder *b, uint64_t reason)
{
	const char *name = call__name(HU_REASON_NR(reason));
	bool compat = HU_REASON_WHY(reason) == HU_WHY_CALL32;
	char text[40];

	if (HU_REASON_WHY(reason) != HU_WHY_CALL && !compat)
		return "";
	if (name && !compat)
		return name;
	snprintf(text, sizeof(text), "%s %d", compat ? "32-bit call" : "call",
		 HU_REASON_NR(reason));
	return symbolizer__intern(b->in->symbolizer, text);
}

static int describe(struct builder *b, const struct agg_process *p, const struct agg_charge *c,
		    struct lock_blocked *ret)
{
	const struct blamed *lock = NULL;

	*ret = (struct lock_blocked){ .why = HU_REASON_WHY(c->reason),
				      .call = call_name(b, c->reason),
				      .what = c->what,
				      .lock = "" };
	if (ret->why == HU_WHY_LOCK) {
		ret->address = HU_REASON_VALUE(c->reason);
		lock = builder__blamed(b, p, ret->address);
	}
	if (lock)
		ret->lock = lock->name;
	return ret->call ? 0 : -ENOMEM;
}

/* Adds to what is alike already; in a row of several locks there may be many. */
static int add_blocked(struct lock_blame *blame, const struct lock_blocked *one, uint64_t ns)
{
	struct lock_blocked *to = blame->blocked;
	void *more;

	for (; to < blame->blocked + blame->blocked_cnt; to++)
		if (to->why == one->why && !strcmp(to->call, one->call) &&
		    !strcmp(to->what, one->what) && !strcmp(to->lock, one->lock) &&
		    (*to->lock || to->address == one->address)) {
			to->wait_ns += ns;
			return 0;
		}
	more = realloc(blame->blocked, (blame->blocked_cnt + 1) * sizeof(*to));
	if (!more)
		return -ENOMEM;
	blame->blocked = more;
	to = &blame->blocked[blame->blocked_cnt++];
	*to = *one;
	to->wait_ns = ns;
	return 0;
}

static uint64_t part(uint64_t whole, uint64_t share, uint64_t total)
{
	return total ? (uint64_t)((__uint128_t)whole * share / total) : 0;
}

/* A site's wait time, divided as its lock's is; what rounding leaves is unknown: a few nanoseconds. */
static int blame_site(struct builder *b, struct lock_blame *blame, const struct agg_site *site)
{
	const struct blamed *lock = builder__blamed(b, site->process, site->uaddr);
	const struct agg_blame *agg = lock ? lock->agg : NULL;
	uint64_t whole = site->blocked_ns + site->runq_ns, total = agg ? agg_blame__total(agg) : 0,
		 left = whole;
	struct lock_blocked one;
	uint64_t ns;
	int err;

	if (!total) {
		blame->unknown_ns += whole;
		return 0;
	}
	blame->known = true;
	blame->inferred_ns += part(whole, agg->inferred_ns, total);
#define TAKE(to)                                  \
	do {                                      \
		ns = part(whole, agg->to, total); \
		blame->to += ns;                  \
		left -= ns;                       \
	} while (0)
	TAKE(running_ns);
	TAKE(runnable_ns);
	TAKE(handover_ns);
	TAKE(other_ns);
#undef TAKE
	for (size_t i = 0; i < agg->charge_cnt; i++) {
		err = describe(b, site->process, &agg->charge[i], &one);
		ns = part(whole, agg->charge[i].ns, total);
		if (!err)
			err = add_blocked(blame, &one, ns);
		if (err)
			return err;
		left -= ns;
	}
	blame->unknown_ns += left;
	return 0;
}

int builder__blame_row(struct builder *b, struct draft_row *d)
{
	struct lock_blame *blame = &d->row.blame;
	int err = 0;

	if (!b->in->blame || d->row.idle)
		return 0;
	for (size_t i = 0; i < d->site_cnt && !err; i++)
		err = blame_site(b, blame, d->site[i]->agg);
	if (blame->blocked_cnt)
		qsort(blame->blocked, blame->blocked_cnt, sizeof(blame->blocked[0]),
		      compare_blocked);
	return err;
}

void lock_row__free_blame(struct lock_row *row)
{
	free(row->blame.blocked);
}
