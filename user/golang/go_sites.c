// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_wait.h"

#define DEPTH	   6	 /* of functions that are inlined in each other */
#define SITES_MAX  64	 /* of one function */
#define CODE_MAX   65536 /* of one function that are looked at */
#define KNOWN_MAX  4096	 /* functions */
#define TARGETS	   24
#define FRAMES_MAX 16

/* A place in a function, by its lines: the outermost function's first, then those of what is inlined there. */
struct place {
	int line[DEPTH];
	uint8_t depth;
};

struct site {
	struct place at;
	uint8_t held; /* enum go_held */
	bool unlocks;
};

struct function_sites {
	uint32_t entry;
	size_t cnt;
	struct site site[];
};

static const struct name {
	const char *function;
	uint8_t held;
	bool unlocks;
} names[] = {
	{ "sync.(*Mutex).Lock", GO_HELD_MUTEX, false },
	{ "sync.(*Mutex).lockSlow", GO_HELD_MUTEX, false },
	{ "internal/sync.(*Mutex).Lock", GO_HELD_MUTEX, false },
	{ "internal/sync.(*Mutex).lockSlow", GO_HELD_MUTEX, false },
	{ "sync.(*Mutex).Unlock", GO_HELD_MUTEX, true },
	{ "sync.(*Mutex).unlockSlow", GO_HELD_MUTEX, true },
	{ "internal/sync.(*Mutex).Unlock", GO_HELD_MUTEX, true },
	{ "internal/sync.(*Mutex).unlockSlow", GO_HELD_MUTEX, true },
	{ "sync.(*RWMutex).Lock", GO_HELD_WRITE, false },
	{ "sync.(*RWMutex).Unlock", GO_HELD_WRITE, true },
	{ "sync.(*RWMutex).RLock", GO_HELD_READ, false },
	{ "sync.runtime_SemacquireRWMutexR", GO_HELD_READ,
	  false },						 /* RLock() is inlined, from 1.20 */
	{ "sync.runtime_SemacquireMutex", GO_HELD_READ, false }, /* … and before */
	{ "sync.(*RWMutex).RUnlock", GO_HELD_READ, true },
	{ "sync.(*RWMutex).rUnlockSlow", GO_HELD_READ, true },
};

struct target {
	uint32_t entry;
	const struct name *name;
};

struct go_sites {
	const struct go_process *p;
	struct target target[TARGETS];
	size_t targets;
	struct table functions;	     /* of struct function_sites */
	struct table helpers;	     /* of struct helper */
	uint8_t *code, *helper_code; /* of CODE_MAX */
};

/* ---- calls in machine code */

#if defined(__aarch64__)
#define CALL_STEP 4
/* BL imm26, Arm ARM C6.2.34 */
static bool decode_call(const uint8_t *code, uint64_t at, uint64_t *ret_target)
{
	uint32_t insn;

	memcpy(&insn, code, sizeof(insn));
	if (insn >> 26 != 0x25)
		return false;
	*ret_target = at + ((int64_t)((uint64_t)insn << 38) >> 36);
	return true;
}
#define CALL_SZ 4
#else
#define CALL_STEP 1
#define CALL_SZ	  5
/* CALL rel32, at any byte: that it is one is shown by where it leads. */
static bool decode_call(const uint8_t *code, uint64_t at, uint64_t *ret_target)
{
	int32_t rel;

	if (code[0] != 0xe8)
		return false;
	memcpy(&rel, code + 1, sizeof(rel));
	*ret_target = at + CALL_SZ + rel;
	return true;
}
#endif

static const struct target *find_target(const struct go_sites *s, uint64_t entry)
{
	for (size_t i = 0; i < s->targets; i++)
		if (s->target[i].entry == entry)
			return &s->target[i];
	return NULL;
}

static void find_targets(struct go_sites *s)
{
	const struct go_pclntab *t = &s->p->binary->pclntab;
	struct go_func f;

	for (uint64_t i = 0; i < t->funcs && s->targets < TARGETS; i++) {
		if (!go_pclntab__func(t, i, &f))
			continue;
		if (strncmp(f.name, "sync.", 5) && strncmp(f.name, "internal/sync.", 14))
			continue;
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			if (!strcmp(f.name, names[n].function) && s->targets < TARGETS)
				s->target[s->targets++] = (struct target){ f.entry, &names[n] };
	}
}

/* ---- places */

