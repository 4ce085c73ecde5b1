// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/leftovers.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/target/helper_threads.h"

struct building {
	const struct leftovers_input *in;
	struct leftovers *l;
	size_t cap;
};

bool leftovers__ignored(const char *const *ignore, size_t ignore_cnt,
			const struct sym_frame *frames, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		for (size_t n = 0; n < ignore_cnt; n++)
			if ((*frames[i].function && !fnmatch(ignore[n], frames[i].function, 0)) ||
			    (*frames[i].raw && !fnmatch(ignore[n], frames[i].raw, 0)))
				return true;
	return false;
}

/* ---- births */

static const struct left_birth *birth_of_tid(const struct leftovers_input *in, uint32_t tid)
{
	for (size_t i = 0; i < in->birth_cnt; i++)
		if (in->birth[i].tid == tid && !in->birth[i].unjoined)
			return &in->birth[i];
	return NULL;
}

static const struct left_birth *birth_of_descriptor(const struct leftovers_input *in,
						    uint64_t descriptor, uint64_t start)
{
	/* The youngest that had it: stacks are used again. */
	for (size_t i = in->birth_cnt; i--;)
		if (in->birth[i].tp == descriptor && in->birth[i].unjoined)
			return &in->birth[i];
	/* On other machines than x86-64 the thread pointer is not the descriptor's address. */
	for (size_t i = in->birth_cnt; i--;)
		if (in->birth[i].start == start && start && in->birth[i].unjoined)
			return &in->birth[i];
	return NULL;
}

static uint64_t start_of_tid(const struct leftovers_input *in, const struct snap_thread *t)
{
	if (!in->libc || t->process->in_pid_namespace)
		return 0;
	for (size_t i = 0; i < in->libc->cnt; i++)
		if (in->libc->thread[i].tid == t->rec.tid)
			return in->libc->thread[i].start;
	return 0;
}

/* ---- groups */

static void name_start(const struct building *b, struct left_group *g)
{
	static const struct sym_frame none = { "", "", "", "", 0, 0, false, false };

	g->start = none;
	if (g->start_pc && b->in->names)
		symbolizer__frames(b->in->symbolizer, b->in->names, g->start_pc, true, true,
				   &g->start, 1);
}

/* Those that run are alike wherever they are just now, if it is known what they were started for. */
static bool same_stack(const struct left_group *a, const struct left_group *b)
{
	const struct named_stack *x = a->thread ? a->thread->stack : NULL;
	const struct named_stack *y = b->thread ? b->thread->stack : NULL;

	return x == y || (a->kind == LEFT_RUNNING && a->start_pc && a->thread && b->thread);
}

static bool same_group(const struct left_group *a, const struct left_group *b)
{
	return a->kind == b->kind && a->kind != LEFT_DIED_HOLDING && a->start_pc == b->start_pc &&
	       a->site == b->site && same_stack(a, b);
}

/* Whether it is to be left out, and why: asked of a group's first thread only, since names take time. */
static enum left_out is_left_out(const struct building *b, const struct left_group *g)
{
	const struct leftovers_input *in = b->in;
	const struct named_stack *stack = g->thread ? g->thread->stack : NULL;
	const struct sym_frame *frames = stack ? stack->frames : NULL;
	size_t cnt = stack ? stack->frame_cnt : 0;
	bool has_start = *g->start.function || *g->start.module;

	if (g->kind == LEFT_DIED_HOLDING)
		return LEFT_IN;
	if (target__helper_thread(g->comm, has_start ? &g->start : NULL, frames, cnt))
		return LEFT_HELPER;
	if (leftovers__ignored(in->ignore, in->ignore_cnt, &g->start, has_start) ||
	    leftovers__ignored(in->ignore, in->ignore_cnt, g->created_by, g->created_cnt) ||
	    leftovers__ignored(in->ignore, in->ignore_cnt, frames, cnt))
		return LEFT_IGNORED;
	return LEFT_IN;
}

