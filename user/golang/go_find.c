// SPDX-License-Identifier: GPL-2.0-only
/*
 * Variables by symbols, else by values that prove themselves: a slice whose first g is goroutine 1 and started at
 * runtime.main can be nothing but allgs.
 */
#include "user/golang/go_find.h"

#include <string.h>

#define CHUNK_SZ   65536
#define WINDOW_SZ  256	       /* of the chunk's end that is read again with the next one */
#define SCAN_MAX   (64u << 20) /* bytes of one section */
#define PROOFS_MAX 65536       /* candidates that are followed: more are hostile */
#define GS_MAX	   (1ULL << 26)
#define PS_MAX	   1024

/* sched.maxmcount unless debug.SetMaxThreads() changed it: src/runtime/proc.go, schedinit() */
#define MAX_THREADS 10000

#define FIRST_REASON "GC assist marking" /* waitReasonStrings[1], src/runtime/runtime2.go */

/* ---- proofs */

struct finder {
	const struct go_process *p;
	struct go_found found;
	size_t proofs;
};

static uint64_t field(const uint8_t *bytes, uint16_t off)
{
	uint64_t value;

	memcpy(&value, bytes + off, sizeof(value));
	return value;
}

/* The first goroutine, wherever it is by now. */
static bool is_goroutine_1(const struct go_process *p, uint64_t g)
{
	const struct go_layout *l = &p->binary->layout;
	uint64_t start, goid, stack[2];
	uint32_t status;

	if (!go_memory__plausible(g) || go_memory__u64(&p->memory, g + l->g_startpc, &start) ||
	    start != p->text + p->binary->main_entry ||
	    go_memory__u64(&p->memory, g + l->g_goid, &goid) || goid != 1 ||
	    go_memory__read(&p->memory, g + l->g_lo, stack, sizeof(stack)) ||
	    go_memory__read(&p->memory, g + l->g_status, &status, sizeof(status)))
		return false;
	status &= ~0x1000u; /* _Gscan */
	return status >= 1 && status <= 9 && (status == 6 || stack[0] < stack[1]);
}

static bool is_allgs(const struct go_process *p, const struct go_slice *s)
{
	uint64_t g;

	return go_memory__plausible(s->ptr) && s->len && s->len <= s->cap && s->cap <= 2 * GS_MAX &&
	       !go_memory__u64(&p->memory, s->ptr, &g) && is_goroutine_1(p, g);
}

/* Every p knows its number, and one that runs is known by its m. */
static bool is_allp(struct finder *f, const struct go_slice *s)
{
	const struct go_process *p = f->p;
	const struct go_layout *l = &p->binary->layout;
	uint64_t ps[PS_MAX], m, back;
	uint32_t id, status;

	if (!go_memory__plausible(s->ptr) || !s->len || s->len > PS_MAX || s->len > s->cap ||
	    s->cap > 16 * PS_MAX || go_memory__read(&p->memory, s->ptr, ps, s->len * sizeof(ps[0])))
		return false;
	for (size_t i = 0; i < s->len; i++, f->proofs++) {
		if (!go_memory__plausible(ps[i]) ||
		    go_memory__read(&p->memory, ps[i] + l->p_id, &id, sizeof(id)) || id != i ||
		    go_memory__read(&p->memory, ps[i] + l->p_status, &status, sizeof(status)) ||
		    status > 4 || go_memory__u64(&p->memory, ps[i] + l->p_m, &m))
			return false;
		/* _Prunning; it may stop running between the reads, so only a wrong answer counts. */
		if (m && (!go_memory__plausible(m) ||
			  go_memory__u64(&p->memory, m + l->m_p, &back) || (back && back != ps[i])))
			return false;
	}
	return true;
}

/* The idle m's are a list, and their count is beside it. */
static bool is_sched(const struct go_process *p, const uint8_t *bytes)
{
	const struct go_layout *l = &p->binary->layout;
	int32_t idle_ms, idle_ps, max;

	/* The program's own DWARF may say anything. */
	if (l->sched_nmidle > WINDOW_SZ - 8 || l->sched_npidle > WINDOW_SZ - 8 ||
	    l->sched_maxm > WINDOW_SZ - 8 || l->sched_goidgen > WINDOW_SZ - 8)
		return false;
	memcpy(&idle_ms, bytes + l->sched_nmidle, sizeof(idle_ms));
	memcpy(&idle_ps, bytes + l->sched_npidle, sizeof(idle_ps));
	memcpy(&max, bytes + l->sched_maxm, sizeof(max));
	return max == MAX_THREADS && idle_ms >= 0 && idle_ms <= MAX_THREADS && idle_ps >= 0 &&
	       idle_ps <= PS_MAX && field(bytes, l->sched_goidgen) >= 16 &&
	       field(bytes, l->sched_goidgen) < 1ULL << 48;
}

