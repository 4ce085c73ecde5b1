// SPDX-License-Identifier: GPL-2.0-only
/* What only goroutines have, for people. */
#include "user/view/page.h"

void page__print_created(const struct page *p, const struct blocked_thread *t, int indent)
{
	if (!t->created || !t->created->frame_cnt)
		return;
	fprintf(p->out, "%*screated by ", indent, "");
	page__print_stack(p, t->created->frames, t->created->frame_cnt, -1, true);
	if (p->style->verbose && t->goroutine->parent)
		fprintf(p->out, " in goroutine %llu", (unsigned long long)t->goroutine->parent);
	fputc('\n', p->out);
}

void page__print_running_on(const struct page *p, const struct blocked_thread *t)
{
	if (!t->on)
		return;
	if (t->goroutine)
		fprintf(p->out, " on thread %u", t->on->thread->rec.tid);
	else
		fprintf(p->out, " with goroutine %llu", (unsigned long long)t->on->goroutine->goid);
}

void page__bounds(const struct page *p, uint64_t at_least_ns, uint64_t at_most_ns, char *buf,
		  size_t sz)
{
	const char *least = p->style->utf8 ? "≥ " : ">= ", *most = p->style->utf8 ? "≤ " : "<= ";
	char a[TEXT_DURATION_SZ], b[TEXT_DURATION_SZ];

	snprintf(buf, sz, "%s%s%s%s%s", at_least_ns ? least : "",
		 at_least_ns ? text__duration(at_least_ns, a) : "",
		 at_least_ns && at_most_ns ? ", " : "", at_most_ns ? most : "",
		 at_most_ns ? text__duration(at_most_ns, b) : "");
	if (!at_least_ns && !at_most_ns)
		snprintf(buf, sz, "?");
}

void page__print_bounds(const struct page *p, const struct blocked_thread *t)
{
	char text[2 * TEXT_DURATION_SZ + 16];

	page__bounds(p, t->at_least_ns, t->at_most_ns, text, sizeof(text));
	fputs(text, p->out);
}

void page__print_go(const struct page *p)
{
	const struct stacks_report *r = p->stacks;
	char name[NAME_SZ];

	for (size_t i = 0; i < r->go_cnt; i++) {
		const struct go_summary *go = &r->go[i];
		const struct go_snapshot *s = go->goroutines;

		if (!*go->why && !p->style->verbose)
			continue;
		fprintf(p->out, "%s (%u): ", escaped(go->process->comm, name), go->process->tgid);
		if (*go->why) {
			fprintf(p->out, "%s\n", escaped(go->why, name));
			continue;
		}
		fprintf(p->out, "%s, ", escaped(go->version, name));
		if (s)
			fprintf(p->out,
				"%zu goroutines: %zu waiting, %zu in system calls, %zu running, "
				"%zu runnable; %zu read again, %zu rejected\n",
				s->cnt, s->status[GO_WAITING] + s->status[GO_LEAKED],
				s->status[GO_SYSCALL], s->status[GO_RUNNING],
				s->status[GO_RUNNABLE] + s->status[GO_PREEMPTED], s->retried,
				s->rejected);
	}
}
