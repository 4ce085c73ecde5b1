// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flow of states over the code.
 *
 * Instructions are decoded once, when first reached, and linked by index. States are interned, since
 * most instructions change none. Each round runs to the fixed point from the starts known so far; it may
 * find more starts (what is called) and functions that never return (so that what stands behind their
 * calls is not reached from there), and another round begins anew with these, until there is nothing new.
 */
#include "user/unwind/derive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/unwind/derive_op.h"
#include "user/unwind/derive_state.h"

#define NONE UINT32_MAX
/* Rounds beyond find little; the last one's result stands. */
#define ROUNDS_MAX 6
/*
 * A state can change as often as it has values to lose. In compilers' code an instruction is visited 1.1 times;
 * code that was made to take long gets no rows.
 */
#define VISITS_PER_INSN 16
/* Both hold what is 4 MiB of compilers' code. */
#define INSNS_MAX  (1U << 20)
#define STATES_MAX (1U << 18)
/* Between functions that are aligned to 64 bytes: nops of at most 11 bytes, or of one each. */
#define PADDING_INSNS 64
/* Passes over all instructions to find those that lead to a return; compilers' code takes five. */
#define PASSES_MAX 64

enum insn_flag {
	INSN_QUEUED = 1 << 0,
	INSN_CONFLICT = 1 << 1,	 /* reached with different heights */
	INSN_OUTERMOST = 1 << 3, /* the frame here has no caller */
	INSN_RETURNS = 1 << 2,	 /* a path leads from here to a return, or to where we don't know */
};

struct insn {
	struct derive_op op;
	uint32_t off;	 /* in the code as a whole */
	uint32_t state;	 /* index; NONE: not reached in this round */
	uint32_t func;	 /* that it was first reached from */
	uint32_t target; /* instruction; NONE: outside, or none */
	uint32_t next; /* instruction behind it, where the flow goes on; NONE: it does not, or outside */
	uint32_t start; /* function that begins here; NONE */
	uint32_t flags;
};

struct func {
	uint32_t insn;
	uint32_t end; /* offset, by its symbol; 0: not known */
	uint8_t trust;
	bool wrong;    /* what was found contradicts that it is one */
	bool noreturn; /* no path leads back from it */
};

/* What sure functions cover by their symbols: sorted by start; end is the furthest of all up to here. */
struct span {
	uint32_t start, end;
};

struct derive {
	const struct derive_code *code;
	uint32_t *code_off; /* of each piece of code, in the code as a whole */
	size_t code_cnt, code_sz;
	uint64_t base;
	uint32_t *at; /* instruction that begins at each byte, NONE: not decoded */
	struct insn *insn;
	uint32_t insn_cnt, insn_cap;
	struct func *func;
	uint32_t func_cnt, func_cap;
	struct derive_state *state;
	uint32_t state_cnt, state_cap;
	uint32_t *state_slot; /* hash of states; a power of 2 of them */
	uint32_t state_slots;
	uint32_t *queue; /* instructions; a stack */
	uint32_t queue_cnt, queue_cap;
	struct span *sure; /* of sure functions, while a round runs */
	size_t sure_cnt;
	uint64_t visits;
	bool news; /* this round found what changes the next one */
	struct derive_stats stats;
};

static int reserve(void **array, uint32_t *cap, uint32_t cnt, size_t elem_sz)
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

/* The offset of vaddr in the code as a whole; false: it is not code of ours. */
static bool to_off(const struct derive *d, uint64_t vaddr, uint32_t *ret)
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

static uint64_t to_vaddr(const struct derive *d, uint32_t off)
{
	size_t i = piece_of(d, off);

	return d->code[i].vaddr + (off - d->code_off[i]);
}

/* The instruction at off, decoded now if it was not. Sets *ret, or returns a negative errno. */
static int insn_at(struct derive *d, uint32_t off, uint32_t *ret)
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
	err = reserve((void **)&d->insn, &d->insn_cap, d->insn_cnt, sizeof(*d->insn));
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

