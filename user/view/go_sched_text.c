// SPDX-License-Identifier: GPL-2.0-only
/* Go's scheduler, for people: `threads -p` of a Go program. */
#include <errno.h>

#include "user/view/page.h"

static uint64_t per_second(uint64_t n, uint64_t ns)
{
	return ns ? (uint64_t)((double)n * 1e9 / (double)ns + 0.5) : 0;
}

static void print_births(const struct page *p, const struct go_sched *before,
			 const struct go_sched *now)
{
	struct go_births births;
	char n[TEXT_COUNT_SZ];

	if (before) {
		births = go_sched__births(before, now);
		fprintf(p->out, "   created %s a second",
			text__count(per_second(births.created, births.interval_ns), n));
		fprintf(p->out, ", ended %s a second",
			text__count(per_second(births.ended, births.interval_ns), n));
		fprintf(p->out, " %s ", p->dot);
	} else {
		fputs("   ", p->out);
	}
	fprintf(p->out, "%s%s created since the program began", now->created_exact ? "" : "about ",
		text__count(now->created, n));
	if (now->mutex_wait_ns)
		fprintf(p->out, " %s waited for mutexes: %s in all", p->dot,
			text__duration(now->mutex_wait_ns, n));
	fputc('\n', p->out);
}

static void print_ps(const struct page *p, const struct go_sched *s)
{
	fprintf(p->out, "%s   %4s  %-8s  %8s  %s%s\n", p->dim, "P", "STATUS", "THREAD",
		"QUEUED GOROUTINES", p->plain);
	for (size_t i = 0; i < s->ps; i++) {
		char tid[16] = "-";

		if (s->p[i].tid)
			snprintf(tid, sizeof(tid), "%u", s->p[i].tid);
		fprintf(p->out, "   %4u  %-8s  %8s  %u\n", s->p[i].id, go_p__status(&s->p[i]), tid,
			s->p[i].queued);
	}
	fprintf(p->out, "   %4s  %-8s  %8s  %u\n", "any", "", "", s->queued);
	fprintf(p->out, "   %u of %zu P idle %s %u threads idle, %u looking for work\n", s->idle_ps,
		s->ps, p->dot, s->idle_ms, s->spinning_ms);
}

int view__go_sched(FILE *out, const struct go_sched *before, const struct go_sched *now,
		   const char *version, const struct view_style *style)
{
	struct page p = page__begin(out, style);
	char n[TEXT_COUNT_SZ], name[NAME_SZ];
	bool first = true;

	fprintf(out, "%s %s %s goroutines:", escaped(version, name), p.dot,
		text__count(now->live, n));
	for (uint32_t i = 0; i < GO_STATUSES; i++) {
		if (!now->status[i])
			continue;
		fprintf(out, "%s %s %s", first ? "" : ",", text__count(now->status[i], n),
			go_status__name(i));
		first = false;
	}
	if (now->rejected)
		fprintf(out, "; %zu more moved too fast to be read", now->rejected);
	fputc('\n', out);
	print_births(&p, before, now);
	print_ps(&p, now);
	return ferror(out) ? -EIO : 0;
}
