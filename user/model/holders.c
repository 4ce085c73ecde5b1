// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/holders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/go_sampler.h"
#include "user/model/go_names.h"

#define FRAMES_MAX 256

/* Those of a Go program's threads end where the runtime says; how many frames there are. */
static size_t end_of(const struct agg_process *p, const struct agg_stack *stack, uint16_t *flags)
{
	size_t end = p->go ? go_target__end_of(p->go->target, stack->pcs, stack->frames) : 0;

	*flags = stack->flags;
	if (!end)
		return stack->frames;
	*flags |= HU_STACK_COMPLETE;
	*flags &= ~(HU_STACK_NOMAP | HU_STACK_NOROW | HU_STACK_BADREAD | HU_STACK_TRUNCATED);
	return end;
}

uint16_t stack__flags(const struct agg_process *p, const struct agg_stack *stack)
{
	uint16_t flags = 0;

	if (stack)
		end_of(p, stack, &flags);
	return flags;
}

size_t stack__frames(const struct aggregate *a, struct symbolizer *symbolizer,
		     const struct agg_process *p, uint64_t stack_id, bool lines,
		     struct sym_frame *ret, size_t cap, uint16_t *ret_flags)
{
	const struct agg_stack *stack = stack_id ? aggregate__stack(a, stack_id) : NULL;
	size_t cnt = 0, before, frames;

	*ret_flags = 0;
	if (!stack)
		return 0;
	frames = end_of(p, stack, ret_flags);
	if (!p->names)
		return 0;
	for (size_t i = 0; i < frames && cnt < cap; i++) {
		before = cnt;
		if (p->go)
			cnt += go_names__frames(symbolizer, p->go->target, stack->pcs[i], i == 0,
						lines, ret + cnt, cap - cnt);
		/* Go's code keeps frame pointers throughout: nothing is guessed. */
		if (cnt > before)
			continue;
		cnt += symbolizer__frames(symbolizer, p->names, stack->pcs[i], i == 0, lines,
					  ret + cnt, cap - cnt);
		for (; before < cnt; before++)
			ret[before].guessed = i >= stack->exact;
	}
	return cnt;
}

static struct lock_holder *find(struct lock_row *row, const struct agg_holder *h)
{
	for (size_t i = 0; i < row->holder_cnt; i++)
		if (row->holders[i].tid == h->tid && row->holders[i].owner == h->owner)
			return &row->holders[i];
	return NULL;
}

static int add(struct lock_row *row, const struct agg_holder *h)
{
	struct lock_holder *holder = find(row, h);
	void *more;

	if (!holder) {
		more = realloc(row->holders, (row->holder_cnt + 1) * sizeof(*holder));
		if (!more)
			return -ENOMEM;
		row->holders = more;
		holder = &row->holders[row->holder_cnt++];
		*holder = (struct lock_holder){
			.tgid = h->tgid, .tid = h->tid, .comm = "", .owner = h->owner
		};
	}
	holder->sleeps += h->sleeps;
	holder->wait_ns += h->ns;
	if (h->comm[0])
		holder->comm = h->comm;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct lock_holder *x = a, *y = b;

	if (x->wait_ns != y->wait_ns)
		return x->wait_ns < y->wait_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* The words that threads wait on at this row's sites. */
static bool is_word_of(const struct agg_site *const *site, size_t cnt,
		       const struct agg_process *process, uint64_t uaddr)
{
	for (size_t i = 0; i < cnt; i++)
		if (site[i]->uaddr == uaddr && site[i]->process == process)
			return true;
	return false;
}

/*
 * The stack at which the holder was seen most. One from leaving the CPU tells what it does with the lock; one
 * from a wake only where it lets go, so it counts where there is no other.
 */
static const struct agg_holder_stack *best_stack(const struct agg_site *const *site, size_t cnt,
						 const struct aggregate *a, uint32_t tid)
{
	const struct agg_holder_stack *h, *best = NULL;

	for (size_t i = 0; (h = table__next(&a->holders, &i));) {
		if (h->tid != tid || !is_word_of(site, cnt, h->process, h->uaddr))
			continue;
		if (!best || (h->why == HU_HOLDER_SWITCH && best->why != HU_HOLDER_SWITCH) ||
		    (h->why == best->why && h->cnt > best->cnt))
			best = h;
	}
	return best;
}

static int name_stack(struct lock_holder *holder, const struct agg_holder_stack *seen,
		      const struct aggregate *a, struct symbolizer *symbolizer)
{
	struct sym_frame frames[FRAMES_MAX];
	size_t n = stack__frames(a, symbolizer, seen->holder, seen->stack_id, true, frames,
				 FRAMES_MAX, &holder->stack_flags);

	holder->why = seen->why;
	if (!*holder->comm)
		holder->comm = seen->comm;
	if (!n)
		return 0;
	holder->frames = malloc(n * sizeof(*frames));
	if (!holder->frames)
		return -ENOMEM;
	memcpy(holder->frames, frames, n * sizeof(*frames));
	holder->frame_cnt = n;
	return 0;
}

int lock_row__find_holders(struct lock_row *row, const struct agg_site *const *site, size_t cnt,
			   const struct aggregate *a, struct symbolizer *symbolizer)
{
	const struct agg_holder_stack *seen;
	int err = 0;

	for (size_t i = 0; i < cnt; i++) {
		for (uint32_t h = 0; h < site[i]->holder_cnt && !err; h++)
			err = add(row, &site[i]->holder[h]);
		row->holder_unknown_ns += site[i]->holder_unknown_ns;
	}
	if (err || !row->holder_cnt)
		return err;
	qsort(row->holders, row->holder_cnt, sizeof(row->holders[0]), compare);
	for (size_t i = 0; i < row->holder_cnt && i < HOLDERS_SHOWN && !err; i++) {
		seen = best_stack(site, cnt, a, row->holders[i].tid);
		if (seen)
			err = name_stack(&row->holders[i], seen, a, symbolizer);
	}
	return err;
}

void lock_row__free_holders(struct lock_row *row)
{
	for (size_t i = 0; i < row->holder_cnt; i++)
		free(row->holders[i].frames);
	free(row->holders);
}
