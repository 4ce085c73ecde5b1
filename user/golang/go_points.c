// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/util/probe_place.h"

#if defined(__x86_64__)

#include <Zydis/Zydis.h>

#define PROLOGUE_MAX  6 /* instructions up to where the frame is made */
#define RESUME_AFTER  8 /* … behind a call, among which a better place is looked for */
#define CALLERS_NAMED 32

struct insn {
	ZydisDecodedInstruction d;
	ZydisDecodedOperand opnd[ZYDIS_MAX_OPERAND_COUNT];
	size_t off;
};

static bool decode(const struct go_code *code, size_t off, struct insn *ret)
{
	ZydisDecoder decoder;

	ret->off = off;
	return off < code->sz &&
	       ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
					     ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code->byte + off, code->sz - off,
						   &ret->d, ret->opnd));
}

/* Where a direct jump or call leads. */
static bool target_of(const struct go_code *code, const struct insn *i, uint64_t *ret)
{
	if (!i->d.operand_count_visible || i->opnd[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    !i->opnd[0].imm.is_relative)
		return false;
	*ret = code->addr + i->off + i->d.length + (uint64_t)i->opnd[0].imm.value.s;
	return true;
}

static bool is_call(const struct insn *i)
{
	return i->d.meta.category == ZYDIS_CATEGORY_CALL;
}

static bool is_branch(const struct insn *i)
{
	return i->d.meta.category == ZYDIS_CATEGORY_COND_BR ||
	       i->d.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
}

static bool emulated(const struct go_code *code, const struct insn *i)
{
	return probe_place__emulated(code->byte + i->off, i->d.length);
}

static bool writes_g(const struct insn *i)
{
	for (int n = 0; n < i->d.operand_count; n++)
		if (i->opnd[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (i->opnd[n].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
						     i->opnd[n].reg.value) == ZYDIS_REGISTER_R14)
			return true;
	return false;
}

static bool is_register(const struct insn *i, int operand, ZydisRegister reg)
{
	return i->opnd[operand].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       i->opnd[operand].reg.value == reg;
}

/*
 * Is every instruction one, from the first to the last, and does none lead by a jump to behind `from` and up to `to`?
 * What is in there is passed from above, or not at all.
 */
static const char *check_ways(const struct go_code *code, size_t from, size_t to)
{
	uint64_t target;
	struct insn i;

	for (size_t off = 0; off < code->sz; off += i.d.length) {
		if (!decode(code, off, &i))
			return "the machine code of its runtime's semaphores can't be decoded";
		if (is_branch(&i) && target_of(code, &i, &target) && target - code->addr > from &&
		    target - code->addr <= to)
			return "its runtime's semaphores are built in a way that is not known";
	}
	return NULL;
}

/* cmp [r14 + stackguard0], rsp, or another register that has what is to be left of the stack. */
static bool is_stack_check(const struct insn *i)
{
	for (int n = 0; n < i->d.operand_count_visible; n++)
		if (i->d.mnemonic == ZYDIS_MNEMONIC_CMP &&
		    i->opnd[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    i->opnd[n].mem.base == ZYDIS_REGISTER_R14)
			return true;
	return false;
}

static bool is_frame_made(const struct insn *i)
{
	return i->d.mnemonic == ZYDIS_MNEMONIC_SUB && is_register(i, 0, ZYDIS_REGISTER_RSP);
}

static bool is_frame_pushed(const struct insn *i)
{
	return i->d.mnemonic == ZYDIS_MNEMONIC_PUSH && is_register(i, 0, ZYDIS_REGISTER_RBP);
}

static void set_point(const struct go_code *code, const struct insn *i, bool at_check,
		      struct go_point *ret)
{
	*ret = (struct go_point){ .addr = code->addr + i->off,
				  .at_check = at_check,
				  .stepped = !emulated(code, i) };
}

const char *go_code__entry(const struct go_code *code, struct go_point *ret)
{
	static const char unknown[] = "its runtime's semaphores do not begin as Go's functions do";
	struct insn i, check = { 0 };
	bool checked = false;
	size_t off = 0;

	for (int n = 0; n < PROLOGUE_MAX; n++, off += i.d.length) {
		if (!decode(code, off, &i))
			return unknown;
		checked |= is_stack_check(&i);
		if (i.d.mnemonic == ZYDIS_MNEMONIC_JBE && checked && !check.d.length) {
			check = i;
		} else if (check.d.length) {
			/* Next to it: the frame. */
			if (!is_frame_pushed(&i) && !is_frame_made(&i))
				return unknown;
			break;
		} else if (is_branch(&i) || is_call(&i) || writes_g(&i) || is_frame_made(&i) ||
			   is_frame_pushed(&i)) {
			return unknown;
		}
	}
	if (!check.d.length || off + i.d.length > code->sz)
		return unknown;
	if (is_frame_pushed(&i))
		set_point(code, &i, false, ret);
	else
		set_point(code, &check, true, ret);
	return check_ways(code, 0, ret->addr - code->addr);
}

/* Behind a call that ends at `after`. */
static const char *resume_at(const struct go_code *code, size_t after, struct go_point *ret)
{
	const char *wrong = check_ways(code, after - 1, after);
	size_t off = after;
	struct insn i;

	if (!wrong && !decode(code, after, &i))
		wrong = "nothing comes after a sleep in its runtime's semaphores";
	if (wrong)
		return wrong;
	set_point(code, &i, false, ret);
	for (int n = 0; n < RESUME_AFTER && decode(code, off, &i); n++, off += i.d.length) {
		if (emulated(code, &i)) {
			if (!check_ways(code, after, off))
				set_point(code, &i, false, ret);
			break;
		}
		if (is_branch(&i) || is_call(&i) || writes_g(&i) ||
		    i.d.meta.category == ZYDIS_CATEGORY_RET)
			break;
	}
	return NULL;
}

const char *go_code__resumes(const struct go_code *code, const uint64_t *callee, size_t callees,
			     struct go_point ret[GO_RESUMES_MAX], size_t *ret_cnt)
{
	const char *wrong = check_ways(code, 0, 0);
	uint64_t target;
	struct insn i;

	*ret_cnt = 0;
	for (size_t off = 0; !wrong && decode(code, off, &i); off += i.d.length) {
		if (!is_call(&i) || !target_of(code, &i, &target))
			continue;
		for (size_t n = 0; n < callees && !wrong; n++) {
			if (!callee[n] || callee[n] != target)
				continue;
			if (*ret_cnt == GO_RESUMES_MAX)
				wrong = "its runtime's semaphores sleep in too many places";
			else
				wrong = resume_at(code, off + i.d.length, &ret[(*ret_cnt)++]);
		}
	}
	return wrong;
}

bool go_code__calls(const struct go_code *code, uint64_t callee)
{
	uint64_t target;
	struct insn i;

	for (size_t off = 0; decode(code, off, &i); off += i.d.length)
		if (is_call(&i) && target_of(code, &i, &target) && target == callee)
			return true;
	return false;
}

/* ---- in a file */

struct finding {
	const struct go_binary *binary;
	uint64_t text;
	struct go_func acquire, release, park, park_unlock, dequeue;
	struct go_func caller[CALLERS_NAMED]; /* that must not have them inlined */
	size_t callers;
};

struct wanted {
	const char *name;
	size_t member;
};

static const struct wanted functions[] = {
	{ "runtime.semacquire1", offsetof(struct finding, acquire) },
	{ "runtime.semrelease1", offsetof(struct finding, release) },
	{ "runtime.gopark", offsetof(struct finding, park) },
	{ "runtime.goparkunlock", offsetof(struct finding, park_unlock) },
	{ "runtime.(*semaRoot).dequeue", offsetof(struct finding, dequeue) },
};

static void note_function(struct finding *f, const struct go_func *fn)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!strcmp(fn->name, functions[i].name)) {
			*(struct go_func *)((char *)f + functions[i].member) = *fn;
			return;
		}
	/* sync.runtime_SemacquireMutex, internal/sync.runtime_Semrelease, … and runtime.semacquire */
	if ((strstr(fn->name, "runtime_Sem") || !strcmp(fn->name, "runtime.semacquire") ||
	     !strcmp(fn->name, "runtime.semrelease")) &&
	    f->callers < CALLERS_NAMED)
		f->caller[f->callers++] = *fn;
}

static uint64_t address_of(const struct finding *f, const struct go_func *fn)
{
	return fn->name ? f->text + fn->entry : 0;
}

/* Allocates ret->byte. */
static int read_code(const struct finding *f, const struct go_func *fn, struct go_code *ret)
{
	size_t sz = fn->end - fn->entry;
	uint8_t *bytes;
	int err;

	if (!sz || sz > GO_CODE_MAX)
		return -ENOTSUP;
	bytes = malloc(sz);
	if (!bytes)
		return -ENOMEM;
	err = go_binary__read(f->binary, address_of(f, fn), bytes, sz);
	if (err) {
		free(bytes);
		return -ENOTSUP;
	}
	*ret = (struct go_code){ bytes, sz, address_of(f, fn) };
	return 0;
}

static bool offset_of(const struct elf_file *elf, uint64_t addr, uint64_t *ret)
{
	for (size_t i = 0; i < elf->phdr_cnt; i++) {
		const Elf64_Phdr *p = &elf->phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && addr >= p->p_vaddr &&
		    addr - p->p_vaddr < p->p_filesz) {
			*ret = p->p_offset + (addr - p->p_vaddr);
			return true;
		}
	}
	return false;
}

