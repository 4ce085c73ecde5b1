// SPDX-License-Identifier: GPL-2.0-only
/* Deadlocks, orphaned locks, waits without an end, and who keeps others waiting: for people, and a line each for `check`. */
#include <errno.h>

#include "user/view/page.h"

#define CHAINS_SHOWN 10
#define LISTED_MAX   12 /* threads of one circle that are shown one by one */

static void print_member(const struct page *p, const struct blocked_thread *t)
{
	fputs("   ", p->out);
	page__print_who(p, t);
	fputs(" waits for ", p->out);
	page__print_waited_lock(p, t->lock);
	page__print_behind(p, t);
	page__print_since(p, t);
	fputc('\n', p->out);
}

void page__print_deadlock(const struct page *p, const struct deadlock *d)
{
	const struct snap_process *process = d->thread[0]->thread->process;
	const char *what = d->thread[0]->goroutine ? "goroutine" : "thread";
	bool several = false;

	for (size_t i = 1; i < d->cnt; i++)
		several |= d->thread[i]->thread->process != process;
	fprintf(p->out, "\n%s%s%s%s  ", p->bold, d->probable ? "PROBABLE " : "",
		d->cnt == 1 ? "SELF-DEADLOCK" : "DEADLOCK", p->plain);
	if (d->cnt == 1)
		fprintf(p->out, "a %s of ", what);
	else
		fprintf(p->out, "%zu %ss of ", d->cnt, what);
	page__print_process(p, process);
	if (several)
		fputs(" and others", p->out);
	fputs(d->cnt == 1 ? " waits for itself" : " wait for one another", p->out);
	if (d->behind)
		fprintf(p->out, ", %zu more behind %s", d->behind, d->cnt == 1 ? "it" : "them");
	fputc('\n', p->out);
	if (d->probable)
		fprintf(p->out, "   not certain: %s\n", d->probable);
	for (size_t i = 0; i < d->cnt && i < LISTED_MAX; i++)
		print_member(p, d->thread[i]);
	if (d->cnt > LISTED_MAX)
		fprintf(p->out, "   %zu more\n", d->cnt - LISTED_MAX);
	for (size_t i = 0; i < d->cnt && i < LISTED_MAX; i++) {
		fprintf(p->out, "   %-7llu at ",
			(unsigned long long)blocked_thread__id(d->thread[i]));
		page__print_thread_stack(p, d->thread[i]);
		fputc('\n', p->out);
	}
}

static const struct blocked_thread *first_waiter(const struct stacks_report *r,
						 const struct waited_lock *lock)
{
	const struct blocked_thread *first = NULL;

	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].lock == lock &&
		    (!first || r->thread[i].at_least_ns > first->at_least_ns))
			first = &r->thread[i];
	return first;
}

void page__print_orphan(const struct page *p, const struct waited_lock *lock)
{
	const struct blocked_thread *t = first_waiter(p->stacks, lock);

	fprintf(p->out, "\n%sORPHANED LOCK%s  ", p->bold, p->plain);
	page__print_waited_lock(p, lock);
	fputs(" of ", p->out);
	page__print_process(p, lock->process);
	fprintf(p->out, ": thread %u, which holds it, is gone; %zu wait%s%s", lock->owner_word,
		lock->waiters, lock->waiters == 1 ? "s" : "", t && t->timed ? "" : " for ever");
	if (t) {
		page__print_since(p, t);
		fputs("\n      at ", p->out);
		page__print_thread_stack(p, t);
	}
	fputc('\n', p->out);
}

static const char *stuck_text(const struct stuck_wait *s)
{
	switch (s->why) {
	case STUCK_NIL_SEND:
		return "it sends to a nil channel, which nobody can ever receive from";
	case STUCK_NIL_RECEIVE:
		return "it receives from a nil channel; meant so where it is the Done() of a "
		       "context "
		       "that never ends";
	case STUCK_ABANDONED:
		return "it is locked, and no goroutine is where it could have it: whoever locked "
		       "it has "
		       "returned or ended";
	case STUCK_LEAKED:
		return "Go's own garbage collector found that nobody who could go on refers to it";
	default:
		return "nobody else who could go on refers to it";
	}
}

static bool several_objects(const struct stuck_wait *s)
{
	for (size_t i = 1; i < s->cnt; i++)
		if (s->thread[i]->lock != s->thread[0]->lock)
			return true;
	return false;
}

void page__print_stuck(const struct page *p, const struct stuck_wait *s)
{
	const struct blocked_thread *t = s->thread[0];
	char name[NAME_SZ];

	fprintf(p->out, "\n%s%s%s  %zu goroutine%s of ", p->bold,
		s->certain ? "WAITS FOR EVER" : "PROBABLY WAITS FOR EVER", p->plain, s->cnt,
		plural(s->cnt));
	page__print_process(p, t->thread->process);
	fputs("\n   ", p->out);
	if (several_objects(s))
		fprintf(p->out, "%s, each for a %s of its own", escaped(t->call.call, name),
			lock_kind__name(t->go.kind));
	else
		page__print_wait(p, t);
	page__print_since(p, t);
	fprintf(p->out, ": %s: %s\n   at ", s->certain ? "certain" : "probable", stuck_text(s));
	page__print_thread_stack(p, t);
	fputc('\n', p->out);
	page__print_created(p, t, 3);
}

