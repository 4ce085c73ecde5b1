// SPDX-License-Identifier: GPL-2.0-only
/* The first line of `holdup locks`: totals, and what could not be seen. */
#include "user/view/page.h"

/* What could not be seen, in words; says so when there is nothing of the kind. */
static void print_gaps(const struct page *p)
{
	const struct locks_coverage *c = &p->r->coverage;
	uint64_t detail = p->r->waits + p->r->idle_waits, unplaced_ns = 0;
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];

	if (c->lost)
		fprintf(p->out, " %s LOST: %s wait%s (at least %s)", p->dot,
			text__count(c->lost, n), plural(c->lost), text__duration(c->lost_ns, t));
	if (c->summarized)
		fprintf(p->out, " %s %.1f %% of the waits only as totals", p->dot,
			detail ? 100.0 * c->summarized / detail : 100);
	if (c->records_lost)
		fprintf(p->out, " %s %s process record%s lost", p->dot,
			text__count(c->records_lost, n), plural(c->records_lost));
	if (c->stacks_lost)
		fprintf(p->out, " %s %s stack%s lost", p->dot, text__count(c->stacks_lost, n),
			plural(c->stacks_lost));
	if (c->stacks_incomplete * 1000 >= c->events && c->stacks_incomplete)
		fprintf(p->out, " %s %.1f %% of the stacks incomplete", p->dot,
			c->events ? 100.0 * c->stacks_incomplete / c->events : 100);
	else if (c->stacks_incomplete)
		fprintf(p->out, " %s %s incomplete stack%s", p->dot,
			text__count(c->stacks_incomplete, n), plural(c->stacks_incomplete));
	if (c->processes_unnamed)
		fprintf(p->out, " %s %s process%s without names (gone too soon or unreadable)",
			p->dot, text__count(c->processes_unnamed, n),
			c->processes_unnamed == 1 ? "" : "es");
	if (c->modules_full)
		fprintf(p->out,
			" %s %s file%s without room for unwind rows cut stacks (--unwind-mem)",
			p->dot, text__count(c->modules_full, n), plural(c->modules_full));
	if (c->maps_dropped)
		fprintf(p->out, " %s %s mapping%s of code beyond %d a process cut stacks", p->dot,
			text__count(c->maps_dropped, n), plural(c->maps_dropped), HU_MAX_MAPS);
	if (c->holders_lost)
		fprintf(p->out, " %s %s sample%s of holders lost", p->dot,
			text__count(c->holders_lost, n), plural(c->holders_lost));
	if (c->holders_untracked)
		fprintf(p->out, " %s %s holder%s not followed", p->dot,
			text__count(c->holders_untracked, n), plural(c->holders_untracked));
	if (c->calls_lost)
		fprintf(p->out, " %s %s futex call%s not counted", p->dot,
			text__count(c->calls_lost, n), plural(c->calls_lost));
	/* Their times are as good as others'; many of them tell of something odd. */
	if (c->inferred && (p->style->verbose || c->inferred * 100 >= p->r->sleeps))
		fprintf(p->out, " %s %s switch%s not seen, but computed", p->dot,
			text__count(c->inferred, n), c->inferred == 1 ? "" : "es");
	if (c->below_min)
		fprintf(p->out, " %s %s shorter wait%s left out (%s)", p->dot,
			text__count(c->below_min, n), plural(c->below_min),
			text__duration(c->below_min_ns, t));
	for (size_t i = 0; i < p->r->go_cnt; i++)
		unplaced_ns += p->r->go[i].unplaced_ns + p->r->go[i].beyond_ns;
	if (c->go_left_out)
		fprintf(p->out, " %s %s Go program%s not looked at: too many (-p)", p->dot,
			text__count(c->go_left_out, n), plural(c->go_left_out));
	if (c->go_lost)
		fprintf(p->out, " %s LOST: %s sleep%s of goroutines", p->dot,
			text__count(c->go_lost, n), plural(c->go_lost));
	if (c->go_unknown)
		fprintf(p->out, " %s %s sleep%s of goroutines begun before, not counted", p->dot,
			text__count(c->go_unknown, n), plural(c->go_unknown));
	if (c->go_unnamed)
		fprintf(p->out, " %s %s sleep%s of goroutines without their lock (no room)", p->dot,
			text__count(c->go_unnamed, n), plural(c->go_unnamed));
	if (c->go_stacks_lost)
		fprintf(p->out, " %s %s stack%s of goroutines lost", p->dot,
			text__count(c->go_stacks_lost, n), plural(c->go_stacks_lost));
	if (unplaced_ns)
		fprintf(p->out, " %s %s of goroutines' waits at unknown places", p->dot,
			text__duration(unplaced_ns, t));
	if (!c->lost && !c->go_lost && !c->summarized && !c->records_lost && !c->stacks_lost)
		fprintf(p->out, " %s nothing lost", p->dot);
}

