// SPDX-License-Identifier: GPL-2.0-only
/* What every thread waits for, for people: findings first, then who waits for whom, then the rest. */
#include <errno.h>

#include "user/view/page.h"

#define CHAINS_SHOWN 10
#define LISTED_MAX   12 /* threads of one circle that are shown one by one */

static void print_blocked(const struct page *p, uint64_t ns)
{
	char t[TEXT_DURATION_SZ];

	if (ns)
		fputs(text__duration(ns, t), p->out);
	else
		fputs("?", p->out);
}

static void print_since(const struct page *p, const struct blocked_thread *t)
{
	if (!t->at_least_ns)
		return;
	fputs(", for ", p->out);
	print_blocked(p, t->at_least_ns);
}

/* "teller (4711)", "goroutine 17" */
static void print_who(const struct page *p, const struct blocked_thread *t)
{
	char name[NAME_SZ];

	if (t->goroutine)
		fprintf(p->out, "goroutine %llu", (unsigned long long)t->goroutine->goid);
	else
		fprintf(p->out, "%s (%u)", escaped(t->thread->rec.comm, name), t->thread->rec.tid);
}

static void print_process(const struct page *p, const struct snap_process *process)
{
	char name[NAME_SZ];

	fprintf(p->out, "%s (%u)", escaped(process->comm, name), process->tgid);
}

static void print_lock(const struct page *p, const struct waited_lock *lock)
{
	char name[NAME_SZ];

	if (*lock->label)
		fprintf(p->out, "%s", lock->label);
	else
		fputs(lock_kind__name(lock->kind), p->out);
	if (*lock->name)
		fprintf(p->out, " %s%s%s", p->bold, escaped(lock->name, name), p->plain);
	else if (lock->address)
		fprintf(p->out, " at 0x%llx", (unsigned long long)lock->address);
}

static void print_held_by(const struct page *p, const struct waited_lock *lock)
{
	switch (lock->held_by) {
	case HELD_OWNER:
	case HELD_TARGET:
		if (lock->owner) {
			fprintf(p->out, ", %s ",
				lock->held_by == HELD_OWNER ? "held by" : "for the end of");
			print_who(p, lock->owner);
		} else {
			fprintf(p->out, ", held by thread %u%s", lock->owner_word,
				lock->shared ? " of another process" : ", which is new");
		}
		break;
	case HELD_GONE:
		fprintf(p->out, ", %sheld by thread %u, which is gone%s", p->bold, lock->owner_word,
			p->plain);
		break;
	case HELD_NOBODY:
		fputs(", just released", p->out);
		break;
	case HELD_PROBABLE:
		fputs(", probably held by ", p->out);
		print_who(p, lock->owner);
		break;
	case HELD_UNKNOWN:
		break;
	}
}

/* Who keeps it waiting: who holds the lock, or a writer that readers have to let go first. */
static void print_behind(const struct page *p, const struct blocked_thread *t)
{
	if (t->goroutine && t->holder && t->holder != t->lock->owner) {
		fputs(", behind ", p->out);
		print_who(p, t->holder);
		fputs(", which waits to write", p->out);
	} else {
		print_held_by(p, t->lock);
	}
}

/* "read from pipe:[4711] (cat 812)", "mutex ledger_lock" */
static void print_wait(const struct page *p, const struct blocked_thread *t)
{
	char text[NAME_SZ];

	if (t->goroutine && (t->goroutine->status == GO_WAITING || t->lock)) {
		fputs(*t->call.call ? escaped(t->call.call, text) : "waiting", p->out);
		fputs(t->lock ? ", " : "", p->out);
	}
	if (t->lock) {
		print_lock(p, t->lock);
		return;
	}
	if (t->goroutine && t->goroutine->status == GO_WAITING)
		return;
	if (t->state == BLOCKED_RUNNABLE) {
		fputs("waiting for a CPU", p->out);
		return;
	}
	fputs(*t->call.call || *t->call.what ? t->call.call : "no call", p->out);
	if (*t->call.what)
		fprintf(p->out, "%s%s", *t->call.call ? " " : "", escaped(t->call.what, text));
	if (*t->kernel)
		fprintf(p->out, " (%s)", t->kernel);
}

void page__print_doing(const struct page *p, const struct blocked_thread *t)
{
	if (t->state == BLOCKED_RUNNING || t->state == BLOCKED_EXITING) {
		fputs(t->state == BLOCKED_RUNNING ? "runs" : "ends", p->out);
		return;
	}
	if (t->lock)
		fputs("waits for ", p->out);
	else if (t->state == BLOCKED_RUNNABLE || t->state == BLOCKED_STOPPED)
		fputs("is ", p->out);
	else
		fputs("sleeps in ", p->out);
	print_wait(p, t);
}

