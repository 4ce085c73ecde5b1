// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/go_probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/golang.skel.h"
#include "bpf/golang_wait.h"
#include "user/collect/features.h"
#include "user/collect/hold_internal.h"

#define CHECK_SIZE(name, sz) _Static_assert(sizeof(struct name) == (sz), #name);
HU_GO_SIZES(CHECK_SIZE)

#define READS 4 /* of a value that is being written, until two are alike */

struct go_probes {
	struct golang_bpf *skel;
	struct bpf_program *prog;
	int ncpus;
	bool multi; /* all probes of a process by one link */
	int *link;
	size_t links;
	size_t probes, stepped;
};

/* ---- loading */

int go_probes__open(struct go_probes **ret, const char **why)
{
	struct go_probes *g;
	struct features f;
	int err;

	*why = go_points__missing();
	if (*why)
		return -EOPNOTSUPP;
	*why = "out of memory";
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	features__detect(&f);
	*why = "probes on Go's semaphores need bpf_get_attach_cookie(), which Linux has from 5.15 "
	       "on";
	/* The cookie is of the same release; libbpf asks by loading a program. */
	err = f.task_regs && libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE,
						     BPF_FUNC_get_attach_cookie, NULL) == 1
		      ? 0
		      : -EOPNOTSUPP;
	if (!err) {
		*why = "the BPF programs for Go can't be loaded";
		g->multi = f.uprobe_multi;
		g->ncpus = libbpf_num_possible_cpus();
		g->skel = golang_bpf__open();
		err = g->ncpus < 0 ? g->ncpus : g->skel ? 0 : -errno;
	}
	if (!err) {
		g->prog = f.calm ? g->skel->progs.hu_go_probe_calm : g->skel->progs.hu_go_probe;
		bpf_program__set_autoload(g->prog, true);
		if (g->multi)
			bpf_program__set_expected_attach_type(g->prog, BPF_TRACE_UPROBE_MULTI);
		err = golang_bpf__load(g->skel);
	}
	if (err) {
		go_probes__free(g);
		return err;
	}
	*ret = g;
	return 0;
}

void go_probes__free(struct go_probes *g)
{
	if (!g)
		return;
	go_probes__detach(g);
	golang_bpf__destroy(g->skel);
	free(g);
}

/* ---- probes */

static int keep(struct go_probes *g, int link)
{
	int *more;

	if (link < 0)
		return link;
	more = realloc(g->link, (g->links + 1) * sizeof(*more));
	if (!more) {
		close(link);
		return -ENOMEM;
	}
	g->link = more;
	g->link[g->links++] = link;
	return 0;
}

static void add_point(struct go_probes *g, struct hold_probes *p, const struct go_point *point,
		      enum hu_go_place place, uint16_t goid_off)
{
	uint32_t flags = (point->at_check ? HU_GO_AT_CHECK : 0) |
			 (point->stepped ? HU_GO_STEPPED : 0);

	p->off[p->cnt] = point->off;
	p->cookie[p->cnt++] = HU_GO_COOKIE(place, flags, goid_off);
	g->stepped += point->stepped;
}

static void detach_to(struct go_probes *g, size_t links)
{
	while (g->links > links)
		close(g->link[--g->links]);
}

/* The end of a sleep first, its beginning last: what is seen to begin is seen to end. */
static int attach_points(struct go_probes *g, struct hold_probes *p, const struct go_points *points,
			 uint16_t goid_off)
{
	size_t before = g->links, stepped = g->stepped;
	int err = 0;

	for (size_t i = 0; i < points->resumes; i++)
		add_point(g, p, &points->resume[i], HU_GO_RESUME, goid_off);
	add_point(g, p, &points->release, HU_GO_RELEASE, goid_off);
	add_point(g, p, &points->acquire, HU_GO_ACQUIRE, goid_off);
	if (g->multi)
		err = keep(g, hold__probe_many(p));
	for (size_t i = 0; i < p->cnt && !g->multi && !err; i++)
		err = keep(g, hold__probe_one(p, i));
	if (err) {
		detach_to(g, before);
		g->stepped = stepped;
		return err;
	}
	g->probes += p->cnt;
	return 0;
}

