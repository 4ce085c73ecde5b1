// SPDX-License-Identifier: GPL-2.0-only
/* What every thread waits for, for people: findings first, then who waits for whom, then the rest. */
#include <errno.h>

#include "user/view/page.h"

#define LISTED_MAX 12 /* links of one chain */

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
	TELL(r->coverage.goroutines_moved, "%llu goroutine%s would not hold still",
	     (unsigned long long)r->coverage.goroutines_moved,
	     plural(r->coverage.goroutines_moved));
	TELL(r->coverage.go_unread, "goroutines of %llu Go program%s not read",
	     (unsigned long long)r->coverage.go_unread, plural(r->coverage.go_unread));
	TELL(r->coverage.go_unsearched, "memory of %llu Go program%s not searched",
	     (unsigned long long)r->coverage.go_unsearched, plural(r->coverage.go_unsearched));
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
		page__print_wait(p, t);
	}
	if (t->lock && g->locks == 1)
		page__print_behind(p, t);
	fprintf(p->out, "  %s", t->goroutine ? "goroutine" : "");
	if (t->goroutine)
		fprintf(p->out, "%s of ", plural(g->cnt));
	page__print_process(p, t->thread->process);
	if (g->processes > 1)
		fprintf(p->out, " and %zu more", g->processes - 1);
	fprintf(p->out, "\n%31s", "");
	page__print_thread_stack(p, t);
	fputc('\n', p->out);
	page__print_created(p, t, 31);
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

/* What stands behind a thread's words, as the kernel and its stack have it. */
static void print_raw(const struct page *p, const struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;
	const struct hu_stack *s = t->thread->stack ? &t->thread->stack->stack : NULL;

	fprintf(p->out, "%22sstate 0x%x %s call %lld", "", rec->state, p->dot, (long long)rec->nr);
	for (size_t i = 0; i < sizeof(rec->arg) / sizeof(rec->arg[0]) && rec->nr >= 0; i++)
		fprintf(p->out, "%s0x%llx", i ? ", " : "(", (unsigned long long)rec->arg[i]);
	fprintf(p->out, "%s %s ip 0x%llx sp 0x%llx fp 0x%llx %s %llu switches\n",
		rec->nr >= 0 ? ")" : "", p->dot, (unsigned long long)rec->ip,
		(unsigned long long)rec->sp, (unsigned long long)rec->fp, p->dot,
		(unsigned long long)rec->switches);
	fprintf(p->out, "%22spcs", "");
	for (size_t i = 0; s && i < s->frames && i < HU_MAX_FRAMES; i++)
		fprintf(p->out, " 0x%llx", (unsigned long long)s->pcs[i]);
	fprintf(p->out, " (flags 0x%x)\n", s ? s->flags : 0);
}

static void print_threads(const struct page *p)
{
	const struct stacks_report *r = p->stacks;

	for (size_t i = 0; i < r->thread_cnt; i++) {
		const struct blocked_thread *t = &r->thread[i];

		fprintf(p->out, "\n%s", p->bold);
		page__print_who(p, t);
		fprintf(p->out, "%s of ", p->plain);
		page__print_process(p, t->thread->process);
		page__print_running_on(p, t);
		fprintf(p->out, " %s ", p->dot);
		if (t->state == BLOCKED_RUNNING) {
			fputs("runs\n", p->out);
			if (r->query->raw && !t->goroutine)
				print_raw(p, t);
			continue;
		}
		page__print_wait(p, t);
		if (t->lock)
			page__print_behind(p, t);
		fprintf(p->out, " %s ", p->dot);
		if (t->goroutine)
			page__print_bounds(p, t);
		else
			page__print_time(p, t->at_least_ns);
		fprintf(p->out, "%s\n", t->thread->moved ? ", moving" : "");
		print_whole_stack(p, t);
		page__print_created(p, t, 22);
		if (r->query->raw && !t->goroutine)
			print_raw(p, t);
	}
}

int view__stacks_text(FILE *out, const struct stacks_report *r, const struct view_style *style)
{
	struct page p = page__begin(out, style);

	p.stacks = r;
	print_head(&p);
	for (size_t i = 0; i < r->deadlock_cnt; i++)
		page__print_deadlock(&p, &r->deadlock[i]);
	for (size_t i = 0; i < r->orphan_cnt; i++)
		page__print_orphan(&p, r->orphan[i]);
	for (size_t i = 0; i < r->stuck_cnt; i++)
		page__print_stuck(&p, &r->stuck[i]);
	page__print_chains(&p);
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
		page__print_who(p, t);
		fputc(' ', p->out);
		page__print_doing(p, t);
		fputs("\n   at ", p->out);
		page__print_thread_stack(p, t);
	}
}

int view__blocked_thread(FILE *out, const struct blocked_thread *t, const struct view_style *style)
{
	struct page p = page__begin(out, style);

	fputs(p.bold, out);
	page__print_who(&p, t);
	fprintf(out, "%s of ", p.plain);
	page__print_process(&p, t->thread->process);
	fputc(' ', out);
	page__print_doing(&p, t);
	if (t->lock)
		page__print_held_by(&p, t->lock);
	page__print_since(&p, t);
	fputs("\n   at ", out);
	page__print_thread_stack(&p, t);
	if (t->created) {
		fputc('\n', out);
		page__print_created(&p, t, 3);
	}
	print_holders(&p, t);
	fputs(t->created && !t->holder ? "\n" : "\n\n", out);
	return ferror(out) ? -EIO : 0;
}
