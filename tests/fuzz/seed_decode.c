// SPDX-License-Identifier: GPL-2.0-only
/* seed_decode DIR: seeds for fuzz_decode: one well-formed record of each kind, and all in a row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"

static void head(struct hu_record *hdr, enum hu_record_kind kind, size_t sz)
{
	*hdr = (struct hu_record){ .kind = kind, .size = sz, .ts_ns = 9000 };
}

static void save(const char *dir, const char *name, const void *rec, size_t sz, FILE *all)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f || fputc(0, f) == EOF || fwrite(rec, sz, 1, f) != 1 || fclose(f) ||
	    fwrite(rec, sz, 1, all) != 1) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct hu_stack_record stack = { .tgid = 7, .tid = 8, .stack_id = 5, .len = 64 };
	struct hu_wait_record wait = { .tgid = 7,
				       .tid = 8,
				       .proc_start = 3,
				       .uaddr = 0x7000,
				       .stack_id = 4,
				       .start_ns = 1000,
				       .end_ns = 9000,
				       .blocked_ns = 7000,
				       .runq_ns = 1000,
				       .sleeps = 2,
				       .depth = 1,
				       .val = 2,
				       .comm = "worker",
				       .owner = { { 9, 2, 8000 } } };
	struct hu_proc_record proc = { .tgid = 7, .tid = 7, .proc_start = 3, .comm = "main" };
	struct hu_adopt_record adopt = { .tgid = 7, .tid = 8, .proc_start = 3, .stack_id = 6 };
	struct hu_holder_record holder = {
		.tgid = 7, .tid = 9, .proc_start = 3, .uaddr = 0x7000, .why = HU_HOLDER_SWITCH
	};
	char path[4096];
	FILE *all;

	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "%s/all", argv[1]);
	all = fopen(path, "wb");
	if (!all || fputc(1, all) == EOF) {
		perror(path);
		return 1;
	}
	head(&wait.hdr, HU_REC_WAIT, sizeof(wait));
	save(argv[1], "wait", &wait, sizeof(wait), all);
	for (int kind = HU_REC_SEEN; kind <= HU_REC_RESCAN; kind++) {
		char name[] = { 'p', (char)('0' + kind), '\0' };

		head(&proc.hdr, kind, sizeof(proc));
		save(argv[1], name, &proc, sizeof(proc), all);
	}
	head(&stack.hdr, HU_REC_STACK, sizeof(stack));
	save(argv[1], "stack", &stack, sizeof(stack), all);
	head(&adopt.hdr, HU_REC_ADOPT, sizeof(adopt));
	save(argv[1], "adopt", &adopt, sizeof(adopt), all);
	head(&holder.hdr, HU_REC_HOLDER, sizeof(holder));
	save(argv[1], "holder", &holder, sizeof(holder), all);
	return fclose(all) ? 1 : 0;
}
