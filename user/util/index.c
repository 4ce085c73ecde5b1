// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/index.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 64

static void link_node(struct index *x, struct index_node *n)
{
	struct index_node **bucket = &x->bucket[n->hash & (x->buckets - 1)];

	n->next = *bucket;
	n->from = bucket;
	if (n->next)
		n->next->from = &n->next;
	*bucket = n;
}

static int grow(struct index *x)
{
	struct index_node **old = x->bucket, *n, *next;
	size_t had = x->buckets, cap = had ? had * 2 : BUCKETS_MIN;
	struct index_node **bucket = calloc(cap, sizeof(struct index_node *));

	if (!bucket)
		return -ENOMEM;
	x->bucket = bucket;
	x->buckets = cap;
	for (size_t i = 0; i < had; i++) {
		for (n = old[i]; n; n = next) {
			next = n->next;
			link_node(x, n);
		}
	}
	free(old);
	return 0;
}

int index__add(struct index *x, struct index_node *n, uint64_t hash)
{
	if (x->cnt >= x->buckets && grow(x) && !x->buckets)
		return -ENOMEM;
	n->hash = hash;
	link_node(x, n);
	x->cnt++;
	return 0;
}

void index__remove(struct index *x, struct index_node *n)
{
	if (!n->from)
		return;
	*n->from = n->next;
	if (n->next)
		n->next->from = n->from;
	n->from = NULL;
	n->next = NULL;
	x->cnt--;
}

struct index_node *index__more(const struct index_node *n)
{
	uint64_t hash = n->hash;

	do
		n = n->next;
	while (n && n->hash != hash);
	return (struct index_node *)n;
}

struct index_node *index__first(const struct index *x, uint64_t hash)
{
	struct index_node *n = x->buckets ? x->bucket[hash & (x->buckets - 1)] : NULL;

	return n && n->hash != hash ? index__more(&(struct index_node){ .next = n, .hash = hash })
				    : n;
}

void index__free(struct index *x)
{
	free(x->bucket);
	*x = (struct index){ 0 };
}
