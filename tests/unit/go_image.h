/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Go program made by hand, as it would lie in memory: a table of functions, module data, goroutines and their
 * stacks. For the unit tests and the fuzzers, which then change bytes of it. Every function is 256 bytes of code and
 * has a frame of 32 bytes from its 16th byte on; byte 0x40 to 0x80 of main.work are inlined from sync.(*Mutex).Lock.
 */
#ifndef HOLDUP_TEST_GO_IMAGE_H
#define HOLDUP_TEST_GO_IMAGE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_process.h"
#include "user/golang/go_snapshot.h"

#define IMG_TEXT     0x401000ull
#define IMG_RO	     0x500000ull
#define IMG_GOFUNC   0x508000ull
#define IMG_RO_SZ    0x9000
#define IMG_RW	     0x600000ull
#define IMG_MD	     (IMG_RW + 0x100)
#define IMG_REASONS  (IMG_RW + 0x1000)
#define IMG_STRINGS  (IMG_RW + 0x2000)
#define IMG_BSS	     (IMG_RW + 0x3000)
#define IMG_SPAN(i)  (IMG_RW + 0x3a00 + 0x90 * (i))
#define IMG_SPANS    5
#define IMG_SEMTABLE (IMG_BSS + 0x1000)
#define IMG_BSS_SZ   0x9000
#define IMG_RW_SZ    (0x3000 + IMG_BSS_SZ)
#define IMG_HEAP     0xc000000000ull
#define IMG_G(i)     (IMG_HEAP + 0x1000 + 0x200 * (i))
#define IMG_SUDOG(i) (IMG_HEAP + 0x4000 + 0x70 * (i))
#define IMG_M	     (IMG_HEAP + 0x5000)
#define IMG_P	     (IMG_HEAP + 0x8000)
#define IMG_HEAP_SZ  0x10000
#define IMG_STACKS   0xc000100000ull
#define IMG_GS	     6
#define IMG_STACK_SZ 0x800
#define IMG_FN_SZ    256
#define IMG_FRAME    32

enum img_function {
	IMG_MAIN, /* runtime.main */
	IMG_GOEXIT,
	IMG_GOPARK,
	IMG_SEMACQUIRE,
	IMG_WORK, /* main.work */
	IMG_SERVE,
	IMG_SYSTEM, /* runtime.bgsweep */
	IMG_FUNCTIONS
};

struct go_image {
	uint8_t ro[IMG_RO_SZ], rw[IMG_RW_SZ], heap[IMG_HEAP_SZ], stacks[IMG_GS * IMG_STACK_SZ];
	struct elf_file elf;
	Elf64_Phdr phdr[2];
	struct go_binary binary;
	struct go_layout l;
	size_t table_sz;
};

static inline uint64_t img__pc(enum img_function f, unsigned off)
{
	return IMG_TEXT + f * IMG_FN_SZ + off;
}

static inline uint8_t *img__at(struct go_image *img, uint64_t addr, size_t sz)
{
	const struct {
		uint64_t base;
		uint8_t *bytes;
		size_t sz;
	} part[] = {
		{ IMG_RO, img->ro, sizeof(img->ro) },
		{ IMG_RW, img->rw, sizeof(img->rw) },
		{ IMG_HEAP, img->heap, sizeof(img->heap) },
		{ IMG_STACKS, img->stacks, sizeof(img->stacks) },
	};

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		if (addr >= part[i].base && addr - part[i].base <= part[i].sz &&
		    sz <= part[i].sz - (addr - part[i].base))
			return part[i].bytes + (addr - part[i].base);
	return NULL;
}

static inline void img__put(struct go_image *img, uint64_t addr, uint64_t value, size_t sz)
{
	uint8_t *at = img__at(img, addr, sz);

	if (!at)
		abort();
	memcpy(at, &value, sz);
}

static inline void img__word(struct go_image *img, uint64_t addr, uint64_t value)
{
	img__put(img, addr, value, 8);
}

/* ---- the table of functions */

