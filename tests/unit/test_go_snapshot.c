// SPDX-License-Identifier: GPL-2.0-only
/* Snapshots of a few goroutines, and of all once more, in a program made by hand (go_image.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/go_image.h"

/* The image's memory, and which goroutines' stacks were read. */
struct watched {
	struct go_image *img;
	unsigned stacks; /* bit i: IMG_G(i)'s */
	bool sudogs;
	struct go_process p;
};

static int read_watched(void *ctx, uint64_t addr, void *to, size_t sz)
{
	struct watched *w = ctx;

	for (int i = 0; i < IMG_GS; i++)
		if (addr < IMG_STACKS + (i + 1) * IMG_STACK_SZ &&
		    addr + sz > IMG_STACKS + i * IMG_STACK_SZ)
			w->stacks |= 1u << i;
	w->sudogs |= addr >= IMG_SUDOG(0) && addr < IMG_M;
	return img__read(w->img, addr, to, sz);
}

static void read_watched_many(void *ctx, struct go_piece *piece, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		piece[i].ok = !read_watched(ctx, piece[i].addr, piece[i].to, piece[i].sz);
}

static void open_image(struct watched *w, int minor)
{
	struct go_memory memory = { read_watched, read_watched_many, w };
	const char *why = NULL;

	*w = (struct watched){ .img = img__new(minor) };
	assert_non_null(w->img);
	assert_int_equal(go_process__open(&w->img->binary, &memory, 0, &w->p, &why), 0);
}

static void close_image(struct watched *w)
{
	go_process__close(&w->p);
	free(w->img);
}

static void forget(struct watched *w)
{
	w->stacks = 0;
	w->sudogs = false;
}

static struct go_snapshot *take(struct watched *w)
{
	struct go_snapshot *s = NULL;

	assert_int_equal(go_snapshot__take(&w->p, &s), 0);
	return s;
}

/* The previous one is given up: nothing of it may be used any more. */
static struct go_snapshot *again(struct watched *w, struct go_snapshot *previous)
{
	struct go_snapshot *s = NULL;

	forget(w);
	assert_int_equal(go_snapshot__again(&w->p, previous, &s), 0);
	go_snapshot__free(previous);
	return s;
}

static const struct go_goroutine *find(const struct go_snapshot *s, uint64_t addr)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (s->goroutine[i].addr == addr)
			return &s->goroutine[i];
	return NULL;
}

static void assert_alike(const struct go_snapshot *sa, const struct go_goroutine *a,
			 const struct go_snapshot *sb, const struct go_goroutine *b)
{
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(a->goid, b->goid);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->sema, b->sema);
	assert_int_equal(a->tid, b->tid);
	assert_int_equal(a->chans, b->chans);
	for (int i = 0; i < a->chans; i++)
		assert_int_equal(sa->chan[a->chan_at + i], sb->chan[b->chan_at + i]);
	assert_int_equal(!a->stack, !b->stack);
	if (!a->stack)
		return;
	assert_int_equal(a->stack->complete, b->stack->complete);
	assert_int_equal(a->stack->frames, b->stack->frames);
	assert_memory_equal(a->stack->pcs, b->stack->pcs, 8 * a->stack->frames);
}

static void assert_all_alike(const struct go_snapshot *a, const struct go_snapshot *b)
{
	assert_int_equal(a->cnt, b->cnt);
	assert_int_equal(a->listed, b->listed);
	assert_int_equal(a->rejected, b->rejected);
	assert_int_equal(a->broken, b->broken);
	assert_int_equal(a->ranges, b->ranges);
	assert_memory_equal(a->status, b->status, sizeof(a->status));
	assert_memory_equal(a->range, b->range, a->ranges * sizeof(a->range[0]));
	for (size_t i = 0; i < a->cnt; i++)
		assert_alike(a, &a->goroutine[i], b, &b->goroutine[i]);
}

/* ---- some */

static void test_some(void **state)
{
	static const uint64_t some[] = { IMG_G(1), IMG_G(2), IMG_G(3), IMG_G(4) };

	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct go_snapshot *all, *s;
		struct watched w;

		open_image(&w, minor);
		all = take(&w);
		forget(&w);
		assert_int_equal(go_snapshot__take_some(&w.p, some, 4, &s), 0);
		assert_int_equal(s->listed, 4);
		assert_int_equal(s->cnt, 3); /* one has ended */
		for (size_t i = 0; i < s->cnt; i++)
			assert_alike(s, &s->goroutine[i], all, find(all, s->goroutine[i].addr));
		assert_int_equal(s->goroutine[0].sema, IMG_HEAP + 0x7004);
		assert_int_equal(s->goroutine[1].chans, 1);
		assert_int_equal(s->goroutine[2].tid, 4711);
		assert_int_equal(w.stacks, 1u << 1 | 1u << 2); /* nobody else's */
		go_snapshot__free(s);
		go_snapshot__free(all);
		close_image(&w);
	}
}

