// SPDX-License-Identifier: GPL-2.0-only
#include "user/last_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/collect/proc.h"
#include "user/live.h"
#include "user/util/clock.h"
#include "user/util/log.h"

#define BETWEEN_NS 20000000ULL	/* between the two looks */
#define EVERY_NS   50000000ULL	/* between looks at threads that may be about to end */
#define GRACE_NS   500000000ULL /* for those: as much as tools of this sort give elsewhere */

/* One process, and what its memory says. */
struct ending {
	const struct last_look *l;
	const struct exit_notice *notice;
	pid_t tgid;
	char comm[HU_COMM_LEN];
	struct sym_process *names;
	bool in_pid_namespace;
	struct target_memory memory;
	struct libc_threads libc;
	bool has_libc;
	struct dead_mutexes dead;
	bool has_dead;
	struct last_births births;
};

static void pause_for(uint64_t ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&ts, NULL);
}

/* ---- what its C library knows */

static bool has_ended(const struct libc_threads *t, uint64_t descriptor)
{
	for (size_t i = 0; i < t->cnt; i++)
		if (t->thread[i].descriptor == descriptor)
			return !t->thread[i].tid;
	return false;
}

/* A descriptor without a TID may be one that is just being made: only what stays so has ended. */
static void keep_ended(struct libc_threads *now, const struct libc_threads *before)
{
	size_t kept = 0;

	for (size_t i = 0; i < now->cnt; i++)
		if (now->thread[i].tid || has_ended(before, now->thread[i].descriptor))
			now->thread[kept++] = now->thread[i];
	now->cnt = kept;
}

static int read_libc(struct ending *e, struct libc_threads *ret)
{
	target_memory__set(&e->memory, e->tgid);
	return libc_threads__read(e->l->look->known.symbolizer, e->names, &e->memory, ret);
}

static int find_libc(struct ending *e)
{
	struct libc_threads before = { 0 };
	int err;

	libc_threads__free(&e->libc);
	e->has_libc = false;
	if (!e->names)
		return 0;
	err = read_libc(e, &before);
	if (!err && before.cnt)
		pause_for(BETWEEN_NS);
	if (!err)
		err = read_libc(e, &e->libc);
	if (!err) {
		keep_ended(&e->libc, &before);
		e->has_libc = true;
	}
	libc_threads__free(&before);
	return err == -ENOMEM ? err : 0;
}

static bool owner_is_gone(void *ctx, uint32_t owner)
{
	const struct ending *e = ctx;
	uint32_t tid = owner;

	if (e->in_pid_namespace && proc__by_inner_tid(e->tgid, owner, &tid))
		return true;
	/* Was it a thread of this process? Its shape alone does not tell. */
	if (!e->in_pid_namespace && e->l->deaths && !last_deaths__has(e->l->deaths, e->tgid, owner))
		return false;
	return !proc__lives(e->tgid, tid);
}

static int find_dead_mutexes(struct ending *e)
{
	int err;

	if (!e->names || e->has_dead)
		return 0;
	err = dead_mutexes__find(e->tgid, sym_process__maps(e->names), owner_is_gone, e, &e->dead);
	e->has_dead = !err;
	return err;
}

/* ---- */

static void find_process(struct ending *e)
{
	const struct stacks_report *r = e->l->look->report;

	e->names = NULL;
	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct snap_process *p = r->thread[i].thread->process;

		if (p->tgid != (uint32_t)e->tgid)
			continue;
		e->names = p->names;
		e->in_pid_namespace = p->in_pid_namespace;
		memcpy(e->comm, p->comm, sizeof(e->comm));
		return;
	}
}

static int build(struct ending *e, struct leftovers **ret)
{
	const struct look *look = e->l->look;
	const struct leftovers_input in = {
		.stacks = look->report,
		.symbolizer = look->known.symbolizer,
		.names = e->names,
		.tgid = e->tgid,
		.last_tid = e->notice->tid,
		.comm = e->comm,
		.libc = e->has_libc ? &e->libc : NULL,
		.dead = e->has_dead ? &e->dead : NULL,
		.birth = e->births.birth,
		.birth_cnt = e->births.cnt,
		.ignore = e->l->ignore,
		.ignore_cnt = e->l->ignore_cnt,
	};

	return leftovers__build(&in, ret);
}

