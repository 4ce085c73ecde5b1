// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64 instructions, decoded by Zydis. Everything that is not named here only counts by the registers it
 * writes, which Zydis tells for every instruction.
 */
#include "user/unwind/derive_op.h"

#if defined(__x86_64__)

#include <Zydis/Zydis.h>
#include <string.h>

#define WORD 8
/* Further than any frame: an immediate beyond is no adjustment of the stack pointer. */
#define IMM_MAX (1 << 28)
/* arch/x86/entry/syscalls/syscall_64.tbl: exit, exit_group */
#define NR_EXIT	      60
#define NR_EXIT_GROUP 231

#define MNEMONIC(name) ZYDIS_MNEMONIC_##name

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand opnd[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t vaddr;
};

bool derive_op__supported(void)
{
	return true;
}

uint16_t derive_op__call_clobbers(void)
{
	/* psABI 1.0, figure 3.4: rax, rcx, rdx, rsi, rdi, r8 to r11 */
	return 1 << 0 | 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7 | 0xf << 8;
}

/* The number of the 64-bit register that reg is, or is a part of. */
static uint8_t reg_number(ZydisRegister reg)
{
	reg = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	if (reg < ZYDIS_REGISTER_RAX || reg > ZYDIS_REGISTER_R15)
		return DERIVE_NONE;
	return reg - ZYDIS_REGISTER_RAX;
}

/* Operand n as a whole 64-bit register. */
static uint8_t reg64(const struct decoded *d, int n)
{
	const ZydisDecodedOperand *o = &d->opnd[n];

	return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size == 64 ? reg_number(o->reg.value)
								       : DERIVE_NONE;
}

static bool imm(const struct decoded *d, int n, int32_t *ret)
{
	const ZydisDecodedOperand *o = &d->opnd[n];

	if (o->type != ZYDIS_OPERAND_TYPE_IMMEDIATE || o->imm.value.s > IMM_MAX ||
	    o->imm.value.s < -IMM_MAX)
		return false;
	*ret = o->imm.value.s;
	return true;
}

/* Operand n as memory at a register and a displacement. */
static bool memory(const struct decoded *d, int n, uint8_t *ret_base, int32_t *ret_disp)
{
	const ZydisDecodedOperand *o = &d->opnd[n];

	if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.index != ZYDIS_REGISTER_NONE ||
	    o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS ||
	    d->insn.address_width != 64 || o->mem.disp.value > IMM_MAX ||
	    o->mem.disp.value < -IMM_MAX)
		return false;
	*ret_base = o->mem.base == ZYDIS_REGISTER_RIP ? DERIVE_NONE : reg_number(o->mem.base);
	*ret_disp = o->mem.disp.value;
	return *ret_base != DERIVE_NONE;
}

static bool absolute(const struct decoded *d, int n, uint64_t *ret)
{
	ZyanU64 addr;

	if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&d->insn, &d->opnd[n], d->vaddr, &addr)))
		return false;
	*ret = addr;
	return true;
}

