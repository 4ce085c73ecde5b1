// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_wait.h"

#define NEAR_SZ	  2048 /* gs so close to each other are read in one piece */
#define PIECE_MAX 65536
#define SCAN_BIT  0x1000u
#define SCAN_WORDS \
	64 /* of a stack's top, where the sudog of a semaphore is looked for up to 1.25 */
#define SCANS_MAX 8192 /* goroutines for which that is done in one snapshot */

/* ---- gs */

struct span {
	size_t first, cnt; /* of the batch */
};

static size_t make_pieces(const struct go_batch *b, struct go_piece *piece, struct span *span)
{
	size_t cnt = 0;

	for (size_t i = 0; i < b->cnt; i++) {
		uint64_t end = cnt ? piece[cnt - 1].addr + piece[cnt - 1].sz : 0;

		if (cnt && b->addr[i] >= end && b->addr[i] - end <= NEAR_SZ &&
		    b->addr[i] + b->g_sz - piece[cnt - 1].addr <= PIECE_MAX) {
			piece[cnt - 1].sz = b->addr[i] + b->g_sz - piece[cnt - 1].addr;
			span[cnt - 1].cnt++;
			continue;
		}
		piece[cnt] = (struct go_piece){ .addr = b->addr[i], .sz = b->g_sz };
		span[cnt++] = (struct span){ i, 1 };
	}
	return cnt;
}

static void copy_gs(const struct go_process *p, struct go_batch *b, const struct go_piece *piece,
		    const struct span *span)
{
	for (size_t i = span->first; i < span->first + span->cnt; i++) {
		uint8_t *to = b->bytes + i * b->g_sz;

		b->ok[i] = piece->ok;
		if (piece->ok)
			memcpy(to, (uint8_t *)piece->to + (b->addr[i] - piece->addr), b->g_sz);
		else /* what lies between may not be there */
			b->ok[i] = !go_memory__read(&p->memory, b->addr[i], to, b->g_sz);
	}
}

int go_read__gs(const struct go_process *p, struct go_batch *b)
{
	struct go_piece piece[GO_BATCH];
	struct span span[GO_BATCH];
	size_t cnt = make_pieces(b, piece, span), total = 0;

	for (size_t i = 0; i < cnt; i++)
		total += piece[i].sz;
	if (total > b->pieces_sz) {
		free(b->pieces);
		b->pieces = malloc(total);
		b->pieces_sz = b->pieces ? total : 0;
		if (!b->pieces)
			return -ENOMEM;
	}
	total = 0;
	for (size_t i = 0; i < cnt; i++) {
		piece[i].to = b->pieces + total;
		total += piece[i].sz;
	}
	p->memory.read_many(p->memory.ctx, piece, cnt);
	for (size_t i = 0; i < cnt; i++)
		copy_gs(p, b, &piece[i], &span[i]);
	return 0;
}

void go_read__free(struct go_batch *b)
{
	free(b->pieces);
	free(b->bytes);
}

static uint64_t word(const uint8_t *bytes, uint16_t off)
{
	uint64_t value = 0;

	if (off != GO_NO_FIELD)
		memcpy(&value, bytes + off, sizeof(value));
	return value;
}

/*
 * casgstatus() in src/runtime/proc.go: of one in eight waits for a mutex the time of its begin is kept, which
 * g.tracking, the byte before g.trackingSeq, tells.
 */
static uint64_t begin_of_wait(const struct go_layout *l, const uint8_t *bytes)
{
	return l->g_tracking_seq && bytes[l->g_tracking_seq - 1] == 1
		       ? word(bytes, l->g_tracking_stamp)
		       : 0;
}

/*
 * Who leaves the CPU gets its new status first, its count of turns after that, and loses its thread last (casgstatus()
 * and dropg() in src/runtime/proc.go): with a thread it is still on its way, and may have run since it was last seen
 * without its count telling.
 */
static uint32_t settled_status(uint32_t status, uint64_t m)
{
	bool parked = status == GO_RUNNABLE || status == GO_WAITING || status == GO_PREEMPTED;

	return parked && m ? GO_RUNNING : status;
}

void go_read__decode(const struct go_process *p, uint64_t addr, const uint8_t *bytes,
		     struct go_goroutine *ret)
{
	const struct go_layout *l = &p->binary->layout;
	uint32_t status;

	memcpy(&status, bytes + l->g_status, sizeof(status));
	*ret = (struct go_goroutine){
		.addr = addr,
		.goid = word(bytes, l->g_goid),
		.parent = word(bytes, l->g_parent),
		.gopc = word(bytes, l->g_gopc),
		.startpc = word(bytes, l->g_startpc),
		.lo = word(bytes, l->g_lo),
		.hi = word(bytes, l->g_hi),
		.sp = word(bytes, l->g_sp),
		.pc = word(bytes, l->g_pc),
		.m = word(bytes, l->g_m),
		.waiting = word(bytes, l->g_waiting),
		.waitsince_ns = word(bytes, l->g_waitsince),
		.status = settled_status(status & ~SCAN_BIT, word(bytes, l->g_m)),
		.reason = bytes[l->g_waitreason],
		.seq = bytes[l->g_tracking_seq],
	};
	if (ret->status == GO_WAITING)
		ret->stamp_ns = begin_of_wait(l, bytes);
	if (ret->status == GO_SYSCALL) {
		ret->sp = word(bytes, l->g_syscallsp);
		ret->pc = word(bytes, l->g_syscallpc);
	}
	if (ret->status != GO_WAITING && ret->status != GO_LEAKED)
		ret->waiting = 0;
}

