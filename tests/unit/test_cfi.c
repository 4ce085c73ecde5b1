// SPDX-License-Identifier: GPL-2.0-only
/* user/unwind/cfi*.c: hand-made sections, the C library against libdw, and broken bytes. x86-64. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unwind/libdw_row.h"
#include "user/unwind/cfi.h"

#define VADDR	 0x200000 /* of the section */
#define START	 0x1000	  /* of the usual FDE */
#define LEN	 0x100
#define MAX_ROWS 1000
#define FP(kind) ((kind) << 4)

/* ---- Making sections */

struct bytes {
	uint8_t b[8192];
	size_t n;
};

static void put(struct bytes *o, uint64_t v, size_t sz)
{
	assert_true(o->n + sz <= sizeof(o->b));
	memcpy(o->b + o->n, &v, sz);
	o->n += sz;
}

static void put_mem(struct bytes *o, const void *p, size_t sz)
{
	assert_true(o->n + sz <= sizeof(o->b));
	memcpy(o->b + o->n, p, sz);
	o->n += sz;
}

static void put_uleb(struct bytes *o, uint64_t v)
{
	do {
		put(o, (v & 0x7f) | (v > 0x7f ? 0x80 : 0), 1);
		v >>= 7;
	} while (v);
}

/* Ten bytes are always enough, and each but the last says that more follow. */
static void put_sleb(struct bytes *o, int64_t v)
{
	int i;

	for (i = 0; i < 9; i++, v >>= 7)
		put(o, (v & 0x7f) | 0x80, 1);
	put(o, v & 0x7f, 1);
}

struct format {
	bool debug_frame, is_64bit;
	uint8_t version, enc;
	const char *aug;      /* the default is "zR" with enc */
	struct bytes augdata; /* when aug is set */
	int data_align;
	const struct bytes *init;
};

/* Returns where the length field is; close_entry() fills it in. */
static size_t open_entry(struct bytes *o, bool is_64bit)
{
	size_t at = o->n;

	if (is_64bit)
		put(o, 0xffffffff, 4);
	put(o, 0, is_64bit ? 8 : 4);
	return at;
}

static void close_entry(struct bytes *o, size_t at, bool is_64bit)
{
	size_t body = at + (is_64bit ? 12 : 4);
	uint64_t len;

	while (o->n % 4)
		put(o, DW_CFA_nop, 1);
	len = o->n - body;
	memcpy(o->b + body - (is_64bit ? 8 : 4), &len, is_64bit ? 8 : 4);
}

static size_t put_cie(struct bytes *o, const struct format *f)
{
	static const uint8_t usual[] = { DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1 };
	const char *aug = f->aug ? f->aug : f->debug_frame ? "" : "zR";
	size_t at = open_entry(o, f->is_64bit);

	put(o, f->debug_frame ? UINT64_MAX : 0, f->debug_frame && f->is_64bit ? 8 : 4);
	put(o, f->version ? f->version : 1, 1);
	put_mem(o, aug, strlen(aug) + 1);
	if (f->version == 4)
		put(o, 8, 2); /* address size 8, segment selector size 0 */
	put_uleb(o, 1);
	put_sleb(o, f->data_align ? f->data_align : -8);
	put_uleb(o, 16);
	if (f->aug && f->aug[0] == 'z') {
		put_uleb(o, f->augdata.n);
		put_mem(o, f->augdata.b, f->augdata.n);
	} else if (aug[0] == 'z') {
		put_uleb(o, 1);
		put(o, f->enc, 1);
	}
	if (f->init)
		put_mem(o, f->init->b, f->init->n);
	else
		put_mem(o, usual, sizeof(usual));
	close_entry(o, at, f->is_64bit);
	return at;
}

static void put_pointer(struct bytes *o, uint8_t enc, uint64_t v, uint64_t data_base)
{
	if ((enc & 0x70) == DW_EH_PE_aligned) {
		while (o->n % 8)
			put(o, 0, 1);
		put(o, v, 8);
		return;
	}
	if ((enc & 0x70) == DW_EH_PE_pcrel)
		v -= VADDR + o->n;
	if ((enc & 0x70) == DW_EH_PE_datarel)
		v -= data_base;
	switch (enc & 0x0f) {
	case DW_EH_PE_uleb128:
		put_uleb(o, v);
		break;
	case DW_EH_PE_sleb128:
		put_sleb(o, (int64_t)v);
		break;
	case DW_EH_PE_udata2:
	case DW_EH_PE_sdata2:
		put(o, v, 2);
		break;
	case DW_EH_PE_udata4:
	case DW_EH_PE_sdata4:
		put(o, v, 4);
		break;
	default:
		put(o, v, 8);
	}
}

#define DATA_BASE 0x3000

