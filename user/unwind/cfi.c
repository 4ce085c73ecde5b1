// SPDX-License-Identifier: GPL-2.0-only
/*
 * CIEs and FDEs, sorted, and the rows they make.
 *
 * Two walks over each section: the CIEs first, since in .debug_frame an FDE may stand before its
 * CIE, then the FDEs, which find theirs by binary search. No list of entries is walked for each
 * entry.
 */
#include "user/unwind/cfi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/unwind/cfi_parse.h"

#define CIES_MAX (1u << 18) /* of a section; there is one for each unit at most */

struct source {
	const struct cfi_section *sec;
	struct cfi_ptr_base base;
	struct cfi_cie *cie; /* by offset */
	size_t cnt, cap;
};

struct builder {
	const struct cfi_arch *arch;
	struct source src[CFI_MAX_SECTIONS];
	size_t src_cnt;
	uint64_t base;
	size_t max_rows;
	struct cfi_fde *fde;
	size_t fde_cnt, fde_cap;
	size_t row_cap;
	const struct cfi_fde *cur; /* the FDE whose rows are made */
	struct cfi_table *t;
	int err; /* why emitting ended: -ENOMEM or -E2BIG */
};

/* Room for one more in an array that doubles; false: out of memory. */
static bool reserve(void **array, size_t *cap, size_t cnt, size_t elem_sz)
{
	size_t want;
	void *p;

	if (cnt < *cap)
		return true;
	want = *cap ? *cap * 2 : 64;
	p = reallocarray(*array, want, elem_sz);
	if (!p)
		return false;
	*array = p;
	*cap = want;
	return true;
}

static int collect_cies(struct builder *b, struct source *src)
{
	uint64_t off = 0;
	struct cfi_entry e;
	bool ok;

	while (cfi_entry__next(src->sec, &off, &e, &ok)) {
		if (!ok) {
			b->t->stats.malformed++;
			continue;
		}
		if (!e.is_cie)
			continue;
		if (src->cnt == CIES_MAX)
			return -E2BIG;
		if (!reserve((void **)&src->cie, &src->cap, src->cnt, sizeof(*src->cie)))
			return -ENOMEM;
		b->t->stats.cies++;
		if (!cfi_cie__parse(&e, &src->base, b->arch, &src->cie[src->cnt++]))
			b->t->stats.malformed++;
	}
	return 0;
}

static int compare_cie(const void *key, const void *elem)
{
	uint64_t off = *(const uint64_t *)key;
	const struct cfi_cie *cie = elem;

	return off < cie->off ? -1 : off > cie->off;
}

/* hint: that of the FDE before, mostly the right one */
static const struct cfi_cie *find_cie(const struct source *src, uint64_t off,
				      const struct cfi_cie *hint)
{
	if (hint && hint->off == off)
		return hint;
	if (!src->cnt)
		return NULL;
	return bsearch(&off, src->cie, src->cnt, sizeof(*src->cie), compare_cie);
}

/* The addresses must lie in the text, if that is known, and be 32-bit offsets from the base. */
static bool in_text(const struct builder *b, const struct cfi_section *sec,
		    const struct cfi_fde *fde)
{
	if (sec->text_hi && (fde->start < sec->text_lo || fde->end > sec->text_hi))
		return false;
	return fde->start >= b->base && fde->end - b->base <= UINT32_MAX;
}

static int collect_fdes(struct builder *b, const struct source *src)
{
	const struct cfi_cie *cie = NULL;
	uint64_t off = 0;
	struct cfi_entry e;
	bool ok;

	while (cfi_entry__next(src->sec, &off, &e, &ok)) {
		struct cfi_fde *fde;

		if (!ok || e.is_cie)
			continue; /* counted by collect_cies() */
		if (b->fde_cnt == b->max_rows)
			return -E2BIG;
		if (!reserve((void **)&b->fde, &b->fde_cap, b->fde_cnt, sizeof(*b->fde)))
			return -ENOMEM;
		b->t->stats.fdes++;
		cie = find_cie(src, e.cie_off, cie);
		fde = &b->fde[b->fde_cnt];
		if (cfi_fde__parse(&e, cie, &src->base, fde) && in_text(b, src->sec, fde))
			b->fde_cnt++;
		else
			b->t->stats.malformed++;
	}
	return 0;
}

