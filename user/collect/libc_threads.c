// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/libc_threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTOR_SZ_MAX 65536 /* of struct pthread: 2,304 bytes in glibc 2.36 */

/* DB_STRUCT_FIELD, DB_VARIABLE of nptl_db/db_info.c: uint32_t[3]. */
struct field {
	uint32_t bits, cnt, off;
};

/* Where things are in this process. */
struct layout {
	struct field list, tid, start;
	bool joinid;	  /* is where it has been in all versions that have these tables */
	uint64_t head[2]; /* of the lists: stacks that glibc made, and the user's own; 0: none */
};

struct reading {
	struct symbolizer *symbolizer;
	struct sym_process *process;
	struct target_memory *memory;
	struct libc_threads *ret;
	size_t cap;
};

/* ---- symbols */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* The files that may hold it: looking through all symbols of all libraries takes long. */
static bool may_define(const struct reading *r, const struct mapping *map)
{
	const char *name = base_name(map->path);

	return has_prefix(name, "libc.so") || has_prefix(name, "libc-2.") ||
	       has_prefix(name, "ld-") || has_prefix(name, "ld64.") ||
	       !strcmp(map->path, sym_process__exe(r->process));
}

/* The symbol's address in the process; 0: none. */
static uint64_t address_of(const struct reading *r, const char *name)
{
	const struct maps *maps = sym_process__maps(r->process);
	struct module *module, *last = NULL;
	struct symbol symbol;
	uint64_t bias;

	for (size_t i = 0; maps && i < maps->cnt; i++) {
		const struct mapping *map = &maps->map[i];

		if (!map->exec || !map->ino || !may_define(r, map))
			continue;
		module = sym_process__module(r->symbolizer, r->process, map->start, &bias);
		if (!module || module == last)
			continue;
		last = module;
		if (module__by_name(module, name, &symbol))
			return symbol.addr + bias;
	}
	return 0;
}

static bool read_field(const struct reading *r, const char *name, struct field *ret)
{
	uint64_t at = address_of(r, name);

	return at && !target_memory__read(r->memory, at, ret, sizeof(*ret)) &&
	       ret->off < DESCRIPTOR_SZ_MAX;
}

/* Within _rtld_global, which the dynamic loader has; static programs have the variable by itself. */
static uint64_t find_head(const struct reading *r, const char *member, const char *variable)
{
	uint64_t global = address_of(r, "_rtld_global");
	struct field field;

	if (global && read_field(r, member, &field))
		return global + field.off;
	return address_of(r, variable);
}

/*
 * nptl/descr.h, the same from 2.34 to 2.42: joinid, flags, result, schedparam, schedpolicy, start_routine. A detached
 * thread is its own joinid (IS_DETACHED()).
 */
#define JOINID_BELOW_START 32

static bool joinid_is_known(const struct reading *r, const struct layout *l)
{
	struct field priority, policy;

	return read_field(r, "_thread_db_pthread_schedparam_sched_priority", &priority) &&
	       read_field(r, "_thread_db_pthread_schedpolicy", &policy) &&
	       priority.off + 8 == l->start.off && policy.off + 4 == l->start.off &&
	       l->start.off >= JOINID_BELOW_START;
}

static int find_layout(const struct reading *r, struct layout *ret)
{
	if (!read_field(r, "_thread_db_pthread_list", &ret->list) ||
	    !read_field(r, "_thread_db_pthread_tid", &ret->tid) || ret->tid.bits != 32 ||
	    !read_field(r, "_thread_db_pthread_start_routine", &ret->start) ||
	    ret->start.bits != 64)
		return -ENOENT;
	ret->joinid = joinid_is_known(r, ret);
	ret->head[0] = find_head(r, "_thread_db_rtld_global__dl_stack_used", "_dl_stack_used");
	ret->head[1] = find_head(r, "_thread_db_rtld_global__dl_stack_user", "_dl_stack_user");
	return ret->head[0] ? 0 : -ENOENT;
}

/* ---- the lists */

/* The stack ends at its descriptor, and begins where its mapping does: below lies the guard. */
static uint64_t stack_size(const struct reading *r, uint64_t descriptor)
{
	const struct mapping *map = maps__find(sym_process__maps(r->process), descriptor);

	return map ? map->end - map->start : 0;
}

static int add(struct reading *r, const struct libc_thread *t)
{
	size_t cap = r->cap ? 2 * r->cap : 64;
	struct libc_thread *more;

	if (r->ret->cnt == r->cap) {
		more = reallocarray(r->ret->thread, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->ret->thread = more;
		r->cap = cap;
	}
	r->ret->thread[r->ret->cnt++] = *t;
	return 0;
}

static void read_detached(const struct reading *r, const struct layout *l, struct libc_thread *t)
{
	uint64_t joinid;

	t->detached_known = l->joinid &&
			    !target_memory__read(r->memory,
						 t->descriptor + l->start.off - JOINID_BELOW_START,
						 &joinid, sizeof(joinid));
	t->detached = t->detached_known && joinid == t->descriptor;
}

/* include/list.h: a circle of next, prev, through the head. */
static int read_list(struct reading *r, const struct layout *l, uint64_t head, bool own_stacks)
{
	uint64_t at, next;
	int err = 0;

	if (target_memory__read(r->memory, head, &at, sizeof(at)))
		return -EIO;
	/* An empty list that nothing has initialised yet: no thread was ever made. */
	for (; at && at != head && !err; at = next) {
		struct libc_thread t = { .descriptor = at - l->list.off };

		if (r->ret->cnt == LIBC_THREADS_MAX ||
		    target_memory__read(r->memory, at, &next, sizeof(next)) ||
		    target_memory__read(r->memory, t.descriptor + l->tid.off, &t.tid,
					sizeof(t.tid)) ||
		    target_memory__read(r->memory, t.descriptor + l->start.off, &t.start,
					sizeof(t.start))) {
			r->ret->partial = true;
			break;
		}
		/* INT_MIN and -1 stood for "created, not yet started" in older versions. */
		if ((int32_t)t.tid < 0)
			continue;
		read_detached(r, l, &t);
		if (own_stacks)
			t.stack_sz = stack_size(r, t.descriptor);
		err = add(r, &t);
	}
	return err;
}

int libc_threads__read(struct symbolizer *symbolizer, struct sym_process *process,
		       struct target_memory *memory, struct libc_threads *ret)
{
	struct libc_threads t = { 0 };
	struct reading r = { symbolizer, process, memory, &t, 0 };
	struct layout layout = { 0 };
	int err = find_layout(&r, &layout);

	if (!err)
		err = read_list(&r, &layout, layout.head[0], true);
	if (!err && layout.head[1])
		err = read_list(&r, &layout, layout.head[1], false);
	if (err)
		libc_threads__free(&t);
	else
		*ret = t;
	return err;
}

void libc_threads__free(struct libc_threads *t)
{
	free(t->thread);
	*t = (struct libc_threads){ 0 };
}