static void print_chain(const struct page *p, const struct wait_chain *c)
{
	const struct blocked_thread *t = c->root;

	fprintf(p->out, "   %s%zu %s%s%s behind ", p->bold, c->waiters,
		t->goroutine ? "goroutine" : "thread", plural(c->waiters), p->plain);
	page__print_who(p, t);
	fputs(" of ", p->out);
	page__print_process(p, t->thread->process);
	if (c->lock_cnt)
		fprintf(p->out, ", which %sholds ",
			c->lock[0]->held_by == HELD_PROBABLE ? "probably " : "");
	for (size_t i = 0; i < c->lock_cnt && i < 3; i++) {
		fputs(i ? " and " : "", p->out);
		page__print_waited_lock(p, c->lock[i]);
	}
	if (c->lock_cnt > 3)
		fprintf(p->out, " and %zu more", c->lock_cnt - 3);
	fputs("\n      it ", p->out);
	if (t->state == BLOCKED_RUNNING) {
		fputs("runs, a moment ago in ", p->out);
		page__print_thread_stack(p, t);
		fputc('\n', p->out);
		return;
	}
	page__print_doing(p, t);
	page__print_since(p, t);
	fputs("\n      at ", p->out);
	page__print_thread_stack(p, t);
	fputc('\n', p->out);
}

void page__print_chains(const struct page *p)
{
	const struct stacks_report *r = p->stacks;

	if (!r->chain_cnt)
		return;
	fprintf(p->out, "\n%sWAITING BEHIND ONE THREAD%s\n", p->bold, p->plain);
	for (size_t i = 0; i < r->chain_cnt && i < CHAINS_SHOWN; i++)
		print_chain(p, &r->chain[i]);
	if (r->chain_cnt > CHAINS_SHOWN)
		fprintf(p->out, "   %zu more\n", r->chain_cnt - CHAINS_SHOWN);
}

/* ---- `check`: a line each */

static void write_deadlock(const struct page *p, const struct deadlock *d)
{
	const struct snap_process *process = d->thread[0]->thread->process;
	char name[NAME_SZ];

	fprintf(p->out, "%s%sdeadlock: %u %s: ", d->probable ? "probable " : "",
		d->cnt == 1 ? "self-" : "", process->tgid, escaped(process->comm, name));
	for (size_t n = 0; n < d->cnt; n++) {
		const struct blocked_thread *t = d->thread[n];
		const char *what = t->goroutine ? "goroutine" : "tid";

		fprintf(p->out, "%s%s %llu waits for ", n ? "; " : "", what,
			(unsigned long long)blocked_thread__id(t));
		page__print_waited_lock(p, t->lock);
		fprintf(p->out, " held by %s %llu", what,
			(unsigned long long)blocked_thread__id(t->holder));
	}
	fputc('\n', p->out);
}

static void write_stuck(const struct page *p, const struct stuck_wait *s)
{
	const struct blocked_thread *t = s->thread[0];
	char name[NAME_SZ];

	fprintf(p->out, "waits for ever: %u %s: goroutine %llu", t->thread->process->tgid,
		escaped(t->thread->process->comm, name), (unsigned long long)blocked_thread__id(t));
	if (s->cnt > 1)
		fprintf(p->out, " and %zu more", s->cnt - 1);
	fputs(": ", p->out);
	page__print_wait(p, t);
	fprintf(p->out, ": %s\n", stuck_text(s));
}

int view__findings(FILE *out, const struct stacks_report *r)
{
	struct view_style plain = { .utf8 = false };
	struct page p = page__begin(out, &plain);
	char name[NAME_SZ];
	size_t stuck = 0;

	for (size_t i = 0; i < r->deadlock_cnt; i++)
		write_deadlock(&p, &r->deadlock[i]);
	for (size_t i = 0; i < r->orphan_cnt; i++) {
		const struct waited_lock *lock = r->orphan[i];

		fprintf(out, "orphaned lock: %u %s: ", lock->process->tgid,
			escaped(lock->process->comm, name));
		page__print_waited_lock(&p, lock);
		fprintf(out, " held by tid %u, which is gone; %zu waiting\n", lock->owner_word,
			lock->waiters);
	}
	for (size_t i = 0; i < r->stuck_cnt; i++) {
		if (!r->stuck[i].certain || !r->stuck[i].fault)
			continue;
		write_stuck(&p, &r->stuck[i]);
		stuck++;
	}
	return ferror(out) ? -EIO : (int)(r->deadlock_cnt + r->orphan_cnt + stuck);
}
