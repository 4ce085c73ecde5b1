// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_layout.h"

#include <errno.h>
#include <string.h>

/*
 * src/runtime/runtime2.go (g, sudog, m, p, schedt), chan.go (hchan), sema.go (semaRoot) and symtab.go (moduledata) of
 * each version.
 * Measured by gdb on go1.19.8, 1.21.13, 1.22.12, 1.23.5, 1.24.4, 1.26.10 and 1.27.3; 1.18, 1.20 and 1.25 are read in
 * the source. What a version does not change it takes from the one before.
 */
static const struct go_layout go1_18 = {
	.g_lo = 0,
	.g_hi = 8,
	.g_m = 48,
	.g_sp = 56,
	.g_pc = 64,
	.g_bp = 104,
	.g_syscallsp = 112,
	.g_syscallpc = 120,
	.g_syscallbp = GO_NO_FIELD,
	.g_status = 144,
	.g_goid = 152,
	.g_waitsince = 168,
	.g_waitreason = 176,
	.g_tracking_seq = 189,
	.g_tracking_stamp = 192,
	.g_parent = GO_NO_FIELD,
	.g_gopc = 296,
	.g_startpc = 312,
	.g_waiting = 328,
	.s_g = 0,
	.s_next = 8,
	.s_prev = 16,
	.s_elem = 24,
	.s_elem_kept = 24,
	.s_waitlink = 64,
	.s_c = 80,
	.s_c_kept = 80,
	.s_size = 88,
	.r_treap = 8,
	.r_nwait = 16,
	.c_count = 0,
	.c_cap = 8,
	.c_closed = 28,
	.c_recvq = 56,
	.c_sendq = 72,
	.m_procid = 72,
	.m_curg = 192,
	.m_p = 208,
	.p_id = 0,
	.p_status = 4,
	.p_m = 56,
	.p_runqhead = 400,
	.p_runqtail = 404,
	.p_runnext = 2456,
	.p_goidcache = 384,
	.p_goidcacheend = 392,
	.p_created = GO_NO_FIELD,
	.sched_goidgen = 0,
	.sched_nmidle = 40,
	.sched_maxm = 56,
	.sched_npidle = 88,
	.sched_nspinning = 92,
	.sched_runq = 112,
	.sched_mutex_wait = GO_NO_FIELD,
	.sched_created = GO_NO_FIELD,
	.md_gofunc = 304,
	.func_wrapper = 21,
};

static void to_1_20(struct go_layout *l)
{
	l->sched_runq = 120;
	l->md_gofunc = 320; /* moduledata.covctrs, ecovctrs */
}

/* g.parentGoid; the address of a panic's frame is no more kept. */
static void to_1_21(struct go_layout *l)
{
	l->g_tracking_seq = 188;
	l->g_parent = 272;
	l->g_gopc = 280;
	l->g_startpc = 296;
	l->g_waiting = 312;
	l->sched_mutex_wait = 1624;
}

static void to_1_22(struct go_layout *l)
{
	l->g_tracking_seq = 191; /* g.coroarg and the flags before it */
	l->func_wrapper = 22;	 /* FuncID_corostart */
}

/* g.syscallbp; hchan.timer */
static void to_1_23(struct go_layout *l)
{
	l->g_syscallbp = 128;
	l->g_status = 152;
	l->g_goid = 160;
	l->g_waitsince = 176;
	l->g_waitreason = 184;
	l->g_tracking_seq = 199;
	l->g_tracking_stamp = 200;
	l->g_parent = 280;
	l->g_gopc = 288;
	l->g_startpc = 304;
	l->g_waiting = 320;
	l->p_m = 48;
	l->p_goidcache = 376;
	l->p_goidcacheend = 384;
	l->p_runqhead = 392;
	l->p_runqtail = 396;
	l->p_runnext = 2448;
	l->c_recvq = 64;
	l->c_sendq = 80;
}

/* gobuf.ret is gone; FuncID_runCleanups */
static void to_1_25(struct go_layout *l)
{
	l->func_wrapper = 23;
	l->g_bp = 96;
	l->g_syscallsp = 104;
	l->g_syscallpc = 112;
	l->g_syscallbp = 120;
	l->g_status = 144;
	l->g_goid = 152;
	l->g_waitsince = 168;
	l->g_waitreason = 176;
	l->g_tracking_seq = 191;
	l->g_tracking_stamp = 192;
	l->g_parent = 272;
	l->g_gopc = 280;
	l->g_startpc = 296;
	l->g_waiting = 312;
	l->m_procid = 64;
	l->m_curg = 184;
	l->m_p = 200;
	l->sched_maxm = 64;
	l->sched_nmidle = 48;
	l->sched_npidle = 96;
	l->sched_nspinning = 100;
	l->sched_runq = 128;
}

/* sudog.elem and c are a maybeTraceablePtr each: the pointer, which the collector hides, and the address. */
static void to_1_26(struct go_layout *l)
{
	l->g_parent = 280;
	l->g_gopc = 288;
	l->g_startpc = 304;
	l->g_waiting = 320;
	l->s_waitlink = 72;
	l->s_c = 88;
	l->s_elem_kept = 32;
	l->s_c_kept = 96;
	l->s_size = 104;
	l->m_p = 208;
	l->p_goidcache = 384;
	l->p_goidcacheend = 392;
	l->p_runqhead = 400;
	l->p_runqtail = 404;
	l->p_runnext = 2456;
	l->p_created = 13792;
	l->sched_nmidle = 64;
	l->sched_maxm = 80;
	l->sched_npidle = 112;
	l->sched_nspinning = 116;
	l->sched_runq = 144;
	l->sched_mutex_wait = 1664;
	l->sched_created = 6864; /* by P's that are no more */
}