static int intern(struct derive *d, const struct derive_state *s, uint32_t *ret)
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
	err = reserve((void **)&d->state, &d->state_cap, d->state_cnt, sizeof(*s));
	if (err)
		return err;
	d->state[d->state_cnt] = *s;
	*ret = d->state_slot[slot] = d->state_cnt++;
	return 0;
}

/* ---- the flow */

static int enqueue(struct derive *d, uint32_t at)
{
	int err;

	if (d->insn[at].flags & INSN_QUEUED)
		return 0;
	err = reserve((void **)&d->queue, &d->queue_cap, d->queue_cnt, sizeof(*d->queue));
	if (err)
		return err;
	d->insn[at].flags |= INSN_QUEUED;
	d->queue[d->queue_cnt++] = at;
	return 0;
}

static bool is_sure(const struct derive *d, uint32_t func)
{
	return d->func[func].trust != DERIVE_MAYBE;
}

/* State s, index of it or NONE, reaches instruction `at` in function func. */
static int reach(struct derive *d, uint32_t at, const struct derive_state *s, uint32_t index,
		 uint32_t func)
{
	struct insn *in = &d->insn[at];
	struct derive_state joined;
	int err;

	if (in->state == NONE) {
		in->func = func;
		in->state = index;
		err = index == NONE ? intern(d, s, &in->state) : 0;
		return err ? err : enqueue(d, at);
	}
	if (in->state == index)
		return 0;
	joined = d->state[in->state];
	if (!derive_state__join(&joined, s))
		return 0;
	if (joined.reg[DERIVE_SP] != d->state[in->state].reg[DERIVE_SP]) {
		/* Who is not sure to be a function does not spoil one that is. */
		if (!is_sure(d, func) && is_sure(d, in->func)) {
			d->func[func].wrong = true;
			return 0;
		}
		in->flags |= INSN_CONFLICT;
	}
	err = intern(d, &joined, &in->state);
	return err ? err : enqueue(d, at);
}

static int add_func(struct derive *d, uint32_t off, uint32_t end, enum derive_trust trust)
{
	struct func *f;
	uint32_t at;
	int err = insn_at(d, off, &at);

	if (err)
		return err;
	if (d->insn[at].start == NONE) {
		err = reserve((void **)&d->func, &d->func_cap, d->func_cnt, sizeof(*d->func));
		if (err)
			return err;
		d->insn[at].start = d->func_cnt;
		d->func[d->func_cnt++] = (struct func){ .insn = at, .end = end, .trust = trust };
		d->news = true;
		return 0;
	}
	f = &d->func[d->insn[at].start];
	if (f->end < end)
		f->end = end;
	if (trust < f->trust) {
		f->trust = trust;
		d->news = true;
	}
	return 0;
}

/* What is called is a function, as sure as its caller is; get-pc thunks call the next instruction. */
static int found_call(struct derive *d, uint32_t caller, uint32_t func)
{
	uint32_t off;
	int err;

	if (!to_off(d, d->insn[caller].op.target, &off) ||
	    off == d->insn[caller].off + d->insn[caller].op.len)
		return 0;
	err = add_func(d, off, 0, is_sure(d, func) ? DERIVE_SURE : DERIVE_MAYBE);
	if (!err)
		d->insn[caller].target = d->at[off];
	return err;
}

static int found_address(struct derive *d, uint64_t vaddr)
{
	uint32_t off;

	return to_off(d, vaddr, &off) ? add_func(d, off, 0, DERIVE_MAYBE) : 0;
}

/* The edge from one instruction to another one, at offset off. */
static int go(struct derive *d, uint32_t off, const struct derive_state *s, uint32_t index,
	      uint32_t func, uint32_t *ret_at)
{
	int err = insn_at(d, off, ret_at);

	return err ? err : reach(d, *ret_at, s, index, func);
}

/* Most instructions change nothing that we follow. */
static uint32_t index_if_same(const struct derive *d, uint32_t at, const struct derive_state *s)
{
	uint32_t index = d->insn[at].state;

	return memcmp(&d->state[index], s, sizeof(*s)) ? NONE : index;
}

