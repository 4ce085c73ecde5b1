// SPDX-License-Identifier: GPL-2.0-only
#include "user/aggregate/hist.h"

#include <stdlib.h>

/* Power 0 holds 0…31 one by one; power p > 0 holds [32 << (p - 1), 64 << (p - 1)). */
static unsigned int power_of(uint64_t ns)
{
	return ns < HIST_SUBS ? 0 : 64 - HIST_SUB_BITS - __builtin_clzll(ns);
}

static unsigned int sub_of(uint64_t ns, unsigned int power)
{
	return power ? (ns >> (power - 1)) - HIST_SUBS : ns;
}

static uint64_t middle_of(unsigned int power, unsigned int sub)
{
	if (!power)
		return sub;
	return ((uint64_t)(HIST_SUBS + sub) << (power - 1)) + ((1ULL << (power - 1)) >> 1);
}

static uint64_t *bucket(struct hist *h, unsigned int power, unsigned int sub)
{
	if (!h->power[power])
		h->power[power] = calloc(HIST_SUBS, sizeof(uint64_t));
	return h->power[power] ? &h->power[power][sub] : NULL;
}

static void add(struct hist *h, unsigned int power, unsigned int sub, uint64_t cnt)
{
	uint64_t *b = bucket(h, power, sub);

	if (!b) {
		h->dropped += cnt;
		return;
	}
	*b += cnt;
	h->cnt += cnt;
}

void hist__add_many(struct hist *h, uint64_t ns, uint64_t cnt)
{
	unsigned int power = power_of(ns);

	add(h, power, sub_of(ns, power), cnt);
}

void hist__add(struct hist *h, uint64_t ns)
{
	hist__add_many(h, ns, 1);
}

void hist__merge(struct hist *h, const struct hist *other)
{
	for (unsigned int p = 0; p < HIST_POWERS; p++)
		for (unsigned int s = 0; other->power[p] && s < HIST_SUBS; s++)
			if (other->power[p][s])
				add(h, p, s, other->power[p][s]);
	h->dropped += other->dropped;
}

void hist__free(struct hist *h)
{
	for (unsigned int p = 0; p < HIST_POWERS; p++)
		free(h->power[p]);
	*h = (struct hist){ 0 };
}

uint64_t hist__percentile(const struct hist *h, double percent, uint64_t max_ns)
{
	uint64_t seen = 0, rank = (uint64_t)(percent / 100 * h->cnt + 0.9999999);

	if (!h->cnt)
		return 0;
	if (rank < 1)
		rank = 1;
	for (unsigned int p = 0; p < HIST_POWERS; p++)
		for (unsigned int s = 0; h->power[p] && s < HIST_SUBS; s++) {
			seen += h->power[p][s];
			if (seen >= rank)
				return middle_of(p, s) < max_ns ? middle_of(p, s) : max_ns;
		}
	return max_ns;
}
