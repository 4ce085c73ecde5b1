// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/go_sampler.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_wait.h"
#include "user/util/clock.h"

#define SECOND_NS 1000000000ULL

/* How often, and which part of a CPU they may take: one in so many. */
static const struct {
	uint64_t period_ns, part;
} looks[GO_LOOKS] = {
	[GO_LOOK_SEMAPHORES] = { 20000000, 100 },
	[GO_LOOK_OTHERS] = { 100000000, 50 },
};
/*
 * What a look waited, for a CPU or for the target's address space, is no cost; but who looks takes in events as well,
 * and has four fifths of its time for them.
 */
#define REST 4

int go_sampler__new(struct go_set *set, pid_t tgid, uint64_t now_ns, struct go_sampler **ret)
{
	struct go_target *target;
	int err = go_set__find(set, tgid, &target);

	*ret = NULL;
	if (err || !target)
		return err;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret) {
		go_target__free(target);
		return -ENOMEM;
	}
	(*ret)->target = target;
	(*ret)->dice = hash__mix(now_ns, tgid);
	go_waits__init(&(*ret)->waits, now_ns);
	return 0;
}

void go_sampler__free(struct go_sampler *s)
{
	if (!s)
		return;
	go_snapshot__free(s->all);
	go_waits__free(&s->waits);
	go_counts__free(&s->counts);
	go_target__free(s->target);
	free(s);
}

void go_sampler__next(struct go_sampler *s)
{
	s->rejected = s->missed = 0;
	go_waits__next(&s->waits);
	go_counts__next(&s->counts);
}

/* ---- semaphores */

static int waiter_order(const void *key, const void *value)
{
	const struct go_sema_waiter *x = key;
	const struct go_goroutine *y = value;

	return x->g < y->addr ? -1 : x->g > y->addr;
}

static struct go_waiter describe(const struct go_goroutine *g, uint64_t word)
{
	return (struct go_waiter){ .g = g->addr,
				   .goid = g->goid,
				   .sp = g->sp,
				   .word = word,
				   .startpc = g->startpc,
				   .stack = g->stack,
				   .chans = g->chans,
				   .seq = g->seq,
				   .reason = g->reason };
}

/* Does it wait for what the table says, a moment later? Up to 1.25 it does not always tell for which semaphore. */
static bool waits_still(const struct go_goroutine *g, const struct go_sema_waiter *w)
{
	return g && g->stack && (g->status == GO_WAITING || g->status == GO_LEAKED) && !g->chans &&
	       (!g->sema || g->sema == w->sema);
}

static int add_semaphores(struct go_sampler *s, const struct go_sema_waiter *listed, size_t cnt)
{
	uint64_t *addr = malloc((cnt + 1) * sizeof(*addr)), at_ns = clock__now_ns();
	struct go_waiter *waiter = calloc(cnt + 1, sizeof(*waiter));
	struct go_snapshot *snapshot = NULL;
	int err = addr && waiter ? 0 : -ENOMEM;

	for (size_t i = 0; i < cnt && !err; i++)
		addr[i] = listed[i].g;
	if (!err && cnt)
		err = go_snapshot__take_some(&s->target->process, addr, cnt, &snapshot);
	for (size_t i = 0; i < cnt && !err; i++) {
		const struct go_goroutine *g =
			bsearch(&listed[i], snapshot->goroutine, snapshot->cnt,
				sizeof(snapshot->goroutine[0]), waiter_order);

		waiter[i] =
			waits_still(g, &listed[i])
				? describe(g, listed[i].sema)
				: (struct go_waiter){ .g = listed[i].g, .word = listed[i].sema };
	}
	if (!err)
		err = go_waits__add(&s->waits, GO_LOOK_SEMAPHORES, at_ns, waiter, cnt);
	if (snapshot)
		s->rejected += snapshot->rejected;
	go_snapshot__free(snapshot);
	free(waiter);
	free(addr);
	return err;
}

static int look_at_semaphores(struct go_sampler *s)
{
	struct go_sema_waiter *listed;
	size_t cnt;
	int err = go_semtable__read(&s->target->process, &s->table, &listed, &cnt);

	if (err)
		return err;
	s->missed += s->table.missed;
	err = add_semaphores(s, listed, cnt);
	free(listed);
	return err;
}

/* ---- everything else */

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* What goroutines wait for by one another: waitReasonStrings in src/runtime/runtime2.go. */
static void choose_reasons(const struct go_sampler *s, bool ret[GO_REASONS_MAX])
{
	for (size_t i = 0; i < GO_REASONS_MAX; i++) {
		const char *reason = go_process__reason(&s->target->process, i);
		bool sema = go_wait__is_semaphore(reason);

		ret[i] = begins(reason, "chan ") || begins(reason, "select") ||
			 begins(reason, "sync.Cond") || (sema && !s->table.addr && !s->counted);
	}
}