int go_probes__attach(struct go_probes *g, pid_t tgid, int fd, const struct go_binary *b,
		      uint64_t text, struct go_points *ret_points, const char **why)
{
	struct go_points points;
	struct hold_probes *p;
	int err = go_points__find(b, text, &points, why);

	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->prog = g->prog;
	p->pid = tgid;
	p->fd = fd;
	*why = "probes can't be placed on its semaphores";
	err = attach_points(g, p, &points, b->layout.g_goid);
	free(p);
	if (!err && ret_points)
		*ret_points = points;
	return err;
}

void go_probes__detach(struct go_probes *g)
{
	detach_to(g, 0);
	free(g->link);
	g->link = NULL;
	g->probes = g->stepped = 0;
}

void go_probes__placed(const struct go_probes *g, size_t *ret_probes, size_t *ret_stepped)
{
	*ret_probes = g->probes;
	*ret_stepped = g->stepped;
}

/* ---- what the kernel is told */

int go_probes__add_stack(struct go_probes *g, pid_t tgid, uint64_t bias,
			 const struct go_points *points, const uint64_t *pcs, size_t cnt,
			 uint64_t *ret_id)
{
	struct hu_go_stack stack = { .tgid = tgid };
	uint64_t id = tgid;
	size_t first = 0;

	/* A return address may be the end of the function. */
	while (first < cnt && (pcs[first] - bias <= points->from || pcs[first] - bias > points->to))
		first++;
	if (first == cnt)
		return -ENOENT;
	cnt -= first;
	stack.truncated = cnt > HU_GO_FRAMES_MAX;
	stack.frames = stack.truncated ? HU_GO_FRAMES_MAX : cnt;
	memcpy(stack.pcs, pcs + first, stack.frames * sizeof(*pcs));
	stack.pcs[0] = bias + points->acquire.addr;
	for (size_t i = 0; i < stack.frames; i++)
		id = go_stack__mix(id, stack.pcs[i]);
	id = id ? id : 1;
	if (bpf_map_update_elem(bpf_map__fd(g->skel->maps.hu_go_stacks), &id, &stack,
				BPF_NOEXIST) &&
	    errno != EEXIST)
		return -errno;
	*ret_id = id;
	return 0;
}

int go_probes__adopt(struct go_probes *g, pid_t tgid, uint64_t proc_start, uint64_t g_addr,
		     uint64_t sema, uint64_t began_ns, uint64_t stack_id)
{
	const struct hu_go_waiter_key key = { .g = g_addr, .tgid = tgid };
	const struct hu_go_pending pending = {
		.proc_start = proc_start,
		.sema = sema,
		.site = stack_id,
		.since_ns = began_ns,
		.state = HU_GO_ASKS,
		.flags = HU_GO_BEFORE | HU_GO_ADOPTED,
	};

	return bpf_map_update_elem(bpf_map__fd(g->skel->maps.hu_go_pending), &key, &pending,
				   BPF_NOEXIST)
		       ? -errno
		       : 0;
}

void go_probes__disown(struct go_probes *g, pid_t tgid, uint64_t g_addr)
{
	const struct hu_go_waiter_key key = { .g = g_addr, .tgid = tgid };
	int fd = bpf_map__fd(g->skel->maps.hu_go_pending);
	struct hu_go_pending p;

	if (!bpf_map_lookup_elem(fd, &key, &p) && p.state == HU_GO_ASKS &&
	    (p.flags & HU_GO_ADOPTED))
		bpf_map_delete_elem(fd, &key);
}

void go_probes__forget(struct go_probes *g, pid_t tgid)
{
	int fd = bpf_map__fd(g->skel->maps.hu_go_pending);
	struct hu_go_waiter_key key, next, *last = NULL;

	while (!bpf_map_get_next_key(fd, last, &next)) {
		/* Not before the next one is known: from a key that is gone it would begin anew. */
		if (last && last->tgid == (uint32_t)tgid)
			bpf_map_delete_elem(fd, last);
		key = next;
		last = &key;
	}
	if (last && last->tgid == (uint32_t)tgid)
		bpf_map_delete_elem(fd, last);
}

/* ---- reading */

typedef int (*value_fn)(void *ctx, const void *key, const void *value);

/* Values are read while they are written; one that holds still for two reads is whole. */
static int read_steady(int fd, const void *key, void *value, void *again, size_t sz)
{
	if (bpf_map_lookup_elem(fd, key, value))
		return -errno;
	for (int i = 0; i < READS; i++) {
		if (bpf_map_lookup_elem(fd, key, again))
			return -errno;
		if (!memcmp(value, again, sz))
			break;
		memcpy(value, again, sz);
	}
	return 0;
}

