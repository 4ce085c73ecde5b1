/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw records to typed ones: the one place where the bytes of a source are believed, after checks.
 * A record of unknown kind or wrong size is counted in `bad` and skipped.
 */
#ifndef HOLDUP_DECODE_DECODE_H
#define HOLDUP_DECODE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct decode_handler {
	int (*wait)(void *ctx, const struct hu_wait_record *rec);
	int (*process)(void *ctx, const struct hu_proc_record *rec);
	int (*holder)(void *ctx, const struct hu_holder_record *rec);
	int (*stack)(void *ctx, const struct hu_stack_record *rec);
	int (*birth)(void *ctx, const struct hu_birth_record *rec);
	int (*death)(void *ctx, const struct hu_death_record *rec);
	int (*call)(void *ctx, const struct hu_pthread_record *rec);
	void *ctx;
	uint64_t bad;
};

/* Returns what the handler returned, 0 for a bad record. Matches source_record_fn. */
int decode__record(void *handler, const void *data, size_t sz);

#endif
