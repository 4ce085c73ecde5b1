/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What holdup may do once everything is attached: read other processes and their files, and speak with the BPF
 * programs it has loaded. The rest goes, for good, so that a mistake in a parser of a hostile program's files can do
 * less: other capabilities, and system calls that change other processes or the kernel, or run programs.
 */
#ifndef HOLDUP_UTIL_PRIVILEGES_H
#define HOLDUP_UTIL_PRIVILEGES_H

/*
 * For all threads and the processes that are forked from now on; nothing can be executed any more. 0, or -errno of
 * what could not be dropped: the rest is.
 */
int privileges__drop(void);

#endif
