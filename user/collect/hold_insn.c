// SPDX-License-Identifier: GPL-2.0-only
/* The instruction of a function to be probed. x86-64 by Zydis; elsewhere the first one. */
#include "user/collect/hold_points.h"

#if defined(__x86_64__)

#include <Zydis/Zydis.h>

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

/* push_setup_xol_ops() and branch_setup_xol_ops() of arch/x86/kernel/uprobes.c, those since 4.18. */
static bool is_emulated(const struct insn *i, const uint8_t *byte)
{
	uint8_t opcode = i->d.opcode;

	switch (i->d.meta.category) {
	case ZYDIS_CATEGORY_PUSH:
		return i->d.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode >= 0x50 &&
		       opcode <= 0x57 && (i->d.length == 1 || (i->d.length == 2 && *byte == 0x41));
	case ZYDIS_CATEGORY_COND_BR: /* not loop, jrcxz */
		return (opcode & 0xf0) == (i->d.opcode_map == ZYDIS_OPCODE_MAP_0F ? 0x80 : 0x70);
	case ZYDIS_CATEGORY_UNCOND_BR:
		return opcode == 0xeb || opcode == 0xe9;
	case ZYDIS_CATEGORY_CALL:
		return opcode == 0xe8;
	case ZYDIS_CATEGORY_NOP:
		return opcode == 0x90 && i->d.length == 1;
	default:
		return false;
	}
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
		if (is_emulated(&i, code->byte + off)) {
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

size_t hold_code__returns(const struct hold_code *code, size_t *ret, size_t cap)
{
	size_t cnt = 0, target;
	struct insn i;

	for (size_t off = 0; off < code->sz; off += i.d.length) {
		if (!decode(code, off, &i))
			return 0;
		target = target_of(&i, off);
		if (i.d.meta.category == ZYDIS_CATEGORY_RET) {
			if (cnt == cap)
				return 0;
			ret[cnt++] = off;
		} else if (i.d.meta.category != ZYDIS_CATEGORY_CALL && target != SIZE_MAX &&
			   target >= code->sz) {
			return 0; /* goes on in another function, or in a part that lies elsewhere */
		} else if (i.d.meta.category == ZYDIS_CATEGORY_UNCOND_BR && target == SIZE_MAX) {
			return 0;
		}
	}
	return cnt;
}

#else

size_t hold_code__entry(const struct hold_code *code, unsigned needs, bool *ret_stepped,
			bool *ret_tried)
{
	*ret_stepped = true;
	*ret_tried = false;
	return 0;
}

size_t hold_code__returns(const struct hold_code *code, size_t *ret, size_t cap)
{
	return 0;
}

#endif
