// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_offcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/adopt.h"
#include "user/collect/session_offcpu.h"
#include "user/live_events.h"
#include "user/util/clock.h"
#include "user/util/log.h"

#define ADOPTED_MAX   512 /* threads whose stacks are kept, of 16 KiB each, before they are walked */
#define PASS_EVERY_NS 500000000ULL
#define PASS_SHARE    50 /* passes take at most such a part of the time */

/* ---- what calls are for, while their descriptors are what they were */

struct off_call {
	uint64_t proc_start, reason;
	uint32_t tgid;
	struct call_wait wait;
};

static bool off_call__equal(const void *value, const void *key)
{
	const struct off_call *c = value;
	const struct hu_off_what *w = key;

	return c->tgid == w->tgid && c->proc_start == w->proc_start && c->reason == w->reason;
}

static uint64_t off_call__hash(const struct hu_off_what *w)
{
	return hash__mix(hash__mix(w->tgid, w->proc_start), w->reason);
}

const struct call_wait *live_offcpu__call(const void *live_offcpu, const struct hu_off_what *what)
{
	const struct live_offcpu *l = live_offcpu;
	const struct off_call *c =
		table__find(&l->waits, off_call__hash(what), off_call__equal, what);

	return c ? &c->wait : NULL;
}

static int keep_strings(struct live_offcpu *l, struct call_wait *w)
{
	w->call = intern__add(l->strings, w->call);
	w->what = intern__add(l->strings, w->what);
	w->object = intern__add(l->strings, w->object);
	return w->call && w->what && w->object ? 0 : -ENOMEM;
}

static void forget_descriptors(struct live_offcpu *l)
{
	calls__free(l->calls);
	l->calls = NULL;
}

static int describe(void *ctx, const struct hu_off_what *what)
{
	enum hu_why why = HU_REASON_WHY(what->reason);
	struct live_offcpu *l = ctx;
	struct off_call *c;
	bool fresh;
	int err = 0;

	if (!(what->flags & HU_OFF_ARGS) || (why != HU_WHY_CALL && why != HU_WHY_CALL32))
		return 0;
	/* What was not known may be now: a descriptor's number may have been another program's, before exec. */
	c = table__find(&l->waits, off_call__hash(what), off_call__equal, what);
	if (c && (!HU_REASON_VALUE(what->reason) || *c->wait.object))
		return 0;
	if (!l->calls)
		err = calls__new(&l->calls);
	if (err)
		return err;
	fresh = !c;
	if (fresh)
		c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->tgid = what->tgid;
	c->proc_start = what->proc_start;
	c->reason = what->reason;
	/* The memory that arguments point to has changed since: it is not read. */
	err = calls__describe(l->calls, what->tgid, what->tgid, HU_REASON_NR(what->reason),
			      (const uint64_t *)what->args, why == HU_WHY_CALL32, false, NULL, NULL,
			      &c->wait);
	if (!err)
		err = keep_strings(l, &c->wait);
	if (!err && fresh)
		err = table__add(&l->waits, off_call__hash(what), c);
	if (err && fresh)
		free(c);
	return err;
}

static int kernel_stack(void *ctx, uint64_t id, struct hu_kernel_stack *ret)
{
	return session__off_kernel_stack(((struct live_offcpu *)ctx)->live.session, id, ret);
}

int live_offcpu__open(struct live_offcpu *l, const struct options *opt, uint32_t mode)
{
	const struct off_hooks hooks = { .kernel_stack = kernel_stack,
					 .fresh = describe,
					 .ctx = l };
	int status;

	if (intern__new(&l->strings)) {
		log__msg("out of memory");
		return EXIT_FAILED;
	}
	l->live.what = SESSION_OFFCPU;
	l->live.off_mode = mode;
	status = live__open(&l->live, opt);
	offcpu__init(&l->offcpu, &l->live.aggregate, &hooks);
	return status;
}

/* ---- threads that are off the CPU when it begins */

struct adopted {
	struct hu_off_now now;
	struct hu_stack_record *stack; /* NULL: it could not be read */
	uint64_t read_ns;
};

struct adoption {
	struct live_offcpu *live;
	struct adopted thread[ADOPTED_MAX];
	size_t cnt;
};

static int take_adopted(struct live_offcpu *l, const struct adopted *t)
{
	const struct hu_off_what *what = &t->now.what;
	struct hu_proc_record seen = {
		.hdr = { .kind = HU_REC_SEEN, .size = sizeof(seen), .ts_ns = t->now.hdr.ts_ns },
		.tgid = what->tgid,
		.tid = t->now.tid,
		.proc_start = what->proc_start,
	};
	int err;

	memcpy(seen.comm, what->comm, sizeof(seen.comm));
	err = aggregate__process(&l->live.aggregate, &seen);
	if (!err && t->stack)
		err = live__take_raw_stack(&l->live, t->stack, t->read_ns);
	return err ? err : describe(l, what);
}

static int take_all(struct adoption *a)
{
	int err = 0;

	for (size_t i = 0; i < a->cnt; i++) {
		if (!err)
			err = take_adopted(a->live, &a->thread[i]);
		free(a->thread[i].stack);
	}
	a->cnt = 0;
	return err;
}

static int read_stack(const struct hu_off_now *now, struct adopted *t)
{
	const struct hu_adopt_record rec = {
		.hdr = now->hdr,
		.tgid = now->what.tgid,
		.tid = now->tid,
		.proc_start = now->what.proc_start,
		.stack_id = now->what.user_stack,
		.ip = now->ip,
		.sp = now->sp,
		.fp = now->fp,
		.ra_reg = now->ra_reg,
	};

	if (!rec.stack_id)
		return 0;
	t->stack = malloc(sizeof(*t->stack));
	if (!t->stack)
		return -ENOMEM;
	if (adopt__read_stack(&rec, t->stack)) {
		free(t->stack);
		t->stack = NULL;
	}
	t->read_ns = clock__now_ns();
	return 0;
}

