// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target for the readers of a Go program's memory: module data, variables, goroutines, what they wait for,
 * who waits for semaphores.
 * The input changes a program that is made by hand (tests/unit/go_image.h): a byte for the version, then pieces of
 * 1 byte for the part, 2 for the place, 8 for what stands there instead; half of them after the first look.
 */
#include <stdio.h>

#include "tests/fuzz/check.h"
#include "tests/unit/go_image.h"
#include "user/golang/go_evidence.h"
#include "user/golang/go_reach.h"
#include "user/golang/go_semtable.h"
#include "user/golang/go_sites.h"
#include "user/golang/go_wait.h"

#define PIECE_SZ 11

static void change(struct go_image *img, const uint8_t *piece)
{
	static const uint64_t part[] = { IMG_RO, IMG_RW,  IMG_HEAP, IMG_STACKS,
					 IMG_MD, IMG_BSS, IMG_G(1), IMG_SUDOG(0) };
	uint64_t addr = part[piece[0] % 8] + (piece[1] | (uint64_t)piece[2] << 8);
	uint8_t *at = img__at(img, addr, 8);

	if (at)
		memcpy(at, piece + 3, 8);
}

static void check_goroutine(struct go_process *p, const struct go_snapshot *s,
			    const struct go_goroutine *g)
{
	struct go_frame frame[16];
	struct go_wait w;
	size_t cnt = 0;

	CHECK(g->chans <= GO_CHANS_MAX && g->chan_at + g->chans <= s->chan_cnt);
	CHECK(!g->stack || g->stack->frames <= GO_FRAMES_MAX);
	for (size_t i = 0; g->stack && i < g->stack->frames && cnt < 16; i++)
		cnt += go_process__frames(p, g->stack->pcs[i], false, frame + cnt, 16 - cnt);
	go_wait__classify(g, go_process__reason(p, g->reason), frame, cnt, "main.main",
			  g->chans ? s->chan[g->chan_at] : 0, &w);
	CHECK(w.kind < LOCK_KINDS && w.api < (int)cnt);
}

static void check_evidence(struct go_process *p, const struct go_snapshot *s)
{
	static const uint64_t lock[] = { IMG_BSS + 0x700, IMG_HEAP + 0x7000 };
	struct go_evidence *found = NULL;
	struct go_sites *sites;
	struct go_heap heap;
	bool partial = false, known;
	int err;
	size_t cnt = 0;
	uint64_t pc;

	known = !go_heap__read(p, s, &heap);
	err = go_evidence__gather(p, s, known ? &heap : NULL, lock, 2, &found, &cnt, &partial);
	go_heap__free(&heap);
	if (err)
		return;
	for (size_t i = 0; i < cnt; i++)
		CHECK(found[i].lock < 2 && found[i].goroutine < s->cnt && found[i].hints);
	free(found);
	if (go_sites__new(p, &sites))
		return;
	for (size_t i = 0; i < s->cnt; i++)
		go_sites__held(sites, s->goroutine[i].stack, &pc);
	go_sites__free(sites);
}

static void check_reach(struct go_process *p, const struct go_snapshot *s, struct go_image *img)
{
	const struct go_copy copy[] = {
		{ IMG_BSS, 0x800, img__at(img, IMG_BSS, 0x800) },
		{ IMG_HEAP, IMG_HEAP_SZ, img->heap },
		{ IMG_STACKS, sizeof(img->stacks), img->stacks },
	};
	const struct go_awaits awaits[] = { { 0, IMG_HEAP + 0x7000 }, { 0, IMG_HEAP + 0x7100 } };
	bool *live = malloc(s->cnt + 1);
	struct go_heap_object o;
	struct go_heap heap;

	if (live && s->cnt && !go_heap__read(p, s, &heap)) {
		const struct go_reach_input in = { p, s, &heap, copy, 3, awaits, 2 };

		for (uint64_t at = IMG_HEAP; at < IMG_HEAP + IMG_HEAP_SZ; at += 1000)
			if (go_heap__find(&heap, at, &o))
				CHECK(at >= o.addr && at - o.addr < o.sz &&
				      o.number < heap.objects);
		memset(live, true, s->cnt);
		live[0] = false;
		go_reach__find(&in, live);
		go_heap__free(&heap);
	}
	free(live);
}

static void check_semtable(const struct go_process *p, const struct go_snapshot *s)
{
	struct go_semtable t = { .addr = IMG_SEMTABLE };
	struct go_sema_waiter *waiter;
	size_t cnt;

	/* Its own place, and one that proves itself. */
	for (int i = 0; i < 2; i++) {
		if (i && go_semtable__find(p, s, &t))
			break;
		if (go_semtable__read(p, &t, &waiter, &cnt))
			continue;
		CHECK(cnt <= GO_SEMA_WAITERS_MAX);
		for (size_t n = 0; n < cnt; n++)
			CHECK(!(waiter[n].sema & 3) && (!n || waiter[n - 1].g < waiter[n].g));
		free(waiter);
	}
}

static void check_snapshot(struct go_process *p, const struct go_snapshot *s)
{
	CHECK(s->cnt + s->rejected <= s->listed);
	for (size_t i = 0; i < s->cnt; i++) {
		check_goroutine(p, s, &s->goroutine[i]);
		CHECK(!i || s->goroutine[i - 1].addr < s->goroutine[i].addr);
	}
}

/* Some of them, and all once more after the rest of the input has changed the memory. */
static void check_later(struct go_process *p, struct go_snapshot *s, struct go_image *img,
			const uint8_t *data, size_t sz)
{
	static const uint64_t some[] = { IMG_G(1), IMG_G(2), IMG_G(5) };
	struct go_snapshot *again, *few;

	for (size_t at = 0; at + PIECE_SZ <= sz; at += PIECE_SZ)
		change(img, data + at);
	if (!go_snapshot__take_some(p, some, 3, &few)) {
		check_snapshot(p, few);
		go_snapshot__free(few);
	}
	if (!go_snapshot__again(p, s, &again)) {
		check_snapshot(p, again);
		check_semtable(p, again);
		go_snapshot__free(again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	struct go_snapshot *s;
	struct go_memory memory;
	struct go_process p;
	struct go_image *img;
	const char *why;
	size_t half = 1 + sz / PIECE_SZ / 2 * PIECE_SZ;

	if (!sz)
		return 0;
	img = img__new(GO_MINOR_FIRST + data[0] % (GO_MINOR_LAST - GO_MINOR_FIRST + 1));
	if (!img)
		return 0;
	for (size_t at = 1; at + PIECE_SZ <= half; at += PIECE_SZ)
		change(img, data + at);
	memory = img__memory(img);
	if (!go_pclntab__parse(img->ro, img->table_sz, &img->binary.pclntab) &&
	    !go_process__open(&img->binary, &memory, 0, &p, &why)) {
		if (!go_snapshot__take(&p, &s)) {
			check_snapshot(&p, s);
			check_evidence(&p, s);
			check_reach(&p, s, img);
			check_semtable(&p, s);
			go_snapshot__recheck(&p, s);
			if (half < sz)
				check_later(&p, s, img, data + half, sz - half);
			go_snapshot__free(s);
		}
		go_process__close(&p);
	}
	free(img);
	return 0;
}
