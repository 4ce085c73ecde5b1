// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/fde.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* LSB 5.0, "DWARF Exception Header Encoding": value in the low nibble, what it counts from above. */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB128 = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB128 = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_PCREL = 0x10,
	PE_UNKNOWN = 0xff,
};

#define FDES_MAX (4u << 20) /* 64 MiB of ranges; Chromium has under a million */

/* A part of the section. ok turns false with the first read beyond end and stays so. */
struct reader {
	const uint8_t *p, *end, *data;
	uint64_t vaddr; /* of data[0] */
	bool is64, ok;
};

static uint64_t take(struct reader *r, size_t sz)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	const uint8_t *p = r->p;

	if (!r->ok || (size_t)(r->end - p) < sz) {
		r->ok = false;
		return 0;
	}
	r->p += sz;
	switch (sz) {
	case 1:
		return *p;
	case 2:
		memcpy(&v16, p, sz);
		return v16;
	case 4:
		memcpy(&v32, p, sz);
		return v32;
	default:
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
}

static uint64_t take_uleb(struct reader *r)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = take(r, 1);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (shift > 70) /* longer than any 64-bit number: somebody wants us to be slow */
			r->ok = false;
	} while (r->ok && (byte & 0x80));
	return v;
}

static uint64_t take_pointer(struct reader *r, uint8_t enc)
{
	uint64_t at = r->vaddr + (r->p - r->data), v;

	switch (enc & 0x0f) {
	case PE_ABSPTR:
		v = take(r, r->is64 ? 8 : 4);
		break;
	case PE_UDATA2:
		v = take(r, 2);
		break;
	case PE_UDATA4:
		v = take(r, 4);
		break;
	case PE_SDATA2:
		v = (int16_t)take(r, 2);
		break;
	case PE_SDATA4:
		v = (int32_t)take(r, 4);
		break;
	case PE_UDATA8:
	case PE_SDATA8:
		v = take(r, 8);
		break;
	default: /* LEB128 addresses: nobody emits them */
		r->ok = false;
		return 0;
	}
	if ((enc & 0xf0) == PE_PCREL)
		v += at;
	else if (enc & 0xf0)
		r->ok = false; /* indirect, or relative to text, data or function */
	return r->is64 ? v : (uint32_t)v;
}

/* One length-prefixed entry: r->p moves behind it, *ret covers what follows the length. */
static bool take_entry(struct reader *r, struct reader *ret)
{
	uint64_t len = take(r, 4);

	if (len == 0xffffffff)
		len = take(r, 8);
	/* A zero terminates one object file's part; crtend.o's is the last, but others may follow. */
	if (!r->ok || len > (uint64_t)(r->end - r->p))
		return false;
	*ret = *r;
	ret->end = r->p + len;
	r->p += len;
	return true;
}

/* The encoding of the addresses in the FDEs of the CIE at data + off. */
static uint8_t cie_encoding(const struct reader *section, uint64_t off)
{
	struct reader r = *section, cie;
	char aug[9];
	size_t len = 0;

	r.p = r.data + off;
	if (!take_entry(&r, &cie) || take(&cie, 4) != 0)
		return PE_UNKNOWN;
	take(&cie, 1); /* version */
	do {
		aug[len] = take(&cie, 1);
	} while (aug[len] && cie.ok && ++len < sizeof(aug));
	if (!cie.ok || len == sizeof(aug))
		return PE_UNKNOWN;
	if (aug[0] != 'z')
		return aug[0] ? PE_UNKNOWN : PE_ABSPTR;
	take_uleb(&cie); /* code alignment */
	take_uleb(&cie); /* data alignment: signed, of the same length */
	take_uleb(&cie); /* return address register; one byte in version 1, where it is below 128 */
	take_uleb(&cie); /* length of what follows */
	for (size_t i = 1; i < len; i++) {
		uint8_t enc;

		switch (aug[i]) {
		case 'R':
			enc = take(&cie, 1);
			return cie.ok ? enc : PE_UNKNOWN;
		case 'L':
			take(&cie, 1);
			break;
		case 'P':
			enc = take(&cie, 1);
			take_pointer(&cie, enc & 0x0f);
			break;
		case 'S': /* signal frame */
		case 'B': /* arm64: pointer authentication with the B key */
			break;
		default:
			return PE_UNKNOWN;
		}
	}
	return cie.ok ? PE_ABSPTR : PE_UNKNOWN;
}

static int append(struct fde_list *l, size_t *cap, struct fde_range range)
{
	struct fde_range *more;

	if (l->cnt == *cap) {
		*cap = *cap ? *cap * 2 : 1024;
		more = reallocarray(l->range, *cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->range = more;
	}
	l->range[l->cnt++] = range;
	return 0;
}

static int compare(const void *pa, const void *pb)
{
	const struct fde_range *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static int scan(struct reader r, uint64_t lo, uint64_t hi, struct fde_list *ret)
{
	uint64_t cie_off = UINT64_MAX;
	uint8_t enc = PE_UNKNOWN;
	struct reader e;
	size_t cap = 0;

	while (r.ok && r.p < r.end && ret->cnt < FDES_MAX && take_entry(&r, &e)) {
		uint64_t id_off = e.p - e.data, back = take(&e, 4), start, sz;

		if (!e.ok || back == 0 || back > id_off)
			continue; /* terminator, CIE, or damaged */
		if (cie_off != id_off - back) {
			cie_off = id_off - back;
			enc = cie_encoding(&r, cie_off);
		}
		if (enc == PE_UNKNOWN)
			continue;
		start = take_pointer(&e, enc);
		sz = take_pointer(&e, enc & 0x0f);
		if (!e.ok || sz == 0 || start < lo || start >= hi || sz > hi - start)
			continue;
		if (append(ret, &cap, (struct fde_range){ start, start + sz }))
			return -ENOMEM;
	}
	if (ret->cnt)
		qsort(ret->range, ret->cnt, sizeof(*ret->range), compare);
	return 0;
}

int fde__read(const struct elf_file *f, uint64_t lo, uint64_t hi, struct fde_list *ret)
{
	const Elf64_Shdr *sh = elf_file__section(f, ".eh_frame");
	struct fde_list list = { 0 };
	uint8_t *data;
	int err;

	if (!sh)
		return -ENOENT;
	err = elf_file__section_data(f, sh, &data);
	if (err)
		return err;
	err = scan((struct reader){ .p = data,
				    .end = data + sh->sh_size,
				    .data = data,
				    .vaddr = sh->sh_addr,
				    .is64 = f->is64,
				    .ok = true },
		   lo, hi, &list);
	free(data);
	if (err) {
		free(list.range);
		return err;
	}
	*ret = list;
	return 0;
}

const struct fde_range *fde__find(const struct fde_list *l, uint64_t vaddr)
{
	size_t lo = 0, hi = l->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (l->range[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || vaddr >= l->range[lo - 1].end)
		return NULL;
	return &l->range[lo - 1];
}
