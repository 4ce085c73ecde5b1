// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: an ELF file in memory, all lookups in it, its unwind rows, and the demangler on its
 * names. The worker for source lines is not reached from here: it is isolated instead.
 */
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/sym/module.h"
#include "user/unwind/cfi.h"

#define ROWS_MAX 65536

static void check_symbol(struct module *m, const struct symbol *sym, uint64_t vaddr)
{
	struct symbol again;
	char *text;

	CHECK(sym->addr <= vaddr);
	CHECK(sym->size == 0 || vaddr - sym->addr < sym->size);
	text = demangle__name(sym->name);
	CHECK(text);
	free(text);
	module__by_name(m, sym->name, &again);
}

static void ask(struct module *m, uint64_t vaddr)
{
	struct symbol sym;
	uint64_t start;

	if (module__func(m, vaddr, &sym))
		check_symbol(m, &sym, vaddr);
	if (module__object(m, vaddr, &sym))
		check_symbol(m, &sym, vaddr);
	if (module__fde_start(m, vaddr, &start))
		CHECK(start <= vaddr);
}

static void build_rows(struct module *m)
{
	struct cfi_table *t;

	if (module__cfi(m, ROWS_MAX, &t))
		return;
	CHECK(t->cnt && t->gap_bytes <= t->code_bytes);
	for (size_t i = 1; i < t->cnt; i++)
		CHECK(t->row[i - 1].pc < t->row[i].pc);
	cfi__free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	uint64_t lo, hi, v;
	struct module *m;

	if (module__open_memory(data, sz, "fuzz", &m))
		return 0;
	module__extent(m, &lo, &hi);
	CHECK(lo <= hi);
	CHECK(strlen(module__build_id(m)) % 2 == 0);
	for (uint64_t i = 0; i < 64; i++)
		ask(m, lo + (hi - lo) / 64 * i);
	/* Bytes of the input as addresses: the fuzzer can put a symbol's own there. */
	for (size_t i = 0; i + 8 <= sz && i < 512 * 8; i += 8) {
		memcpy(&v, data + i, 8);
		ask(m, v);
		module__vaddr_of_offset(m, v, &lo);
		module__bias(m, v, i, i & 8, &lo);
	}
	build_rows(m);
	module__settle(m);
	module__free(m);
	return 0;
}
