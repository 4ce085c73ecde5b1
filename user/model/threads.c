// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 256 /* of one stack, inlined ones included */
#define API_DEPTH  8   /* the thread library's own frames are among the first */

const char *lt_end__name(enum lt_end end)
{
	static const char *const names[] = {
		[LT_RETURNED] = "returned",
		[LT_EXITED] = "pthread_exit",
		[LT_CANCELLED] = "cancelled",
		[LT_WITH_PROCESS] = "with the process",
		[LT_KILLED] = "killed by a signal",
		[LT_EXEC] = "exec",
		[LT_UNSEEN] = "unseen",
	};

	return end < LT_END_CNT && names[end] ? names[end] : "?";
}

/* ---- sites */

/* The outermost function of the library that the program called. */
static int find_api(const struct sym_frame *frames, size_t cnt)
{
	static const char *const names[] = { "pthread_create",
					     "__pthread_create",
					     "__pthread_create_2_1",
					     "thrd_create",
					     "clone",
					     "__clone",
					     "clone3",
					     "__clone3" };
	int api = -1;

	for (size_t i = 0; i < cnt && i < API_DEPTH; i++)
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (!strcmp(frames[i].raw, names[k]))
				api = i;
	return api;
}

static size_t name_stack(const struct threads_input *in, struct sym_process *names,
			 const struct agg_stack *stack, struct sym_frame buf[FRAMES_MAX])
{
	size_t cnt = 0, got;

	for (size_t i = 0; i < stack->frames && cnt < FRAMES_MAX; i++) {
		got = symbolizer__frames(in->symbolizer, names, stack->pcs[i], i == 0, true,
					 buf + cnt, FRAMES_MAX - cnt);
		for (size_t k = 0; k < got; k++)
			buf[cnt + k].guessed = i >= stack->exact;
		cnt += got;
	}
	return cnt;
}

static int name_site(const struct threads_input *in, const struct lt_site *site,
		     struct threads_site *ret)
{
	const struct agg_process *agg = site->process->names;
	const struct agg_stack *stack;
	struct sym_frame frames[FRAMES_MAX];

	ret->api = -1;
	if (!agg || !agg->names)
		return 0;
	if (site->start_routine)
		ret->has_start = symbolizer__frames(in->symbolizer, agg->names, site->start_routine,
						    true, true, &ret->start, 1);
	stack = site->stack_id ? aggregate__stack(in->lifetimes->aggregate, site->stack_id) : NULL;
	if (!stack)
		return 0;
	ret->stack_flags = stack->flags;
	ret->frame_cnt = name_stack(in, agg->names, stack, frames);
	if (!ret->frame_cnt)
		return 0;
	ret->frames = malloc(ret->frame_cnt * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, ret->frame_cnt * sizeof(*frames));
	ret->api = find_api(frames, ret->frame_cnt);
	return 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns && then_ns < now_ns ? now_ns - then_ns : 0;
}

/* What the threads of a site that live, or are unjoined, tell. ages: room for all of them. */
static void add_threads(const struct threads_input *in, const struct lt_site *site, uint64_t *ages,
			struct threads_site *ret)
{
	uint64_t ago_ns;
	size_t cnt = 0;

	ret->ran_ago_ns = UINT64_MAX;
	for (const struct lt_thread *t = site->threads; t; t = t->next) {
		if (!*ret->comm)
			memcpy(ret->comm, t->comm, sizeof(ret->comm));
		if (t->end != LT_ALIVE) {
			ago_ns = since(t->ended_ns, in->now_ns);
			if (ago_ns > ret->oldest_unjoined_ns)
				ret->oldest_unjoined_ns = ago_ns;
			continue;
		}
		if (t->born_ns)
			ages[cnt++] = since(t->born_ns, in->now_ns);
		ret->live_cpu_ns += t->cpu_ns;
		ret->live_blocked_ns += lt_thread__blocked_ns(t, in->now_ns);
		if (t->last_ran_ns && since(t->last_ran_ns, in->now_ns) < ret->ran_ago_ns)
			ret->ran_ago_ns = since(t->last_ran_ns, in->now_ns);
	}
	if (!cnt)
		return;
	qsort(ages, cnt, sizeof(*ages), compare_u64);
	ret->youngest_ns = ages[0];
	ret->median_ns = ages[cnt / 2];
	ret->oldest_ns = ages[cnt - 1];
}

