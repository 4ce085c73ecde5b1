// SPDX-License-Identifier: GPL-2.0-only
/* Which functions come back to their callers, and which code has none. */
#include "user/unwind/derive_internal.h"

/* Passes over all instructions to find those that lead to a return; compilers' code takes five. */
#define PASSES_MAX 64

bool derive__is_noreturn(const struct derive *d, uint64_t target)
{
	size_t lo = 0, hi = d->noreturn_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->noreturn[mid] < target)
			lo = mid + 1;
		else
			hi = mid;
	}
	return target && lo < d->noreturn_cnt && d->noreturn[lo] == target;
}

static bool leads_back(const struct derive *d, const struct insn *in)
{
	bool jumps = in->op.kind == OP_JUMP || in->op.kind == OP_BRANCH ||
		     in->op.kind == OP_BRANCH_EQ || in->op.kind == OP_BRANCH_NE;

	switch (in->op.kind) {
	case OP_RETURN:
	case OP_UNKNOWN:
		return true;
	case OP_JUMP_REG:
		return !derive__is_noreturn(d, in->op.target);
	case OP_STOP:
		return false;
	case OP_CALL:
		/* A callee of ours that never returned so far in this search does not come back. */
		if (in->target != NONE && d->insn[in->target].state != NONE &&
		    !(d->insn[in->target].flags & INSN_RETURNS))
			return false;
		break;
	}
	if (jumps && in->target == NONE && !derive__is_noreturn(d, in->op.target))
		return true;
	if (jumps && in->target != NONE && (d->insn[in->target].flags & INSN_RETURNS))
		return true;
	if (in->op.kind == OP_JUMP)
		return false;
	if (in->next == NONE) /* behind a call it was not followed; else there is no code of ours */
		return in->op.kind != OP_CALL && in->op.kind != OP_CALL_REG;
	return d->insn[in->next].flags & INSN_RETURNS;
}

void derive__find_noreturn(struct derive *d)
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

void derive__find_outermost(struct derive *d)
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
