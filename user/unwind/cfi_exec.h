/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The call frame instructions of one CIE or FDE, executed: DWARF 5 section 6.4.2.
 * Every instruction consumes at least a byte and costs constant time, so a program takes time
 * linear in its size whatever it says.
 */
#ifndef HOLDUP_UNWIND_CFI_EXEC_H
#define HOLDUP_UNWIND_CFI_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "user/unwind/cfi_arch.h"
#include "user/unwind/cfi_read.h"

/* What DW_EH_PE_* pointers are relative to (LSB 5.0 Core 10.5.1). */
struct cfi_ptr_base {
	const uint8_t *data; /* a byte of the section … */
	uint64_t vaddr;	     /* … and its address, for DW_EH_PE_pcrel */
	uint64_t data_base;  /* for DW_EH_PE_datarel; 0: unknown */
};

/* A pointer in DWARF exception header encoding enc; r->bad when it can't be had. */
uint64_t cfi_reader__pointer(struct cfi_reader *r, uint8_t enc, const struct cfi_ptr_base *base);

struct cfi_cie {
	const struct cfi_arch *arch;
	uint64_t off; /* in the section, of its length field */
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_reg;
	uint8_t ptr_enc; /* DW_EH_PE_* of the addresses in its FDEs */
	bool sized_aug;	 /* its FDEs have augmentation data, after a length ('z') */
	bool signal_frame;
	bool readable; /* so that its FDEs' addresses are known */
	bool usable;   /* so are its initial rules */
	struct cfi_state init;
};

/* Called with the rules for [pc, the next call's pc or the FDE's end); false ends the execution. */
typedef bool (*cfi_emit_fn)(void *ctx, uint64_t pc, const struct cfi_state *s);

struct cfi_program {
	const struct cfi_cie *cie;
	const struct cfi_ptr_base *base;
	uint64_t start, end; /* pcs; what the program says beyond end is not looked at */
	bool initial;	     /* a CIE's: no rows, DW_CFA_restore has nothing to restore */
};

/*
 * Executes what r holds on *s. Returns 0; -EINVAL when an instruction is broken or unknown, with
 * *ret_pc the pc from which on nothing is known; -ECANCELED when emit returned false.
 */
int cfi_program__run(const struct cfi_program *prog, struct cfi_reader *r, struct cfi_state *s,
		     cfi_emit_fn emit, void *ctx, uint64_t *ret_pc);

#endif