/* base and prog grow in the order of the sections and in them: the result is not up to qsort. */
static int compare_fde(const void *a, const void *b)
{
	const struct cfi_fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	return x->prog < y->prog ? -1 : x->prog > y->prog;
}

static void sort_fdes(struct builder *b)
{
	size_t i;

	for (i = 1; i < b->fde_cnt; i++) {
		if (compare_fde(&b->fde[i - 1], &b->fde[i]) > 0) {
			qsort(b->fde, b->fde_cnt, sizeof(*b->fde), compare_fde);
			return;
		}
	}
}

/* ---- Rows */

/* Rows come in the order of their pcs, never two for one. */
static bool add_row(struct builder *b, const struct hu_row *row)
{
	struct cfi_table *t = b->t;
	const struct hu_row *last = t->cnt ? &t->row[t->cnt - 1] : NULL;

	t->stats.rows++;
	if (last && last->kind == row->kind && last->cfa_off == row->cfa_off &&
	    last->fp_off == row->fp_off)
		return true;
	if (t->cnt == b->max_rows)
		b->err = -E2BIG;
	else if (!reserve((void **)&t->row, &b->row_cap, t->cnt, sizeof(*row)))
		b->err = -ENOMEM;
	else
		t->row[t->cnt++] = *row;
	return !b->err;
}

static bool emit_row(void *ctx, uint64_t pc, const struct cfi_state *s)
{
	struct builder *b = ctx;
	struct hu_row row = { .pc = pc - b->base };

	if (!b->arch->row(s, b->cur->cie->signal_frame, &row))
		b->t->stats.unsupported++;
	return add_row(b, &row);
}

static bool add_kind(struct builder *b, uint64_t pc, enum hu_row_cfa kind)
{
	struct hu_row row = { .pc = pc - b->base, .kind = kind };

	if (kind == HU_CFA_BAD)
		b->t->stats.unsupported++;
	return add_row(b, &row);
}

/* The rows of fde up to end, which is at most fde->end. */
static int fde_rows(struct builder *b, const struct cfi_fde *fde, uint64_t end)
{
	struct cfi_program prog = {
		.cie = fde->cie, .base = fde->base, .start = fde->start, .end = end
	};
	struct cfi_reader r = { .p = fde->prog, .end = fde->prog_end };
	struct cfi_state s = fde->cie->init;
	uint64_t pc = fde->start;
	int err;

	if (!fde->cie->usable) {
		b->t->stats.malformed++;
		add_kind(b, pc, HU_CFA_BAD);
		return b->err;
	}
	b->cur = fde;
	err = cfi_program__run(&prog, &r, &s, emit_row, b, &pc);
	if (err == -EINVAL) {
		b->t->stats.malformed++;
		add_kind(b, pc, HU_CFA_BAD);
	}
	return b->err;
}

static int make_rows(struct builder *b)
{
	uint64_t end;
	size_t i;
	int err;

	for (i = 0; i < b->fde_cnt; i++) {
		const struct cfi_fde *fde = &b->fde[i], *next = i + 1 < b->fde_cnt ? fde + 1 : NULL;

		end = next && next->start < fde->end ? next->start : fde->end;
		if (end == fde->start)
			continue; /* another one starts at the same pc */
		err = fde_rows(b, fde, end);
		if (err)
			return err;
		if ((!next || end < next->start) && !add_kind(b, end, HU_CFA_GAP))
			return b->err;
	}
	return 0;
}

static int build(struct builder *b)
{
	size_t i;
	int err;

	for (i = 0; i < b->src_cnt; i++) {
		err = collect_cies(b, &b->src[i]);
		if (!err)
			err = collect_fdes(b, &b->src[i]);
		if (err)
			return err;
	}
	sort_fdes(b);
	return make_rows(b);
}

