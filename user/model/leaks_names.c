// SPDX-License-Identifier: GPL-2.0-only
/* Where threads are created, in names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/leaks_build.h"

static bool site__is(const void *value, const void *key)
{
	return ((const struct birth_site *)value)->site == key;
}

static int site__new(struct leaks_builder *b, const struct lt_site *site, struct birth_site **ret)
{
	struct birth_site *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (s)
		err = birth_site__name(site, b->in->lifetimes->aggregate, b->in->symbolizer, s);
	if (!err)
		err = table__add(&b->sites, hash__mix(0, (uintptr_t)site), s);
	if (err && s)
		free(s->frames);
	if (err)
		free(s);
	else
		*ret = s;
	return err;
}

/* In the words of whoever has looked at the process: where no birth was seen, that was the look. */
static void name_start(struct leaks_builder *b, struct leak_suspect *s, const struct lt_site *site,
		       uint64_t start)
{
	const struct stacks_report *r = b->in->stacks;
	struct symbolizer *symbolizer = b->in->symbolizer;
	struct sym_process *names = site->process->names ? site->process->names->names : NULL;

	for (size_t i = 0; i < r->thread_cnt && !names; i++)
		if (r->thread[i].thread->rec.tgid == site->process->tgid) {
			names = r->thread[i].thread->process->names;
			symbolizer = b->in->look_symbolizer;
			break;
		}
	if (names)
		symbolizer__frames(symbolizer, names, start, true, true, &s->start, 1);
}

int leaks__name_site(struct leaks_builder *b, struct leak_suspect *s, const struct lt_site *site,
		     uint64_t start)
{
	struct birth_site *named;
	int err = 0;

	if (!site)
		return 0;
	if (start)
		name_start(b, s, site, start);
	named = table__find(&b->sites, hash__mix(0, (uintptr_t)site), site__is, site);
	if (!named)
		err = site__new(b, site, &named);
	if (err)
		return err;
	s->created_by = named->frames;
	s->created_cnt = named->cnt;
	s->created_api = named->api;
	s->created_whole = named->whole;
	return 0;
}

const struct lt_thread *leaks__life_of(const struct leaks_builder *b,
				       const struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;

	return b->in->lifetimes ? lifetimes__thread(b->in->lifetimes, rec->tgid, rec->tid) : NULL;
}

const struct lt_site *leaks__site_of(const struct leaks_builder *b, const struct blocked_thread *t)
{
	const struct lt_thread *life = leaks__life_of(b, t);

	return life ? life->site : NULL;
}