static int go_to_target(struct derive *d, uint32_t at, struct derive_state s, uint32_t func)
{
	const struct derive_op *op = &d->insn[at].op;
	uint32_t off, target;
	int err;

	if (!to_off(d, op->target, &off))
		return 0;
	if (op->kind == OP_BRANCH_EQ)
		derive_state__equal(&s, op->dst, op->src);
	err = go(d, off, &s, index_if_same(d, at, &s), func, &target);
	if (!err)
		d->insn[at].target = target;
	return err;
}

/* Does a sure function begin at off, or behind the padding there? */
static int begins_function(struct derive *d, uint32_t off, bool *ret)
{
	uint32_t at;
	int err;

	*ret = false;
	for (int i = 0; i < PADDING_INSNS && off < d->code_sz; i++) {
		err = insn_at(d, off, &at);
		if (err)
			return err;
		*ret = d->insn[at].start != NONE && is_sure(d, d->insn[at].start);
		if (*ret || d->insn[at].op.kind != OP_NOP)
			return 0;
		off += d->insn[at].op.len;
	}
	return 0;
}

/* Does a call come back to the instruction behind it? A function that ends with a call does not end there. */
static int comes_back(struct derive *d, uint32_t caller, uint32_t func, bool *ret)
{
	const struct insn *in = &d->insn[caller];
	uint32_t end = in->off + in->op.len;
	bool last;
	int err;

	*ret = false;
	if (in->target != NONE && d->insn[in->target].start != NONE &&
	    d->func[d->insn[in->target].start].noreturn)
		return 0;
	if (d->func[func].end == end)
		return 0;
	err = begins_function(d, end, &last);
	*ret = !last;
	return err;
}

static int go_on(struct derive *d, uint32_t at, struct derive_state s, uint32_t func)
{
	const struct derive_op *op = &d->insn[at].op;
	uint32_t off, next;
	int err;

	if (!to_off(d, to_vaddr(d, d->insn[at].off) + op->len, &off))
		return 0;
	if (op->kind == OP_BRANCH_NE)
		derive_state__equal(&s, op->dst, op->src);
	err = go(d, off, &s, index_if_same(d, at, &s), func, &next);
	if (!err)
		d->insn[at].next = next;
	return err;
}

/* cmp a,b before jne or je: the branch carries the registers. */
static void carry_comparison(struct derive *d, uint32_t at)
{
	const struct insn *in = &d->insn[at];
	struct derive_op *branch;
	uint32_t end = in->off + in->op.len;

	if (end >= d->code_sz || d->at[end] == NONE)
		return;
	branch = &d->insn[d->at[end]].op;
	if (branch->kind == OP_BRANCH_EQ || branch->kind == OP_BRANCH_NE) {
		branch->dst = in->op.dst;
		branch->src = in->op.src;
	}
}

/* From one instruction to those behind it. */
static int follow(struct derive *d, uint32_t at)
{
	struct derive_op op = d->insn[at].op;
	struct derive_state s = d->state[d->insn[at].state];
	uint32_t func = d->insn[at].func;
	bool back = true;
	int err = 0;

	switch (op.kind) {
	case OP_UNKNOWN:
		d->func[func].wrong |= !is_sure(d, func);
		return 0;
	case OP_RETURN:
		d->func[func].wrong |= derive_state__returns(&s) == DERIVE_WRONG;
		return 0;
	case OP_STOP:
	case OP_JUMP_REG:
		return 0;
	case OP_CALL:
		err = found_call(d, at, func);
		if (!err)
			err = comes_back(d, at, func, &back);
		break;
	case OP_CALL_REG:
		err = comes_back(d, at, func, &back);
		break;
	case OP_ADDRESS:
		err = found_address(d, op.target);
		break;
	default:
		break;
	}
	derive_state__step(&s, &op);
	if (!err && (op.kind == OP_JUMP || op.kind == OP_BRANCH || op.kind == OP_BRANCH_EQ ||
		     op.kind == OP_BRANCH_NE))
		err = go_to_target(d, at, s, func);
	if (err || op.kind == OP_JUMP || !back)
		return err;
	err = go_on(d, at, s, func);
	if (!err && op.kind == OP_COMPARE)
		carry_comparison(d, at);
	return err;
}

