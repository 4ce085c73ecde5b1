// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/privileges.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(cap) (1ULL << (cap))

/*
 * SYS_PTRACE: memory, maps and links of other users' processes (ptrace_may_access()). DAC_READ_SEARCH: their files.
 * CHECKPOINT_RESTORE: /proc/PID/map_files (since 5.9, commit 12886f8ab10c). BPF and PERFMON: map updates and
 * iterators, for which kernels before 5.19 ask again with each bpf() call where unprivileged BPF is off. SYS_NICE: our
 * own priority while we read others (util/patience.h), and while lives are watched (live_lives.c). SYSLOG: addresses in
 * /proc/kallsyms. KILL: ending a program of ours that has become another user's. SETUID and SETGID: workers give up
 * even this much by becoming nobody (sym/worker.c).
 */
#define KEPT                                                                                     \
	(BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_CHECKPOINT_RESTORE) |          \
	 BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_SYSLOG) | BIT(CAP_SYS_NICE) | BIT(CAP_KILL) | \
	 BIT(CAP_SETUID) | BIT(CAP_SETGID))

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const uint64_t keep = KEPT;

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].effective &= (uint32_t)(keep >> (32 * i));
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef OUR_ARCH
#define REFUSE(nr)                                     \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* What SYS_PTRACE and the others would still allow, and nothing of ours does once all is attached. */
static int refuse_calls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		/* Calls of other kinds (32-bit, x32) have other numbers: none at all. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_ptrace),
		REFUSE(SYS_process_vm_writev),
		REFUSE(SYS_execve),
		REFUSE(SYS_execveat),
		REFUSE(SYS_init_module),
		REFUSE(SYS_finit_module),
		REFUSE(SYS_delete_module),
		REFUSE(SYS_kexec_load),
		REFUSE(SYS_kexec_file_load),
		REFUSE(SYS_mount),
		REFUSE(SYS_umount2),
		REFUSE(SYS_pivot_root),
		REFUSE(SYS_chroot),
		REFUSE(SYS_setns),
		REFUSE(SYS_unshare),
		REFUSE(SYS_reboot),
		REFUSE(SYS_keyctl),
		REFUSE(SYS_add_key),
		REFUSE(SYS_request_key),
		REFUSE(SYS_perf_event_open),
		REFUSE(SYS_userfaultfd),
#ifdef SYS_iopl
		REFUSE(SYS_iopl),
		REFUSE(SYS_ioperm),
#endif
		REFUSE(SYS_ioprio_set),
		REFUSE(SYS_sched_setparam),
		REFUSE(SYS_sched_setattr),
		REFUSE(SYS_sched_setaffinity),
		REFUSE(SYS_migrate_pages),
		REFUSE(SYS_move_pages),
		/* Priorities: our own (0), nobody else's: who it is for is an argument of either call. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setscheduler, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JA, 4, 0, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setpriority, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PRIO_PROCESS, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)
		       ? -errno
		       : 0;
}
#else
static int refuse_calls(void)
{
	return -ENOTSUP;
}
#endif

int privileges__drop(void)
{
	int err = refuse_calls(), caps_err = drop_capabilities();

	return err ? err : caps_err;
}
