// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/walker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/unwind/unwind.h"
#include "user/util/patience.h"
#include "user/util/table.h"

#define PAGE_SZ	 4096
#define ROWS_MAX (1 << 24) /* of one module: 128 MiB of rows, more than any known library has */

/* ---- memory */

void target_memory__set(struct target_memory *m, pid_t tgid)
{
	m->tgid = tgid;
	m->len = 0;
}

void target_memory__close(struct target_memory *m)
{
	if (m->opened)
		close(m->file);
	m->opened = 0;
	m->len = 0;
}

/* The file is of the program that the process ran when it was opened: one that has ended, or called exec, has no bytes. */
static int open_file(struct target_memory *m)
{
	char path[32];
	int fd;

	target_memory__close(m);
	snprintf(path, sizeof(path), "/proc/%d/mem", m->tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
	m->file = fd;
	m->opened = m->tgid;
	return 0;
}

static ssize_t read_file(struct target_memory *m, uint64_t addr, size_t sz)
{
	bool fresh = m->opened != m->tgid;
	int err = fresh ? open_file(m) : 0;
	ssize_t got = err ? 0 : pread(m->file, m->bytes, sz, addr);

	if (!got && !fresh) {
		err = open_file(m);
		got = err ? 0 : pread(m->file, m->bytes, sz, addr);
	}
	if (got < 0)
		err = errno == EIO ? -EFAULT : -errno;
	else if (!got && !err)
		err = -ESRCH;
	return err ? err : got;
}

static int fill(struct target_memory *m, uint64_t addr, size_t sz)
{
	ssize_t got = patience__begin(m->tgid);

	m->len = 0;
	m->addr = addr;
	if (got)
		return got;
	got = read_file(m, addr, sz);
	patience__end();
	if (got < 0)
		return got;
	m->len = got;
	return m->len == sz ? 0 : -EFAULT;
}

int target_memory__read(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	struct target_memory *m = ctx;
	uint64_t off = addr - m->addr;
	int err;

	if (sz > PAGE_SZ)
		return -EFAULT;
	if (addr < m->addr || off > m->len || sz > m->len - off) {
		/* To the end of the next page; a read across the end of a mapping stops there. */
		err = fill(m, addr, 2 * PAGE_SZ - addr % PAGE_SZ);
		if (m->len < sz)
			return err ? err : -EFAULT;
		off = 0;
	}
	memcpy(buf, m->bytes + off, sz);
	return 0;
}

/* ---- tables */

struct module_rows {
	const struct module *module;
	struct cfi_table *table; /* NULL: it has none */
};

struct walker {
	struct symbolizer *symbolizer;
	struct table modules; /* of struct module_rows */
};

static bool rows_of(const void *value, const void *key)
{
	return ((const struct module_rows *)value)->module == key;
}

static const struct cfi_table *table_of(struct walker *w, struct module *m)
{
	uint64_t hash = hash__mix(0, (uintptr_t)m);
	struct module_rows *rows = table__find(&w->modules, hash, rows_of, m);

	if (rows)
		return rows->table;
	rows = calloc(1, sizeof(*rows));
	if (!rows)
		return NULL;
	rows->module = m;
	if (module__cfi(m, ROWS_MAX, &rows->table))
		rows->table = NULL;
	if (table__add(&w->modules, hash, rows)) {
		cfi__free(rows->table);
		free(rows);
		return NULL;
	}
	return rows->table;
}

struct walk {
	struct walker *walker;
	struct sym_process *process;
	struct target_memory *memory;
};

static int on_read(void *ctx, uint64_t addr, void *buf, size_t sz)
{
	return target_memory__read(((struct walk *)ctx)->memory, addr, buf, sz);
}

static int on_find(void *ctx, uint64_t pc, const struct cfi_table **ret_table, uint32_t *ret_pc)
{
	struct walk *walk = ctx;
	const struct mapping *map = maps__find(sym_process__maps(walk->process), pc);
	struct module *module;
	uint64_t bias;

	if (!map || !map->exec)
		return -ENOENT;
	*ret_table = NULL;
	module = sym_process__module(walk->walker->symbolizer, walk->process, pc, &bias);
	if (module)
		*ret_table = table_of(walk->walker, module);
	if (*ret_table)
		*ret_pc = pc - bias - (*ret_table)->base;
	return 0;
}

void walker__walk(struct walker *w, struct sym_process *p, const struct hu_thread_record *rec,
		  struct target_memory *memory, struct hu_stack *ret)
{
	struct unwind_regs regs = {
		.ip = rec->ip, .sp = rec->sp, .fp = rec->fp, .ra_reg = rec->ra_reg
	};
	struct walk walk = { w, p, memory };
	struct unwind_ops ops = { .read = on_read, .find = on_find, .ctx = &walk };

	unwind__walk(&regs, &ops, ret);
	ret->tgid = rec->tgid;
}

int walker__new(struct symbolizer *symbolizer, struct walker **ret)
{
	struct walker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->symbolizer = symbolizer;
	*ret = w;
	return 0;
}

static void rows_free(void *value)
{
	struct module_rows *rows = value;

	cfi__free(rows->table);
	free(rows);
}

void walker__free(struct walker *w)
{
	if (!w)
		return;
	table__clear(&w->modules, rows_free);
	free(w);
}
