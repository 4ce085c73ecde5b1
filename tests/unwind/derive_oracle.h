/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file's call frame information as the judge of what is derived from its machine code: for compare_derive
 * and the unit tests. Static functions, as a header for two programs.
 */
#ifndef HOLDUP_TESTS_DERIVE_ORACLE_H
#define HOLDUP_TESTS_DERIVE_ORACLE_H

#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <unistd.h>

#include "user/unwind/cfi.h"
#include "user/unwind/derive.h"
#include "user/unwind/derive_file.h"
#include "user/unwind/derive_op.h"
#include "user/unwind/derive_state.h"

struct derive_sum {
	uint64_t insns; /* that CFI covers, as far as they could be told apart */
	uint64_t same, bad, missed, wrong;
	uint64_t wrong_cfa, wrong_fp, wrong_end; /* why */
	uint64_t outside;			 /* reached, but without CFI */
	struct derive_stats stats;
};

static inline void derive_sum__add(struct derive_sum *s, const struct derive_sum *one)
{
	s->insns += one->insns;
	s->same += one->same;
	s->bad += one->bad;
	s->missed += one->missed;
	s->wrong += one->wrong;
	s->wrong_cfa += one->wrong_cfa;
	s->wrong_fp += one->wrong_fp;
	s->wrong_end += one->wrong_end;
	s->outside += one->outside;
}

static inline bool oracle__cfa_agrees(const struct derive_state *s, const struct hu_row *cfi)
{
	int32_t reg = s->reg[HU_ROW_CFA(cfi->kind) == HU_CFA_SP ? DERIVE_SP : DERIVE_FP];

	/* CFI may use a register that the derivation knows nothing of, and the row the other one. */
	return !value__is_off(reg) || -(int64_t)reg == cfi->cfa_off * 8;
}

/*
 * Does the row's rule for the frame pointer give the value that CFI's does? Both "saved" and "unchanged" are right
 * after push; nothing said is not wrong.
 */
static inline bool oracle__fp_agrees(const struct derive_state *s, const struct hu_row *row,
				     const struct hu_row *cfi)
{
	unsigned int ours = HU_ROW_FP(row->kind), theirs = HU_ROW_FP(cfi->kind);

	if (ours == HU_FP_UNDEF || theirs == HU_FP_UNDEF)
		return true;
	if (ours == theirs)
		return row->fp_off == cfi->fp_off;
	if (theirs == HU_FP_SAME)
		return s->reg[DERIVE_FP] == VALUE_CALLER_FP;
	for (int i = 0; i < DERIVE_SLOTS; i++)
		if (theirs == HU_FP_CFA && s->slot[i].value == VALUE_CALLER_FP &&
		    s->slot[i].off == cfi->fp_off * 8)
			return true;
	/* compilers do not say that it was popped: the word below sp is still what it was */
	if (theirs == HU_FP_CFA && ours == HU_FP_SAME && value__is_off(s->reg[DERIVE_SP]) &&
	    cfi->fp_off * 8 < s->reg[DERIVE_SP])
		return true;
	return theirs == HU_FP_REL; /* relative to what rows of ours can't say */
}

static inline void oracle__judge(const struct derive_state *s, const struct hu_row *row,
				 const struct hu_row *cfi, struct derive_sum *sum)
{
	unsigned int cfa = HU_ROW_CFA(cfi->kind);

	if (HU_ROW_CFA(row->kind) == HU_CFA_BAD)
		sum->bad++;
	else if ((HU_ROW_CFA(row->kind) == HU_CFA_END) != (cfa == HU_CFA_END))
		sum->wrong++, sum->wrong_end++;
	else if (cfa != HU_CFA_SP && cfa != HU_CFA_FP)
		sum->same++; /* an end on both sides, or nothing to compare with */
	else if (!oracle__cfa_agrees(s, cfi))
		sum->wrong++, sum->wrong_cfa++;
	else if (!oracle__fp_agrees(s, row, cfi))
		sum->wrong++, sum->wrong_fp++;
	else
		sum->same++;
}