static int find_births(struct ending *e)
{
	struct live *live = e->l->live;
	const struct lt_process *p;
	int err;

	if (!live)
		return 0;
	last_births__free(&e->births);
	err = live__poll(live, 0);
	p = err ? NULL : last_births__process(live, e->tgid);
	if (!p)
		return err;
	/* It may have been looked at before it had mapped its libraries; now all are there. */
	if (p->names && p->names->names)
		symbolizer__rescan(live->symbolizer, p->names->names);
	return last_births__take(live, p, &e->births);
}

static int look_once(struct ending *e, struct leftovers **ret)
{
	int err = look__take(e->l->look, BETWEEN_NS);

	if (err)
		return err;
	find_process(e);
	err = find_libc(e);
	if (!err)
		err = find_births(e);
	if (!err)
		err = find_dead_mutexes(e);
	return err ? err : build(e, ret);
}

static bool waits_still(const struct ending *e)
{
	return exits__waits(&e->l->look->program->exits, e->notice);
}

/* Most processes of a test run never have a second thread: a shell, its tools. They need not be looked at. */
static bool had_threads(const struct ending *e)
{
	struct live *live = e->l->live;

	if (!live || live__poll(live, 0) || live->losses[HU_LOSS_LIVES_FULL])
		return true;
	return last_births__process(live, e->tgid);
}

/* Again and again, as long as there is somebody left who may be about to end. */
static int look_for_long(struct ending *e, struct leftovers **ret)
{
	uint64_t end = clock__now_ns() + GRACE_NS;
	int err;

	for (;;) {
		leftovers__free(*ret);
		*ret = NULL;
		err = look_once(e, ret);
		if (err || !(*ret)->cnt || clock__now_ns() >= end || !waits_still(e))
			return err;
		pause_for(EVERY_NS);
	}
}

int last_look__take(const struct last_look *l, const struct exit_notice *notice,
		    last_look_tell_fn tell, void *ctx)
{
	struct ending *e = calloc(1, sizeof(*e));
	struct leftovers *left = NULL;
	int err;

	if (!e)
		return -ENOMEM;
	e->l = l;
	e->notice = notice;
	e->tgid = notice->tid ? proc__of_thread(notice->tid) : 0;
	if (!e->tgid) {
		free(e);
		return 0;
	}
	l->look->also = e->tgid;
	err = had_threads(e) ? look_for_long(e, &left) : 0;
	l->look->also = 0;
	if (!err && left)
		err = tell(ctx, left);
	leftovers__free(left);
	libc_threads__free(&e->libc);
	last_births__free(&e->births);
	free(e);
	return err;
}

/* ---- without having looked */

/* It has ended by itself, and had other threads than its first. */
static bool has_exited(const struct lt_process *p)
{
	return p->over && !p->by_exec && p->all.born &&
	       !(p->exit_code & 0x7f); /* wait(2): a signal */
}

static int build_of_dead(const struct last_look *l, const struct lt_process *p,
			 const struct last_births *births, struct leftovers **ret)
{
	const struct leftovers_input in = {
		.symbolizer = l->live->symbolizer,
		.names = p->names ? p->names->names : NULL,
		.tgid = p->tgid,
		.comm = p->comm,
		.birth = births->birth,
		.birth_cnt = births->cnt,
		.end = births->end,
		.end_cnt = births->end_cnt,
		.ignore = l->ignore,
		.ignore_cnt = l->ignore_cnt,
	};

	return leftovers__build(&in, ret);
}

int last_look__of_dead(const struct last_look *l, last_look_tell_fn tell, void *ctx)
{
	int err = live__poll(l->live, 0);

	for (const struct lt_process *p = l->live->lifetimes.processes; p && !err; p = p->next) {
		struct last_births births = { 0 };
		struct leftovers *left = NULL;

		if (!has_exited(p))
			continue;
		err = last_births__take(l->live, p, &births);
		if (!err)
			err = build_of_dead(l, p, &births, &left);
		if (!err && left->cnt)
			err = tell(ctx, left);
		leftovers__free(left);
		last_births__free(&births);
	}
	return err;
}
