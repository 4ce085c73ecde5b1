// SPDX-License-Identifier: GPL-2.0-only
/* What a program leaves behind at its end, a line for each group of alike things: `check -- PROGRAM`. */
#include <errno.h>

#include "user/view/page.h"

static void print_frames(const struct page *p, const char *before, const struct sym_frame *frames,
			 size_t cnt)
{
	if (!cnt)
		return;
	fputs(before, p->out);
	page__print_stack(p, frames, cnt, -1, true);
}

static void print_start(const struct page *p, const struct left_group *g)
{
	char name[NAME_SZ];

	if (*g->start.function)
		fprintf(p->out, " started in %s", escaped(g->start.function, name));
	else if (*g->start.module)
		fprintf(p->out, " started in %s+0x%llx", escaped(g->start.module, name),
			(unsigned long long)g->start.offset);
	if (*g->start.file) {
		const char *slash = strrchr(g->start.file, '/');

		fprintf(p->out, " %s:%d", escaped(slash ? slash + 1 : g->start.file, name),
			g->start.line);
	}
}

static void print_threads(const struct page *p, const struct left_group *g)
{
	char name[NAME_SZ];

	fprintf(p->out, "%zu thread%s", g->cnt, plural(g->cnt));
	if (g->cnt == 1 && g->tid && *g->comm)
		fprintf(p->out, " (%s %u)", escaped(g->comm, name), g->tid);
	print_start(p, g);
}

static void print_doing(const struct page *p, const struct left_group *g)
{
	const struct blocked_thread *t = g->thread;

	fputs(", ", p->out);
	page__print_doing(p, t);
	if (t->stack) {
		fputs(" at ", p->out);
		page__print_stack(p, t->stack->frames, t->stack->frame_cnt, t->api,
				  t->stack->stack->stack.flags & HU_STACK_COMPLETE);
	}
}

static void print_group(const struct page *p, const struct leftovers *l, const struct left_group *g)
{
	static const char *const kinds[] = {
		[LEFT_UNJOINED] = "unjoined",
		[LEFT_RUNNING] = "still running",
		[LEFT_BLOCKED] = "blocked",
		[LEFT_DIED_HOLDING] = "died holding a lock",
	};
	char name[NAME_SZ], size[TEXT_SIZE_SZ];

	fprintf(p->out, "%s: %u %s: ", kinds[g->kind], l->tgid, escaped(l->comm, name));
	if (g->kind == LEFT_DIED_HOLDING) {
		fprintf(p->out, "mutex %s held by tid %u, which is gone", escaped(g->name, name),
			g->owner);
	} else {
		print_threads(p, g);
		if (g->kind == LEFT_UNJOINED) {
			fprintf(p->out, " ended and %s never joined", g->cnt == 1 ? "was" : "were");
			if (g->stack_bytes)
				fprintf(p->out, ", stacks hold %s",
					text__size(g->stack_bytes, size));
		} else if (g->thread) {
			print_doing(p, g);
		} else {
			fputs(" when it ended", p->out);
		}
	}
	print_frames(p, "; created at ", g->created_by, g->created_cnt);
	fputc('\n', p->out);
}

int view__leftovers(FILE *out, const struct leftovers *l)
{
	struct view_style plain = { .utf8 = false };
	struct page p = page__begin(out, &plain);

	for (size_t i = 0; i < l->cnt; i++)
		print_group(&p, l, &l->group[i]);
	return ferror(out) ? -EIO : (int)l->cnt;
}
