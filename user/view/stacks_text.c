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
	char name[NAME_SZ];

	switch (lock->held_by) {
	case HELD_OWNER:
	case HELD_TARGET:
		if (lock->owner)
			fprintf(p->out, ", %s %s (%u)",
				lock->held_by == HELD_OWNER ? "held by" : "for the end of",
				escaped(lock->owner->thread->rec.comm, name),
				lock->owner->thread->rec.tid);
		else
			fprintf(p->out, ", held by thread %u%s", lock->owner_word,
				lock->shared ? " of another process" : ", which is new");
		break;
	case HELD_GONE:
		fprintf(p->out, ", %sheld by thread %u, which is gone%s", p->bold, lock->owner_word,
			p->plain);
		break;
	case HELD_NOBODY:
		fputs(", just released", p->out);
		break;
	case HELD_UNKNOWN:
		break;
	}
}

/* "read from pipe:[4711] (cat 812)", "mutex ledger_lock" */
static void print_wait(const struct page *p, const struct blocked_thread *t)
{
	char text[NAME_SZ];

	if (t->lock) {
		print_lock(p, t->lock);
		return;
	}
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

/* The same as what a thread does: "sleeps in fdatasync", "waits for mutex ledger_lock". */
static void print_doing(const struct page *p, const struct blocked_thread *t)
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

/* With -v the kernel's part stands above. */
static void print_whole_stack(const struct page *p, const struct blocked_thread *t)
{
	char name[NAME_SZ];

	for (size_t i = 0; p->style->verbose && i < t->kernel_cnt; i++)
		fprintf(p->out, "%22s%s (kernel)\n", "",
			*t->kernel_stack[i] ? escaped(t->kernel_stack[i], name) : "?");
	if (t->stack)
		page__print_whole_stack(p, t->stack->frames, t->stack->frame_cnt,
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
	TELL(r->coverage.born, "%llu thread%s began meanwhile",
	     (unsigned long long)r->coverage.born, plural(r->coverage.born));
	TELL(r->coverage.stacks_incomplete, "%llu stack%s incomplete",
	     (unsigned long long)r->coverage.stacks_incomplete,
	     plural(r->coverage.stacks_incomplete));
	TELL(r->coverage.times_unknown, "times not known");
	if (!*before)
		fputs("nothing missed", p->out);
#undef TELL
	fputc('\n', p->out);
}

static void print_head(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	size_t contended = 0;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	for (size_t i = 0; i < r->thread_cnt; i++)
		contended += r->thread[i].lock && !r->thread[i].idle;
	fprintf(p->out, "%s %s %s thread%s of %zu process%s: ", text__duration(r->took_ns, t),
		p->dot, text__count(r->thread_cnt, n), plural(r->thread_cnt), r->processes,
		r->processes == 1 ? "" : "es");
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
}

/* ---- findings */

static void print_member(const struct page *p, const struct blocked_thread *t)
{
	char name[NAME_SZ];

	fprintf(p->out, "   %s (%u) waits for ", escaped(t->thread->rec.comm, name),
		t->thread->rec.tid);
	print_lock(p, t->lock);
	print_held_by(p, t->lock);
	print_since(p, t);
	fputc('\n', p->out);
}

static void print_deadlock(const struct page *p, const struct deadlock *d)
{
	const struct snap_process *process = d->thread[0]->thread->process;
	bool several = false;

	for (size_t i = 1; i < d->cnt; i++)
		several |= d->thread[i]->thread->process != process;
	fprintf(p->out, "\n%s%s%s  ", p->bold, d->cnt == 1 ? "SELF-DEADLOCK" : "DEADLOCK",
		p->plain);
	if (d->cnt == 1)
		fputs("a thread of ", p->out);
	else
		fprintf(p->out, "%zu threads of ", d->cnt);
	print_process(p, process);
	if (several)
		fputs(" and others", p->out);
	fputs(d->cnt == 1 ? " waits for itself" : " wait for one another", p->out);
	if (d->behind)
		fprintf(p->out, ", %zu more behind %s", d->behind, d->cnt == 1 ? "it" : "them");
	fputc('\n', p->out);
	for (size_t i = 0; i < d->cnt && i < LISTED_MAX; i++)
		print_member(p, d->thread[i]);
	if (d->cnt > LISTED_MAX)
		fprintf(p->out, "   %zu more\n", d->cnt - LISTED_MAX);
	for (size_t i = 0; i < d->cnt && i < LISTED_MAX; i++) {
		fprintf(p->out, "   %-7u at ", d->thread[i]->thread->rec.tid);
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

static void print_chain(const struct page *p, const struct wait_chain *c)
{
	const struct blocked_thread *t = c->root;
	char name[NAME_SZ];

	fprintf(p->out, "   %s%zu thread%s%s behind %s (%u) of ", p->bold, c->waiters,
		plural(c->waiters), p->plain, escaped(t->thread->rec.comm, name),
		t->thread->rec.tid);
	print_process(p, t->thread->process);
	if (c->lock_cnt)
		fputs(", which holds ", p->out);
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
	print_doing(p, t);
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

	if (!g->most_ns)
		snprintf(text, sizeof(text), "?");
	else if (!strcmp(text__duration(g->least_ns, a), text__duration(g->most_ns, b)))
		snprintf(text, sizeof(text), "%s", a);
	else
		snprintf(text, sizeof(text), "%s to %s", a, b);
	fprintf(p->out, "  %-19s  ", text);
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

	fprintf(p->out, "%s%8zu%s", p->bold, g->cnt, p->plain);
	print_span(p, g);
	if (g->locks > 1)
		print_locks(p, t->lock, g->locks);
	else
		print_wait(p, t);
	if (t->lock && g->locks == 1)
		print_held_by(p, t->lock);
	fputs("  ", p->out);
	print_process(p, t->thread->process);
	if (g->processes > 1)
		fprintf(p->out, " and %zu more", g->processes - 1);
	fprintf(p->out, "\n%31s", "");
	print_stack(p, t);
	fputc('\n', p->out);
	if (p->style->verbose)
		print_whole_stack(p, t);
}

static void print_groups(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	size_t shown = 0, idle_places = 0, left = 0;

	fprintf(p->out, "\n%s%8s  %-19s  %s%s\n", p->dim, "THREADS", "BLOCKED", "WAITING FOR, AT",
		p->plain);
	for (size_t i = 0; i < r->group_cnt; i++) {
		const struct blocked_thread *t = r->group[i].thread[0];

		if (t->state == BLOCKED_RUNNING)
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
		fprintf(p->out, "%8zu  idle, in %zu place%s (--idle)\n", r->idle, idle_places,
			plural(idle_places));
}

static void print_threads(const struct page *p)
{
	const struct stacks_report *r = p->stacks;

	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];
		char name[NAME_SZ];

		fprintf(p->out, "\n%s%s (%u)%s of ", p->bold, escaped(t->thread->rec.comm, name),
			t->thread->rec.tid, p->plain);
		print_process(p, t->thread->process);
		fprintf(p->out, " %s ", p->dot);
		if (t->state == BLOCKED_RUNNING) {
			fputs("runs\n", p->out);
			continue;
		}
		print_wait(p, t);
		if (t->lock)
			print_held_by(p, t->lock);
		fprintf(p->out, " %s ", p->dot);
		print_blocked(p, t->at_least_ns);
		fprintf(p->out, "%s\n", t->thread->moved ? ", moving" : "");
		print_whole_stack(p, t);
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
	char name[NAME_SZ];

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
		fprintf(p->out, "\n   %s (%u) ", escaped(t->thread->rec.comm, name),
			t->thread->rec.tid);
		print_doing(p, t);
		fputs("\n   at ", p->out);
		print_stack(p, t);
	}
}

int view__blocked_thread(FILE *out, const struct blocked_thread *t, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	char name[NAME_SZ];

	fprintf(out, "%s%s (%u)%s of ", p.bold, escaped(t->thread->rec.comm, name),
		t->thread->rec.tid, p.plain);
	print_process(&p, t->thread->process);
	fputc(' ', out);
	print_doing(&p, t);
	if (t->lock)
		print_held_by(&p, t->lock);
	print_since(&p, t);
	fputs("\n   at ", out);
	print_stack(&p, t);
	print_holders(&p, t);
	fputs("\n\n", out);
	return ferror(out) ? -EIO : 0;
}

/* ---- `check`: a line each */

int view__findings(FILE *out, const struct stacks_report *r)
{
	struct view_style plain = { .utf8 = false };
	struct page p = page__begin(out, &plain);
	char name[NAME_SZ];

	for (size_t i = 0; i < r->deadlock_cnt; i++) {
		const struct deadlock *d = &r->deadlock[i];
		const struct snap_process *process = d->thread[0]->thread->process;

		fprintf(out, "%sdeadlock: %u %s: ", d->cnt == 1 ? "self-" : "", process->tgid,
			escaped(process->comm, name));
		for (size_t n = 0; n < d->cnt; n++) {
			fprintf(out, "%stid %u waits for ", n ? "; " : "",
				d->thread[n]->thread->rec.tid);
			print_lock(&p, d->thread[n]->lock);
			fprintf(out, " held by tid %u", d->thread[n]->holder->thread->rec.tid);
		}
		fputc('\n', out);
	}
	for (size_t i = 0; i < r->orphan_cnt; i++) {
		const struct waited_lock *lock = r->orphan[i];

		fprintf(out, "orphaned lock: %u %s: ", lock->process->tgid,
			escaped(lock->process->comm, name));
		print_lock(&p, lock);
		fprintf(out, " held by tid %u, which is gone; %zu waiting\n", lock->owner_word,
			lock->waiters);
	}
	return ferror(out) ? -EIO : (int)(r->deadlock_cnt + r->orphan_cnt);
}
