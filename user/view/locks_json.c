// SPDX-License-Identifier: GPL-2.0-only
/* `holdup locks` for machines: the names of the design, described by schema.json. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "user/util/text.h"
#include "user/view/view.h"

#define ADDRESS_SZ 20

/* Adds to object; a failed allocation anywhere leaves `failed` set. Takes over value. */
struct writer {
	bool failed;
};

static void put(struct writer *w, json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value))
		w->failed = true;
}

static void append(struct writer *w, json_t *array, json_t *value)
{
	if (!value || json_array_append_new(array, value))
		w->failed = true;
}

static void put_u64(struct writer *w, json_t *object, const char *name, uint64_t value)
{
	put(w, object, name, json_integer(value));
}

static void put_text(struct writer *w, json_t *object, const char *name, const char *text)
{
	char *clean = text__escape_dup(text);

	put(w, object, name, clean ? json_string(clean) : NULL);
	free(clean);
}

/* As text: JSON readers round numbers above 2^53. */
static void put_address(struct writer *w, json_t *object, const char *name, uint64_t address)
{
	char text[ADDRESS_SZ];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	put(w, object, name, json_string(text));
}

static void put_stats(struct writer *w, json_t *o, const struct lock_stats *s)
{
	put_u64(w, o, "waits", s->waits);
	put_u64(w, o, "sleeps", s->sleeps);
	put_u64(w, o, "wait_ns", s->wait_ns);
	put_u64(w, o, "blocked_ns", s->blocked_ns);
	put_u64(w, o, "runqueue_ns", s->runq_ns);
	put_u64(w, o, "p50_ns", s->p50_ns);
	put_u64(w, o, "p95_ns", s->p95_ns);
	put_u64(w, o, "p99_ns", s->p99_ns);
	put_u64(w, o, "max_ns", s->max_ns);
	put_u64(w, o, "ongoing", s->ongoing);
	put_u64(w, o, "began_before", s->before);
	put_u64(w, o, "requeued", s->requeued);
	put_u64(w, o, "summarized", s->summarized);
}

static json_t *frame_json(struct writer *w, const struct sym_frame *f)
{
	json_t *o = json_object();

	put_text(w, o, "function", f->function);
	put_text(w, o, "module", f->module);
	put_address(w, o, "offset", f->offset);
	put_text(w, o, "file", f->file);
	put_u64(w, o, "line", f->line);
	put(w, o, "inlined", json_boolean(f->inlined));
	put(w, o, "guessed", json_boolean(f->guessed));
	return o;
}

static json_t *site_json(struct writer *w, const struct lock_site *s)
{
	json_t *o = json_object(), *stack = json_array();

	put_stats(w, o, &s->stats);
	put(w, o, "complete", json_boolean(s->stack_flags & HU_STACK_COMPLETE));
	put(w, o, "guessed", json_boolean(s->stack_flags & HU_STACK_FRAMEPTR));
	put(w, o, "derived", json_boolean(s->stack_flags & HU_STACK_DERIVED));
	for (size_t i = 0; i < s->frame_cnt; i++)
		append(w, stack, frame_json(w, &s->frames[i]));
	put(w, o, "stack", stack);
	return o;
}

static json_t *holder_json(struct writer *w, const struct lock_holder *h)
{
	static const char *const seen[] = {
		[HU_HOLDER_SWITCH] = "leaving the CPU", [HU_HOLDER_WAKE] = "waking a waiter"
	};
	json_t *o = json_object(), *stack = json_array();

	put_u64(w, o, "pid", h->tgid);
	put_u64(w, o, "tid", h->tid);
	put_text(w, o, "comm", h->comm);
	put(w, o, "known_by", json_string(h->owner ? "owner" : "waker"));
	put_u64(w, o, "sleeps", h->sleeps);
	put_u64(w, o, "wait_ns", h->wait_ns);
	if (h->why == HU_HOLDER_SWITCH || h->why == HU_HOLDER_WAKE)
		put(w, o, "seen", json_string(seen[h->why]));
	for (size_t i = 0; i < h->frame_cnt; i++)
		append(w, stack, frame_json(w, &h->frames[i]));
	put(w, o, "stack", stack);
	return o;
}

static json_t *calls_json(struct writer *w, const struct hu_calls *c)
{
	json_t *o = json_object();

	put_u64(w, o, "waits", c->waits);
	put_u64(w, o, "again", c->again);
	put_u64(w, o, "timedout", c->timedout);
	put_u64(w, o, "interrupted", c->interrupted);
	put_u64(w, o, "wakes", c->wakes);
	put_u64(w, o, "wakes_none", c->wakes_none);
	put_u64(w, o, "requeues", c->requeues);
	return o;
}

