// SPDX-License-Identifier: GPL-2.0-only
/* `holdup locks` for machines: the names of the design, described by schema.json. */
#include "user/view/json.h"
#include "user/view/locks_hold.h"

static void put_stats(struct writer *w, json_t *o, const struct lock_stats *s)
{
	json__put_u64(w, o, "waits", s->waits);
	json__put_u64(w, o, "sleeps", s->sleeps);
	json__put_u64(w, o, "wait_ns", s->wait_ns);
	json__put_u64(w, o, "blocked_ns", s->blocked_ns);
	json__put_u64(w, o, "runqueue_ns", s->runq_ns);
	json__put_u64(w, o, "p50_ns", s->p50_ns);
	json__put_u64(w, o, "p95_ns", s->p95_ns);
	json__put_u64(w, o, "p99_ns", s->p99_ns);
	json__put_u64(w, o, "max_ns", s->max_ns);
	json__put_u64(w, o, "ongoing", s->ongoing);
	json__put_u64(w, o, "began_before", s->before);
	json__put_u64(w, o, "requeued", s->requeued);
	json__put_u64(w, o, "summarized", s->summarized);
}

static json_t *site_json(struct writer *w, const struct lock_site *s)
{
	json_t *o = json_object();

	put_stats(w, o, &s->stats);
	json__put(w, o, "complete", json_boolean(s->stack_flags & HU_STACK_COMPLETE));
	json__put(w, o, "guessed", json_boolean(s->stack_flags & HU_STACK_FRAMEPTR));
	json__put(w, o, "derived", json_boolean(s->stack_flags & HU_STACK_DERIVED));
	json__put(w, o, "stack", json__stack(w, s->frames, s->frame_cnt));
	return o;
}

static json_t *holder_json(struct writer *w, const struct lock_holder *h)
{
	static const char *const seen[] = {
		[HU_HOLDER_SWITCH] = "leaving the CPU", [HU_HOLDER_WAKE] = "waking a waiter"
	};
	json_t *o = json_object();

	json__put_u64(w, o, "pid", h->tgid);
	json__put_u64(w, o, "tid", h->tid);
	if (h->goroutine)
		json__put_u64(w, o, "goroutine", h->goroutine);
	json__put_text(w, o, "comm", h->comm);
	json__put(w, o, "known_by", json_string(h->owner ? "owner" : "waker"));
	json__put_u64(w, o, "sleeps", h->sleeps);
	json__put_u64(w, o, "wait_ns", h->wait_ns);
	if (h->why == HU_HOLDER_SWITCH || h->why == HU_HOLDER_WAKE)
		json__put(w, o, "seen", json_string(seen[h->why]));
	json__put(w, o, "stack", json__stack(w, h->frames, h->frame_cnt));
	return o;
}

static const char *reason_name(enum hu_why why)
{
	static const char *const names[] = {
		[HU_WHY_RUNNING] = "running",
		[HU_WHY_RUNNABLE] = "runnable",
		[HU_WHY_CALL] = "call",
		[HU_WHY_CALL32] = "call",
		[HU_WHY_LOCK] = "lock",
		[HU_WHY_FAULT] = "page-fault",
		[HU_WHY_RECLAIM] = "memory-reclaim",
		[HU_WHY_STOPPED] = "stopped",
		[HU_WHY_TRACED] = "traced",
		[HU_WHY_THROTTLED] = "throttled",
		[HU_WHY_KERNEL] = "kernel",
		[HU_WHY_HANDOVER] = "hand-over",
	};

	return why < sizeof(names) / sizeof(names[0]) && names[why] ? names[why] : "unknown";
}

static json_t *blocked_json(struct writer *w, const struct lock_blocked *b)
{
	json_t *o = json_object();

	json__put_text(w, o, "reason", reason_name(b->why));
	json__put_text(w, o, "call", b->call);
	json__put_text(w, o, "what", b->what);
	if (b->why == HU_WHY_LOCK) {
		json__put_address(w, o, "address", b->address);
		json__put_text(w, o, "lock", b->lock);
	}
	json__put_u64(w, o, "wait_ns", b->wait_ns);
	return o;
}

static json_t *blame_json(struct writer *w, const struct lock_blame *b)
{
	json_t *o = json_object(), *blocked = json_array();

	json__put_u64(w, o, "running_ns", b->running_ns);
	json__put_u64(w, o, "runnable_ns", b->runnable_ns);
	for (size_t i = 0; i < b->blocked_cnt; i++)
		json__append(w, blocked, blocked_json(w, &b->blocked[i]));
	json__put(w, o, "blocked", blocked);
	json__put_u64(w, o, "blocked_other_ns", b->other_ns);
	json__put_u64(w, o, "handover_ns", b->handover_ns);
	json__put_u64(w, o, "unknown_ns", b->unknown_ns);
	json__put_u64(w, o, "inferred_ns", b->inferred_ns);
	return o;
}

