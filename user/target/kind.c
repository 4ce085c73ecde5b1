// SPDX-License-Identifier: GPL-2.0-only
/* From the functions of a stack to what the wait is for. */
#include "user/target/kind.h"

#include <string.h>

#include "user/target/table.h"

/* How many frames above the leaf may belong to the library; the JVM's deepest is 9, inlined ones included. */
#define API_DEPTH 16

static const struct {
	const char *name;
	bool idle;
} kinds[LOCK_KINDS] = {
	[LOCK_INVALID] = { "invalid", false },
	[LOCK_FUTEX] = { "futex", false },
	[LOCK_MUTEX] = { "mutex", false },
	[LOCK_RWLOCK] = { "rwlock", false },
	[LOCK_CONDVAR] = { "condvar", true },
	[LOCK_SEMAPHORE] = { "semaphore", false },
	[LOCK_BARRIER] = { "barrier", false },
	[LOCK_JOIN] = { "join", true },
	[LOCK_ONCE] = { "once", false },
	[LOCK_PARK] = { "futex", true },
	[LOCK_GO_MUTEX] = { "go-mutex", false },
	[LOCK_GO_RWMUTEX] = { "go-rwmutex", false },
	[LOCK_GO_WAITGROUP] = { "go-waitgroup", false },
	[LOCK_GO_CHAN] = { "go-chan", false },
	[LOCK_GO_SELECT] = { "go-select", false },
	[LOCK_GO_COND] = { "go-cond", true },
	[LOCK_SPIN] = { "spinlock", false },
};

const char *lock_kind__name(enum lock_kind kind)
{
	return kinds[kind < LOCK_KINDS ? kind : LOCK_INVALID].name;
}

bool lock_kind__idle(enum lock_kind kind)
{
	return kind < LOCK_KINDS && kinds[kind].idle;
}

static bool is_idle(enum lock_kind kind, unsigned flags)
{
	return flags & TARGET_IDLE || (lock_kind__idle(kind) && !(flags & TARGET_BUSY));
}

/* What the frames have told so far. */
struct reading {
	const struct target_site *site;
	enum lock_kind kind;   /* LOCK_INVALID: nothing yet */
	enum lock_kind call;   /* of the function nearest to the leaf */
	enum target_rank rank; /* of the function that told the kind */
	const char *label;
	unsigned flags;
	int api;
	int c_api; /* the outermost of the C library's functions; -1: none */
	bool cond_wait, lowlevel;
};

/* glibc's own lock, also where the function that waits for it has no name: FUTEX_WAIT with value 2. */
static bool is_lowlevel(const struct reading *r, int i)
{
	const struct target_site *s = r->site;

	if (strcmp(s->frames[i].module, s->frames[0].module))
		return false;
	return r->kind == LOCK_INVALID
		       ? s->rec->op == HU_OP_WAIT && s->rec->sleeps && s->rec->val == 2
		       : r->lowlevel;
}

static void read_label(struct reading *r, const struct target_function *fn, int i)
{
	if (fn->flags & TARGET_LOWLEVEL) {
		if (!is_lowlevel(r, i))
			return;
		r->kind = LOCK_MUTEX;
	}
	if (r->kind == LOCK_INVALID || (fn->kind != LOCK_INVALID && fn->kind != r->kind))
		return;
	if (!*r->label) {
		r->label = fn->label;
		r->flags |= fn->flags & TARGET_KNOWN;
	}
	r->api = i;
}