static json_t *row_json(struct writer *w, const struct lock_row *r, enum locks_by by)
{
	json_t *o = json_object(), *sites = json_array(), *holders = json_array();

	put_u64(w, o, "pid", r->process->tgid);
	put_text(w, o, "comm", r->process->comm);
	put_text(w, o, "exe", r->exe);
	put_u64(w, o, "processes", r->processes);
	put_text(w, o, "cgroup", r->cgroup);
	if (by != BY_LOCK)
		put_u64(w, o, "locks", r->locks);
	if (by != BY_PROCESS) {
		put_address(w, o, "address", r->address);
		put_text(w, o, "name", r->name);
		put_text(w, o, "module", r->module);
		put_text(w, o, "kind", lock_kind__name(r->kind));
		put_text(w, o, "label", r->label);
		put(w, o, "shared", json_boolean(r->shared));
	}
	put(w, o, "idle", json_boolean(r->idle));
	if (by != BY_PROCESS)
		put(w, o, "unsure", json_boolean(r->unsure));
	put_stats(w, o, &r->stats);
	put_u64(w, o, "waiters_now", r->waiters_now);
	put(w, o, "waiters_max", r->waiters_max ? json_integer(r->waiters_max) : json_null());
	for (size_t i = 0; i < r->site_cnt; i++)
		append(w, sites, site_json(w, &r->sites[i]));
	put(w, o, "sites", sites);
	for (size_t i = 0; i < r->holder_cnt; i++)
		append(w, holders, holder_json(w, &r->holders[i]));
	put(w, o, "holders", holders);
	put_u64(w, o, "holder_unknown_ns", r->holder_unknown_ns);
	if (r->has_calls)
		put(w, o, "futex_calls", calls_json(w, &r->calls));
	return o;
}

static json_t *coverage_json(struct writer *w, const struct locks_coverage *c)
{
	json_t *o = json_object();

	put_u64(w, o, "events", c->events);
	put_u64(w, o, "lost", c->lost);
	put_u64(w, o, "lost_ns", c->lost_ns);
	put_u64(w, o, "summarized", c->summarized);
	put_u64(w, o, "summarized_ns", c->summarized_ns);
	put_u64(w, o, "stacks_incomplete", c->stacks_incomplete);
	put_u64(w, o, "stacks_lost", c->stacks_lost);
	put_u64(w, o, "stacks_complete", c->stacks_complete);
	put_u64(w, o, "stacks_missing", c->stacks_missing);
	put_u64(w, o, "stacks_no_row", c->stacks_no_row);
	put_u64(w, o, "stacks_no_mapping", c->stacks_no_map);
	put_u64(w, o, "stacks_unreadable", c->stacks_bad_read);
	put_u64(w, o, "stacks_too_deep", c->stacks_too_deep);
	put_u64(w, o, "stacks_guessed", c->stacks_guessed);
	put_u64(w, o, "stacks_derived", c->stacks_derived);
	put_u64(w, o, "records_lost", c->records_lost);
	put_u64(w, o, "depth_unknown", c->depth_unknown);
	put_u64(w, o, "inferred", c->inferred);
	put_u64(w, o, "holders_lost", c->holders_lost);
	put_u64(w, o, "futex_calls_lost", c->calls_lost);
	put_u64(w, o, "malformed", c->malformed);
	put_u64(w, o, "below_min", c->below_min);
	put_u64(w, o, "below_min_ns", c->below_min_ns);
	put_u64(w, o, "processes_unreadable", c->processes_unreadable);
	put_u64(w, o, "processes_unnamed", c->processes_unnamed);
	put_u64(w, o, "modules_full", c->modules_full);
	put_u64(w, o, "mappings_dropped", c->maps_dropped);
	put(w, o, "futex_calls", json_boolean(c->futex_calls));
	return o;
}

static json_t *report_json(struct writer *w, const struct locks_report *r)
{
	static const char *const lists[] = {
		[BY_LOCK] = "locks", [BY_SITE] = "locks", [BY_PROCESS] = "processes"
	};
	json_t *o = json_object(), *rows = json_array();

	put(w, o, "schema", json_string("holdup.locks.v1"));
	put_u64(w, o, "interval_ns", r->interval_ns);
	put(w, o, "coverage", coverage_json(w, &r->coverage));
	put_u64(w, o, "contended_locks", r->locks);
	put_u64(w, o, "waits", r->waits);
	put_u64(w, o, "sleeps", r->sleeps);
	put_u64(w, o, "wait_ns", r->wait_ns);
	put_u64(w, o, "idle_waits", r->idle_waits);
	put_u64(w, o, "idle_wait_ns", r->idle_wait_ns);
	put_u64(w, o, "unsure_wait_ns", r->unsure_wait_ns);
	for (size_t i = 0; i < r->row_cnt; i++)
		append(w, rows, row_json(w, &r->row[i], r->by));
	put(w, o, lists[r->by], rows);
	return o;
}

int view__locks_json(FILE *out, const struct locks_report *r, const struct view_style *style)
{
	struct writer w = { false };
	json_t *doc = report_json(&w, r);
	int err = w.failed || !doc ? -ENOMEM : 0;

	if (!err && json_dumpf(doc, out, style->compact ? JSON_COMPACT : JSON_INDENT(2)))
		err = view__flush(out) ? -EIO : -ENOMEM;
	json_decref(doc);
	if (err)
		return err;
	fputc('\n', out);
	return view__flush(out);
}
