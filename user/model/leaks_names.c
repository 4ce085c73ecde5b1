// SPDX-License-Identifier: GPL-2.0-only
/* Where threads are created, in names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/leaks_build.h"

static bool site__is(const void *value, const void *key)
{
	return ((const struct leak_site *)value)->site == key;
}

/* The thread library's own part of a stack that creates a thread. */
static bool creates(const struct sym_frame *f)
{
	static const char *const names[] = { "pthread_create", "thrd_create", "create_thread",
					     "clone3",	       "clone",	      "clone_internal" };
	const char *name = f->raw + strspn(f->raw, "_");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (!strncmp(name, names[i], len) && (!name[len] || strchr("@.", name[len])))
			return true;
	}
	return false;
}

static size_t name_frames(const struct leaks_builder *b, struct sym_process *names,
			  const struct agg_stack *stack, struct sym_frame *ret)
{
	size_t cnt = 0, before;

	for (size_t i = 0; i < stack->frames && cnt < LEAK_FRAMES_MAX; i++) {
		before = cnt;
		cnt += symbolizer__frames(b->in->symbolizer, names, stack->pcs[i], i == 0, true,
					  ret + cnt, LEAK_FRAMES_MAX - cnt);
		for (; before < cnt; before++)
			ret[before].guessed = i >= stack->exact;
	}
	return cnt;
}

static int site__new(struct leaks_builder *b, const struct lt_site *site, struct leak_site **ret)
{
	const struct agg_stack *stack = NULL;
	struct sym_process *names = site->process->names ? site->process->names->names : NULL;
	struct sym_frame frames[LEAK_FRAMES_MAX];
	struct leak_site *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->site = site;
	s->api = -1;
	if (names && site->stack_id)
		stack = aggregate__stack(b->in->lifetimes->aggregate, site->stack_id);
	if (stack) {
		s->cnt = name_frames(b, names, stack, frames);
		s->whole = stack->flags & HU_STACK_COMPLETE;
	}
	s->frames = malloc((s->cnt + 1) * sizeof(*s->frames));
	err = s->frames ? table__add(&b->sites, hash__mix(0, (uintptr_t)site), s) : -ENOMEM;
	if (err) {
		free(s->frames);
		free(s);
		return err;
	}
	memcpy(s->frames, frames, s->cnt * sizeof(*frames));
	for (size_t i = 0; i < s->cnt; i++)
		if (creates(&s->frames[i]))
			s->api = i;
	*ret = s;
	return 0;
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
	struct leak_site *named;
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
