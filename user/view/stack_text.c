// SPDX-License-Identifier: GPL-2.0-only
/* Call stacks for people: the program's own part, without what runtimes do below and above it. */
#include <stdlib.h>

#include "user/view/page.h"

#define SITES_SHOWN	3
#define SITES_ALIKE_MAX 64 /* the longest sites of a row; more than these are not compared */
#define FRAMES_SHOWN	5

static void print_frame(const struct page *p, const struct sym_frame *f, bool whole)
{
	char buf[NAME_SZ];
	const char *slash;

	if (*f->function)
		fputs(escaped(whole ? f->function : target__short_name(f->function), buf), p->out);
	else if (*f->module)
		fprintf(p->out, "%s+0x%llx", escaped(f->module, buf),
			(unsigned long long)f->offset);
	else
		fprintf(p->out, "[0x%llx]", (unsigned long long)f->offset);
	if (*f->file) {
		slash = strrchr(f->file, '/');
		fprintf(p->out, " %s%s:%d%s", p->dim, escaped(slash ? slash + 1 : f->file, buf),
			f->line, p->plain);
	}
	if (f->inlined)
		fprintf(p->out, " %s(inlined)%s", p->dim, p->plain);
}

/* Before the first frame that was found by a guess, of those from `first` on. */
static void print_doubt(const struct page *p, const struct sym_frame *frames, size_t first,
			size_t i)
{
	if (frames[i].guessed && (i == first || !frames[i - 1].guessed))
		fputs("(frames missing) ", p->out);
}

/* Nothing but how threads and programs start: that tells nobody anything. */
static bool is_start(const struct sym_frame *frames, size_t i, size_t cnt)
{
	if (!strncmp(frames[i].raw, "__libc_start_", 13))
		return true; /* what called it is the program's first code */
	while (i < cnt && !target__interpreter(&frames[i]) && target__is_runtime(&frames[i]))
		i++;
	return i == cnt;
}

/* How many frames from i on are functions of one interpreter, or of one module that has no names for them. */
static size_t run_of(const struct sym_frame *frames, size_t i, size_t cnt)
{
	const struct sym_frame *f = &frames[i];
	const char *of = target__interpreter(f);
	size_t n = 1;

	if (of)
		while (i + n < cnt && target__interpreter(&f[n]) == of)
			n++;
	else if (!*f->function && *f->module)
		while (i + n < cnt && !*f[n].function && f[n].guessed == f->guessed &&
		       !strcmp(f[n].module, f->module))
			n++;
	return n;
}

/*
 * Frames from `first` on, FRAMES_SHOWN of them unless `all`. Those of one interpreter next to each other say
 * nothing of the program, those without names nothing to people: they are one item. Returns how many frames are
 * left out.
 */
static size_t print_frames(const struct page *p, const struct sym_frame *frames, size_t first,
			   size_t cnt, bool all)
{
	char name[NAME_SZ];
	size_t shown = 0, run;

	for (size_t i = first; i < cnt; i += run) {
		const char *of = target__interpreter(&frames[i]);

		if (i > first && is_start(frames, i, cnt))
			return 0;
		if (shown++ == FRAMES_SHOWN && !all)
			return cnt - i;
		run = i > first ? run_of(frames, i, cnt) : 1;
		fputs(shown > 1 ? p->from : "", p->out);
		print_doubt(p, frames, first, i);
		/* One address in no file is anything, but next to a runtime that makes code. */
		if (i > first && of &&
		    (run > 1 || *frames[i].module || target__interpreter(&frames[i - 1])))
			fprintf(p->out, "%s[%s]%s", p->dim, of, p->plain);
		else if (!of && run > 1)
			fprintf(p->out, "%s[%zu in %s]%s", p->dim, run,
				escaped(frames[i].module, name), p->plain);
		else
			print_frame(p, &frames[i], false);
	}
	return 0;
}

/* The first frame of the program's own from `first` on; cnt: there is none. */
static size_t skip_runtime(const struct sym_frame *frames, size_t first, size_t cnt)
{
	while (first < cnt && target__is_runtime(&frames[first]))
		first++;
	return first;
}

void page__print_stack(const struct page *p, const struct sym_frame *frames, size_t cnt, int api,
		       bool complete)
{
	size_t first, left;

	if (!cnt) {
		fputs("(no stack)", p->out);
		return;
	}
	if (api >= (int)cnt)
		api = cnt - 1;
	first = skip_runtime(frames, api + 1, cnt);
	/* Where nothing else has a name, what the program asked its runtime for is the most there is. */
	if (api >= 0 && (first == cnt || target__interpreter(&frames[first])))
		first = api;
	else if (first == cnt)
		first = 0;
	left = print_frames(p, frames, first, cnt, p->style->verbose);
	if (left)
		fprintf(p->out, "%s%zu more", p->from, left);
	else if (!complete)
		fprintf(p->out, "%s?", p->from);
}

/* The program's own part of the stack: from the caller of the lock function up to the start. */
static void print_chain(const struct page *p, const void *what)
{
	const struct lock_site *site = what;

	page__print_stack(p, site->frames, site->frame_cnt, site->api,
			  site->stack_flags & HU_STACK_COMPLETE);
}

void page__print_whole_stack(const struct page *p, const struct sym_frame *frames, size_t cnt,
			     bool complete)
{
	for (size_t i = 0; i < cnt; i++) {
		fprintf(p->out, "%22s", "");
		print_doubt(p, frames, 0, i);
		print_frame(p, &frames[i], true);
		fputc('\n', p->out);
	}
	if (cnt && !complete)
		fprintf(p->out, "%22s?\n", "");
}