static void put_fde(struct bytes *o, const struct format *f, size_t cie, uint64_t start,
		    uint64_t len, const void *prog, size_t prog_sz)
{
	uint8_t enc = f->debug_frame ? DW_EH_PE_absptr : f->enc;
	size_t at = open_entry(o, f->is_64bit);

	if (f->debug_frame)
		put(o, cie, f->is_64bit ? 8 : 4);
	else
		put(o, o->n - cie, 4);
	put_pointer(o, enc, start, DATA_BASE);
	put_pointer(o, enc & 0x0f, len, 0);
	if (f->debug_frame ? f->aug && f->aug[0] == 'z' : !f->aug || f->aug[0] == 'z')
		put_uleb(o, 0);
	put_mem(o, prog, prog_sz);
	close_entry(o, at, f->is_64bit);
}

static const struct format usual = { .enc = DW_EH_PE_pcrel | DW_EH_PE_sdata4 };

static struct cfi_table *build_sz(const struct bytes *o, bool debug_frame, size_t max_rows,
				  int want)
{
	/* a copy of its own, so that the sanitizer sees a read behind its end */
	uint8_t *copy = malloc(o->n ? o->n : 1);
	struct cfi_section sec = {
		.sz = o->n, .vaddr = VADDR, .debug_frame = debug_frame, .data_base = DATA_BASE
	};
	struct cfi_table *t = NULL;

	assert_non_null(copy);
	sec.data = memcpy(copy, o->b, o->n);
	assert_int_equal(cfi__build(&sec, 1, 0, max_rows, &t), want);
	assert_true(want ? !t : !!t);
	free(copy);
	return t;
}

static struct cfi_table *build(const struct bytes *o, bool debug_frame)
{
	return build_sz(o, debug_frame, MAX_ROWS, 0);
}

static void expect_rows(const char *what, const struct cfi_table *t, const struct hu_row *row,
			size_t cnt)
{
	size_t i;

	for (i = 0; i < t->cnt || i < cnt; i++) {
		if (i < t->cnt && i < cnt && !memcmp(&t->row[i], &row[i], sizeof(*row)))
			continue;
		for (i = 0; i < t->cnt; i++)
			print_message("  { 0x%x, %d, 0x%x, %d }\n", t->row[i].pc, t->row[i].cfa_off,
				      t->row[i].kind, t->row[i].fp_off);
		fail_msg("%s: wrong rows, the above", what);
	}
}

/* ---- Instructions */

#define B(...) { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ })
#define END_GAP                               \
	{                                     \
		START + LEN, 0, HU_CFA_GAP, 0 \
	}
#define SP8                            \
	{                              \
		START, 1, HU_CFA_SP, 0 \
	}

/* ops of one byte each, the offsets too */
#define PLT(lit)                                                                                \
	DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, \
		lit, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus

