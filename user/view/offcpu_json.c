// SPDX-License-Identifier: GPL-2.0-only
/* `holdup offcpu` for machines: the names of the design, described by schema.json. */
#include <stdlib.h>

#include "user/util/text.h"
#include "user/view/json.h"
#include "user/view/offcpu.h"

static void put_stats(struct writer *w, json_t *o, const struct off_stats *s)
{
	json__put_u64(w, o, "waits", s->waits);
	json__put_u64(w, o, "ongoing", s->ongoing);
	json__put_u64(w, o, "wait_ns", s->blocked_ns + s->runq_ns);
	json__put_u64(w, o, "blocked_ns", s->blocked_ns);
	json__put_u64(w, o, "runqueue_ns", s->runq_ns);
	json__put_u64(w, o, "p50_ns", s->p50_ns);
	json__put_u64(w, o, "p95_ns", s->p95_ns);
	json__put_u64(w, o, "p99_ns", s->p99_ns);
	json__put_u64(w, o, "max_ns", s->max_ns);
	json__put_u64(w, o, "max_tid", s->max_tid);
}

static json_t *kernel_json(struct writer *w, const struct off_kernel *k)
{
	json_t *stack = json_array(), *one;
	char *clean;

	for (size_t i = 0; i < k->cnt; i++) {
		clean = text__escape_dup(k->name[i]);
		one = clean ? json_string(clean) : NULL;
		free(clean);
		json__append(w, stack, one);
	}
	return stack;
}

static json_t *waker_json(struct writer *w, const struct off_waker_row *r)
{
	json_t *o = json_object();

	json__put(w, o, "context", json_string(off_context__name(r->context)));
	json__put_u64(w, o, "pid", r->tgid);
	json__put_u64(w, o, "tid", r->tid);
	json__put_text(w, o, "comm", r->comm);
	json__put_u64(w, o, "waits", r->waits);
	json__put_u64(w, o, "wait_ns", r->ns);
	json__put_u64(w, o, "samples", r->samples);
	json__put(w, o, "sampled", json_boolean(r->sampled));
	json__put(w, o, "stack", json__stack(w, r->frames, r->frame_cnt));
	json__put(w, o, "kernel_stack", kernel_json(w, &r->kernel));
	return o;
}

static void put_reason(struct writer *w, json_t *o, const struct off_place *p)
{
	char state[2] = { p->state, '\0' };

	json__put(w, o, "reason", json_string(p->category));
	json__put_text(w, o, "why", p->reason);
	json__put_text(w, o, "call", p->call);
	json__put_text(w, o, "object", p->object);
	json__put(w, o, "state", json_string(state));
	json__put(w, o, "iowait", json_boolean(p->iowait));
	json__put(w, o, "idle", json_boolean(p->idle));
}

static void put_process(struct writer *w, json_t *o, const struct off_place *p)
{
	json__put_u64(w, o, "pid", p->process ? p->process->tgid : 0);
	json__put_u64(w, o, "tid", p->tid);
	json__put_text(w, o, "comm", p->comm);
}

static json_t *place_json(struct writer *w, const struct off_place *p)
{
	json_t *o = json_object(), *wakers = json_array();

	put_process(w, o, p);
	put_reason(w, o, p);
	put_stats(w, o, &p->stats);
	json__put(w, o, "complete", json_boolean(p->stack_flags & HU_STACK_COMPLETE));
	json__put(w, o, "stack", json__stack(w, p->frames, p->frame_cnt));
	json__put(w, o, "kernel_stack", kernel_json(w, &p->kernel));
	for (size_t i = 0; i < p->waker_cnt; i++)
		json__append(w, wakers, waker_json(w, &p->waker[i]));
	json__put(w, o, "wakers", wakers);
	return o;
}

