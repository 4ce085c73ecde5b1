/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Go's own table of functions and lines (src/runtime/symtab.go, src/internal/abi/symtab.go): every Go program has it,
 * stripped or not. Versions 1.18 to 1.27 (magic 0xfffffff0 and 0xfffffff1).
 *
 * In: the table's bytes (hostile: every offset is checked, every loop bounded), which the caller keeps. Places in the
 * code are offsets from the start of the text (moduledata.text), so that one table serves every process of a
 * program. Out: names that point into the bytes. Pure; nothing is allocated.
 */
#ifndef HOLDUP_GOLANG_GO_PCLNTAB_H
#define HOLDUP_GOLANG_GO_PCLNTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GO_PCLNTAB_HEADER_SZ 72

struct go_pclntab {
	const uint8_t *bytes;
	size_t sz;
	bool old;	 /* 1.18 and 1.19: other sizes of functions and inlining records */
	uint8_t quantum; /* of the code's addresses: 1, or 4 on arm64 */
	uint8_t wrapper; /* id of functions that the compiler made, which no stack shows; 0: not known */
	uint64_t funcs; /* how many */
	uint64_t names_off, cu_off, file_off, pc_off, func_off;
};

struct go_func {
	uint32_t entry, end; /* in the text */
	const char *name;
	uint32_t pcsp, pcfile, pcln, npcdata, cu;
	uint8_t id, flags, nfuncdata;
	size_t tables; /* where its pcdata begin, in the bytes */
};

enum go_func_flag {
	GO_FUNC_TOP = 1 << 0, /* the outermost frame of a stack */
};

/* Do these bytes begin like one? At least GO_PCLNTAB_HEADER_SZ of them. */
bool go_pclntab__is_header(const uint8_t *bytes, size_t sz);
/* -EINVAL: it is none, or of a version that is not known. */
int go_pclntab__parse(const uint8_t *bytes, size_t sz, struct go_pclntab *ret);
/* The function at this place of the text; false: none. */
bool go_pclntab__find(const struct go_pclntab *t, uint64_t at, struct go_func *ret);
/* The i-th of t->funcs functions. */
bool go_pclntab__func(const struct go_pclntab *t, uint64_t i, struct go_func *ret);
/* Bytes between the stack pointer at this instruction and the return address (amd64). */
bool go_func__sp_delta(const struct go_pclntab *t, const struct go_func *f, uint64_t at,
		       int32_t *ret);
/* file: "" when unknown. */
bool go_func__line(const struct go_pclntab *t, const struct go_func *f, uint64_t at,
		   const char **ret_file, int *ret_line);

/* sz bytes of go:func.* (moduledata.gofunc) at this offset; 0, or -errno. */
typedef int (*go_gofunc_fn)(void *ctx, uint32_t off, void *buf, size_t sz);

/* Did the compiler make the function, and is nothing that it did not make inlined into it here? */
bool go_func__is_wrapper(const struct go_pclntab *t, const struct go_func *f, uint64_t at);

/*
 * One function at a place of the code; those inlined there come first. A function that the compiler made (a go
 * statement with arguments, a method of an embedded type) is left out when others are inlined into it.
 */
struct go_frame {
	const char *function, *file;
	uint32_t entry; /* of the function that has the code */
	uint8_t flags;
	int line;
	bool inlined;
};

/* Returns how many, at most cap; 0: no function there. read: NULL for none inlined. */
size_t go_pclntab__frames(const struct go_pclntab *t, uint64_t at, go_gofunc_fn read, void *ctx,
			  struct go_frame *ret, size_t cap);

#endif
