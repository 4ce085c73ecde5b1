// SPDX-License-Identifier: GPL-2.0-only
/* What was found, as rows and functions. */
#include "user/unwind/derive_internal.h"

#include <errno.h>
#include <stdlib.h>

/* The instruction that was reached at this offset, or NULL. */
static const struct insn *reached(const struct derive *d, uint32_t off)
{
	const struct insn *in = d->at[off] == NONE ? NULL : &d->insn[d->at[off]];

	return in && in->state != NONE ? in : NULL;
}

/* What was wrongly thought to be a function has no rows; a function in which something is wrong has bad ones. */
static bool is_dropped(const struct derive *d, const struct insn *in)
{
	return d->func[in->func].wrong && !func__is_sure(d, in->func);
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

struct funcs {
	struct cfi_func *func;
	uint32_t cnt, cap;
};

/* The instruction at [lo, hi): where instructions overlap, the later one has what both cover. */
static int add_func_code(struct funcs *f, uint32_t lo, uint32_t hi, uint32_t start)
{
	struct cfi_func *last = f->cnt ? &f->func[f->cnt - 1] : NULL;
	int err;

	if (last && last->start == start && last->hi >= lo) {
		if (last->hi < hi)
			last->hi = hi;
		return 0;
	}
	if (last && last->hi > lo)
		last->hi = lo;
	err = derive__reserve((void **)&f->func, &f->cap, f->cnt, sizeof(*f->func));
	if (!err)
		f->func[f->cnt++] = (struct cfi_func){ lo, hi, start };
	return err;
}

int derive__functions(const struct derive *d, struct cfi_func **ret, size_t *ret_cnt)
{
	struct funcs f = { 0 };
	int err = 0;

	for (size_t piece = 0; piece < d->code_cnt; piece++) {
		uint32_t rel = d->code[piece].vaddr - d->base;

		for (uint32_t i = 0; !err && i < d->code[piece].sz; i++) {
			const struct insn *in = reached(d, d->code_off[piece] + i);
			uint32_t start;

			if (!in || !in->op.len || d->func[in->func].wrong)
				continue;
			start = d->insn[d->func[in->func].insn].off;
			err = add_func_code(&f, rel + i, rel + i + in->op.len,
					    derive__to_vaddr(d, start) - d->base);
		}
	}
	if (err) {
		free(f.func);
		return err;
	}
	*ret = f.func;
	*ret_cnt = f.cnt;
	return 0;
}

bool derive__state(const struct derive *d, uint64_t vaddr, struct derive_state *ret)
{
	const struct insn *in;
	uint32_t off;

	if (!derive__to_off(d, vaddr, &off))
		return false;
	in = reached(d, off);
	if (!in || d->func[in->func].wrong)
		return false;
	*ret = d->state[in->state];
	return true;
}