/* What an instruction does whatever it is: registers that it writes, and the stack if it is known where. */
static void plain(const struct decoded *d, struct derive_op *op)
{
	op->kind = OP_PLAIN;
	op->kill = 0;
	for (int i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->opnd[i];
		uint8_t reg, base;
		int32_t disp;

		if (!(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			reg = reg_number(o->reg.value);
			if (reg != DERIVE_NONE)
				op->kill |= 1 << reg;
		} else if (memory(d, i, &base, &disp)) {
			op->kind = OP_STORE;
			op->dst = base;
			op->src = DERIVE_NONE;
			op->imm = disp;
			op->sz = o->size / 8;
		}
	}
}

static void stack_op(const struct decoded *d, struct derive_op *op)
{
	bool push = d->insn.mnemonic == MNEMONIC(PUSH);
	uint8_t reg = reg64(d, 0);

	op->kind = push ? OP_PUSH : OP_POP;
	op->imm = d->insn.operand_width / 8;
	op->src = op->dst = reg;
	if (push)
		return;
	if (d->opnd[0].type != ZYDIS_OPERAND_TYPE_REGISTER) {
		op->kill =
			1
			<< DERIVE_SP; /* pop into memory: nobody does, so nothing is known after it */
		return;
	}
	/* fs and gs are no registers of ours; a 16-bit pop changes a part of one that is */
	reg = reg_number(d->opnd[0].reg.value);
	if (op->dst == DERIVE_NONE && reg != DERIVE_NONE)
		op->kill = 1 << reg;
}

static void flags_op(const struct decoded *d, struct derive_op *op)
{
	op->kind = d->insn.mnemonic == MNEMONIC(PUSHFQ) ? OP_PUSH : OP_POP;
	op->imm = WORD;
	op->src = op->dst = DERIVE_NONE;
}

static void move(const struct decoded *d, struct derive_op *op)
{
	uint8_t dst = reg64(d, 0), src = reg64(d, 1), base;
	int32_t disp;

	if (dst != DERIVE_NONE && src != DERIVE_NONE) {
		*op = (struct derive_op){ .kind = OP_ADD, .dst = dst, .src = src };
	} else if (dst != DERIVE_NONE && memory(d, 1, &base, &disp)) {
		*op = (struct derive_op){ .kind = OP_LOAD, .dst = dst, .src = base, .imm = disp };
	} else if (src != DERIVE_NONE && memory(d, 0, &base, &disp)) {
		*op = (struct derive_op){
			.kind = OP_STORE, .dst = base, .src = src, .imm = disp, .sz = WORD
		};
	} else if (d->opnd[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		   d->opnd[0].type == ZYDIS_OPERAND_TYPE_REGISTER && d->opnd[0].size >= 32) {
		op->kind = OP_CONSTANT;
		op->dst = reg_number(d->opnd[0].reg.value);
		op->target = d->opnd[0].size == 32 ? (uint32_t)d->opnd[1].imm.value.u
						   : d->opnd[1].imm.value.u;
	}
}

static void lea(const struct decoded *d, struct derive_op *op)
{
	uint8_t dst = reg64(d, 0), base;
	int32_t disp;
	uint64_t target;

	if (dst == DERIVE_NONE)
		return;
	if (memory(d, 1, &base, &disp))
		*op = (struct derive_op){ .kind = OP_ADD, .dst = dst, .src = base, .imm = disp };
	else if (d->opnd[1].mem.base == ZYDIS_REGISTER_RIP && absolute(d, 1, &target))
		*op = (struct derive_op){ .kind = OP_ADDRESS, .dst = dst, .target = target };
}

static void arithmetic(const struct decoded *d, struct derive_op *op)
{
	uint8_t dst = reg64(d, 0);
	int32_t n;

	if (dst == DERIVE_NONE || !imm(d, 1, &n))
		return;
	*op = (struct derive_op){ .kind = OP_ADD, .dst = dst, .src = dst };
	op->imm = d->insn.mnemonic == MNEMONIC(SUB) ? -n : n;
}

static void exclusive_or(const struct decoded *d, struct derive_op *op)
{
	const ZydisDecodedOperand *a = &d->opnd[0], *b = &d->opnd[1];

	if (a->type == ZYDIS_OPERAND_TYPE_REGISTER && b->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    a->reg.value == b->reg.value && a->size >= 32)
		*op = (struct derive_op){ .kind = OP_ZERO, .dst = reg_number(a->reg.value) };
}

static void two_registers(const struct decoded *d, struct derive_op *op, enum derive_op_kind kind)
{
	uint8_t dst = reg64(d, 0), src = reg64(d, 1);

	if (dst == DERIVE_NONE || src == DERIVE_NONE)
		return;
	op->kind = kind;
	op->kill = 0;
	op->dst = dst;
	op->src = src;
}

/* exit and exit_group do not come back: mov $60,%eax; syscall, as assembly has it. */
static bool is_exit(const uint8_t *code, size_t sz)
{
	static const uint8_t syscall[] = { 0x0f, 0x05 };
	uint8_t nr;

	if (sz >= 7 && code[0] == 0xb8 && !code[2] && !code[3] && !code[4] &&
	    !memcmp(code + 5, syscall, sizeof(syscall)))
		nr = code[1];
	else if (sz >= 4 && code[0] == 0xb0 && !memcmp(code + 2, syscall, sizeof(syscall)))
		nr = code[1]; /* mov $60,%al after xor %eax,%eax */
	else
		return false;
	return nr == NR_EXIT || nr == NR_EXIT_GROUP;
}

static void control(const struct decoded *d, struct derive_op *op, enum derive_op_kind direct,
		    enum derive_op_kind indirect)
{
	op->target = 0;
	/* call *WORD(%rip): where the pointer is */
	if (d->opnd[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    d->opnd[0].mem.base == ZYDIS_REGISTER_RIP && !absolute(d, 0, &op->target))
		op->target = 0;
	op->kind = d->opnd[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && absolute(d, 0, &op->target)
			   ? direct
			   : indirect;
}

static void special(const struct decoded *d, struct derive_op *op)
{
	switch (d->insn.mnemonic) {
	case MNEMONIC(PUSH):
	case MNEMONIC(POP):
		op->kill = 0;
		stack_op(d, op);
		break;
	case MNEMONIC(PUSHFQ):
	case MNEMONIC(POPFQ):
		op->kill = 0;
		flags_op(d, op);
		break;
	case MNEMONIC(MOV):
		move(d, op);
		break;
	case MNEMONIC(LEA):
		lea(d, op);
		break;
	case MNEMONIC(ADD):
	case MNEMONIC(SUB):
		arithmetic(d, op);
		break;
	case MNEMONIC(XOR):
		exclusive_or(d, op);
		break;
	case MNEMONIC(CMP):
		two_registers(d, op, OP_COMPARE);
		break;
	case MNEMONIC(XCHG):
		two_registers(d, op, OP_EXCHANGE);
		break;
	case MNEMONIC(LEAVE):
		op->kill = 0;
		op->kind = OP_LEAVE;
		break;
	case MNEMONIC(SYSCALL):
		op->kill |= 1; /* rax */
		break;
	case MNEMONIC(HLT):
	case MNEMONIC(UD0):
	case MNEMONIC(UD1):
	case MNEMONIC(UD2):
	case MNEMONIC(INT3):
		op->kind = OP_STOP;
		break;
	case MNEMONIC(JZ):
		control(d, op, OP_BRANCH_EQ, OP_UNKNOWN);
		break;
	case MNEMONIC(JNZ):
		control(d, op, OP_BRANCH_NE, OP_UNKNOWN);
		break;
	default:
		break;
	}
}

/* Far calls, returns from interrupts: what never stands in user code. */
static bool is_far(const ZydisDecodedInstruction *insn)
{
	return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
	       insn->meta.category == ZYDIS_CATEGORY_SYSRET || insn->mnemonic == MNEMONIC(IRETQ) ||
	       insn->mnemonic == MNEMONIC(IRETD) || insn->mnemonic == MNEMONIC(IRET);
}

static void classify(const struct decoded *d, struct derive_op *op)
{
	plain(d, op);
	if (is_far(&d->insn)) {
		op->kind = OP_UNKNOWN;
		return;
	}
	switch (d->insn.meta.category) {
	case ZYDIS_CATEGORY_CALL:
		op->kill = 0;
		control(d, op, OP_CALL, OP_CALL_REG);
		break;
	case ZYDIS_CATEGORY_RET:
		op->kind = OP_RETURN;
		op->kill = 0;
		break;
	case ZYDIS_CATEGORY_UNCOND_BR:
		control(d, op, OP_JUMP, OP_JUMP_REG);
		break;
	case ZYDIS_CATEGORY_COND_BR:
		control(d, op, OP_BRANCH, OP_UNKNOWN);
		break;
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP:
		op->kind = OP_NOP;
		op->kill = 0;
		break;
	default:
		break;
	}
	special(d, op);
}

void derive_op__decode(const uint8_t *code, size_t sz, uint64_t vaddr, struct derive_op *ret)
{
	struct decoded d;
	ZydisDecoder decoder;

	*ret = (struct derive_op){ .kind = OP_UNKNOWN };
	if (is_exit(code, sz)) {
		ret->kind = OP_STOP;
		ret->len = code[0] == 0xb8 ? 7 : 4;
		return;
	}
	/* a few stores into a struct: not worth keeping */
	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, sz, &d.insn, d.opnd)))
		return;
	d.vaddr = vaddr;
	classify(&d, ret);
	for (int i = 0; i < d.insn.operand_count; i++)
		ret->uses_fp |= d.opnd[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
				d.opnd[i].mem.base == ZYDIS_REGISTER_RBP;
	ret->len = d.insn.length;
	if (ret->kind == OP_UNKNOWN)
		ret->len = 0;
}

#else

bool derive_op__supported(void)
{
	return false;
}

void derive_op__decode(const uint8_t *code, size_t sz, uint64_t vaddr, struct derive_op *ret)
{
	*ret = (struct derive_op){ .kind = OP_UNKNOWN };
}

uint16_t derive_op__call_clobbers(void)
{
	return 0;
}

#endif
