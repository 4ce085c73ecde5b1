// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/probe_place.h"

#if defined(__x86_64__)
#include <Zydis/Zydis.h>

#define INSNS_MAX 16

/*
 * What the kernel emulates: arch/x86/kernel/uprobes.c, push_setup_insn() (since 4.17, commit e7ed9d9bd0375) and
 * branch_setup_insn(). Prefixes other than REX.B for r8 to r15 are left to the processor here.
 */
bool probe_place__emulated(const uint8_t *code, size_t len)
{
	if (len == 2 && code[0] == 0x41)
		return code[1] >= 0x50 && code[1] <= 0x57; /* push r8…r15 */
	if (code[0] >= 0x50 && code[0] <= 0x57)
		return len == 1; /* push */
	if (code[0] == 0x90)
		return len == 1; /* nop */
	if (code[0] == 0xeb || (code[0] >= 0x70 && code[0] <= 0x7f))
		return len == 2; /* jmp, jcc */
	if (code[0] == 0xe9 || code[0] == 0xe8)
		return len == 5;					/* jmp, call */
	return len == 6 && code[0] == 0x0f && (code[1] & 0xf0) == 0x80; /* jcc */
}

/* Does it change a register that has one of these arguments? System V ABI for x86-64, 3.2.3. */
static bool spoils(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *opnd,
		   unsigned args)
{
	static const ZydisRegister regs[] = { ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_RSI,
					      ZYDIS_REGISTER_RDX, ZYDIS_REGISTER_RCX };

	for (size_t i = 0; i < insn->operand_count; i++) {
		ZydisRegister reg;

		if (opnd[i].type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(opnd[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		reg = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
						       opnd[i].reg.value);
		for (unsigned arg = 0; arg < sizeof(regs) / sizeof(regs[0]); arg++)
			if ((args & 1u << arg) && reg == regs[arg])
				return true;
	}
	return false;
}

/* Only one that goes on with the next is passed over. */
static bool goes_on(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_INTERRUPT:
		return false;
	default:
		return true;
	}
}

size_t probe_place__find(const uint8_t *code, size_t sz, unsigned args)
{
	ZydisDecodedOperand opnd[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	size_t at = 0;

	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return 0;
	for (int i = 0; i < INSNS_MAX && at < sz; i++) {
		if (!ZYAN_SUCCESS(
			    ZydisDecoderDecodeFull(&decoder, code + at, sz - at, &insn, opnd)))
			return 0;
		if (probe_place__emulated(code + at, insn.length))
			return at;
		if (!goes_on(&insn) || spoils(&insn, opnd, args))
			return 0;
		at += insn.length;
	}
	return 0;
}
#else
/* arm64 simulates few instructions (arch/arm64/kernel/probes/decode-insn.c), and none that begins a function. */
bool probe_place__emulated(const uint8_t *code, size_t len)
{
	return false;
}

size_t probe_place__find(const uint8_t *code, size_t sz, unsigned args)
{
	return 0;
}
#endif