static inline size_t img__text(uint8_t *to, size_t at, const char *text)
{
	memcpy(to + at, text, strlen(text) + 1);
	return at + strlen(text) + 1;
}

/* One step of a table of differences: the value up to `end`, after `from`. */
static inline size_t img__step(uint8_t *to, size_t at, int delta, unsigned pcs)
{
	unsigned zigzag = delta < 0 ? ~((unsigned)delta << 1) : (unsigned)delta << 1;

	for (; zigzag > 127; zigzag >>= 7)
		to[at++] = zigzag | 128;
	to[at++] = zigzag;
	for (; pcs > 127; pcs >>= 7)
		to[at++] = pcs | 128;
	to[at++] = pcs;
	return at;
}

static inline void img__u32(uint8_t *to, size_t at, uint32_t value)
{
	memcpy(to + at, &value, sizeof(value));
}

static inline void img__table(struct go_image *img, bool old)
{
	static const char *const names[IMG_FUNCTIONS] = {
		"runtime.main", "runtime.goexit", "runtime.gopark",  "runtime.semacquire1",
		"main.work",	"main.serve",	  "runtime.bgsweep",
	};
	uint32_t name_off[IMG_FUNCTIONS + 1], func_off, pcsp, pcfile, pcln[IMG_FUNCTIONS], pcinl;
	uint8_t *t = img->ro;
	size_t at = 0x80, fixed = old ? 40 : 44, names_at = at, files_at, pcs_at, funcs_at, inl;

	for (int i = 0; i < IMG_FUNCTIONS; i++) {
		name_off[i] = at - names_at;
		at = img__text(t, at, names[i]);
	}
	name_off[IMG_FUNCTIONS] = at - names_at;
	at = img__text(t, at, "sync.(*Mutex).Lock");
	files_at = at;
	at = img__text(t, at, "/src/app/work.go");
	at = (at + 7) & ~7ull;
	img__u32(t, 0x70, 0); /* the one compilation unit's one file */
	pcs_at = at;
	at++; /* no table begins at 0 */
	pcsp = at - pcs_at;
	at = img__step(t, at, 1, 16); /* 0: nothing is pushed yet */
	at = img__step(t, at, IMG_FRAME, IMG_FN_SZ - 16);
	t[at++] = 0;
	pcfile = at - pcs_at;
	at = img__step(t, at, 1, IMG_FN_SZ);
	t[at++] = 0;
	for (int i = 0; i < IMG_FUNCTIONS; i++) {
		pcln[i] = at - pcs_at;
		at = img__step(t, at, 1 + 100 * (i + 1), 0x40); /* line 100, 200, … */
		at = img__step(t, at, 7, 0x40);
		at = img__step(t, at, -3, IMG_FN_SZ - 0x80);
		t[at++] = 0;
	}
	pcinl = at - pcs_at;
	at = img__step(t, at, 0, 0x40); /* -1 */
	at = img__step(t, at, 1, 0x40); /* 0 */
	at = img__step(t, at, -1, IMG_FN_SZ - 0x80);
	t[at++] = 0;
	at = (at + 7) & ~7ull;
	funcs_at = at;
	at += 8 * IMG_FUNCTIONS + 8;
	for (int i = 0; i <= IMG_FUNCTIONS; i++) {
		func_off = at - funcs_at;
		img__u32(t, funcs_at + 8 * i, i * IMG_FN_SZ);
		if (i == IMG_FUNCTIONS)
			break;
		img__u32(t, funcs_at + 8 * i + 4, func_off);
		img__u32(t, at, i * IMG_FN_SZ);
		img__u32(t, at + 4, name_off[i]);
		img__u32(t, at + 16, pcsp);
		img__u32(t, at + 20, pcfile);
		img__u32(t, at + 24, pcln[i]);
		img__u32(t, at + 28, i == IMG_WORK ? 3 : 0);
		t[at + fixed - 3] = i == IMG_GOEXIT ? GO_FUNC_TOP : 0;
		t[at + fixed - 1] = i == IMG_WORK ? 4 : 0;
		at += fixed;
		if (i != IMG_WORK)
			continue;
		img__u32(t, at + 8, pcinl);
		img__u32(t, at + 12 + 12, 0); /* FUNCDATA_InlTree, at the start of gofunc */
		at += 12 + 16;
	}
	img->table_sz = at;
	inl = IMG_GOFUNC - IMG_RO;
	img__u32(t, inl + (old ? 12 : 4), name_off[IMG_FUNCTIONS]);
	img__u32(t, inl + (old ? 16 : 8), 0x20); /* called on the line of byte 0x20 */
	img__u32(t, 0, old ? 0xfffffff0u : 0xfffffff1u);
	t[6] = 1;
	t[7] = 8;
	img__word(img, IMG_RO + 8, IMG_FUNCTIONS);
	img__word(img, IMG_RO + 8 + 24, names_at);
	img__word(img, IMG_RO + 8 + 32, 0x70);
	img__word(img, IMG_RO + 8 + 40, files_at);
	img__word(img, IMG_RO + 8 + 48, pcs_at);
	img__word(img, IMG_RO + 8 + 56, funcs_at);
}

