// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/history.h"

static void merge(struct history *h)
{
	for (uint32_t i = 0; i < HISTORY_MAX / 2; i++) {
		const struct history_span a = h->span[2 * i], b = h->span[2 * i + 1];

		h->span[i] = (struct history_span){
			.began_ns = a.began_ns,
			.min = a.min < b.min ? a.min : b.min,
			.max = a.max > b.max ? a.max : b.max,
			.last = b.last,
		};
	}
	h->cnt = HISTORY_MAX / 2;
	h->samples_a_span *= 2;
}

void history__add(struct history *h, uint64_t now_ns, uint32_t value)
{
	struct history_span *s;

	if (!h->samples_a_span)
		h->samples_a_span = h->in_last = 1;
	if (h->in_last == h->samples_a_span) {
		if (h->cnt == HISTORY_MAX)
			merge(h);
		h->span[h->cnt++] = (struct history_span){ now_ns, value, value, value };
		h->in_last = 1;
		return;
	}
	s = &h->span[h->cnt - 1];
	if (value < s->min)
		s->min = value;
	if (value > s->max)
		s->max = value;
	s->last = value;
	h->in_last++;
}
