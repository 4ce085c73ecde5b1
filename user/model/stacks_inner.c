// SPDX-License-Identifier: GPL-2.0-only
/* Threads by the number that stands in a word: that of the PID namespace in which who wrote it knows itself. */
#include <stdlib.h>

#include "user/collect/pidns.h"
#include "user/collect/proc.h"
#include "user/model/stacks_build.h"

struct inner_tid {
	uint32_t tgid, inner, tid;
};

static bool inner__equal(const void *value, const void *key)
{
	const struct inner_tid *a = value, *b = key;

	return a->tgid == b->tgid && a->inner == b->inner;
}

uint32_t stacks__outer_tid(struct stacks_builder *b, const struct snap_process *p, uint32_t word)
{
	struct inner_tid key = { .tgid = p->tgid, .inner = word }, *found;
	uint64_t hash = hash__mix(p->tgid, word);

	if (!p->in_pid_namespace)
		return word;
	found = table__find(&b->inner, hash, inner__equal, &key);
	if (found)
		return found->tid;
	found = malloc(sizeof(*found));
	if (!found)
		return 0;
	*found = key;
	if (proc__by_inner_tid(p->tgid, word, &found->tid))
		found->tid = 0;
	key.tid = found->tid;
	if (table__add(&b->inner, hash, found))
		free(found);
	return key.tid;
}

/* The thread that the snapshot or the machine has by our number, as far as it can be the one that is meant. */
static enum inner_answer private_owner(const struct stacks_builder *b, const struct snap_process *p,
				       uint32_t tid)
{
	const struct snap_thread *found = snapshot__thread(b->in->snapshot, tid);

	/* The number may be another process's by now: a lock that is not shared can't be its. */
	if (found ? found->process == p : proc__lives(p->tgid, tid))
		return INNER_FOUND;
	return INNER_GONE;
}

/*
 * Of a lock in shared memory: any process of the waiter's namespace that has the memory mapped; those of others mean
 * somebody else by this number.
 */
static enum inner_answer shared_owner(const struct stacks_builder *b, const struct snap_process *p,
				      const struct mapping *file, uint32_t word, uint32_t *tid)
{
	const struct snap_thread *found;
	int maps = 0;

	if (!*tid && p->in_pid_namespace && pidns__thread(p->tgid, word, tid))
		*tid = 0;
	found = *tid ? snapshot__thread(b->in->snapshot, *tid) : NULL;
	if (found && found->process->names)
		maps = pidns__is_in(sym_process__maps(found->process->names), file);
	else if (found || (*tid && proc__lives(0, *tid)))
		maps = pidns__maps(*tid, file);
	if (maps > 0)
		return INNER_FOUND;
	return maps < 0 || pidns__maps_elsewhere(p->tgid, file) ? INNER_UNKNOWN : INNER_GONE;
}

enum inner_answer stacks__owner_tid(struct stacks_builder *b, const struct blocked_thread *t,
				    uint32_t word, uint32_t *ret_tid)
{
	const struct snap_process *p = t->thread->process;
	const struct mapping *file =
		t->lock->shared ? maps__find(sym_process__maps(p->names), t->object) : NULL;

	*ret_tid = stacks__outer_tid(b, p, word);
	if (!t->lock->shared)
		return *ret_tid ? private_owner(b, p, *ret_tid) : INNER_GONE;
	return file ? shared_owner(b, p, file, word, ret_tid) : INNER_UNKNOWN;
}
