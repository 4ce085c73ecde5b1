// SPDX-License-Identifier: GPL-2.0-only
/* Code, instructions and states; and what the derivation begins and ends with. */
#include "user/unwind/derive_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Both hold what is 4 MiB of compilers' code. */
#define INSNS_MAX  (1U << 20)
#define STATES_MAX (1U << 18)

int derive__reserve(void **array, uint32_t *cap, uint32_t cnt, size_t elem_sz)
{
	uint32_t want;
	void *p;

	if (cnt < *cap)
		return 0;
	if (*cap > UINT32_MAX / 2)
		return -E2BIG;
	want = *cap ? *cap * 2 : 256;
	p = reallocarray(*array, want, elem_sz);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = want;
	return 0;
}

/* ---- addresses */

bool derive__to_off(const struct derive *d, uint64_t vaddr, uint32_t *ret)
{
	size_t lo = 0, hi = d->code_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->code[mid].vaddr <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || vaddr - d->code[lo - 1].vaddr >= d->code[lo - 1].sz)
		return false;
	*ret = d->code_off[lo - 1] + (vaddr - d->code[lo - 1].vaddr);
	return true;
}

static size_t piece_of(const struct derive *d, uint32_t off)
{
	size_t lo = 0, hi = d->code_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->code_off[mid] <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

uint64_t derive__to_vaddr(const struct derive *d, uint32_t off)
{
	size_t i = piece_of(d, off);

	return d->code[i].vaddr + (off - d->code_off[i]);
}

int derive__insn_at(struct derive *d, uint32_t off, uint32_t *ret)
{
	struct insn *in;
	size_t piece;
	uint32_t within;
	int err;

	if (d->at[off] != NONE) {
		*ret = d->at[off];
		return 0;
	}
	if (d->insn_cnt == INSNS_MAX)
		return -E2BIG;
	err = derive__reserve((void **)&d->insn, &d->insn_cap, d->insn_cnt, sizeof(*d->insn));
	if (err)
		return err;
	piece = piece_of(d, off);
	within = off - d->code_off[piece];
	in = &d->insn[d->insn_cnt];
	*in = (struct insn){
		.off = off, .state = NONE, .func = NONE, .target = NONE, .next = NONE, .start = NONE
	};
	derive_op__decode(d->code[piece].data + within, d->code[piece].sz - within,
			  d->code[piece].vaddr + within, &in->op);
	*ret = d->at[off] = d->insn_cnt++;
	return 0;
}

/* ---- states */

static uint32_t hash_state(const struct derive_state *s)
{
	const uint32_t *word = (const uint32_t *)s;
	uint64_t h = 0;

	for (size_t i = 0; i < sizeof(*s) / sizeof(*word); i++)
		h = (h ^ word[i]) * 0x9e3779b97f4a7c15ULL, h ^= h >> 32;
	return h;
}

static int grow_state_slots(struct derive *d)
{
	uint32_t slots = d->state_slots ? d->state_slots * 2 : 1024;
	uint32_t *more = malloc(slots * sizeof(*more));

	if (!more)
		return -ENOMEM;
	memset(more, 0xff, slots * sizeof(*more));
	for (uint32_t i = 0; i < d->state_cnt; i++) {
		uint32_t slot = hash_state(&d->state[i]) & (slots - 1);

		while (more[slot] != NONE)
			slot = (slot + 1) & (slots - 1);
		more[slot] = i;
	}
	free(d->state_slot);
	d->state_slot = more;
	d->state_slots = slots;
	return 0;
}

int derive__intern(struct derive *d, const struct derive_state *s, uint32_t *ret)
{
	uint32_t slot;
	int err;

	if (d->state_cnt >= d->state_slots / 2) {
		err = grow_state_slots(d);
		if (err)
			return err;
	}
	slot = hash_state(s) & (d->state_slots - 1);
	while (d->state_slot[slot] != NONE) {
		*ret = d->state_slot[slot];
		if (!memcmp(&d->state[*ret], s, sizeof(*s)))
			return 0;
		slot = (slot + 1) & (d->state_slots - 1);
	}
	if (d->state_cnt == STATES_MAX)
		return -E2BIG;
	err = derive__reserve((void **)&d->state, &d->state_cap, d->state_cnt, sizeof(*s));
	if (err)
		return err;
	d->state[d->state_cnt] = *s;
	*ret = d->state_slot[slot] = d->state_cnt++;
	return 0;
}

/* ---- in and out */

static int place_code(struct derive *d, const struct derive_input *in)
{
	uint64_t sz = 0;

	d->code = in->code;
	d->code_cnt = in->code_cnt;
	d->code_off = malloc((in->code_cnt + 1) * sizeof(*d->code_off));
	if (!d->code_off)
		return -ENOMEM;
	for (size_t i = 0; i < in->code_cnt; i++) {
		const struct derive_code *c = &in->code[i];

		if (c->vaddr < in->base || c->sz > DERIVE_CODE_MAX ||
		    c->vaddr - in->base > UINT32_MAX - c->sz)
			return -E2BIG;
		if (i && (c->vaddr < c[-1].vaddr || c->vaddr - c[-1].vaddr < c[-1].sz))
			return -EINVAL;
		d->code_off[i] = sz;
		sz += c->sz;
		if (sz > DERIVE_CODE_MAX)
			return -E2BIG;
	}
	d->code_sz = sz;
	d->at = malloc((sz + 1) * sizeof(*d->at));
	if (!d->at)
		return -ENOMEM;
	memset(d->at, 0xff, (sz + 1) * sizeof(*d->at));
	return 0;
}

static int add_starts(struct derive *d, const struct derive_input *in)
{
	int err = 0;

	for (size_t i = 0; !err && i < in->start_cnt; i++) {
		const struct derive_start *s = &in->start[i];
		uint32_t off, last, end = 0;

		if (!derive__to_off(d, s->vaddr, &off))
			continue;
		if (s->sz && s->sz <= d->code_sz && derive__to_off(d, s->vaddr + s->sz - 1, &last))
			end = last + 1;
		err = derive__add_func(d, off, end, s->trust);
	}
	return err;
}

static void count(struct derive *d)
{
	struct hu_row row;

	for (uint32_t i = 0; i < d->func_cnt; i++) {
		d->stats.functions += !d->func[i].wrong;
		d->stats.dropped += d->func[i].wrong;
	}
	for (uint32_t i = 0; i < d->insn_cnt; i++) {
		const struct insn *in = &d->insn[i];

		if (in->state == NONE)
			continue;
		d->stats.insns++;
		d->stats.conflicts += !!(in->flags & INSN_CONFLICT);
		derive_state__row(&d->state[in->state], &row);
		d->stats.bad += HU_ROW_CFA(row.kind) == HU_CFA_BAD || d->func[in->func].wrong;
	}
}

int derive__new(const struct derive_input *in, struct derive **ret)
{
	struct derive *d;
	int err;

	if (!derive_op__supported())
		return -ENOTSUP;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->base = in->base;
	d->fixed = in->fixed;
	d->noreturn = in->noreturn;
	d->noreturn_cnt = in->noreturn_cnt;
	err = place_code(d, in);
	if (!err)
		err = add_starts(d, in);
	if (!err)
		err = derive__rounds(d);
	if (err) {
		derive__free(d);
		return err;
	}
	count(d);
	*ret = d;
	return 0;
}

void derive__free(struct derive *d)
{
	if (!d)
		return;
	free(d->code_off);
	free(d->at);
	free(d->insn);
	free(d->func);
	free(d->state);
	free(d->state_slot);
	free(d->queue);
	free(d->sure);
	free(d);
}

void derive__stats(const struct derive *d, struct derive_stats *ret)
{
	*ret = d->stats;
}
