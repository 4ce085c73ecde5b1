// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_golang.h"

#include <errno.h>
#include <stdlib.h>

#include "user/collect/proc.h"
#include "user/golang/go_binary.h"

int go_watch__new(const struct options *o, struct go_watch *ret)
{
	int err = 0;

	if (!o->pid_cnt)
		return 0;
	ret->watched = calloc(o->pid_cnt, sizeof(*ret->watched));
	ret->told = calloc(o->pid_cnt, sizeof(*ret->told));
	if (!ret->watched || !ret->told)
		return -ENOMEM;
	for (unsigned i = 0; i < o->pid_cnt && !err; i++) {
		struct go_watched *w = &ret->watched[ret->cnt];

		err = go_set__find(&ret->set, o->pids[i], &w->target);
		if (err || !w->target)
			continue;
		proc__comm(o->pids[i], o->pids[i], w->comm);
		ret->cnt++;
	}
	return err;
}

static int look_at(struct go_watched *w)
{
	int err = go_target__look(w->target);

	go_sched__free(&w->before);
	w->before = w->now;
	w->now = (struct go_sched){ 0 };
	if (err || !w->target->now)
		return err;
	err = go_sched__read(&w->target->process, w->target->now, &w->now);
	return err == -ENOMEM ? err : 0;
}

int go_watch__look(struct go_watch *watch)
{
	int err = 0;

	for (size_t i = 0; i < watch->cnt && !err; i++) {
		struct go_watched *w = &watch->watched[i];
		const char *why = w->target->why;

		err = look_at(w);
		if (!w->now.at_ns && !*why)
			why = "its scheduler can't be read";
		watch->told[i] = (struct threads_golang){
			.pid = w->target->tgid,
			.comm = w->comm,
			.version = w->target->binary->version,
			.why = w->now.at_ns ? "" : why,
			.before = w->before.at_ns ? &w->before : NULL,
			.now = w->now.at_ns ? &w->now : NULL,
		};
	}
	return err;
}

void go_watch__free(struct go_watch *watch)
{
	for (size_t i = 0; i < watch->cnt; i++) {
		go_sched__free(&watch->watched[i].before);
		go_sched__free(&watch->watched[i].now);
		go_target__free(watch->watched[i].target);
	}
	free(watch->watched);
	free(watch->told);
	go_set__free(&watch->set);
}
