/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entries of one .eh_frame or .debug_frame section, one after the other, and what a CIE and an
 * FDE say before their instructions begin. Nothing is allocated; pointers go into the section.
 */
#ifndef HOLDUP_UNWIND_CFI_PARSE_H
#define HOLDUP_UNWIND_CFI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/unwind/cfi.h"
#include "user/unwind/cfi_exec.h"

/* One entry, its id (CIE) or CIE pointer (FDE) already read from r. */
struct cfi_entry {
	uint64_t off;	  /* in the section, of its length field */
	uint64_t cie_off; /* of the FDE's CIE; not for a CIE */
	bool is_cie;
	struct cfi_reader r; /* the rest of it */
};

struct cfi_fde {
	uint64_t start, end; /* pcs */
	const struct cfi_cie *cie;
	const struct cfi_ptr_base *base;
	const uint8_t *prog, *prog_end;
};

/*
 * Reads the entry at *off and moves *off to the next one. False at the end. *ret_ok false: broken,
 * *e is not set.
 */
bool cfi_entry__next(const struct cfi_section *sec, uint64_t *off, struct cfi_entry *e,
		     bool *ret_ok);
/* Also runs its initial instructions. False: cie->readable or cie->usable is not set. */
bool cfi_cie__parse(struct cfi_entry *e, const struct cfi_ptr_base *base,
		    const struct cfi_arch *arch, struct cfi_cie *cie);
/* cie may be NULL: not found. False: its addresses can't be had. */
bool cfi_fde__parse(struct cfi_entry *e, const struct cfi_cie *cie, const struct cfi_ptr_base *base,
		    struct cfi_fde *fde);

#endif
