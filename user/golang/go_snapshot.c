// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_taking.h"
#include "user/util/clock.h"

const char *go_status__name(uint32_t status)
{
	static const char *const names[GO_STATUSES] = {
		[GO_IDLE] = "idle",	      [GO_RUNNABLE] = "runnable",
		[GO_RUNNING] = "running",     [GO_SYSCALL] = "syscall",
		[GO_WAITING] = "waiting",     [GO_DEAD] = "dead",
		[GO_COPYSTACK] = "copystack", [GO_PREEMPTED] = "preempted",
		[GO_LEAKED] = "leaked",	      [GO_DEADEXTRA] = "dead",
	};

	return status < GO_STATUSES && names[status] ? names[status] : "unknown";
}

/* ---- the list */

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Addresses of all gs, ascending, each once. */
static int list_gs(struct go_taking *t, uint64_t **ret, size_t *ret_cnt)
{
	struct go_slice allgs;
	uint64_t *addr;
	size_t cnt = 0, all;

	if (go_memory__read(&t->p->memory, t->p->allgs, &allgs, sizeof(allgs)) ||
	    !go_memory__plausible(allgs.ptr) || allgs.len > allgs.cap)
		return -EFAULT;
	t->s->listed = allgs.len;
	all = allgs.len < GO_GOROUTINES_MAX ? allgs.len : GO_GOROUTINES_MAX;
	t->s->beyond = allgs.len - all;
	addr = malloc((all + 1) * sizeof(*addr));
	if (!addr)
		return -ENOMEM;
	if (go_memory__read(&t->p->memory, allgs.ptr, addr, all * sizeof(*addr))) {
		free(addr);
		return -EFAULT;
	}
	qsort(addr, all, sizeof(*addr), by_address);
	for (size_t i = 0; i < all; i++)
		if (go_memory__plausible(addr[i]) && (!cnt || addr[i] != addr[cnt - 1]))
			addr[cnt++] = addr[i];
	*ret = addr;
	*ret_cnt = cnt;
	return 0;
}

static int copy_some(struct go_snapshot *s, const uint64_t *some, size_t cnt, uint64_t **ret)
{
	*ret = malloc((cnt + 1) * sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, some, cnt * sizeof(**ret));
	s->listed = cnt;
	return 0;
}

/* ---- taking */

static int take_all(struct go_taking *t, const uint64_t *addr, size_t cnt)
{
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i += GO_BATCH)
		err = go_taking__batch(t, addr + i, cnt - i < GO_BATCH ? cnt - i : GO_BATCH);
	return err;
}

/* Leaves those that are not as they were. */
static int take_over(struct go_taking *t, const struct go_snapshot *previous, uint64_t *addr,
		     size_t *cnt)
{
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; i < *cnt && !err; i += GO_BATCH)
		err = go_taking__batch_again(t, previous, &at, addr + i,
					     *cnt - i < GO_BATCH ? *cnt - i : GO_BATCH);
	*cnt = t->retry_cnt;
	memcpy(addr, t->retry, *cnt * sizeof(*addr));
	t->retry_cnt = 0;
	return err;
}

/* addr is used up; previous: NULL for none. */
static int take(struct go_taking *t, const struct go_snapshot *previous, uint64_t *addr, size_t cnt)
{
	int err = go_taking__begin(t, cnt);

	if (!err && previous)
		err = take_over(t, previous, addr, &cnt);
	for (int i = 0; i < GO_TRIES && cnt && !err; i++) {
		err = take_all(t, addr, cnt);
		cnt = t->retry_cnt;
		memcpy(addr, t->retry, cnt * sizeof(*addr));
		t->retry_cnt = 0;
		t->s->retried += i ? 0 : cnt;
	}
	t->s->rejected = cnt;
	return err;
}

static int goroutine_order(const void *a, const void *b)
{
	return by_address(&((const struct go_goroutine *)a)->addr,
			  &((const struct go_goroutine *)b)->addr);
}

static bool is_sorted(const struct go_snapshot *s)
{
	for (size_t i = 1; i < s->cnt; i++)
		if (s->goroutine[i].addr < s->goroutine[i - 1].addr)
			return false;
	return true;
}

