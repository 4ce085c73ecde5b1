// SPDX-License-Identifier: GPL-2.0-only
/* Reading Go's runtime, in a program made by hand (go_image.h), for each version whose layout is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/go_image.h"
#include "user/golang/go_reach.h"
#include "user/golang/go_sched.h"
#include "user/golang/go_wait.h"

static struct go_image *image(int minor)
{
	struct go_image *img = img__new(minor);

	assert_non_null(img);
	return img;
}

/* ---- versions */

static void test_versions(void **state)
{
	static const struct {
		const char *text;
		int minor;
	} cases[] = {
		{ "go1.22.12", 22 },
		{ "go1.19", 19 },
		{ "go1.24rc1 X:boringcrypto", 24 },
		{ "devel go1.27-a1b2c3d Mon", 27 },
		{ "go1", 0 },
		{ "go1.", 0 },
		{ "go1.x", 0 },
		{ "go1.99999999999", 0 },
		{ "gopher", 0 },
		{ "", 0 },
	};
	struct go_layout l;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(go_version__minor(cases[i].text), cases[i].minor);
	assert_int_equal(go_layout__of(GO_MINOR_FIRST - 1, &l), -ENOTSUP);
	assert_int_equal(go_layout__of(GO_MINOR_LAST + 1, &l), -ENOTSUP);
	assert_int_equal(go_layout__of(24, &l), 0);
	/* Whatever a file's debugging information claims, a record has its bounds. */
	for (size_t i = 0; i < go_field_cnt; i++)
		for (uint32_t off = 0; off <= UINT16_MAX; off += 60)
			go_layout__set(&l, &go_fields[i], off);
	assert_true(go_layout__g_size(&l) <= 4096 && l.s_size <= GO_SUDOG_MAX);
	assert_true(l.r_treap <= 56 && l.r_nwait <= 56);
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		assert_int_equal(go_layout__of(minor, &l), 0);
		assert_true(go_layout__g_size(&l) > l.g_startpc && go_layout__g_size(&l) < 512);
	}
}

/* ---- functions and lines */

static int read_gofunc(void *ctx, uint32_t off, void *buf, size_t sz)
{
	return img__read(ctx, IMG_GOFUNC + off, buf, sz);
}

static void test_functions(void **state)
{
	for (int minor = 19; minor <= 20; minor++) { /* both forms of the table */
		struct go_image *img = image(minor);
		const struct go_pclntab *t = &img->binary.pclntab;
		struct go_func f;
		int32_t delta;

		assert_true(go_pclntab__find(t, IMG_WORK * IMG_FN_SZ + 5, &f));
		assert_string_equal(f.name, "main.work");
		assert_int_equal(f.entry, IMG_WORK * IMG_FN_SZ);
		assert_int_equal(f.end, (IMG_WORK + 1) * IMG_FN_SZ);
		assert_true(go_func__sp_delta(t, &f, f.entry + 15, &delta));
		assert_int_equal(delta, 0);
		assert_true(go_func__sp_delta(t, &f, f.entry + 16, &delta));
		assert_int_equal(delta, IMG_FRAME);
		assert_false(go_func__sp_delta(t, &f, f.end, &delta));
		assert_true(go_pclntab__find(t, IMG_GOEXIT * IMG_FN_SZ, &f));
		assert_int_equal(f.flags, GO_FUNC_TOP);
		assert_false(go_pclntab__find(t, IMG_FUNCTIONS * IMG_FN_SZ, &f));
		assert_false(go_pclntab__find(t, UINT64_MAX, &f));
		free(img);
	}
}

