/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Circles in the order in which locks are taken: thread 1 takes A and then B, thread 2 B and then A. Nothing needs to
 * have hung: it will when both come between their locks at once.
 *
 * Each edge says that one lock was held when another was asked for, and which further locks were held then. A circle
 * is reported when its edges could meet at one moment in different threads: no two of them under one common lock
 * that excludes them (a gate), and at each lock one side asks for it in a way that the other's hold excludes (two
 * readers do not). That is the guarded form of the lock graph of Havelund (SPIN 2000) and of Agarwal, Bensalem et al.
 * (2006). Attempts that give up (try and timed functions) are no edges to what they ask for: who fails goes on, and
 * may let go.
 *
 * Pure: In: edges. Out: circles as indices of edges, each set of locks once, none that contains another. Bounded:
 * ORDER_STEPS_MAX edges are followed, ORDER_LOCKS_MAX locks make a circle. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LOCKS_ORDER_H
#define HOLDUP_MODEL_LOCKS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_LOCKS_MAX	  8
#define ORDER_STEPS_MAX	  2000000
#define ORDER_CIRCLES_MAX 64
#define ORDER_GATES_MAX	  15

struct order_edge {
	uint32_t space; /* locks of different address spaces are different */
	uint64_t first, second;
	bool first_shared, second_shared; /* held, asked for, for reading */
	uint64_t gate[ORDER_GATES_MAX];	  /* other locks held */
	bool gate_shared[ORDER_GATES_MAX];
	size_t gate_cnt;
};

struct order_circle {
	size_t edge[ORDER_LOCKS_MAX]; /* each begins with the lock that the one before asks for */
	size_t cnt;
};

struct order_result {
	struct order_circle circle[ORDER_CIRCLES_MAX];
	size_t cnt;
	bool cut; /* there may be more: a bound was reached */
};

int locks_order__find(const struct order_edge *edge, size_t cnt, struct order_result *ret);

#endif