static int add(struct building *b, const struct left_group *g)
{
	struct leftovers *l = b->l;
	size_t cap = b->cap ? 2 * b->cap : 8;
	struct left_group *more;

	for (size_t i = 0; i < l->cnt; i++)
		if (same_group(&l->group[i], g)) {
			l->group[i].cnt++;
			l->group[i].stack_bytes += g->stack_bytes;
			return 0;
		}
	if (l->cnt == b->cap) {
		more = reallocarray(l->group, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->group = more;
		b->cap = cap;
	}
	l->group[l->cnt] = *g;
	l->group[l->cnt].cnt = 1;
	name_start(b, &l->group[l->cnt]);
	l->group[l->cnt].out = is_left_out(b, &l->group[l->cnt]);
	l->cnt++;
	return 0;
}

static void set_birth(struct left_group *g, const struct left_birth *birth)
{
	if (!birth)
		return;
	if (birth->start)
		g->start_pc = birth->start;
	g->site = birth->site;
	g->created_by = birth->created_by;
	g->created_cnt = birth->created_cnt;
}

/* ---- threads that live */

static enum left_kind kind_of(const struct blocked_thread *t)
{
	if (t->state == BLOCKED_RUNNING || t->state == BLOCKED_RUNNABLE || t->timed ||
	    t->thread->moved)
		return LEFT_RUNNING;
	return LEFT_BLOCKED;
}

static int add_living(struct building *b, const struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;
	struct left_group g = {
		.kind = kind_of(t),
		.tid = rec->tid,
		.thread = t,
		.start_pc = start_of_tid(b->in, t->thread),
		.name = "",
	};

	memcpy(g.comm, rec->comm, sizeof(g.comm));
	g.comm[HU_COMM_LEN - 1] = '\0';
	set_birth(&g, birth_of_tid(b->in, rec->tid));
	return add(b, &g);
}

static int add_all_living(struct building *b)
{
	const struct leftovers_input *in = b->in;
	const struct stacks_report *r = in->stacks;
	int err = 0;

	for (size_t i = 0; r && i < r->thread_cnt && !err; i++) {
		const struct blocked_thread *t = &r->thread[i];
		const struct hu_thread_record *rec = &t->thread->rec;

		if (rec->tgid == in->tgid && rec->tid != in->tgid && rec->tid != in->last_tid &&
		    t->state != BLOCKED_EXITING)
			err = add_living(b, t);
	}
	return err;
}

static int add_ends(struct building *b)
{
	const struct leftovers_input *in = b->in;
	int err = 0;

	for (size_t i = 0; i < in->end_cnt && !err; i++) {
		struct left_group g = { .kind = LEFT_RUNNING,
					.start_pc = in->end[i].start,
					.site = in->end[i].site,
					.created_by = in->end[i].created_by,
					.created_cnt = in->end[i].created_cnt,
					.name = "" };

		err = add(b, &g);
		if (!err && b->l->cnt)
			b->l->group[b->l->cnt - 1].cnt = in->end[i].cnt;
	}
	return err;
}

/* ---- threads that ended */

static int add_ended(struct building *b, uint64_t start, uint64_t stack_sz,
		     const struct left_birth *birth)
{
	struct left_group g = {
		.kind = LEFT_UNJOINED,
		.start_pc = start,
		.stack_bytes = stack_sz,
		.tid = birth ? birth->tid : 0,
		.name = "",
	};

	set_birth(&g, birth);
	return add(b, &g);
}

/* What the C library itself says is exact; births tell of those that have no such list. */
static int add_unjoined(struct building *b)
{
	const struct leftovers_input *in = b->in;
	int err = 0;

	b->l->unjoined_known = in->libc || in->birth_cnt;
	for (size_t i = 0; in->libc && i < in->libc->cnt && !err; i++) {
		const struct libc_thread *t = &in->libc->thread[i];

		if (!t->tid)
			err = add_ended(b, t->start, t->stack_sz,
					birth_of_descriptor(in, t->descriptor, t->start));
	}
	for (size_t i = 0; !in->libc && i < in->birth_cnt && !err; i++)
		if (in->birth[i].unjoined)
			err = add_ended(b, in->birth[i].start, 0, &in->birth[i]);
	return err;
}

/* ---- locks of the dead */

/* Those that somebody waits for are findings of the look already. */
static bool is_waited_for(const struct leftovers_input *in, uint64_t address)
{
	const struct stacks_report *r = in->stacks;

	for (size_t i = 0; r && i < r->lock_cnt; i++)
		if (r->lock[i]->address == address && r->lock[i]->process->tgid == in->tgid)
			return true;
	return false;
}

static const char *name_mutex(const struct building *b, uint64_t address)
{
	struct sym_object object = { .name = "", .module = "" };

	if (b->in->names)
		symbolizer__object(b->in->symbolizer, b->in->names, address, &object);
	return symbolizer__object_name(b->in->symbolizer, &object);
}

static int add_dead_mutexes(struct building *b)
{
	const struct dead_mutexes *dead = b->in->dead;
	int err = 0;

	b->l->partial |= dead && dead->partial;
	for (size_t i = 0; dead && i < dead->cnt && !err; i++) {
		struct left_group g = {
			.kind = LEFT_DIED_HOLDING,
			.address = dead->mutex[i].address,
			.owner = dead->mutex[i].owner,
		};

		if (is_waited_for(b->in, g.address))
			continue;
		g.name = name_mutex(b, g.address);
		/* It may lie in memory that was freed with what was in it. */
		if (!*g.name) {
			b->l->unsure_locks++;
			continue;
		}
		err = add(b, &g);
	}
	return err;
}

/* ---- */

static int compare(const void *a, const void *b)
{
	const struct left_group *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->cnt != y->cnt)
		return x->cnt < y->cnt ? 1 : -1;
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Only what is to be told stays. */
static void drop_left_out(struct leftovers *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->cnt; i++) {
		if (l->group[i].out == LEFT_IN)
			l->group[kept++] = l->group[i];
		else if (l->group[i].out == LEFT_HELPER)
			l->helpers += l->group[i].cnt;
		else
			l->ignored += l->group[i].cnt;
	}
	l->cnt = kept;
}

int leftovers__build(const struct leftovers_input *in, struct leftovers **ret)
{
	struct building b = { .in = in, .l = calloc(1, sizeof(*b.l)) };
	int err;

	if (!b.l)
		return -ENOMEM;
	b.l->tgid = in->tgid;
	snprintf(b.l->comm, sizeof(b.l->comm), "%s", in->comm);
	b.l->partial = in->libc && in->libc->partial;
	err = add_all_living(&b);
	if (!err)
		err = add_ends(&b);
	if (!err)
		err = add_unjoined(&b);
	if (!err)
		err = add_dead_mutexes(&b);
	if (err) {
		leftovers__free(b.l);
		return err;
	}
	drop_left_out(b.l);
	if (b.l->cnt)
		qsort(b.l->group, b.l->cnt, sizeof(*b.l->group), compare);
	*ret = b.l;
	return 0;
}

void leftovers__free(struct leftovers *l)
{
	if (!l)
		return;
	free(l->group);
	free(l);
}
