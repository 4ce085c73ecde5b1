// SPDX-License-Identifier: GPL-2.0-only
/* `holdup threads` for machines: the names of the design, described by schema.json. */
#include "user/model/threads.h"
#include "user/view/json.h"

static json_t *ended_json(struct writer *w, const struct threads_counts *c)
{
	static const char *const names[] = {
		[LT_RETURNED] = "returned",   [LT_EXITED] = "exited",
		[LT_CANCELLED] = "cancelled", [LT_WITH_PROCESS] = "with_process",
		[LT_KILLED] = "killed",	      [LT_EXEC] = "exec",
		[LT_UNSEEN] = "unseen",
	};
	json_t *o = json_object();

	for (int i = LT_RETURNED; i < LT_END_CNT; i++)
		json__put_u64(w, o, names[i], c->ended[i]);
	return o;
}

static void put_counts(struct writer *w, json_t *o, const struct threads_counts *c)
{
	json__put_u64(w, o, "live", c->live);
	json__put(w, o, "live_change", json_integer(c->live_change));
	json__put_u64(w, o, "created", c->created);
	json__put_u64(w, o, "exited", c->exited);
	json__put_u64(w, o, "unjoined", c->unjoined);
	json__put(w, o, "unjoined_change", json_integer(c->unjoined_change));
	json__put_u64(w, o, "joined", c->joined);
	json__put_u64(w, o, "detached", c->detached);
	json__put_u64(w, o, "peak", c->peak);
}

static void put_ends(struct writer *w, json_t *o, const struct threads_counts *c)
{
	uint64_t busy_ns = c->cpu_ns + c->runq_ns;

	json__put(w, o, "ended", ended_json(w, c));
	json__put_u64(w, o, "lived_ns", c->age_ns);
	json__put_u64(w, o, "lived_max_ns", c->age_max_ns);
	json__put_u64(w, o, "cpu_ns", c->cpu_ns);
	json__put_u64(w, o, "runqueue_ns", c->runq_ns);
	json__put_u64(w, o, "blocked_ns", c->age_ns > busy_ns ? c->age_ns - busy_ns : 0);
}

static json_t *site_json(struct writer *w, const struct threads_site *s)
{
	json_t *o = json_object(), *live = json_object();

	put_counts(w, o, &s->counts);
	put_ends(w, o, &s->counts);
	json__put(w, o, "origin",
		  json_string(s->before	  ? "before"
			      : s->beyond ? "beyond"
					  : "seen"));
	json__put_text(w, o, "comm", s->comm);
	json__put_u64(w, live, "oldest_ns", s->oldest_ns);
	json__put_u64(w, live, "median_ns", s->median_ns);
	json__put_u64(w, live, "youngest_ns", s->youngest_ns);
	json__put_u64(w, live, "cpu_ns", s->live_cpu_ns);
	json__put_u64(w, live, "blocked_ns", s->live_blocked_ns);
	json__put(w, live, "ran_ago_ns",
		  s->ran_ago_ns == UINT64_MAX ? json_null() : json_integer(s->ran_ago_ns));
	json__put(w, o, "living", live);
	json__put_u64(w, o, "oldest_unjoined_ns", s->oldest_unjoined_ns);
	json__put(w, o, "complete", json_boolean(s->stack_flags & HU_STACK_COMPLETE));
	json__put(w, o, "start_routine",
		  s->has_start ? json__stack(w, &s->start, 1) : json_array());
	json__put(w, o, "created_by", json__stack(w, s->frames, s->frame_cnt));
	return o;
}

static json_t *process_json(struct writer *w, const struct threads_report *r,
			    const struct threads_process *p)
{
	json_t *o = json_object(), *sites = json_array();

	json__put_u64(w, o, "pid", p->pid);
	json__put_text(w, o, "comm", p->comm);
	json__put_text(w, o, "exe", p->exe);
	put_counts(w, o, &p->counts);
	put_ends(w, o, &p->counts);
	json__put(w, o, "created_per_s",
		  json_real(r->interval_ns ? p->counts.created * 1e9 / r->interval_ns : 0));
	json__put(w, o, "over", json_boolean(p->over));
	json__put(w, o, "exec", json_boolean(p->by_exec));
	json__put(w, o, "exit_code",
		  p->over && !p->by_exec ? json_integer(p->exit_code) : json_null());
	json__put(w, o, "first_thread_ended", json_boolean(p->first_ended));
	json__put(w, o, "joins_known", json_boolean(p->joins_known));
	json__put(w, o, "joins_known_before", json_boolean(p->joins_known_before));
	for (size_t i = 0; i < p->site_cnt; i++)
		json__append(w, sites, site_json(w, &p->sites[i]));
	json__put(w, o, "sites", sites);
	return o;
}