static const struct {
	const char *what;
	uint8_t prog[64];
	size_t sz;
	struct hu_row row[5]; /* up to the first with pc 0 */
	unsigned int unsupported, malformed;
} programs[] = {
	{ "nop", B(DW_CFA_nop), { SP8, END_GAP }, 0, 0 },
	{ "push rbp; mov rsp,rbp",
	  B(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6, DW_CFA_advance_loc1, 100,
	    DW_CFA_def_cfa, 7, 8, DW_CFA_restore | 6),
	  { SP8,
	    { START + 1, 2, HU_CFA_SP | FP(HU_FP_CFA), -2 },
	    { START + 4, 2, HU_CFA_FP | FP(HU_FP_CFA), -2 },
	    { START + 104, 1, HU_CFA_SP, 0 },
	    END_GAP },
	  0,
	  0 },
	{ "advance_loc2",
	  B(DW_CFA_advance_loc2, 0x80, 0, DW_CFA_def_cfa_offset, 16),
	  { SP8, { START + 0x80, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "advance_loc4",
	  B(DW_CFA_advance_loc4, 0xff, 0, 0, 0, DW_CFA_def_cfa_offset, 16),
	  { SP8, { START + 0xff, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "advance_loc8",
	  B(DW_CFA_MIPS_advance_loc8, 9, 0, 0, 0, 0, 0, 0, 0, DW_CFA_def_cfa_offset, 16),
	  { SP8, { START + 9, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "advance to the end",
	  B(DW_CFA_advance_loc2, 0, 1, DW_CFA_def_cfa_offset, 16),
	  { SP8, END_GAP },
	  0,
	  0 },
	{ "advance past the end",
	  B(DW_CFA_advance_loc4, 0, 0, 0, 0x40, DW_CFA_def_cfa_offset, 16, 0x3f),
	  { SP8, END_GAP },
	  0,
	  0 },
	{ "advance by 0",
	  B(DW_CFA_advance_loc | 0, DW_CFA_def_cfa_offset, 16),
	  { { START, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "offset_extended",
	  B(DW_CFA_offset_extended, 6, 3),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), -3 }, END_GAP },
	  0,
	  0 },
	{ "offset_extended_sf",
	  B(DW_CFA_offset_extended_sf, 6, 0x7f),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), 1 }, END_GAP },
	  0,
	  0 },
	{ "negative_offset_extended",
	  B(DW_CFA_GNU_negative_offset_extended, 6, 3),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), 3 }, END_GAP },
	  0,
	  0 },
	{ "restore_extended",
	  B(DW_CFA_offset | 6, 2, DW_CFA_advance_loc | 1, DW_CFA_restore_extended, 6),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), -2 }, { START + 1, 1, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "fp undefined",
	  B(DW_CFA_undefined, 6),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_UNDEF), 0 }, END_GAP },
	  0,
	  0 },
	{ "fp same again",
	  B(DW_CFA_undefined, 6, DW_CFA_advance_loc | 1, DW_CFA_same_value, 6),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_UNDEF), 0 }, { START + 1, 1, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "another register's rules are not ours",
	  B(DW_CFA_offset | 3, 2, DW_CFA_undefined, 12, DW_CFA_val_offset, 13, 1, DW_CFA_register,
	    14, 15, DW_CFA_restore | 3),
	  { SP8, END_GAP },
	  0,
	  0 },
	{ "remember, restore",
	  B(DW_CFA_remember_state, DW_CFA_def_cfa_offset, 24, DW_CFA_offset | 6, 2,
	    DW_CFA_advance_loc | 8, DW_CFA_restore_state),
	  { { START, 3, HU_CFA_SP | FP(HU_FP_CFA), -2 }, { START + 8, 1, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "restore without remember",
	  B(DW_CFA_advance_loc | 8, DW_CFA_restore_state, DW_CFA_advance_loc | 8),
	  { SP8, { START + 8, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "remembered too often",
	  B(DW_CFA_remember_state, DW_CFA_remember_state, DW_CFA_remember_state,
	    DW_CFA_remember_state, DW_CFA_remember_state, DW_CFA_remember_state,
	    DW_CFA_remember_state, DW_CFA_remember_state, DW_CFA_remember_state,
	    DW_CFA_remember_state, DW_CFA_remember_state, DW_CFA_remember_state,
	    DW_CFA_remember_state, DW_CFA_remember_state, DW_CFA_remember_state,
	    DW_CFA_remember_state, DW_CFA_advance_loc | 1, DW_CFA_remember_state),
	  { SP8, { START + 1, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "def_cfa_sf",
	  B(DW_CFA_def_cfa_sf, 6, 0x7d),
	  { { START, 3, HU_CFA_FP, 0 }, END_GAP },
	  0,
	  0 },
	{ "def_cfa_offset_sf",
	  B(DW_CFA_def_cfa_offset_sf, 0x7c),
	  { { START, 4, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "GNU_args_size",
	  B(DW_CFA_GNU_args_size, 0x90, 1, DW_CFA_def_cfa_offset, 16),
	  { { START, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "lazy PLT", B(PLT(DW_OP_lit11)), { { START, 11, HU_CFA_PLT, 0 }, END_GAP }, 0, 0 },
	{ "lazy PLT with endbr64",
	  B(PLT(DW_OP_lit10)),
	  { { START, 10, HU_CFA_PLT, 0 }, END_GAP },
	  0,
	  0 },
	{ "not quite a PLT", B(PLT(DW_OP_lit9)), { { START, 0, HU_CFA_BAD, 0 }, END_GAP }, 1, 0 },
	{ "realigned stack",
	  B(DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref, DW_CFA_expression, 6, 2,
	    DW_OP_breg6, 0x70),
	  { { START, -1, HU_CFA_DEREF_FP | FP(HU_FP_REL), -2 }, END_GAP },
	  0,
	  0 },
	{ "CFA on the stack",
	  B(DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 16, DW_OP_deref),
	  { { START, 2, HU_CFA_DEREF_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "CFA in r10", B(DW_CFA_def_cfa, 10, 0), { { START, 0, HU_CFA_BAD, 0 }, END_GAP }, 1, 0 },
	{ "CFA loaded by r10",
	  B(DW_CFA_def_cfa_expression, 3, DW_OP_breg0 + 10, 16, DW_OP_deref),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "more after the deref",
	  B(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 16, DW_OP_deref, DW_OP_deref),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "empty expression",
	  B(DW_CFA_def_cfa_expression, 0),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "an expression's offset can't be changed",
	  B(DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 16, DW_OP_deref, DW_CFA_advance_loc | 1,
	    DW_CFA_def_cfa_offset, 8),
	  { { START, 2, HU_CFA_DEREF_SP, 0 }, { START + 1, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "nor can its register",
	  B(DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 16, DW_OP_deref, DW_CFA_advance_loc | 1,
	    DW_CFA_def_cfa_register, 6),
	  { { START, 2, HU_CFA_DEREF_SP, 0 }, { START + 1, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "outermost", B(DW_CFA_undefined, 16), { { START, 0, HU_CFA_END, 0 }, END_GAP }, 0, 0 },
	{ "the return address again",
	  B(DW_CFA_undefined, 16, DW_CFA_advance_loc | 1, DW_CFA_restore | 16),
	  { { START, 0, HU_CFA_END, 0 }, { START + 1, 1, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "fp moves alone",
	  B(DW_CFA_offset | 6, 2, DW_CFA_advance_loc | 1, DW_CFA_offset | 6, 3),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), -2 },
	    { START + 1, 1, HU_CFA_SP | FP(HU_FP_CFA), -3 },
	    END_GAP },
	  0,
	  0 },
	{ "vfork",
	  B(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 0, DW_CFA_register, 16, 5),
	  { SP8, { START + 1, 0, HU_CFA_RA_REG, 5 }, END_GAP },
	  0,
	  0 },
	{ "return address in rbx",
	  B(DW_CFA_register, 16, 3),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "return address elsewhere",
	  B(DW_CFA_offset | 16, 2),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "return address unchanged",
	  B(DW_CFA_same_value, 16),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "fp's value", B(DW_CFA_val_offset, 6, 1), { { START, 0, HU_CFA_BAD, 0 }, END_GAP }, 1, 0 },
	{ "fp's value, signed",
	  B(DW_CFA_val_offset_sf, 6, 1),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "fp's value, computed",
	  B(DW_CFA_val_expression, 6, 2, DW_OP_breg6, 0),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "fp by sp",
	  B(DW_CFA_expression, 6, 2, DW_OP_breg7, 0),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "fp in r11", B(DW_CFA_register, 6, 11), { { START, 0, HU_CFA_BAD, 0 }, END_GAP }, 1, 0 },
	{ "the largest frame",
	  B(DW_CFA_def_cfa_offset, 0xf8, 0xff, 0x0f),
	  { { START, 32767, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "too large",
	  B(DW_CFA_def_cfa_offset, 0x80, 0x80, 0x10),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "the lowest frame",
	  B(DW_CFA_def_cfa_offset_sf, 0x80, 0x80, 0x02),
	  { { START, -32768, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
	{ "not in words",
	  B(DW_CFA_def_cfa_offset, 12),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "fp as far as it goes",
	  B(DW_CFA_offset | 6, 0x80, 1),
	  { { START, 1, HU_CFA_SP | FP(HU_FP_CFA), -128 }, END_GAP },
	  0,
	  0 },
	{ "fp too far",
	  B(DW_CFA_offset | 6, 0x81, 1),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  0 },
	{ "unknown instruction",
	  B(DW_CFA_advance_loc | 4, 0x3e),
	  { SP8, { START + 4, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "block past the end",
	  B(DW_CFA_def_cfa_expression, 0xff, 0xff, 0xff, 0xff, 0x0f),
	  { { START, 0, HU_CFA_BAD, 0 }, END_GAP },
	  1,
	  1 },
	{ "equal neighbours merge",
	  B(DW_CFA_advance_loc | 4, DW_CFA_offset | 3, 3, DW_CFA_advance_loc | 4,
	    DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc | 4, DW_CFA_offset | 12, 4),
	  { SP8, { START + 8, 2, HU_CFA_SP, 0 }, END_GAP },
	  0,
	  0 },
};

static void test_programs(void **state)
{
	size_t i, cnt;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct bytes o = { .n = 0 };
		size_t cie = put_cie(&o, &usual);
		struct cfi_table *t;

		put_fde(&o, &usual, cie, START, LEN, programs[i].prog, programs[i].sz);
		t = build(&o, false);
		for (cnt = 0; cnt < 5 && programs[i].row[cnt].pc; cnt++)
			;
		expect_rows(programs[i].what, t, programs[i].row, cnt);
		if (t->stats.unsupported != programs[i].unsupported ||
		    t->stats.malformed != programs[i].malformed)
			fail_msg("%s: unsupported %lu, malformed %lu", programs[i].what,
				 (unsigned long)t->stats.unsupported,
				 (unsigned long)t->stats.malformed);
		assert_int_equal(t->stats.cies, 1);
		assert_int_equal(t->stats.fdes, 1);
		cfi__free(t);
	}
}

static void test_set_loc(void **state)
{
	const struct format f = { .enc = DW_EH_PE_udata4 };
	static const uint8_t on[] = { DW_CFA_set_loc, 0x20, 0x10, 0, 0, DW_CFA_def_cfa_offset, 16 };
	static const uint8_t back[] = { DW_CFA_set_loc, 0x20, 0x10, 0, 0,
					DW_CFA_set_loc, 0x10, 0x10, 0, 0 };
	const struct hu_row want_on[] = { SP8, { START + 0x20, 2, HU_CFA_SP, 0 }, END_GAP };
	const struct hu_row want_back[] = { SP8, { START + 0x20, 0, HU_CFA_BAD, 0 }, END_GAP };
	struct bytes o = { .n = 0 };
	struct cfi_table *t;

	put_fde(&o, &f, put_cie(&o, &f), START, LEN, on, sizeof(on));
	t = build(&o, false);
	expect_rows("set_loc", t, want_on, 3);
	cfi__free(t);
	o.n = 0;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, back, sizeof(back));
	t = build(&o, false);
	expect_rows("set_loc backwards", t, want_back, 3);
	cfi__free(t);
}

/* ---- Encodings and augmentations */

static const struct hu_row simple[] = { SP8, END_GAP };

static void test_encodings(void **state)
{
	static const uint8_t encs[] = {
		DW_EH_PE_absptr,
		DW_EH_PE_uleb128,
		DW_EH_PE_udata2,
		DW_EH_PE_udata4,
		DW_EH_PE_udata8,
		DW_EH_PE_sleb128,
		DW_EH_PE_sdata2,
		DW_EH_PE_sdata4,
		DW_EH_PE_sdata8,
		DW_EH_PE_pcrel | DW_EH_PE_absptr,
		DW_EH_PE_pcrel | DW_EH_PE_sdata4,
		DW_EH_PE_pcrel | DW_EH_PE_sdata8,
		DW_EH_PE_pcrel | DW_EH_PE_sleb128,
		DW_EH_PE_datarel | DW_EH_PE_sdata2,
		DW_EH_PE_datarel | DW_EH_PE_sdata4,
		DW_EH_PE_aligned,
	};
	static const uint8_t refused[] = { DW_EH_PE_textrel | DW_EH_PE_udata4,
					   DW_EH_PE_funcrel | DW_EH_PE_udata4,
					   DW_EH_PE_indirect | DW_EH_PE_absptr,
					   DW_EH_PE_omit,
					   0x05,
					   0x0d };
	struct format f = { 0 };
	struct cfi_table *t;
	struct bytes o;
	size_t i;

	for (i = 0; i < sizeof(encs); i++) {
		char what[32];

		f.enc = encs[i];
		o.n = 0;
		put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
		t = build(&o, false);
		snprintf(what, sizeof(what), "encoding 0x%x", encs[i]);
		expect_rows(what, t, simple, 2);
		cfi__free(t);
	}
	for (i = 0; i < sizeof(refused); i++) {
		f.enc = refused[i];
		o.n = 0;
		put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
		t = build(&o, false);
		assert_int_equal(t->cnt, 0);
		assert_int_equal(t->stats.malformed, 1);
		cfi__free(t);
	}
}

/* DW_EH_PE_datarel in a file without a GOT */
static void test_no_data_base(void **state)
{
	const struct format f = { .enc = DW_EH_PE_datarel | DW_EH_PE_sdata4 };
	struct bytes o = { .n = 0 };
	struct cfi_section sec = { .data = o.b, .vaddr = VADDR };
	struct cfi_table *t;

	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	sec.sz = o.n;
	assert_int_equal(cfi__build(&sec, 1, 0, MAX_ROWS, &t), 0);
	assert_int_equal(t->cnt, 0);
	assert_int_equal(t->stats.malformed, 1);
	cfi__free(t);
}

static const struct bytes sigreturn = {
	.b = { DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 1, DW_OP_deref, DW_CFA_expression,
	       16, 3, DW_OP_breg7, 0xa8, 1 },
	.n = 12,
};

/* looks like it, but reads another word */
static const struct bytes no_sigreturn = {
	.b = { DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 16, DW_OP_deref, DW_CFA_offset | 16, 1 },
	.n = 7,
};

static void test_augmentations(void **state)
{
	const struct hu_row other[] = { { START, 2, HU_CFA_DEREF_SP, 0 }, END_GAP };
	/* personality, LSDA, FDE encoding, as g++ writes them, and a signal frame */
	struct format f = { .enc = DW_EH_PE_pcrel | DW_EH_PE_sdata4, .aug = "zPLRS" };
	const struct hu_row want[] = { { START, 0, HU_CFA_SIGNAL, 0 }, END_GAP };
	struct bytes o = { .n = 0 };
	struct cfi_table *t;

	put(&f.augdata, DW_EH_PE_indirect | DW_EH_PE_pcrel | DW_EH_PE_sdata4, 1);
	put(&f.augdata, 0x1234, 4);
	put(&f.augdata, DW_EH_PE_pcrel | DW_EH_PE_sdata4, 1);
	put(&f.augdata, f.enc, 1);
	f.init = &sigreturn;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	expect_rows("zPLRS", t, want, 2);
	cfi__free(t);
	/* .cfi_signal_frame with ordinary rules: they are as good as any */
	o.n = 0;
	f.init = NULL;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	expect_rows("S without ucontext", t, simple, 2);
	cfi__free(t);
	o.n = 0;
	f.init = &no_sigreturn;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	expect_rows("S and another word of the stack", t, other, 2);
	cfi__free(t);
	/* sigreturn's rules without 'S' are rules that rows can't express */
	o.n = 0;
	f = usual;
	f.init = &sigreturn;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	assert_int_equal(t->row[0].kind, HU_CFA_BAD);
	cfi__free(t);
}

static void test_bad_cies(void **state)
{
	struct format f = { .enc = DW_EH_PE_udata4, .aug = "zQ" };
	static const struct bytes broken = { .b = { DW_CFA_restore | 6 }, .n = 1 };
	const struct hu_row want[] = { { START, 0, HU_CFA_BAD, 0 }, END_GAP };
	struct bytes o = { .n = 0 };
	struct cfi_table *t;

	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	assert_int_equal(t->cnt, 0); /* an unknown letter: the addresses can't be trusted */
	assert_int_equal(t->stats.malformed, 2);
	cfi__free(t);
	o.n = 0;
	f = (struct format){ .enc = DW_EH_PE_udata4, .version = 2 };
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	assert_int_equal(t->cnt, 0);
	cfi__free(t);
	o.n = 0;
	f = (struct format){ .enc = DW_EH_PE_udata4, .init = &broken };
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	expect_rows("a CIE that restores", t, want, 2);
	cfi__free(t);
	o.n = 0;
	put_cie(&o, &usual);
	put_fde(&o, &usual, 4, START, LEN, "", 0); /* in the middle of the CIE */
	t = build(&o, false);
	assert_int_equal(t->cnt, 0);
	assert_int_equal(t->stats.malformed, 1);
	cfi__free(t);
}

static void test_debug_frame(void **state)
{
	static const uint8_t versions[] = { 1, 3, 4 };
	size_t i;
	int is_64bit;

	for (i = 0; i < sizeof(versions); i++) {
		for (is_64bit = 0; is_64bit < 2; is_64bit++) {
			struct format f = { .debug_frame = true,
					    .version = versions[i],
					    .is_64bit = is_64bit };
			struct bytes o = { .n = 0 };
			struct cfi_table *t;
			struct bytes fde = { .n = 0 };

			/* the FDE stands before its CIE */
			put_fde(&fde, &f, 0, START, LEN, "", 0);
			put_fde(&o, &f, fde.n, START, LEN, "", 0);
			assert_int_equal(put_cie(&o, &f), fde.n);
			t = build(&o, true);
			expect_rows(".debug_frame", t, simple, 2);
			cfi__free(t);
		}
	}
}

static void test_64bit_eh_frame(void **state)
{
	struct format f = usual;
	struct bytes o = { .n = 0 };
	struct cfi_table *t;

	f.is_64bit = true;
	put_fde(&o, &f, put_cie(&o, &f), START, LEN, "", 0);
	t = build(&o, false);
	expect_rows("64-bit lengths", t, simple, 2);
	cfi__free(t);
}

/* ---- Several FDEs */

static void test_order_and_gaps(void **state)
{
	static const uint8_t frame[] = { DW_CFA_def_cfa_offset, 32 };
	static const uint8_t step[] = { DW_CFA_advance_loc | 0x20, DW_CFA_def_cfa_offset, 48 };
	const struct hu_row want[] = {
		{ 0x1000, 1, HU_CFA_SP, 0 },  { 0x1010, 0, HU_CFA_GAP, 0 },
		{ 0x1020, 4, HU_CFA_SP, 0 },  { 0x1030, 1, HU_CFA_SP, 0 },
		{ 0x1050, 6, HU_CFA_SP, 0 },  { 0x1058, 4, HU_CFA_SP, 0 },
		{ 0x105c, 0, HU_CFA_GAP, 0 },
	};
	struct bytes o = { .n = 0 };
	size_t cie = put_cie(&o, &usual);
	struct cfi_table *t;

	/* not sorted; 0x1030 and 0x1040 touch and say the same; 0x1058 cuts 0x1048 short */
	put_fde(&o, &usual, cie, 0x1048, 0x1000, "\x48\x0e\x30", 3);
	put_fde(&o, &usual, cie, 0x1020, 0x10, frame, sizeof(frame));
	put(&o, 0, 4); /* a terminator in the middle hides nothing */
	put_fde(&o, &usual, cie, 0x1000, 0x10, "", 0);
	put_fde(&o, &usual, cie, 0x1030, 0x10, "", 0);
	put_fde(&o, &usual, cie, 0x1040, 0x8, "", 0);
	put_fde(&o, &usual, cie, 0x1058, 0x4, step, sizeof(step));
	put_fde(&o, &usual, cie, 0x1058, 0x4, frame, sizeof(frame)); /* the last of two wins */
	t = build(&o, false);
	expect_rows("order", t, want, sizeof(want) / sizeof(want[0]));
	assert_int_equal(t->stats.fdes, 7);
	assert_int_equal(t->stats.malformed, 0);
	assert_null(cfi__find(t, 0xfff));
	assert_ptr_equal(cfi__find(t, 0x1000), &t->row[0]);
	assert_ptr_equal(cfi__find(t, 0x100f), &t->row[0]);
	assert_ptr_equal(cfi__find(t, 0x1010), &t->row[1]);
	assert_ptr_equal(cfi__find(t, 0x1057), &t->row[4]);
	assert_ptr_equal(cfi__find(t, UINT32_MAX), &t->row[6]);
	cfi__free(t);
}

static void test_addresses(void **state)
{
	const struct format f = { .enc = DW_EH_PE_udata8 };
	struct bytes o = { .n = 0 };
	struct cfi_section sec = {
		.data = o.b, .vaddr = VADDR, .text_lo = 0x401000, .text_hi = 0x403000
	};
	size_t cie = put_cie(&o, &f);
	struct cfi_table *t;

	put_fde(&o, &f, cie, 0, 0x500000, "", 0); /* a dropped function's */
	put_fde(&o, &f, cie, 0x402000, 0x10, "", 0);
	put_fde(&o, &f, cie, 0x402ff8, 0x10, "", 0); /* over the end of the text */
	put_fde(&o, &f, cie, 0x402800, 0, "", 0);    /* nothing */
	put_fde(&o, &f, cie, UINT64_MAX - 4, 8, "", 0);
	sec.sz = o.n;
	assert_int_equal(cfi__build(&sec, 1, 0x400000, MAX_ROWS, &t), 0);
	assert_int_equal(t->cnt, 2);
	assert_int_equal(t->row[0].pc, 0x2000);
	assert_int_equal(t->row[1].pc, 0x2010);
	assert_int_equal(t->stats.malformed, 4);
	cfi__free(t);
	/* no bounds are known: 32 bits above the base are */
	o.n = 0;
	cie = put_cie(&o, &f);
	put_fde(&o, &f, cie, 0x3fffff, 0x10, "", 0);
	put_fde(&o, &f, cie, 0x400000ULL + UINT32_MAX - 1, 1, "", 0);
	put_fde(&o, &f, cie, 0x400000ULL + UINT32_MAX, 1, "", 0);
	sec = (struct cfi_section){ .data = o.b, .sz = o.n, .vaddr = VADDR };
	assert_int_equal(cfi__build(&sec, 1, 0x400000, MAX_ROWS, &t), 0);
	assert_int_equal(t->cnt, 2);
	assert_int_equal(t->row[0].pc, UINT32_MAX - 1);
	assert_int_equal(t->stats.malformed, 2);
	cfi__free(t);
}

static void test_two_sections(void **state)
{
	const struct format dbg = { .debug_frame = true };
	static const uint8_t frame[] = { DW_CFA_def_cfa_offset, 32 };
	struct bytes a = { .n = 0 }, b = { .n = 0 };
	struct cfi_section sec[2] = { { .data = a.b, .debug_frame = true },
				      { .data = b.b, .vaddr = VADDR } };
	const struct hu_row want[] = { { START, 1, HU_CFA_SP, 0 },
				       { START + LEN, 4, HU_CFA_SP, 0 },
				       { START + 2 * LEN, 0, HU_CFA_GAP, 0 } };
	struct cfi_table *t;
	size_t cie;

	cie = put_cie(&a, &dbg);
	put_fde(&a, &dbg, cie, START, LEN, frame, sizeof(frame));
	put_fde(&a, &dbg, cie, START + LEN, LEN, frame, sizeof(frame));
	put_fde(&b, &usual, put_cie(&b, &usual), START, LEN, "", 0);
	sec[0].sz = a.n;
	sec[1].sz = b.n;
	assert_int_equal(cfi__build(sec, 2, 0, MAX_ROWS, &t), 0);
	expect_rows("the last section wins", t, want, 3);
	cfi__free(t);
	assert_int_equal(cfi__build(sec, CFI_MAX_SECTIONS + 1, 0, MAX_ROWS, &t), -EINVAL);
}

static void test_limits(void **state)
{
	static const uint8_t steps[] = { DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16,
					 DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 24 };
	struct bytes o = { .n = 0 };
	size_t cie = put_cie(&o, &usual);

	put_fde(&o, &usual, cie, START, LEN, steps, sizeof(steps));
	cfi__free(build_sz(&o, false, 4, 0)); /* three and the gap */
	build_sz(&o, false, 3, -E2BIG);
	build_sz(&o, false, 0, -E2BIG);
	put_fde(&o, &usual, cie, START, LEN, steps, sizeof(steps));
	put_fde(&o, &usual, cie, START, LEN, steps, sizeof(steps));
	cfi__free(build_sz(&o, false, 4, 0));
	build_sz(&o, false, 2, -E2BIG);
	o.n = 0;
	cfi__free(build(&o, false));
}

/* A valid section cut at every byte: the sanitizer watches, and less input never gives more. */
static void test_truncated(void **state)
{
	struct bytes o = { .n = 0 };
	size_t i, full;

	put_fde(&o, &usual, put_cie(&o, &usual), START, LEN, programs[1].prog, programs[1].sz);
	full = o.n;
	for (i = 0; i < full; i++) {
		struct cfi_table *t;

		o.n = i;
		t = build(&o, false);
		assert_int_equal(t->cnt, 0);
		cfi__free(t);
	}
}

/* ---- The C library */

static int find_libc(struct dl_phdr_info *info, size_t sz, void *path)
{
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	snprintf(path, 4096, "%s", info->dlpi_name);
	return 1;
}

static int open_libc(void)
{
	char path[4096];
	int fd;

	assert_int_equal(dl_iterate_phdr(find_libc, path), 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_libc(void **state)
{
	int no_match, fd = open_libc();
	Elf *elf;
	Dwarf_CFI *cfi;
	struct cfi_table *t;
	bool seen[16] = { false };
	size_t i, checked = 0;

	assert_int_equal(cfi__build_file(fd, 1 << 20, &t), 0);
	assert_int_equal(t->base, 0);
	assert_int_equal(t->stats.malformed, 0);
	assert_true(t->cnt > 10000);
	assert_true(t->stats.unsupported * 100 < t->stats.rows);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	cfi = dwarf_getcfi_elf(elf);
	assert_non_null(cfi);
	no_match = libdw_row__no_match(cfi);
	for (i = 0; i < t->cnt; i++) {
		struct hu_row want = { .pc = t->row[i].pc };
		unsigned int kind = t->row[i].kind & 15;

		if (i % 7 && (kind == HU_CFA_SP || kind == HU_CFA_GAP))
			continue; /* the frequent ones: some are enough */
		libdw_row__at(cfi, t->base + want.pc, no_match, &want);
		if (kind == HU_CFA_GAP && i + 1 < t->cnt && t->row[i].cfa_off) {
			assert_in_range(t->row[i + 1].pc - want.pc, 1, HU_GAP_MAX);
			want.cfa_off = HU_GAP_ENDS(t->row[i + 1].pc);
			seen[15] = true;
		}
		assert_memory_equal(&want, &t->row[i], sizeof(want));
		seen[kind] = true;
		checked++;
	}
	assert_true(checked > 1000);
	/* glibc has them all: clone, __restore_rt, vfork, and its own PLT */
	assert_true(seen[HU_CFA_END] && seen[HU_CFA_SP] && seen[HU_CFA_FP]);
	assert_true(seen[15]); /* small gaps */
	assert_true(seen[HU_CFA_SIGNAL] && seen[HU_CFA_RA_REG] && seen[HU_CFA_PLT]);
	dwarf_cfi_end(cfi);
	elf_end(elf);
	cfi__free(t);
	close(fd);
}

static void test_files(void **state)
{
	char path[] = "/tmp/holdup-test-cfi-XXXXXX";
	struct cfi_table *t = NULL;
	Elf64_Ehdr eh = { 0 };
	int fd = open_libc(), copy = mkstemp(path);
	off_t end = lseek(fd, 0, SEEK_END);
	uint8_t *buf = malloc(end);
	off_t cut;

	assert_true(copy >= 0 && buf);
	unlink(path);
	assert_int_equal(cfi__build_file(copy, 1000, &t), -ENOEXEC); /* empty */
	assert_int_equal(pread(fd, buf, end, 0), end);
	assert_int_equal(cfi__build_file(fd, 1000, &t), -E2BIG);
	memcpy(&eh, buf, sizeof(eh));
	/* cut anywhere: the section headers, at the end, are gone */
	for (cut = 1; cut < end; cut = cut * 3 + 1) {
		assert_int_equal(ftruncate(copy, 0), 0);
		assert_int_equal(pwrite(copy, buf, cut, 0), cut);
		assert_true(cfi__build_file(copy, 1 << 20, &t) < 0);
	}
	eh.e_machine = EM_SPARCV9;
	assert_int_equal(pwrite(copy, buf, end, 0), end);
	assert_int_equal(pwrite(copy, &eh, sizeof(eh), 0), sizeof(eh));
	assert_int_equal(cfi__build_file(copy, 1 << 20, &t), -ENOEXEC);
	assert_int_equal(cfi__build_file(-1, 1 << 20, &t), -EBADF);
	assert_null(t);
	free(buf);
	close(copy);
	close(fd);
}

/* ---- Broken bytes: the same ones each time */

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13; /* xorshift64 (Marsaglia 2003) */
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void check_table(const struct cfi_table *t)
{
	size_t i;

	for (i = 0; i < t->cnt; i++) {
		assert_true((t->row[i].kind & 15) <= HU_CFA_RA_REG);
		assert_true(t->row[i].kind >> 4 <= HU_FP_REL);
		if (!i)
			continue;
		assert_true(t->row[i - 1].pc < t->row[i].pc);
		assert_true(t->row[i - 1].kind != t->row[i].kind ||
			    t->row[i - 1].cfa_off != t->row[i].cfa_off ||
			    t->row[i - 1].fp_off != t->row[i].fp_off);
	}
	if (t->cnt)
		assert_int_equal(t->row[t->cnt - 1].kind, HU_CFA_GAP);
}

static void test_mutations(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;
	struct bytes good = { .n = 0 }, o;
	size_t cie, i, k, alive = 0;

	cie = put_cie(&good, &usual);
	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		put_fde(&good, &usual, cie, START + i * LEN, LEN - 16, programs[i].prog,
			programs[i].sz);
	for (i = 0; i < 20000; i++) {
		struct cfi_table *t;
		struct cfi_section sec = { .data = o.b, .vaddr = VADDR, .debug_frame = i % 8 == 7 };
		int err;

		o = good;
		for (k = next_random(&seed) % 8 + 1; k; k--)
			o.b[next_random(&seed) % o.n] = (uint8_t)next_random(&seed);
		sec.sz = o.n - next_random(&seed) % 64;
		err = cfi__build(&sec, 1, 0, MAX_ROWS, &t);
		assert_true(!err || err == -E2BIG);
		if (err)
			continue;
		check_table(t);
		alive += t->cnt > 20;
		cfi__free(t);
	}
	assert_true(alive > 5000); /* or the mutations test the entry's header only */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),       cmocka_unit_test(test_set_loc),
		cmocka_unit_test(test_encodings),      cmocka_unit_test(test_no_data_base),
		cmocka_unit_test(test_augmentations),  cmocka_unit_test(test_bad_cies),
		cmocka_unit_test(test_debug_frame),    cmocka_unit_test(test_64bit_eh_frame),
		cmocka_unit_test(test_order_and_gaps), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_two_sections),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_truncated),      cmocka_unit_test(test_libc),
		cmocka_unit_test(test_files),	       cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