static void test_lines(void **state)
{
	for (int minor = 19; minor <= 20; minor++) {
		struct go_image *img = image(minor);
		const struct go_pclntab *t = &img->binary.pclntab;
		uint64_t work = IMG_WORK * IMG_FN_SZ;
		struct go_frame f[4];

		assert_int_equal(go_pclntab__frames(t, work + 0x90, read_gofunc, img, f, 4), 1);
		assert_string_equal(f[0].function, "main.work");
		assert_string_equal(f[0].file, "/src/app/work.go");
		assert_int_equal(f[0].line, 100 * (IMG_WORK + 1) + 4);
		assert_false(f[0].inlined);
		/* Inlined: its own line first, then that of the call. */
		assert_int_equal(go_pclntab__frames(t, work + 0x50, read_gofunc, img, f, 4), 2);
		assert_string_equal(f[0].function, "sync.(*Mutex).Lock");
		assert_int_equal(f[0].line, 100 * (IMG_WORK + 1) + 7);
		assert_true(f[0].inlined);
		assert_string_equal(f[1].function, "main.work");
		assert_int_equal(f[1].line, 100 * (IMG_WORK + 1));
		/* Of more frames than there is room for the outermost is kept. */
		assert_int_equal(go_pclntab__frames(t, work + 0x50, read_gofunc, img, f, 1), 1);
		assert_string_equal(f[0].function, "main.work");
		free(img);
	}
}

static void test_bad_tables(void **state)
{
	struct go_image *img = image(22);
	struct go_pclntab t;
	struct go_frame f[2];

	for (size_t sz = 0; sz < GO_PCLNTAB_HEADER_SZ; sz++)
		assert_int_equal(go_pclntab__parse(img->ro, sz, &t), -EINVAL);
	img__word(img, IMG_RO + 8, UINT64_MAX / 4); /* functions */
	assert_int_equal(go_pclntab__parse(img->ro, img->table_sz, &t), -EINVAL);
	img__word(img, IMG_RO + 8, IMG_FUNCTIONS);
	img__word(img, IMG_RO + 8 + 56, UINT64_MAX); /* where they are */
	assert_int_equal(go_pclntab__parse(img->ro, img->table_sz, &t), -EINVAL);
	free(img);
	/* A record of inlining that calls itself ends. */
	img = image(22);
	img__u32(img->ro, IMG_GOFUNC - IMG_RO + 8, 0x50);
	assert_true(go_pclntab__frames(&img->binary.pclntab, IMG_WORK * IMG_FN_SZ + 0x50,
				       read_gofunc, img, f, 2) <= 2);
	free(img);
}

/* ---- a whole process */

struct opened {
	struct go_image *img;
	struct go_process p;
	struct go_snapshot *s;
};

static struct opened open_image(int minor)
{
	struct opened o = { .img = image(minor) };
	struct go_memory memory = img__memory(o.img);
	const char *why = NULL;
	int err = go_process__open(&o.img->binary, &memory, 0, &o.p, &why);

	if (err)
		fail_msg("1.%d: %s", minor, why);
	assert_int_equal(go_snapshot__take(&o.p, &o.s), 0);
	return o;
}

static void close_image(struct opened *o)
{
	go_snapshot__free(o->s);
	go_process__close(&o->p);
	free(o->img);
}

static void test_process(void **state)
{
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct opened o = open_image(minor);

		assert_true(o.p.by_proof);
		assert_int_equal(o.p.allgs, IMG_BSS + 0x100);
		assert_int_equal(o.p.allp, IMG_BSS + 0x200);
		assert_int_equal(o.p.sched, IMG_BSS + 0x300);
		assert_int_equal(o.p.reasons, 5);
		assert_string_equal(go_process__reason(&o.p, 3), "chan send");
		assert_string_equal(go_process__reason(&o.p, 200), "");
		assert_int_equal(o.s->listed, IMG_GS);
		assert_int_equal(o.s->cnt, IMG_GS - 1); /* one is dead */
		assert_int_equal(o.s->rejected, 0);
		assert_int_equal(o.s->status[GO_WAITING], 4);
		assert_int_equal(o.s->status[GO_RUNNING], 1);
		close_image(&o);
	}
}

static void assert_stack(const struct opened *o, const struct go_goroutine *g,
			 const enum img_function *fn, int cnt)
{
	assert_non_null(g->stack);
	assert_true(g->stack->complete);
	assert_int_equal(g->stack->frames, cnt + 1);
	assert_int_equal(g->stack->pcs[0], img__pc(fn[0], 0x90));
	for (int i = 1; i < cnt; i++)
		assert_int_equal(g->stack->pcs[i], img__pc(fn[i], 0x50));
	assert_int_equal(g->stack->pcs[cnt], img__pc(IMG_GOEXIT, 1));
}

