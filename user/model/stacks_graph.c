// SPDX-License-Identifier: GPL-2.0-only
/* Who keeps whom waiting: owners of locks, circles, locks whose owner is gone, chains and their ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/wait.h"
#include "user/model/stacks_build.h"

/*
 * glibc's pthread_rwlock_t (sysdeps/nptl/bits/struct_rwlock.h, the same since 2.25 on x86-64 and arm64):
 * __readers at 0, __cur_writer at 24. While a writer has it, both of these bits are set in __readers
 * (nptl/pthread_rwlock_common.c: PTHREAD_RWLOCK_WRPHASE, PTHREAD_RWLOCK_WRLOCKED).
 */
#define RWLOCK_CUR_WRITER_OFF 24
#define RWLOCK_WRITING	      3u

#define TASK_DEAD 0x80 /* include/linux/sched.h */

static struct blocked_thread *thread_of(struct stacks_builder *b, uint32_t tid)
{
	const struct snap_thread *t = tid ? snapshot__thread(b->in->snapshot, tid) : NULL;

	/* Both arrays have the same order. */
	return t ? &b->r.thread[t - b->in->snapshot->thread] : NULL;
}

/* ---- who has a lock */

static bool has_prefix(const char *name, const char *prefix)
{
	name += strspn(name, "_");
	return !strncmp(name, prefix, strlen(prefix));
}

/* Is what it waits for in a call of the library for such objects? Words of other locks name nobody. */
static bool waits_in(const struct blocked_thread *t, const char *const *prefixes)
{
	for (int i = 0; t->stack && i <= t->api && i < (int)t->stack->frame_cnt; i++)
		for (const char *const *prefix = prefixes; *prefix; prefix++)
			if (has_prefix(t->stack->frames[i].raw, *prefix))
				return true;
	return false;
}

static bool mutex_owner(const struct blocked_thread *t, const struct snap_thread *words,
			uint32_t *ret)
{
	static const char *const mutexes[] = { "pthread_mutex_", "pthread_cond_", "mtx_", "cnd_",
					       NULL };
	const struct hu_wait_record *call = &t->thread->call;
	bool pi = call->op == HU_OP_LOCK_PI || call->op == HU_OP_LOCK_PI2;
	uint32_t word;

	/* What is in a word of priority inheritance is the kernel's to say; in others it is the library's. */
	if ((!pi && !waits_in(t, mutexes)) || !snap_thread__near(words, 0, &word))
		return false;
	if (owner__in_word(call->op, call->val)) {
		*ret = word & FUTEX_TID_MASK;
		return true;
	}
	if (!owner__beside_word(call->op, call->val) || !snap_thread__near(words, 8, ret))
		return false;
	if (!word)
		*ret = 0;
	return true;
}

/* Who writes; readers have no names. */
static bool rwlock_owner(const struct blocked_thread *t, const struct snap_thread *words,
			 uint32_t *ret)
{
	static const char *const rwlocks[] = { "pthread_rwlock_", NULL };
	int64_t off = t->object - t->thread->call.uaddr;
	uint32_t readers;

	if (!waits_in(t, rwlocks) || off < -SNAP_NEAR_BELOW || off > 0 ||
	    !snap_thread__near(words, off, &readers) ||
	    !snap_thread__near(words, off + RWLOCK_CUR_WRITER_OFF, ret))
		return false;
	return (readers & RWLOCK_WRITING) == RWLOCK_WRITING && *ret;
}

/* The owner that these words around the futex word name; false: they don't tell. 0: nobody has it. */
static bool owner_word(const struct blocked_thread *t, const struct snap_thread *words,
		       uint32_t *ret)
{
	bool known = false;

	if (t->lock->kind == LOCK_MUTEX)
		known = mutex_owner(t, words, ret);
	else if (t->lock->kind == LOCK_RWLOCK)
		known = rwlock_owner(t, words, ret);
	return known && *ret <= PID_MAX_LIMIT; /* what can't be a TID is something else */
}

