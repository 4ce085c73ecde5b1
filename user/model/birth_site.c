// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/birth_site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 128

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

static size_t name_frames(struct symbolizer *symbolizer, struct sym_process *names,
			  const struct agg_stack *stack, struct sym_frame *ret)
{
	size_t cnt = 0, before;

	for (size_t i = 0; i < stack->frames && cnt < FRAMES_MAX; i++) {
		before = cnt;
		cnt += symbolizer__frames(symbolizer, names, stack->pcs[i], i == 0, true, ret + cnt,
					  FRAMES_MAX - cnt);
		for (; before < cnt; before++)
			ret[before].guessed = i >= stack->exact;
	}
	return cnt;
}

int birth_site__name(const struct lt_site *site, const struct aggregate *aggregate,
		     struct symbolizer *symbolizer, struct birth_site *ret)
{
	struct sym_process *names = site->process->names ? site->process->names->names : NULL;
	struct birth_site s = { .site = site, .api = -1 };
	const struct agg_stack *stack = NULL;
	struct sym_frame frames[FRAMES_MAX];

	if (names && site->stack_id)
		stack = aggregate__stack(aggregate, site->stack_id);
	if (stack) {
		s.cnt = name_frames(symbolizer, names, stack, frames);
		s.whole = stack->flags & HU_STACK_COMPLETE;
	}
	s.frames = malloc((s.cnt + 1) * sizeof(*s.frames));
	if (!s.frames)
		return -ENOMEM;
	memcpy(s.frames, frames, s.cnt * sizeof(*frames));
	for (size_t i = 0; i < s.cnt; i++)
		if (creates(&s.frames[i]))
			s.api = i;
	*ret = s;
	return 0;
}
