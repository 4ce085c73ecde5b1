// SPDX-License-Identifier: GPL-2.0-only
/* `holdup stacks` for machines: the names of the design, described by schema.json. */
#include "user/view/json.h"

static const char *held_by_name(enum held_by by)
{
	static const char *const names[] = {
		[HELD_UNKNOWN] = "unknown", [HELD_OWNER] = "owner",   [HELD_GONE] = "gone",
		[HELD_TARGET] = "target",   [HELD_NOBODY] = "nobody", [HELD_PROBABLE] = "probable",
	};

	return names[by];
}

static void put_lock(struct writer *w, json_t *o, const struct waited_lock *lock)
{
	json__put_u64(w, o, "pid", lock->process->tgid);
	json__put_address(w, o, "address", lock->address);
	json__put_text(w, o, "name", lock->name);
	json__put(w, o, "kind", json_string(lock_kind__name(lock->kind)));
	json__put_text(w, o, "label", lock->label);
	json__put(w, o, "held_by", json_string(held_by_name(lock->held_by)));
	if (lock->owner && lock->owner->goroutine)
		json__put_u64(w, o, "owner_goroutine", lock->owner->goroutine->goid);
	else if (lock->owner)
		json__put_u64(w, o, "owner_tid", lock->owner->thread->rec.tid);
	else if (lock->held_by == HELD_OWNER || lock->held_by == HELD_GONE)
		json__put_u64(w, o, "owner_tid", lock->owner_word);
}

static json_t *peers_json(struct writer *w, const struct call_wait *c)
{
	json_t *peers = json_array();

	for (size_t i = 0; i < c->peer_cnt; i++) {
		json_t *o = json_object();

		json__put_u64(w, o, "pid", c->peer[i].tgid);
		json__put_text(w, o, "comm", c->peer[i].comm);
		json__append(w, peers, o);
	}
	return peers;
}

static json_t *wait_json(struct writer *w, const struct blocked_thread *t)
{
	json_t *o = json_object();

	if (t->lock) {
		put_lock(w, o, t->lock);
		json_object_del(o, "pid");
		json__put_address(w, o, "address",
				  t->lock->address ? t->lock->address : t->thread->call.uaddr);
	} else {
		json__put(w, o, "kind", json_string(call_kind__name(t->call.kind)));
		json__put_text(w, o, "what", t->call.what);
		json__put_text(w, o, "object", t->call.object);
		if (t->call.fd >= 0)
			json__put_u64(w, o, "fd", t->call.fd);
		if (t->call.child)
			json__put_u64(w, o, "child", t->call.child);
		json__put(w, o, "peers", peers_json(w, &t->call));
	}
	json__put_text(w, o, "call", t->call.call);
	if (*t->kernel)
		json__put_text(w, o, "kernel", t->kernel);
	json__put(w, o, "idle", json_boolean(t->idle));
	json__put(w, o, "timed", json_boolean(t->timed));
	if (t->at_least_ns)
		json__put_u64(w, o, "blocked_at_least_ns", t->at_least_ns);
	if (t->at_most_ns)
		json__put_u64(w, o, "blocked_at_most_ns", t->at_most_ns);
	return o;
}

static json_t *kernel_stack_json(struct writer *w, const struct blocked_thread *t)
{
	json_t *stack = json_array();

	for (size_t i = 0; i < t->kernel_cnt; i++)
		json__append(w, stack, json_string(t->kernel_stack[i]));
	return stack;
}

/* Of a goroutine: what no thread has; of a thread: the goroutine that it runs. */
static void put_goroutine(struct writer *w, json_t *o, const struct blocked_thread *t)
{
	const struct named_stack *by = t->created;

	if (!t->goroutine) {
		if (t->on)
			json__put_u64(w, o, "goroutine", t->on->goroutine->goid);
		json__put(w, o, "serves_runtime", json_boolean(t->own));
		return;
	}
	json__put_u64(w, o, "goroutine", t->goroutine->goid);
	json__put(w, o, "go_status", json_string(go_status__name(t->goroutine->status)));
	json__put(w, o, "created_by",
		  by ? json__stack(w, by->frames, by->frame_cnt) : json_array());
	if (t->goroutine->parent)
		json__put_u64(w, o, "created_by_goroutine", t->goroutine->parent);
}

