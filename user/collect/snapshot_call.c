// SPDX-License-Identifier: GPL-2.0-only
/* What one thread of a snapshot waits for: its call for a futex, and the words around it. */
#include <string.h>
#include <sys/syscall.h>

#include "user/collect/snapshot.h"

/* The same numbers on every architecture, include/uapi/asm-generic/unistd.h */
#define NR_FUTEX_WAITV 449
#define NR_FUTEX_WAIT  455
#define FUTEX2_PRIVATE 128

/* As arch__address() in bpf/arch.h: without the tag. */
static uint64_t address(uint64_t addr)
{
#if defined(__aarch64__)
	addr &= ~(0xffULL << 56);
#endif
	return addr;
}

static bool parse_old_call(const struct hu_thread_record *rec, struct hu_wait_record *call)
{
	uint32_t op = rec->arg[1], cmd = op & ~(HU_FUTEX_PRIVATE | HU_FUTEX_REALTIME);

	if (cmd != HU_OP_WAIT && cmd != HU_OP_WAIT_BITSET && cmd != HU_OP_LOCK_PI &&
	    cmd != HU_OP_LOCK_PI2 && cmd != HU_OP_WAIT_REQUEUE_PI)
		return false;
	call->op = cmd;
	call->uaddr = address(rec->arg[0]);
	call->val = rec->arg[2];
	call->flags = (op & HU_FUTEX_PRIVATE ? 0 : HU_WAIT_SHARED) |
		      (rec->arg[3] ? HU_WAIT_TIMED : 0);
	return true;
}

/* As call__parse() in bpf/task.h, from a record. */
bool snap_thread__parse_call(const struct hu_thread_record *rec, struct target_memory *memory,
			     struct hu_wait_record *call)
{
	struct {
		uint64_t val, uaddr;
		uint32_t flags, reserved;
	} first; /* struct futex_waitv, include/uapi/linux/futex.h */

	memset(call, 0, sizeof(*call));
	call->sleeps = 1; /* the model's sign of a sample */
	if (rec->flags & HU_THREAD_COMPAT)
		return false;
	switch (rec->nr) {
	case SYS_futex:
		return parse_old_call(rec, call);
	case NR_FUTEX_WAITV:
		if (target_memory__read(memory, address(rec->arg[0]), &first, sizeof(first)))
			return false;
		call->op = HU_OP_WAITV;
		call->uaddr = address(first.uaddr);
		call->val = first.val;
		call->flags = (first.flags & FUTEX2_PRIVATE ? 0 : HU_WAIT_SHARED) |
			      (rec->arg[3] ? HU_WAIT_TIMED : 0);
		return true;
	case NR_FUTEX_WAIT:
		call->op = HU_OP_WAIT2;
		call->uaddr = address(rec->arg[0]);
		call->val = rec->arg[1];
		call->flags = (rec->arg[3] & FUTEX2_PRIVATE ? 0 : HU_WAIT_SHARED) |
			      (rec->arg[4] ? HU_WAIT_TIMED : 0);
		return true;
	}
	return false;
}

bool snap_thread__near(const struct snap_thread *t, int off, uint32_t *ret)
{
	int at = off + SNAP_NEAR_BELOW;

	if (at < t->near_from || at + (int)sizeof(*ret) > t->near_to)
		return false;
	memcpy(ret, t->near + at, sizeof(*ret));
	return true;
}

/* As much as there is around the word: it may lie at the edge of a mapping. */
void snap_thread__read_near(struct snap_thread *thread, struct target_memory *memory)
{
	static const uint8_t from[] = { 0, SNAP_NEAR_BELOW }, to[] = { SNAP_NEAR_SZ, 32, 20 };

	thread->near_from = thread->near_to = 0;
	for (size_t i = 0; i < sizeof(from); i++)
		for (size_t j = 0; j < sizeof(to); j++) {
			uint64_t addr = thread->call.uaddr - SNAP_NEAR_BELOW + from[i];

			if (target_memory__read(memory, addr, thread->near + from[i],
						to[j] - from[i]))
				continue;
			thread->near_from = from[i];
			thread->near_to = to[j];
			return;
		}
}

void snap_thread__read_words(struct snap_thread *thread, struct target_memory *memory)
{
	uint32_t word;

	snap_thread__read_near(thread, memory);
	if (snap_thread__near(thread, 0, &word))
		thread->call.word = word;
	if (snap_thread__near(thread, 8, &word)) {
		thread->call.owner_word = word;
		thread->call.flags |= HU_WAIT_OWNER_READ;
	}
}
