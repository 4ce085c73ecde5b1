// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_go_probes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/collect/go_sampler.h"
#include "user/collect/target.h"
#include "user/golang/go_read.h"
#include "user/util/log.h"

/* ---- attaching */

static int fail(const char *why, int err)
{
	log__msg("--go-probes: %s (%s)", why, strerror(-err));
	return err == -ENOTSUP || err == -EOPNOTSUPP || err == -EPERM || err == -EACCES
		       ? EXIT_UNSUPPORTED
		       : EXIT_FAILED;
}

static int attach(struct live_go_probes *g, pid_t tgid, int fd, const struct go_binary *b,
		  uint64_t text, const char **why)
{
	struct live_go_probed *p = &g->process[g->cnt];
	int err = go_probes__attach(g->probes, tgid, fd, b, text, &p->points, why);

	if (err)
		return err;
	p->tgid = tgid;
	g->cnt++;
	return 0;
}

/* -ENOENT: not a Go program. */
static int attach_running(struct live *l, pid_t tgid, const char **why)
{
	struct go_target *target;
	char exe[64];
	int fd, err = go_set__find(&l->go_set, tgid, &target);

	if (err || !target)
		return err ? err : -ENOENT;
	snprintf(exe, sizeof(exe), "/proc/%d/exe", tgid);
	fd = open(exe, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	*why = "its program can't be opened";
	if (!err)
		go_target__open(target);
	if (!err && !target->open) {
		log__msg("process %d: %s", tgid, target->why);
		*why = "its Go is not understood";
		err = -ENOTSUP;
	}
	if (!err)
		err = attach(&l->go_probes, tgid, fd, target->binary,
			     target->process.text - target->process.bias, why);
	if (fd >= 0)
		close(fd);
	go_target__free(target);
	return err;
}

/*
 * One that has not begun: where its text begins is known only where nothing but Go is in it. What is not so is found
 * out (go_points.h).
 */
static int attach_program(struct live *l, const char **why)
{
	const Elf64_Shdr *text;
	struct go_binary *b = NULL;
	int fd = program__open_file(l->opt->program[0]), err;

	*why = "the program can't be opened";
	if (fd < 0)
		return fd;
	err = go_binary__open(fd, &b);
	*why = err == -ENOENT ? "the program is not a Go program" : "its Go is not understood";
	text = err ? NULL : elf_file__section(b->elf, ".text");
	if (!err && !text)
		err = -ENOTSUP;
	if (!err)
		err = attach(&l->go_probes, l->program.pid, fd, b, text->sh_addr, why);
	go_binary__free(b);
	close(fd);
	return err == -ENOENT ? -ENOTSUP : err;
}

int live_go_probes__open(struct live *l)
{
	const struct options *o = l->opt;
	struct live_go_probes *g = &l->go_probes;
	const char *why = "out of memory";
	size_t probes, stepped;
	int err;

	if (!o->go_probes)
		return EXIT_FINE;
	g->process = calloc(o->pid_cnt + 1, sizeof(*g->process));
	err = g->process ? go_probes__open(&g->probes, &why) : -ENOMEM;
	if (!err && o->program)
		err = attach_program(l, &why);
	for (unsigned i = 0; i < o->pid_cnt && !err; i++) {
		err = attach_running(l, o->pids[i], &why);
		if (err == -ENOENT) {
			log__info("process %d is not a Go program", o->pids[i]);
			err = 0;
		}
	}
	if (!err && !g->cnt) {
		why = "none of the processes is a Go program";
		err = -ENOTSUP;
	}
	if (err)
		return fail(why, err);
	go_probes__placed(g->probes, &probes, &stepped);
	log__info("--go-probes: %zu probes, of which %zu are single-stepped", probes, stepped);
	return EXIT_FINE;
}

static const struct live_go_probed *probed(const struct live *l, uint32_t tgid)
{
	for (size_t i = 0; i < l->go_probes.cnt; i++)
		if ((uint32_t)l->go_probes.process[i].tgid == tgid)
			return &l->go_probes.process[i];
	return NULL;
}

/* ---- who waits already */

static int adopt_all(struct live *l, struct agg_process *p, const struct live_go_probed *of,
		     struct go_snapshot *s, uint64_t began_ns)
{
	struct go_probes *probes = l->go_probes.probes;
	const struct go_target *t = p->go->target;
	uint64_t site;
	int err = 0;

	for (size_t i = 0; i < s->cnt && err != -ENOMEM; i++) {
		const struct go_goroutine *g = &s->goroutine[i];

		if (!g->stack || !g->sema || !go_read__in_semaphore(&t->process, g))
			continue;
		if (go_probes__add_stack(probes, t->tgid, t->process.bias, &of->points,
					 g->stack->pcs, g->stack->frames, &site))
			site = 0;
		err = go_probes__adopt(probes, p->tgid, p->start, g->addr, g->sema, began_ns, site);
	}
	go_snapshot__recheck(&t->process, s);
	for (size_t i = 0; i < s->cnt; i++)
		if (!s->goroutine[i].steady && s->goroutine[i].sema)
			go_probes__disown(probes, p->tgid, s->goroutine[i].addr);
	return err == -ENOMEM ? err : 0;
}

int live_go_probes__adopt(struct live *l, struct agg_process *p)
{
	const struct live_go_probed *of = probed(l, p->tgid);
	struct go_snapshot *s;
	int err;

	if (!of || !p->go)
		return 0;
	p->go->counted = true;
	go_target__open(p->go->target);
	if (!p->go->target->open || l->has_program) /* it has not begun: nobody waits */
		return 0;
	err = go_snapshot__take(&p->go->target->process, &s);
	if (!err) {
		err = adopt_all(l, p, of, s, l->go_began_ns);
		go_snapshot__free(s);
	}
	return err == -ENOMEM ? err : 0;
}

/* ---- what was counted */

static struct go_counts *counts_of(struct live *l, uint32_t tgid, uint64_t start)
{
	struct agg_process *p = aggregate__find(&l->aggregate, tgid, start);

	return p && p->go && p->go->counted ? &p->go->counts : NULL;
}

static int on_wait(void *ctx, const struct hu_go_key *key, const struct hu_go_wait *wait)
{
	struct go_counts *c = counts_of(ctx, key->tgid, key->proc_start);

	return c ? go_counts__wait(c, key, wait) : 0;
}

static int on_release(void *ctx, const struct hu_go_release_key *key, const struct hu_go_release *r)
{
	struct go_counts *c = counts_of(ctx, key->tgid, key->proc_start);

	return c ? go_counts__release(c, key, r) : 0;
}

/* Who is about to be asked whether it waits still. */
struct waiting {
	struct live *live;
	struct agg_process *process;
	const struct go_snapshot *now;
	uint64_t until_ns;
};

static int by_address(const void *key, const void *value)
{
	uint64_t a = *(const uint64_t *)key, b = ((const struct go_goroutine *)value)->addr;

	return a < b ? -1 : a > b;
}

static int on_pending(void *ctx, const struct hu_go_waiter_key *key,
		      const struct hu_go_pending *pending)
{
	const struct waiting *w = ctx;
	const struct go_process *process = &w->process->go->target->process;
	const struct go_goroutine *g;

	if (key->tgid != w->process->tgid || pending->proc_start != w->process->start)
		return 0;
	g = bsearch(&key->g, w->now->goroutine, w->now->cnt, sizeof(*g), by_address);
	if (!g || !go_read__in_semaphore(process, g) || (g->sema && g->sema != pending->sema))
		return 0;
	return go_counts__ongoing(&w->process->go->counts, pending, w->until_ns,
				  w->live->aggregate.last);
}

static int take_pending(struct live *l, struct agg_process *p, uint64_t until_ns)
{
	struct waiting w = { l, p, NULL, until_ns };
	struct go_snapshot *s;
	int err;

	if (!p->go->target->open || p->exited)
		return 0;
	err = go_snapshot__take(&p->go->target->process, &s);
	if (err)
		return err == -ENOMEM ? err : 0;
	w.now = s;
	err = go_probes__pending(l->go_probes.probes, on_pending, &w);
	go_snapshot__free(s);
	return err;
}

static int keep_stack(struct live *l, struct go_sampler *s, uint64_t id)
{
	struct hu_go_stack stack;

	if (!id || go_counts__stack(&s->counts, id) || !s->target->open ||
	    go_probes__stack(l->go_probes.probes, id, &stack))
		return 0;
	go_probes__tidy(&s->target->process, &stack);
	return go_counts__keep_stack(&s->counts, id, &stack);
}

static int keep_stacks(struct live *l, struct go_sampler *s)
{
	const struct go_counted *place;
	int err = 0;

	for (size_t i = 0; !err && (place = table__next(&s->counts.places, &i));) {
		err = keep_stack(l, s, place->site);
		for (size_t k = 0; k < place->released_cnt && !err; k++)
			err = keep_stack(l, s, place->released[k].releaser);
	}
	return err;
}

int live_go_probes__settle(struct live *l, uint64_t until_ns)
{
	struct live_go_probes *g = &l->go_probes;
	uint64_t now[HU_GO_COUNTS];
	struct agg_process *p;
	int err;

	if (!g->probes)
		return 0;
	err = go_probes__waits(g->probes, on_wait, l);
	if (!err)
		err = go_probes__releases(g->probes, on_release, l);
	for (size_t i = 0; !err && (p = table__next(&l->aggregate.processes, &i));) {
		if (!p->go || !p->go->counted)
			continue;
		err = take_pending(l, p, until_ns);
		if (!err)
			err = keep_stacks(l, p->go);
	}
	if (!err)
		err = go_probes__counts(g->probes, now);
	if (err)
		return err;
	for (int i = 0; i < HU_GO_COUNTS; i++)
		g->counts[i] = now[i] - g->seen[i];
	memcpy(g->seen, now, sizeof(now));
	return 0;
}

void live_go_probes__detach(struct live *l)
{
	if (l->go_probes.probes)
		go_probes__detach(l->go_probes.probes);
}

void live_go_probes__close(struct live *l)
{
	go_probes__free(l->go_probes.probes);
	free(l->go_probes.process);
}