/* The same as it is now. */
static bool owner_word_now(struct stacks_builder *b, const struct blocked_thread *t, uint32_t *ret)
{
	struct snap_thread now = *t->thread;

	target_memory__set(&b->memory, now.rec.tgid);
	if (!t->parked_owner) {
		snap_thread__read_near(&now, &b->memory);
		return owner_word(t, &now, ret);
	}
	if (target_memory__read(&b->memory, t->object, ret, sizeof(*ret)))
		return false;
	*ret &= FUTEX_TID_MASK;
	return true;
}

/* A main thread, or a process, can have ended long ago and be there still. */
static bool ended(const struct blocked_thread *t)
{
	return t->state == BLOCKED_EXITING && (t->thread->rec.state & TASK_DEAD);
}

/*
 * A thread that has come since the first look may have taken the lock, released it and ended: only a word that
 * still names it after it was found to be gone is one that nobody will change.
 */
static enum held_by held_by_gone(struct stacks_builder *b, const struct blocked_thread *t)
{
	uint32_t word;

	if (!owner_word_now(b, t, &word) || word != t->lock->owner_word)
		t->lock->steady = false;
	return HELD_GONE;
}

static void set_owner(struct stacks_builder *b, const struct blocked_thread *t, uint32_t word)
{
	struct waited_lock *lock = t->lock;
	enum inner_answer answer;
	uint32_t tid;

	lock->owner_word = word;
	if (!word) {
		lock->held_by = HELD_NOBODY;
		return;
	}
	answer = stacks__owner_tid(b, t, word, &tid);
	lock->owner = answer == INNER_FOUND ? thread_of(b, tid) : NULL;
	if (answer == INNER_UNKNOWN)
		lock->steady = false;
	else if (answer == INNER_FOUND && (!lock->owner || !ended(lock->owner)))
		lock->held_by = HELD_OWNER;
	else
		lock->held_by = held_by_gone(b, t);
}

/*
 * glibc waits for the word that has the thread's TID until the kernel clears it, which wakes as if it were shared
 * (nptl/pthread_join_common.c); musl for a state (src/thread/pthread_join.c), privately.
 */
static void find_joined(struct stacks_builder *b, struct blocked_thread *t)
{
	const struct hu_wait_record *call = &t->thread->call;
	struct waited_lock *lock = t->lock;
	struct blocked_thread *target;

	if (!(call->flags & HU_WAIT_SHARED))
		return;
	target = thread_of(b, stacks__outer_tid(b, t->thread->process, call->val));
	if (!target || target->thread->process != t->thread->process)
		return;
	if (lock->owner && lock->owner != target)
		lock->steady = false;
	lock->owner = target;
	lock->held_by = HELD_TARGET;
}

/* Waiters that were read at different moments may differ: then it is being handed over. */
static void look_at_lock(struct stacks_builder *b, struct blocked_thread *t)
{
	struct waited_lock *lock = t->lock;
	uint32_t word = t->parked_owner;

	if (lock->kind == LOCK_JOIN) {
		find_joined(b, t);
		return;
	}
	if (!t->thread->steady || (!word && !owner_word(t, t->thread, &word)))
		return;
	if (lock->held_by == HELD_UNKNOWN)
		set_owner(b, t, word);
	else if (lock->owner_word != word)
		lock->steady = false;
}

/* ---- the graph: each thread waits for one at most */

static void find_holders(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;

	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].lock && !r->thread[i].goroutine)
			look_at_lock(b, &r->thread[i]);
	for (size_t i = 0; i < r->thread_cnt; i++) {
		struct blocked_thread *t = &r->thread[i];

		if (t->lock && t->lock->owner &&
		    (t->lock->held_by == HELD_OWNER || t->lock->held_by == HELD_TARGET))
			t->holder = t->lock->owner;
	}
}