static uint32_t tid_of(const struct blocked_thread *t)
{
	if (!t->goroutine)
		return t->thread->rec.tid;
	return t->on ? t->on->thread->rec.tid : 0;
}

static json_t *thread_json(struct writer *w, const struct blocked_thread *t)
{
	const struct snap_thread *s = t->thread;
	uint16_t flags = t->stack ? t->stack->stack->stack.flags : 0;
	json_t *o = json_object();

	json__put_u64(w, o, "pid", s->rec.tgid);
	json__put_u64(w, o, "tid", tid_of(t));
	json__put_text(w, o, "comm", s->rec.comm);
	put_goroutine(w, o, t);
	json__put_text(w, o, "process", s->process->comm);
	json__put(w, o, "runtime", json_string(t->runtime));
	json__put(w, o, "state", json_string(blocked_state__name(t->state)));
	json__put(w, o, "moved", json_boolean(s->moved || t->state == BLOCKED_RUNNING));
	if (t->state != BLOCKED_RUNNING)
		json__put(w, o, "wait", wait_json(w, t));
	json__put(w, o, "complete", json_boolean(flags & HU_STACK_COMPLETE));
	json__put(w, o, "guessed", json_boolean(flags & HU_STACK_FRAMEPTR));
	json__put(w, o, "derived", json_boolean(flags & HU_STACK_DERIVED));
	json__put(w, o, "stack",
		  t->stack ? json__stack(w, t->stack->frames, t->stack->frame_cnt) : json_array());
	json__put(w, o, "kernel_stack", kernel_stack_json(w, t));
	return o;
}

static json_t *threads_json(struct writer *w, const struct stacks_report *r)
{
	bool idle = r->query->idle || r->query->all;
	json_t *threads = json_array();

	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		if (idle || (!t->idle && t->state != BLOCKED_RUNNING) || t->behind)
			json__append(w, threads, thread_json(w, t));
	}
	return threads;
}

static json_t *group_json(struct writer *w, const struct blocked_group *g)
{
	const struct blocked_thread *t = g->thread[0];
	json_t *o = json_object();

	json__put_u64(w, o, "count", g->cnt);
	json__put_u64(w, o, "pid", t->thread->rec.tgid);
	json__put_text(w, o, "process", t->thread->process->comm);
	json__put_u64(w, o, "processes", g->processes);
	json__put_u64(w, o, "locks", g->locks);
	json__put(w, o, "state", json_string(blocked_state__name(t->state)));
	if (t->state != BLOCKED_RUNNING)
		json__put(w, o, "wait", wait_json(w, t));
	json__put_u64(w, o, "blocked_least_ns", g->least_ns);
	json__put_u64(w, o, "blocked_most_ns", g->most_ns);
	if (g->at_most_ns)
		json__put_u64(w, o, "blocked_at_most_ns", g->at_most_ns);
	json__put(w, o, "goroutines", json_boolean(t->goroutine));
	if (t->created)
		json__put(w, o, "created_by",
			  json__stack(w, t->created->frames, t->created->frame_cnt));
	json__put(w, o, "stack",
		  t->stack ? json__stack(w, t->stack->frames, t->stack->frame_cnt) : json_array());
	json__put(w, o, "kernel_stack", kernel_stack_json(w, t));
	return o;
}

