/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The registers a thread had in user space: everything in the BPF programs that depends on the
 * architecture. Each function reads a struct pt_regs that bpf_task_pt_regs() gave (typed, read
 * directly), or, where the kernel lacks that helper, one computed from the thread's stack.
 */
#ifndef HOLDUP_BPF_ARCH_H
#define HOLDUP_BPF_ARCH_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#if defined(__TARGET_ARCH_x86)

#define arch_regs struct pt_regs___x86 /* no typedef: CO-RE looks for the name */

/* System call numbers: arch/x86/entry/syscalls/syscall_64.tbl; compat ones: syscall_32.tbl */
#define ARCH_NR_FUTEX	       202
#define ARCH_NR_EXIT	       60
#define ARCH_NR_RESTART	       219
#define ARCH_NR_FUTEX_COMPAT   240
#define ARCH_NR_FUTEX_COMPAT64 422
#define ARCH_NR_EXIT_COMPAT    1
/* THREAD_SIZE of x86-64 without KASAN, arch/x86/include/asm/page_64_types.h */
#define ARCH_THREAD_SIZE     (4096 << 2)
#define ARCH_KERNEL_STACK_SZ ARCH_THREAD_SIZE
#define ARCH_REGS_SIZE	     168  /* sizeof(struct pt_regs), which x86-64's signal ABI fixes */
#define ARCH_VFORK_RA_REG    5	  /* rdi: glibc's sysdeps/unix/sysv/linux/x86_64/vfork.S */
#define ARCH_USER32_CS	     0x23 /* __USER32_CS, arch/x86/include/asm/segment.h */
#define ARCH_USER_BITS	     47	  /* of user addresses, with four levels of page tables */
/*
 * Where a signal frame has the registers. At sp lies struct rt_sigframe's ucontext (arch/x86/include/asm/sigframe.h;
 * pretcode is popped): uc_flags, uc_link, uc_stack: 40 bytes, then struct sigcontext_64: r8…r15, di, si: 80 bytes;
 * then bp, bx, dx, ax, cx, sp, ip.
 */
#define ARCH_SIGNAL_OFF	  120
#define ARCH_SIGNAL_WORDS 7
#define ARCH_SIGNAL_FP	  0
#define ARCH_SIGNAL_SP	  5
#define ARCH_SIGNAL_PC	  6

#define arch__nr(r)	((long)REG(r, orig_ax))
#define arch__compat(r) ((u16)REG(r, cs) == ARCH_USER32_CS)
#define arch__ip(r)	REG(r, ip)
#define arch__sp(r)	REG(r, sp)
#define arch__fp(r)	REG(r, bp)
#define arch__saved(r, to)             \
	do {                           \
		(to)[0] = REG(r, bx);  \
		(to)[1] = REG(r, r12); \
		(to)[2] = REG(r, r13); \
		(to)[3] = REG(r, r14); \
		(to)[4] = REG(r, r15); \
	} while (0)
#define arch__ra_reg(r) REG(r, di)
/* An address that the thread passed, and a return address from its stack, without what is no address in them. */
#define arch__address(addr) (addr)
#define arch__code(addr)    (addr)
/* Arguments of a function, and its result. */
#define arch__fn_arg0(r) REG(r, di)
#define arch__fn_arg1(r) REG(r, si)
#define arch__result(r)	 REG(r, ax)
/* Arguments of a system call; compat calls pass them in ebx, ecx, edx, esi, edi, ebp. */
#define arch__arg0(r) REG(r, di)
#define arch__arg1(r) REG(r, si)
#define arch__arg2(r) REG(r, dx)
#define arch__arg3(r) REG(r, r10)
#define arch__arg4(r) REG(r, r8)
#define arch__arg5(r) REG(r, r9)
/* Arguments of a function, as it begins, and what it returns: System V ABI for x86-64, 3.2.3 */
#define arch__fn_arg0(r)   REG(r, di)
#define arch__fn_arg1(r)   REG(r, si)
#define arch__fn_arg2(r)   REG(r, dx)
#define arch__fn_arg3(r)   REG(r, cx)
#define arch__fn_result(r) REG(r, ax)
/* The thread pointer of a thread that is not current. */
#define arch__tp(t)	     BPF_CORE_READ((struct task_struct___x86 *)(void *)(t), thread.fsbase)
#define arch__compat_arg0(r) ((u32)REG(r, bx))
#define arch__compat_arg1(r) ((u32)REG(r, cx))
#define arch__compat_arg2(r) ((u32)REG(r, dx))
#define arch__compat_arg3(r) ((u32)REG(r, si))
#define arch__compat_arg4(r) ((u32)REG(r, di))

