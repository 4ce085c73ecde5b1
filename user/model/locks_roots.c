// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where waits end: a holder that waits for another lock passes its share of the blame on to that one's holder, and
 * so on. The shares along the way multiply, so what is small is not followed and circles come to an end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"
#include "user/model/locks_build.h"
#include "user/target/call.h"

#define DEPTH_MAX   8
#define SHARE_LEAST 0.002 /* of a process's wait time; less is not followed */
#define ROOTS_MAX   32	  /* a process, while they are collected */
#define CAUSES_KEPT 3	  /* a process, in the report */
#define CAUSE_LEAST 0.05  /* of its wait time */

/* The same thing done with the same lock held. */
struct cause {
	uint64_t reason; /* without the descriptor: many files, one call */
	const struct blamed *last;
	const char *what;
	double ns, longest;
	const struct blamed *chain[DEPTH_MAX]; /* the heaviest way */
	size_t chain_cnt;
};

struct roots {
	struct builder *b;
	const struct agg_process *process;
	double all_ns; /* its wait time */
	struct cause cause[ROOTS_MAX];
	size_t cnt;
	const struct blamed *way[DEPTH_MAX];
	size_t depth;
};

static void add_cause(struct roots *r, uint64_t reason, const char *what, double ns)
{
	const struct blamed *last = r->way[r->depth - 1];
	struct cause *c = r->cause;

	if (HU_REASON_WHY(reason) == HU_WHY_CALL)
		reason = HU_REASON(HU_WHY_CALL, HU_REASON_NR(reason), 0);
	while (c < r->cause + r->cnt && (c->reason != reason || c->last != last))
		c++;
	if (c == r->cause + ROOTS_MAX)
		return;
	if (c == r->cause + r->cnt) {
		*c = (struct cause){ .reason = reason, .last = last, .what = what };
		r->cnt++;
	}
	if (strcmp(c->what, what))
		c->what = "";
	c->ns += ns;
	if (ns > c->longest) {
		c->longest = ns;
		memcpy(c->chain, r->way, sizeof(r->way));
		c->chain_cnt = r->depth;
	}
}

static bool on_way(const struct roots *r, const struct blamed *lock)
{
	for (size_t i = 0; i < r->depth; i++)
		if (r->way[i] == lock)
			return true;
	return false;
}

/* ns of waiting were for this lock: to whom do they go? */
static void follow(struct roots *r, const struct blamed *lock, double ns)
{
	const struct agg_blame *agg = lock->agg;
	double each;

	if (!agg || ns < SHARE_LEAST * r->all_ns)
		return;
	each = ns / agg_blame__total(agg);
	r->way[r->depth++] = lock;
	add_cause(r, HU_REASON(HU_WHY_RUNNING, 0, 0), "", each * agg->running_ns);
	add_cause(r, HU_REASON(HU_WHY_RUNNABLE, 0, 0), "", each * agg->runnable_ns);
	add_cause(r, HU_REASON(HU_WHY_HANDOVER, 0, 0), "", each * agg->handover_ns);
	for (size_t i = 0; i < agg->charge_cnt; i++) {
		const struct agg_charge *c = &agg->charge[i];
		const struct blamed *next = NULL;

		if (HU_REASON_WHY(c->reason) == HU_WHY_LOCK)
			next = builder__blamed(r->b, lock->process, HU_REASON_VALUE(c->reason));
		if (next && !next->idle && next->agg && r->depth < DEPTH_MAX && !on_way(r, next))
			follow(r, next, each * c->ns);
		else
			add_cause(r, c->reason, c->what, each * c->ns);
	}
	r->depth--;
}

/* ---- the function in which it happens, from the stacks that holders have shown */

/* The frame that makes this call; cnt: none does. */
static size_t calling_frame(const struct sym_frame *frames, size_t cnt, const char *call)
{
	size_t i = 0;

	/* libc's function is named after the call, or has that in its name: clock_nanosleep@@…, __libc_write. */
	while (i < cnt && i < 4 && !strstr(frames[i].function, call))
		i++;
	return i < cnt && i < 4 ? i : cnt;
}