static int run(struct derive *d)
{
	int err = 0;

	while (!err && d->queue_cnt) {
		uint32_t at = d->queue[--d->queue_cnt];

		d->insn[at].flags &= ~INSN_QUEUED;
		if (++d->visits > (uint64_t)INSNS_MAX * VISITS_PER_INSN)
			return -E2BIG;
		err = follow(d, at);
	}
	return err;
}

/* ---- rounds */

static int begin(struct derive *d, uint32_t func)
{
	struct derive_state s;
	int err;

	derive_state__entry(&s, d->func[func].trust == DERIVE_ENTRY);
	err = reach(d, d->func[func].insn, &s, NONE, func);
	return err ? err : run(d);
}

static int compare_span(const void *pa, const void *pb)
{
	const struct span *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int list_sure(struct derive *d)
{
	free(d->sure);
	d->sure_cnt = 0;
	d->sure = malloc((d->func_cnt + 1) * sizeof(*d->sure));
	if (!d->sure)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->func_cnt; i++)
		if (is_sure(d, i) && d->func[i].end)
			d->sure[d->sure_cnt++] =
				(struct span){ d->insn[d->func[i].insn].off, d->func[i].end };
	qsort(d->sure, d->sure_cnt, sizeof(*d->sure), compare_span);
	for (size_t i = 1; i < d->sure_cnt; i++)
		if (d->sure[i].end < d->sure[i - 1].end)
			d->sure[i].end = d->sure[i - 1].end;
	return 0;
}

/* Does it lie within a function that is known by its symbol? */
static bool in_sure(const struct derive *d, uint32_t off)
{
	size_t lo = 0, hi = d->sure_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->sure[mid].start < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && off < d->sure[lo - 1].end;
}

static void clear(struct derive *d)
{
	for (uint32_t i = 0; i < d->insn_cnt; i++) {
		struct insn *in = &d->insn[i];

		in->state = in->func = in->target = in->next = NONE;
		in->flags = 0;
	}
	for (uint32_t i = 0; i < d->func_cnt; i++)
		d->func[i].wrong = false;
	d->news = false;
}

/* Functions found on the way are appended, and their turn comes. */
static int round_of(struct derive *d)
{
	int err = list_sure(d);

	for (uint32_t i = 0; !err && i < d->func_cnt; i++)
		if (is_sure(d, i))
			err = begin(d, i);
	for (uint32_t i = 0; !err && i < d->func_cnt; i++) {
		const struct insn *in = &d->insn[d->func[i].insn];

		if (is_sure(d, i))
			continue;
		/* A label within a function, whose address is taken by assembly or for a computed goto. */
		if (in->state != NONE || in_sure(d, in->off))
			d->func[i].wrong = true;
		else
			err = begin(d, i);
	}
	return err;
}

static bool leads_back(const struct derive *d, const struct insn *in)
{
	bool jumps = in->op.kind == OP_JUMP || in->op.kind == OP_BRANCH ||
		     in->op.kind == OP_BRANCH_EQ || in->op.kind == OP_BRANCH_NE;

	switch (in->op.kind) {
	case OP_RETURN:
	case OP_JUMP_REG:
	case OP_UNKNOWN:
		return true;
	case OP_STOP:
		return false;
	case OP_CALL:
		/* A callee of ours that never returned so far in this search does not come back. */
		if (in->target != NONE && d->insn[in->target].state != NONE &&
		    !(d->insn[in->target].flags & INSN_RETURNS))
			return false;
		break;
	}
	if (jumps && (in->target == NONE || d->insn[in->target].flags & INSN_RETURNS))
		return true;
	if (in->op.kind == OP_JUMP)
		return false;
	if (in->next == NONE) /* behind a call it was not followed; else there is no code of ours */
		return in->op.kind != OP_CALL && in->op.kind != OP_CALL_REG;
	return d->insn[in->next].flags & INSN_RETURNS;
}

