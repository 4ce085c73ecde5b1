// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/hash.h"
#include "user/collect/proc.h"
#include "user/util/clock.h"
#include "user/util/patience.h"

#define TRIES 4 /* looks at a thread that keeps running between them */

struct taking {
	const struct snapshot_config *cfg;
	struct snapshot *s;
	size_t cap;
	struct target_memory memory;
};

/* ---- processes */

static bool process__equal(const void *value, const void *key)
{
	const struct snap_process *p = value;
	const struct hu_thread_record *rec = key;

	return p->tgid == rec->tgid && p->start == rec->proc_start && p->execs == rec->execs;
}

static void read_names(struct taking *t, struct snap_process *p)
{
	struct hu_thread_record key = {
		.tgid = p->tgid,
		.proc_start = p->start,
		.execs = p->execs,
	};

	p->opened = true;
	p->in_pid_namespace = proc__in_pid_namespace(p->tgid);
	if (known__process(t->cfg->known, &key, &p->names))
		p->names = NULL;
	else if (known__golang(t->cfg->known, &key, &p->go))
		p->go = NULL; /* out of memory: the next step says so */
	if (p->go)
		go_target__open(p->go);
}

static int process__get(struct taking *t, const struct hu_thread_record *rec,
			struct snap_process **ret)
{
	uint64_t hash = hash__mix(hash__mix(rec->tgid, rec->proc_start), rec->execs);
	struct snap_process *p = table__find(&t->s->processes, hash, process__equal, rec);
	int err;

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->tgid = rec->tgid;
		p->start = rec->proc_start;
		p->execs = rec->execs;
		memcpy(p->comm, rec->leader, sizeof(p->comm));
		p->comm[HU_COMM_LEN - 1] = '\0';
		err = table__add(&t->s->processes, hash, p);
		if (err) {
			free(p);
			return err;
		}
	}
	*ret = p;
	return 0;
}

static void open_processes(struct taking *t)
{
	struct snap_process *p;

	for (size_t i = 0; (p = table__next(&t->s->processes, &i));)
		read_names(t, p);
}

/* ---- stacks */

struct stack_key {
	const struct snap_process *process; /* after an exec the same addresses are other functions */
	const struct hu_stack *stack;
};

static bool stack__same(const void *value, const void *key)
{
	const struct stack_key *k = key;
	const struct hu_stack *a = &((const struct snap_stack *)value)->stack, *b = k->stack;

	return ((const struct snap_stack *)value)->process == k->process && a->flags == b->flags &&
	       a->frames == b->frames && a->exact == b->exact &&
	       !memcmp(a->pcs, b->pcs, a->frames * sizeof(a->pcs[0]));
}

static int stack__get(struct taking *t, const struct snap_process *p, const struct hu_stack *stack,
		      const struct snap_stack **ret)
{
	uint64_t id = stack__hash(stack);
	struct stack_key key = { p, stack };
	struct snap_stack *s = table__find(&t->s->stacks, id, stack__same, &key);
	size_t unused = (HU_MAX_FRAMES - stack->frames) * sizeof(stack->pcs[0]);
	int err;

	if (!s) {
		s = malloc(sizeof(*s) - unused);
		if (!s)
			return -ENOMEM;
		s->id = id;
		s->process = p;
		memcpy(&s->stack, stack, sizeof(*stack) - unused);
		err = table__add(&t->s->stacks, id, s);
		if (err) {
			free(s);
			return err;
		}
	}
	*ret = s;
	return 0;
}

/*
 * Looks at a thread: its stack, and the words that it waits for. Of one that runs the registers are those of its
 * last interrupt or call, and the stack has gone on since: a hint at what it does, no more.
 */
static int observe(struct taking *t, struct snap_thread *thread)
{
	const struct hu_thread_record *rec = &thread->rec;
	struct hu_stack stack;

	thread->stack = NULL;
	thread->futex = false;
	if ((rec->flags & HU_THREAD_EXITING) || !thread->process->names)
		return 0;
	target_memory__set(&t->memory, rec->tgid);
	thread->futex = !(rec->flags & HU_THREAD_ON_CPU) &&
			snap_thread__parse_call(rec, &t->memory, &thread->call);
	if (thread->futex) {
		snap_thread__read_words(thread, &t->memory);
		thread->call.tgid = rec->tgid;
		thread->call.tid = rec->tid;
	}
	if (rec->flags & HU_THREAD_COMPAT)
		return 0;
	walker__walk(t->cfg->known->walker, thread->process->names, rec, &t->memory, &stack);
	if (thread->process->go)
		go_target__end_stack(thread->process->go, &stack);
	return stack__get(t, thread->process, &stack, &thread->stack);
}