/* A row of anything but places: what it is of, and its places. */
static json_t *row_json(struct writer *w, const struct off_row *r, enum off_by by)
{
	json_t *o = json_object(), *sites = json_array();

	if (by == OFF_BY_WAKER) {
		json__put(w, o, "context",
			  json_string(off_context__name(r->by ? r->by->context : OFF_BY_NOBODY)));
		json__put_u64(w, o, "pid", r->by ? r->by->tgid : 0);
		json__put_u64(w, o, "tid", r->by ? r->by->tid : 0);
		json__put_text(w, o, "comm", r->by ? r->by->comm : "");
	} else if (by == OFF_BY_REASON) {
		json__put(w, o, "reason", json_string(r->place->category));
		json__put_text(w, o, "why", r->place->general);
		json__put_text(w, o, "call", r->place->call);
	} else {
		put_process(w, o, r->place);
	}
	json__put_u64(w, o, "processes", r->processes);
	put_stats(w, o, &r->stats);
	for (size_t i = 0; i < r->place_cnt; i++)
		json__append(w, sites, place_json(w, r->places[i]));
	json__put(w, o, "sites", sites);
	return o;
}

static json_t *coverage_json(struct writer *w, const struct off_coverage *c)
{
	json_t *o = json_object();

	json__put_u64(w, o, "events", c->intervals);
	json__put_u64(w, o, "lost", c->lost);
	json__put_u64(w, o, "lost_ns", c->lost_ns);
	json__put_u64(w, o, "summarized", c->summarized);
	json__put_u64(w, o, "summarized_ns", c->summarized_ns);
	json__put_u64(w, o, "stacks_incomplete", c->stacks_incomplete);
	json__put_u64(w, o, "stacks_missing", c->stacks_missing);
	json__put_u64(w, o, "stacks_lost", c->stacks_lost);
	json__put_u64(w, o, "kernel_stacks_lost", c->kernel_stacks_lost);
	json__put_u64(w, o, "records_lost", c->records_lost);
	json__put_u64(w, o, "wakers_lost", c->wakers_lost);
	json__put(w, o, "wakers_sampled", json_boolean(c->wakers_sampled));
	json__put_u64(w, o, "inferred", c->inferred);
	json__put_u64(w, o, "below_min", c->below_min);
	json__put_u64(w, o, "below_min_ns", c->below_min_ns);
	json__put_u64(w, o, "processes_unnamed", c->processes_unnamed);
	json__put_u64(w, o, "modules_full", c->modules_full);
	json__put_u64(w, o, "mappings_dropped", c->maps_dropped);
	return o;
}

static json_t *report_json(struct writer *w, const struct off_report *r)
{
	static const char *const lists[] = {
		[OFF_BY_STACK] = "sites",	[OFF_BY_REASON] = "reasons",
		[OFF_BY_PROCESS] = "processes", [OFF_BY_THREAD] = "threads",
		[OFF_BY_WAKER] = "wakers",
	};
	json_t *o = json_object(), *rows = json_array();

	json__put(w, o, "schema", json_string("holdup.offcpu.v1"));
	json__put_u64(w, o, "interval_ns", r->interval_ns);
	json__put(w, o, "coverage", coverage_json(w, &r->coverage));
	json__put_u64(w, o, "process_count", r->processes);
	json__put_u64(w, o, "thread_count", r->threads);
	json__put_u64(w, o, "waits", r->waits);
	json__put_u64(w, o, "wait_ns", r->blocked_ns + r->runq_ns);
	json__put_u64(w, o, "blocked_ns", r->blocked_ns);
	json__put_u64(w, o, "runqueue_ns", r->runq_ns);
	json__put_u64(w, o, "throttled_ns", r->throttled_ns);
	json__put_u64(w, o, "idle_waits", r->idle_waits);
	json__put_u64(w, o, "idle_wait_ns", r->idle_ns);
	for (size_t i = 0; i < r->row_cnt; i++)
		json__append(w, rows,
			     r->by == OFF_BY_STACK ? place_json(w, r->row[i].place)
						   : row_json(w, &r->row[i], r->by));
	json__put(w, o, lists[r->by], rows);
	return o;
}

int view__offcpu_json(FILE *out, const struct off_report *r, const struct view_style *style)
{
	struct writer w = { false };

	return json__write(out, &w, report_json(&w, r), style);
}