static void to_1_27(struct go_layout *l)
{
	l->md_gofunc = 344;
}

int go_layout__of(int minor, struct go_layout *ret)
{
	static const struct {
		int minor;
		void (*change)(struct go_layout *l);
	} changes[] = {
		{ 20, to_1_20 }, { 21, to_1_21 }, { 22, to_1_22 }, { 23, to_1_23 },
		{ 25, to_1_25 }, { 26, to_1_26 }, { 27, to_1_27 },
	};
	struct go_layout l = go1_18;

	if (minor < GO_MINOR_FIRST || minor > GO_MINOR_LAST)
		return -ENOTSUP;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (minor >= changes[i].minor)
			changes[i].change(&l);
	*ret = l;
	return 0;
}

/* ---- by name */

#define FIELD(type, field, member)                                         \
	{                                                                  \
		"runtime." type, field, offsetof(struct go_layout, member) \
	}

const struct go_field go_fields[] = {
	FIELD("g", "stack.lo", g_lo),
	FIELD("g", "stack.hi", g_hi),
	FIELD("g", "m", g_m),
	FIELD("g", "sched.sp", g_sp),
	FIELD("g", "sched.pc", g_pc),
	FIELD("g", "sched.bp", g_bp),
	FIELD("g", "syscallsp", g_syscallsp),
	FIELD("g", "syscallpc", g_syscallpc),
	FIELD("g", "syscallbp", g_syscallbp),
	FIELD("g", "atomicstatus", g_status),
	FIELD("g", "goid", g_goid),
	FIELD("g", "waitsince", g_waitsince),
	FIELD("g", "waitreason", g_waitreason),
	FIELD("g", "trackingSeq", g_tracking_seq),
	FIELD("g", "trackingStamp", g_tracking_stamp),
	FIELD("g", "parentGoid", g_parent),
	FIELD("g", "gopc", g_gopc),
	FIELD("g", "startpc", g_startpc),
	FIELD("g", "waiting", g_waiting),
	FIELD("sudog", "g", s_g),
	FIELD("sudog", "next", s_next),
	FIELD("sudog", "prev", s_prev),
	FIELD("sudog", "elem", s_elem),
	FIELD("sudog", "elem.vu", s_elem_kept),
	FIELD("sudog", "waitlink", s_waitlink),
	FIELD("sudog", "c", s_c),
	FIELD("sudog", "c.maybeTraceablePtr.vu", s_c_kept),
	FIELD("semaRoot", "treap", r_treap),
	FIELD("semaRoot", "nwait", r_nwait),
	FIELD("hchan", "qcount", c_count),
	FIELD("hchan", "dataqsiz", c_cap),
	FIELD("hchan", "closed", c_closed),
	FIELD("hchan", "recvq", c_recvq),
	FIELD("hchan", "sendq", c_sendq),
	FIELD("m", "procid", m_procid),
	FIELD("m", "curg", m_curg),
	FIELD("m", "p", m_p),
	FIELD("p", "id", p_id),
	FIELD("p", "status", p_status),
	FIELD("p", "m", p_m),
	FIELD("p", "runqhead", p_runqhead),
	FIELD("p", "runqtail", p_runqtail),
	FIELD("p", "runnext", p_runnext),
	FIELD("p", "goidcache", p_goidcache),
	FIELD("p", "goidcacheend", p_goidcacheend),
	FIELD("p", "goroutinesCreated", p_created),
	FIELD("schedt", "goidgen", sched_goidgen),
	FIELD("schedt", "nmidle", sched_nmidle),
	FIELD("schedt", "maxmcount", sched_maxm),
	FIELD("schedt", "npidle", sched_npidle),
	FIELD("schedt", "nmspinning", sched_nspinning),
	FIELD("schedt", "runqsize", sched_runq),
	FIELD("schedt", "totalMutexWaitTime", sched_mutex_wait),
	FIELD("schedt", "goroutinesCreated", sched_created),
	FIELD("moduledata", "gofunc", md_gofunc),
};
const size_t go_field_cnt = sizeof(go_fields) / sizeof(go_fields[0]);

static uint16_t *member(const struct go_layout *l, const struct go_field *f)
{
	return (uint16_t *)((char *)l + f->member);
}

/* Whoever reads a structure has room for so much of it. */
static uint16_t limit_of(const char *type)
{
	static const struct {
		const char *type;
		uint16_t sz;
	} limits[] = {
		{ "runtime.g", 4096 },		{ "runtime.sudog", GO_SUDOG_MAX },
		{ "runtime.semaRoot", 64 },	{ "runtime.hchan", 256 },
		{ "runtime.moduledata", 1024 },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (!strcmp(limits[i].type, type))
			return limits[i].sz - sizeof(uint64_t);
	return 32768 - sizeof(uint64_t); /* runtime.p has 14 KiB */
}

bool go_layout__set(struct go_layout *l, const struct go_field *f, uint16_t offset)
{
	if (offset > limit_of(f->type))
		return false;
	*member(l, f) = offset;
	if (!strcmp(f->type, "runtime.sudog") && offset + sizeof(uint64_t) > l->s_size)
		l->s_size = offset + sizeof(uint64_t);
	return true;
}

uint16_t go_layout__get(const struct go_layout *l, const struct go_field *f)
{
	return *member(l, f);
}

size_t go_layout__g_size(const struct go_layout *l)
{
	size_t size = 0;

	for (size_t i = 0; i < go_field_cnt; i++) {
		uint16_t at = go_layout__get(l, &go_fields[i]);

		if (!strcmp(go_fields[i].type, "runtime.g") && at != GO_NO_FIELD && at >= size)
			size = at + sizeof(uint64_t);
	}
	return size;
}