static json_t *root_json(struct writer *w, const struct root_cause *c)
{
	json_t *o = json_object(), *chain = json_array();

	json__put_u64(w, o, "pid", c->process->tgid);
	json__put_text(w, o, "comm", c->process->comm);
	json__put_text(w, o, "reason", reason_name(c->why));
	json__put_text(w, o, "call", c->call);
	json__put_text(w, o, "what", c->what);
	json__put_text(w, o, "function", c->function);
	json__put_u64(w, o, "wait_ns", c->wait_ns);
	json__put(w, o, "share", json_real(c->share));
	for (size_t i = 0; i < c->chain_cnt; i++)
		json__append(w, chain, json__text(w, c->chain[i]));
	json__put(w, o, "chain", chain);
	return o;
}

static json_t *calls_json(struct writer *w, const struct hu_calls *c)
{
	json_t *o = json_object();

	json__put_u64(w, o, "waits", c->waits);
	json__put_u64(w, o, "again", c->again);
	json__put_u64(w, o, "timedout", c->timedout);
	json__put_u64(w, o, "interrupted", c->interrupted);
	json__put_u64(w, o, "wakes", c->wakes);
	json__put_u64(w, o, "wakes_none", c->wakes_none);
	json__put_u64(w, o, "requeues", c->requeues);
	return o;
}

static json_t *row_json(struct writer *w, const struct lock_row *r, enum locks_by by)
{
	json_t *o = json_object(), *sites = json_array(), *holders = json_array();

	json__put_u64(w, o, "pid", r->process->tgid);
	json__put_text(w, o, "comm", r->process->comm);
	json__put_text(w, o, "exe", r->exe);
	json__put_u64(w, o, "processes", r->processes);
	json__put_text(w, o, "cgroup", r->cgroup);
	if (by != BY_LOCK)
		json__put_u64(w, o, "locks", r->locks);
	if (by != BY_PROCESS) {
		json__put_address(w, o, "address", r->address);
		json__put_text(w, o, "name", r->name);
		json__put_text(w, o, "module", r->module);
		json__put_text(w, o, "kind", lock_kind__name(r->kind));
		json__put_text(w, o, "label", r->label);
		json__put(w, o, "shared", json_boolean(r->shared));
	}
	json__put(w, o, "runtime", json_string(r->goroutines ? "go" : "native"));
	json__put(w, o, "sampled", json_boolean(r->sampled));
	json__put(w, o, "idle", json_boolean(r->idle));
	if (by != BY_PROCESS)
		json__put(w, o, "unsure", json_boolean(r->unsure));
	put_stats(w, o, &r->stats);
	json__put_u64(w, o, "waiters_now", r->waiters_now);
	json__put(w, o, "waiters_max", r->waiters_max ? json_integer(r->waiters_max) : json_null());
	for (size_t i = 0; i < r->site_cnt; i++)
		json__append(w, sites, site_json(w, &r->sites[i]));
	json__put(w, o, "sites", sites);
	for (size_t i = 0; i < r->holder_cnt; i++)
		json__append(w, holders, holder_json(w, &r->holders[i]));
	json__put(w, o, "holders", holders);
	json__put_u64(w, o, "holder_unknown_ns", r->holder_unknown_ns);
	if (r->blame.known)
		json__put(w, o, "blame", blame_json(w, &r->blame));
	if (r->has_calls)
		json__put(w, o, "futex_calls", calls_json(w, &r->calls));
	return o;
}

/* Holds of the locks that are listed, and then the locks that nobody waited for. */
static void put_holds(struct writer *w, json_t *o, json_t *rows, const struct locks_report *r)
{
	const struct hold_report *h = r->hold;

	for (size_t i = 0; i < r->row_cnt; i++)
		hold_json__put(w, json_array_get(rows, i),
			       hold_report__of(h, r->row[i].process, r->row[i].address));
	for (size_t i = 0; i < h->lock_cnt; i++) {
		json_t *row;

		if (h->lock[i].waited)
			continue;
		row = row_json(w, &h->lock[i].row, BY_LOCK);
		hold_json__put(w, row, &h->lock[i]);
		json__append(w, rows, row);
	}
	hold_json__put_report(w, o, h);
}

