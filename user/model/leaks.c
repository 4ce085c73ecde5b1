// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/leaks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/leaks_baseline.h"
#include "user/model/leaks_build.h"
#include "user/target/helper_threads.h"

const char *leak_reason__name(enum leak_reason reason)
{
	static const char *const names[] = {
		[LEAK_UNJOINED] = "unjoined",	    [LEAK_GROWING] = "growing",
		[LEAK_BLOCKED] = "blocked-forever", [LEAK_SAME_LINE] = "same-line",
		[LEAK_ORPHANED] = "orphaned",
	};

	return reason > LEAK_INVALID && reason < LEAK_REASONS ? names[reason] : "invalid";
}

struct leak_suspect *leaks__add(struct leaks_builder *b, enum leak_reason reason, uint32_t tgid,
				const char *comm)
{
	size_t cap = b->cap ? 2 * b->cap : 16;
	struct leak_suspect *more, *s;

	if (b->r.cnt == b->cap) {
		more = reallocarray(b->r.suspect, cap, sizeof(*more));
		if (!more)
			return NULL;
		b->r.suspect = more;
		b->cap = cap;
	}
	s = &b->r.suspect[b->r.cnt++];
	*s = (struct leak_suspect){ .reason = reason,
				    .tgid = tgid,
				    .start = { "", "", "", "", 0, 0, false, false },
				    .created_api = -1,
				    .lock = "" };
	snprintf(s->comm, sizeof(s->comm), "%s", comm);
	return s;
}

int leaks__say(struct leak_suspect *s, const char *format, ...)
{
	char text[EVIDENCE_SZ];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	free(s->evidence);
	s->evidence = strdup(text);
	return s->evidence ? 0 : -ENOMEM;
}

/* ---- ranking: what is certain, is much and becomes more, comes first */

#define GROWTH_WEIGHT 10 /* a leak counts as what it will be in so many minutes */

static void set_score(struct leak_suspect *s)
{
	double sure = s->exact ? 1 : s->sure;

	s->score = sure * (s->count + GROWTH_WEIGHT * s->growth_per_min);
}

static int compare(const void *a, const void *b)
{
	const struct leak_suspect *x = a, *y = b;

	if (x->exact != y->exact && (x->count == y->count))
		return x->exact ? -1 : 1;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return (int)x->reason - (int)y->reason;
}

/* ---- what is left out */

/* Threads that a runtime keeps may grow, wait alike and for ever: that is its business. */
static bool is_helper(const struct leak_suspect *s)
{
	const struct named_stack *stack = s->thread ? s->thread->stack : NULL;
	bool has_start = *s->start.function || *s->start.module;

	if (s->reason != LEAK_SAME_LINE && s->reason != LEAK_BLOCKED)
		return false;
	return target__helper_thread(s->thread ? s->thread->thread->rec.comm : "",
				     has_start ? &s->start : NULL, stack ? stack->frames : NULL,
				     stack ? stack->frame_cnt : 0);
}

static void drop_known(struct leaks_builder *b)
{
	struct leaks_report *r = &b->r;
	size_t kept = 0;

	for (size_t i = 0; i < r->cnt; i++) {
		struct leak_suspect *s = &r->suspect[i];
		bool helper = is_helper(s), old = false;

		if (!helper && r->query->baseline) {
			s->known = leaks_baseline__count(r->query->baseline, leak_suspect__key(s));
			old = s->known >= s->count;
		}
		r->helpers += helper;
		r->old += old;
		if (helper || old)
			free(s->evidence);
		else
			r->suspect[kept++] = *s;
	}
	r->cnt = kept;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = hash__mix(h, (unsigned char)*text);
	return hash__mix(h, 256);
}

#define KEY_FRAMES 3 /* of each stack: the program's own part */

static uint64_t hash_frames(uint64_t h, const struct sym_frame *frames, size_t cnt, int api)
{
	size_t used = 0;

	for (size_t i = api + 1; i < cnt && used < KEY_FRAMES; i++)
		if (*frames[i].function) {
			h = hash_text(h, frames[i].function);
			used++;
		}
	return hash__mix(h, 257);
}

uint64_t leak_suspect__key(const struct leak_suspect *s)
{
	const struct named_stack *stack = s->thread ? s->thread->stack : NULL;
	uint64_t h = hash_text(s->reason, s->comm);

	h = hash_frames(h, s->created_by, s->created_cnt, s->created_api);
	return hash_frames(h, stack ? stack->frames : NULL, stack ? stack->frame_cnt : 0,
			   s->thread ? s->thread->api : -1);
}

/* ---- */

static void fill_totals(struct leaks_builder *b)
{
	const struct leaks_input *in = b->in;
	struct leaks_report *r = &b->r;

	r->took_ns = in->now_ns - in->began_ns;
	r->processes = in->stacks->processes;
	r->goroutines = in->stacks->goroutine_cnt;
	r->threads = in->stacks->thread_cnt - r->goroutines;
	r->stacks = in->stacks;
	r->coverage.times_unknown = in->stacks->coverage.times_unknown;
	r->coverage.births_unknown = !in->lifetimes;
	r->coverage.not_searched = in->unreachable ? in->unreachable->not_searched : 0;
	r->coverage.births_lost = in->lost;
	if (!in->lifetimes)
		return;
	r->born = in->lifetimes->all.born;
	r->ended = in->lifetimes->all.ended;
	r->joined = in->lifetimes->all.joined;
	for (const struct lt_process *p = in->lifetimes->processes; p; p = p->next) {
		r->sites += p->site_cnt;
		r->coverage.unprobed += !p->over && !p->probed && p->all.born;
	}
}

static int find_all(struct leaks_builder *b)
{
	int err = leaks__find_orphaned(b);

	if (!err)
		err = leaks__find_blocked(b);
	if (!err)
		err = leaks__find_same_line(b);
	if (!err && b->in->lifetimes)
		err = leaks__find_unjoined(b);
	if (!err && b->in->lifetimes)
		err = leaks__find_growing(b);
	if (!err)
		err = leaks__find_goroutines(b);
	return err;
}

int leaks_report__build(const struct leaks_input *in, const struct leaks_query *query,
			struct leaks_report **ret)
{
	struct leaks_builder *b = calloc(1, sizeof(*b));
	int err = -ENOMEM;

	if (!b)
		return -ENOMEM;
	b->in = in;
	b->r.query = query;
	b->r.arena = b;
	fill_totals(b);
	b->taken = calloc(in->stacks->thread_cnt + 1, 1);
	if (b->taken)
		err = find_all(b);
	if (err) {
		leaks_report__free(&b->r);
		return err;
	}
	for (size_t i = 0; i < b->r.cnt; i++)
		set_score(&b->r.suspect[i]);
	drop_known(b);
	if (b->r.cnt)
		qsort(b->r.suspect, b->r.cnt, sizeof(*b->r.suspect), compare);
	*ret = &b->r;
	return 0;
}

static void site__free(void *value)
{
	struct birth_site *s = value;

	free(s->frames);
	free(s);
}

void leaks_report__free(struct leaks_report *r)
{
	struct leaks_builder *b;

	if (!r)
		return;
	b = r->arena;
	for (size_t i = 0; i < r->cnt; i++)
		free(r->suspect[i].evidence);
	free(r->suspect);
	free(b->taken);
	table__clear(&b->sites, site__free);
	free(b);
}
