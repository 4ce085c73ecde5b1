/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where events come from: the kernel now (collect/session.h), a capture file later. What comes out
 * is raw and untrusted; decode/decode.h checks it. Everything right of here works without root.
 *
 * Threading: none. Errors: negative errno. Ownership: what a callback gets is valid during the
 * call.
 */
#ifndef HOLDUP_COLLECT_SOURCE_H
#define HOLDUP_COLLECT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct source;

/* A record of the ring, or one of source__pending(); sz is what was received. */
typedef int (*source_record_fn)(void *ctx, const void *data, size_t sz);
typedef int (*source_sum_fn)(void *ctx, const struct hu_sum_key *key, const struct hu_sum *sum);
typedef int (*source_calls_fn)(void *ctx, const struct hu_call_key *key,
			       const struct hu_calls *calls);

typedef int (*source_lock_fn)(void *ctx, const struct hu_lock_key *key, const struct hu_lock *lock);

struct source_ops {
	int (*poll)(struct source *s, int timeout_ms);
	int (*stack)(struct source *s, uint64_t id, struct hu_stack *ret);
	int (*sums)(struct source *s, source_sum_fn fn, void *ctx);
	int (*calls)(struct source *s, source_calls_fn fn, void *ctx);
	int (*locks)(struct source *s, source_lock_fn fn, void *ctx); /* NULL: no blame */
	int (*pending)(struct source *s, source_record_fn fn, void *ctx);
	int (*losses)(struct source *s, uint64_t ret[HU_LOSS_CNT]);
	void (*free)(struct source *s);
};

struct source {
	const struct source_ops *ops;
	source_record_fn on_record;
	void *on_record_ctx;
};

/* Delivers the records there are to on_record, waiting up to timeout_ms for some; -EINTR: a signal.
 */
static inline int source__poll(struct source *s, int timeout_ms)
{
	return s->ops->poll(s, timeout_ms);
}

/* The stack with this id; -ENOENT: not known (any more). */
static inline int source__stack(struct source *s, uint64_t id, struct hu_stack *ret)
{
	return s->ops->stack(s, id, ret);
}

/* Waits that were summed because the ring was full; taken out, so each comes once. */
static inline int source__sums(struct source *s, source_sum_fn fn, void *ctx)
{
	return s->ops->sums(s, fn, ctx);
}

/* Futex calls counted; taken out as well. */
static inline int source__calls(struct source *s, source_calls_fn fn, void *ctx)
{
	return s->ops->calls(s, fn, ctx);
}

/* All locks that are known, with what their holders did. Not taken out: figures are since they are known. */
static inline int source__locks(struct source *s, source_lock_fn fn, void *ctx)
{
	return s->ops->locks ? s->ops->locks(s, fn, ctx) : 0;
}

/* Waits that have not been sent as records: going on, or just ended. Not taken out. */
static inline int source__pending(struct source *s, source_record_fn fn, void *ctx)
{
	return s->ops->pending(s, fn, ctx);
}

/* The counters of enum hu_loss, since the start, summed over the CPUs. */
static inline int source__losses(struct source *s, uint64_t ret[HU_LOSS_CNT])
{
	return s->ops->losses(s, ret);
}

static inline void source__free(struct source *s)
{
	if (s)
		s->ops->free(s);
}

#endif
