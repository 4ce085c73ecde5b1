/* SPDX-License-Identifier: GPL-2.0-only */
/* The clock of all times here: CLOCK_MONOTONIC, which is also BPF's bpf_ktime_get_ns(); and that of costs. Both in ns. */
#ifndef HOLDUP_UTIL_CLOCK_H
#define HOLDUP_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock__now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* CPU time of the calling thread: what something cost, however long it had to wait for a CPU. */
static inline uint64_t clock__cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#endif