static json_t *deadlock_json(struct writer *w, const struct deadlock *d)
{
	json_t *o = json_object(), *threads = json_array();

	for (size_t i = 0; i < d->cnt; i++) {
		const struct blocked_thread *t = d->thread[i];
		json_t *member = json_object(), *lock = json_object();

		json__put_u64(w, member, "pid", t->thread->rec.tgid);
		json__put_u64(w, member, "tid", tid_of(t));
		json__put_text(w, member, "comm", t->thread->rec.comm);
		if (t->goroutine)
			json__put_u64(w, member, "goroutine", t->goroutine->goid);
		put_lock(w, lock, t->lock);
		json__put(w, member, "waits_for", lock);
		json__put_u64(w, member, "held_by", blocked_thread__id(t->holder));
		if (t->at_least_ns)
			json__put_u64(w, member, "blocked_at_least_ns", t->at_least_ns);
		json__put(w, member, "stack",
			  t->stack ? json__stack(w, t->stack->frames, t->stack->frame_cnt)
				   : json_array());
		json__append(w, threads, member);
	}
	json__put(w, o, "threads", threads);
	json__put(w, o, "certain", json_boolean(!d->probable));
	if (d->probable)
		json__put_text(w, o, "why", d->probable);
	json__put_u64(w, o, "behind", d->behind);
	return o;
}

static json_t *orphan_json(struct writer *w, const struct stacks_report *r,
			   const struct waited_lock *lock)
{
	json_t *o = json_object(), *waiters = json_array();

	put_lock(w, o, lock);
	json__put_text(w, o, "comm", lock->process->comm);
	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].lock == lock)
			json__append(w, waiters, json_integer(r->thread[i].thread->rec.tid));
	json__put(w, o, "waiters", waiters);
	return o;
}

static json_t *stuck_json(struct writer *w, const struct stuck_wait *s)
{
	const struct blocked_thread *t = s->thread[0];
	json_t *o = json_object(), *lock = json_object(), *goroutines = json_array();

	json__put_u64(w, o, "pid", t->thread->process->tgid);
	json__put(w, o, "reason", json_string(stuck_why__name(s->why)));
	json__put(w, o, "certain", json_boolean(s->certain));
	json__put(w, o, "fault", json_boolean(s->fault));
	json__put_u64(w, o, "count", s->cnt);
	put_lock(w, lock, s->lock);
	json__put(w, o, "waits_for", lock);
	for (size_t i = 0; i < s->cnt; i++)
		json__append(w, goroutines, json_integer(blocked_thread__id(s->thread[i])));
	json__put(w, o, "goroutines", goroutines);
	json__put(w, o, "stack",
		  t->stack ? json__stack(w, t->stack->frames, t->stack->frame_cnt) : json_array());
	return o;
}

static json_t *chain_json(struct writer *w, const struct wait_chain *c)
{
	json_t *o = json_object(), *locks = json_array(), *root;

	json__put_u64(w, o, "waiters", c->waiters);
	for (size_t i = 0; i < c->lock_cnt; i++) {
		json_t *lock = json_object();

		put_lock(w, lock, c->lock[i]);
		json__append(w, locks, lock);
	}
	json__put(w, o, "locks", locks);
	root = thread_json(w, c->root);
	json__put_text(w, root, "call", c->root->call.call ? c->root->call.call : "");
	json__put_text(w, root, "what", c->root->call.what ? c->root->call.what : "");
	json__put(w, o, "root", root);
	return o;
}

static json_t *coverage_json(struct writer *w, const struct stacks_report *r)
{
	json_t *o = json_object();

	json__put_u64(w, o, "events", r->thread_cnt);
	json__put_u64(w, o, "lost", 0);
	json__put_u64(w, o, "summarized", 0);
	json__put_u64(w, o, "stacks_incomplete", r->coverage.stacks_incomplete);
	json__put_u64(w, o, "moved", r->coverage.moved);
	json__put_u64(w, o, "retried", r->coverage.retried);
	json__put_u64(w, o, "ended_meanwhile", r->coverage.gone);
	json__put_u64(w, o, "began_meanwhile", r->coverage.born);
	json__put_u64(w, o, "processes_unreadable", r->coverage.unreadable);
	json__put_u64(w, o, "processes_locked", r->coverage.locked);
	json__put(w, o, "times_unknown", json_boolean(r->coverage.times_unknown));
	json__put_u64(w, o, "goroutines_moved", r->coverage.goroutines_moved);
	json__put_u64(w, o, "go_unread", r->coverage.go_unread);
	json__put_u64(w, o, "go_unsearched", r->coverage.go_unsearched);
	return o;
}

