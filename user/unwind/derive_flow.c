// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flow of states over the code.
 *
 * Instructions are decoded once, when first reached, and linked by index. States are interned, since
 * most instructions change none. Each round runs to the fixed point from the starts known so far; it may
 * find more starts (what is called) and functions that never return (so that what stands behind their
 * calls is not reached from there), and another round begins anew with these, until there is nothing new.
 */
#include "user/unwind/derive_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rounds beyond find little; the last one's result stands. */
#define ROUNDS_MAX 6
/*
 * A state can change as often as it has values to lose. In compilers' code an instruction is visited 1.1 times;
 * code that was made to take long gets no rows.
 */
#define VISITS_PER_INSN	   16
#define FUNCTION_ALIGN	   16
#define RETURN_ADDRESS_OFF (-8) /* from the CFA */
/* Between functions that are aligned to 64 bytes: nops of at most 11 bytes, or of one each. */
#define PADDING_INSNS 64

static int enqueue(struct derive *d, uint32_t at)
{
	int err;

	if (d->insn[at].flags & INSN_QUEUED)
		return 0;
	err = derive__reserve((void **)&d->queue, &d->queue_cap, d->queue_cnt, sizeof(*d->queue));
	if (err)
		return err;
	d->insn[at].flags |= INSN_QUEUED;
	d->queue[d->queue_cnt++] = at;
	return 0;
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
		err = index == NONE ? derive__intern(d, s, &in->state) : 0;
		return err ? err : enqueue(d, at);
	}
	if (in->func != func && in->start == NONE)
		d->func[func].jumped = true;
	if (in->state == index)
		return 0;
	joined = d->state[in->state];
	if (!derive_state__join(&joined, s))
		return 0;
	if (joined.reg[DERIVE_SP] != d->state[in->state].reg[DERIVE_SP]) {
		/* Who is not sure to be a function does not spoil one that is. */
		if (!func__is_sure(d, func) && func__is_sure(d, in->func)) {
			d->func[func].wrong = true;
			return 0;
		}
		in->flags |= INSN_CONFLICT;
	}
	err = derive__intern(d, &joined, &in->state);
	return err ? err : enqueue(d, at);
}