/* ---- passes */

static bool tid__equal(const void *value, const void *key)
{
	return ((const struct snap_thread *)value)->rec.tid == *(const uint32_t *)key;
}

const struct snap_thread *snapshot__thread(const struct snapshot *s, uint32_t tid)
{
	return table__find(&s->by_tid, hash__mix(0, tid), tid__equal, &tid);
}

static int on_first(void *ctx, const struct hu_record *rec)
{
	struct taking *t = ctx;
	struct snapshot *s = t->s;
	struct snap_thread *more;

	if (rec->kind != HU_REC_THREAD)
		return -EIO;
	if (s->cnt == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 256;
		more = realloc(s->thread, t->cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->thread = more;
	}
	more = &s->thread[s->cnt];
	memset(more, 0, sizeof(*more));
	memcpy(&more->rec, rec, sizeof(more->rec));
	more->rec.comm[HU_COMM_LEN - 1] = '\0';
	s->cnt++;
	return process__get(t, &more->rec, &more->process);
}

/* Those that have moved are taken as they are now. */
static int on_again(void *ctx, const struct hu_record *rec)
{
	struct taking *t = ctx;
	const struct hu_thread_record *full = (const void *)rec;
	struct snap_thread *thread;
	int err;

	if (rec->kind != HU_REC_THREAD)
		return -EIO;
	thread = (struct snap_thread *)snapshot__thread(t->s, full->tid);
	if (!thread || !thread->moved || thread->rec.thread_start != full->thread_start)
		return 0;
	memcpy(&thread->rec, full, sizeof(thread->rec));
	thread->rec.comm[HU_COMM_LEN - 1] = '\0';
	err = process__get(t, &thread->rec, &thread->process);
	if (err)
		return err;
	if (!thread->process->opened) /* it has called exec */
		read_names(t, thread->process);
	return observe(t, thread);
}

/* Each thread that is still there is marked as steady or as moved. */
static int on_brief(void *ctx, const struct hu_record *rec)
{
	struct taking *t = ctx;
	const struct hu_thread_brief *brief = (const void *)rec;
	struct snap_thread *thread = (struct snap_thread *)snapshot__thread(t->s, brief->tid);

	if (!thread || thread->rec.thread_start != brief->thread_start) {
		t->s->born += !(brief->flags & HU_THREAD_EXITING);
		return 0;
	}
	thread->seen = true;
	thread->steady = thread->rec.switches == brief->switches &&
			 !(thread->rec.flags & HU_THREAD_ON_CPU) &&
			 !(brief->flags & (HU_THREAD_ON_CPU | HU_THREAD_EXITING));
	/* Of who was on a CPU nothing is believed anyway, and who ends, or has, waits for nothing. */
	thread->moved = !thread->steady &&
			!(thread->rec.flags & (HU_THREAD_ON_CPU | HU_THREAD_EXITING));
	return 0;
}

/* The words of locks as they are at the second look. */
static void compare_words(struct taking *t, struct snap_thread *thread)
{
	struct snap_thread again = *thread;

	target_memory__set(&t->memory, thread->rec.tgid);
	snap_thread__read_near(&again, &t->memory);
	if (again.near_from != thread->near_from || again.near_to != thread->near_to ||
	    memcmp(again.near, thread->near, sizeof(again.near)))
		thread->steady = false;
}

static int index_threads(struct taking *t)
{
	struct snapshot *s = t->s;
	int err = 0;

	for (size_t i = 0; i < s->cnt && !err; i++)
		err = table__add(&s->by_tid, hash__mix(0, s->thread[i].rec.tid), &s->thread[i]);
	return err;
}

static uint64_t count_moved(const struct snapshot *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->cnt; i++)
		n += s->thread[i].moved;
	return n;
}

