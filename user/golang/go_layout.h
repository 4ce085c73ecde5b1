/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the Go runtime keeps what in its structures, by version: offsets in bytes, the same on amd64 and arm64 for
 * every field here. Pure. A version that the table does not know is refused (-ENOTSUP): nothing is guessed.
 *
 * go_fields tells the same by name, so that a program's own DWARF can take precedence (go_dwarf.h).
 */
#ifndef HOLDUP_GOLANG_GO_LAYOUT_H
#define HOLDUP_GOLANG_GO_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GO_MINOR_FIRST 18 /* go1.18 */
#define GO_MINOR_LAST  27
#define GO_NO_FIELD    UINT16_MAX /* this version has no such field */
#define GO_SUDOG_MAX   128	  /* s_size is not more */

struct go_layout {
	/* runtime.g */
	uint16_t g_lo, g_hi, g_m, g_sp, g_pc, g_bp, g_syscallsp, g_syscallpc, g_syscallbp;
	uint16_t g_status, g_goid, g_waitsince, g_waitreason, g_tracking_seq, g_tracking_stamp;
	uint16_t g_parent, g_gopc, g_startpc, g_waiting;
	/* runtime.sudog */
	uint16_t s_g, s_next, s_prev, s_elem, s_waitlink, s_c;
	/* The same; from 1.26 those are nil while the collector looks for leaks. */
	uint16_t s_elem_kept, s_c_kept;
	uint16_t s_size; /* that many bytes of it hold all of these */
	/* runtime.semaRoot */
	uint16_t r_treap, r_nwait;
	/* runtime.hchan */
	uint16_t c_count, c_cap, c_closed, c_recvq, c_sendq;
	/* runtime.m, runtime.p */
	uint16_t m_procid, m_curg, m_p;
	uint16_t p_id, p_status, p_m, p_runqhead, p_runqtail, p_runnext;
	uint16_t p_goidcache, p_goidcacheend;
	uint16_t p_created; /* from 1.26 */
	/* runtime.schedt */
	uint16_t sched_goidgen, sched_nmidle, sched_maxm, sched_npidle, sched_nspinning;
	uint16_t sched_runq, sched_mutex_wait, sched_created;
	/* runtime.moduledata */
	uint16_t md_gofunc;
	uint16_t func_wrapper; /* abi.FuncIDWrapper: no offset, but it changes with the version too */
};

/* minor: 19 for go1.19. -ENOTSUP: not known. */
int go_layout__of(int minor, struct go_layout *ret);
/* How many bytes of a g hold all of its fields. */
size_t go_layout__g_size(const struct go_layout *l);

/* A field by the names of the runtime's source; member is where its offset is in struct go_layout. */
struct go_field {
	const char *type, *field; /* "runtime.g", "sched.bp" */
	size_t member;
};
extern const struct go_field go_fields[];
extern const size_t go_field_cnt;

/* An offset that somebody claims. false: beyond any such structure, and not set. */
bool go_layout__set(struct go_layout *l, const struct go_field *f, uint16_t offset);
uint16_t go_layout__get(const struct go_layout *l, const struct go_field *f);

#endif