static void print_stack(const struct page *p, const struct blocked_thread *t)
{
	if (!t->stack) {
		fputs("(no stack)", p->out);
		return;
	}
	page__print_stack(p, t->stack->frames, t->stack->frame_cnt, t->api,
			  t->stack->stack->stack.flags & HU_STACK_COMPLETE);
}

/* ---- the first line */

static void print_coverage(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	const char *before = "";

#define TELL(n, ...)                                   \
	do {                                           \
		if (n) {                               \
			fprintf(p->out, "%s", before); \
			fprintf(p->out, __VA_ARGS__);  \
			before = ", ";                 \
		}                                      \
	} while (0)
	fprintf(p->out, " %s ", p->dot);
	TELL(r->coverage.locked, "%llu process%s with a locked address space not read",
	     (unsigned long long)r->coverage.locked, r->coverage.locked == 1 ? "" : "es");
	TELL(r->coverage.unreadable - r->coverage.locked, "%llu process%s could not be read",
	     (unsigned long long)(r->coverage.unreadable - r->coverage.locked),
	     r->coverage.unreadable - r->coverage.locked == 1 ? "" : "es");
	TELL(r->coverage.moved, "%llu thread%s would not hold still",
	     (unsigned long long)r->coverage.moved, plural(r->coverage.moved));
	TELL(r->coverage.stacks_incomplete, "%llu stack%s incomplete",
	     (unsigned long long)r->coverage.stacks_incomplete,
	     plural(r->coverage.stacks_incomplete));
	TELL(r->coverage.goroutines_moved, "%llu goroutine%s would not hold still",
	     (unsigned long long)r->coverage.goroutines_moved,
	     plural(r->coverage.goroutines_moved));
	TELL(r->coverage.go_unread, "goroutines of %llu Go program%s not read",
	     (unsigned long long)r->coverage.go_unread, plural(r->coverage.go_unread));
	TELL(r->coverage.times_unknown, "times not known");
	if (!*before)
		fputs("nothing missed", p->out);
#undef TELL
	fputc('\n', p->out);
}

static void print_head(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	size_t contended = 0, threads = r->thread_cnt - r->goroutine_cnt;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	for (size_t i = 0; i < r->thread_cnt; i++)
		contended += r->thread[i].lock && !r->thread[i].idle && !r->thread[i].go.patient;
	fprintf(p->out, "%s %s %s thread%s", text__duration(r->took_ns, t), p->dot,
		text__count(threads, n), plural(threads));
	if (r->goroutine_cnt)
		fprintf(p->out, " and %s goroutine%s", text__count(r->goroutine_cnt, n),
			plural(r->goroutine_cnt));
	fprintf(p->out, " of %zu process%s: ", r->processes, r->processes == 1 ? "" : "es");
	fprintf(p->out, "%s wait%s for locks, ", text__count(contended, n),
		contended == 1 ? "s" : "");
	fprintf(p->out, "%s idle, ", text__count(r->idle, n));
	fprintf(p->out, "%zu run%s", r->running + r->runnable,
		r->running + r->runnable == 1 ? "s" : "");
	if (r->deadlock_cnt)
		fprintf(p->out, " %s %s%zu deadlock%s%s", p->dot, p->bold, r->deadlock_cnt,
			plural(r->deadlock_cnt), p->plain);
	if (r->orphan_cnt)
		fprintf(p->out, " %s %s%zu orphaned lock%s%s", p->dot, p->bold, r->orphan_cnt,
			plural(r->orphan_cnt), p->plain);
	print_coverage(p);
	page__print_go(p);
}

/* ---- findings */

static void print_member(const struct page *p, const struct blocked_thread *t)
{
	fputs("   ", p->out);
	print_who(p, t);
	fputs(" waits for ", p->out);
	print_lock(p, t->lock);
	print_behind(p, t);
	print_since(p, t);
	fputc('\n', p->out);
}

static void print_deadlock(const struct page *p, const struct deadlock *d)
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
	print_process(p, process);
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
		print_stack(p, d->thread[i]);
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

static void print_orphan(const struct page *p, const struct waited_lock *lock)
{
	const struct blocked_thread *t = first_waiter(p->stacks, lock);

	fprintf(p->out, "\n%sORPHANED LOCK%s  ", p->bold, p->plain);
	print_lock(p, lock);
	fputs(" of ", p->out);
	print_process(p, lock->process);
	fprintf(p->out, ": thread %u, which holds it, is gone; %zu wait%s%s", lock->owner_word,
		lock->waiters, lock->waiters == 1 ? "s" : "", t && t->timed ? "" : " for ever");
	if (t) {
		print_since(p, t);
		fputs("\n      at ", p->out);
		print_stack(p, t);
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
	default:
		return "nobody else who could go on refers to it";
	}
}