static int range_order(const void *a, const void *b)
{
	const struct go_stack_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Of those that live; a stack that another one has got meanwhile is the living one's. */
static void list_ranges(struct go_snapshot *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->cnt; i++)
		if (s->goroutine[i].lo < s->goroutine[i].hi)
			s->range[s->ranges++] = (struct go_stack_range){ s->goroutine[i].lo,
									 s->goroutine[i].hi, i };
	qsort(s->range, s->ranges, sizeof(s->range[0]), range_order);
	for (size_t i = 0; i < s->ranges; i++) {
		if (kept && s->range[i].lo < s->range[kept - 1].hi) {
			if (s->range[kept - 1].goroutine == SIZE_MAX)
				s->range[kept - 1] = s->range[i];
			continue;
		}
		s->range[kept++] = s->range[i];
	}
	s->ranges = kept;
}

static void finish(struct go_taking *t)
{
	struct go_snapshot *s = t->s;

	if (!is_sorted(s))
		qsort(s->goroutine, s->cnt, sizeof(s->goroutine[0]), goroutine_order);
	list_ranges(s);
	go_read__threads(t->p, s);
	s->taken_ns = clock__now_ns();
	for (size_t i = 0; i < s->cnt; i++) {
		struct go_goroutine *g = &s->goroutine[i];

		s->status[g->status < GO_STATUSES ? g->status : GO_IDLE]++;
		s->broken += g->stack && !g->stack->complete;
		g->first_ns = g->first_ns ? g->first_ns : s->began_ns;
		if (g->stamp_ns > s->taken_ns)
			g->stamp_ns = 0;
		if (g->waitsince_ns > s->taken_ns)
			g->waitsince_ns = 0;
	}
}

/* addr[cnt], NULL: all there are. */
static int snapshot(struct go_process *p, const struct go_snapshot *previous, const uint64_t *some,
		    size_t cnt, struct go_snapshot **ret)
{
	struct go_taking *t = calloc(1, sizeof(*t));
	struct go_snapshot *s = calloc(1, sizeof(*s));
	uint64_t *addr = NULL;
	int err = t && s ? 0 : -ENOMEM;

	if (!err) {
		t->p = p;
		t->s = s;
		s->began_ns = clock__now_ns();
		err = some ? copy_some(s, some, cnt, &addr) : list_gs(t, &addr, &cnt);
	}
	if (!err)
		err = take(t, previous, addr, cnt);
	if (!err) {
		finish(t);
		*ret = s;
	} else {
		go_snapshot__free(s);
	}
	if (t)
		go_taking__end(t);
	free(t);
	free(addr);
	return err;
}

int go_snapshot__take(struct go_process *p, struct go_snapshot **ret)
{
	return snapshot(p, NULL, NULL, 0, ret);
}

int go_snapshot__take_some(struct go_process *p, const uint64_t *addr, size_t cnt,
			   struct go_snapshot **ret)
{
	for (size_t i = 0; i < cnt; i++)
		if (!go_memory__plausible(addr[i]) || (i && addr[i] <= addr[i - 1]))
			return -EINVAL;
	return snapshot(p, NULL, addr, cnt, ret);
}

int go_snapshot__again(struct go_process *p, const struct go_snapshot *previous,
		       struct go_snapshot **ret)
{
	return snapshot(p, previous, NULL, 0, ret);
}

void go_snapshot__free(struct go_snapshot *s)
{
	if (!s)
		return;
	table__clear(&s->stacks, free);
	free(s->goroutine);
	free(s->range);
	free(s->chan);
	free(s);
}

/* ---- later */

static void recheck_batch(const struct go_process *p, struct go_batch *b, struct go_goroutine *g)
{
	struct go_goroutine now;

	for (size_t i = 0; i < b->cnt; i++)
		b->addr[i] = g[i].addr;
	if (go_read__gs(p, b))
		return;
	for (size_t i = 0; i < b->cnt; i++) {
		if (!b->ok[i])
			continue;
		go_read__decode(p, b->addr[i], b->bytes + i * b->g_sz, &now);
		g[i].steady = go_goroutine__agree(&g[i], &now);
	}
}

void go_snapshot__recheck(const struct go_process *p, struct go_snapshot *s)
{
	struct go_batch *b = calloc(1, sizeof(*b));

	for (size_t i = 0; i < s->cnt; i++)
		s->goroutine[i].steady = false;
	if (!b)
		return;
	b->g_sz = go_layout__g_size(&p->binary->layout);
	b->bytes = malloc(GO_BATCH * b->g_sz);
	for (size_t i = 0; i < s->cnt && b->bytes; i += GO_BATCH) {
		b->cnt = s->cnt - i < GO_BATCH ? s->cnt - i : GO_BATCH;
		recheck_batch(p, b, s->goroutine + i);
	}
	go_read__free(b);
	free(b);
}