/* Which functions never return: the others are those from which a path leads back. */
static void find_noreturn(struct derive *d)
{
	bool changed = true;

	for (int pass = 0; changed && pass < PASSES_MAX; pass++) {
		changed = false;
		for (uint32_t i = d->insn_cnt; i-- > 0;) {
			struct insn *in = &d->insn[i];

			if (in->state == NONE || in->flags & INSN_RETURNS || !leads_back(d, in))
				continue;
			in->flags |= INSN_RETURNS;
			changed = true;
		}
	}
	for (uint32_t i = 0; i < d->func_cnt; i++) {
		struct func *f = &d->func[i];
		const struct insn *in = &d->insn[f->insn];
		bool noreturn = !changed && in->state != NONE && !(in->flags & INSN_RETURNS);

		if (noreturn == f->noreturn)
			continue;
		f->noreturn = noreturn;
		d->news = true;
	}
	if (!changed)
		return;
	/* Made to take long: nothing is known of who returns. */
	for (uint32_t i = 0; i < d->insn_cnt; i++)
		d->insn[i].flags |= INSN_RETURNS;
}

/*
 * A frame whose return address is gone and that never goes back anywhere has no caller: the child's side of
 * clone (musl's src/thread/x86_64/clone.s), which begins on a stack of its own. Neither has what only
 * leads there.
 */
static bool is_outermost(const struct derive *d, const struct insn *in)
{
	int32_t sp = d->state[in->state].reg[DERIVE_SP];

	if (in->flags & INSN_RETURNS)
		return false;
	if (value__is_off(sp) && sp >= 0)
		return true;
	return (in->next != NONE && d->insn[in->next].flags & INSN_OUTERMOST) ||
	       (in->target != NONE && in->op.kind == OP_JUMP &&
		d->insn[in->target].flags & INSN_OUTERMOST);
}

static void find_outermost(struct derive *d)
{
	bool changed = true;

	for (int pass = 0; changed && pass < PASSES_MAX; pass++) {
		changed = false;
		for (uint32_t i = d->insn_cnt; i-- > 0;) {
			struct insn *in = &d->insn[i];

			if (in->state == NONE || in->flags & INSN_OUTERMOST || !is_outermost(d, in))
				continue;
			in->flags |= INSN_OUTERMOST;
			changed = true;
		}
	}
}

