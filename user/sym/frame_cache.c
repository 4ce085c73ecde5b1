// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/frame_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024
#define SLOTS_MAX (2u << 20)

struct slot {
	uint64_t serial; /* 0: free */
	uint64_t pc;
	const char *function, *raw, *module;
	uint64_t offset:63;
	uint64_t leaf:1;
};

struct frame_cache {
	struct slot *slot;
	size_t cnt, mask;
};

int frame_cache__new(struct frame_cache **ret)
{
	struct frame_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->mask = SLOTS_MIN - 1;
	c->slot = calloc(SLOTS_MIN, sizeof(*c->slot));
	if (!c->slot) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void frame_cache__free(struct frame_cache *c)
{
	if (!c)
		return;
	free(c->slot);
	free(c);
}

/* The slot of key, or the free one where it belongs. */
static struct slot *find_slot(const struct frame_cache *c, struct frame_key key)
{
	uint64_t h = (key.pc * 2 + key.leaf) * 0x9e3779b97f4a7c15 ^ key.serial * 0xff51afd7ed558ccd;
	size_t at = (h ^ h >> 32) & c->mask;

	while (c->slot[at].serial && (c->slot[at].serial != key.serial ||
				      c->slot[at].pc != key.pc || c->slot[at].leaf != key.leaf))
		at = (at + 1) & c->mask;
	return &c->slot[at];
}

/* Twice the size; or, when it is too large already or there is no memory, the same but empty. */
static void grow(struct frame_cache *c)
{
	size_t old_cnt = c->mask + 1;
	struct slot *old = c->slot;
	struct slot *more = old_cnt < SLOTS_MAX ? calloc(old_cnt * 2, sizeof(*more)) : NULL;

	if (!more) {
		memset(old, 0, old_cnt * sizeof(*old));
		c->cnt = 0;
		return;
	}
	c->slot = more;
	c->mask = old_cnt * 2 - 1;
	for (size_t i = 0; i < old_cnt; i++)
		if (old[i].serial)
			*find_slot(c, (struct frame_key){ old[i].serial, old[i].pc, old[i].leaf }) =
				old[i];
	free(old);
}

bool frame_cache__get(const struct frame_cache *c, struct frame_key key, struct sym_frame *ret)
{
	const struct slot *s = find_slot(c, key);

	if (!s->serial)
		return false;
	*ret = (struct sym_frame){ .function = s->function,
				   .raw = s->raw,
				   .module = s->module,
				   .file = "",
				   .offset = s->offset };
	return true;
}

void frame_cache__put(struct frame_cache *c, struct frame_key key, const struct sym_frame *frame)
{
	struct slot *s;

	if (frame->offset >> 63)
		return; /* a pc in the upper half is nobody's code */
	if ((c->cnt + 1) * 2 > c->mask)
		grow(c);
	s = find_slot(c, key);
	if (!s->serial)
		c->cnt++;
	*s = (struct slot){ key.serial,	   key.pc,	  frame->function, frame->raw,
			    frame->module, frame->offset, key.leaf };
}

size_t frame_cache__count(const struct frame_cache *c)
{
	return c->cnt;
}

void frame_cache__clear(struct frame_cache *c)
{
	struct slot *fresh = calloc(SLOTS_MIN, sizeof(*fresh));

	if (!fresh)
		return;
	free(c->slot);
	c->slot = fresh;
	c->mask = SLOTS_MIN - 1;
	c->cnt = 0;
}
