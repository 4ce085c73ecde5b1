/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel, this machine and our privileges allow. Cheap questions are answered from the
 * kernel's BTF; the dear ones (does attaching work?) only when asked, by a small skeleton of its
 * own.
 */
#ifndef HOLDUP_COLLECT_FEATURES_H
#define HOLDUP_COLLECT_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

struct features {
	/* From BTF and the file system; filled by features__detect(). */
	bool btf;	   /* /sys/kernel/btf/vmlinux can be read */
	bool task_storage; /* tracing programs may use it: 5.11, commit 4cf1bc1f1045 */
	bool task_regs;	   /* bpf_task_pt_regs(): 5.15, commit dd6e10fbd9fb */
	bool switch_state; /* sched_switch passes prev_state: 5.18, commit fa2c3254d7cf */
	bool calm;	   /* bpf_preempt_disable(): 6.10, commit fc7566ad0a82 */
	bool bpf_loop;	   /* bpf_loop(): 5.17, commit e6f2dd0f8067 */
	bool iter_task;	   /* task iterators: 5.8, commit eaaacd23910f */
	bool uprobe_multi; /* many uprobes by one link: 6.6, commit 89ae89f53d20 */
	bool ringbuf;	   /* 5.8, commit 457f44363a88 */
	bool tracefs;	   /* mounted at one of its two places */
	/* By attaching; filled by features__probe(). */
	bool tp_btf, raw_tp, fentry, uprobe;
	int tp_btf_err, raw_tp_err, fentry_err; /* -errno when not */
};

/* -ENOENT: no BTF; -EPERM: it may not be read. *ret holds what could be found out even then. */
int features__detect(struct features *ret);
/* Attaches and detaches empty programs; needs the privileges that tracing needs. */
void features__probe(struct features *f);
void features__probe_fentry(struct features *f); /* only that one */

/* May we trace? 0, or -EPERM: root, or CAP_BPF with CAP_PERFMON and CAP_SYS_PTRACE (5.8), are
 * missing. */
int features__privileges(void);
/* Where tracefs is mounted, NULL when it is not. */
const char *features__tracefs(void);

#endif