static void fill_counts(const struct lt_counts *from, struct threads_counts *ret)
{
	ret->created = from->born;
	ret->joined = from->joined;
	ret->detached = from->detached;
	for (int i = 0; i < LT_END_CNT; i++) {
		ret->ended[i] = from->ended[i];
		ret->exited += from->ended[i];
	}
	ret->age_ns = from->age_ns;
	ret->cpu_ns = from->cpu_ns;
	ret->runq_ns = from->runq_ns;
	ret->age_max_ns = from->age_max_ns;
}

static int fill_site(const struct threads_input *in, const struct lt_site *site,
		     struct threads_site *ret)
{
	uint64_t *ages = calloc((size_t)site->live + 1, sizeof(*ages));

	if (!ages)
		return -ENOMEM;
	fill_counts(&site->now, &ret->counts);
	ret->counts.live = site->live;
	ret->counts.unjoined = site->unjoined;
	ret->counts.live_change = (int64_t)site->live - site->live_before;
	ret->counts.unjoined_change = (int64_t)site->unjoined - site->unjoined_before;
	ret->counts.peak = site->live_peak;
	ret->before = site->before;
	ret->beyond = site->beyond;
	add_threads(in, site, ages, ret);
	free(ages);
	return name_site(in, site, ret);
}

/* ---- processes */

static bool site_tells(const struct lt_site *s)
{
	uint64_t ended = 0;

	for (int i = 0; i < LT_END_CNT; i++)
		ended += s->now.ended[i];
	return s->live || s->unjoined || s->now.born || ended;
}

static int compare_sites(const void *a, const void *b)
{
	const struct lt_site *const *x = a, *const *y = b;

	if ((*x)->now.born != (*y)->now.born)
		return (*x)->now.born < (*y)->now.born ? 1 : -1;
	if ((*x)->unjoined != (*y)->unjoined)
		return (*x)->unjoined < (*y)->unjoined ? 1 : -1;
	if ((*x)->live != (*y)->live)
		return (*x)->live < (*y)->live ? 1 : -1;
	return (*x)->stack_id < (*y)->stack_id ? -1 : (*x)->stack_id > (*y)->stack_id;
}

static int fill_sites(const struct threads_input *in, const struct lt_process *p,
		      struct threads_process *ret)
{
	const struct lt_site **sites = calloc((size_t)p->site_cnt + 1, sizeof(struct lt_site *));
	size_t cnt = 0;
	int err = 0;

	ret->sites = calloc((size_t)p->site_cnt + 1, sizeof(*ret->sites));
	if (!sites || !ret->sites) {
		free(sites);
		return -ENOMEM;
	}
	for (const struct lt_site *s = p->sites; s; s = s->next)
		if (site_tells(s))
			sites[cnt++] = s;
	qsort(sites, cnt, sizeof(struct lt_site *), compare_sites);
	for (size_t i = 0; i < cnt && !err; i++) {
		ret->site_cnt++;
		err = fill_site(in, sites[i], &ret->sites[i]);
	}
	free(sites);
	return err;
}

static int fill_process(const struct threads_input *in, const struct lt_process *p,
			struct threads_process *ret)
{
	ret->pid = p->tgid;
	ret->comm = symbolizer__intern(in->symbolizer, p->comm);
	if (!ret->comm)
		return -ENOMEM;
	ret->exe = p->names && p->names->names ? sym_process__exe(p->names->names) : "";
	fill_counts(&p->now, &ret->counts);
	ret->counts.live = p->live;
	ret->counts.unjoined = p->unjoined;
	ret->counts.live_change = (int64_t)p->live - p->live_before;
	ret->counts.unjoined_change = (int64_t)p->unjoined - p->unjoined_before;
	ret->counts.peak = p->live_peak;
	ret->before = p->before;
	ret->over = p->over;
	ret->by_exec = p->by_exec;
	ret->first_ended = p->first_ended && !p->over;
	ret->joins_known = p->probed || p->zombies_known;
	ret->joins_known_before = p->zombies_known;
	ret->exit_code = p->exit_code;
	return fill_sites(in, p, ret);
}

static bool process_tells(const struct lt_process *p)
{
	return p->live > 1 || p->sites || p->all.born;
}

/* Where most happens, then where most is. */
static int compare_processes(const void *a, const void *b)
{
	const struct lt_process *const *x = a, *const *y = b;

	if ((*x)->now.born != (*y)->now.born)
		return (*x)->now.born < (*y)->now.born ? 1 : -1;
	if ((*x)->unjoined != (*y)->unjoined)
		return (*x)->unjoined < (*y)->unjoined ? 1 : -1;
	if ((*x)->live != (*y)->live)
		return (*x)->live < (*y)->live ? 1 : -1;
	return (*x)->tgid < (*y)->tgid ? -1 : (*x)->tgid > (*y)->tgid;
}

