// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/intern.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/sym/module.h"

struct slot {
	uint64_t hash;
	char *text;	      /* NULL: free */
	const char *readable; /* in the set, too; NULL: not asked for yet */
};

struct intern {
	struct slot *slot;
	size_t cnt, mask;
	uint64_t seed;
};

int intern__new(struct intern **ret)
{
	struct intern *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->mask = 255;
	s->slot = calloc(s->mask + 1, sizeof(*s->slot));
	if (!s->slot) {
		free(s);
		return -ENOMEM;
	}
	/* Before the kernel has entropy we do without. */
	if (getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) != sizeof(s->seed))
		s->seed = (uintptr_t)s;
	*ret = s;
	return 0;
}

void intern__free(struct intern *s)
{
	if (!s)
		return;
	for (size_t i = 0; i <= s->mask; i++)
		free(s->slot[i].text);
	free(s->slot);
	free(s);
}

static uint64_t hash_text(uint64_t seed, const char *text)
{
	uint64_t h = seed;

	for (; *text; text++) {
		h = (h ^ (uint8_t)*text) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

static int grow(struct intern *s)
{
	size_t mask = s->mask * 2 + 1;
	struct slot *slot = calloc(mask + 1, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i <= s->mask; i++) {
		size_t at = s->slot[i].hash & mask;

		if (!s->slot[i].text)
			continue;
		while (slot[at].text)
			at = (at + 1) & mask;
		slot[at] = s->slot[i];
	}
	free(s->slot);
	s->slot = slot;
	s->mask = mask;
	return 0;
}

static struct slot *add(struct intern *s, const char *text)
{
	uint64_t hash = hash_text(s->seed, text);
	size_t at;
	char *copy;

	if ((s->cnt + 1) * 2 > s->mask && grow(s))
		return NULL;
	for (at = hash & s->mask; s->slot[at].text; at = (at + 1) & s->mask)
		if (s->slot[at].hash == hash && strcmp(s->slot[at].text, text) == 0)
			return &s->slot[at];
	copy = strdup(text);
	if (!copy)
		return NULL;
	s->slot[at] = (struct slot){ .hash = hash, .text = copy };
	s->cnt++;
	return &s->slot[at];
}

const char *intern__add(struct intern *s, const char *text)
{
	struct slot *slot = add(s, text);

	return slot ? slot->text : NULL;
}

const char *intern__add_symbol(struct intern *s, const char *raw, const char **ret_readable)
{
	struct slot *slot = add(s, raw);
	const char *readable;
	char *text;

	if (!slot)
		return NULL;
	raw = slot->text;
	readable = slot->readable;
	if (!readable) {
		text = demangle__name(raw);
		readable = text ? intern__add(s, text) : NULL;
		free(text);
		/* The set may have grown: look the name up again. */
		slot = readable ? add(s, raw) : NULL;
		if (!slot)
			return NULL;
		slot->readable = readable;
	}
	*ret_readable = readable;
	return raw;
}
