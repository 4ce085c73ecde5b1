// SPDX-License-Identifier: GPL-2.0-only
/* Sites to places: named, and what looks the same is one. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/offcpu_pure.h"
#include "user/model/holders.h"
#include "user/model/offcpu_build.h"

const char *off_builder__text(struct off_builder *b, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return intern__add(b->report->strings, text);
}

void off_place__free(void *place)
{
	struct off_place *p = place;

	for (size_t i = 0; i < p->waker_cnt; i++) {
		free(p->waker[i].frames);
		free(p->waker[i].kernel.name);
	}
	free(p->waker);
	free(p->frames);
	free(p->kernel.name);
	free(p);
}

/* ---- the kernel's functions */

/* What switching and waking end in, and holdup's own programs in it. */
static bool is_below(const char *name, bool waker)
{
	return strstr(name, waker ? "__traceiter_sched_waking" : "__traceiter_sched_switch") !=
	       NULL;
}

/* How an interrupt comes in: what it has interrupted has nothing to do with what it does. */
static bool is_irq_entry(const char *name)
{
	static const char *const prefixes[] = { "asm_sysvec_", "asm_common_interrupt",
						"el0t_64_irq", "el1h_64_irq",
						"el0t_64_fiq", "el1h_64_fiq" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

int off_kernel__name(struct off_builder *b, uint64_t id, bool waker, struct off_kernel *ret)
{
	const struct hu_kernel_stack *s = offcpu__kernel_stack(b->in->offcpu, id);
	size_t first = 0;

	*ret = (struct off_kernel){ 0 };
	if (!s)
		return 0;
	ret->name = calloc(s->frames + 1, sizeof(*ret->name));
	if (!ret->name)
		return -ENOMEM;
	for (size_t i = 0; i < s->frames; i++) {
		const char *name = kernel_names__find(b->in->kernel, s->pcs[i] - 1);

		ret->name[i] = name;
		if (is_below(name, waker))
			first = i + 1;
	}
	/* Without names the addresses tell places apart. */
	for (size_t i = first; i < s->frames; i++) {
		const char *name = ret->name[i];

		if (!*name)
			name = off_builder__text(b, "[0x%llx]", (unsigned long long)s->pcs[i]);
		if (!name)
			return -ENOMEM;
		ret->name[ret->cnt++] = name;
		if (waker && is_irq_entry(name))
			break;
	}
	return 0;
}

bool off_kernel__has(const struct off_kernel *k, const char *const *prefixes)
{
	for (size_t i = 0; i < k->cnt; i++)
		for (const char *const *p = prefixes; *p; p++)
			if (!strncmp(k->name[i], *p, strlen(*p)))
				return true;
	return false;
}

bool off_kernel__equal(const struct off_kernel *a, const struct off_kernel *b)
{
	if (a->cnt != b->cnt)
		return false;
	for (size_t i = 0; i < a->cnt; i++)
		if (strcmp(a->name[i], b->name[i]))
			return false;
	return true;
}

/* ---- comparing */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL; /* FNV-1a */
	return hash__mix(hash, 0);
}

uint64_t off_frames__hash(uint64_t hash, const struct sym_frame *f, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		hash = hash_text(hash_text(hash, f[i].raw), f[i].module);
		if (!*f[i].raw)
			hash = hash__mix(hash, f[i].offset);
	}
	return hash;
}

bool off_frames__equal(const struct sym_frame *a, size_t a_cnt, const struct sym_frame *b,
		       size_t b_cnt)
{
	if (a_cnt != b_cnt)
		return false;
	for (size_t i = 0; i < a_cnt; i++)
		if (strcmp(a[i].raw, b[i].raw) || strcmp(a[i].module, b[i].module) ||
		    a[i].guessed != b[i].guessed || (!*a[i].raw && a[i].offset != b[i].offset))
			return false;
	return true;
}

static uint64_t place__hash(const struct off_place *p)
{
	uint64_t hash = hash__mix((uintptr_t)p->process, (uint64_t)p->tid << 8 | (uint8_t)p->state);

	hash = hash_text(hash, p->reason);
	for (size_t i = 0; i < p->kernel.cnt; i++)
		hash = hash_text(hash, p->kernel.name[i]);
	return off_frames__hash(hash, p->frames, p->frame_cnt);
}

static bool place__equal(const void *value, const void *key)
{
	const struct off_place *a = value, *b = key;

	return a->process == b->process && a->tid == b->tid && a->state == b->state &&
	       a->idle == b->idle && a->iowait == b->iowait && !strcmp(a->reason, b->reason) &&
	       !strcmp(a->category, b->category) && a->stack_flags == b->stack_flags &&
	       off_kernel__equal(&a->kernel, &b->kernel) &&
	       off_frames__equal(a->frames, a->frame_cnt, b->frames, b->frame_cnt);
}

/* ---- */

/* The letter of proc(5); include/linux/sched.h has the bits. */
static char state_of(const struct hu_off_what *w)
{
	if (w->flags & HU_OFF_PREEMPTED)
		return 'R';
	if (w->state & 0x8)
		return 't';
	if (w->state & 0x4)
		return 'T';
	if (w->state & 0x1)
		return 'S';
	return w->state & 0x2 ? w->state & 0x400 ? 'I' : 'D' : 'R';
}

