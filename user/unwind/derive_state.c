// SPDX-License-Identifier: GPL-2.0-only
#include "user/unwind/derive_state.h"

#include <string.h>

#define WORD 8
/* The first word below the CFA (psABI 1.0, section 3.2.2). */
#define RA_OFF (-WORD)
/* Below sp, kept over signals but not over calls (psABI 1.0, section 3.2.2). */
#define RED_ZONE 128

static const struct derive_slot no_slot = { VALUE_UNKNOWN, VALUE_UNKNOWN };

void derive_state__entry(struct derive_state *s, bool outermost)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < DERIVE_REGS; i++)
		s->reg[i] = VALUE_UNKNOWN;
	for (int i = 0; i < DERIVE_SLOTS; i++)
		s->slot[i] = no_slot;
	s->outermost = outermost;
	s->reg[DERIVE_SP] = RA_OFF;
	s->reg[DERIVE_FP] = VALUE_CALLER_FP;
}

static int32_t add(int32_t value, int64_t n)
{
	int64_t sum = value + n;

	if (!value__is_off(value))
		return n ? VALUE_UNKNOWN : value;
	return sum > -VALUE_OFF_MAX && sum < VALUE_OFF_MAX ? (int32_t)sum : VALUE_UNKNOWN;
}

static void remove_slot(struct derive_state *s, int at)
{
	memmove(&s->slot[at], &s->slot[at + 1], (DERIVE_SLOTS - at - 1) * sizeof(s->slot[0]));
	s->slot[DERIVE_SLOTS - 1] = no_slot;
}

/* Words that a store of sz bytes at off changes. */
static void forget(struct derive_state *s, int64_t off, int64_t sz)
{
	for (int i = 0; i < DERIVE_SLOTS && s->slot[i].off != VALUE_UNKNOWN;) {
		if (s->slot[i].off < off + sz && off < s->slot[i].off + WORD)
			remove_slot(s, i);
		else
			i++;
	}
}

/* What a callee may use: everything below off. */
static void forget_below(struct derive_state *s, int32_t off)
{
	while (s->slot[0].off < off)
		remove_slot(s, 0);
}

static void store(struct derive_state *s, int32_t off, int32_t value, int64_t sz)
{
	int at = 0;

	if (!value__is_off(off))
		return; /* elsewhere, as far as we know */
	forget(s, off, sz);
	if (value == VALUE_UNKNOWN || sz != WORD)
		return;
	if (s->slot[DERIVE_SLOTS - 1].off != VALUE_UNKNOWN)
		return; /* knowing less is right too */
	while (s->slot[at].off < off)
		at++;
	memmove(&s->slot[at + 1], &s->slot[at], (DERIVE_SLOTS - at - 1) * sizeof(s->slot[0]));
	s->slot[at] = (struct derive_slot){ off, value };
}

static int32_t load(const struct derive_state *s, int32_t off)
{
	for (int i = 0; value__is_off(off) && i < DERIVE_SLOTS; i++)
		if (s->slot[i].off == off)
			return s->slot[i].value;
	return VALUE_UNKNOWN;
}

static void set(struct derive_state *s, uint8_t reg, int32_t value)
{
	if (reg < DERIVE_REGS)
		s->reg[reg] = value;
}

static int32_t get(const struct derive_state *s, uint8_t reg)
{
	return reg < DERIVE_REGS ? s->reg[reg] : VALUE_UNKNOWN;
}

static void push(struct derive_state *s, int32_t value, int32_t sz)
{
	s->reg[DERIVE_SP] = add(s->reg[DERIVE_SP], -sz);
	store(s, s->reg[DERIVE_SP], value, sz);
}

static int32_t pop(struct derive_state *s, int32_t sz)
{
	int32_t value = sz == WORD ? load(s, s->reg[DERIVE_SP]) : VALUE_UNKNOWN;

	s->reg[DERIVE_SP] = add(s->reg[DERIVE_SP], sz);
	return value;
}

static void call(struct derive_state *s)
{
	uint16_t clobbers = derive_op__call_clobbers();

	for (int i = 0; i < DERIVE_REGS; i++)
		if (clobbers >> i & 1)
			s->reg[i] = VALUE_UNKNOWN;
	if (value__is_off(s->reg[DERIVE_SP]))
		forget_below(s, s->reg[DERIVE_SP]);
}

static void kill(struct derive_state *s, uint16_t regs)
{
	for (int i = 0; regs; i++, regs >>= 1)
		if (regs & 1)
			s->reg[i] = VALUE_UNKNOWN;
}

void derive_state__step(struct derive_state *s, const struct derive_op *op)
{
	int32_t sp = s->reg[DERIVE_SP], value;

	switch (op->kind) {
	case OP_PUSH:
		push(s, get(s, op->src), op->imm);
		break;
	case OP_POP:
		value = pop(s, op->imm);
		set(s, op->dst, value);
		break;
	case OP_ADD:
		set(s, op->dst, add(get(s, op->src), op->imm));
		break;
	case OP_ZERO:
	case OP_ADDRESS:
	case OP_CONSTANT:
		set(s, op->dst, VALUE_UNKNOWN);
		break;
	case OP_EXCHANGE:
		value = get(s, op->dst);
		set(s, op->dst, get(s, op->src));
		set(s, op->src, value);
		break;
	case OP_LOAD:
		set(s, op->dst, load(s, add(get(s, op->src), op->imm)));
		break;
	case OP_STORE:
		store(s, add(get(s, op->dst), op->imm), get(s, op->src), op->sz);
		break;
	case OP_LEAVE:
		s->reg[DERIVE_SP] = s->reg[DERIVE_FP];
		s->reg[DERIVE_FP] = pop(s, WORD);
		break;
	case OP_CALL:
	case OP_CALL_REG:
		call(s);
		break;
	default:
		break;
	}
	kill(s, op->kill);
	/* What was popped is gone; what a leaf keeps below sp was stored there, and sp stays. */
	if (s->reg[DERIVE_SP] != sp && value__is_off(s->reg[DERIVE_SP]))
		forget_below(s, s->reg[DERIVE_SP]);
}

