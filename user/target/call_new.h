/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that are newer than the headers with which holdup may be built. Since Linux 5.1 new calls have the same
 * number on all architectures (Documentation/process/adding-syscalls.rst; scripts/syscall.tbl).
 */
#ifndef HOLDUP_TARGET_CALL_NEW_H
#define HOLDUP_TARGET_CALL_NEW_H

#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2 /* 5.11 */
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv /* 5.16 */
#define SYS_futex_waitv 449
#endif
#ifndef __NR_cachestat /* Linux 6.5 */
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2 /* 6.6 */
#define __NR_fchmodat2 452
#endif
#ifndef __NR_futex_wake /* 6.7, with the next two */
#define __NR_futex_wake	   454
#define __NR_futex_wait	   455
#define __NR_futex_requeue 456
#endif
#ifndef __NR_statmount /* 6.8 */
#define __NR_statmount 457
#define __NR_listmount 458
#endif
#ifndef __NR_mseal /* 6.10 */
#define __NR_mseal 462
#endif
#ifndef __NR_file_getattr /* 6.17 */
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif
#ifndef SYS_futex_wake /* the C library's list may be older than the kernel's headers */
#define SYS_futex_wake	  __NR_futex_wake
#define SYS_futex_wait	  __NR_futex_wait
#define SYS_futex_requeue __NR_futex_requeue
#endif

#endif
