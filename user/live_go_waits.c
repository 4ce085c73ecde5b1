// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_go_waits.h"

#include "user/collect/go_sampler.h"
#include "user/live_go_probes.h"
#include "user/util/clock.h"

#define ASK_EVERY_NS 1000000000ULL
#define TABLES_ROOM  (128u << 20) /* for programs that nobody has chosen by name */

static struct agg_process *next(const struct live *l, size_t *i)
{
	struct agg_process *p;

	do {
		p = table__next(&l->aggregate.processes, i);
	} while (p && !p->go);
	return p;
}

/* Waits count from when its process was first seen, or the measurement began. */
static int ask(struct live *l, struct agg_process *p)
{
	uint64_t from_ns = p->names_ns > l->go_began_ns ? p->names_ns : l->go_began_ns;
	int err;

	p->go_asked = true;
	if (p->gone || p->exited)
		return 0;
	err = go_sampler__new(&l->go_set, p->tgid, from_ns, &p->go);
	return err ? err : live_go_probes__adopt(l, p);
}

static int ask_new(struct live *l, uint64_t now_ns)
{
	struct agg_process *p;
	int err = 0;

	if (!l->go_began_ns) {
		l->go_began_ns = now_ns;
		l->go_set.room = l->opt->pid_cnt ? 0 : TABLES_ROOM;
	}
	if (l->aggregate.processes.cnt == l->go_asked && now_ns < l->go_ask_ns)
		return 0;
	l->go_asked = l->aggregate.processes.cnt;
	l->go_ask_ns = now_ns + ASK_EVERY_NS;
	for (size_t i = 0; !err && (p = table__next(&l->aggregate.processes, &i));)
		if (!p->go_asked)
			err = ask(l, p);
	return err;
}

int live_go__timeout(const struct live *l, int timeout_ms)
{
	uint64_t now_ns = clock__now_ns(), due_ns = now_ns + timeout_ms * 1000000ULL, at;
	const struct agg_process *p;

	if (!l->go_waits)
		return timeout_ms;
	for (size_t i = 0; (p = next(l, &i));) {
		at = go_sampler__due(p->go);
		if (at < due_ns)
			due_ns = at;
	}
	return due_ns > now_ns ? (due_ns - now_ns + 999999) / 1000000 : 0;
}

int live_go__poll(struct live *l)
{
	uint64_t now_ns = clock__now_ns(), cost_ns[GO_LOOKS] = { 0 };
	struct agg_process *p;
	int err;

	if (!l->go_waits)
		return 0;
	err = ask_new(l, now_ns);
	for (size_t i = 0; (p = next(l, &i));) {
		p->go->over |= p->gone || p->exited;
		for (int look = 0; look < GO_LOOKS && !p->go->over; look++)
			cost_ns[look] += p->go->cost_ns[look];
	}
	for (size_t i = 0; !err && (p = next(l, &i));)
		if (go_sampler__due(p->go) <= now_ns)
			err = go_sampler__look(p->go, clock__now_ns(), cost_ns);
	return err;
}

int live_go__settle(struct live *l)
{
	struct agg_process *p;
	int err = 0;

	for (size_t i = 0; !err && (p = next(l, &i));)
		err = go_sampler__look_last(p->go, clock__now_ns());
	return err;
}

void live_go__next(struct live *l)
{
	struct agg_process *p;

	for (size_t i = 0; (p = next(l, &i));)
		go_sampler__next(p->go);
}

void live_go__forget(struct agg_process *p)
{
	go_sampler__free(p->go);
	p->go = NULL;
	p->go_asked = false;
}

void live_go__close(struct live *l)
{
	struct agg_process *p;

	for (size_t i = 0; (p = next(l, &i));)
		live_go__forget(p);
	go_set__free(&l->go_set);
}
