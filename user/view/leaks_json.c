// SPDX-License-Identifier: GPL-2.0-only
/* `holdup leaks` for machines: the names of the design, described by schema.json. */
#include "user/view/json.h"

static json_t *coverage_json(struct writer *w, const struct leaks_report *r)
{
	json_t *o = json_object();

	json__put_u64(w, o, "events", r->born + r->ended);
	json__put_u64(w, o, "lost", r->coverage.births_lost);
	json__put_u64(w, o, "summarized", 0);
	json__put_u64(w, o, "stacks_incomplete", r->stacks->coverage.stacks_incomplete);
	json__put_u64(w, o, "processes_unreadable", r->stacks->coverage.unreadable);
	json__put_u64(w, o, "unprobed", r->coverage.unprobed);
	json__put_u64(w, o, "not_searched", r->coverage.not_searched);
	json__put(w, o, "births_unknown", json_boolean(r->coverage.births_unknown));
	json__put(w, o, "growth_unknown", json_boolean(r->coverage.growth_unknown));
	json__put(w, o, "times_unknown", json_boolean(r->coverage.times_unknown));
	return o;
}

/* From the caller of the thread library on, if that is known. */
static json_t *created_json(struct writer *w, const struct leak_suspect *s)
{
	size_t first = s->created_api + 1;

	return json__stack(w, s->created_by + (s->created_cnt ? first : 0),
			   s->created_cnt ? s->created_cnt - first : 0);
}

static json_t *suspect_json(struct writer *w, const struct leak_suspect *s)
{
	const struct named_stack *stack = s->thread ? s->thread->stack : NULL;
	json_t *o = json_object();
	bool has_start = *s->start.function || *s->start.module;

	json__put(w, o, "reason", json_string(leak_reason__name(s->reason)));
	json__put_u64(w, o, "pid", s->tgid);
	json__put_text(w, o, "comm", s->comm);
	json__put(w, o, "goroutines", json_boolean(s->goroutines));
	json__put_u64(w, o, "count", s->count);
	json__put_u64(w, o, "known", s->known);
	json__put(w, o, "growth_per_min", json_real(s->growth_per_min));
	json__put_u64(w, o, "oldest_ns", s->oldest_ns);
	json__put(w, o, "exact", json_boolean(s->exact));
	json__put(w, o, "sure", json_real(s->exact ? 1 : s->sure));
	if (s->stack_bytes)
		json__put_u64(w, o, "stack_bytes", s->stack_bytes);
	json__put_text(w, o, "lock", s->lock);
	json__put_text(w, o, "evidence", s->evidence);
	json__put(w, o, "start", json__stack(w, &s->start, has_start));
	json__put(w, o, "created_by", created_json(w, s));
	json__put(w, o, "stack",
		  stack ? json__stack(w, stack->frames, stack->frame_cnt) : json_array());
	json__put_address(w, o, "key", leak_suspect__key(s));
	return o;
}

int view__leaks_json(FILE *out, const struct leaks_report *r, const struct view_style *style)
{
	json_t *doc = json_object(), *suspects = json_array();
	struct writer w = { false };

	for (size_t i = 0; i < r->cnt && i < r->query->rows; i++)
		json__append(&w, suspects, suspect_json(&w, &r->suspect[i]));
	json__put(&w, doc, "schema", json_string("holdup.leaks.v1"));
	json__put_u64(&w, doc, "interval_ns", r->took_ns);
	json__put(&w, doc, "coverage", coverage_json(&w, r));
	json__put_u64(&w, doc, "processes", r->processes);
	json__put_u64(&w, doc, "threads", r->threads);
	json__put_u64(&w, doc, "goroutine_count", r->goroutines);
	json__put_u64(&w, doc, "created", r->born);
	json__put_u64(&w, doc, "exited", r->ended);
	json__put_u64(&w, doc, "sites", r->sites);
	json__put_u64(&w, doc, "suspect_count", r->cnt);
	json__put_u64(&w, doc, "in_baseline", r->old);
	json__put(&w, doc, "suspects", suspects);
	return json__write(out, &w, doc, style);
}
