// SPDX-License-Identifier: GPL-2.0-only
/*
 * compare_derive [--max-wrong PERCENT] [-v] FILE…: what the machine code says, beside what the compiler said.
 *
 * Each file's code is taken as if it had no call frame information, rows are derived for it, and at each
 * instruction reached they are held against the file's own: the CFA and where the caller's frame pointer
 * is. Both sides may be right in different words (sp + 16, or fp + 16 after the prologue), so what
 * counts is what was known there, not the row's text. Files without CFI, and those of other machines, are
 * counted, not compared. Exit status: 0; 1 more wrong than --max-wrong (0.01 by default); 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unwind/derive_oracle.h"

static void print_sum(const struct derive_sum *s)
{
	uint64_t told = s->same + s->wrong;

	printf("instructions %llu: same %llu (%.3f %%), bad %llu (%.3f %%), not reached %llu "
	       "(%.3f %%), wrong %llu (%.4f %% of those told), no CFI %llu\n",
	       (unsigned long long)s->insns, (unsigned long long)s->same,
	       100.0 * s->same / (s->insns ? s->insns : 1), (unsigned long long)s->bad,
	       100.0 * s->bad / (s->insns ? s->insns : 1), (unsigned long long)s->missed,
	       100.0 * s->missed / (s->insns ? s->insns : 1), (unsigned long long)s->wrong,
	       100.0 * s->wrong / (told ? told : 1), (unsigned long long)s->outside);
	printf("wrong: cfa %llu, fp %llu, end %llu\n", (unsigned long long)s->wrong_cfa,
	       (unsigned long long)s->wrong_fp, (unsigned long long)s->wrong_end);
}

static int usage(void)
{
	fputs("usage: compare_derive [--max-wrong PERCENT] [-v] FILE...\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct derive_sum sum = { 0 };
	double max_wrong = 0.01;
	unsigned int files = 0, skipped = 0, failed = 0;
	bool verbose = false;
	char *end;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-v")) {
			verbose = true;
		} else if (!strcmp(argv[i], "--max-wrong") && i + 1 < argc) {
			max_wrong = strtod(argv[++i], &end);
			if (*end)
				return usage();
		} else {
			return usage();
		}
	}
	if (i == argc)
		return usage();
	elf_version(EV_CURRENT);
	for (; i < argc; i++) {
		struct derive_sum one = { 0 };
		struct timespec a, b;
		int err;

		clock_gettime(CLOCK_MONOTONIC, &a);
		err = derive_oracle__compare(argv[i], verbose ? 10 : 3, &one);
		clock_gettime(CLOCK_MONOTONIC, &b);
		if (err == -ENOENT || err == -ENOEXEC) {
			skipped++;
			continue;
		}
		if (err) {
			printf("%s: %s\n", argv[i], strerror(-err));
			failed++;
			continue;
		}
		files++;
		derive_sum__add(&sum, &one);
		if (verbose) {
			printf("%s: %.1f ms, functions %llu, dropped %llu, conflicts %llu, rounds "
			       "%llu: ",
			       argv[i], (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6,
			       (unsigned long long)one.stats.functions,
			       (unsigned long long)one.stats.dropped,
			       (unsigned long long)one.stats.conflicts,
			       (unsigned long long)one.stats.rounds);
			print_sum(&one);
		}
	}
	printf("files %u, without CFI or not ours %u, too large or failed %u\n", files, skipped,
	       failed);
	print_sum(&sum);
	return sum.wrong > (sum.same + sum.wrong) * max_wrong / 100 ? 1 : 0;
}