static void print_stuck(const struct page *p, const struct stuck_wait *s)
{
	const struct blocked_thread *t = s->thread[0];

	fprintf(p->out, "\n%s%s%s  %zu goroutine%s of ", p->bold,
		s->certain ? "WAITS FOR EVER" : "PROBABLY WAITS FOR EVER", p->plain, s->cnt,
		plural(s->cnt));
	print_process(p, t->thread->process);
	fprintf(p->out, "\n   ");
	print_wait(p, t);
	print_since(p, t);
	fprintf(p->out, ": %s: %s\n   at ", s->certain ? "certain" : "probable", stuck_text(s));
	print_stack(p, t);
	fputc('\n', p->out);
	page__print_created(p, t, 3);
}

static void print_chain(const struct page *p, const struct wait_chain *c)
{
	const struct blocked_thread *t = c->root;

	fprintf(p->out, "   %s%zu %s%s%s behind ", p->bold, c->waiters,
		t->goroutine ? "goroutine" : "thread", plural(c->waiters), p->plain);
	print_who(p, t);
	fputs(" of ", p->out);
	print_process(p, t->thread->process);
	if (c->lock_cnt)
		fprintf(p->out, ", which %sholds ",
			c->lock[0]->held_by == HELD_PROBABLE ? "probably " : "");
	for (size_t i = 0; i < c->lock_cnt && i < 3; i++) {
		fputs(i ? " and " : "", p->out);
		print_lock(p, c->lock[i]);
	}
	if (c->lock_cnt > 3)
		fprintf(p->out, " and %zu more", c->lock_cnt - 3);
	fputs("\n      it ", p->out);
	if (t->state == BLOCKED_RUNNING) {
		fputs("runs, a moment ago in ", p->out);
		print_stack(p, t);
		fputc('\n', p->out);
		return;
	}
	page__print_doing(p, t);
	print_since(p, t);
	fputs("\n      at ", p->out);
	print_stack(p, t);
	fputc('\n', p->out);
}

static void print_chains(const struct page *p)
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

/* ---- groups */

static void print_span(const struct page *p, const struct blocked_group *g)
{
	char a[TEXT_DURATION_SZ], b[TEXT_DURATION_SZ], text[2 * TEXT_DURATION_SZ + 8];

	if (g->thread[0]->goroutine)
		page__bounds(p, g->least_ns, g->at_most_ns, text, sizeof(text));
	else if (!g->most_ns)
		snprintf(text, sizeof(text), "?");
	else if (!strcmp(text__duration(g->least_ns, a), text__duration(g->most_ns, b)))
		snprintf(text, sizeof(text), "%s", a);
	else
		snprintf(text, sizeof(text), "%s to %s", a, b);
	fprintf(p->out, "  %s%*s  ", text, (int)(19 - text__columns(text)), "");
}

/* "2 mutexes"; labels are names, which have no plural: "2 different ones: Rust Mutex". */
static void print_locks(const struct page *p, const struct waited_lock *lock, size_t cnt)
{
	const char *kind = lock_kind__name(lock->kind);
	size_t len = strlen(kind);

	if (*lock->label)
		fprintf(p->out, "%zu different ones: %s", cnt, lock->label);
	else
		fprintf(p->out, "%zu %s%s", cnt, kind,
			len && strchr("xsh", kind[len - 1]) ? "es" : "s");
}

static void print_group(const struct page *p, const struct blocked_group *g)
{
	const struct blocked_thread *t = g->thread[0];
	char name[NAME_SZ];

	fprintf(p->out, "%s%8zu%s", p->bold, g->cnt, p->plain);
	print_span(p, g);
	if (g->locks > 1) {
		if (t->goroutine)
			fprintf(p->out, "%s, ", escaped(t->call.call, name));
		print_locks(p, t->lock, g->locks);
	} else {
		print_wait(p, t);
	}
	if (t->lock && g->locks == 1)
		print_behind(p, t);
	fprintf(p->out, "  %s", t->goroutine ? "goroutine" : "");
	if (t->goroutine)
		fprintf(p->out, "%s of ", plural(g->cnt));
	print_process(p, t->thread->process);
	if (g->processes > 1)
		fprintf(p->out, " and %zu more", g->processes - 1);
	fprintf(p->out, "\n%31s", "");
	print_stack(p, t);
	fputc('\n', p->out);
	page__print_created(p, t, 31);
	if (p->style->verbose && t->stack)
		page__print_whole_stack(p, t->stack->frames, t->stack->frame_cnt,
					t->stack->stack->stack.flags & HU_STACK_COMPLETE);
}

