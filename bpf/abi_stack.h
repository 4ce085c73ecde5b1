/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stacks, and the rows and mappings that they are walked by: a part of bpf/abi.h, which includes it. The same rules hold. */
#ifndef HOLDUP_ABI_STACK_H
#define HOLDUP_ABI_STACK_H

enum hu_stack_flag {
	HU_STACK_COMPLETE = 1 << 0, /* walked to the thread's start */
	HU_STACK_FRAMEPTR = 1 << 1, /* by frame pointers, at least in part: frames may be missing */
	HU_STACK_TRUNCATED = 1 << 2, /* more than HU_MAX_FRAMES */
	HU_STACK_NOMAP = 1 << 3,     /* ended at a pc in no known mapping */
	HU_STACK_NOROW = 1 << 4,     /* ended at a pc without unwind row */
	HU_STACK_BADREAD = 1 << 5,   /* ended at stack memory that could not be read */
	HU_STACK_DERIVED = 1 << 6,   /* a row came from machine code: the module has no CFI */
};

struct hu_stack {
	__u32 tgid;
	__u16 flags; /* enum hu_stack_flag */
	__u8 frames;
	__u8 exact; /* of them, those below the first step that was a guess */
	/*
	 * Leaf first. The first is the next instruction, others are return addresses, whose call is a byte
	 * before; so the pc that a signal interrupted is kept plus 1.
	 */
	__u64 pcs[HU_MAX_FRAMES];
};

/* ---- Unwinding */

/*
 * hu_row.kind is enum hu_row_cfa | enum hu_row_fp << 4, and this bit where no CFI but the machine code
 * itself says so.
 */
#define HU_ROW_DERIVED 0x80

#define HU_ROW_CFA(kind) ((kind)&15)
#define HU_ROW_FP(kind)	 ((kind) >> 4 & 7)

/* How to find the frame above: the low nibble of hu_row.kind. Append only. */
enum hu_row_cfa {
	HU_CFA_GAP = 0,	     /* no CFI for these addresses; cfa_off: 0 or HU_GAP_ENDS() */
	HU_CFA_END = 1,	     /* the outermost frame: return address undefined */
	HU_CFA_SP = 2,	     /* CFA = sp + 8 * cfa_off */
	HU_CFA_FP = 3,	     /* CFA = fp + 8 * cfa_off */
	HU_CFA_PLT = 4,	     /* CFA = sp + 8 + ((pc & 15) >= cfa_off ? 8 : 0): x86-64 lazy PLT */
	HU_CFA_SIGNAL = 5,   /* a signal frame: registers are in the ucontext at sp */
	HU_CFA_DEREF_FP = 6, /* CFA = *(fp + 8 * cfa_off) */
	HU_CFA_DEREF_SP = 7, /* CFA = *(sp + 8 * cfa_off) */
	HU_CFA_BAD = 8,	     /* CFI that rows can't express */
	HU_CFA_RA_REG = 9,   /* the return address is in register fp_off, CFA = sp (vfork) */
};

/*
 * The end of a gap that has no room for a function: nobody calls from there, so a return address that is its
 * end was put there to start the function behind it on an empty stack (makecontext() and its like). Modules
 * are mapped by whole pages, so these bits of a pc tell.
 */
#define HU_GAP_MAX	  15
#define HU_GAP_ENDS(addr) ((__s16)(0x1000 | ((addr)&0xfff)))

/* Where the caller's frame pointer is: bits 4 to 6 of hu_row.kind. Append only. */
enum hu_row_fp {
	HU_FP_SAME = 0,	 /* unchanged */
	HU_FP_CFA = 1,	 /* saved at CFA + 8 * fp_off */
	HU_FP_UNDEF = 2, /* not recoverable */
	HU_FP_REL = 3,	 /* saved at fp + 8 * fp_off */
	/* arm64 only, where these also say that the return address is saved, and where. */
	HU_FP_PAIR = 4,	     /* saved at CFA + 8 * fp_off, the return address in the word above */
	HU_FP_RA = 5,	     /* unchanged; the return address is saved at CFA + 8 * fp_off */
	HU_FP_PAIR_BASE = 6, /* as HU_FP_PAIR, and … */
	HU_FP_RA_BASE = 7, /* as HU_FP_RA, but counted from CFA - 8 * cfa_off, the CFA's register */
};

/*
 * One row: valid from pc up to the next row's pc. Sorted by pc within a module. The return address lies below
 * the CFA on x86-64, where each call pushes it. On arm64 a call leaves it in x30: there enum hu_row_fp says
 * where it is saved, and that it is still in x30 where it does not.
 */
struct hu_row {
	__u32 pc;      /* ELF vaddr less the module's base vaddr */
	__s16 cfa_off; /* in units of 8 bytes */
	__u8 kind;     /* enum hu_row_cfa | enum hu_row_fp << 4 | HU_ROW_DERIVED */
	__s8 fp_off;   /* in units of 8 bytes */
};

struct hu_map_entry {
	__u64 start, end; /* the executable mapping [start, end) */
	__u64 bias;	  /* pc - bias is what hu_row.pc counts in */
	__u32 row0, rows; /* its rows in hu_rows; rows 0: none */
};

struct hu_proc_maps {
	__u32 cnt;
	__u32 generation;
	struct hu_map_entry map[HU_MAX_MAPS]; /* sorted by start */
};

#endif
