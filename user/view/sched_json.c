// SPDX-License-Identifier: GPL-2.0-only
/* `holdup offcpu --sched` for machines; schema.json describes it. */
#include "user/view/json.h"
#include "user/view/offcpu.h"

static json_t *cpu_json(struct writer *w, const struct sched_cpu *c)
{
	json_t *o = json_object(), *lens = json_array();
	size_t last = 0;

	json__put_u64(w, o, "cpu", c->cpu);
	json__put_u64(w, o, "seen_ns", c->seen_ns);
	json__put(w, o, "mean", json_real(c->mean));
	json__put_u64(w, o, "max", c->max);
	json__put(w, o, "busy", json_real(c->busy));
	json__put(w, o, "more_than_one", json_real(c->waiting));
	for (size_t i = 0; i < HU_OFF_QUEUE_MAX; i++)
		last = c->ns[i] ? i : last;
	for (size_t i = 0; i <= last; i++)
		json__append(w, lens, json_integer(c->ns[i]));
	json__put(w, o, "length_ns", lens);
	return o;
}

static json_t *row_json(struct writer *w, const struct sched_row *r)
{
	json_t *o = json_object(), *buckets = json_array();

	json__put_u64(w, o, "pid", r->process ? r->process->tgid : 0);
	json__put_u64(w, o, "tid", r->tid);
	json__put_text(w, o, "comm", r->process ? r->comm : "kernel threads");
	json__put_u64(w, o, "switches", r->stats.waits);
	json__put_u64(w, o, "runqueue_ns", r->stats.runq_ns);
	json__put_u64(w, o, "p50_ns", r->stats.p50_ns);
	json__put_u64(w, o, "p95_ns", r->stats.p95_ns);
	json__put_u64(w, o, "p99_ns", r->stats.p99_ns);
	json__put_u64(w, o, "max_ns", r->stats.max_ns);
	for (size_t i = 0; i < SCHED_BUCKETS; i++)
		json__append(w, buckets, json_integer(r->bucket[i]));
	json__put(w, o, "below_us", buckets);
	return o;
}

int view__sched_json(FILE *out, const struct sched_report *r, const struct view_style *style)
{
	struct writer w = { false };
	json_t *o = json_object(), *cpus = json_array(), *rows = json_array(),
	       *coverage = json_object();

	json__put(&w, o, "schema", json_string("holdup.sched.v1"));
	json__put_u64(&w, o, "interval_ns", r->interval_ns);
	json__put_u64(&w, coverage, "events", r->coverage.intervals);
	json__put_u64(&w, coverage, "lost", r->coverage.lost);
	json__put_u64(&w, coverage, "lost_ns", r->coverage.lost_ns);
	json__put_u64(&w, coverage, "summarized", 0);
	json__put_u64(&w, coverage, "stacks_incomplete", 0);
	json__put_u64(&w, coverage, "inferred", r->coverage.inferred);
	json__put_u64(&w, coverage, "below_min", r->coverage.below_min);
	json__put(&w, o, "coverage", coverage);
	json__put_u64(&w, o, "switches", r->waits);
	json__put_u64(&w, o, "runqueue_ns", r->runq_ns);
	for (size_t i = 0; i < r->cpu_cnt; i++)
		json__append(&w, cpus, cpu_json(&w, &r->cpu[i]));
	json__put(&w, o, "cpus", cpus);
	for (size_t i = 0; i < r->row_cnt; i++)
		json__append(&w, rows, row_json(&w, &r->row[i]));
	json__put(&w, o, "processes", rows);
	return json__write(out, &w, o, style);
}