/* How good the stacks are, and why those end that end too soon. */
static void print_stacks(const struct page *p)
{
	const struct locks_coverage *c = &p->r->coverage;
	uint64_t all = c->stacks_complete + c->stacks_incomplete;
	const struct {
		uint64_t cnt;
		const char *why;
	} ends[] = {
		{ c->stacks_no_row, "at code without unwind rows" },
		{ c->stacks_no_map, "at code in no known mapping" },
		{ c->stacks_bad_read, "at memory that could not be read" },
		{ c->stacks_too_deep, "too deep" },
		{ c->stacks_missing, "no stack" },
	};
	char n[TEXT_COUNT_SZ];

	if (!all)
		return;
	fprintf(p->out, "stacks of waits: %.2f %% complete", 100.0 * c->stacks_complete / all);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends[i].cnt)
			fprintf(p->out, " %s %s %s", p->dot, text__count(ends[i].cnt, n),
				ends[i].why);
	if (c->stacks_guessed)
		fprintf(p->out, " %s %s in part by frame pointers", p->dot,
			text__count(c->stacks_guessed, n));
	if (c->stacks_derived)
		fprintf(p->out, " %s %s with rows from machine code", p->dot,
			text__count(c->stacks_derived, n));
	fputc('\n', p->out);
}

/* Go programs whose goroutines are not seen, and with -v how often those of others were. */
static void print_golang(const struct page *p)
{
	const struct locks_coverage *c = &p->r->coverage;
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];
	double seconds = p->r->interval_ns / 1e9;
	char name[NAME_SZ];

	for (size_t i = 0; i < p->r->go_cnt; i++) {
		const struct locks_golang *go = &p->r->go[i];

		if (!*go->why && !p->style->verbose)
			continue;
		fprintf(p->out, "%s (%u): ", escaped(go->process->comm, name), go->process->tgid);
		if (*go->why) {
			fprintf(p->out, "%s\n", escaped(go->why, name));
			continue;
		}
		fprintf(p->out, "%s, %zu goroutines", escaped(go->version, name), go->goroutines);
		if (seconds > 0)
			fprintf(p->out,
				"; waits for locks seen %.0f times a second, others %.0f times",
				go->semaphores / seconds, go->others / seconds);
		if (go->rejected)
			fprintf(p->out, "; %llu would not hold still",
				(unsigned long long)go->rejected);
		fputc('\n', p->out);
	}
	if (c->go_hits && p->style->verbose)
		fprintf(p->out, "probes on Go's semaphores: hit %s times, their programs took %s\n",
			text__count(c->go_hits, n),
			text__duration(c->go_program_ns / c->go_hits, t));
}

void page__print_head(const struct page *p)
{
	const struct locks_report *r = p->r;
	char t[TEXT_DURATION_SZ], n[TEXT_COUNT_SZ];

	fprintf(p->out, "%s%s%s", p->bold, text__duration(r->interval_ns, t), p->plain);
	fprintf(p->out, " %s %s process%s", p->dot, text__count(r->processes, n),
		r->processes == 1 ? "" : "es");
	fprintf(p->out, " %s %s contended lock%s", p->dot, text__count(r->locks, n),
		plural(r->locks));
	fprintf(p->out, " %s %s waited in", p->dot, text__duration(r->wait_ns, t));
	fprintf(p->out, " %s wait%s", text__count(r->waits, n), plural(r->waits));
	if (r->ongoing)
		fprintf(p->out, " (%s not over)", text__count(r->ongoing, n));
	if (r->before)
		fprintf(p->out, " (%s begun before)", text__count(r->before, n));
	if (r->sampled_ns)
		fprintf(p->out, " (goroutines ~%s, seen from time to time)",
			text__duration(r->sampled_ns, t));
	fprintf(p->out, " %s idle waits %s", p->dot, text__duration(r->idle_wait_ns, t));
	if (!r->idle && r->idle_waits)
		fputs(" (--idle)", p->out);
	if (r->unsure_wait_ns)
		fprintf(p->out, ", %s of them perhaps for locks",
			text__duration(r->unsure_wait_ns, t));
	print_gaps(p);
	fputc('\n', p->out);
	if (p->style->verbose)
		print_stacks(p);
	print_golang(p);
}
