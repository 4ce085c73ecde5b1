// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: the user-space unwinder over rows, registers and memory that are all hostile.
 *
 * Input: options, a number of rows, five registers' worth of words, the rows, and then memory. Rows are
 * given as struct hu_row with the distance from the row before in place of pc, since a table is
 * sorted; any kind and offset is possible, also those that no parser of ours makes.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/unwind/unwind.h"

#define CODE_START  0x400000 /* described by rows */
#define CODE_END    0x420000
#define PLAIN_START 0x500000 /* a module without rows */
#define PLAIN_END   0x510000
#define STACK_START 0x7fff00000000
#define ROWS_MAX    255
/* What the slowest kind of step reads: the CFA, the return address, rbp; a signal frame at once. */
#define READS_MAX (4 * HU_MAX_FRAMES)

struct target {
	const uint8_t *memory;
	size_t sz;
	struct hu_row row[ROWS_MAX];
	struct cfi_table table;
	uint64_t reads, finds;
	uint8_t options;
};

static int read_memory(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	struct target *t = ctx;

	CHECK(sz <= 64);
	t->reads++;
	if (addr < STACK_START || addr - STACK_START > t->sz || sz > t->sz - (addr - STACK_START))
		return -EFAULT;
	memcpy(buf, t->memory + (addr - STACK_START), sz);
	return 0;
}

static int find_rows(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	struct target *t = ctx;

	t->finds++;
	if (pc >= CODE_START && pc < CODE_END) {
		*ret_table = &t->table;
		*ret_pc = pc - CODE_START;
		return 0;
	}
	if (pc < PLAIN_START || pc >= PLAIN_END)
		return -ENOENT;
	*ret_table = NULL;
	*ret_pc = pc - PLAIN_START;
	return 0;
}

/* Pcs near code and stack pointers near the stack are what gets far; options say which are so. */
static uint64_t shape(uint64_t word, bool near, uint64_t base, uint64_t mask)
{
	return near ? base + (word & mask) : word;
}

static bool take(const uint8_t **data, size_t *sz, void *to, size_t want)
{
	if (*sz < want)
		return false;
	memcpy(to, *data, want);
	*data += want;
	*sz -= want;
	return true;
}

static void check_stack(const struct target *t, const struct unwind_regs *regs,
			const struct hu_stack *s)
{
	unsigned int ends = s->flags & (HU_STACK_COMPLETE | HU_STACK_TRUNCATED | HU_STACK_NOMAP |
					HU_STACK_NOROW | HU_STACK_BADREAD);
	unsigned int bits = regs->machine == EM_AARCH64 ? 48 : 47;

	CHECK(s->frames >= 1 && s->frames <= HU_MAX_FRAMES && s->pcs[0] == regs->ip);
	CHECK(s->exact <= s->frames);
	CHECK(s->flags & HU_STACK_FRAMEPTR || s->exact == s->frames);
	/* one reason, and no flag that the unwinder does not have */
	CHECK(ends && (ends & (ends - 1)) == 0);
	CHECK((s->flags & ~(ends | HU_STACK_FRAMEPTR | HU_STACK_DERIVED)) == 0);
	CHECK(!(s->flags & HU_STACK_TRUNCATED) || s->frames == HU_MAX_FRAMES);
	for (int i = 1; i < s->frames; i++)
		CHECK(s->pcs[i] >= 4096 &&
		      (s->pcs[i] - 1) >> bits == 0); /* an interrupted one has 1 added */
	CHECK(t->reads <= READS_MAX && t->finds <= 2 * HU_MAX_FRAMES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	static struct target t;
	const struct unwind_ops ops = { .read = read_memory, .find = find_rows, .ctx = &t };
	struct hu_stack first = { 0 }, again = { 0 };
	struct unwind_regs regs;
	uint8_t head[2];
	uint32_t pc = 0;
	uint64_t word[4];
	size_t cnt = 0;

	if (!take(&data, &sz, head, sizeof(head)) || !take(&data, &sz, word, sizeof(word)))
		return 0;
	t.options = head[0];
	for (; cnt < head[1] && take(&data, &sz, &t.row[cnt], sizeof(t.row[0])); cnt++) {
		pc += 1 + t.row[cnt].pc % 1024;
		t.row[cnt].pc = pc;
	}
	t.table = (struct cfi_table){ .row = t.row, .cnt = cnt, .base = CODE_START };
	t.memory = data;
	t.sz = sz;
	regs.ip = shape(word[0], head[0] & 1, CODE_START, 0xffff);
	regs.sp = shape(word[1], head[0] & 2, STACK_START, 0xfff);
	regs.fp = shape(word[2], head[0] & 4, STACK_START, 0xfff);
	regs.ra_reg = shape(word[3], head[0] & 8, CODE_START, 0xffff);
	regs.machine = head[0] & 16 ? EM_AARCH64 : EM_X86_64;
	t.reads = t.finds = 0;
	unwind__walk(&regs, &ops, &first);
	check_stack(&t, &regs, &first);
	unwind__walk(&regs, &ops, &again);
	CHECK(memcmp(&first, &again, sizeof(first)) == 0);
	return 0;
}
