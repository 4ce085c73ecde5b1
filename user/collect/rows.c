// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/rows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/abi.h"
#include "user/collect/extents.h"
#include "user/unwind/cfi.h"
#include "user/unwind/unwind.h"
#include "user/util/clock.h"
#include "user/util/table.h"

/* A walk that began with the old mappings may still read rows that were freed: microseconds, not this. */
#define REUSE_AFTER_NS 1000000000ULL

/*
 * Rows in the kernel's array. Copies of one library in several files (containers' images) have the same rows, and
 * share them: by content, since a build-id is only what a file says of itself, and a forged one would give others
 * wrong stacks.
 */
struct row_run {
	uint32_t first, cnt; /* cnt 0: they are gone */
	uint32_t users;	     /* modules */
};

/* The rows of one module. */
struct row_module {
	struct module *module;
	struct row_run *run; /* NULL: it has none */
	uint64_t base;
	unsigned int refs;
	uint64_t unused_since_ns; /* when refs became 0 */
};

/* What a process holds. */
struct row_process {
	uint32_t tgid;
	uint32_t generation;
	struct row_module **module;
	size_t cnt;
	uint64_t dropped;	  /* mappings that found no place when it was last set */
	struct hu_map_entry *map; /* as the kernel's, which forgets a process at once when it exits */
	uint32_t map_cnt;
};

struct row_store {
	struct hu_row *row; /* the kernel's array */
	uint64_t cap;
	size_t mapped_sz;
	int maps_fd;
	struct extents free;	/* rows */
	struct table modules;	/* of struct row_module */
	struct table runs;	/* of struct row_run, by hash; those that are gone stay, empty */
	struct table processes; /* of struct row_process; generation outlives the process's rows */
	struct hu_proc_maps maps; /* room, while a process is set */
	struct row_stats stats;
};

/* ---- modules */

static bool module__is(const void *value, const void *key)
{
	return ((const struct row_module *)value)->module == key;
}

static uint64_t module__hash(const struct module *m)
{
	return hash__mix(0, (uintptr_t)m);
}

/* The module's rows go; its next user builds them again. */
static void drop_rows(struct row_store *s, struct row_module *rm)
{
	struct row_run *run = rm->run;

	rm->run = NULL;
	s->stats.modules--;
	if (--run->users)
		return;
	extents__give(&s->free, run->first, run->cnt);
	s->stats.rows_used -= run->cnt;
	run->cnt = 0;
}

/* Makes room: modules that no process has mapped any more kept their rows for the next one that has. */
static void evict(struct row_store *s)
{
	uint64_t now = clock__now_ns();
	struct row_module *rm;

	for (size_t i = 0; (rm = table__next(&s->modules, &i));)
		if (!rm->refs && rm->run && now - rm->unused_since_ns >= REUSE_AFTER_NS)
			drop_rows(s, rm);
}

static int allot(struct row_store *s, uint32_t cnt, uint32_t *ret)
{
	if (!extents__take(&s->free, cnt, ret))
		return 0;
	evict(s);
	return extents__take(&s->free, cnt, ret);
}

struct run_key {
	const struct row_store *store;
	const struct cfi_table *cfi;
};

static bool run__equal(const void *value, const void *key)
{
	const struct row_run *run = value;
	const struct run_key *k = key;

	return run->cnt && run->cnt == k->cfi->cnt &&
	       !memcmp(k->store->row + run->first, k->cfi->row, run->cnt * sizeof(*k->cfi->row));
}

static uint64_t rows__hash(const struct cfi_table *cfi)
{
	uint64_t hash = cfi->cnt, word;

	for (size_t i = 0; i < cfi->cnt; i++) {
		memcpy(&word, &cfi->row[i], sizeof(word));
		hash = hash__mix(hash, word);
	}
	return hash;
}

/* New rows; NULL: there is no room, or no memory to note them. */
static struct row_run *run__new(struct row_store *s, const struct cfi_table *cfi, uint64_t hash)
{
	struct row_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	if (allot(s, cfi->cnt, &run->first)) {
		free(run);
		return NULL;
	}
	if (table__add(&s->runs, hash, run)) {
		extents__give(&s->free, run->first, cfi->cnt);
		free(run);
		return NULL;
	}
	run->cnt = cfi->cnt;
	memcpy(s->row + run->first, cfi->row, cfi->cnt * sizeof(*cfi->row));
	s->stats.rows_used += run->cnt;
	return run;
}

