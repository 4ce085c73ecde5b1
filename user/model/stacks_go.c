// SPDX-License-Identifier: GPL-2.0-only
/* Goroutines as entries of the report, beside threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/proc.h"
#include "user/model/go_names.h"
#include "user/model/stacks_build.h"

static bool has_goroutines(const struct snap_process *p)
{
	return p->go && p->go->now && p->threads;
}

size_t stacks__count_goroutines(const struct stacks_builder *b)
{
	const struct snap_process *p;
	size_t cnt = 0;

	for (size_t i = 0; (p = table__next(&b->in->snapshot->processes, &i));)
		if (has_goroutines(p))
			cnt += p->go->now->cnt;
	return cnt;
}

size_t stacks__go_frames(const struct stacks_builder *b, const struct snap_process *p, uint64_t pc,
			 bool leaf, bool all, struct sym_frame *ret, size_t cap)
{
	return go_names__frames(b->in->symbolizer, p->go, pc, leaf, all, ret, cap);
}

/* ---- stacks */

/* A stack of Go's, named at once: lines cost next to nothing. */
struct go_named {
	struct named_stack named; /* the first member: it is what the table has */
	const void *key;
	uint64_t pc;
};

/* Of what a snapshot's stack says, views ask only this. */
static const struct snap_stack whole = { .stack = { .flags = HU_STACK_COMPLETE } }, cut;

struct go_key {
	const void *of; /* the stack, or the process of a creation */
	uint64_t pc;	/* of the creation; 0: a stack */
};

static bool named__is(const void *value, const void *key)
{
	const struct go_named *n = value;
	const struct go_key *k = key;

	return n->key == k->of && n->pc == k->pc;
}

static void named__free(void *value)
{
	struct go_named *n = value;

	free(n->named.frames);
	free(n);
}

static int add_named(struct stacks_builder *b, const struct snap_process *p,
		     const struct go_key *key, const uint64_t *pcs, size_t cnt, bool complete,
		     const struct named_stack **ret)
{
	struct sym_frame *frame = malloc(STACK_FRAMES_MAX * sizeof(*frame)), *fit;
	struct go_named *n = calloc(1, sizeof(*n));
	size_t frames = 0;

	if (!frame || !n) {
		free(frame);
		free(n);
		return -ENOMEM;
	}
	for (size_t i = 0; i < cnt && frames < STACK_FRAMES_MAX; i++)
		frames += stacks__go_frames(b, p, pcs[i], false, true, frame + frames,
					    STACK_FRAMES_MAX - frames);
	fit = realloc(frame, (frames + 1) * sizeof(*frame));
	n->named.frames = fit ? fit : frame;
	n->named.frame_cnt = frames;
	n->named.has_lines = true;
	n->named.stack = complete ? &whole : &cut;
	n->key = key->of;
	n->pc = key->pc;
	if (table__add(&b->go_stacks, hash__mix((uintptr_t)key->of, key->pc), n)) {
		named__free(n);
		return -ENOMEM;
	}
	*ret = &n->named;
	return 0;
}

static int find_stack(struct stacks_builder *b, const struct snap_process *p,
		      const struct go_stack *stack, const struct named_stack **ret)
{
	struct go_key key = { .of = stack };

	*ret = table__find(&b->go_stacks, hash__mix((uintptr_t)stack, 0), named__is, &key);
	return *ret ? 0 : add_named(b, p, &key, stack->pcs, stack->frames, stack->complete, ret);
}

static int find_created(struct stacks_builder *b, const struct snap_process *p, uint64_t pc,
			const struct named_stack **ret)
{
	struct go_key key = { .of = p, .pc = pc };

	*ret = NULL;
	if (!pc || !go_process__has_code(&p->go->process, pc))
		return 0;
	*ret = table__find(&b->go_stacks, hash__mix((uintptr_t)p, pc), named__is, &key);
	return *ret ? 0 : add_named(b, p, &key, &pc, 1, true, ret);
}

/* ---- what they wait for */

static uint32_t thread_id(const struct stacks_builder *b, const struct snap_process *p,
			  uint32_t inner)
{
	uint32_t tid = inner;

	if (p->in_pid_namespace && proc__by_inner_tid(p->tgid, inner, &tid))
		return 0;
	return tid;
}

