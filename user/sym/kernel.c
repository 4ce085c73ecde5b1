// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOLS_MAX   1000000 /* a distribution's kernel has some 200,000 with its modules */
#define KSYM_NAME_LEN 512     /* include/linux/kallsyms.h, since 6.1 (commit b8a94bfb3395) */
#define LINE_MAX_SZ   1024    /* address, type, name and module */

struct kernel_symbol {
	uint64_t addr;
	uint32_t name; /* offset in text */
};

struct kernel_names {
	struct kernel_symbol *symbol; /* sorted by addr */
	size_t cnt, cap;
	char *text;
	size_t text_sz, text_cap;
	bool read;
};

int kernel_names__new(struct kernel_names **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void kernel_names__free(struct kernel_names *k)
{
	if (!k)
		return;
	free(k->symbol);
	free(k->text);
	free(k);
}

static int add(struct kernel_names *k, uint64_t addr, const char *name)
{
	size_t sz = strlen(name) + 1;
	void *more;

	if (k->cnt == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 65536;
		more = realloc(k->symbol, k->cap * sizeof(*k->symbol));
		if (!more)
			return -ENOMEM;
		k->symbol = more;
	}
	if (k->text_sz + sz > k->text_cap) {
		k->text_cap = (k->text_cap ? k->text_cap * 2 : 1 << 21) + sz;
		more = realloc(k->text, k->text_cap);
		if (!more)
			return -ENOMEM;
		k->text = more;
	}
	memcpy(k->text + k->text_sz, name, sz);
	k->symbol[k->cnt++] = (struct kernel_symbol){ addr, k->text_sz };
	k->text_sz += sz;
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct kernel_symbol *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* "ffffffff81000000 T name [module]"; data is of no interest. */
static int read_names(struct kernel_names *k, FILE *file)
{
	unsigned long long addr;
	char line[LINE_MAX_SZ], name[KSYM_NAME_LEN + 1], type;
	int err = 0;

	k->read = true;
	while (!err && k->cnt < SYMBOLS_MAX && fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %c %512s", &addr, &type, name) == 3 && addr &&
		    strchr("tTwW", type))
			err = add(k, addr, name);
	if (k->cnt)
		qsort(k->symbol, k->cnt, sizeof(k->symbol[0]), by_addr);
	return err;
}

int kernel_names__read(FILE *file, struct kernel_names **ret)
{
	struct kernel_names *k;
	int err = kernel_names__new(&k);

	if (err)
		return err;
	err = read_names(k, file);
	if (err)
		kernel_names__free(k);
	else
		*ret = k;
	return err;
}

/* What can't be read has no names. */
static void read_own_kernel(struct kernel_names *k)
{
	FILE *file = fopen("/proc/kallsyms", "re");

	k->read = true;
	if (!file)
		return;
	read_names(k, file);
	fclose(file);
}

const char *kernel_names__find(struct kernel_names *k, uint64_t addr)
{
	size_t lo = 0, hi;

	if (!k->read)
		read_own_kernel(k);
	hi = k->cnt;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (k->symbol[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? k->text + k->symbol[lo - 1].name : "";
}

/* The scheduler (in_sched_functions(), kernel/sched/core.c), and locks and waits that say nothing by themselves. */
static bool says_nothing(const char *name)
{
	static const char *const prefixes[] = {
		"__schedule",
		"schedule",
		"io_schedule",
		"__traceiter",
		"bpf_",
		"wait_for_completion",
		"__wait_for_common",
		"do_wait_for_common",
		"wait_on_bit",
		"__wait_on_bit",
		"out_of_line_wait",
		"bit_wait",
		"rwsem_down_",
		"down_read",
		"down_write",
		"__mutex_lock",
		"mutex_lock",
		"folio_wait_bit",
		"prepare_to_wait",
		"wait_woken",
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

const char *kernel_names__place(struct kernel_names *k, const uint64_t *pcs, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		const char *name = kernel_names__find(k, pcs[i] - (i ? 1 : 0));

		if (!*name)
			return "";
		if (!says_nothing(name))
			return name;
	}
	return "";
}
