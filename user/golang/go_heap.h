/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the objects of a Go program's heap begin and end: the runtime's list of spans, each with objects of one size.
 * No symbol is needed, nor the program's version: a list is believed if every span of it has the size of its class, and
 * every goroutine lies where an object of its span begins.
 *
 * In: a process and a snapshot of its goroutines; memory hostile: numbers are bounded before anything is allocated by
 * them. Ownership: go_heap__free(). Errors: -ENOENT: nothing that proves itself; -E2BIG; -ENOMEM.
 */
#ifndef HOLDUP_GOLANG_GO_HEAP_H
#define HOLDUP_GOLANG_GO_HEAP_H

#include "user/golang/go_snapshot.h"

struct go_span {
	uint64_t addr;
	uint64_t elem_sz;
	uint32_t elems;
	bool noscan;	   /* its objects have no pointers */
	bool goroutines;   /* some of them are goroutines of the snapshot */
	uint64_t specials; /* what its objects have besides, such as finalizers: a list; 0: none */
	size_t first;	   /* number of its first object, of all objects */
};

struct go_heap {
	struct go_span *span; /* by address */
	size_t cnt;
	size_t objects; /* of all spans */
};

/* An object as it is found by an address somewhere in it. */
struct go_heap_object {
	uint64_t addr, sz;
	size_t number;
	bool noscan, goroutines; /* as its span has it */
};

int go_heap__read(const struct go_process *p, const struct go_snapshot *s, struct go_heap *ret);
bool go_heap__find(const struct go_heap *h, uint64_t addr, struct go_heap_object *ret);
void go_heap__free(struct go_heap *h);

#endif