static void find_thread(struct stacks_builder *b, struct blocked_thread *t)
{
	const struct snap_thread *thread;
	uint32_t tid;

	if (!t->goroutine->tid)
		return;
	tid = thread_id(b, t->thread->process, t->goroutine->tid);
	thread = tid ? snapshot__thread(b->in->snapshot, tid) : NULL;
	if (!thread || thread->process != t->thread->process)
		return;
	t->on = &b->r.thread[thread - b->in->snapshot->thread];
	t->on->on = t;
}

static void classify(const struct go_target *go, struct blocked_thread *t)
{
	const struct go_goroutine *g = t->goroutine;

	go_names__classify(go, g, t->stack ? t->stack->frames : NULL,
			   t->stack ? t->stack->frame_cnt : 0,
			   g->chans ? go->now->chan[g->chan_at] : 0, &t->go);
}

/* What its thread does is what it does: it is in a system call, or runs. */
static void take_from_thread(struct blocked_thread *t)
{
	struct blocked_thread *thread = t->on;

	if (!thread)
		return;
	if (t->goroutine->status == GO_RUNNING && !t->stack) {
		t->stack = thread->stack;
		t->api = thread->api;
	}
	t->state = thread->state;
	t->call = thread->call;
	t->kernel = thread->kernel;
	t->timed = thread->timed;
	t->at_least_ns = thread->at_least_ns;
	t->idle |= thread->idle && !thread->lock;
}

static enum blocked_state state_of(const struct go_goroutine *g)
{
	if (g->status == GO_RUNNING || g->status == GO_COPYSTACK)
		return BLOCKED_RUNNING;
	return g->status == GO_RUNNABLE || g->status == GO_PREEMPTED ? BLOCKED_RUNNABLE
								     : BLOCKED_SLEEPING;
}

static enum call_kind call_kind_of(const char *reason)
{
	if (!strcmp(reason, "sleep"))
		return CALL_TIMER;
	return strcmp(reason, "IO wait") ? CALL_OTHER : CALL_POLL;
}

static int find_object(struct stacks_builder *b, struct blocked_thread *t)
{
	struct target_wait wait = {
		.kind = t->go.kind,
		.object = t->go.object,
		.label = t->go.label,
		.idle = t->go.idle,
	};

	t->object = wait.object;
	return wait.kind ? stacks__get_lock(b, t, &wait, &t->lock) : 0;
}

/* Bounds, never more: waitsince is that of a garbage collection before it, our own sight comes after it. */
static void find_times(const struct stacks_builder *b, const struct go_snapshot *s,
		       struct blocked_thread *t)
{
	const struct go_goroutine *g = t->goroutine;
	/* It was the same again when everything else had been looked at. */
	uint64_t now = g->steady ? b->in->snapshot->taken_ns : s->taken_ns;
	uint64_t since = g->stamp_ns && g->stamp_ns < g->first_ns ? g->stamp_ns : g->first_ns;

	if (g->status != GO_WAITING && g->status != GO_LEAKED)
		return;
	if (now > since)
		t->at_least_ns = now - since;
	if (g->waitsince_ns && g->waitsince_ns < since)
		t->at_most_ns = now - g->waitsince_ns;
}

static int fill(struct stacks_builder *b, const struct snap_thread *stand_in,
		const struct go_goroutine *g, struct blocked_thread *t)
{
	const struct snap_process *p = stand_in->process;
	const char *reason = go_process__reason(&p->go->process, g->reason);
	int err = 0;

	t->thread = stand_in;
	t->goroutine = g;
	t->runtime = "go";
	t->kernel = "";
	t->state = state_of(g);
	t->call = (struct call_wait){ .kind = call_kind_of(reason),
				      .call = g->status == GO_WAITING ? reason : "",
				      .what = "",
				      .object = "",
				      .fd = -1,
				      .timeout_ns = UINT64_MAX };
	if (g->status == GO_LEAKED)
		t->call.call = *reason ? reason : "leaked";
	if (g->stack)
		err = find_stack(b, p, g->stack, &t->stack);
	if (!err && g->goid != 1) /* the first one is the runtime's own doing */
		err = find_created(b, p, g->gopc, &t->created);
	if (err)
		return err;
	classify(p->go, t);
	t->api = t->go.api;
	t->idle = t->go.idle;
	t->timed = t->go.timed;
	find_times(b, p->go->now, t);
	find_thread(b, t);
	if (g->status == GO_SYSCALL || g->status == GO_RUNNING)
		take_from_thread(t);
	return find_object(b, t);
}