/* ---- the runtime */

static inline void img__module(struct go_image *img)
{
	const struct go_pclntab *t = &img->binary.pclntab;

	img__word(img, IMG_MD, IMG_RO);
	img__word(img, IMG_MD + 8, IMG_RO + t->names_off);
	img__word(img, IMG_MD + 8 * 13, IMG_RO + t->func_off);
	img__word(img, IMG_MD + 8 * 16, IMG_RO + t->func_off);
	img__word(img, IMG_MD + 8 * 22, IMG_TEXT);
	img__word(img, IMG_MD + 8 * 23, IMG_TEXT + IMG_FUNCTIONS * IMG_FN_SZ);
	img__word(img, IMG_MD + 8 * 26, IMG_REASONS);
	img__word(img, IMG_MD + 8 * 27, IMG_REASONS + 0x100);
	img__word(img, IMG_MD + 8 * 28, IMG_BSS);
	img__word(img, IMG_MD + 8 * 29, IMG_BSS + IMG_BSS_SZ);
	img__word(img, IMG_MD + img->l.md_gofunc, IMG_GOFUNC);
}

static const char *const img_reasons[] = { "", "GC assist marking", "semacquire", "chan send",
					   "GC sweep wait" };

static inline void img__reasons(struct go_image *img)
{
	size_t at = IMG_STRINGS;

	for (size_t i = 0; i < sizeof(img_reasons) / sizeof(img_reasons[0]); i++) {
		size_t len = strlen(img_reasons[i]);

		if (len)
			memcpy(img__at(img, at, len), img_reasons[i], len);
		img__word(img, IMG_REASONS + 16 * i, len ? at : 0);
		img__word(img, IMG_REASONS + 16 * i + 8, len);
		at += len;
	}
}

/* A goroutine that is parked in these functions, leaf first; goexit ends them. */
static inline void img__goroutine(struct go_image *img, int i, uint32_t status, uint8_t reason,
				  const enum img_function *fn, int cnt)
{
	const struct go_layout *l = &img->l;
	uint64_t g = IMG_G(i), lo = IMG_STACKS + i * IMG_STACK_SZ, sp = lo + 0x400;

	img__word(img, g + l->g_lo, lo);
	img__word(img, g + l->g_hi, lo + IMG_STACK_SZ);
	img__word(img, g + l->g_sp, sp);
	img__word(img, g + l->g_pc, img__pc(fn[0], 0x90));
	img__put(img, g + l->g_status, status, 4);
	img__word(img, g + l->g_goid, i + 1);
	img__put(img, g + l->g_waitreason, reason, 1);
	img__put(img, g + l->g_tracking_seq, 3, 1);
	img__word(img, g + l->g_gopc, img__pc(IMG_SERVE, 0x90));
	img__word(img, g + l->g_startpc, img__pc(fn[cnt - 1], 0));
	for (int n = 1; n <= cnt; n++) {
		sp += IMG_FRAME;
		img__word(img, sp, n < cnt ? img__pc(fn[n], 0x50) : img__pc(IMG_GOEXIT, 1));
		sp += 8;
	}
}