int derive__add_func(struct derive *d, uint32_t off, uint32_t end, enum derive_trust trust)
{
	struct func *f;
	uint32_t at;
	int err = derive__insn_at(d, off, &at);

	if (err)
		return err;
	if (d->insn[at].start == NONE) {
		err = derive__reserve((void **)&d->func, &d->func_cap, d->func_cnt,
				      sizeof(*d->func));
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

	if (!derive__to_off(d, d->insn[caller].op.target, &off) ||
	    off == d->insn[caller].off + d->insn[caller].op.len)
		return 0;
	err = derive__add_func(d, off, 0, func__is_sure(d, func) ? DERIVE_SURE : DERIVE_MAYBE);
	if (!err)
		d->insn[caller].target = d->at[off];
	return err;
}

static int found_address(struct derive *d, uint64_t vaddr)
{
	uint32_t off;

	return derive__to_off(d, vaddr, &off) ? derive__add_func(d, off, 0, DERIVE_MAYBE) : 0;
}

/* The edge from one instruction to another one, at offset off. */
static int go(struct derive *d, uint32_t off, const struct derive_state *s, uint32_t index,
	      uint32_t func, uint32_t *ret_at)
{
	int err = derive__insn_at(d, off, ret_at);

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

	if (!derive__to_off(d, op->target, &off))
		return 0;
	if (op->kind == OP_BRANCH_EQ && !derive_state__equal(&s, op->dst, op->src))
		return 0;
	err = go(d, off, &s, index_if_same(d, at, &s), func, &target);
	if (!err)
		d->insn[at].target = target;
	return err;
}

/* What stands at off: a sure function, perhaps behind padding, or at least padding. */
static int look_behind(struct derive *d, uint32_t off, bool *ret_function, bool *ret_padding)
{
	uint32_t at;
	int err;

	*ret_function = *ret_padding = false;
	for (int i = 0; i < PADDING_INSNS && off < d->code_sz; i++) {
		err = derive__insn_at(d, off, &at);
		if (err)
			return err;
		*ret_function = d->insn[at].start != NONE && func__is_sure(d, d->insn[at].start);
		if (*ret_function || d->insn[at].op.kind != OP_NOP)
			return 0;
		*ret_padding = true;
		off += d->insn[at].op.len;
	}
	return 0;
}

/*
 * Does a call come back to the instruction behind it? A function that ends with a call does not end there.
 * Padding behind a call may be that of the next function, as the call does not come back (from a function that
 * does at times: spice's log), or of a loop, which mostly has other ways in: less is reached so, and right.
 */
static int comes_back(struct derive *d, uint32_t caller, uint32_t func, bool *ret)
{
	struct insn in = d->insn[caller];
	uint32_t end = in.off + in.op.len;
	bool function, padding;
	int err;

	*ret = false;
	if (in.target != NONE && d->insn[in.target].start != NONE &&
	    d->func[d->insn[in.target].start].noreturn)
		return 0;
	if (d->func[func].end == end || derive__is_noreturn(d, in.op.target))
		return 0;
	err = look_behind(d, end, &function, &padding);
	*ret = !function && !padding;
	return err;
}

static int go_on(struct derive *d, uint32_t at, struct derive_state s, uint32_t func)
{
	const struct derive_op *op = &d->insn[at].op;
	uint32_t off, next;
	int err;

	if (!derive__to_off(d, derive__to_vaddr(d, d->insn[at].off) + op->len, &off))
		return 0;
	if (op->kind == OP_BRANCH_NE && !derive_state__equal(&s, op->dst, op->src))
		return 0;
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

	/* Functions set up a frame pointer before they use it. */
	if (op.uses_fp && s.reg[DERIVE_FP] == VALUE_CALLER_FP)
		d->func[func].wrong |= !func__is_sure(d, func);
	switch (op.kind) {
	case OP_UNKNOWN:
		d->func[func].wrong |= !func__is_sure(d, func);
		return 0;
	case OP_RETURN:
		d->func[func].wrong |= derive_state__returns(&s) == DERIVE_WRONG;
		d->func[func].returned |= derive_state__returns(&s) == DERIVE_RIGHT;
		return 0;
	case OP_STOP:
		return 0;
	case OP_JUMP_REG:
		/* a tail call leaves the return address where it was */
		d->func[func].wrong |= value__is_off(s.reg[DERIVE_SP]) &&
				       s.reg[DERIVE_SP] > RETURN_ADDRESS_OFF;
		d->func[func].jumped = true;
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
	case OP_CONSTANT:
		/* of numbers few are aligned as functions are */
		if (d->fixed && op.target % FUNCTION_ALIGN == 0)
			err = found_address(d, op.target);
		break;
	default:
		break;
	}
	derive_state__step(&s, &op);
	if (!err && (op.kind == OP_JUMP || op.kind == OP_BRANCH || op.kind == OP_BRANCH_EQ ||
		     op.kind == OP_BRANCH_NE))
		err = go_to_target(d, at, s, func);
	d->func[func].exits |= !back;
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
		if (++d->visits > VISITS_PER_INSN * (256 + (uint64_t)d->insn_cnt))
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
		if (func__is_sure(d, i) && d->func[i].end)
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
		d->func[i].wrong = d->func[i].returned = d->func[i].jumped = d->func[i].exits =
			false;
	d->visits = 0;
	d->news = false;
}

/* Functions end somewhere. A label of a computed goto leads to the next one, or to what was left out. */
static bool is_plausible(const struct func *f)
{
	return f->returned || (f->exits && !f->jumped);
}

/* Functions found on the way are appended, and their turn comes. */
static int round_of(struct derive *d)
{
	int err = list_sure(d);

	for (uint32_t i = 0; !err && i < d->func_cnt; i++)
		if (func__is_sure(d, i))
			err = begin(d, i);
	for (uint32_t i = 0; !err && i < d->func_cnt; i++) {
		const struct insn *in = &d->insn[d->func[i].insn];

		if (func__is_sure(d, i))
			continue;
		/* A label within a function, whose address is taken by assembly or for a computed goto. */
		if (in->state != NONE || in_sure(d, in->off))
			d->func[i].wrong = true;
		else
			err = begin(d, i);
		d->func[i].wrong |= !is_plausible(&d->func[i]);
	}
	return err;
}

int derive__rounds(struct derive *d)
{
	int err;

	do {
		clear(d);
		d->stats.rounds++;
		err = round_of(d);
		if (err)
			return err;
		derive__find_noreturn(d);
	} while (d->news && d->stats.rounds < ROUNDS_MAX);
	derive__find_outermost(d);
	return 0;
}
