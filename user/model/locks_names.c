// SPDX-License-Identifier: GPL-2.0-only
/* Names for the rows that will be shown: the lock, its sites, its holders. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"
#include "user/model/locks_build.h"

static int compare_draft_sites(const void *a, const void *b)
{
	const struct draft_site *const *x = a, *const *y = b;
	uint64_t xns = (*x)->agg->blocked_ns + (*x)->agg->runq_ns;
	uint64_t yns = (*y)->agg->blocked_ns + (*y)->agg->runq_ns;

	if (xns != yns)
		return xns < yns ? 1 : -1;
	return (*x)->agg->stack_id < (*y)->agg->stack_id ? -1 : 1;
}

static const char *what(const struct lock_row *row)
{
	static const char *const of_go[] = {
		[LOCK_GO_MUTEX] = "Mutex",   [LOCK_GO_RWMUTEX] = "RWMutex",
		[LOCK_GO_CHAN] = "channel",  [LOCK_GO_WAITGROUP] = "WaitGroup",
		[LOCK_GO_SELECT] = "select", [LOCK_GO_COND] = "Cond",
	};

	if (*row->label)
		return row->label;
	if (row->goroutines)
		return of_go[row->kind];
	if (row->kind == LOCK_FUTEX || row->kind == LOCK_PARK)
		return "futex";
	return lock_kind__idle(row->kind) ? lock_kind__name(row->kind) : "lock";
}

/* Of a lock without a symbol: what it is, and where it lies or is waited for. */
static void name_by_place(const struct lock_row *row, char *ret, size_t sz)
{
	const struct lock_site *site = row->site_cnt ? &row->sites[0] : NULL;
	const struct sym_frame *f = NULL;

	if (site)
		f = frames__caller(site->frames, site->frame_cnt, site->api);
	/* Nothing but an interpreter's own code: the next function of that. */
	if (site && !f && *row->label && row->address &&
	    (row->kind == LOCK_MUTEX || row->kind == LOCK_CONDVAR) &&
	    (size_t)site->api + 1 < site->frame_cnt &&
	    target__interpreter(&site->frames[site->api + 1]) &&
	    *site->frames[site->api + 1].function && !site->frames[site->api + 1].guessed)
		f = &site->frames[site->api + 1];
	if (row->known_as_label && *row->module)
		snprintf(ret, sz, "%s in %s", row->label, row->module);
	else if (*row->label && (!f || !*f->function))
		snprintf(ret, sz, "%s", row->label);
	else if (f && *f->function)
		snprintf(ret, sz, "%s in %s", what(row), target__short_name(f->function));
	else if (f)
		snprintf(ret, sz, "%s in %s+0x%llx", what(row), f->module,
			 (unsigned long long)f->offset);
}

/* Of several locks: the variable that they are, if it is one and the same in each process. */
static void name_by_symbol(struct builder *b, const struct draft_row *d, char *ret, size_t sz)
{
	struct sym_object first = { .name = "" }, object;

	for (size_t i = 0; i < d->site_cnt; i++) {
		const struct draft_site *site = d->site[i];

		object = (struct sym_object){ .name = "" };
		if (site->process->names)
			symbolizer__object(b->in->symbolizer, site->process->names,
					   site->target.object, &object);
		if (!i)
			first = object;
		if (!*object.name || strcmp(object.name, first.name) ||
		    object.offset != first.offset)
			return;
	}
	snprintf(ret, sz, first.offset ? "%s+0x%llx" : "%s", first.name,
		 (unsigned long long)first.offset);
}

void builder__name_row(struct builder *b, struct draft_row *d)
{
	struct lock_row *row = &d->row;
	struct sym_object object = { .name = "", .module = "" };
	char text[512] = "";
	uint64_t bias;

	row->name = row->module = "";
	if (row->process->names) {
		row->exe = sym_process__exe(row->process->names);
		symbolizer__object(b->in->symbolizer, row->process->names, row->address, &object);
		row->module = object.module;
		row->module_offset = *object.name ? 0 : object.offset;
		if (*object.module && sym_process__module(b->in->symbolizer, row->process->names,
							  row->address, &bias))
			row->module_offset = row->address - bias;
	}
	if (row->locks > 1 && b->query->by == BY_SITE)
		name_by_symbol(b, d, text, sizeof(text));
	else if (*object.name)
		snprintf(text, sizeof(text), object.offset ? "%s+0x%llx" : "%s", object.name,
			 (unsigned long long)object.offset);
	if (!*text)
		name_by_place(row, text, sizeof(text));
	if (*text)
		row->name = symbolizer__intern(b->in->symbolizer, text);
	if (!row->name)
		row->name = "";
}