/* Lines from the outermost function inwards, without package sync's own. */
static struct place place_of(const struct go_process *p, uint64_t pc)
{
	struct go_frame frame[FRAMES_MAX];
	size_t cnt = go_process__frames(p, pc, false, frame, FRAMES_MAX);
	struct place place = { 0 };

	while (cnt && place.depth < DEPTH) {
		cnt--;
		if (go_wait__is_runtime(frame[cnt].function))
			break;
		place.line[place.depth++] = frame[cnt].line;
	}
	return place;
}

/* < 0: a comes before b. 0: the same, or one is within the other. */
static int compare_places(const struct place *a, const struct place *b)
{
	for (int i = 0; i < a->depth && i < b->depth; i++)
		if (a->line[i] != b->line[i])
			return a->line[i] < b->line[i] ? -1 : 1;
	return 0;
}

/* ---- helpers: functions that lock and return with it, or give back what others took */

static bool defers(const struct go_pclntab *t, const struct go_func *f)
{
	uint32_t deferreturn;

	memcpy(&deferreturn, t->bytes + f->tables - (t->old ? 40 : 44) + 12, sizeof(deferreturn));
	return deferreturn;
}

static bool read_code(const struct go_process *p, const struct go_func *f, uint8_t *code,
		      size_t *ret_sz)
{
	size_t sz = f->end - f->entry < CODE_MAX ? f->end - f->entry : CODE_MAX;

	*ret_sz = sz;
	return !go_binary__read(p->binary, p->text + f->entry - p->bias, code, sz);
}

struct helper {
	uint32_t entry;
	uint8_t locks, unlocks; /* enum go_held: what it does of each, and not the other */
};

static bool helper__is(const void *value, const void *key)
{
	return ((const struct helper *)value)->entry == *(const uint32_t *)key;
}

static struct helper look_at_helper(struct go_sites *s, const struct go_func *f)
{
	uint64_t base = s->p->text + f->entry, to;
	struct helper h = { .entry = f->entry };
	unsigned locks = 0, unlocks = 0;
	size_t sz;

	if (go_wait__is_runtime(f->name) || defers(&s->p->binary->pclntab, f) ||
	    !read_code(s->p, f, s->helper_code, &sz))
		return h;
	for (size_t i = 0; i + CALL_SZ <= sz; i += CALL_STEP) {
		const struct target *t;

		if (!decode_call(s->helper_code + i, base + i, &to))
			continue;
		t = find_target(s, to - s->p->text);
		if (t && t->name->unlocks)
			unlocks |= t->name->held;
		else if (t)
			locks |= t->name->held;
	}
	h.locks = locks & ~unlocks;
	h.unlocks = unlocks & ~locks;
	return h;
}

/* Of a function that begins right there; others are no calls. */
static struct helper helper_at(struct go_sites *s, uint64_t addr)
{
	uint64_t at = addr - s->p->text;
	struct helper *known, h = { 0 };
	struct go_func f;
	uint32_t entry = at;

	if (addr < s->p->text || addr >= s->p->etext)
		return h;
	known = table__find(&s->helpers, hash__mix(1, entry), helper__is, &entry);
	if (known)
		return *known;
	if (s->helpers.cnt >= KNOWN_MAX || !go_pclntab__find(&s->p->binary->pclntab, at, &f) ||
	    f.entry != at)
		return h;
	h = look_at_helper(s, &f);
	known = malloc(sizeof(*known));
	if (known) {
		*known = h;
		if (table__add(&s->helpers, hash__mix(1, entry), known))
			free(known);
	}
	return h;
}

static bool function__is(const void *value, const void *key)
{
	return ((const struct function_sites *)value)->entry == *(const uint32_t *)key;
}

static size_t add_site(struct site *ret, size_t cnt, struct place at, unsigned held, bool unlocks)
{
	if (!held || cnt == SITES_MAX)
		return cnt;
	ret[cnt] = (struct site){ at, held, unlocks };
	return cnt + 1;
}

static size_t find_sites(struct go_sites *s, const struct go_func *f, struct site ret[SITES_MAX])
{
	uint64_t base = s->p->text + f->entry, to;
	size_t sz, cnt = 0;

	if (!read_code(s->p, f, s->code, &sz))
		return 0;
	for (size_t i = 0; i + CALL_SZ <= sz; i += CALL_STEP) {
		const struct target *t;
		struct helper h = { 0 };

		if (!decode_call(s->code + i, base + i, &to))
			continue;
		t = find_target(s, to - s->p->text);
		if (t && t->name->unlocks)
			h.unlocks = t->name->held;
		else if (t)
			h.locks = t->name->held;
		else
			h = helper_at(s, to);
		if (h.locks || h.unlocks) {
			struct place at = place_of(s->p, base + i + CALL_SZ);

			cnt = add_site(ret, cnt, at, h.locks, false);
			cnt = add_site(ret, cnt, at, h.unlocks, true);
		}
	}
	return cnt;
}

