/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process's memory, many pieces at a time: process_vm_readv(2) in batches, without stopping anybody; or, for tests
 * and fuzzers, whatever their functions say it is.
 *
 * Errors: negative errno, or a piece marked as not read; nothing is promised about the order of reads within a batch.
 */
#ifndef HOLDUP_GOLANG_GO_MEMORY_H
#define HOLDUP_GOLANG_GO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct go_piece {
	uint64_t addr;
	void *to; /* the caller's, of sz bytes */
	uint32_t sz;
	bool ok; /* all of them were read */
};

struct go_memory {
	/* All sz bytes at addr, or negative errno. */
	int (*read)(void *ctx, uint64_t addr, void *to, size_t sz);
	/* Each piece by itself; sets ok. */
	void (*read_many)(void *ctx, struct go_piece *piece, size_t cnt);
	void *ctx;
};

/* That of a process; tgid must outlive it. */
struct go_memory go_memory__of(const pid_t *tgid);

static inline int go_memory__read(const struct go_memory *m, uint64_t addr, void *to, size_t sz)
{
	return m->read(m->ctx, addr, to, sz);
}

static inline int go_memory__u64(const struct go_memory *m, uint64_t addr, uint64_t *ret)
{
	return m->read(m->ctx, addr, ret, sizeof(*ret));
}

/* Could an object of the runtime lie here? Aligned, and in the lower half of 48-bit addresses. */
static inline bool go_memory__plausible(uint64_t addr)
{
	return addr >= 4096 && !(addr & 7) && !(addr >> 47);
}

/* A slice or string as Go keeps it. */
struct go_slice {
	uint64_t ptr, len, cap;
};

#endif
