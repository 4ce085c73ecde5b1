// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/collect/libc_threads.h"
#include "user/collect/reach.h"

#define BETWEEN_NS 5000000ULL /* between two readings that must agree */

static void pause_a_moment(void)
{
	struct timespec ts = { .tv_nsec = BETWEEN_NS };

	nanosleep(&ts, NULL);
}

/* ---- stacks of threads that ended */

static int add_stack(struct live_stacks *s, uint32_t tgid, const struct libc_thread *t)
{
	struct leaks_stack *more;

	for (size_t i = 0; i < s->cnt; i++)
		if (s->stack[i].tgid == tgid && s->stack[i].start == t->start) {
			s->stack[i].cnt++;
			s->stack[i].bytes += t->stack_sz;
			return 0;
		}
	more = reallocarray(s->stack, s->cnt + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->stack = more;
	more[s->cnt++] = (struct leaks_stack){ tgid, t->start, 1, t->stack_sz };
	return 0;
}

static int add_stacks(struct live_stacks *s, uint32_t tgid, const struct libc_threads *threads)
{
	int err = 0;

	for (size_t i = 0; i < threads->cnt && !err; i++)
		if (!threads->thread[i].tid && threads->thread[i].stack_sz)
			err = add_stack(s, tgid, &threads->thread[i]);
	return err;
}

static int read_process(const struct look *look, const struct snap_process *snap,
			struct target_memory *memory, struct live_stacks *ret)
{
	struct libc_threads threads = { 0 };
	int err;

	target_memory__set(memory, snap->tgid);
	err = libc_threads__read(look->known.symbolizer, snap->names, memory, &threads);
	if (!err)
		err = add_stacks(ret, snap->tgid, &threads);
	libc_threads__free(&threads);
	return err == -ENOMEM ? err : 0;
}

int live_memory__read_stacks(const struct live *l, const struct look *look, struct live_stacks *ret)
{
	struct target_memory *memory = malloc(sizeof(*memory));
	const struct snap_process *snap;
	int err = memory ? 0 : -ENOMEM;

	for (size_t i = 0; !err && (snap = table__next(&look->snapshot->processes, &i));) {
		const struct lt_process *p =
			lifetimes__find(&l->lifetimes, snap->tgid, snap->start);

		if (p && p->unjoined && snap->names)
			err = read_process(look, snap, memory, ret);
	}
	free(memory);
	return err;
}

/* ---- who might wake whom */

static bool is_candidate(const struct blocked_thread *t, uint64_t min_age_ns)
{
	const struct waited_lock *lock = t->lock;

	return lock && t->state == BLOCKED_SLEEPING && !t->timed && t->thread->steady &&
	       t->at_least_ns >= min_age_ns && !lock->shared && lock->kind != LOCK_JOIN &&
	       (lock->held_by == HELD_UNKNOWN || lock->held_by == HELD_NOBODY) &&
	       !strcmp(t->runtime, "native");
}

/* The threads [first, end) of the report are one process's. */
static int search_process(const struct stacks_report *r, size_t first, size_t end,
			  uint64_t min_age_ns, struct reach_thread *ret)
{
	const struct snap_process *p = r->thread[first].thread->process;
	bool any = false;

	if (!p->names)
		return -ESRCH;
	for (size_t i = first; i < end; i++) {
		const struct blocked_thread *t = &r->thread[i];

		ret[i - first] =
			(struct reach_thread){ .tid = t->thread->rec.tid, .sp = t->thread->rec.sp };
		if (is_candidate(t, min_age_ns)) {
			ret[i - first].object = t->thread->call.uaddr;
			any = true;
		}
	}
	return any ? reach__search(p->tgid, sym_process__maps(p->names), ret, end - first) : 0;
}

static size_t count_candidates(const struct stacks_report *r, size_t first, size_t end,
			       uint64_t min_age_ns)
{
	size_t cnt = 0;

	for (size_t i = first; i < end; i++)
		cnt += is_candidate(&r->thread[i], min_age_ns);
	return cnt;
}

struct collecting {
	const struct look *look;
	uint64_t min_age_ns;
	struct reach_thread *once, *again; /* room for all threads */
	uint32_t *tid;
	size_t cnt, not_searched;
};

static int search_twice(struct collecting *c, size_t first, size_t end)
{
	const struct stacks_report *r = c->look->report;
	size_t candidates = count_candidates(r, first, end, c->min_age_ns);
	bool any = false;
	int err;

	if (!candidates)
		return 0;
	err = search_process(r, first, end, c->min_age_ns, c->once);
	for (size_t i = 0; i < end - first && !err; i++)
		any |= c->once[i].unreachable;
	if (!err && any) {
		pause_a_moment();
		err = search_process(r, first, end, c->min_age_ns, c->again);
	}
	if (err == -ENOMEM)
		return err;
	if (err) {
		c->not_searched += candidates;
		return 0;
	}
	for (size_t i = 0; any && i < end - first; i++)
		if (c->once[i].unreachable && c->again[i].unreachable)
			c->tid[c->cnt++] = c->once[i].tid;
	return 0;
}

static int compare_tids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int live_memory__search(const struct look *look, uint64_t min_age_ns, struct leaks_unreachable *ret)
{
	const struct stacks_report *r = look->report;
	struct collecting c = { .look = look, .min_age_ns = min_age_ns };
	size_t first = 0;
	int err = 0;

	c.once = calloc(r->thread_cnt + 1, sizeof(*c.once));
	c.again = calloc(r->thread_cnt + 1, sizeof(*c.again));
	c.tid = calloc(r->thread_cnt + 1, sizeof(*c.tid));
	if (!c.once || !c.again || !c.tid)
		err = -ENOMEM;
	for (size_t i = 1; i <= r->thread_cnt && !err; i++) {
		if (i < r->thread_cnt &&
		    r->thread[i].thread->process == r->thread[first].thread->process)
			continue;
		err = search_twice(&c, first, i);
		first = i;
	}
	free(c.once);
	free(c.again);
	if (err) {
		free(c.tid);
		return err;
	}
	qsort(c.tid, c.cnt, sizeof(*c.tid), compare_tids);
	*ret = (struct leaks_unreachable){ c.tid, c.cnt, c.not_searched };
	return 0;
}