static void test_some_others(void **state)
{
	static const uint64_t none[] = { 0x7000, 0x7f0000000000 }, twice[] = { IMG_G(1), IMG_G(1) },
			      descending[] = { IMG_G(2), IMG_G(1) }, odd[] = { IMG_G(1) + 1 };
	struct go_snapshot *s = NULL;
	struct watched w;

	open_image(&w, 24);
	assert_int_equal(go_snapshot__take_some(&w.p, twice, 2, &s), -EINVAL);
	assert_int_equal(go_snapshot__take_some(&w.p, descending, 2, &s), -EINVAL);
	assert_int_equal(go_snapshot__take_some(&w.p, odd, 1, &s), -EINVAL);
	assert_null(s);
	assert_int_equal(go_snapshot__take_some(&w.p, none, 2, &s), 0); /* can't be read */
	assert_int_equal(s->cnt, 0);
	go_snapshot__free(s);
	assert_int_equal(go_snapshot__take_some(&w.p, none, 0, &s), 0);
	assert_int_equal(s->cnt, 0);
	go_snapshot__free(s);
	close_image(&w);
}

/* ---- again */

static void test_again(void **state)
{
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct go_snapshot *first, *s;
		uint64_t since;
		struct watched w;

		open_image(&w, minor);
		first = take(&w);
		s = take(&w);
		since = s->goroutine[1].first_ns;
		for (int i = 0; i < 3; i++) {
			s = again(&w, s);
			assert_all_alike(s, first);
			assert_int_equal(w.stacks, 0);
			assert_false(w.sudogs);
			assert_int_equal(s->goroutine[1].first_ns, since);
			assert_int_equal(s->retried, 0);
		}
		go_snapshot__free(s);
		go_snapshot__free(first);
		close_image(&w);
	}
}

/* What changes of goroutine 2, and that it alone is read anew then. */
static void change(uint64_t addr, uint64_t value, size_t sz)
{
	struct go_snapshot *first, *s, *want;
	struct watched w;

	open_image(&w, 24);
	first = take(&w);
	s = take(&w);
	/* It has gone on: nothing is as it was. */
	img__put(w.img, addr, value, sz);
	img__word(w.img, IMG_STACKS + IMG_STACK_SZ + 0x400 + IMG_FRAME, img__pc(IMG_SERVE, 0x50));
	img__word(w.img, IMG_SUDOG(1) + w.img->l.s_elem_kept, IMG_HEAP + 0x7014);
	s = again(&w, s);
	assert_int_equal(w.stacks, 1u << 1);
	want = take(&w);
	assert_all_alike(s, want);
	assert_int_equal(find(s, IMG_G(1))->first_ns, s->began_ns);
	assert_true(find(s, IMG_G(2))->first_ns < s->began_ns);
	assert_int_equal(find(s, IMG_G(1))->stack->pcs[1], img__pc(IMG_SERVE, 0x50));
	assert_int_equal(find(first, IMG_G(1))->stack->pcs[1], img__pc(IMG_SEMACQUIRE, 0x50));
	go_snapshot__free(want);
	go_snapshot__free(s);
	go_snapshot__free(first);
	close_image(&w);
}

static void test_changes(void **state)
{
	struct go_layout l;

	assert_int_equal(go_layout__of(24, &l), 0);
	change(IMG_G(1) + l.g_tracking_seq, 4, 1);
	change(IMG_G(1) + l.g_goid, 77, 8);
	change(IMG_G(1) + l.g_waitreason, 3, 1);
	change(IMG_G(1) + l.g_status, GO_RUNNABLE, 4);
	change(IMG_G(1) + l.g_pc, img__pc(IMG_GOPARK, 0x94), 8);
	change(IMG_G(1) + l.g_hi, IMG_STACKS + 2 * IMG_STACK_SZ - 8, 8);
}

/* One begins to run, one ends, one is born, and one has a thread all the time. */
static void test_lives(void **state)
{
	struct go_snapshot *s, *want;
	struct watched w;

	open_image(&w, 24);
	img__word(w.img, IMG_BSS + 0x108, IMG_GS - 1); /* there are five */
	s = take(&w);
	assert_int_equal(s->cnt, IMG_GS - 2);
	img__word(w.img, IMG_BSS + 0x108, IMG_GS);
	img__put(w.img, IMG_G(1) + w.img->l.g_status, GO_DEAD, 4);
	img__put(w.img, IMG_G(2) + w.img->l.g_status, GO_RUNNING, 4);
	img__word(w.img, IMG_G(2) + w.img->l.g_m, IMG_M);
	s = again(&w, s);
	assert_int_equal(w.stacks, 1u << 5);
	assert_null(find(s, IMG_G(1)));
	assert_null(find(s, IMG_G(2))->stack);
	assert_int_equal(find(s, IMG_G(2))->chans, 0);
	assert_non_null(find(s, IMG_G(5))->stack);
	want = take(&w);
	assert_all_alike(s, want);
	/* … and rests again. */
	img__put(w.img, IMG_G(2) + w.img->l.g_status, GO_WAITING, 4);
	img__word(w.img, IMG_G(2) + w.img->l.g_m, 0);
	s = again(&w, s);
	assert_int_equal(w.stacks, 1u << 2);
	go_snapshot__free(want);
	want = take(&w);
	assert_all_alike(s, want);
	go_snapshot__free(want);
	go_snapshot__free(s);
	close_image(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some),  cmocka_unit_test(test_some_others),
		cmocka_unit_test(test_again), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
