// SPDX-License-Identifier: GPL-2.0-only
/* Rows of goroutines that will be shown: their sites, and who let those go on that waited there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/go_sampler.h"
#include "user/model/locks_build.h"

/* ---- who let them go */

static int add_releaser(struct builder *b, struct lock_row *row, const struct go_place *place,
			const struct go_released *r)
{
	const struct go_stack *stack = go_counts__stack(&place->process->go->counts, r->releaser);
	uint64_t ns = r->now.ns - r->base.ns;
	struct lock_holder *h = NULL, *more;
	int err = 0;

	if (!ns || !stack)
		return 0;
	for (size_t i = 0; i < row->holder_cnt && !h; i++)
		if (row->holders[i].stack_id == r->releaser)
			h = &row->holders[i];
	if (!h) {
		more = reallocarray(row->holders, row->holder_cnt + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		row->holders = more;
		h = &row->holders[row->holder_cnt];
		*h = (struct lock_holder){ .tgid = place->process->tgid,
					   .comm = "",
					   .stack_id = r->releaser,
					   .why = HU_HOLDER_WAKE };
		err = builder__go_frames(b, place->process->go->target, stack, &h->frames,
					 &h->frame_cnt);
		if (stack->complete)
			h->stack_flags = HU_STACK_COMPLETE;
		row->holder_cnt++;
	}
	h->goroutine = r->now.goid;
	h->sleeps += r->now.sleeps - r->base.sleeps;
	h->wait_ns += ns;
	row->holder_unknown_ns -= ns < row->holder_unknown_ns ? ns : row->holder_unknown_ns;
	return err;
}

static int by_wait(const void *a, const void *b)
{
	const struct lock_holder *x = a, *y = b;

	if (x->wait_ns != y->wait_ns)
		return x->wait_ns < y->wait_ns ? 1 : -1;
	return x->stack_id < y->stack_id ? -1 : 1;
}

static int find_releasers(struct builder *b, struct draft_row *d)
{
	struct lock_row *row = &d->row;
	int err = 0;

	row->holder_unknown_ns = row->stats.wait_ns;
	for (size_t i = 0; i < d->go_cnt; i++) {
		const struct go_counted *c = d->go[i]->counted;

		for (size_t k = 0; c && k < c->released_cnt && !err; k++)
			err = add_releaser(b, row, d->go[i], &c->released[k]);
	}
	if (row->holder_cnt)
		qsort(row->holders, row->holder_cnt, sizeof(*row->holders), by_wait);
	return err;
}

/* After sorting by stack, and so by process. */
static size_t count_processes(const struct draft_row *d)
{
	size_t cnt = 0;

	for (size_t i = 0; i < d->go_cnt; i++)
		cnt += !i || d->go[i]->process != d->go[i - 1]->process;
	return cnt;
}

static void set_percentiles(struct lock_stats *s, const struct hist *hist)
{
	s->p50_ns = hist__percentile(hist, 50, s->max_ns);
	s->p95_ns = hist__percentile(hist, 95, s->max_ns);
	s->p99_ns = hist__percentile(hist, 99, s->max_ns);
}

/* One place for several locks: what is alike in all but the lock. */
static int by_stack(const void *a, const void *b)
{
	const struct go_place *const *x = a, *const *y = b;

	if ((*x)->process != (*y)->process)
		return (*x)->process < (*y)->process ? -1 : 1;
	if ((*x)->stack != (*y)->stack)
		return (*x)->stack < (*y)->stack ? -1 : 1;
	return 0;
}

struct go_site {
	struct lock_site site;
	struct hist hist;
};

static void add_to_site(struct go_site *s, struct go_place *place)
{
	go_stats__add(&s->site.stats, &place->stats);
	if (place->counted)
		go_counted__add_hist(place->counted, &s->hist);
	if (s->site.frames)
		return;
	s->site.api = place->wait.api;
	s->site.frames = place->frames;
	s->site.frame_cnt = place->frame_cnt;
	if (place->stack && place->stack->complete)
		s->site.stack_flags = HU_STACK_COMPLETE;
	place->frames = NULL; /* they are the row's now */
}

static int by_time(const void *a, const void *b)
{
	const struct lock_site *x = a, *y = b;

	if (x->stats.wait_ns != y->stats.wait_ns)
		return x->stats.wait_ns < y->stats.wait_ns ? 1 : -1;
	return 0;
}

static int make_sites(struct draft_row *d)
{
	struct go_site *site = calloc(d->go_cnt, sizeof(*site));
	struct lock_row *row = &d->row;
	size_t cnt = 0;

	row->sites = calloc(d->go_cnt, sizeof(*row->sites));
	if (!site || !row->sites) {
		free(site);
		return -ENOMEM;
	}
	qsort(d->go, d->go_cnt, sizeof(d->go[0]), by_stack);
	for (size_t i = 0; i < d->go_cnt; i++) {
		cnt += !i || by_stack(&d->go[i - 1], &d->go[i]);
		add_to_site(&site[cnt - 1], d->go[i]);
	}
	for (size_t i = 0; i < cnt; i++) {
		set_percentiles(&site[i].site.stats, &site[i].hist);
		row->sites[row->site_cnt++] = site[i].site;
		hist__free(&site[i].hist);
	}
	free(site);
	qsort(row->sites, row->site_cnt, sizeof(row->sites[0]), by_time);
	return 0;
}

/* They are one by what can be seen of them. */
static void keep_first_site(struct lock_row *row)
{
	while (row->site_cnt > 1)
		free(row->sites[--row->site_cnt].frames);
	row->sites[0].stats = row->stats;
}

/* The runtime's own semaphores have no better name than the function of it that waits: runtime.gcStart, … */
static int name_runtime_lock(struct builder *b, struct lock_row *row)
{
	static const char *const below[] = { "runtime.gopark", "runtime.goparkunlock",
					     "runtime.semacquire1", "runtime.semacquire",
					     "runtime.semacquireWorldStop" };
	const struct lock_site *s = &row->sites[0];
	char text[512];
	size_t i = 0, k = 0;

	while (i < s->frame_cnt && k < sizeof(below) / sizeof(below[0])) {
		for (k = 0; k < sizeof(below) / sizeof(below[0]); k++)
			if (!strcmp(s->frames[i].raw, below[k]))
				break;
		i += k < sizeof(below) / sizeof(below[0]);
	}
	if (i == s->frame_cnt || strncmp(s->frames[i].raw, "runtime.", 8))
		return 0;
	snprintf(text, sizeof(text), "%s in %s", row->label, s->frames[i].function);
	row->name = symbolizer__intern(b->in->symbolizer, text);
	return row->name ? 0 : -ENOMEM;
}

int builder__finish_go_row(struct builder *b, struct draft_row *d)
{
	struct lock_row *row = &d->row;
	int err = make_sites(d);

	if (err)
		return err;
	set_percentiles(&row->stats, &d->hist);
	if (b->query->by != BY_PROCESS) {
		const struct go_wait *wait = &d->go[d->go_cnt - 1]->wait; /* it has a stack */

		row->address = row->locks == 1 ? wait->object : 0;
		row->label = wait->label;
	}
	if (b->query->by == BY_SITE)
		keep_first_site(row);
	row->exe = "";
	row->cgroup = row->process->cgroup ? row->process->cgroup : "";
	row->processes = count_processes(d);
	builder__name_row(b, d);
	err = !strcmp(row->label, GO_RUNTIME_LOCK) ? name_runtime_lock(b, row) : 0;
	return err ? err : find_releasers(b, d);
}