static bool is_wait_reasons(const struct go_process *p, const uint64_t word[4])
{
	char text[sizeof(FIRST_REASON) - 1];

	return !word[0] && !word[1] && word[3] == sizeof(text) &&
	       !go_memory__read(&p->memory, word[2], text, sizeof(text)) &&
	       !memcmp(text, FIRST_REASON, sizeof(text));
}

/* ---- looking through sections */

static bool slice_like(const uint64_t *word)
{
	return word[0] >= 4096 && !(word[0] & 7) && !(word[0] >> 47) && word[1] &&
	       word[1] <= word[2] && word[2] <= 2 * GS_MAX;
}

static void try_bss(struct finder *f, uint64_t addr, const uint8_t *bytes)
{
	struct go_slice s;

	memcpy(&s, bytes, sizeof(s));
	if (slice_like((const uint64_t *)&s) && f->proofs++ < PROOFS_MAX) {
		if (!f->found.allgs && is_allgs(f->p, &s))
			f->found.allgs = addr;
		else if (!f->found.allp && is_allp(f, &s))
			f->found.allp = addr;
	}
	if (!f->found.sched && is_sched(f->p, bytes))
		f->found.sched = addr;
}

static void try_data(struct finder *f, uint64_t addr, const uint8_t *bytes)
{
	uint64_t word[4];

	memcpy(word, bytes, sizeof(word));
	if (!f->found.wait_reasons && word[3] == sizeof(FIRST_REASON) - 1 &&
	    f->proofs++ < PROOFS_MAX && is_wait_reasons(f->p, word))
		f->found.wait_reasons = addr;
}

static void scan(struct finder *f, const struct go_range *r,
		 void (*try)(struct finder *f, uint64_t addr, const uint8_t *bytes))
{
	uint8_t bytes[CHUNK_SZ + WINDOW_SZ];
	uint64_t from = (r->from + 7) & ~7ULL, to = r->to;

	if (to < from)
		return;
	if (to - from > SCAN_MAX)
		to = from + SCAN_MAX;
	for (; from < to; from += CHUNK_SZ) {
		size_t sz = to - from < sizeof(bytes) ? to - from : sizeof(bytes);

		memset(bytes + sz, 0, sizeof(bytes) - sz);
		if (go_memory__read(&f->p->memory, from, bytes, sz))
			continue;
		for (size_t i = 0; i < CHUNK_SZ && i < sz; i += 8)
			try(f, from + i, bytes + i);
	}
}

/* ---- */

static uint64_t at(const struct go_process *p, uint64_t symbol)
{
	return symbol ? symbol + p->bias : 0;
}

const char *go_find__variables(const struct go_process *p, struct go_found *ret)
{
	const struct go_binary *b = p->binary;
	struct finder f = { .p = p };
	struct go_slice allgs;

	f.found.allgs = at(p, b->allgs);
	f.found.allp = at(p, b->allp);
	f.found.sched = at(p, b->sched);
	f.found.wait_reasons = at(p, b->wait_reasons);
	f.found.by_proof = !f.found.allgs;
	if (!f.found.allgs || !f.found.allp || !f.found.sched) {
		scan(&f, &p->bss, try_bss);
		scan(&f, &p->noptrbss, try_bss);
	}
	if (!f.found.wait_reasons)
		scan(&f, &p->data, try_data);
	if (!f.found.allgs)
		return "its list of goroutines was not found";
	if (!go_memory__read(&p->memory, f.found.allgs, &allgs, sizeof(allgs)) && !allgs.len)
		return "it has no goroutines yet";
	if (go_memory__read(&p->memory, f.found.allgs, &allgs, sizeof(allgs)) ||
	    !is_allgs(p, &allgs))
		return "its goroutine 1 is not what this version of Go should have";
	*ret = f.found;
	return NULL;
}