static inline void img__sudog_at(struct go_image *img, uint64_t at, uint64_t g, uint64_t elem,
				 uint64_t chan)
{
	img__word(img, at + img->l.s_g, g);
	img__word(img, at + img->l.s_elem, elem);
	img__word(img, at + img->l.s_elem_kept, elem);
	img__word(img, at + img->l.s_c, chan);
	img__word(img, at + img->l.s_c_kept, chan);
}

static inline void img__sudog(struct go_image *img, int i, uint64_t elem, uint64_t chan)
{
	img__sudog_at(img, IMG_SUDOG(i), IMG_G(i), elem, chan);
}

/* Where the table of semaphores has the root of one. */
static inline uint64_t img__root(struct go_image *img, uint64_t sema)
{
	size_t sz = img->elf.ehdr.e_machine == EM_AARCH64 ? 128 : 64;

	return IMG_SEMTABLE + (sema >> 3) % 251 * sz;
}

static inline void img__treap(struct go_image *img, uint64_t sema, uint64_t sudog, uint32_t waiters)
{
	img__word(img, img__root(img, sema) + img->l.r_treap, sudog);
	img__put(img, img__root(img, sema) + img->l.r_nwait, waiters, 4);
}

static inline void img__goroutines(struct go_image *img, int minor)
{
	static const enum img_function main_fn[] = { IMG_GOPARK, IMG_MAIN },
				       lock_fn[] = { IMG_GOPARK, IMG_SEMACQUIRE, IMG_WORK,
						     IMG_SERVE },
				       send_fn[] = { IMG_GOPARK, IMG_SERVE },
				       system_fn[] = { IMG_GOPARK, IMG_SYSTEM };

	img__goroutine(img, 0, GO_WAITING, 4, main_fn, 2);
	img__goroutine(img, 1, GO_WAITING, 2, lock_fn, 4);
	img__goroutine(img, 2, GO_WAITING, 3, send_fn, 2);
	img__goroutine(img, 3, GO_DEAD, 0, send_fn, 2);
	img__goroutine(img, 4, GO_RUNNING, 0, send_fn, 2);
	img__goroutine(img, 5, GO_WAITING | 0x1000, 4, system_fn, 2);
	img__sudog(img, 1, IMG_HEAP + 0x7004, 0);
	img__treap(img, IMG_HEAP + 0x7004, IMG_SUDOG(1), 1);
	img__sudog(img, 2, 0, IMG_HEAP + 0x7100);
	img__word(img, IMG_G(2) + img->l.g_waiting, IMG_SUDOG(2));
	if (minor >= 26) /* semaphores' too are known by g.waiting */
		img__word(img, IMG_G(1) + img->l.g_waiting, IMG_SUDOG(1));
	else /* … before, only a local variable of semacquire1() has it */
		img__word(img, IMG_STACKS + IMG_STACK_SZ + 0x400 + IMG_FRAME + 16, IMG_SUDOG(1));
	img__word(img, IMG_G(4) + img->l.g_m, IMG_M);
	img__word(img, IMG_M + img->l.m_curg, IMG_G(4));
	img__word(img, IMG_M + img->l.m_procid, 4711);
}

static inline void img__variables(struct go_image *img)
{
	const struct go_layout *l = &img->l;
	uint64_t allgs = IMG_BSS + 0x100, allp = IMG_BSS + 0x200, sched = IMG_BSS + 0x300;

	for (int i = 0; i < IMG_GS; i++)
		img__word(img, IMG_HEAP + 8 * i, IMG_G(i));
	img__word(img, allgs, IMG_HEAP);
	img__word(img, allgs + 8, IMG_GS);
	img__word(img, allgs + 16, 8);
	img__word(img, IMG_HEAP + 0x800, IMG_P);
	img__word(img, allp, IMG_HEAP + 0x800);
	img__word(img, allp + 8, 1);
	img__word(img, allp + 16, 1);
	img__word(img, IMG_P + l->p_m, IMG_M);
	img__word(img, IMG_M + l->m_p, IMG_P);
	img__put(img, IMG_P + l->p_status, 1, 4);
	img__put(img, IMG_P + l->p_runqtail, 3, 4);
	img__word(img, sched + l->sched_goidgen, 48);
	img__put(img, sched + l->sched_maxm, 10000, 4);
}