const struct cfi_arch *cfi_arch__of(uint16_t machine)
{
	static const struct cfi_arch *const known[] = { &cfi_arch_x86_64, &cfi_arch_arm64 };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i]->machine == machine)
			return known[i];
	return NULL;
}

int cfi__build(const struct cfi_section *sec, size_t cnt, uint64_t base, size_t max_rows,
	       struct cfi_table **ret)
{
	struct builder b = { .src_cnt = cnt, .base = base, .max_rows = max_rows };
	size_t i;
	int err;

	b.arch = cfi_arch__of(cnt && sec[0].machine ? sec[0].machine : CFI_MACHINE);
	if (!b.arch || cnt > CFI_MAX_SECTIONS)
		return -EINVAL;
	b.t = calloc(1, sizeof(*b.t));
	if (!b.t)
		return -ENOMEM;
	b.t->base = base;
	for (i = 0; i < cnt; i++) {
		b.src[i].sec = &sec[i];
		b.src[i].base = (struct cfi_ptr_base){ .data = sec[i].data,
						       .vaddr = sec[i].vaddr,
						       .data_base = sec[i].data_base };
	}
	err = build(&b);
	for (i = 0; i < cnt; i++)
		free(b.src[i].cie);
	free(b.fde);
	if (err) {
		cfi__free(b.t);
		return err;
	}
	*ret = b.t;
	return 0;
}

/* Says kind of [addr, addr + len), if no FDE speaks of addr, and up to the next one that begins in it. */
static int mark_gap(struct cfi_table *t, uint64_t addr, uint32_t len, enum hu_row_cfa kind)
{
	const struct hu_row *found;
	struct hu_row *more;
	uint32_t pc = addr - t->base;
	size_t at;

	if (addr < t->base || addr - t->base > UINT32_MAX - len)
		return 0;
	found = cfi__find(t, pc);
	if (found && HU_ROW_CFA(found->kind) != HU_CFA_GAP)
		return 0;
	at = found ? found - t->row + 1 : 0;
	more = realloc(t->row, (t->cnt + 2) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->row = more;
	if (at && more[at - 1].pc == pc)
		at--; /* its own gap row gives way */
	else
		memmove(&more[at + 1], &more[at], (t->cnt++ - at) * sizeof(*more));
	more[at] = (struct hu_row){ .pc = pc, .kind = kind };
	if (at + 1 < t->cnt && more[at + 1].pc <= pc + len)
		return 0;
	memmove(&more[at + 2], &more[at + 1], (t->cnt++ - at - 1) * sizeof(*more));
	more[at + 1] = (struct hu_row){ .pc = pc + len, .kind = HU_CFA_GAP };
	return 0;
}

/* Longer than any _start, shorter than what linkers leave between it and the next function. */
#define ENTRY_SZ 32

int cfi__mark_entry(struct cfi_table *t, uint64_t entry)
{
	return mark_gap(t, entry, ENTRY_SZ, HU_CFA_END);
}

int cfi__mark_sigreturn(uint16_t machine, struct cfi_table *t, const uint8_t *text, size_t sz,
			uint64_t vaddr)
{
	const struct cfi_arch *arch = cfi_arch__of(machine);
	size_t off;

	if (!arch || !arch->sigreturn_sz)
		return 0;
	for (off = 4; off + arch->sigreturn_sz <= sz; off += 4)
		if (!memcmp(text + off, arch->sigreturn, arch->sigreturn_sz))
			return mark_gap(t, vaddr + off - 4, arch->sigreturn_sz + 4, HU_CFA_SIGNAL);
	return 0;
}

void cfi__free(struct cfi_table *t)
{
	if (!t)
		return;
	free(t->row);
	free(t->func);
	free(t);
}

const struct hu_row *cfi__find(const struct cfi_table *t, uint32_t pc)
{
	size_t lo = 0, hi = t->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->row[mid].pc <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &t->row[lo - 1] : NULL;
}