static const struct function_sites *sites_of(struct go_sites *s, const struct go_func *f)
{
	struct function_sites *known =
		table__find(&s->functions, hash__mix(0, f->entry), function__is, &f->entry);
	struct site site[SITES_MAX];
	size_t cnt;

	if (known || s->functions.cnt >= KNOWN_MAX)
		return known;
	cnt = find_sites(s, f, site);
	known = malloc(sizeof(*known) + cnt * sizeof(site[0]));
	if (!known)
		return NULL;
	known->entry = f->entry;
	known->cnt = cnt;
	memcpy(known->site, site, cnt * sizeof(site[0]));
	if (table__add(&s->functions, hash__mix(0, f->entry), known)) {
		free(known);
		return NULL;
	}
	return known;
}

/* ---- */

static bool unlocked_between(const struct function_sites *f, const struct site *lock,
			     const struct place *now)
{
	for (size_t i = 0; i < f->cnt; i++)
		if (f->site[i].unlocks && (f->site[i].held & lock->held) &&
		    compare_places(&lock->at, &f->site[i].at) < 0 &&
		    compare_places(&f->site[i].at, now) < 0)
			return true;
	return false;
}

static unsigned held_at(struct go_sites *s, uint64_t pc)
{
	const struct function_sites *f;
	struct place now;
	struct go_func func;
	unsigned held = 0;

	if (!go_process__has_code(s->p, pc - 1) ||
	    !go_pclntab__find(&s->p->binary->pclntab, pc - 1 - s->p->text, &func) ||
	    go_wait__is_runtime(func.name))
		return 0;
	f = sites_of(s, &func);
	if (!f || !f->cnt)
		return 0;
	now = place_of(s->p, pc);
	for (size_t i = 0; i < f->cnt; i++)
		if (!f->site[i].unlocks && compare_places(&f->site[i].at, &now) < 0 &&
		    !unlocked_between(f, &f->site[i], &now))
			held |= f->site[i].held;
	return held;
}

unsigned go_sites__held(struct go_sites *s, const struct go_stack *stack, uint64_t *ret_pc)
{
	unsigned held = 0, here;

	*ret_pc = 0;
	for (size_t i = 0; stack && i < stack->frames; i++) {
		here = held_at(s, stack->pcs[i]);
		if (here && !held)
			*ret_pc = stack->pcs[i];
		held |= here;
	}
	return held;
}

int go_sites__new(const struct go_process *p, struct go_sites **ret)
{
	struct go_sites *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->p = p;
	s->code = malloc(CODE_MAX);
	s->helper_code = malloc(CODE_MAX);
	if (!s->code || !s->helper_code) {
		go_sites__free(s);
		return -ENOMEM;
	}
	find_targets(s);
	*ret = s;
	return 0;
}

void go_sites__free(struct go_sites *s)
{
	if (!s)
		return;
	table__clear(&s->functions, free);
	table__clear(&s->helpers, free);
	free(s->helper_code);
	free(s->code);
	free(s);
}

/* ---- references */

bool go_sites__refers(const struct go_process *p, uint64_t pc, uint64_t from, uint64_t to)
{
#if defined(__x86_64__)
	static const uint8_t after[] = { 0, 1, 4 }; /* bytes of an immediate that follows */
	uint8_t *code;
	struct go_func f;
	bool found = false;
	int32_t rel;
	size_t sz;

	if (!go_process__has_code(p, pc - 1) ||
	    !go_pclntab__find(&p->binary->pclntab, pc - 1 - p->text, &f))
		return false;
	sz = f.end - f.entry < CODE_MAX ? f.end - f.entry : CODE_MAX;
	code = malloc(sz + 1);
	if (code && !go_binary__read(p->binary, p->text + f.entry - p->bias, code, sz))
		for (size_t i = 0; i + sizeof(rel) <= sz && !found; i++)
			for (size_t k = 0; k < sizeof(after); k++) {
				uint64_t at;

				memcpy(&rel, code + i, sizeof(rel));
				at = p->text + f.entry + i + sizeof(rel) + after[k] + rel;
				found |= at >= from && at < to;
			}
	free(code);
	return found;
#else
	return false;
#endif
}
