// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_pclntab.h"

#include <errno.h>
#include <string.h>

#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u

#define NAME_MAX_SZ  8192 /* a longer name is refused; generic ones reach hundreds */
#define STEPS_MAX    65536 /* of one function's table: its lines, or places where the stack changes */
#define INLINE_DEPTH 64

#define PCDATA_INLINE	2 /* internal/abi: PCDATA_InlTreeIndex */
#define FUNCDATA_INLINE 3 /* internal/abi: FUNCDATA_InlTree */
#define NO_FILE		UINT32_MAX

/* ---- reading */

static bool read_u32(const struct go_pclntab *t, uint64_t off, uint32_t *ret)
{
	if (off > t->sz || t->sz - off < sizeof(*ret))
		return false;
	memcpy(ret, t->bytes + off, sizeof(*ret));
	return true;
}

static uint64_t header_word(const uint8_t *bytes, size_t i)
{
	uint64_t word;

	memcpy(&word, bytes + 8 + 8 * i, sizeof(word));
	return word;
}

static const char *read_text(const struct go_pclntab *t, uint64_t base, uint64_t off)
{
	size_t left;

	if (base > t->sz || off >= t->sz - base)
		return NULL;
	left = t->sz - base - off;
	if (!memchr(t->bytes + base + off, '\0', left < NAME_MAX_SZ ? left : NAME_MAX_SZ))
		return NULL;
	return (const char *)t->bytes + base + off;
}

