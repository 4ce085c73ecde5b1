// SPDX-License-Identifier: GPL-2.0-only
/* The instruction of a function to be probed. x86-64 by Zydis; elsewhere the first one. */
#include "user/collect/hold_points.h"
#include "user/util/probe_place.h"

#if defined(__x86_64__)

#include <Zydis/Zydis.h>
#include <stdlib.h>

#define ENTRY_INSNS_MAX 24

struct insn {
	ZydisDecodedInstruction d;
	ZydisDecodedOperand opnd[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const struct hold_code *code, size_t off, struct insn *ret)
{
	ZydisDecoder decoder;

	return off < code->sz &&
	       ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
					     ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code->byte + off, code->sz - off,
						   &ret->d, ret->opnd));
}

/* Where a direct jump or call leads, as an offset; SIZE_MAX: it is none. */
static size_t target_of(const struct insn *i, size_t off)
{
	if (!i->d.operand_count_visible || i->opnd[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    !i->opnd[0].imm.is_relative)
		return SIZE_MAX;
	return off + i->d.length + (size_t)i->opnd[0].imm.value.s;
}

static bool ends_block(const struct insn *i)
{
	ZydisInstructionCategory c = i->d.meta.category;

	return c == ZYDIS_CATEGORY_COND_BR || c == ZYDIS_CATEGORY_UNCOND_BR ||
	       c == ZYDIS_CATEGORY_CALL || c == ZYDIS_CATEGORY_RET;
}

static bool writes(const struct insn *i, ZydisRegister reg)
{
	for (int n = 0; n < i->d.operand_count; n++) {
		const ZydisDecodedOperand *o = &i->opnd[n];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value) ==
			    reg)
			return true;
	}
	return false;
}

static bool spoils(const struct insn *i, unsigned needs)
{
	return ((needs & HOLD_NEED_ARG0) && writes(i, ZYDIS_REGISTER_RDI)) ||
	       ((needs & HOLD_NEED_ARG1) && writes(i, ZYDIS_REGISTER_RSI)) ||
	       ((needs & HOLD_NEED_SP) && writes(i, ZYDIS_REGISTER_RSP));
}

/* Does anything in the function jump to where the way from its start to `to` would be gone once more? */
static bool is_repeated(const struct hold_code *code, size_t to)
{
	struct insn i;

	for (size_t off = 0; off < code->sz; off += i.d.length) {
		if (!decode(code, off, &i))
			return true; /* data in between: not known */
		if (i.d.meta.category != ZYDIS_CATEGORY_CALL && target_of(&i, off) <= to)
			return true;
	}
	return false;
}

size_t hold_code__entry(const struct hold_code *code, unsigned needs, bool *ret_stepped,
			bool *ret_tried)
{
	bool tries = false;
	struct insn i;
	size_t off = 0;

	*ret_stepped = *ret_tried = false;
	for (int n = 0; n < ENTRY_INSNS_MAX && decode(code, off, &i); n++) {
		if (probe_place__emulated(code->byte + off, i.d.length)) {
			/* glibc's pthread_spin_lock() (sysdeps/x86_64/nptl): each round is one try. */
			*ret_tried = tries && i.d.mnemonic == ZYDIS_MNEMONIC_JNZ;
			if (*ret_tried || !off || !is_repeated(code, off))
				return off;
			break;
		}
		tries = i.d.mnemonic == ZYDIS_MNEMONIC_DEC &&
			(i.d.attributes & ZYDIS_ATTRIB_HAS_LOCK);
		if (ends_block(&i) || spoils(&i, needs))
			break;
		off += i.d.length;
	}
	*ret_stepped = true;
	return 0;
}

/* ---- returns */

#define PENDING_MAX 256	 /* branches whose other way has not been gone yet */
#define INSNS_MAX   4096 /* glibc's longest lock function has 600 */

/* Ways through a function, wherever its parts lie: compilers move parts away, and end it by going on in another. */
struct ways {
	const struct hold_code *code;
	uint8_t *seen; /* of each byte: an instruction that begins there was looked at */
	size_t pending[PENDING_MAX];
	size_t pending_cnt;
	size_t *ret;
	size_t cnt, cap, insns;
};

static bool add_way(struct ways *w, size_t off)
{
	if (off >= w->code->sz || w->pending_cnt == PENDING_MAX)
		return false;
	if (!w->seen[off])
		w->pending[w->pending_cnt++] = off;
	return true;
}

/* Does nothing come after this call? What does not return is followed by padding, or by nothing that decodes. */
static bool is_last(const struct hold_code *code, size_t after)
{
	struct insn i;

	return !decode(code, after, &i) || i.d.meta.category == ZYDIS_CATEGORY_NOP ||
	       i.d.mnemonic == ZYDIS_MNEMONIC_INT3 || i.d.mnemonic == ZYDIS_MNEMONIC_UD2 ||
	       i.d.mnemonic == ZYDIS_MNEMONIC_HLT;
}

/* Goes one way up to where it ends or meets another; false: it leads where nothing is known. */
static bool go(struct ways *w, size_t off)
{
	struct insn i;
	size_t target;

	for (; !w->seen[off]; off += i.d.length) {
		if (++w->insns > INSNS_MAX || !decode(w->code, off, &i))
			return false;
		w->seen[off] = 1;
		target = target_of(&i, off);
		switch (i.d.meta.category) {
		case ZYDIS_CATEGORY_RET:
			if (w->cnt == w->cap)
				return false;
			w->ret[w->cnt++] = off;
			return true;
		case ZYDIS_CATEGORY_UNCOND_BR:
			if (target != SIZE_MAX)
				return add_way(w, target);
			/* By a table, whose cases follow; else it leads where nothing is known. */
			if (is_last(w->code, off + i.d.length))
				return false;
			break;
		case ZYDIS_CATEGORY_COND_BR:
			if (!add_way(w, target))
				return false;
			break;
		case ZYDIS_CATEGORY_CALL:
			if (is_last(w->code, off + i.d.length))
				return true;
			break;
		default:
			if (i.d.mnemonic == ZYDIS_MNEMONIC_UD2 ||
			    i.d.mnemonic == ZYDIS_MNEMONIC_HLT)
				return true;
		}
		if (off + i.d.length >= w->code->sz)
			return false;
	}
	return true;
}

size_t hold_code__returns(const struct hold_code *code, size_t start, size_t *ret, size_t cap)
{
	struct ways w = { .code = code, .ret = ret, .cap = cap };
	bool known;

	w.seen = calloc(1, code->sz + 1);
	known = w.seen && add_way(&w, start);
	while (known && w.pending_cnt)
		known = go(&w, w.pending[--w.pending_cnt]);
	free(w.seen);
	return known ? w.cnt : 0;
}

#else

size_t hold_code__entry(const struct hold_code *code, unsigned needs, bool *ret_stepped,
			bool *ret_tried)
{
	*ret_stepped = true;
	*ret_tried = false;
	return 0;
}

size_t hold_code__returns(const struct hold_code *code, size_t start, size_t *ret, size_t cap)
{
	return 0;
}

#endif