static int name_site(struct off_builder *b, const struct off_site *site, struct off_place *p)
{
	struct sym_frame frames[OFF_FRAMES_MAX];

	p->process = site->process;
	p->tid = site->what.tid;
	p->state = state_of(&site->what);
	p->user_stack = site->what.user_stack;
	p->iowait = site->what.flags & HU_OFF_IOWAIT;
	p->comm = site->what.tid  ? intern__add(b->report->strings, site->what.comm)
		  : site->process ? site->process->comm
				  : "kernel threads";
	if (!p->comm)
		return -ENOMEM;
	if (site->process)
		p->frame_cnt = stack__frames(b->in->aggregate, b->in->symbolizer, site->process,
					     site->what.user_stack, false, frames, OFF_FRAMES_MAX,
					     &p->stack_flags);
	p->frames = malloc((p->frame_cnt + 1) * sizeof(*frames));
	if (!p->frames)
		return -ENOMEM;
	memcpy(p->frames, frames, p->frame_cnt * sizeof(*frames));
	return off_kernel__name(b, site->what.kernel_stack, false, &p->kernel);
}

void off_stats__add(struct off_stats *to, const struct off_stats *from)
{
	to->waits += from->waits;
	to->ongoing += from->ongoing;
	to->blocked_ns += from->blocked_ns;
	to->runq_ns += from->runq_ns;
	if (from->max_ns >= to->max_ns) {
		to->max_ns = from->max_ns;
		to->max_tid = from->max_tid;
	}
}

static void add_stats(struct off_place *p, const struct off_site *site)
{
	const struct off_stats stats = {
		.waits = site->waits,
		.ongoing = site->ongoing,
		.blocked_ns = site->blocked_ns,
		.runq_ns = site->runq_ns,
		.max_ns = site->max_ns,
		.max_tid = site->max_tid,
	};

	off_stats__add(&p->stats, &stats);
	p->ongoing_ns += site->ongoing_ns;
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		p->hist[i] += site->hist[i];
}

static void count_stack(struct off_coverage *c, const struct off_site *site,
			const struct off_place *p)
{
	uint64_t waits = site->waits + site->ongoing;

	if (site->what.flags & HU_OFF_SUMMARY)
		return;
	if (!p->frame_cnt)
		c->stacks_missing += waits;
	if (!(p->stack_flags & HU_STACK_COMPLETE))
		c->stacks_incomplete += waits;
}

static int add_site(struct off_builder *b, const struct off_site *site)
{
	struct off_place *p, *known;
	int err;

	/* Runnable before, and nothing of it is in this interval. */
	if (!site->waits && !site->ongoing && !site->blocked_ns && !site->runq_ns)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	err = name_site(b, site, p);
	if (!err)
		err = off_place__explain(b, site, p);
	if (err) {
		off_place__free(p);
		return err;
	}
	count_stack(&b->report->coverage, site, p);
	known = table__find(&b->places, place__hash(p), place__equal, p);
	if (known) {
		off_place__free(p);
		p = known;
	} else {
		err = table__add(&b->places, place__hash(p), p);
		if (err) {
			off_place__free(p);
			return err;
		}
	}
	add_stats(p, site);
	return off_place__add_wakers(b, site, p);
}

static int with_lines(struct off_builder *b, const struct agg_process *process, uint64_t stack_id,
		      struct sym_frame **ret, size_t *ret_cnt)
{
	struct sym_frame frames[OFF_FRAMES_MAX], *copy;
	uint16_t flags;
	size_t cnt;

	if (!process || !*ret_cnt)
		return 0;
	cnt = stack__frames(b->in->aggregate, b->in->symbolizer, process, stack_id, true, frames,
			    OFF_FRAMES_MAX, &flags);
	copy = malloc((cnt + 1) * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, frames, cnt * sizeof(*copy));
	free(*ret);
	*ret = copy;
	*ret_cnt = cnt;
	return 0;
}

/* Lock functions are those of the frames without inlined ones, which come before the one that has their code. */
static int api_with_lines(const struct off_place *p, int api)
{
	int frame = -1;

	for (size_t i = 0; i < p->frame_cnt && api >= 0; i++) {
		frame = i;
		api -= !p->frames[i].inlined;
	}
	return frame;
}

int off_place__find_lines(struct off_builder *b, struct off_place *p)
{
	int err;

	if (p->has_lines)
		return 0;
	p->has_lines = true;
	err = with_lines(b, p->process, p->user_stack, &p->frames, &p->frame_cnt);
	p->api = api_with_lines(p, p->api);
	for (size_t i = 0; i < p->waker_cnt && i < OFF_WAKERS_WITH_LINES && !err; i++)
		err = with_lines(b, p->waker[i].owner, p->waker[i].user_stack, &p->waker[i].frames,
				 &p->waker[i].frame_cnt);
	return err;
}

int off_builder__places(struct off_builder *b)
{
	const struct off_site *site;
	struct off_place *p;
	int err = 0;

	for (size_t i = 0; !err && (site = table__next(&b->in->offcpu->sites, &i));)
		err = add_site(b, site);
	for (size_t i = 0; !err && (p = table__next(&b->places, &i));) {
		p->stats.p50_ns = offcpu__percentile(p->hist, 50, p->stats.max_ns);
		p->stats.p95_ns = offcpu__percentile(p->hist, 95, p->stats.max_ns);
		p->stats.p99_ns = offcpu__percentile(p->hist, 99, p->stats.max_ns);
		off_place__finish_wakers(p);
	}
	return err;
}
