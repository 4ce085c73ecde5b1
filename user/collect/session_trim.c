// SPDX-License-Identifier: GPL-2.0-only
/* Room in the kernel's tables: what nobody needs there any more is taken out. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "user/collect/session.h"
#include "user/collect/session_internal.h"

/* Calls goes(ctx, key, value) for each entry and deletes those for which it says so. */
static void trim(int fd, void *key, void *next, size_t key_sz, void *value,
		 bool (*goes)(void *ctx, const void *key, const void *value), void *ctx)
{
	int more = !bpf_map_get_next_key(fd, NULL, key);

	while (more) {
		more = !bpf_map_get_next_key(fd, key, next);
		if ((!value || !bpf_map_lookup_elem(fd, key, value)) && goes(ctx, key, value))
			bpf_map_delete_elem(fd, key);
		memcpy(key, next, key_sz);
	}
}

static bool lock_goes(void *ctx, const void *key, const void *value)
{
	return ((const struct hu_lock *)value)->blame.waiters <= 0;
}

void session__trim_locks(struct session *s)
{
	struct hu_lock_key key, next;
	struct hu_lock lock;

	trim(bpf_map__fd(s->skel->maps.hu_locks), &key, &next, sizeof(key), &lock, lock_goes, NULL);
}

/* Threads that hold nothing, and words that named no thread at all: no switch of theirs drops them. */
static bool tracked_goes(void *ctx, const void *key, const void *value)
{
	const struct hu_tracked *t = value;
	bool holds = false;

	for (int i = 0; i < HU_TRACKED_LOCKS; i++)
		holds |= t->lock[i].uaddr != 0;
	return t->seen_ns < *(const uint64_t *)ctx && (!holds || !t->now);
}

void session__trim_tracked(struct session *s, uint64_t before_ns)
{
	struct hu_tracked value;
	uint64_t key, next;

	if (s->blame)
		trim(bpf_map__fd(s->skel->maps.hu_tracked), &key, &next, sizeof(key), &value,
		     tracked_goes, &before_ns);
}

struct stack_filter {
	bool (*known)(void *ctx, uint64_t id);
	void *ctx;
};

static bool stack_goes(void *ctx, const void *key, const void *value)
{
	const struct stack_filter *f = ctx;

	return f->known(f->ctx, *(const uint64_t *)key);
}

void session__trim_stacks(struct session *s, bool (*known)(void *ctx, uint64_t id), void *ctx)
{
	struct stack_filter filter = { known, ctx };
	uint64_t key, next;

	trim(bpf_map__fd(s->skel->maps.hu_stacks), &key, &next, sizeof(key), NULL, stack_goes,
	     &filter);
}

void session__drop_stack(struct session *s, uint64_t id)
{
	/* It may have gone before. */
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.hu_stacks), &id);
}