static void fill(struct row_store *s, struct row_module *rm)
{
	struct run_key key = { .store = s };
	uint64_t hash;
	struct cfi_table *cfi;
	int err = module__cfi(rm->module, s->cap, &cfi);

	if (err == -E2BIG)
		s->stats.modules_full++; /* no room even if it were alone */
	else if (err)
		s->stats.modules_without++;
	if (err)
		return;
	rm->base = cfi->base;
	hash = rows__hash(cfi);
	key.cfi = cfi;
	rm->run = table__find(&s->runs, hash, run__equal, &key);
	if (!rm->run)
		rm->run = run__new(s, cfi, hash);
	if (rm->run) {
		rm->run->users++;
		s->stats.modules++;
	} else {
		s->stats.modules_full++;
	}
	cfi__free(cfi);
}

/* One more reference; NULL: out of memory. */
static struct row_module *module__get(struct row_store *s, struct module *m)
{
	struct row_module *rm = table__find(&s->modules, module__hash(m), module__is, m);

	if (!rm) {
		rm = calloc(1, sizeof(*rm));
		if (!rm)
			return NULL;
		rm->module = m;
		if (table__add(&s->modules, module__hash(m), rm)) {
			free(rm);
			return NULL;
		}
	}
	if (!rm->refs++ && !rm->run)
		fill(s, rm);
	return rm;
}

static void module__put(struct row_module *rm)
{
	if (!--rm->refs)
		rm->unused_since_ns = clock__now_ns();
}

/* ---- processes */

static bool process__is(const void *value, const void *key)
{
	return ((const struct row_process *)value)->tgid == *(const uint32_t *)key;
}

static void process__release(struct row_module **module, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		module__put(module[i]);
	free(module);
}

static int process__get(struct row_store *s, uint32_t tgid, struct row_process **ret)
{
	uint64_t hash = hash__mix(0, tgid);
	struct row_process *p = table__find(&s->processes, hash, process__is, &tgid);
	int err;

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->tgid = tgid;
		err = table__add(&s->processes, hash, p);
		if (err) {
			free(p);
			return err;
		}
	}
	*ret = p;
	return 0;
}

/* Fills s->maps with the executable mappings; *module gets a reference to each module in them. */
static int list_mappings(struct row_store *s, struct symbolizer *sym, struct sym_process *p,
			 struct row_module **module, size_t *cnt, uint64_t *dropped)
{
	const struct maps *maps = sym_process__maps(p);

	s->maps.cnt = 0;
	for (size_t i = 0; maps && i < maps->cnt; i++) {
		const struct mapping *m = &maps->map[i];
		struct hu_map_entry *e;
		struct row_module *rm;
		struct module *file;
		uint64_t bias = 0;

		if (!m->exec)
			continue;
		if (s->maps.cnt == HU_MAX_MAPS) {
			++*dropped;
			continue;
		}
		e = &s->maps.map[s->maps.cnt++];
		*e = (struct hu_map_entry){ .start = m->start, .end = m->end };
		file = sym_process__module(sym, p, m->start, &bias);
		if (!file)
			continue; /* JIT code: by frame pointers */
		rm = module__get(s, file);
		if (!rm)
			return -ENOMEM;
		module[(*cnt)++] = rm;
		e->bias = bias + rm->base;
		e->row0 = rm->run ? rm->run->first : 0;
		e->rows = rm->run ? rm->run->cnt : 0;
	}
	return 0;
}

int row_store__set_process(struct row_store *s, struct symbolizer *sym, pid_t tgid,
			   struct sym_process *p)
{
	struct row_module **module = calloc(HU_MAX_MAPS, sizeof(*module));
	struct hu_map_entry *map = NULL;
	struct row_process *rp;
	uint32_t key = tgid;
	uint64_t dropped = 0;
	size_t cnt = 0;
	int err;

