// SPDX-License-Identifier: GPL-2.0-only
/* Derived rows, into the table of those that the file has. */
#include <errno.h>
#include <stdlib.h>

#include "user/unwind/derive_file.h"

/*
 * Bytes of code without CFI in one module; musl's libc has 0.4 MiB. Beyond, it takes too long for those who wait
 * meanwhile: V8's builtins in node (2.3 MiB, 0.3 s) keep frame pointers anyway.
 */
#define FILL_MAX (1U << 20)

struct merge {
	struct hu_row *row;
	size_t cnt;
};

/* Rows come by pc; the later of two for one pc counts. There is room for all. */
static void append(struct merge *m, struct hu_row row)
{
	const struct hu_row *last;

	if (m->cnt && m->row[m->cnt - 1].pc == row.pc)
		m->cnt--;
	last = m->cnt ? &m->row[m->cnt - 1] : NULL;
	if (last && last->kind == row.kind && last->cfa_off == row.cfa_off &&
	    last->fp_off == row.fp_off)
		return;
	m->row[m->cnt++] = row;
}

/* Derived rows lie in gaps only, and each piece of them ends with a gap. */
static int merge(struct cfi_table *t, const struct hu_row *more, size_t more_cnt, size_t max_rows)
{
	struct merge m = { .row = malloc((t->cnt + more_cnt + 1) * sizeof(*m.row)) };
	size_t i = 0, k = 0;

	if (!m.row)
		return -ENOMEM;
	while (i < t->cnt || k < more_cnt) {
		if (k == more_cnt || (i < t->cnt && t->row[i].pc <= more[k].pc)) {
			/* where CFI begins, the gap of what was derived before it ends */
			if (k < more_cnt && t->row[i].pc == more[k].pc &&
			    HU_ROW_CFA(t->row[i].kind) != HU_CFA_GAP)
				k++;
			append(&m, t->row[i++]);
		} else {
			append(&m, more[k++]);
		}
	}
	if (m.cnt > max_rows) {
		free(m.row);
		return -E2BIG;
	}
	free(t->row);
	t->row = m.row;
	t->cnt = m.cnt;
	return 0;
}

struct derive_input derive_file__input(const struct derive_file *f, uint64_t base)
{
	return (struct derive_input){ .code = f->code,
				      .code_cnt = f->code_cnt,
				      .start = f->start,
				      .start_cnt = f->start_cnt,
				      .base = base,
				      .fixed = f->fixed,
				      .noreturn = f->noreturn,
				      .noreturn_cnt = f->noreturn_cnt };
}

int derive_file__fill(Elf *elf, int fd, size_t max_rows, struct cfi_table *t)
{
	struct derive_file f = { 0 };
	struct cfi_func *func = NULL;
	struct hu_row *row = NULL;
	struct derive *d = NULL;
	size_t cnt = 0, func_cnt = 0;
	int err = derive_file__read(elf, fd, t, &f);

	if (err)
		return err;
	if (f.start_cnt && f.code_sz <= FILL_MAX) {
		struct derive_input in = derive_file__input(&f, t->base);

		err = derive__new(&in, &d);
		if (!err)
			err = derive__rows(d, max_rows, &row, &cnt);
		if (!err)
			err = derive__functions(d, &func, &func_cnt);
		if (!err && cnt)
			err = merge(t, row, cnt, max_rows);
	}
	if (err) {
		free(func);
	} else {
		t->func = func;
		t->func_cnt = func_cnt;
	}
	free(row);
	derive__free(d);
	derive_file__free(&f);
	return err;
}