/* Will it never go on unless its holder acts, as far as both looks tell? */
static bool stuck(const struct blocked_thread *t)
{
	if (t->goroutine && !t->goroutine->steady)
		return false;
	return t->thread->steady && !t->thread->moved && !t->timed && t->lock && t->lock->steady;
}

/* From the lowest TID on, so that the same circle always reads the same. */
static void order_deadlock(struct deadlock *d, struct blocked_thread *any, size_t cnt)
{
	struct blocked_thread *first = any, *t;

	for (t = any->holder; t != any; t = t->holder)
		if (blocked_thread__id(t) < blocked_thread__id(first))
			first = t;
	d->cnt = cnt;
	t = first;
	for (size_t i = 0; i < cnt; i++, t = t->holder)
		d->thread[i] = t;
}

static int add_deadlock(struct stacks_builder *b, struct blocked_thread *first)
{
	struct stacks_report *r = &b->r;
	struct blocked_thread *t = first;
	struct deadlock *d;
	const char *probable = NULL;
	size_t cnt = 0;
	bool sure = true, ripe = true;

	do {
		sure &= stuck(t);
		if (t->probable)
			probable = "Go's locks name nobody: by where the stacks are, and what they "
				   "point to";
		ripe &= !t->probable || t->at_least_ns >= STACKS_RIPE_NS;
		cnt++;
		t = t->holder;
	} while (t != first);
	r->unripe += sure && !ripe;
	if (!sure || !ripe)
		return 0;
	d = realloc(r->deadlock, (r->deadlock_cnt + 1) * sizeof(*d));
	if (!d)
		return -ENOMEM;
	r->deadlock = d;
	d += r->deadlock_cnt;
	*d = (struct deadlock){ .thread = calloc(cnt, sizeof(struct blocked_thread *)),
				.probable = probable };
	if (!d->thread)
		return -ENOMEM;
	r->deadlock_cnt++;
	order_deadlock(d, first, cnt);
	return 0;
}

/* Walks from each thread to its holder's holder; one that comes upon its own trace has gone in a circle. */
static int find_circles(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	int err = 0;

	for (size_t i = 0; i < r->thread_cnt && !err; i++) {
		struct blocked_thread *t = &r->thread[i];

		for (; t && !t->visit; t = t->holder)
			t->visit = i + 1;
		if (t && t->visit == i + 1)
			err = add_deadlock(b, t);
	}
	return err;
}

/* A circle that t is in: each of its threads has the others behind it, and all that wait for any of them. */
static size_t count_circle(struct blocked_thread *t)
{
	struct blocked_thread *at = t;
	size_t cnt = 0, outside = 0;

	do {
		cnt++;
		outside += at->behind;
		at = at->holder;
	} while (at != t);
	do {
		at->behind = outside + cnt - 1;
		at->blocking = 0; /* done */
		at = at->holder;
	} while (at != t);
	return outside;
}

/*
 * Who waits behind whom: from threads that nobody waits for up to those that wait for nobody, each once, so that
 * long chains cost no more than short ones. Only circles are left over then.
 */
static void count_behind(struct stacks_report *r)
{
	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].holder)
			r->thread[i].holder->blocking++;
	for (size_t i = 0; i < r->thread_cnt; i++) {
		struct blocked_thread *t = &r->thread[i], *holder = t->holder;

		/* Its last waiter may come after it in the array: then that one goes on from here. */
		for (; !t->blocking && holder && !t->counted; t = holder, holder = t->holder) {
			t->counted = true;
			holder->behind += t->behind + 1;
			holder->blocking--;
		}
	}
	for (size_t n = 0; n < r->deadlock_cnt; n++)
		r->deadlock[n].behind = count_circle(r->deadlock[n].thread[0]);
	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].blocking && r->thread[i].holder)
			count_circle(&r->thread[i]);
}

static int more_waiters(const void *a, const void *b)
{
	const struct waited_lock *const *x = a, *const *y = b;

	if ((*x)->waiters != (*y)->waiters)
		return (*x)->waiters < (*y)->waiters ? 1 : -1;
	if ((*x)->process->tgid != (*y)->process->tgid)
		return (*x)->process->tgid < (*y)->process->tgid ? -1 : 1;
	return (*x)->address < (*y)->address ? -1 : (*x)->address > (*y)->address;
}