static void test_goroutines(void **state)
{
	static const enum img_function lock_fn[] = { IMG_GOPARK, IMG_SEMACQUIRE, IMG_WORK,
						     IMG_SERVE },
				       send_fn[] = { IMG_GOPARK, IMG_SERVE };

	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct opened o = open_image(minor);
		const struct go_goroutine *g = o.s->goroutine;

		assert_int_equal(g[1].goid, 2);
		assert_stack(&o, &g[1], lock_fn, 4);
		assert_int_equal(g[1].sema, IMG_HEAP + 0x7004);
		assert_int_equal(g[1].chans, 0);
		assert_stack(&o, &g[2], send_fn, 2);
		assert_int_equal(g[2].chans, 1);
		assert_int_equal(o.s->chan[g[2].chan_at], IMG_HEAP + 0x7100);
		assert_int_equal(g[3].status, GO_RUNNING);
		assert_int_equal(g[3].tid, 4711);
		assert_null(g[3].stack);
		assert_int_equal(g[4].status, GO_WAITING); /* without the scan bit */
		go_snapshot__recheck(&o.p, o.s);
		assert_true(g[1].steady);
		img__put(o.img, IMG_G(1) + o.img->l.g_tracking_seq, 4, 1); /* it has run */
		go_snapshot__recheck(&o.p, o.s);
		assert_false(g[1].steady);
		assert_true(g[2].steady);
		close_image(&o);
	}
}

/* A goroutine that changes at each reading: none of its readings may be believed. */
struct moving {
	struct go_image *img;
	unsigned reads;
};

static int read_moving(void *ctx, uint64_t addr, void *to, size_t sz)
{
	struct moving *m = ctx;

	img__put(m->img, IMG_G(2) + m->img->l.g_tracking_seq, m->reads++, 1);
	return img__read(m->img, addr, to, sz);
}

static void read_moving_many(void *ctx, struct go_piece *piece, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		piece[i].ok = !read_moving(ctx, piece[i].addr, piece[i].to, piece[i].sz);
}

static void test_moving(void **state)
{
	struct moving m = { .img = image(24) };
	struct go_memory memory = { read_moving, read_moving_many, &m };
	struct go_snapshot *s;
	struct go_process p;
	const char *why;

	assert_int_equal(go_process__open(&m.img->binary, &memory, 0, &p, &why), 0);
	assert_int_equal(go_snapshot__take(&p, &s), 0);
	assert_int_equal(s->cnt, IMG_GS - 2);
	assert_int_equal(s->rejected, 1);
	assert_true(s->retried);
	go_snapshot__free(s);
	go_process__close(&p);
	free(m.img);
}

static void refuse(int minor, uint64_t addr, uint64_t value, const char *want)
{
	struct go_image *img = image(minor);
	struct go_memory memory = img__memory(img);
	const char *why = "";
	struct go_process p;

	img__word(img, addr, value);
	assert_int_equal(go_process__open(&img->binary, &memory, 0, &p, &why), -ENOTSUP);
	if (!strstr(why, want))
		fail_msg("%s, not %s", why, want);
	go_process__close(&p);
	free(img);
}

static void test_refusals(void **state)
{
	struct go_layout l;

	assert_int_equal(go_layout__of(24, &l), 0);
	refuse(24, IMG_MD, IMG_RO + 8, "module data");
	refuse(24, IMG_G(0) + l.g_goid, 2, "goroutines");
	refuse(24, IMG_G(0) + l.g_startpc, img__pc(IMG_WORK, 0), "goroutines");
	refuse(24, IMG_BSS + 0x100 + 8, 1ull << 60, "goroutines");
}

/* ---- the scheduler */