	if (!module)
		return -ENOMEM;
	err = process__get(s, key, &rp);
	if (!err)
		err = list_mappings(s, sym, p, module, &cnt, &dropped);
	if (!err) {
		map = reallocarray(NULL, s->maps.cnt + 1, sizeof(*map));
		err = map ? 0 : -ENOMEM;
	}
	if (!err) {
		s->maps.generation = ++rp->generation;
		err = bpf_map_update_elem(s->maps_fd, &key, &s->maps, BPF_ANY);
	}
	if (err) {
		process__release(module, cnt);
		free(map);
		return err;
	}
	memcpy(map, s->maps.map, s->maps.cnt * sizeof(*map));
	free(rp->map);
	rp->map = map;
	rp->map_cnt = s->maps.cnt;
	/* The new ones are referenced already, so what both have keeps its rows. */
	process__release(rp->module, rp->cnt);
	rp->module = module;
	rp->cnt = cnt;
	/* Looking again finds the same ones. */
	if (dropped > rp->dropped) {
		s->stats.maps_dropped += dropped - rp->dropped;
		rp->dropped = dropped;
	}
	return 0;
}

void row_store__remove_process(struct row_store *s, pid_t tgid)
{
	uint32_t key = tgid;
	struct row_process *rp = table__find(&s->processes, hash__mix(0, key), process__is, &key);

	if (!rp)
		return;
	bpf_map_delete_elem(s->maps_fd, &key);
	process__release(rp->module, rp->cnt);
	free(rp->map);
	rp->module = NULL;
	rp->cnt = rp->dropped = 0;
	rp->map = NULL;
	rp->map_cnt = 0;
}

/* ---- walking here */

struct walk_ctx {
	const struct row_store *store;
	const struct row_process *process; /* NULL: not known */
	const struct hu_stack_record *rec;
	struct cfi_table table; /* a view of the module's extent */
};

static int walk_read(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	const struct walk_ctx *w = ctx;
	uint64_t off = addr - w->rec->sp;

	if (addr < w->rec->sp || off > w->rec->len || sz > w->rec->len - off)
		return -EFAULT;
	memcpy(buf, w->rec->data + off, sz);
	return 0;
}

static int walk_find(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	struct walk_ctx *w = ctx;

	for (uint32_t i = 0; w->process && i < w->process->map_cnt; i++) {
		const struct hu_map_entry *e = &w->process->map[i];

		if (pc < e->start || pc >= e->end)
			continue;
		w->table = (struct cfi_table){ .row = w->store->row + e->row0, .cnt = e->rows };
		*ret_table = e->rows ? &w->table : NULL;
		*ret_pc = pc - e->bias;
		return 0;
	}
	return -ENOENT;
}

void row_store__walk(struct row_store *s, const struct hu_stack_record *rec, struct hu_stack *ret)
{
	struct unwind_regs regs = {
		.ip = rec->ip, .sp = rec->sp, .fp = rec->fp, .ra_reg = rec->ra_reg
	};
	struct walk_ctx ctx = { .store = s, .rec = rec };
	struct unwind_ops ops = { .read = walk_read, .find = walk_find, .ctx = &ctx };

	ctx.process = table__find(&s->processes, hash__mix(0, rec->tgid), process__is, &rec->tgid);
	unwind__walk(&regs, &ops, ret);
	ret->tgid = rec->tgid;
}

void row_store__stats(const struct row_store *s, struct row_stats *ret)
{
	*ret = s->stats;
	ret->rows = s->cap;
}

int row_store__new(int rows_fd, uint64_t rows, int maps_fd, struct row_store **ret)
{
	struct row_store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->cap = rows;
	s->maps_fd = maps_fd;
	s->mapped_sz = rows * sizeof(struct hu_row);
	s->row = mmap(NULL, s->mapped_sz, PROT_READ | PROT_WRITE, MAP_SHARED, rows_fd, 0);
	if (s->row == MAP_FAILED) {
		err = -errno;
		free(s);
		return err;
	}
	extents__give(&s->free, 0, rows);
	if (!s->free.cnt) {
		row_store__free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void process__free(void *value)
{
	struct row_process *rp = value;

	free(rp->module);
	free(rp->map);
	free(rp);
}

void row_store__free(struct row_store *s)
{
	if (!s)
		return;
	table__clear(&s->processes, process__free);
	table__clear(&s->modules, free);
	table__clear(&s->runs, free);
	munmap(s->row, s->mapped_sz);
	extents__free(&s->free);
	free(s);
}