/* Reads what will be gone when the thread goes on; the rest has time. */
static int on_adopted(void *ctx, const void *data, size_t sz)
{
	struct adoption *a = ctx;
	struct adopted *t = &a->thread[a->cnt];
	int err;

	if (sz != sizeof(t->now))
		return -EIO;
	memset(t, 0, sizeof(*t));
	memcpy(&t->now, data, sizeof(t->now));
	t->now.what.comm[HU_COMM_LEN - 1] = '\0';
	err = read_stack(&t->now, t);
	if (err)
		return err;
	return ++a->cnt == ADOPTED_MAX ? take_all(a) : 0;
}

int live_offcpu__adopt(struct live_offcpu *l)
{
	struct adoption *a;
	int err = live__adopt(&l->live), took;

	if (err || l->live.has_program)
		return err;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->live = l;
	err = session__off_adopt(l->live.session, on_adopted, a);
	took = take_all(a);
	forget_descriptors(l);
	free(a);
	err = err ? err : took;
	if (err)
		log__msg("the threads that are off the CPU can't be listed: %s", strerror(-err));
	return err;
}

/* ---- passing over what the kernel side has summed */

struct pass {
	struct live_offcpu *live;
	size_t entries;
	bool drops; /* the table is half full: what nobody uses makes room */
};

static int on_site(void *ctx, const struct hu_off_key *key, const struct hu_off_site *site)
{
	struct pass *p = ctx;
	bool settled, sum = site->what.flags & HU_OFF_SUMMARY;
	int err = offcpu__site(&p->live->offcpu, key, site, &settled);

	p->entries++;
	if (!err && settled && p->drops && !sum) {
		session__off_drop(p->live->live.session, key);
		offcpu__dropped(&p->live->offcpu, key, sum);
	}
	return err;
}

static int on_waker(void *ctx, const struct hu_off_waker_key *key, const struct hu_off_waker *waker)
{
	struct pass *p = ctx;
	bool settled;
	int err = offcpu__waker(&p->live->offcpu, key, waker, &settled);

	if (!err && settled && p->drops) {
		session__off_drop_waker(p->live->live.session, key);
		offcpu__waker_dropped(&p->live->offcpu, key);
	}
	return err;
}

static bool have_kernel_stack(void *ctx, uint64_t id)
{
	return offcpu__kernel_stack(ctx, id) != NULL;
}

static int pass(struct live_offcpu *l, uint64_t sites_made)
{
	struct session *s = l->live.session;
	struct pass p = { .live = l };
	uint64_t began_ns = clock__now_ns();
	int err;

	p.drops = sites_made - l->sites_passed >= session__off_room(s) / 4;
	err = session__off_sites(s, on_site, &p);
	if (!err)
		err = session__off_wakers(s, on_waker, &p);
	if (!err && p.drops)
		session__off_trim_kernel_stacks(s, have_kernel_stack, &l->offcpu);
	forget_descriptors(l);
	l->passed_ns = clock__now_ns();
	l->pass_took_ns = l->passed_ns - began_ns;
	l->sites_passed = sites_made;
	return err;
}

static int tell(int err)
{
	if (err)
		log__msg("reading from the kernel failed: %s", strerror(-err));
	return err;
}

int live_offcpu__poll(struct live_offcpu *l, int timeout_ms)
{
	uint64_t losses[HU_LOSS_CNT];
	int err = live__poll(&l->live, timeout_ms);

	if (err || clock__now_ns() - l->passed_ns < PASS_EVERY_NS + PASS_SHARE * l->pass_took_ns)
		return err;
	err = source__losses(session__source(l->live.session), losses);
	/* New sites: who, and what their descriptors are, can be looked up now. */
	if (!err && losses[HU_LOSS_OFF_SITES] != l->sites_passed)
		err = pass(l, losses[HU_LOSS_OFF_SITES]);
	return tell(err);
}

static int on_now(void *ctx, const void *data, size_t sz)
{
	struct hu_off_now now;

	if (sz != sizeof(now))
		return -EIO;
	memcpy(&now, data, sizeof(now));
	return offcpu__now(&((struct live_offcpu *)ctx)->offcpu, &now);
}

int live_offcpu__settle(struct live_offcpu *l, uint64_t until_ns)
{
	uint64_t made;
	int err = live__settle(&l->live, until_ns);

	if (err)
		return err;
	l->offcpu.until_ns = until_ns;
	made = l->live.seen[HU_LOSS_OFF_SITES];
	err = pass(l, made);
	if (!err)
		err = session__off_pending(l->live.session, on_now, l);
	if (!err)
		err = offcpu__end(&l->offcpu);
	forget_descriptors(l);
	return tell(err);
}

int live_offcpu__next(struct live_offcpu *l)
{
	struct intern *strings;

	/* Descriptors are looked at anew in each interval. */
	if (intern__new(&strings)) {
		log__msg("out of memory");
		return -ENOMEM;
	}
	table__clear(&l->waits, free);
	intern__free(l->strings);
	l->strings = strings;
	offcpu__next(&l->offcpu);
	live__next(&l->live);
	return tell(session__off_turn(l->live.session, l->offcpu.turn));
}

void live_offcpu__close(struct live_offcpu *l)
{
	table__clear(&l->waits, free);
	forget_descriptors(l);
	intern__free(l->strings);
	offcpu__free(&l->offcpu);
	live__close(&l->live);
}
