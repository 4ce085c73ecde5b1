// SPDX-License-Identifier: GPL-2.0-only
/* Entries of call frame sections: LSB 5.0 Core 10.6 (.eh_frame), DWARF 5 section 6.4.1. */
#include "user/unwind/cfi_parse.h"

#include <dwarf.h>
#include <string.h>

#define LENGTH_64BIT 0xffffffffU /* the real length follows, DWARF 5 section 7.4 */

static bool read_id(const struct cfi_section *sec, bool is_64bit, struct cfi_entry *e)
{
	size_t id_sz = is_64bit && sec->debug_frame ? 8
						    : 4; /* LSB 10.6.1: 4 in .eh_frame, always */
	uint64_t pos = (uint64_t)(e->r.p - sec->data);
	uint64_t id = cfi_reader__fixed(&e->r, id_sz);

	if (sec->debug_frame) {
		e->is_cie = id == (id_sz == 8 ? UINT64_MAX : UINT32_MAX);
		e->cie_off = id;
	} else {
		e->is_cie = id == 0;
		e->cie_off = pos - id; /* wraps to no CIE's offset when the file lies */
	}
	return !e->r.bad;
}

/*
 * A length of 0 ends .eh_frame for the runtime, but the linker may have put entries after it, which
 * its index (.eh_frame_hdr) knows: they are read too, the section's size is the bound.
 */
bool cfi_entry__next(const struct cfi_section *sec, uint64_t *off, struct cfi_entry *e,
		     bool *ret_ok)
{
	struct cfi_reader r = { .p = sec->data + *off, .end = sec->data + sec->sz };
	bool is_64bit = false;
	uint64_t len = 0;

	*ret_ok = true;
	while (cfi_reader__left(&r) >= 4 && !len) {
		e->off = (uint64_t)(r.p - sec->data);
		len = cfi_reader__fixed(&r, 4);
	}
	if (!len)
		return false;
	is_64bit = len == LENGTH_64BIT;
	if (is_64bit)
		len = cfi_reader__fixed(&r, 8);
	*ret_ok = !r.bad && len && len <= cfi_reader__left(&r);
	if (!*ret_ok) {
		*off = sec->sz; /* where the next one begins is not known */
		return true;
	}
	e->r = (struct cfi_reader){ .p = r.p, .end = r.p + len };
	*off = (uint64_t)(e->r.end - sec->data);
	*ret_ok = read_id(sec, is_64bit, e);
	return true;
}

/* ---- CIEs */

/* What it is relative to doesn't matter then, but for padding. */
static void skip_pointer(struct cfi_reader *r, uint8_t enc, const struct cfi_ptr_base *base)
{
	if (enc != DW_EH_PE_omit)
		cfi_reader__pointer(
			r, (enc & 0x70) == DW_EH_PE_aligned ? DW_EH_PE_aligned : enc & 0x0f, base);
}

/* Augmentation data after 'z', in the order of its letters (LSB 5.0 Core 10.6.1.1.1). */
static bool parse_augmentation(const char *letter, const struct cfi_ptr_base *base,
			       struct cfi_reader *r, struct cfi_cie *cie)
{
	uint64_t sz = cfi_reader__uleb(r);
	struct cfi_reader data = { .p = r->p };
	uint8_t enc;

	cfi_reader__skip(r, sz);
	data.end = r->p;
	if (r->bad)
		return false;
	cie->sized_aug = true;
	for (; *letter; letter++) {
		switch (*letter) {
		case 'R':
			cie->ptr_enc = cfi_reader__fixed(&data, 1);
			break;
		case 'L':
			cfi_reader__fixed(&data, 1);
			break;
		case 'P':
			enc = cfi_reader__fixed(&data, 1);
			skip_pointer(&data, enc, base);
			break;
		case 'S':
			cie->signal_frame = true;
			break;
		default: /* it may change what all the rest means */
			if (!strchr(cie->arch->augmentation, *letter))
				return false;
		}
	}
	return !data.bad;
}

static bool parse_cie_header(struct cfi_reader *r, const struct cfi_ptr_base *base,
			     struct cfi_cie *cie)
{
	unsigned int version = cfi_reader__fixed(r, 1);
	const char *aug = (const char *)r->p;

	if (version != 1 && version != 3 && version != 4)
		return false;
	cfi_reader__skip(r, strnlen(aug, cfi_reader__left(r)) + 1);
	if (r->bad)
		return false;
	if (!strcmp(aug, "eh")) { /* gcc 2: an address that says where its exception table is */
		cfi_reader__skip(r, 8);
		aug += 2;
	}
	if (version == 4) {
		unsigned int address_sz = cfi_reader__fixed(r, 1);
		unsigned int segment_sz = cfi_reader__fixed(r, 1);

		if (address_sz != 8 || segment_sz)
			return false;
	}
	cie->code_align = cfi_reader__uleb(r);
	cie->data_align = cfi_reader__sleb(r);
	cie->ra_reg = version == 1 ? cfi_reader__fixed(r, 1) : cfi_reader__uleb(r);
	cie->ptr_enc = DW_EH_PE_absptr;
	if (*aug == 'z')
		return parse_augmentation(aug + 1, base, r, cie);
	return !*aug && !r->bad;
}

static bool emit_nothing(void *ctx, uint64_t pc, const struct cfi_state *s)
{
	return true;
}

bool cfi_cie__parse(struct cfi_entry *e, const struct cfi_ptr_base *base,
		    const struct cfi_arch *arch, struct cfi_cie *cie)
{
	struct cfi_program prog = { .cie = cie, .base = base, .initial = true };
	uint64_t pc;

	*cie = (struct cfi_cie){ .arch = arch, .off = e->off };
	cie->readable = parse_cie_header(&e->r, base, cie);
	if (!cie->readable)
		return false;
	cie->usable = !cfi_program__run(&prog, &e->r, &cie->init, emit_nothing, NULL, &pc);
	return cie->usable;
}

bool cfi_fde__parse(struct cfi_entry *e, const struct cfi_cie *cie, const struct cfi_ptr_base *base,
		    struct cfi_fde *fde)
{
	struct cfi_reader *r = &e->r;
	uint64_t start, len, end;

	if (!cie || !cie->readable)
		return false;
	start = cfi_reader__pointer(r, cie->ptr_enc, base);
	/* the length has the same format, but is relative to nothing (LSB 5.0 Core 10.6.1.2) */
	len = cfi_reader__pointer(r, cie->ptr_enc & 0x0f, base);
	if (cie->sized_aug)
		cfi_reader__skip(r, cfi_reader__uleb(r));
	if (r->bad || !len || __builtin_add_overflow(start, len, &end))
		return false;
	*fde = (struct cfi_fde){ .start = start,
				 .end = end,
				 .cie = cie,
				 .base = base,
				 .prog = r->p,
				 .prog_end = r->end };
	return true;
}
