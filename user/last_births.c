// SPDX-License-Identifier: GPL-2.0-only
#include "user/last_births.h"

#include <errno.h>
#include <stdlib.h>

#define DEATHS_MAX (1 << 20)

const struct lt_process *last_births__process(const struct live *l, uint32_t tgid)
{
	for (const struct lt_process *p = l->lifetimes.processes; p; p = p->next)
		if (p->tgid == tgid && !p->over && p->all.born)
			return p;
	return NULL;
}

static size_t count(const struct lt_process *p)
{
	size_t cnt = 0;

	for (const struct lt_site *site = p->sites; site; site = site->next)
		for (const struct lt_thread *t = site->threads; t; t = t->next)
			cnt++;
	return cnt;
}

/* Threads are youngest first in their site. */
static void add_threads(struct last_births *b, const struct lt_site *site,
			const struct birth_site *named)
{
	size_t first = named->cnt ? named->api + 1 : 0, from = b->cnt;

	for (const struct lt_thread *t = site->threads; t; t = t->next)
		b->birth[b->cnt++] = (struct left_birth){
			.tid = t->tid,
			.tp = t->tp,
			.start = t->start_routine ? t->start_routine : site->start_routine,
			.site = (uintptr_t)site,
			.created_by = named->frames + first,
			.created_cnt = named->cnt - first,
			.unjoined = lt_thread__unjoined(t) && !t->join_unsure,
		};
	for (size_t i = from, j = b->cnt; i + 1 < j--; i++) {
		struct left_birth swap = b->birth[i];

		b->birth[i] = b->birth[j];
		b->birth[j] = swap;
	}
}

static void add_end(struct last_births *b, const struct lt_site *site,
		    const struct birth_site *named)
{
	size_t first = named->cnt ? named->api + 1 : 0;

	if (site->all.ended[LT_WITH_PROCESS])
		b->end[b->end_cnt++] = (struct left_end){
			.cnt = site->all.ended[LT_WITH_PROCESS],
			.start = site->start_routine,
			.site = (uintptr_t)site,
			.created_by = named->frames + first,
			.created_cnt = named->cnt - first,
		};
}

int last_births__take(const struct live *l, const struct lt_process *p, struct last_births *ret)
{
	struct last_births b = { 0 };
	int err = 0;

	b.birth = calloc(count(p) + 1, sizeof(*b.birth));
	b.site = calloc(p->site_cnt + 1, sizeof(*b.site));
	b.end = calloc(p->site_cnt + 1, sizeof(*b.end));
	if (!b.birth || !b.site || !b.end)
		err = -ENOMEM;
	for (const struct lt_site *site = p->sites; site && !err && b.site_cnt < p->site_cnt;
	     site = site->next) {
		if (!site->threads && !site->all.ended[LT_WITH_PROCESS])
			continue;
		err = birth_site__name(site, &l->aggregate, l->symbolizer, &b.site[b.site_cnt]);
		if (err)
			break;
		add_threads(&b, site, &b.site[b.site_cnt]);
		if (p->over)
			add_end(&b, site, &b.site[b.site_cnt]);
		b.site_cnt++;
	}
	if (err)
		last_births__free(&b);
	else
		*ret = b;
	return err;
}

void last_births__free(struct last_births *b)
{
	for (size_t i = 0; i < b->site_cnt; i++)
		free(b->site[i].frames);
	free(b->site);
	free(b->end);
	free(b->birth);
	*b = (struct last_births){ 0 };
}

/* ---- the dead */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t key_of(uint32_t tgid, uint32_t tid)
{
	return (uint64_t)tgid << 32 | tid;
}

/* What finds no room is not known to be dead: less is found then. */
void last_deaths__note(void *deaths, const struct hu_death_record *rec)
{
	struct last_deaths *d = deaths;
	size_t cap = d->cap ? 2 * d->cap : 256;
	uint64_t *more;

	if (rec->tid == rec->tgid || d->cnt == DEATHS_MAX)
		return;
	if (d->cnt == d->cap) {
		more = reallocarray(d->key, cap, sizeof(*more));
		if (!more)
			return;
		d->key = more;
		d->cap = cap;
	}
	d->key[d->cnt++] = key_of(rec->tgid, rec->tid);
}

bool last_deaths__has(struct last_deaths *d, uint32_t tgid, uint32_t tid)
{
	uint64_t key = key_of(tgid, tid);

	if (d->sorted < d->cnt) {
		qsort(d->key, d->cnt, sizeof(*d->key), compare);
		d->sorted = d->cnt;
	}
	return d->cnt && bsearch(&key, d->key, d->cnt, sizeof(key), compare);
}

void last_deaths__free(struct last_deaths *d)
{
	free(d->key);
	*d = (struct last_deaths){ 0 };
}