static json_t *coverage_json(struct writer *w, const struct threads_coverage *c)
{
	json_t *o = json_object();

	json__put_u64(w, o, "events", c->events);
	json__put_u64(w, o, "lost", c->lost);
	json__put_u64(w, o, "summarized", c->summarized);
	json__put_u64(w, o, "calls_lost", c->calls_lost);
	json__put_u64(w, o, "records_lost", c->records_lost);
	json__put_u64(w, o, "unmatched", c->unmatched);
	json__put_u64(w, o, "stacks_lost", c->stacks_lost);
	json__put_u64(w, o, "stacks_incomplete", c->stacks_incomplete);
	json__put_u64(w, o, "malformed", c->malformed);
	json__put_u64(w, o, "processes_forgotten", c->processes_forgotten);
	json__put_u64(w, o, "processes_unnamed", c->unnamed);
	json__put_u64(w, o, "libraries", c->libraries);
	json__put_u64(w, o, "probes_failed", c->probes_failed);
	json__put_u64(w, o, "processes_unprobed", c->unprobed);
	return o;
}

static json_t *p_json(struct writer *w, const struct go_p *p)
{
	json_t *o = json_object();

	json__put_u64(w, o, "id", p->id);
	json__put(w, o, "status", json_string(go_p__status(p)));
	json__put_u64(w, o, "tid", p->tid);
	json__put_u64(w, o, "queued", p->queued);
	return o;
}

static void put_sched(struct writer *w, json_t *o, const struct go_sched *s)
{
	json_t *statuses = json_object(), *ps = json_array();

	for (uint32_t i = 0; i < GO_STATUSES; i++)
		if (s->status[i])
			json__put_u64(w, statuses, go_status__name(i), s->status[i]);
	for (size_t i = 0; i < s->ps; i++)
		json__append(w, ps, p_json(w, &s->p[i]));
	json__put_u64(w, o, "goroutines", s->live);
	json__put_u64(w, o, "goroutines_moved", s->rejected);
	json__put(w, o, "statuses", statuses);
	json__put(w, o, "ps", ps);
	json__put_u64(w, o, "queued", s->queued);
	json__put_u64(w, o, "idle_ps", s->idle_ps);
	json__put_u64(w, o, "idle_threads", s->idle_ms);
	json__put_u64(w, o, "spinning_threads", s->spinning_ms);
	json__put_u64(w, o, "created_in_all", s->created);
	json__put(w, o, "created_exact", json_boolean(s->created_exact));
	json__put_u64(w, o, "mutex_wait_ns", s->mutex_wait_ns);
}

static json_t *golang_json(struct writer *w, const struct threads_golang *g)
{
	json_t *o = json_object();
	struct go_births births;

	json__put_u64(w, o, "pid", g->pid);
	json__put_text(w, o, "comm", g->comm);
	json__put_text(w, o, "version", g->version);
	json__put_text(w, o, "why", g->why);
	if (g->now)
		put_sched(w, o, g->now);
	if (g->now && g->before) {
		births = go_sched__births(g->before, g->now);
		json__put_u64(w, o, "created", births.created);
		json__put_u64(w, o, "exited", births.ended);
	}
	return o;
}

int view__threads_json(FILE *out, const struct threads_report *r, const struct view_style *style)
{
	struct writer w = { false };
	json_t *o = json_object(), *rows = json_array(), *golang = json_array();

	json__put(&w, o, "schema", json_string("holdup.threads.v1"));
	json__put_u64(&w, o, "interval_ns", r->interval_ns);
	json__put(&w, o, "coverage", coverage_json(&w, &r->coverage));
	put_counts(&w, o, &r->counts);
	for (size_t i = 0; i < r->row_cnt; i++)
		json__append(&w, rows, process_json(&w, r, &r->row[i]));
	json__put(&w, o, "processes", rows);
	json__put_u64(&w, o, "processes_in_all", r->processes);
	for (size_t i = 0; i < r->golang_cnt; i++)
		json__append(&w, golang, golang_json(&w, &r->golang[i]));
	json__put(&w, o, "golang", golang);
	return json__write(out, &w, o, style);
}