static void read_function(struct reading *r, const struct target_function *fn, int i)
{
	if (fn->rank == RANK_LABEL) {
		read_label(r, fn, i);
		return;
	}
	if (target__is_c(fn)) {
		r->cond_wait |= fn->kind == LOCK_CONDVAR;
		r->c_api = i;
	}
	if (r->kind == LOCK_INVALID && fn->kind != LOCK_INVALID) {
		r->call = fn->kind;
		r->lowlevel = fn->flags & TARGET_LOWLEVEL;
	} else if (fn->rank == RANK_CALL) {
		r->lowlevel = false; /* pthread_mutex_lock() and the like are built from it */
	}
	r->api = i;
	if (fn->rank <= r->rank)
		return;
	/* Back from a condition variable's wait a thread takes its mutex: no wait for work any more. */
	if (r->call == LOCK_MUTEX && is_idle(fn->kind, fn->flags)) {
		r->label = *r->label || !fn->label ? r->label : fn->label;
		r->flags |= fn->flags & TARGET_OWN;
		return;
	}
	r->rank = fn->rank;
	r->flags = fn->flags;
	if (fn->label)
		r->label = fn->label;
	if (fn->kind != LOCK_INVALID)
		r->kind = fn->kind;
}

static void read_frames(struct reading *r)
{
	const struct target_site *s = r->site;

	for (size_t i = 0; i < s->frame_cnt && i < API_DEPTH && !s->frames[i].guessed; i++) {
		const struct sym_frame *f = &s->frames[i];
		const struct target_function *fn = target__function(f, s->symbol);

		if (fn)
			read_function(r, fn, (int)i);
		else if (!target__is_runtime(f) &&
			 (r->kind != LOCK_INVALID || strcmp(f->module, s->frames[0].module)))
			break; /* the program: what called it back is not what it waits for */
	}
}

/* Objects of the C library's, unless something is built from them that has no object of its own. */
static uint64_t object_of(const struct reading *r, enum lock_kind kind)
{
	const struct target_site *s = r->site;

	if (r->flags & TARGET_OWN)
		return 0;
	if (r->flags & TARGET_WRITER) /* futex_rwlock.rs: state 0, writer_notify 4 */
		return s->rec->uaddr - 4;
	if (r->c_api < 0)
		return s->rec->uaddr;
	/* pthread_cond_timedwait.c, musl: a word on the stack, of value 2, unless it is shared. */
	if (kind == LOCK_CONDVAR && !(s->rec->flags & HU_WAIT_SHARED) &&
	    target__is_musl(s, r->c_api))
		return 0;
	return target__object(kind, s, r->c_api);
}

static void read_symbol(struct reading *r)
{
	const struct target_function *fn = target__symbol(r->site->symbol, r->kind);

	if (!fn)
		return;
	r->kind = LOCK_MUTEX;
	r->label = fn->label;
	r->flags = fn->flags;
}

void target__classify(const struct target_site *site, struct target_wait *ret)
{
	struct reading r = { .site = site, .label = "", .api = -1, .c_api = -1 };
	const struct hu_wait_record *rec = site->rec;

	read_frames(&r);
	/*
	 * In a stripped libc the function that takes the mutex back after a condition variable's
	 * wait has no name; a condvar itself is never waited for by FUTEX_WAIT with value 2 (glibc
	 * ≥ 2.25).
	 */
	if (r.call == LOCK_CONDVAR && r.cond_wait && rec->op == HU_OP_WAIT && rec->sleeps &&
	    rec->val == 2 && !target__is_musl(site, r.c_api)) {
		if (is_idle(r.kind, r.flags)) {
			r.kind = LOCK_MUTEX;
			r.flags &= TARGET_OWN;
		}
		r.call = LOCK_MUTEX;
	}
	if (r.kind == LOCK_INVALID)
		r.kind = target__kind_of_call(rec);
	ret->object = object_of(&r, r.call == LOCK_INVALID ? r.kind : r.call);
	read_symbol(&r);
	/* Several words of one lock. */
	if ((r.flags & TARGET_KNOWN) && !strcmp(site->symbol, "_PyRuntime"))
		ret->object = rec->uaddr - site->symbol_off;
	ret->kind = r.kind;
	ret->api = r.api;
	ret->label = r.label;
	ret->idle = is_idle(r.kind, r.flags);
	ret->unsure = r.flags & TARGET_UNSURE;
	ret->known_as_label = r.flags & TARGET_KNOWN;
}