static const char *find_acquire(const struct finding *f, const struct go_code *code,
				struct go_points *ret)
{
	const uint64_t parks[] = { address_of(f, &f->park), address_of(f, &f->park_unlock) };
	const char *wrong = go_code__entry(code, &ret->acquire);

	if (!wrong)
		wrong = go_code__resumes(code, parks, 2, ret->resume, &ret->resumes);
	if (!wrong && !ret->resumes)
		wrong = "its runtime's semaphores sleep in a way that is not known";
	return wrong;
}

static const char *find_release(const struct finding *f, const struct go_code *code,
				struct go_points *ret)
{
	const char *wrong = go_code__entry(code, &ret->release);

	if (!wrong && !go_code__calls(code, address_of(f, &f->dequeue)))
		wrong = "its runtime wakes who waits for a semaphore in a way that is not known";
	return wrong;
}

/* Guided by a profile (-pgo), the compiler puts even large functions into their callers. */
static const char *check_caller(const struct finding *f, const struct go_code *code,
				struct go_points *ret)
{
	return go_code__calls(code, address_of(f, &f->park)) ||
			       (f->park_unlock.name &&
				go_code__calls(code, address_of(f, &f->park_unlock))) ||
			       go_code__calls(code, address_of(f, &f->dequeue))
		       ? "the compiler has put its runtime's semaphores into their callers"
		       : NULL;
}