/* class: its size class, twice, and 1 for objects without pointers; in_use: 1. */
static inline void img__span(struct go_image *img, int minor, int i, uint64_t addr, uint64_t pages,
			     uint8_t class, uint64_t elem, uint8_t in_use)
{
	uint64_t span = IMG_SPAN(i), at = span + (minor == 21 ? 112 : 104);

	img__word(img, IMG_RW + 0x3900 + 8 * i, span);
	img__word(img, span + 24, addr);
	img__word(img, span + 32, pages);
	img__put(img, at - 6, class, 1);
	img__put(img, at - 5, in_use, 1);
	img__word(img, at, elem);
	img__word(img, at + 8, addr + (pages * 8192 / (elem ? elem : 1)) * elem);
}

/* Goroutines; nothing; records of waits; small objects without and with pointers; a large one. */
static inline void img__spans(struct go_image *img, int minor)
{
	uint64_t all = IMG_BSS + 0x600;

	img__span(img, minor, 0, IMG_HEAP, 1, 2 * 26, 512, 1);
	img__span(img, minor, 1, IMG_HEAP + 0x2000, 1, 0, 0, 0);
	img__span(img, minor, 2, IMG_HEAP + 0x4000, 1, 2 * 9, 112, 1);
	img__span(img, minor, 3, IMG_HEAP + 0x6000, 1, 2 * 18, 256, 1);
	img__span(img, minor, 4, IMG_P, 4, 0, 4 * 8192, 1);
	img__word(img, all, IMG_RW + 0x3900);
	img__word(img, all + 8, IMG_SPANS);
	img__word(img, all + 16, IMG_SPANS);
}

/* A stripped program of go1.<minor>; img__free() it. NULL: out of memory. */
static inline struct go_image *img__new(int minor)
{
	struct go_image *img = calloc(1, sizeof(*img));

	if (!img || go_layout__of(minor, &img->l)) {
		free(img);
		return NULL;
	}
	img__table(img, minor < 20);
	img->phdr[0] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = IMG_RO, .p_filesz = IMG_RO_SZ
	};
	img->phdr[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				     .p_flags = PF_R | PF_W,
				     .p_vaddr = IMG_RW,
				     .p_offset = IMG_RO_SZ,
				     .p_filesz = IMG_BSS - IMG_RW };
	img->elf = (struct elf_file){ .fd = -1,
				      .image = img->ro, /* both: they lie behind each other */
				      .sz = IMG_RO_SZ + IMG_RW_SZ,
				      .is64 = true,
				      .phdr = img->phdr,
				      .phdr_cnt = 2 };
	img->binary = (struct go_binary){ .elf = &img->elf,
					  .minor = minor,
					  .known = true,
					  .layout = img->l,
					  .table = img->ro,
					  .table_sz = img->table_sz,
					  .table_addr = IMG_RO,
					  .main_entry = IMG_MAIN * IMG_FN_SZ };
	if (go_pclntab__parse(img->ro, img->table_sz, &img->binary.pclntab)) {
		free(img);
		return NULL;
	}
	img__module(img);
	img__reasons(img);
	img__variables(img);
	img__goroutines(img, minor);
	img__spans(img, minor);
	return img;
}

static inline int img__read(void *ctx, uint64_t addr, void *to, size_t sz)
{
	const uint8_t *at = img__at(ctx, addr, sz);

	if (!at)
		return -EFAULT;
	memcpy(to, at, sz);
	return 0;
}

static inline void img__read_many(void *ctx, struct go_piece *piece, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		piece[i].ok = !img__read(ctx, piece[i].addr, piece[i].to, piece[i].sz);
}

static inline struct go_memory img__memory(struct go_image *img)
{
	return (struct go_memory){ img__read, img__read_many, img };
}

#endif
