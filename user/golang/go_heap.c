// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SHIFT  13		 /* of the runtime's pages: src/runtime/sizeclasses.go */
#define SPANS_MAX   (1u << 20)	 /* 8 GiB of the smallest */
#define PAGES_MAX   (1ull << 27) /* of one span: 1 TiB */
#define OBJECTS_MAX (1u << 28)
#define PROVED	    16 /* spans of a list that are looked at before all are read */
/* Lists that are looked at, and spans of those that are read: more are hostile. */
#define LISTS_MAX 65536
#define TRIED_MAX (4ull * SPANS_MAX)
#define CHUNK_SZ  65536
#define SCAN_MAX  (64u << 20) /* of a section that is looked through */
#define BATCH	  1024

/*
 * src/runtime/mheap.go, type mspan: the first two are the same in all versions. What follows the bitmaps moved with
 * their number (pinnerBits came in 1.21; freeindex and nelems shrank in 1.22), in one piece: it is found by elemsize.
 */
#define SPAN_ADDR     24
#define SPAN_PAGES    32
#define SPAN_CLASS    (-6)
#define SPAN_STATE    (-5)
#define SPAN_LIMIT    8
#define SPAN_SPECIALS 24
#define SPAN_SZ	      144
#define IN_USE	      1 /* mSpanInUse */

static const int elem_size_at[] = { 104, 112 };

/* class_to_size, the same since 1.16 (src/runtime/sizeclasses.go, later src/internal/runtime/gc/sizeclasses.go). */
static const uint16_t class_size[] = {
	0,     8,     16,    24,    32,	   48,	  64,	 80,	96,    112,   128,   144,
	160,   176,   192,   208,   224,   240,	  256,	 288,	320,   352,   384,   416,
	448,   480,   512,   576,   640,   704,	  768,	 896,	1024,  1152,  1280,  1408,
	1536,  1792,  2048,  2304,  2688,  3072,  3200,	 3456,	4096,  4864,  5376,  6144,
	6528,  6784,  6912,  8192,  9472,  9728,  10240, 10880, 12288, 13568, 14336, 16384,
	18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
};
#define CLASSES (sizeof(class_size) / sizeof(class_size[0]))

static uint64_t u64_at(const uint8_t *bytes, int off)
{
	uint64_t value;

	memcpy(&value, bytes + off, sizeof(value));
	return value;
}

/* ---- one span */

/* Is this a span at all, in use or not? Some are kept that never were (p.mspancache): those are zero. */
static bool is_span(const uint8_t *bytes, bool *ret_zero)
{
	uint64_t addr = u64_at(bytes, SPAN_ADDR), pages = u64_at(bytes, SPAN_PAGES);

	*ret_zero = !addr && !pages;
	return *ret_zero || (go_memory__plausible(addr) && !(addr & ((1u << PAGE_SHIFT) - 1)) &&
			     pages && pages <= PAGES_MAX);
}

enum decoded {
	DECODED_OTHER,
	DECODED_SPAN,
	DECODED_WRONG
};

/* at: of elemsize. Wrong: it is in use, and not what it should be. */
static enum decoded decode(const uint8_t *bytes, int at, struct go_span *ret)
{
	uint64_t sz = u64_at(bytes, SPAN_PAGES) << PAGE_SHIFT;
	uint64_t elem = u64_at(bytes, at), limit = u64_at(bytes, at + SPAN_LIMIT);
	uint8_t class = bytes[at + SPAN_CLASS];

	ret->addr = u64_at(bytes, SPAN_ADDR);
	if (bytes[at + SPAN_STATE] != IN_USE)
		return DECODED_OTHER;
	if (class / 2 >= CLASSES || !elem || elem > sz || limit <= ret->addr ||
	    limit > ret->addr + sz || (class / 2 && elem != class_size[class / 2]))
		return DECODED_WRONG;
	ret->elem_sz = elem;
	ret->elems = class / 2 ? (limit - ret->addr) / elem : 1;
	ret->noscan = class & 1;
	ret->goroutines = false;
	ret->specials = u64_at(bytes, at + SPAN_SPECIALS);
	return ret->elems ? DECODED_SPAN : DECODED_WRONG;
}

