/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bounded cursor over little-endian bytes. A read past the end returns 0, moves the cursor to the
 * end and sets bad for good, so that callers may check once after several reads.
 */
#ifndef HOLDUP_UNWIND_CFI_READ_H
#define HOLDUP_UNWIND_CFI_READ_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cfi_reader {
	const uint8_t *p, *end;
	bool bad;
};

static inline size_t cfi_reader__left(const struct cfi_reader *r)
{
	return (size_t)(r->end - r->p);
}

static inline void cfi_reader__skip(struct cfi_reader *r, uint64_t sz)
{
	if (sz > cfi_reader__left(r)) {
		r->p = r->end;
		r->bad = true;
		return;
	}
	r->p += sz;
}

/* sz is 1, 2, 4 or 8. */
static inline uint64_t cfi_reader__fixed(struct cfi_reader *r, size_t sz)
{
	const uint8_t *p = r->p;
	uint64_t v = 0;

	cfi_reader__skip(r, sz);
	if (r->bad)
		return 0;
	memcpy(&v, p, sz);
	return le64toh(v);
}

/* Bits above the 64th are dropped, as libdw does; the length is bounded by the data. */
static inline uint64_t cfi_reader__uleb(struct cfi_reader *r)
{
	uint64_t v = 0;
	unsigned int shift = 0;

	while (r->p < r->end) {
		uint8_t b = *r->p++;

		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
		shift = shift < 64 ? shift + 7 : shift;
	}
	r->bad = true;
	return 0;
}

static inline int64_t cfi_reader__sleb(struct cfi_reader *r)
{
	uint64_t v = 0;
	unsigned int shift = 0;

	while (r->p < r->end) {
		uint8_t b = *r->p++;

		if (shift < 64) {
			v |= (uint64_t)(b & 0x7f) << shift;
			shift += 7;
		}
		if (b & 0x80)
			continue;
		if (shift < 64 && (b & 0x40))
			v |= ~0ULL << shift;
		return (int64_t)v;
	}
	r->bad = true;
	return 0;
}

#endif
