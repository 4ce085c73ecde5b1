// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target for rows from machine code: what rows promise must hold for any bytes. The first byte chooses
 * the pieces, the next four are starts, the rest is code.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -D_GNU_SOURCE \
 *		tests/fuzz/fuzz_derive.c user/unwind/derive.c user/unwind/derive_flow.c \
 *		user/unwind/derive_returns.c user/unwind/derive_rows.c user/unwind/derive_state.c \
 *		user/unwind/derive_x86_64.c user/unwind/cfi.c user/unwind/cfi_parse.c \
 *		user/unwind/cfi_exec.c user/unwind/cfi_x86_64.c -lZydis -o fuzz_derive
 *
 * A corpus worth starting from: five bytes and the .text of small programs, as objcopy -O binary
 * --only-section=.text gives it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/unwind/derive.h"
#include "user/unwind/derive_state.h"

#define BASE	 0x1000
#define STARTS	 4
#define MAX_ROWS 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_row(const struct hu_row *row)
{
	unsigned int cfa = HU_ROW_CFA(row->kind), fp = HU_ROW_FP(row->kind);

	if (!row->kind) {
		require(!row->cfa_off && !row->fp_off);
		return;
	}
	require(row->kind & HU_ROW_DERIVED);
	require(cfa == HU_CFA_SP || cfa == HU_CFA_FP || cfa == HU_CFA_END || cfa == HU_CFA_BAD);
	require(fp <= HU_FP_UNDEF);
	if (cfa == HU_CFA_END || cfa == HU_CFA_BAD)
		require(!row->cfa_off && !row->fp_off && !fp);
	if (cfa == HU_CFA_SP)
		require(row->cfa_off >= 1); /* the return address lies above sp: a walk goes on */
	if (fp == HU_FP_CFA)
		require(row->fp_off < -1);
	else
		require(!row->fp_off);
}

static void check_rows(const struct derive *d, const struct derive_input *in)
{
	const struct derive_code *last = &in->code[in->code_cnt - 1];
	struct hu_row *row = NULL;
	size_t cnt = 0;

	require(!derive__rows(d, MAX_ROWS, &row, &cnt));
	for (size_t i = 0; i < cnt; i++) {
		check_row(&row[i]);
		require(row[i].pc <= last->vaddr + last->sz - BASE);
		require(!i || row[i - 1].pc < row[i].pc);
		require(!i || row[i - 1].kind != row[i].kind ||
			row[i - 1].cfa_off != row[i].cfa_off || row[i - 1].fp_off != row[i].fp_off);
	}
	require(!cnt || !row[cnt - 1].kind);
	free(row);
}

static void check_functions(const struct derive *d)
{
	struct cfi_func *func;
	size_t cnt;

	require(!derive__functions(d, &func, &cnt));
	for (size_t i = 0; i < cnt; i++) {
		require(func[i].lo < func[i].hi);
		require(!i || func[i - 1].hi <= func[i].lo);
	}
	free(func);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	struct derive_start start[STARTS];
	struct derive_code code[2];
	static const uint64_t noreturn[] = { BASE + 8, BASE + 100000 };
	struct derive_input in = { code, 1, start, STARTS, BASE, data[0] & 4, noreturn, 2 };
	struct derive_state state;
	struct derive *d;
	size_t half;

	if (sz < 1 + STARTS + 2 || sz > MAX_ROWS)
		return 0;
	for (int i = 0; i < STARTS; i++)
		start[i] = (struct derive_start){ .vaddr = BASE + data[1 + i],
						  .sz = data[0] & 8 ? data[1 + i] : 0,
						  .trust = i ? 1 + i % 3 : DERIVE_SURE };
	code[0] = (struct derive_code){ data + 1 + STARTS, BASE, sz - 1 - STARTS };
	if (data[0] & 1) { /* two pieces, with a hole between them or not */
		half = code[0].sz / 2;
		code[1] = (struct derive_code){ code[0].data + half,
						BASE + half + (data[0] & 2 ? 16 : 0),
						code[0].sz - half };
		code[0].sz = half;
		in.code_cnt = 2;
	}
	if (derive__new(&in, &d))
		return 0;
	check_rows(d, &in);
	check_functions(d);
	for (int i = 0; i < STARTS; i++)
		derive__state(d, start[i].vaddr, &state);
	derive__free(d);
	return 0;
}
