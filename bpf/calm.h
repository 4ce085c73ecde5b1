/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on uprobes, each in two variants from one body: NAME, and NAME_calm for kernels with bpf_preempt_disable()
 * (6.10, commit fc7566ad0a82), which nothing preempts while it has anything on its stack.
 *
 * Since 6.13 (commit e00931c02568) programs of this type have a stack of the CPU's, not of the thread's; those on
 * uprobes can be preempted by one another, which on kernels that preempt themselves (7.0 and later always do)
 * overwrites pointers that the verifier has proven good: 7.3 was seen to crash. The program itself has no stack, all of
 * that is its function's, which finds its stack as it begins. The loader chooses (features.calm).
 */
#ifndef HOLDUP_BPF_CALM_H
#define HOLDUP_BPF_CALM_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>

/*
 * libbpf 1.1's linker refuses functions of the kernel that more than one object has in .ksyms; those that follow can do
 * without. So the first one that uses them defines HU_CALM_KSYM: see BPF_SRC in the Makefile.
 */
#ifdef HU_CALM_KSYM
#define CALM_KSYM __ksym __weak
#else
#define CALM_KSYM __weak
#endif
extern void bpf_preempt_disable(void) CALM_KSYM;
extern void bpf_preempt_enable(void) CALM_KSYM;

/*
 * UPROBE_PROGRAM("section", name, type, arg) { … }: the body of int name(type arg). There, calm is a constant: global
 * functions may not be called by the calm one (refused before 6.15).
 */
#define UPROBE_PROGRAM(section, name, type, arg)                           \
	static __always_inline int name##_body(type arg, const bool calm); \
	static __noinline int name##_undisturbed(type arg)                 \
	{                                                                  \
		return name##_body(arg, true);                             \
	}                                                                  \
	SEC(section)                                                       \
	int name(type arg)                                                 \
	{                                                                  \
		return name##_body(arg, false);                            \
	}                                                                  \
	SEC(section)                                                       \
	int name##_calm(type arg)                                          \
	{                                                                  \
		bpf_preempt_disable();                                     \
		name##_undisturbed(arg);                                   \
		bpf_preempt_enable();                                      \
		return 0;                                                  \
	}                                                                  \
	static __always_inline int name##_body(type arg, const bool calm)

#endif