/* A number of 7 bits a byte, least first; at most 32 bits. */
static bool read_varint(const struct go_pclntab *t, uint64_t *off, uint32_t *ret)
{
	uint32_t value = 0;

	for (int shift = 0; shift < 35 && *off < t->sz; shift += 7) {
		uint8_t byte = t->bytes[(*off)++];

		value |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

/* ---- the table */

bool go_pclntab__is_header(const uint8_t *bytes, size_t sz)
{
	uint32_t magic;

	if (sz < GO_PCLNTAB_HEADER_SZ)
		return false;
	memcpy(&magic, bytes, sizeof(magic));
	return (magic == MAGIC_1_18 || magic == MAGIC_1_20) && !bytes[4] && !bytes[5] &&
	       (bytes[6] == 1 || bytes[6] == 4) && bytes[7] == sizeof(uint64_t);
}

int go_pclntab__parse(const uint8_t *bytes, size_t sz, struct go_pclntab *ret)
{
	struct go_pclntab t = { .bytes = bytes, .sz = sz };
	uint32_t magic;

	if (!go_pclntab__is_header(bytes, sz))
		return -EINVAL;
	memcpy(&magic, bytes, sizeof(magic));
	/* pcHeader: nfunc, nfiles, textStart, funcnameOffset, cuOffset, filetabOffset, pctabOffset, pclnOffset */
	t.old = magic == MAGIC_1_18;
	t.quantum = bytes[6];
	t.funcs = header_word(bytes, 0);
	t.names_off = header_word(bytes, 3);
	t.cu_off = header_word(bytes, 4);
	t.file_off = header_word(bytes, 5);
	t.pc_off = header_word(bytes, 6);
	t.func_off = header_word(bytes, 7);
	if (t.names_off > sz || t.cu_off > sz || t.file_off > sz || t.pc_off > sz ||
	    t.func_off > sz || !t.funcs || t.funcs > (sz - t.func_off) / 8 - 1 ||
	    (sz - t.func_off) / 8 < 1)
		return -EINVAL;
	*ret = t;
	return 0;
}

/* Pairs of (place in the text, offset of the function from func_off); the last one is the end. */
static bool functab(const struct go_pclntab *t, uint64_t i, uint32_t *ret_at, uint32_t *ret_off)
{
	return i <= t->funcs && read_u32(t, t->func_off + 8 * i, ret_at) &&
	       (i == t->funcs || read_u32(t, t->func_off + 8 * i + 4, ret_off));
}

/* struct _func; startLine is new in 1.20. */
bool go_pclntab__func(const struct go_pclntab *t, uint64_t i, struct go_func *ret)
{
	uint32_t off = 0, unused, name = 0;
	size_t fixed = t->old ? 40 : 44;
	struct go_func f = { 0 };
	uint64_t at;

	if (i >= t->funcs || !functab(t, i, &f.entry, &off) ||
	    !functab(t, i + 1, &f.end, &unused) || f.end < f.entry)
		return false;
	at = t->func_off + off;
	if (at > t->sz || t->sz - at < fixed)
		return false;
	read_u32(t, at + 4, &name);
	read_u32(t, at + 16, &f.pcsp);
	read_u32(t, at + 20, &f.pcfile);
	read_u32(t, at + 24, &f.pcln);
	read_u32(t, at + 28, &f.npcdata);
	read_u32(t, at + 32, &f.cu);
	f.id = t->bytes[at + fixed - 4];
	f.flags = t->bytes[at + fixed - 3];
	f.nfuncdata = t->bytes[at + fixed - 1];
	f.tables = at + fixed;
	f.name = read_text(t, t->names_off, name);
	if (!f.name)
		return false;
	*ret = f;
	return true;
}

bool go_pclntab__find(const struct go_pclntab *t, uint64_t at, struct go_func *ret)
{
	uint64_t lo = 0, hi = t->funcs;
	uint32_t start, off;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (!functab(t, mid, &start, &off))
			return false;
		if (start <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Sorted or not: only a function that holds the place is one. */
	return lo && go_pclntab__func(t, lo - 1, ret) && at >= ret->entry && at < ret->end;
}

/* The value of a table of differences at this place: pcvalue() in symtab.go. */
static bool value_at(const struct go_pclntab *t, const struct go_func *f, uint32_t table,
		     uint64_t at, int32_t *ret)
{
	uint64_t off = t->pc_off + table, pc = f->entry;
	uint32_t value = UINT32_MAX, delta, step;

	if (!table)
		return false;
	for (int i = 0; i < STEPS_MAX; i++) {
		if (!read_varint(t, &off, &delta) || (!delta && i) || !read_varint(t, &off, &step))
			return false;
		value += delta & 1 ? ~(delta >> 1) : delta >> 1;
		pc += (uint64_t)step * t->quantum;
		if (at < pc) {
			*ret = (int32_t)value;
			return true;
		}
	}
	return false;
}

bool go_func__sp_delta(const struct go_pclntab *t, const struct go_func *f, uint64_t at,
		       int32_t *ret)
{
	return value_at(t, f, f->pcsp, at, ret) && *ret >= 0;
}

bool go_func__line(const struct go_pclntab *t, const struct go_func *f, uint64_t at,
		   const char **ret_file, int *ret_line)
{
	const char *file = NULL;
	uint32_t file_off;
	int32_t value;

	*ret_file = "";
	*ret_line = 0;
	if (!value_at(t, f, f->pcln, at, &value) || value <= 0)
		return false;
	*ret_line = value;
	if (value_at(t, f, f->pcfile, at, &value) && value >= 0 &&
	    read_u32(t, t->cu_off + 4 * ((uint64_t)f->cu + value), &file_off) &&
	    file_off != NO_FILE)
		file = read_text(t, t->file_off, file_off);
	*ret_file = file ? file : "";
	return true;
}

/* ---- inlined functions */

/* The record of the innermost function that was inlined here; false: none. */
static bool inline_index(const struct go_pclntab *t, const struct go_func *f, uint64_t at,
			 int32_t *ret)
{
	uint32_t table;

	return f->npcdata > PCDATA_INLINE && read_u32(t, f->tables + 4 * PCDATA_INLINE, &table) &&
	       value_at(t, f, table, at, ret) && *ret >= 0;
}

static bool inline_tree(const struct go_pclntab *t, const struct go_func *f, uint32_t *ret)
{
	return f->nfuncdata > FUNCDATA_INLINE && f->npcdata <= t->sz / 4 &&
	       read_u32(t, f->tables + 4 * ((uint64_t)f->npcdata + FUNCDATA_INLINE), ret) &&
	       *ret != UINT32_MAX;
}

/* struct inlinedCall: nameOff and parentPc, at 12 and 16 of 20 bytes, from 1.20 at 4 and 8 of 16. */
static bool inline_call(const struct go_pclntab *t, go_gofunc_fn read, void *ctx, uint32_t tree,
			int32_t index, const char **ret_name, uint32_t *ret_parent)
{
	size_t sz = t->old ? 20 : 16;
	uint64_t off = tree + (uint64_t)index * sz;
	uint8_t record[20];
	uint32_t name;

	if (off > UINT32_MAX - sz || read(ctx, off, record, sz))
		return false;
	memcpy(&name, record + (t->old ? 12 : 4), sizeof(name));
	memcpy(ret_parent, record + (t->old ? 16 : 8), sizeof(*ret_parent));
	*ret_name = read_text(t, t->names_off, name);
	return *ret_name != NULL;
}

bool go_func__is_wrapper(const struct go_pclntab *t, const struct go_func *f, uint64_t at)
{
	int32_t index;

	return t->wrapper && f->id == t->wrapper && !inline_index(t, f, at, &index);
}

size_t go_pclntab__frames(const struct go_pclntab *t, uint64_t at, go_gofunc_fn read, void *ctx,
			  struct go_frame *ret, size_t cap)
{
	uint32_t tree = 0, parent;
	struct go_func f;
	size_t cnt = 0;
	int32_t index;
	bool inlined;

	if (!cap || !go_pclntab__find(t, at, &f))
		return 0;
	inlined = read && inline_tree(t, &f, &tree);
	for (;;) {
		struct go_frame *frame = &ret[cnt < cap ? cnt : cap - 1];

		*frame = (struct go_frame){ .entry = f.entry, .flags = f.flags };
		go_func__line(t, &f, at, &frame->file, &frame->line);
		frame->inlined = inlined && cnt < INLINE_DEPTH && inline_index(t, &f, at, &index) &&
				 inline_call(t, read, ctx, tree, index, &frame->function, &parent);
		if (!frame->inlined || parent >= f.end - f.entry) {
			frame->inlined = false;
			frame->function = f.name;
			break;
		}
		at = f.entry + parent;
		cnt++;
	}
	if (cnt && t->wrapper && f.id == t->wrapper)
		cnt--;
	return cnt < cap ? cnt + 1 : cap;
}