/* As the lock is called in another one's row: short, and without source lines. */
const char *builder__name_lock(struct builder *b, const struct draft_row *d)
{
	struct sym_object object = { .name = "" };
	const struct draft_site *longest = NULL;
	struct sym_frame frames[FRAMES_MAX];
	const struct sym_frame *f = NULL;
	char text[512];
	size_t cnt;
	uint16_t flags;

	for (size_t i = 0; i < d->site_cnt; i++)
		if (!longest || compare_draft_sites(&d->site[i], &longest) < 0)
			longest = d->site[i];
	if (d->row.process->names)
		symbolizer__object(b->in->symbolizer, d->row.process->names, d->row.address,
				   &object);
	if (longest && *longest->target.label) {
		snprintf(text, sizeof(text), "%s", longest->target.label);
	} else if (*object.name) {
		snprintf(text, sizeof(text), object.offset ? "%s+0x%llx" : "%s", object.name,
			 (unsigned long long)object.offset);
	} else {
		cnt = longest ? builder__frames(b, longest->agg, false, frames, &flags) : 0;
		f = longest ? frames__caller(frames, cnt, longest->target.api) : NULL;
		if (f && *f->function)
			snprintf(text, sizeof(text), "lock in %s", f->function);
		else
			snprintf(text, sizeof(text), "lock at 0x%llx",
				 (unsigned long long)d->row.address);
	}
	return symbolizer__intern(b->in->symbolizer, text);
}

/* What the row's locks are called: as at the site with most wait time that knows. */
static void label_row(struct draft_row *d)
{
	for (size_t i = 0; i < d->site_cnt && !*d->row.label; i++)
		d->row.label = d->site[i]->target.label;
	for (size_t i = 0; i < d->site_cnt; i++)
		if (d->row.label == d->site[i]->target.label)
			d->row.known_as_label |= d->site[i]->target.known_as_label;
}

static int name_site(struct builder *b, const struct draft_site *draft, bool lines,
		     struct lock_site *ret)
{
	struct sym_frame frames[FRAMES_MAX];
	struct target_wait target;
	size_t cnt = builder__frames(b, draft->agg, lines, frames, &ret->stack_flags);

	stats__add(&ret->stats, draft->agg);
	ret->stats.p50_ns = hist__percentile(&draft->agg->hist, 50, ret->stats.max_ns);
	ret->stats.p95_ns = hist__percentile(&draft->agg->hist, 95, ret->stats.max_ns);
	ret->stats.p99_ns = hist__percentile(&draft->agg->hist, 99, ret->stats.max_ns);
	builder__classify(b, draft->agg, frames, cnt, &target);
	ret->api = target.api;
	if (!cnt)
		return 0;
	ret->frames = malloc(cnt * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, cnt * sizeof(*frames));
	ret->frame_cnt = cnt;
	return 0;
}

static int find_holders(struct builder *b, struct draft_row *d)
{
	const struct agg_site **site = calloc(d->site_cnt + 1, sizeof(struct agg_site *));
	int err;

	if (!site)
		return -ENOMEM;
	for (size_t i = 0; i < d->site_cnt; i++)
		site[i] = d->site[i]->agg;
	err = lock_row__find_holders(&d->row, site, d->site_cnt, b->in->aggregate,
				     b->in->symbolizer);
	free(site);
	return err;
}

static bool same(const void *value, const void *key)
{
	return value == key;
}

/* What all of the row's processes have in common. */
static void find_cgroup(struct draft_row *d)
{
	const char *cgroup = d->site[0]->agg->process->cgroup, *other;

	for (size_t i = 1; i < d->site_cnt && cgroup; i++) {
		other = d->site[i]->agg->process->cgroup;
		if (!other || strcmp(other, cgroup))
			cgroup = NULL;
	}
	d->row.cgroup = cgroup ? cgroup : "";
}

static int count_processes(struct draft_row *d)
{
	struct table processes = { 0 };
	int err = 0;

	for (size_t i = 0; i < d->site_cnt && !err; i++) {
		void *p = d->site[i]->agg->process;

		if (!table__find(&processes, (uintptr_t)p, same, p))
			err = table__add(&processes, (uintptr_t)p, p);
	}
	d->row.processes = processes.cnt;
	table__clear(&processes, NULL);
	return err;
}

int builder__finish_row(struct builder *b, struct draft_row *d)
{
	size_t site_cnt = b->query->by == BY_SITE ? 1 : d->site_cnt;
	struct lock_row *row = &d->row;
	int err;

	if (d->go_cnt)
		return builder__finish_go_row(b, d);
	row->stats.p50_ns = hist__percentile(&d->hist, 50, row->stats.max_ns);
	row->stats.p95_ns = hist__percentile(&d->hist, 95, row->stats.max_ns);
	row->stats.p99_ns = hist__percentile(&d->hist, 99, row->stats.max_ns);
	qsort(d->site, d->site_cnt, sizeof(d->site[0]), compare_draft_sites);
	row->sites = calloc(site_cnt, sizeof(*row->sites));
	if (!row->sites)
		return -ENOMEM;
	row->exe = "";
	find_cgroup(d);
	for (size_t i = 0; i < site_cnt; i++) {
		row->site_cnt++;
		err = name_site(b, d->site[i], i < SITES_WITH_LINES, &row->sites[i]);
		if (err)
			return err;
	}
	if (b->query->by == BY_SITE) /* they are the same by what can be seen of them */
		row->sites[0].stats = row->stats;
	if (b->query->by != BY_PROCESS)
		label_row(d);
	builder__name_row(b, d);
	err = count_processes(d);
	if (!err)
		err = builder__blame_row(b, d);
	return err ? err : find_holders(b, d);
}
