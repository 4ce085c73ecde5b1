// SPDX-License-Identifier: GPL-2.0-only
/* What the futex call and the memory around its word tell: the kind, and where the lock begins. */
#include <string.h>

#include "user/target/table.h"

#define PID_MAX_LIMIT (4 << 20) /* include/linux/threads.h */

static bool plausible_tid(uint32_t tid)
{
	return tid > 0 && tid <= PID_MAX_LIMIT;
}

enum lock_kind target__kind_of_call(const struct hu_wait_record *rec)
{
	if (rec->op == HU_OP_LOCK_PI || rec->op == HU_OP_LOCK_PI2)
		return LOCK_MUTEX;
	if (rec->op == HU_OP_WAIT_REQUEUE_PI)
		return LOCK_CONDVAR;
	if (!rec->sleeps)
		return LOCK_FUTEX;
	/* glibc's low-level lock: 2 is "taken, with waiters"; __owner names who
	 * (nptl/lowlevellock.c). */
	if ((rec->op == HU_OP_WAIT || rec->op == HU_OP_WAIT_BITSET) && rec->val == 2 &&
	    (rec->flags & HU_WAIT_OWNER_READ) && plausible_tid(rec->owner_word))
		return LOCK_MUTEX;
	/* pthread_join waits, as if shared, until the kernel clears the TID
	 * (nptl/pthread_join_common.c). */
	if (rec->op == HU_OP_WAIT_BITSET && (rec->flags & HU_WAIT_SHARED) && rec->val > 3 &&
	    plausible_tid(rec->val) && rec->word == rec->val)
		return LOCK_JOIN;
	return LOCK_FUTEX;
}

/*
 * glibc's objects are larger than the word they wait on (x86-64 and arm64 alike):
 * - pthread_rwlock_t (sysdeps/nptl/bits/struct_rwlock.h): __readers 0, __wrphase_futex 8,
 *   __writers_futex 12. Readers wait on __readers only with PREFER_WRITER_NONRECURSIVE; then the
 * value has PTHREAD_RWLOCK_RWAITING (4) set, while the futexes hold at most 3
 * (nptl/pthread_rwlock_common.c).
 * - pthread_cond_t (sysdeps/nptl/bits/thread-shared-types.h): waiters wait on __g_signals, 40 and 44;
 *   who signals waits on __g_refs, 16 and 20, for an earlier group to leave (nptl/pthread_cond_common.c).
 * - pthread_barrier_t (sysdeps/nptl/internaltypes.h): in 0, current_round 4, …, out 16.
 * Each is aligned to 8 bytes; mutexes and semaphores wait on their first word.
 */
static uint64_t glibc_object(enum lock_kind kind, const char *api, const struct hu_wait_record *rec)
{
	uint64_t second = rec->uaddr & 4;

	switch (kind) {
	case LOCK_RWLOCK:
		if (second)
			return rec->uaddr - 12;
		return rec->sleeps && (rec->val & 4) ? rec->uaddr : rec->uaddr - 8;
	case LOCK_CONDVAR:
		return rec->uaddr - second - (strstr(api, "wait") ? 40 : 16);
	case LOCK_BARRIER:
		return rec->uaddr - second;
	default:
		return rec->uaddr;
	}
}

/*
 * musl 1.1 and 1.2, src/internal/pthread_impl.h: a mutex waits on _m_lock, its second int; rwlocks and
 * semaphores on their first. Its internal locks (__lock, __lockfile) are the word itself, and a condition
 * variable's or barrier's waiters have words on their own stacks (src/thread/pthread_cond_timedwait.c).
 */
static uint64_t musl_object(enum lock_kind kind, const struct sym_frame *api,
			    const struct hu_wait_record *rec)
{
	bool is_mutex = kind == LOCK_MUTEX && strstr(api->raw, "mutex");

	return is_mutex && (rec->uaddr & 7) == 4 ? rec->uaddr - 4 : rec->uaddr;
}

/* musl's functions wait in __timedwait or __wait (src/thread/__timedwait.c). */
bool target__is_musl(const struct target_site *site, int api)
{
	const struct sym_frame *f = site->frames;

	for (int i = 0; i <= api; i++)
		if (!strncmp(f[i].module, "ld-musl", 7) || !strcmp(f[i].module, "libc.so") ||
		    !strncmp(f[i].raw, "__timedwait", 11) || !strcmp(f[i].raw, "__wait"))
			return true;
	return false;
}

uint64_t target__object(enum lock_kind kind, const struct target_site *site, int api)
{
	const struct sym_frame *f = &site->frames[api];

	/* A condvar's call that sleeps for the mutex: the outermost function is not the one that waits. */
	if (target__is_musl(site, api)) {
		for (int i = 0; i < api && kind == LOCK_MUTEX; i++)
			if (strstr(site->frames[i].raw, "mutex"))
				f = &site->frames[i];
		return musl_object(kind, f, site->rec);
	}
	return glibc_object(kind, f->raw, site->rec);
}