/* ---- what they wait for */

struct sudog {
	uint64_t g, elem, link, c;
};

static struct sudog decode_sudog(const struct go_layout *l, const uint8_t *bytes)
{
	return (struct sudog){ word(bytes, l->s_g), word(bytes, l->s_elem_kept),
			       word(bytes, l->s_waitlink), word(bytes, l->s_c_kept) };
}

int go_read__add_chan(struct go_snapshot *s, struct go_goroutine *g, uint64_t chan)
{
	uint64_t *more;

	/* Space for 1024, then twice as much each time. */
	if (!s->chan_cnt || (s->chan_cnt >= 1024 && !(s->chan_cnt & (s->chan_cnt - 1)))) {
		more = reallocarray(s->chan, s->chan_cnt ? s->chan_cnt * 2 : 1024, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->chan = more;
	}
	if (!g->chans)
		g->chan_at = s->chan_cnt;
	s->chan[s->chan_cnt++] = chan;
	g->chans++;
	return 0;
}

/* A channel, or the semaphore (from 1.26); further ones are those of a select. */
static int follow(const struct go_process *p, struct go_snapshot *s, struct go_goroutine *g,
		  struct sudog sudog)
{
	const struct go_layout *l = &p->binary->layout;
	uint8_t bytes[GO_SUDOG_MAX];
	int err = 0;

	for (int i = 0; i < GO_CHANS_MAX && sudog.g == g->addr && !err; i++) {
		if (sudog.c)
			err = go_read__add_chan(s, g, sudog.c);
		else
			g->sema = sudog.elem;
		if (!go_memory__plausible(sudog.link) ||
		    go_memory__read(&p->memory, sudog.link, bytes, l->s_size))
			break;
		sudog = decode_sudog(l, bytes);
	}
	return err;
}

static int read_sudogs(const struct go_process *p, struct go_snapshot *s, struct go_view *view,
		       size_t cnt)
{
	uint8_t(*bytes)[GO_SUDOG_MAX] = malloc((cnt + 1) * sizeof(*bytes));
	struct go_piece piece[GO_BATCH];
	size_t of[GO_BATCH], pieces = 0;
	int err = 0;

	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		if (!go_memory__plausible(view[i].g->waiting))
			continue;
		of[pieces] = i;
		piece[pieces] = (struct go_piece){ .addr = view[i].g->waiting,
						   .to = bytes[pieces],
						   .sz = p->binary->layout.s_size };
		pieces++;
	}
	p->memory.read_many(p->memory.ctx, piece, pieces);
	for (size_t i = 0; i < pieces && !err; i++)
		if (piece[i].ok)
			err = follow(p, s, view[of[i]].g,
				     decode_sudog(&p->binary->layout, bytes[i]));
	free(bytes);
	return err;
}

bool go_read__in_semaphore(const struct go_process *p, const struct go_goroutine *g)
{
	return (g->status == GO_WAITING || g->status == GO_LEAKED) &&
	       go_wait__is_semaphore(go_process__reason(p, g->reason));
}

static bool try_word(const struct go_process *p, struct go_view *view, size_t i)
{
	const struct go_layout *l = &p->binary->layout;
	uint8_t bytes[GO_SUDOG_MAX];
	struct sudog sudog;
	uint64_t at;

	if ((i + 1) * sizeof(at) > view->stack_sz)
		return false;
	memcpy(&at, view->stack + i * sizeof(at), sizeof(at));
	if (!go_memory__plausible(at) || (at >= view->g->lo && at < view->g->hi) ||
	    go_memory__read(&p->memory, at, bytes, l->s_size))
		return false;
	sudog = decode_sudog(l, bytes);
	if (sudog.g != view->g->addr || sudog.c || !go_memory__plausible(sudog.elem & ~7ULL))
		return false;
	view->g->sema = sudog.elem;
	return true;
}

/*
 * Up to 1.25 only semacquire1()'s frame has the sudog. All who wait there have it at the same place, which is tried
 * first; -1: not known yet.
 */
static void find_semaphore(const struct go_process *p, struct go_view *view, int *place,
			   size_t *scans)
{
	if (*place >= 0 && try_word(p, view, *place))
		return;
	if (++*scans > SCANS_MAX)
		return;
	for (int i = 0; i < SCAN_WORDS; i++)
		if (i != *place && try_word(p, view, i)) {
			*place = i;
			return;
		}
}

int go_read__objects(const struct go_process *p, struct go_snapshot *s, struct go_view *view,
		     size_t cnt, size_t *scans)
{
	int err = read_sudogs(p, s, view, cnt), place = -1;

	for (size_t i = 0; i < cnt && !err; i++)
		if (!view[i].g->waiting && go_read__in_semaphore(p, view[i].g))
			find_semaphore(p, &view[i], &place, scans);
	return err;
}

/* ---- threads */

void go_read__threads(const struct go_process *p, struct go_snapshot *s)
{
	const struct go_layout *l = &p->binary->layout;
	uint64_t curg, tid;

	for (size_t i = 0; i < s->cnt; i++) {
		struct go_goroutine *g = &s->goroutine[i];

		if ((g->status != GO_RUNNING && g->status != GO_SYSCALL) ||
		    !go_memory__plausible(g->m) ||
		    go_memory__u64(&p->memory, g->m + l->m_curg, &curg) || curg != g->addr ||
		    go_memory__u64(&p->memory, g->m + l->m_procid, &tid) || tid > INT32_MAX)
			continue;
		g->tid = tid;
	}
}