/* The words that both have. */
static bool join_slots(struct derive_state *s, const struct derive_state *other)
{
	bool changed = false;

	for (int i = 0; i < DERIVE_SLOTS && s->slot[i].off != VALUE_UNKNOWN;) {
		if (load(other, s->slot[i].off) == s->slot[i].value) {
			i++;
			continue;
		}
		remove_slot(s, i);
		changed = true;
	}
	return changed;
}

bool derive_state__join(struct derive_state *s, const struct derive_state *other)
{
	bool changed = join_slots(s, other);

	for (int i = 0; i < DERIVE_REGS; i++) {
		if (s->reg[i] == other->reg[i] || s->reg[i] == VALUE_UNKNOWN)
			continue;
		s->reg[i] = VALUE_UNKNOWN;
		changed = true;
	}
	/* A frame with a caller and one without: no offset holds for both. */
	if (s->outermost != other->outermost && s->reg[DERIVE_SP] != VALUE_UNKNOWN) {
		s->reg[DERIVE_SP] = s->reg[DERIVE_FP] = VALUE_UNKNOWN;
		changed = true;
	}
	if (s->outermost && !other->outermost) {
		s->outermost = 0;
		changed = true;
	}
	return changed;
}

bool derive_state__equal(struct derive_state *s, uint8_t a, uint8_t b)
{
	if (a != DERIVE_SP && b != DERIVE_SP)
		return true;
	if (!value__is_off(get(s, a)))
		set(s, a, get(s, b));
	else if (!value__is_off(get(s, b)))
		set(s, b, get(s, a));
	return get(s, a) == get(s, b);
}

bool derive_state__saves_fp(const struct derive_state *s, int32_t *ret_off)
{
	int32_t sp = s->reg[DERIVE_SP];

	for (int i = DERIVE_SLOTS - 1; i >= 0; i--) {
		if (s->slot[i].value != VALUE_CALLER_FP || s->slot[i].off >= RA_OFF)
			continue;
		if (value__is_off(sp) && s->slot[i].off < sp)
			continue; /* popped */
		*ret_off = s->slot[i].off;
		return true;
	}
	return false;
}

enum derive_verdict derive_state__returns(const struct derive_state *s)
{
	if (s->outermost || s->reg[DERIVE_SP] == VALUE_UNKNOWN)
		return DERIVE_UNCERTAIN;
	if (s->reg[DERIVE_SP] != RA_OFF)
		return DERIVE_WRONG;
	if (s->reg[DERIVE_FP] == VALUE_UNKNOWN)
		return DERIVE_UNCERTAIN;
	return s->reg[DERIVE_FP] == VALUE_CALLER_FP ? DERIVE_RIGHT : DERIVE_WRONG;
}

static bool in_words(int64_t off, int64_t min, int64_t max, int64_t *ret)
{
	*ret = off / WORD;
	return off % WORD == 0 && *ret >= min && *ret <= max;
}

static bool find_cfa(const struct derive_state *s, enum hu_row_cfa *ret_kind, int64_t *ret_off)
{
	int32_t sp = s->reg[DERIVE_SP], fp = s->reg[DERIVE_FP];

	if (value__is_off(sp)) {
		*ret_kind = HU_CFA_SP;
		/* above its return address a frame has none that could be trusted */
		return sp <= RA_OFF && in_words(-(int64_t)sp, 1, INT16_MAX, ret_off);
	}
	*ret_kind = HU_CFA_FP;
	return value__is_off(fp) && in_words(-(int64_t)fp, INT16_MIN, INT16_MAX, ret_off);
}

static bool find_fp(const struct derive_state *s, enum hu_row_fp *ret_kind, int64_t *ret_off)
{
	int32_t sp = s->reg[DERIVE_SP], off;

	*ret_off = 0;
	if (derive_state__saves_fp(s, &off)) {
		*ret_kind = HU_FP_CFA;
		return in_words(off, INT8_MIN, INT8_MAX, ret_off);
	}
	if (s->reg[DERIVE_FP] == VALUE_CALLER_FP) {
		*ret_kind = HU_FP_SAME;
		return true;
	}
	for (int i = 0; i < DERIVE_SLOTS; i++) {
		if (s->slot[i].value != VALUE_CALLER_FP || s->slot[i].off >= RA_OFF ||
		    !value__is_off(sp) || s->slot[i].off < sp - RED_ZONE)
			continue;
		*ret_kind = HU_FP_CFA;
		return in_words(s->slot[i].off, INT8_MIN, INT8_MAX, ret_off);
	}
	return false;
}

void derive_state__row(const struct derive_state *s, struct hu_row *row)
{
	enum hu_row_cfa cfa;
	enum hu_row_fp fp;
	int64_t cfa_off, fp_off;

	row->cfa_off = 0;
	row->fp_off = 0;
	row->kind = HU_CFA_BAD | HU_ROW_DERIVED;
	if (s->outermost) {
		row->kind = HU_CFA_END | HU_ROW_DERIVED;
		return;
	}
	if (!find_cfa(s, &cfa, &cfa_off))
		return;
	if (!find_fp(s, &fp, &fp_off)) {
		fp = HU_FP_UNDEF;
		fp_off = 0;
	}
	row->kind = cfa | fp << 4 | HU_ROW_DERIVED;
	row->cfa_off = cfa_off;
	row->fp_off = fp_off;
}