static int add_others(struct go_sampler *s, const struct go_snapshot *all)
{
	struct go_waiter *waiter = calloc(all->cnt + 1, sizeof(*waiter));
	bool wanted[GO_REASONS_MAX];
	size_t cnt = 0;
	int err;

	if (!waiter)
		return -ENOMEM;
	choose_reasons(s, wanted);
	for (size_t i = 0; i < all->cnt; i++) {
		const struct go_goroutine *g = &all->goroutine[i];
		bool waits = g->status == GO_WAITING || g->status == GO_LEAKED;

		if (!waits || !g->stack || g->reason >= GO_REASONS_MAX || !wanted[g->reason])
			continue;
		waiter[cnt++] = describe(g, g->chans == 1 ? all->chan[g->chan_at] : g->sema);
	}
	err = go_waits__add(&s->waits, GO_LOOK_OTHERS, all->taken_ns, waiter, cnt);
	free(waiter);
	return err;
}

/* A stripped program's table can be told only while somebody waits there. */
static void find_table(struct go_sampler *s, uint64_t now_ns)
{
	if (s->table.addr || s->counted || now_ns < s->retry_ns || !s->all)
		return;
	s->retry_ns = now_ns + SECOND_NS;
	if (!go_semtable__find(&s->target->process, s->all, &s->table))
		go_waits__start(&s->waits, GO_LOOK_SEMAPHORES, s->all->taken_ns);
}

static int look_at_others(struct go_sampler *s)
{
	struct go_snapshot *all;
	int err = go_snapshot__again(&s->target->process, s->all, &all);

	if (err)
		return err;
	go_snapshot__free(s->all);
	s->all = all;
	s->rejected += all->rejected;
	err = add_others(s, all);
	if (!err)
		find_table(s, all->taken_ns);
	return err;
}

/* ---- when */

/* From a half to one and a half of it: what the program does regularly is not met at the same point each time. */
static uint64_t vary(struct go_sampler *s, uint64_t ns)
{
	s->dice = hash__mix(s->dice, ns);
	return ns / 2 + s->dice % ns;
}

static bool wanted(const struct go_sampler *s, enum go_look look)
{
	return look == GO_LOOK_OTHERS || (s->table.addr && !s->counted);
}

static int take(struct go_sampler *s, enum go_look look, uint64_t all_cost_ns)
{
	uint64_t began_ns = clock__now_ns(), began_cpu_ns = clock__cpu_ns(), ended_ns, period;
	int err = look == GO_LOOK_OTHERS ? look_at_others(s) : look_at_semaphores(s);

	ended_ns = clock__now_ns();
	s->cost_ns[look] = clock__cpu_ns() - began_cpu_ns;
	if (all_cost_ns < s->cost_ns[look])
		all_cost_ns = s->cost_ns[look];
	period = all_cost_ns * looks[look].part;
	if (period < (ended_ns - began_ns) * REST)
		period = (ended_ns - began_ns) * REST;
	if (period < looks[look].period_ns)
		period = looks[look].period_ns;
	s->due_ns[look] = ended_ns + vary(s, period);
	return err;
}

/* Not understood now: it may just have begun, or be over. */
static bool is_open(struct go_sampler *s, uint64_t now_ns)
{
	if (s->over || s->target->open)
		return !s->over;
	s->over = kill(s->target->tgid, 0) && errno == ESRCH;
	if (s->over || now_ns < s->retry_ns)
		return false;
	s->retry_ns = now_ns + SECOND_NS / 4;
	go_target__open(s->target);
	if (!s->target->open)
		return false;
	s->retry_ns = 0;
	return true;
}

uint64_t go_sampler__due(const struct go_sampler *s)
{
	uint64_t due = UINT64_MAX;

	if (s->over)
		return due;
	if (!s->target->open)
		return s->retry_ns;
	for (int look = 0; look < GO_LOOKS; look++)
		if (wanted(s, look) && s->due_ns[look] < due)
			due = s->due_ns[look];
	return due;
}

int go_sampler__look(struct go_sampler *s, uint64_t now_ns, const uint64_t all_cost_ns[GO_LOOKS])
{
	int err = 0;

	for (int look = 0; look < GO_LOOKS && !err && is_open(s, now_ns); look++) {
		if (!wanted(s, look) || s->due_ns[look] > now_ns)
			continue;
		err = take(s, look, all_cost_ns[look]);
		if (err && err != -ENOMEM)
			s->over = kill(s->target->tgid, 0) && errno == ESRCH;
		if (err != -ENOMEM)
			err = 0;
	}
	return err;
}

int go_sampler__look_last(struct go_sampler *s, uint64_t now_ns)
{
	static const uint64_t no_cost[GO_LOOKS];

	memset(s->due_ns, 0, sizeof(s->due_ns));
	return go_sampler__look(s, now_ns, no_cost);
}
