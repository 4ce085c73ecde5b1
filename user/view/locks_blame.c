// SPDX-License-Identifier: GPL-2.0-only
/* What holders did meanwhile, in words. */
#include "user/view/page.h"

#define PARTS_SHOWN 5
#define PART_LEAST  0.005 /* of a row's time: less is not worth a word */
#define ROOT_LEAST  0.33  /* of a process's wait time */
#define ROOTS_SHOWN 3

struct part {
	char text[NAME_SZ + 64];
	uint64_t ns;
};

static const char *state_words(enum hu_why why)
{
	switch (why) {
	case HU_WHY_RUNNING:
		return "running";
	case HU_WHY_RUNNABLE:
		return "waiting for a CPU";
	case HU_WHY_HANDOVER:
		return "hand-over";
	case HU_WHY_FAULT:
		return "in a page fault";
	case HU_WHY_RECLAIM:
		return "looking for free memory";
	case HU_WHY_STOPPED:
		return "stopped by a signal";
	case HU_WHY_TRACED:
		return "stopped by a debugger";
	case HU_WHY_THROTTLED:
		return "throttled by its cgroup";
	case HU_WHY_KERNEL:
		return "in the kernel";
	default:
		return "unknown";
	}
}

static void blocked_words(const struct lock_blocked *b, char ret[NAME_SZ + 64])
{
	char clean[NAME_SZ];

	if (b->why == HU_WHY_LOCK && *b->lock)
		snprintf(ret, NAME_SZ + 64, "waiting for %s", escaped(b->lock, clean));
	else if (b->why == HU_WHY_LOCK)
		snprintf(ret, NAME_SZ + 64, "waiting for the futex at 0x%llx",
			 (unsigned long long)b->address);
	else if (*b->call)
		snprintf(ret, NAME_SZ + 64, "asleep in %s%s%s", b->call, *b->what ? " " : "",
			 escaped(b->what, clean));
	else
		snprintf(ret, NAME_SZ + 64, "%s", state_words(b->why));
}

/* Places a part among the largest so far; *rest takes what does not fit. */
static void add_part(struct part *parts, size_t *cnt, const char *text, uint64_t ns, uint64_t *rest)
{
	size_t i = *cnt;

	while (i && parts[i - 1].ns < ns)
		i--;
	if (*cnt == PARTS_SHOWN) {
		*rest += i < PARTS_SHOWN ? parts[PARTS_SHOWN - 1].ns : ns;
		if (i == PARTS_SHOWN)
			return;
		--*cnt;
	}
	memmove(&parts[i + 1], &parts[i], (*cnt - i) * sizeof(parts[0]));
	snprintf(parts[i].text, sizeof(parts[i].text), "%s", text);
	parts[i].ns = ns;
	++*cnt;
}

static size_t collect(const struct lock_blame *b, uint64_t all, struct part *parts, uint64_t *rest)
{
	const struct {
		uint64_t ns;
		const char *text;
	} fixed[] = {
		{ b->running_ns, state_words(HU_WHY_RUNNING) },
		{ b->runnable_ns, state_words(HU_WHY_RUNNABLE) },
		{ b->handover_ns, state_words(HU_WHY_HANDOVER) },
		{ b->unknown_ns, state_words(HU_WHY_UNKNOWN) },
		{ b->other_ns, "blocked in other ways" },
	};
	char text[NAME_SZ + 64];
	size_t cnt = 0;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (fixed[i].ns >= PART_LEAST * all)
			add_part(parts, &cnt, fixed[i].text, fixed[i].ns, rest);
	for (size_t i = 0; i < b->blocked_cnt; i++) {
		if (b->blocked[i].wait_ns < PART_LEAST * all) {
			*rest += b->blocked[i].wait_ns;
			continue;
		}
		blocked_words(&b->blocked[i], text);
		add_part(parts, &cnt, text, b->blocked[i].wait_ns, rest);
	}
	return cnt;
}

void page__print_blame(const struct page *p, const struct lock_row *row)
{
	struct part parts[PARTS_SHOWN + 1];
	uint64_t all = row->stats.wait_ns, rest = 0;
	size_t cnt;

	if (!row->blame.known || !all)
		return;
	cnt = collect(&row->blame, all, parts, &rest);
	fprintf(p->out, "   %-12s ", "meanwhile");
	for (size_t i = 0; i < cnt; i++) {
		if (i)
			fprintf(p->out, " %s ", p->dot);
		fprintf(p->out, "%s %.0f %%", parts[i].text, 100.0 * parts[i].ns / all);
	}
	if (rest >= PART_LEAST * all)
		fprintf(p->out, " %s other %.0f %%", p->dot, 100.0 * rest / all);
	fputc('\n', p->out);
}

/* ---- root causes */

static void print_end(const struct page *p, const struct root_cause *c)
{
	const char *lock = c->chain_cnt ? c->chain[c->chain_cnt - 1] : "";
	char clean[NAME_SZ];

	switch (c->why) {
	case HU_WHY_CALL:
	case HU_WHY_CALL32:
		fprintf(p->out, " ends at %s", c->call);
		if (*c->function)
			fprintf(p->out, " in %s", escaped(c->function, clean));
		else
			fprintf(p->out, " with %s held", escaped(lock, clean));
		break;
	case HU_WHY_LOCK:
		fprintf(p->out, " ends at a wait with %s held", escaped(lock, clean));
		break;
	case HU_WHY_HANDOVER:
		fprintf(p->out, " ends at the hand-over of %s", escaped(lock, clean));
		break;
	default:
		fprintf(p->out, " ends with the holder of %s %s", escaped(lock, clean),
			state_words(c->why));
	}
	if (c->chain_cnt < 2)
		return;
	fputs(" (", p->out);
	for (size_t i = 0; i < c->chain_cnt; i++)
		fprintf(p->out, "%s%s", i ? p->style->utf8 ? " → " : " -> " : "",
			escaped(c->chain[i], clean));
	fputc(')', p->out);
}

void page__print_roots(const struct page *p)
{
	size_t shown = 0;

	for (size_t i = 0; i < p->r->root_cnt && shown < ROOTS_SHOWN; i++) {
		const struct root_cause *c = &p->r->root[i];
		char clean[NAME_SZ];

		if (c->share < ROOT_LEAST)
			continue;
		fprintf(p->out, "%s%sroot cause:%s %.0f %% of all waiting in %s (%u)",
			shown++ ? "" : "\n", p->bold, p->plain, 100 * c->share,
			escaped(c->process->comm, clean), c->process->tgid);
		print_end(p, c);
		fputc('\n', p->out);
	}
}