static inline const struct hu_row *oracle__find(const struct hu_row *row, size_t cnt, uint32_t pc)
{
	const struct cfi_table t = { .row = (struct hu_row *)row, .cnt = cnt };

	return cfi__find(&t, pc);
}

/* Each instruction of the file in a row, from where CFI begins; what the decoder can't read is skipped. */
static inline void oracle__walk(const struct derive *d, const struct derive_file *f,
				const struct cfi_table *t, const char *path, unsigned int show,
				const struct hu_row *rows, size_t rows_cnt, struct derive_sum *sum)
{
	for (size_t i = 0; i < f->code_cnt; i++) {
		const struct derive_code *c = &f->code[i];
		struct derive_op op;

		for (size_t at = 0; at < c->sz; at += op.len ? op.len : 1) {
			uint64_t vaddr = c->vaddr + at, wrong = sum->wrong;
			const struct hu_row *cfi = cfi__find(t, vaddr - t->base);
			const struct hu_row *row = oracle__find(rows, rows_cnt, vaddr - t->base);
			struct derive_state s;

			derive_op__decode(c->data + at, c->sz - at, vaddr, &op);
			if (!cfi || HU_ROW_CFA(cfi->kind) == HU_CFA_GAP ||
			    HU_ROW_CFA(cfi->kind) == HU_CFA_BAD) {
				sum->outside += row && row->kind;
				continue;
			}
			sum->insns++;
			if (!row || !row->kind) {
				sum->missed++;
				continue;
			}
			if (!derive__state(d, vaddr, &s))
				sum->bad++;
			else
				oracle__judge(&s, row, cfi, sum);
			if (sum->wrong != wrong && sum->wrong <= show)
				fprintf(stderr,
					"%s: 0x%llx: kind 0x%x cfa_off %d fp_off %d, CFI says "
					"0x%x %d %d\n",
					path, (unsigned long long)vaddr, row->kind, row->cfa_off,
					row->fp_off, cfi->kind, cfi->cfa_off, cfi->fp_off);
		}
	}
}

static inline int oracle__run(Elf *elf, int fd, const struct cfi_table *t, const char *path,
			      unsigned int show, struct derive_sum *sum)
{
	const struct cfi_table nothing = { .base = t->base };
	struct derive_file f;
	struct derive_input in;
	struct hu_row *rows = NULL;
	struct derive *d;
	size_t cnt = 0;
	int err = derive_file__read(elf, fd, &nothing, &f);

	if (err)
		return err;
	/* The loader and the kernel enter without a caller; what the CFI there says is the compiler's view. */
	for (size_t i = 0; i < f.start_cnt; i++) {
		const struct hu_row *cfi = cfi__find(t, f.start[i].vaddr - t->base);

		if (f.start[i].trust == DERIVE_ENTRY &&
		    (!cfi || HU_ROW_CFA(cfi->kind) != HU_CFA_END))
			f.start[i].trust = DERIVE_SURE;
	}
	in = derive_file__input(&f, t->base);
	err = derive__new(&in, &d);
	if (!err) {
		err = derive__rows(d, SIZE_MAX, &rows, &cnt);
		derive__stats(d, &sum->stats);
		if (!err)
			oracle__walk(d, &f, t, path, show, rows, cnt, sum);
		derive__free(d);
	}
	free(rows);
	derive_file__free(&f);
	return err;
}

/*
 * Adds one file to *sum; the first `show` that are wrong are printed. -ENOENT: it has no CFI; -E2BIG: too
 * much code; others as cfi__build_file().
 */
static inline int derive_oracle__compare(const char *path, unsigned int show,
					 struct derive_sum *sum)
{
	struct cfi_table *t;
	Elf *elf;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = cfi__build_file(fd, 16U << 20, &t);
	if (!err) {
		/* only what compilers said is the judge */
		for (size_t i = 0; i < t->cnt; i++)
			if (t->row[i].kind & HU_ROW_DERIVED)
				t->row[i].kind = HU_CFA_GAP;
		elf = elf_begin(fd, ELF_C_READ, NULL);
		err = oracle__run(elf, fd, t, path, show, sum);
		elf_end(elf);
		cfi__free(t);
	}
	close(fd);
	return err;
}

#endif
