// SPDX-License-Identifier: GPL-2.0-only
/* What a thread or goroutine is, waits for and does, in words: parts of sentences for the views of stacks. */
#include "user/view/page.h"

void page__print_time(const struct page *p, uint64_t ns)
{
	char t[TEXT_DURATION_SZ];

	if (ns)
		fputs(text__duration(ns, t), p->out);
	else
		fputs("?", p->out);
}

void page__print_since(const struct page *p, const struct blocked_thread *t)
{
	if (!t->at_least_ns)
		return;
	fputs(", for ", p->out);
	page__print_time(p, t->at_least_ns);
}

/* "teller (4711)", "goroutine 17" */
void page__print_who(const struct page *p, const struct blocked_thread *t)
{
	char name[NAME_SZ];

	if (t->goroutine)
		fprintf(p->out, "goroutine %llu", (unsigned long long)t->goroutine->goid);
	else
		fprintf(p->out, "%s (%u)", escaped(t->thread->rec.comm, name), t->thread->rec.tid);
}

void page__print_process(const struct page *p, const struct snap_process *process)
{
	char name[NAME_SZ];

	fprintf(p->out, "%s (%u)", escaped(process->comm, name), process->tgid);
}

void page__print_waited_lock(const struct page *p, const struct waited_lock *lock)
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

void page__print_held_by(const struct page *p, const struct waited_lock *lock)
{
	switch (lock->held_by) {
	case HELD_OWNER:
	case HELD_TARGET:
		if (lock->owner) {
			fprintf(p->out, ", %s ",
				lock->held_by == HELD_OWNER ? "held by" : "for the end of");
			page__print_who(p, lock->owner);
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
		page__print_who(p, lock->owner);
		break;
	case HELD_UNKNOWN:
		break;
	}
}

/* Who keeps it waiting: who holds the lock, or a writer that readers have to let go first. */
void page__print_behind(const struct page *p, const struct blocked_thread *t)
{
	if (t->goroutine && t->holder && t->holder != t->lock->owner) {
		fputs(", behind ", p->out);
		page__print_who(p, t->holder);
		fputs(", which waits to write", p->out);
	} else {
		page__print_held_by(p, t->lock);
	}
}

/* "read from pipe:[4711] (cat 812)", "mutex ledger_lock" */
void page__print_wait(const struct page *p, const struct blocked_thread *t)
{
	char text[NAME_SZ];

	if (t->goroutine && (t->goroutine->status == GO_WAITING || t->lock)) {
		fputs(*t->call.call ? escaped(t->call.call, text) : "waiting", p->out);
		fputs(t->lock ? ", " : "", p->out);
	}
	if (t->lock) {
		page__print_waited_lock(p, t->lock);
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

/* The same as what a thread does: "sleeps in fdatasync", "waits for mutex ledger_lock". */
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
	page__print_wait(p, t);
}

void page__print_thread_stack(const struct page *p, const struct blocked_thread *t)
{
	if (!t->stack) {
		fputs("(no stack)", p->out);
		return;
	}
	page__print_stack(p, t->stack->frames, t->stack->frame_cnt, t->api,
			  t->stack->stack->stack.flags & HU_STACK_COMPLETE);
}