static void print_groups(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	size_t shown = 0, idle_places = 0, left = 0;

	fprintf(p->out, "\n%s%8s  %-19s  %s%s\n", p->dim, "THREADS", "BLOCKED", "WAITING FOR, AT",
		p->plain);
	for (size_t i = 0; i < r->group_cnt; i++) {
		const struct blocked_thread *t = r->group[i].thread[0];

		if (t->state == BLOCKED_RUNNING || (t->own && !p->style->verbose))
			continue;
		if (t->idle && !r->query->idle) {
			idle_places++;
			continue;
		}
		if (shown++ < r->query->rows)
			print_group(p, &r->group[i]);
		else
			left++;
	}
	if (left)
		fprintf(p->out, "%8s  %zu more places (-n)\n", "", left);
	if (idle_places)
		fprintf(p->out, "%8zu  idle, in %zu place%s (--idle)\n", r->idle - r->own,
			idle_places, plural(idle_places));
	if (r->own)
		fprintf(p->out, "%8zu  thread%s that only serve%s a runtime (--idle -v)\n", r->own,
			plural(r->own), r->own == 1 ? "s" : "");
}

static void print_threads(const struct page *p)
{
	const struct stacks_report *r = p->stacks;

	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		fprintf(p->out, "\n%s", p->bold);
		print_who(p, t);
		fprintf(p->out, "%s of ", p->plain);
		print_process(p, t->thread->process);
		page__print_running_on(p, t);
		fprintf(p->out, " %s ", p->dot);
		if (t->state == BLOCKED_RUNNING) {
			fputs("runs\n", p->out);
			continue;
		}
		print_wait(p, t);
		if (t->lock)
			print_behind(p, t);
		fprintf(p->out, " %s ", p->dot);
		if (t->goroutine)
			page__print_bounds(p, t);
		else
			print_blocked(p, t->at_least_ns);
		fprintf(p->out, "%s\n", t->thread->moved ? ", moving" : "");
		if (t->stack)
			page__print_whole_stack(p, t->stack->frames, t->stack->frame_cnt,
						t->stack->stack->stack.flags & HU_STACK_COMPLETE);
		page__print_created(p, t, 22);
	}
}

int view__stacks_text(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);

	p.stacks = r;
	print_head(&p);
	for (size_t i = 0; i < r->deadlock_cnt; i++)
		print_deadlock(&p, &r->deadlock[i]);
	for (size_t i = 0; i < r->orphan_cnt; i++)
		print_orphan(&p, r->orphan[i]);
	for (size_t i = 0; i < r->stuck_cnt; i++)
		print_stuck(&p, &r->stuck[i]);
	print_chains(&p);
	if (r->query->all)
		print_threads(&p);
	else if (r->group_cnt)
		print_groups(&p);
	return ferror(out) ? -EIO : 0;
}

/* Who must act for it, and who for that one, until one waits for nobody, or for one that is named already. */
static void print_holders(const struct page *p, const struct blocked_thread *t)
{
	const struct blocked_thread *named[LISTED_MAX] = { t };

	for (size_t links = 1; (t = t->holder); links++) {
		for (size_t i = 0; i < links; i++) {
			if (named[i] == t) {
				fputs("\n   (in a circle)", p->out);
				return;
			}
		}
		if (links == LISTED_MAX) {
			fputs("\n   (and so on)", p->out);
			return;
		}
		named[links] = t;
		fputs("\n   ", p->out);
		print_who(p, t);
		fputc(' ', p->out);
		page__print_doing(p, t);
		fputs("\n   at ", p->out);
		print_stack(p, t);
	}
}

int view__blocked_thread(FILE *out, const struct blocked_thread *t, const struct view_style *style)
{
	struct page p = page__begin(out, style);

	fputs(p.bold, out);
	print_who(&p, t);
	fprintf(out, "%s of ", p.plain);
	print_process(&p, t->thread->process);
	fputc(' ', out);
	page__print_doing(&p, t);
	if (t->lock)
		print_held_by(&p, t->lock);
	print_since(&p, t);
	fputs("\n   at ", out);
	print_stack(&p, t);
	if (t->created) {
		fputc('\n', out);
		page__print_created(&p, t, 3);
	}
	print_holders(&p, t);
	fputs(t->created && !t->holder ? "\n" : "\n\n", out);
	return ferror(out) ? -EIO : 0;
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
		print_lock(p, t->lock);
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
	print_wait(p, t);
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
		print_lock(&p, lock);
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
