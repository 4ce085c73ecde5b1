/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread's call stack from its registers, by unwind rows: what bpf/ does in the kernel for
 * threads that go to sleep, for those whose registers and memory were read from outside. The rules
 * are the same.
 *
 * In: registers and two callbacks, for the target's memory and for the rows of a pc. Both come from
 * a hostile target: the walk ends after HU_MAX_FRAMES frames, and every frame's CFA lies above the
 * last one's stack pointer. Out: program counters, leaf first, as they were found (return
 * addresses, not less 1; above a signal frame the interrupted instruction's, plus 1), and enum hu_stack_flag:
 * COMPLETE, or the reason it ended; FRAMEPTR if any step had no row and went by the frame pointer. Nothing is
 * allocated. x86-64 and arm64, each on either.
 */
#ifndef HOLDUP_UNWIND_UNWIND_H
#define HOLDUP_UNWIND_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "user/unwind/cfi.h"

struct unwind_regs {
	uint64_t ip, sp, fp;
	uint64_t ra_reg;  /* what may hold a return address: rdi on x86-64 (vfork), x30 on arm64 */
	uint16_t machine; /* e_machine; 0: CFI_MACHINE */
};

struct unwind_ops {
	/* sz bytes of the target's memory at addr; 0, or -errno: they can't all be read */
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t sz);
	/*
	 * The mapping that pc lies in: 0 with the module's rows, or NULL when it has none, and
	 * *ret_pc in what they count in (hu_row.pc); -ENOENT: no known executable mapping. The rows
	 * need to live until the next call.
	 */
	int (*find)(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc);
	void *ctx;
};

/* At least one frame, regs->ip, and at most HU_MAX_FRAMES, into ret->pcs; tgid is left alone. */
void unwind__walk(const struct unwind_regs *regs, const struct unwind_ops *ops,
		  struct hu_stack *ret);

#endif
