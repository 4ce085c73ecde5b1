// SPDX-License-Identifier: GPL-2.0-only
/* Hold times and lock order for machines: parts of the documents of `holdup locks`. */
#include "user/view/locks_hold.h"

const struct hold_lock *hold_report__of(const struct hold_report *r, const struct agg_process *p,
					uint64_t address)
{
	for (size_t i = 0; i < r->lock_cnt; i++)
		if (r->lock[i].row.process == p && r->lock[i].row.address == address)
			return &r->lock[i];
	return NULL;
}

static void put_stats(struct writer *w, json_t *o, const struct hold_stats *s)
{
	json__put_u64(w, o, "acquisitions", s->acquisitions);
	json__put_u64(w, o, "contended", s->contended);
	json__put_u64(w, o, "after_wait", s->after_wait);
	json__put_u64(w, o, "tried", s->tried);
	json__put_u64(w, o, "failed", s->failed);
	json__put_u64(w, o, "unreleased", s->unreleased);
	json__put_u64(w, o, "held_now", s->held_now);
	json__put_u64(w, o, "ns", s->ns);
	json__put_u64(w, o, "off_cpu_ns", s->off_ns);
	json__put_u64(w, o, "avg_ns", s->acquisitions ? s->ns / s->acquisitions : 0);
	json__put_u64(w, o, "p50_ns", s->p50_ns);
	json__put_u64(w, o, "p95_ns", s->p95_ns);
	json__put_u64(w, o, "p99_ns", s->p99_ns);
	json__put_u64(w, o, "max_ns", s->max_ns);
}

static json_t *site_json(struct writer *w, const struct hold_site *s)
{
	json_t *o = json_object();

	put_stats(w, o, &s->stats);
	json__put(w, o, "mode", json_string(hold_mode__name(s->mode)));
	json__put(w, o, "complete", json_boolean(s->stack_flags & HU_STACK_COMPLETE));
	json__put(w, o, "stack", json__stack(w, s->frames, s->frame_cnt));
	return o;
}

static json_t *longest_json(struct writer *w, const struct hold_site *s)
{
	json_t *o = json_object();

	json__put_u64(w, o, "ns", s->longest.ns);
	json__put_u64(w, o, "tid", s->longest.tid);
	json__put_u64(w, o, "end_ns", s->longest.end_ns);
	json__put_u64(w, o, "off_cpu_ns", s->longest.off_ns);
	json__put_u64(w, o, "worst_ns", s->longest.worst_ns);
	json__put_text(w, o, "inside", s->inside);
	json__put(w, o, "stack", json__stack(w, s->frames, s->frame_cnt));
	return o;
}

void hold_json__put(struct writer *w, json_t *lock, const struct hold_lock *l)
{
	json_t *o, *sites, *longest;

	if (!l)
		return;
	o = json_object();
	sites = json_array();
	longest = json_array();
	put_stats(w, o, &l->stats);
	for (size_t i = 0; i < l->site_cnt; i++)
		json__append(w, sites, site_json(w, &l->site[i]));
	for (size_t i = 0; i < l->longest_cnt; i++)
		json__append(w, longest, longest_json(w, l->longest[i]));
	json__put(w, o, "sites", sites);
	json__put(w, o, "longest", longest);
	json__put(w, lock, "hold", o);
}

/* ---- lock order */

static json_t *lock_json(struct writer *w, const char *name, uint64_t address)
{
	json_t *o = json_object();

	json__put_text(w, o, "name", name);
	json__put_address(w, o, "address", address);
	return o;
}

static json_t *step_json(struct writer *w, const struct order_step *s)
{
	json_t *o = json_object();

	json__put_text(w, o, "first", s->first);
	json__put_text(w, o, "second", s->second);
	json__put(w, o, "first_mode", json_string(s->first_shared ? "read" : "exclusive"));
	json__put(w, o, "second_mode", json_string(s->second_shared ? "read" : "exclusive"));
	json__put_u64(w, o, "count", s->cnt);
	json__put_u64(w, o, "tid", s->tid);
	json__put(w, o, "stack_first",
		  json__stack(w, s->first_stack.frames, s->first_stack.frame_cnt));
	json__put(w, o, "stack_second",
		  json__stack(w, s->second_stack.frames, s->second_stack.frame_cnt));
	return o;
}

static json_t *cycle_json(struct writer *w, const struct order_cycle *c)
{
	json_t *o = json_object(), *locks = json_array(), *edges = json_array();

	json__put_u64(w, o, "pid", c->process->tgid);
	json__put_text(w, o, "comm", c->process->comm);
	json__put(w, o, "one_thread", json_boolean(c->one_thread));
	for (size_t i = 0; i < c->cnt; i++) {
		json__append(w, locks, lock_json(w, c->step[i].first, c->step[i].first_address));
		json__append(w, edges, step_json(w, &c->step[i]));
	}
	json__put(w, o, "locks", locks);
	json__put(w, o, "edges", edges);
	return o;
}

static json_t *cost_json(struct writer *w, const struct hold_report *r)
{
	const struct hold_cost *c = &r->cost;
	json_t *o = json_object();

	json__put_u64(w, o, "operations", c->operations);
	json__put_u64(w, o, "hits", c->hits);
	json__put_u64(w, o, "probe_ns", c->probe_ns);
	json__put_u64(w, o, "program_ns", c->program_ns);
	json__put_u64(w, o, "per_operation_ns",
		      c->operations ? (c->probe_ns + c->program_ns) / c->operations : 0);
	json__put_u64(w, o, "empty_probe_ns", r->price.emulated_ns);
	json__put_u64(w, o, "empty_stepped_probe_ns", r->price.stepped_ns);
	json__put_u64(w, o, "empty_return_probe_ns", r->price.return_ns);
	return o;
}

static json_t *gaps_json(struct writer *w, const struct hold_report *r)
{
	json_t *o = json_object();

	json__put_u64(w, o, "unknown_releases", r->count[HU_HOLD_UNKNOWN]);
	json__put_u64(w, o, "too_many_held", r->count[HU_HOLD_TOO_MANY]);
	json__put_u64(w, o, "sites_lost", r->count[HU_HOLD_SITES_FULL]);
	json__put_u64(w, o, "orders_lost", r->count[HU_HOLD_EDGES_FULL]);
	json__put_u64(w, o, "operations_lost", r->count[HU_HOLD_NO_STATE]);
	json__put_u64(w, o, "stacks_missing", r->count[HU_HOLD_NO_STACK]);
	json__put_u64(w, o, "longest_lost", r->count[HU_HOLD_LONGEST_BUSY]);
	json__put_u64(w, o, "posts", r->count[HU_HOLD_POSTS]);
	json__put(w, o, "orders_cut", json_boolean(r->cycles_cut));
	return o;
}

void hold_json__put_report(struct writer *w, json_t *o, const struct hold_report *r)
{
	json_t *cycles = json_array();

	json__put_u64(w, o, "acquisitions", r->acquisitions);
	json__put_u64(w, o, "held_locks", r->locks);
	json__put_u64(w, o, "orders", r->orders);
	json__put(w, o, "hold_cost", cost_json(w, r));
	json__put(w, o, "hold_coverage", gaps_json(w, r));
	for (size_t i = 0; i < r->cycle_cnt; i++)
		json__append(w, cycles, cycle_json(w, &r->cycle[i]));
	json__put(w, o, "lock_order", cycles);
}
