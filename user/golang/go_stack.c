// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_stack.h"

#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 65536 /* that are remembered */

/* What is known of a place in the code. */
struct go_place {
	uint64_t pc;
	int32_t delta; /* from the stack pointer to the end of the frame; -1: not known */
	bool top;      /* the outermost function of a stack */
	bool wrapper;  /* the compiler made it: Go's own tracebacks leave it out */
	bool start;    /* the function's first instruction */
	bool injected; /* what called it was interrupted, rather than calling */
};

static bool place__is(const void *value, const void *key)
{
	return ((const struct go_place *)value)->pc == *(const uint64_t *)key;
}

/* Signals and preemption make a call at any instruction: src/runtime/traceback.go, unwindTrap. */
static bool is_injected(const char *name)
{
	return !strcmp(name, "runtime.asyncPreempt") || !strcmp(name, "runtime.sigpanic") ||
	       !strcmp(name, "runtime.debugCallV2");
}

/* leaf: it may be where a function begins; exact: it is the next instruction, and no call's return address. */
static struct go_place look_at(const struct go_process *p, uint64_t pc, bool leaf, bool exact)
{
	struct go_place place = { .pc = pc, .delta = -1 };
	const struct go_pclntab *t = &p->binary->pclntab;
	uint64_t at = pc - p->text;
	struct go_func f;

	if (!go_process__has_code(p, pc))
		return place;
	/* A call can be a function's last instruction: where it returns to is the next function's. */
	if (go_pclntab__find(t, at, &f) && (exact || (leaf && f.entry == at)))
		place.start = f.entry == at;
	else if (!at || !go_pclntab__find(t, --at, &f))
		return place;
	if (!go_func__sp_delta(t, &f, at, &place.delta))
		place.delta = -1;
	place.top = f.flags & GO_FUNC_TOP;
	place.wrapper = go_func__is_wrapper(t, &f, at);
	place.injected = is_injected(f.name);
	return place;
}

static struct go_place place_of(struct go_process *p, uint64_t pc, bool leaf, bool exact)
{
	uint64_t hash = hash__mix(leaf, pc);
	struct go_place *known = leaf || exact ? NULL
					       : table__find(&p->sp_delta, hash, place__is, &pc);
	struct go_place place;

	if (known)
		return *known;
	place = look_at(p, pc, leaf, exact);
	if (leaf || exact || p->sp_delta.cnt >= PLACES_MAX)
		return place;
	known = malloc(sizeof(*known));
	if (known) {
		*known = place;
		if (table__add(&p->sp_delta, hash, known))
			free(known);
	}
	return place;
}

/* Go's own calling of functions: on amd64 the return address ends a frame, on arm64 it begins it. */
#if defined(__aarch64__)
#define RETURN_AT(delta) 0
#define FRAME_SZ(delta)	 (delta)
#else
#define RETURN_AT(delta) (delta)
#define FRAME_SZ(delta)	 ((delta) + (int)sizeof(uint64_t))
#endif

enum go_walk_end go_stack__walk(struct go_process *p, const struct go_walk *w,
				uint64_t ret[GO_FRAMES_MAX], size_t *ret_cnt)
{
	uint64_t pc = w->pc, sp = w->sp, off;
	bool exact = false; /* pc is an instruction to be executed */
	size_t cnt = 0;

	*ret_cnt = 0;
	for (size_t steps = 0; cnt < GO_FRAMES_MAX && steps < 2 * GO_FRAMES_MAX; steps++) {
		struct go_place place = place_of(p, pc, !cnt, exact);

		if (!place.wrapper || !cnt)
			ret[cnt++] = pc + (place.start || exact);
		*ret_cnt = cnt;
		if (place.top)
			return GO_WALK_COMPLETE;
		if (place.delta < 0 || sp < w->base)
			return GO_WALK_BROKEN;
		off = sp - w->base + RETURN_AT(place.delta);
		if (off > w->sz || w->sz - off < sizeof(pc))
			return w->base + off + sizeof(pc) <= w->hi ? GO_WALK_MORE : GO_WALK_BROKEN;
		memcpy(&pc, w->bytes + off, sizeof(pc));
		sp += FRAME_SZ(place.delta);
		exact = place.injected;
	}
	return GO_WALK_DEEP;
}