static int list_locks(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	struct waited_lock *lock;

	r->lock = calloc(b->locks.cnt + 1, sizeof(struct waited_lock *));
	r->orphan = calloc(b->locks.cnt + 1, sizeof(struct waited_lock *));
	if (!r->lock || !r->orphan)
		return -ENOMEM;
	for (size_t i = 0; (lock = table__next(&b->locks, &i));)
		r->lock[r->lock_cnt++] = lock;
	qsort(r->lock, r->lock_cnt, sizeof(r->lock[0]), more_waiters);
	for (size_t i = 0; i < r->lock_cnt; i++)
		if (r->lock[i]->held_by == HELD_GONE && r->lock[i]->steady)
			r->orphan[r->orphan_cnt++] = r->lock[i];
	return 0;
}

static int by_owner(const void *a, const void *b)
{
	const struct waited_lock *const *x = a, *const *y = b;

	if ((*x)->owner != (*y)->owner)
		return (*x)->owner < (*y)->owner ? -1 : 1;
	return more_waiters(a, b);
}

/* The locks that threads hold, owner by owner. */
static int list_held(struct stacks_builder *b)
{
	const struct stacks_report *r = &b->r;

	b->held = calloc(r->lock_cnt + 1, sizeof(struct waited_lock *));
	if (!b->held)
		return -ENOMEM;
	for (size_t i = 0; i < r->lock_cnt; i++)
		if (r->lock[i]->owner &&
		    (r->lock[i]->held_by == HELD_OWNER || r->lock[i]->held_by == HELD_PROBABLE))
			b->held[b->held_cnt++] = r->lock[i];
	qsort(b->held, b->held_cnt, sizeof(b->held[0]), by_owner);
	return 0;
}

static void chain__set_locks(const struct stacks_builder *b, struct wait_chain *c)
{
	size_t lo = 0, hi = b->held_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->held[mid]->owner < c->root)
			lo = mid + 1;
		else
			hi = mid;
	}
	c->lock = b->held + lo;
	while (lo + c->lock_cnt < b->held_cnt && b->held[lo + c->lock_cnt]->owner == c->root)
		c->lock_cnt++;
}

static int longer_chain(const void *a, const void *b)
{
	const struct wait_chain *x = a, *y = b;

	if (x->waiters != y->waiters)
		return x->waiters < y->waiters ? 1 : -1;
	return blocked_thread__id(x->root) < blocked_thread__id(y->root) ? -1 : 1;
}

/* Threads behind which others wait, and that themselves wait for no thread: what they do is what matters. */
static int find_chains(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	int err = list_held(b);
	size_t cnt = 0;

	for (size_t i = 0; i < r->thread_cnt; i++)
		cnt += r->thread[i].behind && !r->thread[i].holder;
	r->chain = calloc(cnt + 1, sizeof(*r->chain));
	if (err || !r->chain)
		return -ENOMEM;
	for (size_t i = 0; i < r->thread_cnt; i++) {
		struct blocked_thread *t = &r->thread[i];
		struct wait_chain *c = &r->chain[r->chain_cnt];

		if (!t->behind || t->holder)
			continue;
		t->idle = false;
		*c = (struct wait_chain){ .root = t, .waiters = t->behind };
		chain__set_locks(b, c);
		r->chain_cnt++;
	}
	qsort(r->chain, r->chain_cnt, sizeof(r->chain[0]), longer_chain);
	return 0;
}

int stacks__find_holders(struct stacks_builder *b)
{
	int err;

	find_holders(b);
	err = stacks__find_go_holders(b);
	if (!err)
		err = find_circles(b);
	if (err)
		return err;
	count_behind(&b->r);
	err = list_locks(b);
	return err ? err : find_chains(b);
}
