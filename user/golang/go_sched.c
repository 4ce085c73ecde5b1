// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCHED_SZ 2048
#define QUEUE_SZ 256 /* len(p.runq) */

static uint32_t u32(const struct go_process *p, uint64_t addr)
{
	uint32_t value = 0;

	return go_memory__read(&p->memory, addr, &value, sizeof(value)) ? 0 : value;
}

static uint64_t u64(const struct go_process *p, uint64_t addr)
{
	uint64_t value = 0;

	return go_memory__u64(&p->memory, addr, &value) ? 0 : value;
}

const char *go_p__status(const struct go_p *p)
{
	static const char *const names[] = { "idle", "running", "syscall", "gcstop", "dead" };

	return p->status < sizeof(names) / sizeof(names[0]) ? names[p->status] : "unknown";
}

static struct go_p read_p(const struct go_process *p, uint64_t addr)
{
	const struct go_layout *l = &p->binary->layout;
	uint32_t queued = u32(p, addr + l->p_runqtail) - u32(p, addr + l->p_runqhead);
	uint64_t m = u64(p, addr + l->p_m);
	uint64_t tid = go_memory__plausible(m) ? u64(p, m + l->m_procid) : 0;

	return (struct go_p){
		.id = u32(p, addr + l->p_id),
		.status = u32(p, addr + l->p_status),
		.tid = tid <= INT32_MAX ? tid : 0,
		.queued = (queued <= QUEUE_SZ ? queued : 0) + (u64(p, addr + l->p_runnext) != 0),
	};
}

/* Ids are given to the P's in portions: those that they have left were never used. */
static uint64_t unused_ids(const struct go_process *p, uint64_t addr)
{
	const struct go_layout *l = &p->binary->layout;
	uint64_t next = u64(p, addr + l->p_goidcache), end = u64(p, addr + l->p_goidcacheend);

	return end >= next && end - next <= 16 ? end - next : 0; /* _GoidCacheBatch */
}

static int read_ps(const struct go_process *p, struct go_sched *s, uint64_t *ret_unused)
{
	const struct go_layout *l = &p->binary->layout;
	struct go_slice allp;
	uint64_t addr;

	if (go_memory__read(&p->memory, p->allp, &allp, sizeof(allp)) || allp.len > GO_PS_MAX)
		return -EFAULT;
	s->p = calloc(allp.len + 1, sizeof(*s->p));
	if (!s->p)
		return -ENOMEM;
	for (size_t i = 0; i < allp.len; i++) {
		addr = u64(p, allp.ptr + 8 * i);
		if (!go_memory__plausible(addr))
			continue;
		s->p[s->ps++] = read_p(p, addr);
		*ret_unused += unused_ids(p, addr);
		if (l->p_created != GO_NO_FIELD)
			s->created += u64(p, addr + l->p_created);
	}
	return 0;
}

int go_sched__read(const struct go_process *p, const struct go_snapshot *snapshot,
		   struct go_sched *ret)
{
	const struct go_layout *l = &p->binary->layout;
	struct go_sched s = { .at_ns = snapshot->taken_ns, .live = snapshot->cnt };
	uint64_t unused = 0, ids;
	int err;

	if (!p->allp || !p->sched)
		return -ENOTSUP;
	err = read_ps(p, &s, &unused);
	if (err)
		return err;
	ids = u64(p, p->sched + l->sched_goidgen);
	s.created_exact = l->p_created != GO_NO_FIELD;
	if (!s.created_exact)
		s.created = ids > unused ? ids - unused : 0;
	else if (l->sched_created != GO_NO_FIELD)
		s.created += u64(p, p->sched + l->sched_created);
	s.queued = u32(p, p->sched + l->sched_runq);
	s.idle_ps = u32(p, p->sched + l->sched_npidle);
	s.idle_ms = u32(p, p->sched + l->sched_nmidle);
	s.spinning_ms = u32(p, p->sched + l->sched_nspinning);
	if (l->sched_mutex_wait != GO_NO_FIELD)
		s.mutex_wait_ns = u64(p, p->sched + l->sched_mutex_wait);
	memcpy(s.status, snapshot->status, sizeof(s.status));
	s.rejected = snapshot->rejected;
	*ret = s;
	return 0;
}

void go_sched__free(struct go_sched *s)
{
	free(s->p);
	*s = (struct go_sched){ 0 };
}

struct go_births go_sched__births(const struct go_sched *before, const struct go_sched *now)
{
	uint64_t created = now->created > before->created ? now->created - before->created : 0;
	uint64_t then = before->live + before->rejected, live = now->live + now->rejected;

	return (struct go_births){
		.created = created,
		.ended = then + created > live ? then + created - live : 0,
		.interval_ns = now->at_ns > before->at_ns ? now->at_ns - before->at_ns : 0,
	};
}