#elif defined(__TARGET_ARCH_arm64)

#define arch_regs	       struct pt_regs___arm64

/* include/uapi/asm-generic/unistd.h; compat ones: arch/arm64/include/asm/unistd32.h */
#define ARCH_NR_FUTEX	       98
#define ARCH_NR_EXIT	       93
#define ARCH_NR_RESTART	       128
#define ARCH_NR_FUTEX_COMPAT   240
#define ARCH_NR_FUTEX_COMPAT64 422
#define ARCH_NR_EXIT_COMPAT    1
#define ARCH_VFORK_RA_REG      (-1) /* no row says so: what is in x30 is said otherwise (bpf/abi.h) */
#define ARCH_USER_BITS \
	48 /* of user addresses, also where there are 52, unless one asks mmap for more */
/* THREAD_SIZE without KASAN and with pages of 4 KiB, arch/arm64/include/asm/memory.h */
#define ARCH_KERNEL_STACK_SZ (1 << 14)
/* No ARCH_THREAD_SIZE: struct pt_regs is too large for BPF's stack, so bpf_task_pt_regs() (5.15) is needed. */
/*
 * At sp lies struct rt_sigframe (arch/arm64/kernel/signal.c): siginfo, 128 bytes; struct ucontext with the signal
 * mask's 128 and padding before uc_mcontext: 176 (arch/arm64/include/uapi/asm/ucontext.h); fault_address, x0…x28: 240
 * (…/sigcontext.h); then x29, x30, sp, pc.
 */
#define ARCH_SIGNAL_OFF	     544
#define ARCH_SIGNAL_WORDS    4
#define ARCH_SIGNAL_FP	     0
#define ARCH_SIGNAL_RA	     1
#define ARCH_SIGNAL_SP	     2
#define ARCH_SIGNAL_PC	     3

#define arch__nr(r)	((long)REG(r, syscallno))
#define arch__compat(r) ((REG(r, pstate) & 0x10) != 0) /* PSR_MODE32_BIT */
#define arch__ip(r)	REG(r, pc)
#define arch__sp(r)	REG(r, sp)
#define arch__fp(r)	REG(r, regs[29])
#define arch__ra_reg(r) REG(r, regs[30])
#define arch__saved(r, to)                                 \
	do {                                               \
		for (int i_ = 0; i_ < HU_SAVED_REGS; i_++) \
			(to)[i_] = REG(r, regs[19 + i_]);  \
	} while (0)
/* Arguments of a function, and its result. */
#define arch__fn_arg0(r)     REG(r, regs[0])
#define arch__fn_arg1(r)     REG(r, regs[1])
#define arch__result(r)	     REG(r, regs[0])
/* x0 as it was when the system call began; then its result takes the place (arch/arm64/kernel/syscall.c). */
#define arch__arg0(r)	     REG(r, orig_x0)
#define arch__arg1(r)	     REG(r, regs[1])
#define arch__arg2(r)	     REG(r, regs[2])
#define arch__arg3(r)	     REG(r, regs[3])
#define arch__arg4(r)	     REG(r, regs[4])
#define arch__arg5(r)	     REG(r, regs[5])
/* Arguments of a function, as it begins, and what it returns: AAPCS64, 6.4 */
#define arch__fn_arg0(r)     REG(r, regs[0])
#define arch__fn_arg1(r)     REG(r, regs[1])
#define arch__fn_arg2(r)     REG(r, regs[2])
#define arch__fn_arg3(r)     REG(r, regs[3])
#define arch__fn_result(r)   REG(r, regs[0])
/* The thread pointer of a thread that is not current. */
#define arch__tp(t)	     BPF_CORE_READ((struct task_struct___arm64 *)(void *)(t), thread.uw.tp_value)
#define arch__compat_arg0(r) ((u32)arch__arg0(r))
#define arch__compat_arg1(r) ((u32)arch__arg1(r))
#define arch__compat_arg2(r) ((u32)arch__arg2(r))
#define arch__compat_arg3(r) ((u32)arch__arg3(r))
#define arch__compat_arg4(r) ((u32)arch__arg4(r))
/* The top byte is a tag that translation ignores (Documentation/arch/arm64/tagged-pointers.rst). */
#define arch__address(addr)  ((addr) & ~(0xffULL << 56))
/* Above the address there may be its signature (Documentation/arch/arm64/pointer-authentication.rst). */
#define arch__code(addr)     ((addr) & ((1ULL << ARCH_USER_BITS) - 1))

#else
#error "holdup knows x86 and arm64; another architecture needs its registers here"
#endif

#define REG(r, f) ((r)->f)

#endif