static void test_scheduler(void **state)
{
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct opened o = open_image(minor);
		const struct go_layout *l = &o.img->l;
		struct go_sched before, now;
		struct go_births births;

		if (l->p_created != GO_NO_FIELD)
			img__word(o.img, IMG_P + l->p_created, 43);
		img__word(o.img, IMG_P + l->p_goidcache, 44);
		img__word(o.img, IMG_P + l->p_goidcacheend, 49);
		assert_int_equal(go_sched__read(&o.p, o.s, &before), 0);
		assert_int_equal(before.created, 43); /* 48 ids, 5 of them not used */
		assert_int_equal(before.created_exact, minor >= 26);
		assert_int_equal(before.ps, 1);
		assert_int_equal(before.p[0].queued, 3);
		assert_int_equal(before.p[0].tid, 4711);
		assert_string_equal(go_p__status(&before.p[0]), "running");
		assert_int_equal(before.live, IMG_GS - 1);
		now = before;
		now.created += 10;
		now.live += 4;
		now.at_ns += 1000;
		births = go_sched__births(&before, &now);
		assert_int_equal(births.created, 10);
		assert_int_equal(births.ended, 6);
		assert_int_equal(births.interval_ns, 1000);
		go_sched__free(&before);
		o.p.sched = 0;
		assert_int_equal(go_sched__read(&o.p, o.s, &now), -ENOTSUP);
		close_image(&o);
	}
}

/* ---- objects of the heap */

static void test_heap(void **state)
{
	for (int minor = 18; minor <= 27; minor++) {
		struct opened o = open_image(minor);
		struct go_heap_object found;
		struct go_heap heap;

		assert_int_equal(go_heap__read(&o.p, o.s, &heap), 0);
		assert_int_equal(heap.cnt, 4);
		assert_int_equal(heap.objects, 16 + 73 + 32 + 1);
		assert_true(go_heap__find(&heap, IMG_G(2) + 17, &found));
		assert_int_equal(found.addr, IMG_G(2));
		assert_int_equal(found.sz, 512);
		assert_int_equal(found.number, 10);
		assert_false(found.noscan);
		assert_false(go_heap__find(&heap, IMG_HEAP - 1, &found));
		assert_false(go_heap__find(&heap, IMG_HEAP + 0x2000, &found));
		assert_false(go_heap__find(&heap, IMG_HEAP + 0x4000 + 73 * 112, &found));
		assert_true(go_heap__find(&heap, IMG_P + 4 * 8192 - 1, &found));
		assert_int_equal(found.number, heap.objects - 1);
		go_heap__free(&heap);
		/* A size that is not that of its class; then goroutines that are no objects. */
		img__word(o.img, IMG_SPAN(3) + (minor == 21 ? 112 : 104), 272);
		img__put(o.img, IMG_SPAN(3) + (minor == 21 ? 106 : 98), 2 * 17, 1);
		for (int i = 0; i < 3; i++) { /* few may be wrong, for spans change */
			img__put(o.img, IMG_SPAN(i + 2) + (minor == 21 ? 106 : 98), 2 * 11, 1);
			img__put(o.img, IMG_SPAN(i + 2) + (minor == 21 ? 107 : 99), 1, 1);
		}
		assert_int_equal(go_heap__read(&o.p, o.s, &heap), -ENOENT);
		close_image(&o);
		o = open_image(minor);
		img__word(o.img, IMG_SPAN(0) + 24, IMG_HEAP - 0x4000);
		assert_int_equal(go_heap__read(&o.p, o.s, &heap), -ENOENT);
		close_image(&o);
	}
}

/* ---- who may go on */

#define CHAN	(IMG_HEAP + 0x7100) /* goroutine 3 waits for it: index 2 */
#define LOCKS	(IMG_HEAP + 0x7000) /* goroutine 2 waits for it: index 1 */
#define CLOSURE (IMG_HEAP + 0x7200)
#define SPECIAL (IMG_RW + 0x3f00)

