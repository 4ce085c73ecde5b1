/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One running Go program: where its runtime keeps its goroutines and threads, found by its symbol table, or by values
 * that prove themselves in a stripped one, and checked on goroutine 1 before anything is believed.
 *
 * In: the program's file, and its memory (hostile: a wrong answer is possible, a read outside of bounds or without end
 * is not). Ownership: the binary, and the memory's context, must outlive it. Errors: -ENOTSUP: not understood, *why
 * says so in a sentence (static, or the object's own); -ESRCH, -ENOMEM. Pure but for the memory's own functions.
 */
#ifndef HOLDUP_GOLANG_GO_PROCESS_H
#define HOLDUP_GOLANG_GO_PROCESS_H

#include "user/golang/go_binary.h"
#include "user/golang/go_memory.h"
#include "user/util/table.h"

#define GO_REASONS_MAX	 64
#define GO_REASON_SZ	 48
#define GO_SAMPLES	 16
#define MODULEDATA_WORDS 64

struct go_process {
	const struct go_binary *binary;
	struct go_memory memory;
	uint64_t bias;
	uint64_t text, etext, gofunc;
	struct go_range {
		uint64_t from, to;
	} data, bss, noptrbss;
	uint64_t allgs, allp,
		sched;	/* addresses of the variables; allp, sched: 0 where not found */
	size_t reasons; /* how many */
	char reason[GO_REASONS_MAX][GO_REASON_SZ]; /* printable, NUL-terminated */
	bool by_proof;				   /* found without symbols */
	struct table sp_delta;			   /* of struct go_place, by pc: go_stack.c */
};

/* pid's load bias, by its auxiliary vector; 0 for programs that can't be moved. -ESRCH; -ENOENT: not told. */
int go_process__bias(const struct go_binary *b, pid_t pid, uint64_t *ret);
/* *ret zeroed before; go_process__close() afterwards in any case. */
int go_process__open(const struct go_binary *b, const struct go_memory *memory, uint64_t bias,
		     struct go_process *ret, const char **why);
void go_process__close(struct go_process *p);

/* The functions at a pc of the Go code, inlined ones first; leaf: the next instruction, else a return address. */
size_t go_process__frames(const struct go_process *p, uint64_t pc, bool leaf, struct go_frame *ret,
			  size_t cap);
bool go_process__has_code(const struct go_process *p, uint64_t pc);
/* The runtime's own words for why a goroutine waits; "": none. */
const char *go_process__reason(const struct go_process *p, uint8_t reason);

#endif