/* Entries come and go; the bound is for a map that changes under us for ever. */
static int for_each(const struct bpf_map *map, value_fn fn, void *ctx)
{
	size_t key_sz = bpf_map__key_size(map), sz = bpf_map__value_size(map);
	uint32_t left = 2 * bpf_map__max_entries(map);
	char *key = calloc(2, key_sz), *value = calloc(2, sz), *last = NULL;
	int fd = bpf_map__fd(map), err = key && value ? 0 : -ENOMEM;

	while (!err && left-- && !bpf_map_get_next_key(fd, last, key + (last ? key_sz : 0))) {
		if (last)
			memcpy(key, key + key_sz, key_sz);
		last = key;
		if (!read_steady(fd, key, value, value + sz, sz))
			err = fn(ctx, key, value);
	}
	free(key);
	free(value);
	return err;
}

struct reading {
	go_wait_fn wait;
	go_release_fn release;
	go_pending_fn pending;
	void *ctx;
};

static int on_wait(void *ctx, const void *key, const void *value)
{
	const struct reading *r = ctx;

	return r->wait(r->ctx, key, value);
}

static int on_release(void *ctx, const void *key, const void *value)
{
	const struct reading *r = ctx;

	return r->release(r->ctx, key, value);
}

static int on_pending(void *ctx, const void *key, const void *value)
{
	const struct hu_go_pending *p = value;
	const struct reading *r = ctx;

	return p->state == HU_GO_ASKS ? r->pending(r->ctx, key, p) : 0;
}

int go_probes__waits(struct go_probes *g, go_wait_fn fn, void *ctx)
{
	struct reading r = { .wait = fn, .ctx = ctx };
	int err = for_each(g->skel->maps.hu_go_waits, on_wait, &r);

	return err ? err : for_each(g->skel->maps.hu_go_rest, on_wait, &r);
}

int go_probes__releases(struct go_probes *g, go_release_fn fn, void *ctx)
{
	struct reading r = { .release = fn, .ctx = ctx };
	int err = for_each(g->skel->maps.hu_go_releases, on_release, &r);

	return err ? err : for_each(g->skel->maps.hu_go_releases_rest, on_release, &r);
}

int go_probes__pending(struct go_probes *g, go_pending_fn fn, void *ctx)
{
	struct reading r = { .pending = fn, .ctx = ctx };

	return for_each(g->skel->maps.hu_go_pending, on_pending, &r);
}

int go_probes__stack(struct go_probes *g, uint64_t id, struct hu_go_stack *ret)
{
	struct hu_go_stack stack;

	if (bpf_map_lookup_elem(bpf_map__fd(g->skel->maps.hu_go_stacks), &id, &stack))
		return -errno;
	if (!stack.frames || stack.frames > HU_GO_FRAMES_MAX)
		return -ENOENT;
	*ret = stack;
	return 0;
}

static bool is_wrapper(const struct go_process *p, uint64_t pc)
{
	const struct go_pclntab *t = &p->binary->pclntab;
	struct go_func f;

	return go_process__has_code(p, pc - 1) && go_pclntab__find(t, pc - 1 - p->text, &f) &&
	       go_func__is_wrapper(t, &f, pc - 1 - p->text);
}

void go_probes__tidy(const struct go_process *p, struct hu_go_stack *stack)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < stack->frames && i < HU_GO_FRAMES_MAX; i++)
		if (!i || !is_wrapper(p, stack->pcs[i]))
			stack->pcs[kept++] = stack->pcs[i];
	stack->frames = kept;
}

int go_probes__counts(struct go_probes *g, uint64_t ret[HU_GO_COUNTS])
{
	uint64_t *values = calloc(g->ncpus, HU_GO_COUNTS * sizeof(uint64_t));
	uint32_t zero = 0;
	int err = 0;

	if (!values)
		return -ENOMEM;
	memset(ret, 0, HU_GO_COUNTS * sizeof(*ret));
	if (bpf_map_lookup_elem(bpf_map__fd(g->skel->maps.hu_go_counts), &zero, values))
		err = -errno;
	for (size_t i = 0; !err && i < (size_t)g->ncpus * HU_GO_COUNTS; i++)
		ret[i % HU_GO_COUNTS] += values[i];
	free(values);
	return err;
}