/* May index 2 go on? blocked: neither may index 1 by itself. */
static bool goes_on(struct go_image *img, bool blocked)
{
	struct go_memory memory = img__memory(img);
	const struct go_copy copy[] = {
		{ IMG_BSS, 0x800, img__at(img, IMG_BSS, 0x800) },
		/* In two pieces, as large ones are copied. */
		{ IMG_HEAP, 0x7108, img->heap },
		{ IMG_HEAP + 0x7108, IMG_HEAP_SZ - 0x7108, img->heap + 0x7108 },
		{ IMG_STACKS, sizeof(img->stacks), img->stacks },
	};
	const struct go_awaits awaits[] = { { 2, CHAN }, { 1, LOCKS } };
	bool live[IMG_GS] = { true, !blocked, false, true, true, true };
	struct go_snapshot *s;
	struct go_process p;
	struct go_heap heap;
	const char *why;

	assert_int_equal(go_process__open(&img->binary, &memory, 0, &p, &why), 0);
	assert_int_equal(go_snapshot__take(&p, &s), 0);
	assert_int_equal(go_heap__read(&p, s, &heap), 0);
	const struct go_reach_input in = { &p, s, &heap, copy, 4, awaits, blocked ? 2 : 1 };

	assert_int_equal(go_reach__find(&in, live), 0);
	go_heap__free(&heap);
	go_snapshot__free(s);
	go_process__close(&p);
	free(img);
	return live[2];
}

static void test_reach(void **state)
{
	for (int minor = 18; minor <= 27; minor += 3) {
		struct go_image *img = image(minor);
		uint64_t stack = IMG_STACKS + IMG_STACK_SZ + 0x700; /* of index 1, in use */
		int specials = minor == 21 ? 136 : 128;

		/* The runtime's own records of the wait are no reference: in g, and in the table of semaphores. */
		img__word(img, IMG_BSS + 0x700, IMG_SUDOG(2));
		assert_false(goes_on(img, false));
		img = image(minor);
		img__word(img, stack, CHAN + 8);
		assert_true(goes_on(img, false));
		/* … of one that nobody can wake either; then of one that somebody can. */
		img = image(minor);
		img__word(img, stack, CHAN);
		assert_false(goes_on(img, true));
		img = image(minor);
		img__word(img, stack, CHAN);
		img__word(img, IMG_BSS + 0x700, LOCKS);
		assert_true(goes_on(img, true));
		/* A variable of a package. */
		img = image(minor);
		img__word(img, IMG_BSS + 0x700, CHAN);
		assert_true(goes_on(img, false));
		/* The part of a stack that is not in use. */
		img = image(minor);
		img__word(img, IMG_STACKS + IMG_STACK_SZ + 0x100, CHAN);
		assert_false(goes_on(img, false));
		/* A function value that has captured it, and that nobody has any more; then one that a stack has. */
		img = image(minor);
		img__word(img, CLOSURE, img__pc(IMG_WORK, 0));
		img__word(img, CLOSURE + 8, CHAN);
		assert_false(goes_on(img, false));
		img = image(minor);
		img__word(img, CLOSURE + 8, CHAN);
		img__word(img, stack, CLOSURE);
		assert_true(goes_on(img, false));
		/* What looks like a pointer in an object without any. */
		img = image(minor);
		img__word(img, CLOSURE + 8, CHAN);
		img__word(img, stack, CLOSURE);
		img__put(img, IMG_SPAN(3) + (minor == 21 ? 106 : 98), 2 * 18 + 1, 1);
		assert_false(goes_on(img, false));
		/* An object that nobody refers to, but whose finalizer will run; then one that is only profiled. */
		img = image(minor);
		img__word(img, CLOSURE + 8, CHAN);
		img__word(img, IMG_SPAN(3) + specials, SPECIAL);
		img__word(img, SPECIAL + 8, minor < 24 ? 0x1200 | 1 << 16 : 0x1200);
		img__word(img, SPECIAL + 24, IMG_BSS + 0x7f0);
		img__word(img, IMG_BSS + 0x7f0, img__pc(IMG_WORK, 0));
		assert_true(goes_on(img, false));
		img = image(minor);
		img__word(img, CLOSURE + 8, CHAN);
		img__word(img, IMG_SPAN(3) + specials, SPECIAL);
		img__word(img, SPECIAL + 8, minor < 24 ? 0x1200 | 2 << 16 : 0x1200);
		img__word(img, SPECIAL + 24, IMG_BSS + 0x7f0);
		assert_false(goes_on(img, false));
	}
}