/* What one look says of a thread holds for that look only: the next one may not find it any more. */
static int look_briefly(struct taking *t)
{
	struct hu_snap_ask brief = { .mode = HU_SNAP_BRIEF };
	struct snapshot *s = t->s;

	s->born = 0;
	for (size_t i = 0; i < s->cnt; i++)
		s->thread[i].seen = s->thread[i].steady = s->thread[i].moved = false;
	return threads__pass(t->cfg->threads, &brief, on_brief, t);
}

static void wait_until(uint64_t ns)
{
	struct timespec at = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* A first look, and a second one; who moved meanwhile is looked at again. */
static int look(struct taking *t)
{
	struct hu_snap_ask full = { .mode = HU_SNAP_FULL, .kernel = t->cfg->kernel };
	struct snapshot *s = t->s;
	uint64_t moved;
	int err;

	err = threads__pass(t->cfg->threads, &full, on_first, t);
	if (!err)
		err = index_threads(t);
	if (err)
		return err;
	open_processes(t);
	for (size_t i = 0; i < s->cnt && !err; i++)
		err = observe(t, &s->thread[i]);
	if (!err)
		err = golang__look(&t->s->processes);
	for (int tries = 0; !err; tries++) {
		if (!tries)
			wait_until(clock__now_ns() + t->cfg->between_ns);
		err = look_briefly(t);
		moved = count_moved(s);
		if (err || !moved || tries == TRIES)
			break;
		s->retried += tries ? 0 : moved;
		err = threads__pass(t->cfg->threads, &full, on_again, t);
	}
	return err;
}

static int by_process(const void *a, const void *b)
{
	const struct snap_thread *x = a, *y = b;

	if (x->rec.tgid != y->rec.tgid)
		return x->rec.tgid < y->rec.tgid ? -1 : 1;
	return x->rec.tid < y->rec.tid ? -1 : x->rec.tid > y->rec.tid;
}

/* Who has ended has no memory left to be read. Of a process that took too long, threads may have been read. */
static void count_unreadable(struct snapshot *s, const struct snap_thread *thread)
{
	struct snap_process *p = thread->process;

	p->locked = patience__is_over(p->tgid);
	if ((p->names && !p->locked) || p->missed || (thread->rec.flags & HU_THREAD_EXITING))
		return;
	p->missed = true;
	s->unreadable++;
}

/* Times, the second look at words, and an order; those that ended meanwhile go. */
static int finish(struct taking *t)
{
	struct snapshot *s = t->s;
	int64_t offset;
	size_t kept = 0;

	s->clock = threads__clock_offset(t->cfg->threads, &offset);
	for (size_t i = 0; i < s->cnt; i++) {
		struct snap_thread *thread = &s->thread[i];

		if (!thread->seen) {
			s->gone++;
			continue;
		}
		if (s->clock && thread->rec.off_ns)
			thread->since_ns = thread->rec.off_ns + offset;
		if (thread->futex && thread->steady)
			compare_words(t, thread);
		thread->process->threads++;
		count_unreadable(s, thread);
		s->thread[kept++] = *thread;
	}
	s->cnt = kept;
	golang__recheck(&t->s->processes);
	qsort(s->thread, s->cnt, sizeof(s->thread[0]), by_process);
	table__clear(&s->by_tid, NULL);
	return index_threads(t);
}

int snapshot__take(const struct snapshot_config *cfg, struct snapshot **ret)
{
	struct taking t = { .cfg = cfg, .s = calloc(1, sizeof(*t.s)) };
	int err;

	if (!t.s)
		return -ENOMEM;
	cfg->known->looks++;
	t.s->began_ns = clock__now_ns();
	err = look(&t);
	if (!err)
		err = finish(&t);
	t.s->taken_ns = clock__now_ns();
	target_memory__close(&t.memory);
	if (err)
		snapshot__free(t.s);
	else
		*ret = t.s;
	return err;
}

void snapshot__free(struct snapshot *s)
{
	if (!s)
		return;
	table__clear(&s->by_tid, NULL);
	table__clear(&s->processes, free);
	table__clear(&s->stacks, free);
	free(s->thread);
	free(s);
}