/* ---- sites that look the same without what is folded away are one to the reader */

struct chain {
	char *text; /* NULL: out of memory */
	uint64_t waits, wait_ns;
	size_t site, sites; /* the first of them, and how many */
};

char *page__drawn(const struct page *p, void (*print)(const struct page *p, const void *what),
		  const void *what)
{
	struct page draft = *p;
	char *text = NULL;
	size_t sz;

	draft.out = open_memstream(&text, &sz);
	if (!draft.out)
		return NULL;
	print(&draft, what);
	if (fclose(draft.out)) {
		free(text);
		return NULL;
	}
	return text;
}

static int compare_chains(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;

	if (x->wait_ns != y->wait_ns)
		return x->wait_ns < y->wait_ns ? 1 : -1;
	return x->site < y->site ? -1 : x->site > y->site;
}

/* The chains of a row's longest sites, longest first; the caller frees their texts. */
static size_t find_chains(const struct page *p, const struct lock_row *row,
			  struct chain ret[SITES_ALIKE_MAX])
{
	size_t cnt = 0, c;

	for (size_t i = 0; i < row->site_cnt && i < SITES_ALIKE_MAX; i++) {
		char *text = page__drawn(p, print_chain, &row->sites[i]);

		for (c = 0; c < cnt; c++)
			if (!p->style->verbose && text && ret[c].text && !strcmp(ret[c].text, text))
				break;
		if (c == cnt)
			ret[cnt++] = (struct chain){ .text = text, .site = i };
		else
			free(text);
		ret[c].sites++;
		ret[c].waits += row->sites[i].stats.waits;
		ret[c].wait_ns += row->sites[i].stats.wait_ns;
	}
	qsort(ret, cnt, sizeof(ret[0]), compare_chains);
	return cnt;
}

static void print_time(const struct page *p, const struct lock_row *row, uint64_t wait_ns,
		       uint64_t waits)
{
	char n[TEXT_COUNT_SZ], t[TEXT_DURATION_SZ];

	fprintf(p->out, "  %s%s%s in ", p->dim, row->sampled ? "about " : "",
		text__duration(wait_ns, t));
	fprintf(p->out, "%s wait%s%s%s\n", text__count(waits, n), plural(waits),
		row->sampled ? " seen" : "", p->plain);
}

static void print_all_sites(const struct page *p, const struct lock_row *row)
{
	for (size_t i = 0; i < row->site_cnt; i++) {
		const struct lock_site *site = &row->sites[i];

		fprintf(p->out, "   %-12s ", i ? "" : "waiting at");
		print_chain(p, site);
		print_time(p, row, site->stats.wait_ns, site->stats.waits);
		page__print_whole_stack(p, site->frames, site->frame_cnt,
					site->stack_flags & HU_STACK_COMPLETE);
	}
}

void page__print_sites(const struct page *p, const struct lock_row *row)
{
	struct chain chain[SITES_ALIKE_MAX];
	size_t cnt, shown = 0;

	if (p->style->verbose) {
		print_all_sites(p, row);
		return;
	}
	cnt = find_chains(p, row, chain);
	for (size_t i = 0; i < cnt; i++) {
		if (i < SITES_SHOWN) {
			fprintf(p->out, "   %-12s %s", i ? "" : "waiting at",
				chain[i].text ? chain[i].text : "?");
			print_time(p, row, chain[i].wait_ns, chain[i].waits);
			shown += chain[i].sites;
		}
		free(chain[i].text);
	}
	if (row->site_cnt > shown)
		fprintf(p->out, "   %-12s %zu more site%s (-v)\n", "", row->site_cnt - shown,
			plural(row->site_cnt - shown));
}

/* ---- holders */

/* The runtime's function that the program called: the outermost of those from `first` on. */
static size_t outermost(const struct lock_holder *h, size_t first)
{
	size_t end = skip_runtime(h->frames, first, h->frame_cnt);

	if (end < h->frame_cnt)
		return end > first ? end - 1 : first;
	/* Up to the thread's start: there is no program, and the file at the leaf is what matters. */
	for (size_t i = first; i + 1 < h->frame_cnt; i++)
		if (strcmp(h->frames[i].module, h->frames[i + 1].module))
			return *h->frames[i + 1].function ? i + 1 : i;
	return first;
}

/* What the holder does, from the leaf on; where it releases, from the program's own part on. */
void page__print_holder(const struct page *p, const struct lock_holder *h)
{
	size_t first = 0, own = skip_runtime(h->frames, 0, h->frame_cnt);

	fprintf(p->out, "   %-12s ", h->why == HU_HOLDER_SWITCH ? "meanwhile in" : "releasing in");
	if (h->why == HU_HOLDER_WAKE && own < h->frame_cnt && !target__interpreter(&h->frames[own]))
		first = own;
	print_frames(p, h->frames, outermost(h, first), h->frame_cnt, false);
	fputc('\n', p->out);
}

void page__print_go_releaser(const struct page *p, const struct lock_holder *h)
{
	size_t own = skip_runtime(h->frames, 0, h->frame_cnt);

	fputs("at ", p->out);
	print_frames(p, h->frames, own < h->frame_cnt ? own : 0, h->frame_cnt, false);
	if (h->goroutine)
		fprintf(p->out, "  %s(%s goroutine %llu)%s", p->dim, h->sleeps > 1 ? "last" : "by",
			(unsigned long long)h->goroutine, p->plain);
	fputc('\n', p->out);
}