/* ---- what they wait for */

static struct go_wait classify(const char *reason, const char *const *names, uint64_t sema,
			       const char *start)
{
	struct go_goroutine g = { .status = GO_WAITING, .sema = sema };
	struct go_frame frame[8] = { 0 };
	struct go_wait w;
	size_t cnt = 0;

	for (; names[cnt]; cnt++)
		frame[cnt].function = names[cnt];
	go_wait__classify(&g, reason, frame, cnt, start, 0x5000, &w);
	return w;
}

#define STACK(...) ((const char *const[]){ "runtime.gopark", __VA_ARGS__, NULL })

static void test_waits(void **state)
{
	struct go_wait w = classify("semacquire",
				    STACK("runtime.semacquire1", "sync.(*Mutex).lockSlow",
					  "sync.(*Mutex).Lock", "main.work"),
				    0x1004, "main.work");

	assert_int_equal(w.kind, LOCK_GO_MUTEX);
	assert_int_equal(w.object, 0x1000);
	assert_int_equal(w.api, 3);
	assert_false(w.idle || w.patient || w.system);
	w = classify("sync.RWMutex.RLock", STACK("sync.(*RWMutex).RLock", "main.work"), 0x100c,
		     "main.work");
	assert_int_equal(w.kind, LOCK_GO_RWMUTEX);
	assert_int_equal(w.way, GO_WAY_READ);
	assert_int_equal(w.object, 0x1000);
	w = classify("sync.Mutex.Lock",
		     STACK("internal/sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock",
			   "sync.(*RWMutex).Lock", "main.work"),
		     0x1004, "main.work");
	assert_int_equal(w.kind, LOCK_GO_RWMUTEX); /* behind another writer */
	assert_int_equal(w.way, GO_WAY_TURN);
	assert_int_equal(w.object, 0x1000);
	w = classify("sync.WaitGroup.Wait", STACK("sync.(*WaitGroup).Wait", "main.main"), 0x1008,
		     "runtime.main");
	assert_int_equal(w.kind, LOCK_GO_WAITGROUP);
	assert_int_equal(w.object, 0x1000);
	assert_true(w.patient);
	w = classify("chan send", STACK("runtime.chansend1", "main.work"), 0, "main.work");
	assert_int_equal(w.kind, LOCK_GO_CHAN);
	assert_int_equal(w.way, GO_WAY_SEND);
	assert_int_equal(w.object, 0x5000);
	assert_false(w.never);
	w = classify("chan receive (nil chan)", STACK("runtime.chanrecv1", "main.work"), 0,
		     "main.work");
	assert_true(w.never && !w.patient);
	w = classify("IO wait", STACK("internal/poll.(*FD).Read", "net.(*conn).Read"), 0,
		     "main.work");
	assert_int_equal(w.kind, LOCK_INVALID);
	assert_true(w.idle);
	w = classify("chan receive", STACK("os/signal.loop"), 0, "os/signal.loop");
	assert_true(w.idle && !w.patient);
	w = classify("GC sweep wait", STACK("runtime.bgsweep"), 0, "runtime.bgsweep");
	assert_true(w.system && w.idle);
	/* A reason of a version to come: nothing is made up. */
	w = classify("waiting for Godot", STACK("main.work"), 0, "main.work");
	assert_int_equal(w.kind, LOCK_INVALID);
	assert_false(w.idle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions), cmocka_unit_test(test_functions),
		cmocka_unit_test(test_lines),	 cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_process),	 cmocka_unit_test(test_goroutines),
		cmocka_unit_test(test_moving),	 cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_waits),	 cmocka_unit_test(test_scheduler),
		cmocka_unit_test(test_heap),	 cmocka_unit_test(test_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