static json_t *coverage_json(struct writer *w, const struct locks_coverage *c)
{
	json_t *o = json_object();

	json__put_u64(w, o, "events", c->events);
	json__put_u64(w, o, "lost", c->lost);
	json__put_u64(w, o, "lost_ns", c->lost_ns);
	json__put_u64(w, o, "summarized", c->summarized);
	json__put_u64(w, o, "summarized_ns", c->summarized_ns);
	json__put_u64(w, o, "stacks_incomplete", c->stacks_incomplete);
	json__put_u64(w, o, "stacks_lost", c->stacks_lost);
	json__put_u64(w, o, "stacks_complete", c->stacks_complete);
	json__put_u64(w, o, "stacks_missing", c->stacks_missing);
	json__put_u64(w, o, "stacks_no_row", c->stacks_no_row);
	json__put_u64(w, o, "stacks_no_mapping", c->stacks_no_map);
	json__put_u64(w, o, "stacks_unreadable", c->stacks_bad_read);
	json__put_u64(w, o, "stacks_too_deep", c->stacks_too_deep);
	json__put_u64(w, o, "stacks_guessed", c->stacks_guessed);
	json__put_u64(w, o, "stacks_derived", c->stacks_derived);
	json__put_u64(w, o, "records_lost", c->records_lost);
	json__put_u64(w, o, "depth_unknown", c->depth_unknown);
	json__put_u64(w, o, "inferred", c->inferred);
	json__put_u64(w, o, "holders_lost", c->holders_lost);
	json__put_u64(w, o, "holders_untracked", c->holders_untracked);
	json__put_u64(w, o, "go_left_out", c->go_left_out);
	json__put_u64(w, o, "go_sleeps_lost", c->go_lost);
	json__put_u64(w, o, "go_sleeps_unknown", c->go_unknown);
	json__put_u64(w, o, "go_sleeps_unnamed", c->go_unnamed);
	json__put_u64(w, o, "go_stacks_lost", c->go_stacks_lost);
	json__put_u64(w, o, "go_probe_hits", c->go_hits);
	json__put_u64(w, o, "go_probe_ns", c->go_program_ns);
	json__put(w, o, "blame", json_boolean(c->blame));
	json__put_u64(w, o, "futex_calls_lost", c->calls_lost);
	json__put_u64(w, o, "malformed", c->malformed);
	json__put_u64(w, o, "below_min", c->below_min);
	json__put_u64(w, o, "below_min_ns", c->below_min_ns);
	json__put_u64(w, o, "processes_unreadable", c->processes_unreadable);
	json__put_u64(w, o, "processes_unnamed", c->processes_unnamed);
	json__put_u64(w, o, "modules_full", c->modules_full);
	json__put_u64(w, o, "mappings_dropped", c->maps_dropped);
	json__put(w, o, "futex_calls", json_boolean(c->futex_calls));
	return o;
}

/* Go programs, and how well their goroutines could be seen. */
static json_t *golang_json(struct writer *w, const struct locks_report *r)
{
	json_t *programs = json_array();

	for (size_t i = 0; i < r->go_cnt; i++) {
		const struct locks_golang *go = &r->go[i];
		json_t *o = json_object();

		json__put_u64(w, o, "pid", go->process->tgid);
		json__put_text(w, o, "comm", go->process->comm);
		json__put_text(w, o, "version", go->version);
		if (*go->why)
			json__put_text(w, o, "error", go->why);
		json__put_u64(w, o, "goroutines", go->goroutines);
		json__put_u64(w, o, "looks_at_semaphores", go->semaphores);
		json__put_u64(w, o, "looks_at_all", go->others);
		json__put(w, o, "probed", json_boolean(go->probed));
		json__put_u64(w, o, "missed", go->missed);
		json__put_u64(w, o, "rejected", go->rejected);
		json__put_u64(w, o, "unplaced_ns", go->unplaced_ns);
		json__put_u64(w, o, "beyond_ns", go->beyond_ns);
		json__append(w, programs, o);
	}
	return programs;
}

static json_t *report_json(struct writer *w, const struct locks_report *r)
{
	static const char *const lists[] = {
		[BY_LOCK] = "locks", [BY_SITE] = "locks", [BY_PROCESS] = "processes"
	};
	json_t *o = json_object(), *rows = json_array(), *roots = json_array();

	json__put(w, o, "schema", json_string("holdup.locks.v1"));
	json__put_u64(w, o, "interval_ns", r->interval_ns);
	json__put(w, o, "coverage", coverage_json(w, &r->coverage));
	json__put_u64(w, o, "contended_locks", r->locks);
	json__put_u64(w, o, "waits", r->waits);
	json__put_u64(w, o, "sleeps", r->sleeps);
	json__put_u64(w, o, "wait_ns", r->wait_ns);
	json__put_u64(w, o, "sampled_wait_ns", r->sampled_ns);
	json__put_u64(w, o, "idle_waits", r->idle_waits);
	json__put_u64(w, o, "idle_wait_ns", r->idle_wait_ns);
	json__put_u64(w, o, "unsure_wait_ns", r->unsure_wait_ns);
	for (size_t i = 0; i < r->row_cnt; i++)
		json__append(w, rows, row_json(w, &r->row[i], r->by));
	if (r->hold)
		put_holds(w, o, rows, r);
	json__put(w, o, lists[r->by], rows);
	for (size_t i = 0; i < r->root_cnt; i++)
		json__append(w, roots, root_json(w, &r->root[i]));
	json__put(w, o, "root_causes", roots);
	if (r->go_cnt)
		json__put(w, o, "golang", golang_json(w, r));
	return o;
}

int view__locks_json(FILE *out, const struct locks_report *r, const struct view_style *style)
{
	struct writer w = { false };

	return json__write(out, &w, report_json(&w, r), style);
}