/* Go programs, and how well they could be read. */
static json_t *golang_json(struct writer *w, const struct stacks_report *r)
{
	json_t *programs = json_array();

	for (size_t i = 0; i < r->go_cnt; i++) {
		const struct go_snapshot *s = r->go[i].goroutines;
		json_t *o = json_object();

		json__put_u64(w, o, "pid", r->go[i].process->tgid);
		json__put_text(w, o, "process", r->go[i].process->comm);
		json__put_text(w, o, "version", r->go[i].version);
		if (*r->go[i].why)
			json__put_text(w, o, "error", r->go[i].why);
		if (s) {
			json__put_u64(w, o, "goroutines", s->cnt);
			json__put_u64(w, o, "waiting", s->status[GO_WAITING]);
			json__put_u64(w, o, "leaked", s->status[GO_LEAKED]);
			json__put_u64(w, o, "syscall", s->status[GO_SYSCALL]);
			json__put_u64(w, o, "running", s->status[GO_RUNNING]);
			json__put_u64(w, o, "runnable",
				      s->status[GO_RUNNABLE] + s->status[GO_PREEMPTED]);
			json__put_u64(w, o, "retried", s->retried);
			json__put_u64(w, o, "rejected", s->rejected);
			json__put_u64(w, o, "not_read", s->beyond);
			json__put_u64(w, o, "took_ns", s->taken_ns - s->began_ns);
		}
		json__append(w, programs, o);
	}
	return programs;
}

static json_t *report_json(struct writer *w, const struct stacks_report *r)
{
	json_t *doc = json_object(), *groups = json_array(), *deadlocks = json_array(),
	       *orphans = json_array(), *chains = json_array(), *stuck = json_array();

	for (size_t i = 0; i < r->group_cnt; i++)
		json__append(w, groups, group_json(w, &r->group[i]));
	for (size_t i = 0; i < r->deadlock_cnt; i++)
		json__append(w, deadlocks, deadlock_json(w, &r->deadlock[i]));
	for (size_t i = 0; i < r->orphan_cnt; i++)
		json__append(w, orphans, orphan_json(w, r, r->orphan[i]));
	for (size_t i = 0; i < r->stuck_cnt; i++)
		json__append(w, stuck, stuck_json(w, &r->stuck[i]));
	for (size_t i = 0; i < r->chain_cnt; i++)
		json__append(w, chains, chain_json(w, &r->chain[i]));
	json__put(w, doc, "schema", json_string("holdup.stacks.v1"));
	json__put_u64(w, doc, "interval_ns", r->took_ns);
	json__put(w, doc, "coverage", coverage_json(w, r));
	json__put_u64(w, doc, "processes", r->processes);
	json__put_u64(w, doc, "thread_count", r->thread_cnt - r->goroutine_cnt);
	json__put_u64(w, doc, "goroutine_count", r->goroutine_cnt);
	if (r->go_cnt)
		json__put(w, doc, "golang", golang_json(w, r));
	json__put_u64(w, doc, "running", r->running);
	json__put_u64(w, doc, "runnable", r->runnable);
	json__put_u64(w, doc, "idle", r->idle);
	json__put(w, doc, "deadlocks", deadlocks);
	json__put(w, doc, "orphaned_locks", orphans);
	json__put(w, doc, "stuck", stuck);
	json__put(w, doc, "chains", chains);
	json__put(w, doc, "groups", groups);
	json__put(w, doc, "threads", threads_json(w, r));
	return doc;
}

int view__stacks_json(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	struct writer w = { false };

	return json__write(out, &w, report_json(&w, r), style);
}