static const char *function_of(const struct roots *r, const struct cause *c)
{
	const struct aggregate *a = r->b->in->aggregate;
	const char *call = call__name(HU_REASON_NR(c->reason)), *best = "";
	const struct agg_holder_stack *h;
	struct sym_frame frames[FRAMES_MAX];
	const struct sym_frame *caller;
	uint64_t most = 0;
	uint16_t flags;
	size_t cnt, at;

	if (HU_REASON_WHY(c->reason) != HU_WHY_CALL || !call)
		return "";
	for (size_t i = 0; (h = table__next(&a->holders, &i));) {
		if (h->why != HU_HOLDER_SWITCH || h->process != c->last->process ||
		    h->uaddr != c->last->uaddr || h->cnt <= most)
			continue;
		cnt = stack__frames(a, r->b->in->symbolizer, h->holder, h->stack_id, false, frames,
				    FRAMES_MAX, &flags);
		at = calling_frame(frames, cnt, call);
		caller = at < cnt ? frames__caller(frames, cnt, at) : NULL;
		if (!caller || !*caller->function)
			continue;
		most = h->cnt;
		best = caller->function;
	}
	return best;
}

/* ---- the report's */

static int compare_causes(const void *a, const void *b)
{
	const struct cause *x = a, *y = b;

	return x->ns < y->ns ? 1 : x->ns > y->ns ? -1 : 0;
}

static int tell(const struct roots *r, const struct cause *c, struct root_cause *ret)
{
	const char *call = HU_REASON_WHY(c->reason) == HU_WHY_CALL
				   ? call__name(HU_REASON_NR(c->reason))
				   : NULL;

	*ret = (struct root_cause){
		.process = r->process,
		.why = HU_REASON_WHY(c->reason),
		.call = call ? call : "",
		.what = c->what,
		.function = function_of(r, c),
		.wait_ns = (uint64_t)c->ns,
		.share = c->ns / r->all_ns,
		.chain = calloc(c->chain_cnt + 1, sizeof(char *)),
	};
	if (!ret->chain)
		return -ENOMEM;
	for (size_t i = 0; i < c->chain_cnt; i++)
		ret->chain[ret->chain_cnt++] = c->chain[i]->name;
	return 0;
}

static int add_roots(struct roots *r)
{
	struct locks_report *report = r->b->report;
	void *more =
		realloc(report->root, (report->root_cnt + CAUSES_KEPT) * sizeof(*report->root));
	int err = 0;

	if (!more)
		return -ENOMEM;
	report->root = more;
	qsort(r->cause, r->cnt, sizeof(r->cause[0]), compare_causes);
	for (size_t i = 0; i < r->cnt && i < CAUSES_KEPT && !err; i++) {
		if (r->cause[i].ns < CAUSE_LEAST * r->all_ns || r->cause[i].ns < 1)
			break;
		err = tell(r, &r->cause[i], &report->root[report->root_cnt]);
		report->root_cnt += !err;
	}
	return err;
}

static int find_roots_of(struct roots *r)
{
	const struct blamed *lock;

	for (size_t i = 0; (lock = table__next(&r->b->blames, &i));)
		if (lock->process == r->process && !lock->idle)
			r->all_ns += lock->wait_ns;
	if (!r->all_ns)
		return 0;
	for (size_t i = 0; (lock = table__next(&r->b->blames, &i));)
		if (lock->process == r->process && !lock->idle)
			follow(r, lock, lock->wait_ns);
	return add_roots(r);
}

static int compare_roots(const void *a, const void *b)
{
	const struct root_cause *x = a, *y = b;

	if (x->wait_ns != y->wait_ns)
		return x->wait_ns < y->wait_ns ? 1 : -1;
	return x->process->tgid < y->process->tgid ? -1 : x->process->tgid > y->process->tgid;
}

int builder__find_roots(struct builder *b)
{
	const struct aggregate *a = b->in->aggregate;
	struct agg_process *p;
	struct roots *r;
	int err = 0;

	if (!b->in->blame || !b->blames.cnt)
		return 0;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	for (size_t i = 0; !err && (p = table__next(&a->processes, &i));) {
		memset(r, 0, sizeof(*r));
		r->b = b;
		r->process = p;
		err = find_roots_of(r);
	}
	free(r);
	if (b->report->root_cnt)
		qsort(b->report->root, b->report->root_cnt, sizeof(b->report->root[0]),
		      compare_roots);
	return err;
}

void root_cause__free(struct root_cause *root)
{
	free(root->chain);
}