/* ---- the list */

static bool slice_like(const struct go_slice *s)
{
	return go_memory__plausible(s->ptr) && s->len >= 2 && s->len <= s->cap &&
	       s->cap <= 4ull * SPANS_MAX;
}

/* The first few, before more is read. */
static bool looks_like_spans(const struct go_process *p, const struct go_slice *s)
{
	size_t cnt = s->len < PROVED ? s->len : PROVED;
	uint64_t span[PROVED];
	uint8_t bytes[SPAN_SZ];
	size_t zeros = 0;
	bool zero;

	if (go_memory__read(&p->memory, s->ptr, span, cnt * sizeof(span[0])))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		if (!go_memory__plausible(span[i]) ||
		    go_memory__read(&p->memory, span[i], bytes, sizeof(bytes)) ||
		    !is_span(bytes, &zero))
			return false;
		zeros += zero;
	}
	return zeros < cnt;
}

static int by_address(const void *a, const void *b)
{
	const struct go_span *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* A span may begin or cease to be used while it is read: few are wrong. */
static void add_batch(const struct go_process *p, const uint64_t *span, size_t cnt, int at,
		      uint8_t *bytes, struct go_heap *h, size_t *wrong)
{
	struct go_piece piece[BATCH];

	for (size_t i = 0; i < cnt; i++)
		piece[i] = (struct go_piece){ span[i], bytes + i * SPAN_SZ, SPAN_SZ, false };
	p->memory.read_many(p->memory.ctx, piece, cnt);
	for (size_t i = 0; i < cnt; i++) {
		struct go_span *to = &h->span[h->cnt];
		enum decoded decoded = DECODED_WRONG;
		bool zero;

		if (piece[i].ok && is_span(bytes + i * SPAN_SZ, &zero))
			decoded = zero ? DECODED_OTHER : decode(bytes + i * SPAN_SZ, at, to);
		h->cnt += decoded == DECODED_SPAN;
		*wrong += decoded == DECODED_WRONG;
	}
}

static bool overlap(const struct go_heap *h)
{
	for (size_t i = 1; i < h->cnt; i++)
		if (h->span[i - 1].addr + h->span[i - 1].elems * h->span[i - 1].elem_sz >
		    h->span[i].addr)
			return true;
	return false;
}

/* The last that begins at or below the address; NULL: none. */
static struct go_span *find_span(const struct go_heap *h, uint64_t addr)
{
	size_t lo = 0, hi = h->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (h->span[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &h->span[lo - 1] : NULL;
}

/* Goroutines are objects of the heap. */
static bool has_goroutines(const struct go_process *p, const struct go_snapshot *s,
			   struct go_heap *h)
{
	size_t g_sz = go_layout__g_size(&p->binary->layout);
	struct go_heap_object o;

	for (size_t i = 0; i < s->cnt; i++) {
		if (!go_heap__find(h, s->goroutine[i].addr, &o) || o.addr != s->goroutine[i].addr ||
		    o.sz < g_sz)
			return false;
		find_span(h, o.addr)->goroutines = true;
	}
	return s->cnt;
}

static int number(struct go_heap *h)
{
	for (size_t i = 0; i < h->cnt; i++) {
		h->span[i].first = h->objects;
		h->objects += h->span[i].elems;
		if (h->objects > OBJECTS_MAX)
			return -E2BIG;
	}
	return 0;
}

static int read_list(const struct go_process *p, const struct go_slice *s, int at,
		     const uint64_t *span, struct go_heap *ret)
{
	uint8_t *bytes = malloc(BATCH * SPAN_SZ);
	size_t wrong = 0;

	*ret = (struct go_heap){ .span = malloc(s->len * sizeof(*ret->span)) };
	for (size_t i = 0; ret->span && bytes && i < s->len; i += BATCH)
		add_batch(p, span + i, s->len - i < BATCH ? s->len - i : BATCH, at, bytes, ret,
			  &wrong);
	free(bytes);
	if (!ret->span || !bytes)
		return -ENOMEM;
	if (wrong > 2 + s->len / 64)
		return -ENOENT;
	qsort(ret->span, ret->cnt, sizeof(ret->span[0]), by_address);
	return overlap(ret) ? -ENOENT : number(ret);
}

static int try_list(const struct go_process *p, const struct go_snapshot *s,
		    const struct go_slice *slice, struct go_heap *ret)
{
	uint64_t *span;
	int err = -ENOENT;

	if (slice->len > SPANS_MAX)
		return -E2BIG;
	span = malloc(slice->len * sizeof(*span));
	if (!span)
		return -ENOMEM;
	if (!go_memory__read(&p->memory, slice->ptr, span, slice->len * sizeof(*span)))
		for (size_t i = 0; i < sizeof(elem_size_at) / sizeof(elem_size_at[0]); i++) {
			err = read_list(p, slice, elem_size_at[i], span, ret);
			if (!err && !has_goroutines(p, s, ret))
				err = -ENOENT;
			if (!err || err == -ENOMEM)
				break;
			go_heap__free(ret);
		}
	free(span);
	return err;
}

/* How much has been tried. */
struct tries {
	size_t lists, spans;
};

/* mheap_.allspans, which lies in one or the other section, as a type in mheap has pointers or not. */
static int scan(const struct go_process *p, const struct go_snapshot *s, const struct go_range *r,
		struct tries *tries, uint8_t *bytes, struct go_heap *ret)
{
	uint64_t to = r->to - r->from > SCAN_MAX ? r->from + SCAN_MAX : r->to;
	struct go_slice slice;

	for (uint64_t at = (r->from + 7) & ~7ull; at < to; at += CHUNK_SZ) {
		size_t sz = to - at < CHUNK_SZ + 16 ? to - at : CHUNK_SZ + 16;

		if (go_memory__read(&p->memory, at, bytes, sz))
			continue;
		for (size_t i = 0; i + sizeof(slice) <= sz; i += 8) {
			int err;

			memcpy(&slice, bytes + i, sizeof(slice));
			if (!slice_like(&slice))
				continue;
			if (++tries->lists > LISTS_MAX || tries->spans > TRIED_MAX)
				return -E2BIG;
			if (!looks_like_spans(p, &slice))
				continue;
			tries->spans += slice.len;
			err = try_list(p, s, &slice, ret);
			if (err != -ENOENT)
				return err;
		}
	}
	return -ENOENT;
}

/* ---- */

int go_heap__read(const struct go_process *p, const struct go_snapshot *s, struct go_heap *ret)
{
	uint8_t *bytes = malloc(CHUNK_SZ + 16);
	struct tries tries = { 0 };
	int err;

	*ret = (struct go_heap){ 0 };
	if (!bytes)
		return -ENOMEM;
	err = scan(p, s, &p->bss, &tries, bytes, ret);
	if (err == -ENOENT)
		err = scan(p, s, &p->noptrbss, &tries, bytes, ret);
	free(bytes);
	if (err)
		go_heap__free(ret);
	return err;
}

bool go_heap__find(const struct go_heap *h, uint64_t addr, struct go_heap_object *ret)
{
	const struct go_span *span = find_span(h, addr);
	uint64_t elem;

	if (!span)
		return false;
	elem = (addr - span->addr) / span->elem_sz;
	if (elem >= span->elems)
		return false;
	*ret = (struct go_heap_object){ span->addr + elem * span->elem_sz, span->elem_sz,
					span->first + elem, span->noscan, span->goroutines };
	return true;
}

void go_heap__free(struct go_heap *h)
{
	free(h->span);
	*h = (struct go_heap){ 0 };
}