static int fill_rows(const struct threads_input *in, struct threads_report *r)
{
	const struct lifetimes *l = in->lifetimes;
	const struct lt_process **p = calloc((size_t)l->process_cnt + 1, sizeof(*p));
	size_t cnt = 0;
	int err = 0;

	if (!p)
		return -ENOMEM;
	for (const struct lt_process *i = l->processes; i; i = i->next)
		if (process_tells(i))
			p[cnt++] = i;
	qsort(p, cnt, sizeof(*p), compare_processes);
	r->processes = cnt;
	if (cnt > in->rows)
		cnt = in->rows;
	r->row = calloc(cnt + 1, sizeof(*r->row));
	if (!r->row)
		err = -ENOMEM;
	for (size_t i = 0; i < cnt && !err; i++) {
		r->row_cnt++;
		err = fill_process(in, p[i], &r->row[i]);
	}
	free(p);
	return err;
}

/* ---- the whole */

/* Births at sites without a stack, or with a part of one; a stack that was taken is one that is known. */
static void add_stacks(const struct threads_input *in, const struct lt_site *s,
		       struct threads_coverage *c)
{
	const struct agg_stack *stack =
		s->stack_id ? aggregate__stack(in->lifetimes->aggregate, s->stack_id) : NULL;

	if (s->before || s->beyond)
		return;
	if (!stack)
		c->stacks_lost += s->now.born;
	else if (!(stack->flags & HU_STACK_COMPLETE))
		c->stacks_incomplete += s->now.born;
}

static bool is_named(const struct lt_process *p)
{
	const struct maps *maps = p->names && p->names->names ? sym_process__maps(p->names->names)
							      : NULL;

	return maps && maps->cnt;
}

static void fill_coverage(const struct threads_input *in, struct threads_coverage *c)
{
	const struct lifetimes *l = in->lifetimes;

	c->lost = in->losses[HU_LOSS_LIVES_FULL];
	c->summarized = in->losses[HU_LOSS_LIVES];
	c->events = l->now.born + l->now.ended + l->now.joined + l->now.detached;
	c->events -= c->events < c->summarized ? c->events : c->summarized;
	c->calls_lost = in->losses[HU_LOSS_PTHREAD];
	c->records_lost = in->losses[HU_LOSS_RECORD] + in->losses[HU_LOSS_PROC_FULL];
	c->lost += in->losses[HU_LOSS_MISSED];
	c->unmatched = l->now.unmatched;
	c->malformed = in->malformed;
	c->processes_forgotten = l->now.forgotten;
	c->libraries = in->probes.files;
	c->probes_failed = in->probes.failed;
	c->probes_err = in->probes.failed_err;
	for (const struct lt_process *p = l->processes; p; p = p->next) {
		c->unnamed += p->all.born && !is_named(p);
		c->unprobed += p->all.born && !p->probed;
		for (const struct lt_site *s = p->sites; s; s = s->next)
			add_stacks(in, s, c);
	}
}

static void fill_totals(const struct threads_input *in, struct threads_report *r)
{
	const struct lifetimes *l = in->lifetimes;
	struct threads_counts *c = &r->counts;

	c->live = l->live;
	c->peak = l->live_peak;
	c->created = l->now.born;
	c->exited = l->now.ended;
	c->joined = l->now.joined;
	c->detached = l->now.detached;
	for (const struct lt_process *p = l->processes; p; p = p->next) {
		c->unjoined += p->unjoined;
		c->unjoined_change += (int64_t)p->unjoined - p->unjoined_before;
		c->live_change += (int64_t)p->live - p->live_before;
	}
}

int threads_report__build(const struct threads_input *in, struct threads_report **ret)
{
	struct threads_report *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->interval_ns = in->interval_ns;
	r->live_view = in->live_view;
	fill_totals(in, r);
	fill_coverage(in, &r->coverage);
	err = fill_rows(in, r);
	if (err)
		threads_report__free(r);
	else
		*ret = r;
	return err;
}

void threads_report__free(struct threads_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->row_cnt; i++) {
		for (size_t k = 0; k < r->row[i].site_cnt; k++)
			free(r->row[i].sites[k].frames);
		free(r->row[i].sites);
	}
	free(r->row);
	free(r);
}