static int rounds(struct derive *d)
{
	int err;

	do {
		clear(d);
		d->stats.rounds++;
		err = round_of(d);
		if (err)
			return err;
		find_noreturn(d);
	} while (d->news && d->stats.rounds < ROUNDS_MAX);
	find_outermost(d);
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

		if (!to_off(d, s->vaddr, &off))
			continue;
		if (s->sz && s->sz <= d->code_sz && to_off(d, s->vaddr + s->sz - 1, &last))
			end = last + 1;
		err = add_func(d, off, end, s->trust);
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
	err = place_code(d, in);
	if (!err)
		err = add_starts(d, in);
	if (!err)
		err = rounds(d);
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

/* The instruction that was reached at this offset, or NULL. */
static const struct insn *reached(const struct derive *d, uint32_t off)
{
	const struct insn *in = d->at[off] == NONE ? NULL : &d->insn[d->at[off]];

	return in && in->state != NONE ? in : NULL;
}

/* What was wrongly thought to be a function has no rows; a function in which something is wrong has bad ones. */
static bool is_dropped(const struct derive *d, const struct insn *in)
{
	return d->func[in->func].wrong && !is_sure(d, in->func);
}

static void row_of(const struct derive *d, const struct insn *in, struct hu_row *row)
{
	const struct derive_state *s = &d->state[in->state];

	derive_state__row(s, row);
	if (d->func[in->func].wrong)
		*row = (struct hu_row){ .kind = HU_CFA_BAD | HU_ROW_DERIVED };
	else if (in->flags & INSN_OUTERMOST)
		*row = (struct hu_row){ .kind = HU_CFA_END | HU_ROW_DERIVED };
}

struct rows {
	struct hu_row *row;
	size_t cnt, cap, max;
};

static bool same_rule(const struct hu_row *a, const struct hu_row *b)
{
	return a->kind == b->kind && a->cfa_off == b->cfa_off && a->fp_off == b->fp_off;
}

static int add_row(struct rows *r, const struct hu_row *row)
{
	if (r->cnt && r->row[r->cnt - 1].pc == row->pc)
		r->cnt--; /* the gap behind a piece of code, before the next one */
	if (r->cnt && same_rule(&r->row[r->cnt - 1], row))
		return 0;
	if (r->cnt == r->max)
		return -E2BIG;
	if (r->cnt == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 256;
		struct hu_row *more = reallocarray(r->row, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->row = more;
		r->cap = cap;
	}
	r->row[r->cnt++] = *row;
	return 0;
}

/* Instructions may overlap (a jump over a lock prefix): what both say, or HU_CFA_BAD. */
static int rows_of_piece(const struct derive *d, size_t piece, struct rows *r)
{
	uint32_t rel = d->code[piece].vaddr - d->base, end = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < d->code[piece].sz; i++) {
		const struct insn *in = reached(d, d->code_off[piece] + i);
		struct hu_row row = { .kind = HU_CFA_GAP };

		if (in && !is_dropped(d, in) && in->op.len) {
			row_of(d, in, &row);
			if (i < end && !same_rule(&row, &r->row[r->cnt - 1]))
				row = (struct hu_row){ .kind = HU_CFA_BAD | HU_ROW_DERIVED };
			if (end < i + in->op.len)
				end = i + in->op.len;
		} else if (i < end || !r->cnt) {
			continue;
		}
		row.pc = rel + i;
		err = add_row(r, &row);
	}
	if (!err && r->cnt)
		err = add_row(r, &(struct hu_row){ .pc = rel + d->code[piece].sz });
	return err;
}

int derive__rows(const struct derive *d, size_t max, struct hu_row **ret, size_t *ret_cnt)
{
	struct rows r = { .max = max };
	int err = 0;

	for (size_t i = 0; !err && i < d->code_cnt; i++)
		err = rows_of_piece(d, i, &r);
	if (err) {
		free(r.row);
		return err;
	}
	*ret = r.row;
	*ret_cnt = r.cnt;
	return 0;
}

int derive__functions(const struct derive *d, struct cfi_func **ret, size_t *ret_cnt)
{
	struct cfi_func *func = NULL, *last = NULL;
	uint32_t cnt = 0, cap = 0;

	for (size_t piece = 0; piece < d->code_cnt; piece++) {
		uint32_t rel = d->code[piece].vaddr - d->base;

		for (uint32_t i = 0; i < d->code[piece].sz; i++) {
			const struct insn *in = reached(d, d->code_off[piece] + i);
			uint32_t start;
			int err;

			if (!in || d->func[in->func].wrong)
				continue;
			start = to_vaddr(d, d->insn[d->func[in->func].insn].off) - d->base;
			if (last && last->start == start && last->hi >= rel + i) {
				if (last->hi < rel + i + in->op.len)
					last->hi = rel + i + in->op.len;
				continue;
			}
			err = reserve((void **)&func, &cap, cnt, sizeof(*func));
			if (err) {
				free(func);
				return err;
			}
			if (last && last->hi > rel + i)
				last->hi = rel + i; /* overlapping instructions */
			last = &func[cnt++];
			*last = (struct cfi_func){ rel + i, rel + i + in->op.len, start };
		}
	}
	*ret = func;
	*ret_cnt = cnt;
	return 0;
}

bool derive__state(const struct derive *d, uint64_t vaddr, struct derive_state *ret)
{
	const struct insn *in;
	uint32_t off;

	if (!to_off(d, vaddr, &off))
		return false;
	in = reached(d, off);
	if (!in || d->func[in->func].wrong)
		return false;
	*ret = d->state[in->state];
	return true;
}
