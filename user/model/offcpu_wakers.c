// SPDX-License-Identifier: GPL-2.0-only
/* Who ended a place's waits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/holders.h"
#include "user/model/offcpu_build.h"

/* kernel/time: hrtimer.c, sleep_timeout.c (timer.c), posix-timers.c, alarmtimer.c; fs/timerfd.c */
static const char *const timer_functions[] = { "hrtimer_wakeup",
					       "process_timeout",
					       "__hrtimer_run_queues",
					       "hrtimer_run_queues",
					       "call_timer_fn",
					       "__run_timers",
					       "posix_timer_fn",
					       "alarmtimer_fired",
					       "timerfd_tmrproc",
					       "it_real_fn",
					       NULL };
static const char *const softirq_functions[] = { "__do_softirq", "handle_softirqs", "do_softirq",
						 "net_rx_action", NULL };

const char *off_context__name(enum off_context context)
{
	static const char *const names[] = {
		[OFF_BY_NOBODY] = "nobody",	  [OFF_BY_A_THREAD] = "thread",
		[OFF_BY_SOFTIRQ] = "softirq",	  [OFF_BY_TIMER] = "timer",
		[OFF_BY_INTERRUPT] = "interrupt",
	};

	return names[context];
}

/* An interrupt's stack ends where it came in; a thread's own ends where that entered the kernel. */
static bool came_in(const struct off_kernel *k)
{
	static const char *const entries[] = { "asm_sysvec_", "asm_common_interrupt", "el0t_64_irq",
					       "el1h_64_irq", "el0t_64_fiq",	      "el1h_64_fiq",
					       NULL };

	return off_kernel__has(k, entries);
}

static enum off_context context_of(const struct hu_off_waker *w, const struct off_kernel *k)
{
	bool softirq = off_kernel__has(k, softirq_functions);

	if (off_kernel__has(k, timer_functions))
		return OFF_BY_TIMER;
	if (came_in(k))
		return softirq ? OFF_BY_SOFTIRQ : OFF_BY_INTERRUPT;
	if (softirq && w->tid)
		return OFF_BY_SOFTIRQ;
	/* Without names the kind of stack tells. */
	if (!w->tid || (!k->cnt && (w->flags & HU_OFF_WAKER_IRQ)))
		return OFF_BY_INTERRUPT;
	return OFF_BY_A_THREAD;
}

/* What a timer's interrupt went through before is the same for all, or chance: its handler is the last that counts. */
static void cut_timer(struct off_kernel *k)
{
	for (size_t i = 0; i < k->cnt; i++)
		for (const char *const *f = timer_functions; *f; f++)
			if (!strcmp(k->name[i], *f)) {
				k->cnt = i + 1;
				return;
			}
}

static int name_waker(struct off_builder *b, const struct off_waker *w, struct off_waker_row *ret)
{
	struct sym_frame frames[OFF_FRAMES_MAX];
	int err;

	*ret = (struct off_waker_row){ .comm = "", .process = "" };
	err = off_kernel__name(b, w->what.kernel_stack, true, &ret->kernel);
	if (err)
		return err;
	ret->context = context_of(&w->what, &ret->kernel);
	if (ret->context == OFF_BY_TIMER)
		cut_timer(&ret->kernel);
	ret->waits = w->what.wakes;
	ret->ns = w->what.ns;
	ret->samples = w->what.samples;
	ret->sampled = w->what.samples < w->what.wakes;
	/* What was interrupted has nothing to do with it. */
	if (ret->context == OFF_BY_TIMER || ret->context == OFF_BY_INTERRUPT ||
	    came_in(&ret->kernel))
		return 0;
	ret->tgid = w->what.tgid;
	ret->tid = w->what.tid;
	ret->comm = intern__add(b->report->strings, w->what.comm);
	ret->owner = w->process;
	ret->user_stack = w->what.user_stack;
	ret->process = w->process ? w->process->comm : "";
	if (!ret->comm)
		return -ENOMEM;
	if (!w->process)
		return 0;
	ret->frame_cnt = stack__frames(b->in->aggregate, b->in->symbolizer, w->process,
				       w->what.user_stack, false, frames, OFF_FRAMES_MAX,
				       &ret->stack_flags);
	ret->frames = malloc((ret->frame_cnt + 1) * sizeof(*frames));
	if (!ret->frames)
		return -ENOMEM;
	memcpy(ret->frames, frames, ret->frame_cnt * sizeof(*frames));
	return 0;
}

static bool waker__same(const struct off_waker_row *a, const struct off_waker_row *b)
{
	return a->context == b->context && a->tid == b->tid && a->tgid == b->tgid &&
	       off_kernel__equal(&a->kernel, &b->kernel) &&
	       off_frames__equal(a->frames, a->frame_cnt, b->frames, b->frame_cnt);
}

static void waker__clear(struct off_waker_row *w)
{
	free(w->frames);
	free(w->kernel.name);
}

static int add(struct off_builder *b, struct off_place *p, const struct off_waker *agg)
{
	struct off_waker_row row, *more;
	int err = name_waker(b, agg, &row);

	for (size_t i = 0; !err && i < p->waker_cnt; i++) {
		struct off_waker_row *w = &p->waker[i];

		if (!waker__same(w, &row))
			continue;
		w->waits += row.waits;
		w->ns += row.ns;
		w->samples += row.samples;
		w->sampled |= row.sampled;
		waker__clear(&row);
		return 0;
	}
	more = err ? NULL : reallocarray(p->waker, p->waker_cnt + 1, sizeof(*more));
	if (!more) {
		waker__clear(&row);
		return err ? err : -ENOMEM;
	}
	p->waker = more;
	p->waker[p->waker_cnt++] = row;
	b->report->coverage.wakers_sampled |= row.sampled;
	return 0;
}

int off_place__add_wakers(struct off_builder *b, const struct off_site *site, struct off_place *p)
{
	int err = 0;

	for (size_t i = 0; i < site->waker_cnt && !err; i++)
		err = add(b, p, &site->waker[i]);
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct off_waker_row *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/*
 * Samples tell shares: the sum is what was blocked and is over. Where waits began in an earlier interval that is less
 * than what their wakers ended.
 */
void off_place__finish_wakers(struct off_place *p)
{
	uint64_t sum = 0, over = p->stats.blocked_ns > p->ongoing_ns
					 ? p->stats.blocked_ns - p->ongoing_ns
					 : 0;

	for (size_t i = 0; i < p->waker_cnt; i++)
		sum += p->waker[i].ns;
	for (size_t i = 0; i < p->waker_cnt && sum; i++)
		p->waker[i].ns = (uint64_t)((double)p->waker[i].ns / sum * over);
	if (p->waker_cnt)
		qsort(p->waker, p->waker_cnt, sizeof(p->waker[0]), compare);
}