static int add_process(struct stacks_builder *b, struct go_summary *go)
{
	struct snap_process *p = (struct snap_process *)go->process;
	struct snap_thread *stand_in = &b->stand_in[b->stand_ins++];
	const struct go_snapshot *s = p->go->now;
	struct stacks_report *r = &b->r;
	int err = 0;

	go->first = r->thread_cnt;
	stand_in->process = p;
	stand_in->steady = true;
	stand_in->rec.tgid = p->tgid;
	memcpy(stand_in->rec.comm, p->comm, sizeof(stand_in->rec.comm));
	for (size_t i = 0; i < s->cnt && !err; i++) {
		err = fill(b, stand_in, &s->goroutine[i], &r->thread[r->thread_cnt]);
		r->thread_cnt++;
		r->goroutine_cnt++;
	}
	r->coverage.stacks_incomplete += s->broken;
	r->coverage.goroutines_moved += s->rejected + s->beyond;
	return err;
}

/* ---- the runtime's own threads */

/* Nothing but the runtime, and maybe the C library below it. */
static bool only_runtime(const struct blocked_thread *t)
{
	bool go = false;

	for (size_t i = 0; t->stack && i < t->stack->frame_cnt; i++) {
		const struct sym_frame *f = &t->stack->frames[i];

		if (!target__is_runtime(f))
			return false;
		go |= go_wait__is_runtime(f->raw);
	}
	return go;
}

/*
 * A thread that waits for a goroutine to run, watches over the others, or waits in place of a goroutine, which is
 * listed itself: the program does nothing with it. One that is in C is the program's.
 */
static bool serves(const struct blocked_thread *t)
{
	if (t->state == BLOCKED_RUNNING || t->goroutine || !has_goroutines(t->thread->process))
		return false;
	return only_runtime(t) || (t->on && t->stack && t->stack->frame_cnt &&
				   t->on->goroutine->status == GO_SYSCALL &&
				   go_wait__is_runtime(t->stack->frames[0].raw));
}

static void find_own(struct stacks_report *r)
{
	for (size_t i = 0; i < r->thread_cnt - r->goroutine_cnt; i++) {
		struct blocked_thread *t = &r->thread[i];

		t->own = serves(t);
		t->idle |= t->own;
		r->own += t->own;
	}
}

/* ---- */

static int summarize(struct stacks_builder *b, const struct snap_process *p)
{
	struct stacks_report *r = &b->r;
	struct go_summary *more = reallocarray(r->go, r->go_cnt + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->go = more;
	r->go[r->go_cnt++] =
		(struct go_summary){ p, p->go->binary->version, p->go->why, p->go->now };
	r->coverage.go_unread += *p->go->why != '\0';
	return 0;
}

static int by_tgid(const void *a, const void *b)
{
	const struct go_summary *x = a, *y = b;

	return x->process->tgid < y->process->tgid ? -1 : x->process->tgid > y->process->tgid;
}

int stacks__add_goroutines(struct stacks_builder *b)
{
	struct stacks_report *r = &b->r;
	struct snap_process *p;
	int err = 0;

	for (size_t i = 0; !err && (p = table__next(&b->in->snapshot->processes, &i));)
		if (p->go && p->threads)
			err = summarize(b, p);
	if (err || !r->go_cnt)
		return err;
	qsort(r->go, r->go_cnt, sizeof(r->go[0]), by_tgid);
	b->stand_in = calloc(r->go_cnt, sizeof(*b->stand_in));
	if (!b->stand_in)
		return -ENOMEM;
	for (size_t i = 0; i < r->go_cnt && !err; i++)
		if (r->go[i].goroutines)
			err = add_process(b, &r->go[i]);
	if (!err)
		find_own(r);
	return err;
}

void stacks__free_goroutines(struct stacks_builder *b)
{
	table__clear(&b->go_stacks, named__free);
	free(b->stand_in);
	free(b->r.go);
}
