// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target for the CFI parser and interpreter: what rows promise must hold for any bytes.
 * The first byte chooses how the section is presented, the rest is the section.
 */
#include <errno.h>

#include "tests/fuzz/check.h"
#include "user/unwind/cfi.h"

#define MAX_ROWS 4096

static void check_row(const struct hu_row *row, uint16_t machine)
{
	unsigned int cfa = HU_ROW_CFA(row->kind), fp = HU_ROW_FP(row->kind);

	CHECK(!(row->kind & HU_ROW_DERIVED) && cfa <= HU_CFA_RA_REG);
	CHECK(machine == EM_AARCH64 ? fp != HU_FP_REL : fp <= HU_FP_REL);
	if (cfa == HU_CFA_GAP || cfa == HU_CFA_BAD || cfa == HU_CFA_END || cfa == HU_CFA_SIGNAL)
		CHECK(!row->cfa_off && !row->fp_off && !fp);
	if (machine == EM_AARCH64)
		CHECK(cfa <= HU_CFA_FP || cfa == HU_CFA_BAD);
	if (cfa == HU_CFA_PLT)
		CHECK(row->cfa_off == 10 || row->cfa_off == 11);
	if (cfa == HU_CFA_RA_REG)
		CHECK(row->fp_off == 5 && !row->cfa_off && !fp);
}

static void check_table(const struct cfi_table *t, uint16_t machine)
{
	uint64_t bad = 0;
	size_t i;

	CHECK(t->cnt <= MAX_ROWS && t->stats.rows >= t->cnt);
	for (i = 0; i < t->cnt; i++) {
		const struct hu_row *row = &t->row[i];

		check_row(row, machine);
		bad += (row->kind & 15) == HU_CFA_BAD;
		CHECK(cfi__find(t, row->pc) == row);
		if (!i)
			continue;
		CHECK(row[-1].pc < row->pc);
		CHECK(cfi__find(t, row->pc - 1) == row - 1);
		CHECK(row[-1].kind != row->kind || row[-1].cfa_off != row->cfa_off ||
		      row[-1].fp_off != row->fp_off);
	}
	CHECK(bad <= t->stats.unsupported);
	if (t->cnt) /* the end of the last FDE is the end of what we know */
		CHECK((t->row[t->cnt - 1].kind & 15) == HU_CFA_GAP);
	CHECK(!t->cnt || !t->row[0].pc || !cfi__find(t, t->row[0].pc - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	struct cfi_section sec[2] = { 0 };
	struct cfi_table *t;
	int err;

	if (!sz)
		return 0;
	sec[0].data = data + 1;
	sec[0].sz = sz - 1;
	sec[0].debug_frame = data[0] & 1;
	sec[0].vaddr = data[0] & 2 ? 0x200000 : 0;
	sec[0].machine = data[0] & 64 ? EM_AARCH64 : EM_X86_64;
	sec[0].data_base = data[0] & 4 ? 0x300000 : 0;
	if (data[0] & 8) {
		sec[0].text_lo = 0x1000;
		sec[0].text_hi = 0x1000000;
	}
	/* the same bytes once more, as the other kind of section */
	sec[1] = sec[0];
	sec[1].debug_frame = !sec[0].debug_frame;
	err = cfi__build(sec, data[0] & 16 ? 2 : 1, data[0] & 32 ? 0x1000 : 0, MAX_ROWS, &t);
	if (err) {
		CHECK(err == -E2BIG);
		return 0;
	}
	check_table(t, sec[0].machine);
	cfi__free(t);
	return 0;
}