typedef const char *(*code_fn)(const struct finding *f, const struct go_code *code,
			       struct go_points *ret);

static int with_code(const struct finding *f, const struct go_func *fn, code_fn find,
		     struct go_points *ret, const char **why)
{
	struct go_code code;
	const char *wrong;
	int err = read_code(f, fn, &code);

	if (err) {
		*why = "the code of its runtime's semaphores can't be read";
		return err;
	}
	wrong = find(f, &code, ret);
	free((void *)code.byte);
	if (wrong)
		*why = wrong;
	return wrong ? -ENOTSUP : 0;
}

static int set_offsets(const struct elf_file *elf, struct go_points *ret)
{
	bool all = offset_of(elf, ret->acquire.addr, &ret->acquire.off) &&
		   offset_of(elf, ret->release.addr, &ret->release.off);

	for (size_t i = 0; i < ret->resumes && all; i++)
		all = offset_of(elf, ret->resume[i].addr, &ret->resume[i].off);
	return all ? 0 : -ENOTSUP;
}

int go_points__find(const struct go_binary *b, uint64_t text, struct go_points *ret,
		    const char **why)
{
	struct finding f = { .binary = b, .text = text };
	struct go_points points = { 0 };
	struct go_func fn;
	int err;

	*why = "its runtime has no semaphores with the names that are known";
	if (!b->known)
		return -ENOTSUP;
	for (uint64_t i = 0; i < b->pclntab.funcs; i++)
		if (go_pclntab__func(&b->pclntab, i, &fn))
			note_function(&f, &fn);
	if (!f.acquire.name || !f.release.name || !f.park.name || !f.dequeue.name)
		return -ENOTSUP;
	err = with_code(&f, &f.acquire, find_acquire, &points, why);
	if (!err)
		err = with_code(&f, &f.release, find_release, &points, why);
	for (size_t i = 0; i < f.callers && !err; i++)
		err = with_code(&f, &f.caller[i], check_caller, &points, why);
	if (!err && set_offsets(b->elf, &points)) {
		*why = "the code of its runtime's semaphores is not where code is";
		err = -ENOTSUP;
	}
	points.from = address_of(&f, &f.acquire);
	points.to = points.from + (f.acquire.end - f.acquire.entry);
	if (!err)
		*ret = points;
	return err;
}

const char *go_points__missing(void)
{
	return NULL;
}

#else

const char *go_code__entry(const struct go_code *code, struct go_point *ret)
{
	return "only x86-64 code is read";
}

const char *go_code__resumes(const struct go_code *code, const uint64_t *callee, size_t callees,
			     struct go_point ret[GO_RESUMES_MAX], size_t *ret_cnt)
{
	*ret_cnt = 0;
	return "only x86-64 code is read";
}

bool go_code__calls(const struct go_code *code, uint64_t callee)
{
	return false;
}

int go_points__find(const struct go_binary *b, uint64_t text, struct go_points *ret,
		    const char **why)
{
	*why = go_points__missing();
	return -EOPNOTSUPP;
}

const char *go_points__missing(void)
{
	return "probes on Go's semaphores are known for x86-64 only";
}

#endif
