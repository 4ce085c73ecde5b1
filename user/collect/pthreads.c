// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/pthreads.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/sym/elf_file.h"
#include "user/sym/maps.h"
#include "user/sym/symfile.h"
#include "user/sym/symtab.h"
#include "user/util/table.h"

#define WALKS	      3	   /* a list may change under the walk */
#define OFFSET_MAX    8192 /* of a member in struct pthread: glibc 2.36 needs 2368 bytes for all */
#define LIBRARIES_MAX 256
#define LISTS	      2

/* What is needed of a libc.so.6, offsets within struct pthread. */
struct layout {
	uint32_t major, minor;
	uint64_t ino;
	bool known;
	uint32_t list, tid, start_routine, joinid, sz;
	uint32_t next, prev;  /* within list_t */
	uint64_t head[LISTS]; /* within _rtld_global */
	uint32_t lo, hi;      /* all of struct pthread's members lie in [lo, hi) */
};

/* _rtld_global of a dynamic loader: its address less that of the mapping that has the ELF header. */
struct loader {
	uint32_t major, minor;
	uint64_t ino;
	uint64_t rtld_global;	       /* ELF virtual address; 0: not there */
	uint64_t text_vaddr, text_off; /* its executable PT_LOAD */
};

struct pthreads {
	struct table layouts, loaders;
};

int pthreads__new(struct pthreads **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void pthreads__free(struct pthreads *p)
{
	if (!p)
		return;
	table__clear(&p->layouts, free);
	table__clear(&p->loaders, free);
	free(p);
}

/* ---- files */

static int open_elf(pid_t tgid, const struct mapping *map, struct elf_file **ret,
		    struct symtab **ret_symbols)
{
	char root[32];
	int fd, err;

	snprintf(root, sizeof(root), "/proc/%d/root", tgid);
	fd = symfile__open_mapped(tgid, map, root);
	if (fd < 0)
		return fd;
	err = elf_file__open(fd, ret);
	close(fd);
	if (err)
		return err;
	err = symtab__new(NULL, ret_symbols);
	if (!err) {
		err = symtab__add(*ret_symbols, *ret, SHT_DYNSYM);
		if (err)
			symtab__free(*ret_symbols);
	}
	if (err)
		elf_file__close(*ret);
	return err;
}

/* The third word of a descriptor; false: there is none, or it is of another size than expected. */
static bool read_descriptor(const struct elf_file *f, const struct symtab *t, const char *name,
			    uint32_t bits, uint32_t max, uint32_t *ret)
{
	struct symbol symbol;
	uint32_t word[3];

	if (!symtab__all_by_name(t, name, &symbol, 1))
		return false;
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];

		if (ph->p_type != PT_LOAD || symbol.addr < ph->p_vaddr ||
		    symbol.addr - ph->p_vaddr >= ph->p_filesz)
			continue;
		if (elf_file__read(f, symbol.addr - ph->p_vaddr + ph->p_offset, word,
				   sizeof(word)) ||
		    word[0] != bits || word[2] > max)
			return false;
		*ret = word[2];
		return true;
	}
	return false;
}

/* One that is a number, not a descriptor. */
static bool read_size(const struct elf_file *f, const struct symtab *t, const char *name,
		      uint32_t *ret)
{
	struct symbol symbol;

	if (!symtab__all_by_name(t, name, &symbol, 1))
		return false;
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];

		if (ph->p_type == PT_LOAD && symbol.addr >= ph->p_vaddr &&
		    symbol.addr - ph->p_vaddr < ph->p_filesz)
			return !elf_file__read(f, symbol.addr - ph->p_vaddr + ph->p_offset, ret,
					       sizeof(*ret)) &&
			       *ret <= OFFSET_MAX;
	}
	return false;
}

static void widen(struct layout *l, uint32_t off, uint32_t sz)
{
	if (off < l->lo)
		l->lo = off;
	if (off + sz > l->hi)
		l->hi = off + sz;
}

static void read_layout(const struct elf_file *f, const struct symtab *t, struct layout *l)
{
	const uint32_t list_bits = 128, far = 1u << 20;
	uint32_t used, user, priority;

	l->known =
		read_descriptor(f, t, "_thread_db_pthread_list", list_bits, OFFSET_MAX, &l->list) &&
		read_descriptor(f, t, "_thread_db_pthread_tid", 32, OFFSET_MAX, &l->tid) &&
		read_descriptor(f, t, "_thread_db_pthread_start_routine", 64, OFFSET_MAX,
				&l->start_routine) &&
		read_descriptor(f, t, "_thread_db_pthread_schedparam_sched_priority", 32,
				OFFSET_MAX, &priority) &&
		read_descriptor(f, t, "_thread_db_list_t_next", 64, 8, &l->next) &&
		read_descriptor(f, t, "_thread_db_list_t_prev", 64, 8, &l->prev) &&
		read_descriptor(f, t, "_thread_db_rtld_global__dl_stack_used", list_bits, far,
				&used) &&
		read_descriptor(f, t, "_thread_db_rtld_global__dl_stack_user", list_bits, far,
				&user) &&
		read_size(f, t, "_thread_db_sizeof_pthread", &l->sz) && priority >= 16;
	if (!l->known)
		return;
	/* joinid, result, schedparam: nptl/descr.h, in this order since 2.4. */
	l->joinid = priority - 16;
	l->head[0] = used;
	l->head[1] = user;
	l->lo = UINT32_MAX;
	widen(l, l->list, 16);
	widen(l, l->tid, 4);
	widen(l, l->start_routine, 8);
	widen(l, l->joinid, 8);
}

static bool layout__equal(const void *value, const void *key)
{
	const struct layout *l = value;
	const struct mapping *map = key;

	return l->major == map->major && l->minor == map->minor && l->ino == map->ino;
}

static bool loader__equal(const void *value, const void *key)
{
	const struct loader *l = value;
	const struct mapping *map = key;

	return l->major == map->major && l->minor == map->minor && l->ino == map->ino;
}

static uint64_t file_hash(const struct mapping *map)
{
	return hash__mix(hash__mix(hash__mix(0, map->major), map->minor), map->ino);
}

static const struct layout *layout_of(struct pthreads *p, pid_t tgid, const struct mapping *map)
{
	struct layout *l = table__find(&p->layouts, file_hash(map), layout__equal, map);
	struct elf_file *elf;
	struct symtab *t;

	if (l || p->layouts.cnt == LIBRARIES_MAX)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->major = map->major;
	l->minor = map->minor;
	l->ino = map->ino;
	if (!open_elf(tgid, map, &elf, &t)) {
		if (elf->is64)
			read_layout(elf, t, l);
		symtab__free(t);
		elf_file__close(elf);
	}
	if (table__add(&p->layouts, file_hash(map), l)) {
		free(l);
		return NULL;
	}
	return l;
}

static void read_loader(const struct elf_file *f, const struct symtab *t, struct loader *l)
{
	struct symbol symbol;

	if (!f->is64 || !symtab__all_by_name(t, "_rtld_global", &symbol, 1))
		return;
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		if (f->phdr[i].p_type != PT_LOAD || !(f->phdr[i].p_flags & PF_X))
			continue;
		l->text_vaddr = f->phdr[i].p_vaddr;
		l->text_off = f->phdr[i].p_offset;
		l->rtld_global = symbol.addr;
		return;
	}
}

static const struct loader *loader_of(struct pthreads *p, pid_t tgid, const struct mapping *map)
{
	struct loader *l = table__find(&p->loaders, file_hash(map), loader__equal, map);
	struct elf_file *elf;
	struct symtab *t;

	if (l || p->loaders.cnt == LIBRARIES_MAX)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->major = map->major;
	l->minor = map->minor;
	l->ino = map->ino;
	if (!open_elf(tgid, map, &elf, &t)) {
		read_loader(elf, t, l);
		symtab__free(t);
		elf_file__close(elf);
	}
	if (table__add(&p->loaders, file_hash(map), l)) {
		free(l);
		return NULL;
	}
	return l;
}

/* ---- memory */

static bool read_memory(pid_t tgid, uint64_t addr, void *buf, size_t sz)
{
	struct iovec local = { buf, sz }, remote = { (void *)(uintptr_t)addr, sz };

	return process_vm_readv(tgid, &local, 1, &remote, 1, 0) == (ssize_t)sz;
}

struct walk {
	pid_t tgid;
	const struct layout *layout;
	struct lt_descriptor *found;
	size_t cnt, cap;
};

static int add_found(struct walk *w, const struct lt_descriptor *d)
{
	struct lt_descriptor *more;
	size_t cap;

	if (w->cnt == PTHREADS_MAX)
		return -E2BIG;
	if (w->cnt == w->cap) {
		cap = w->cap ? w->cap * 2 : 64;
		more = reallocarray(w->found, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		w->found = more;
		w->cap = cap;
	}
	w->found[w->cnt++] = *d;
	return 0;
}

static uint64_t word_at(const uint8_t *bytes, uint32_t off)
{
	uint64_t word;

	memcpy(&word, bytes + off, sizeof(word));
	return word;
}

/* One struct pthread, whose list node lies at `node`; *next is the node after it. */
static int take_thread(struct walk *w, uint64_t node, uint64_t before, uint64_t *next)
{
	const struct layout *l = w->layout;
	uint64_t pd = node - l->list, joinid;
	uint8_t bytes[OFFSET_MAX + 16];
	struct lt_descriptor d;
	int32_t tid;

	if (!read_memory(w->tgid, pd + l->lo, bytes, l->hi - l->lo))
		return -EAGAIN;
	*next = word_at(bytes, l->list + l->next - l->lo);
	if (word_at(bytes, l->list + l->prev - l->lo) != before)
		return -EAGAIN; /* it was moved meanwhile */
	memcpy(&tid, bytes + l->tid - l->lo, sizeof(tid));
	joinid = word_at(bytes, l->joinid - l->lo);
	d = (struct lt_descriptor){
		.tp = pd,
		.tid = tid > 0 ? tid : 0,
		.detached = joinid == pd,
		.start_routine = word_at(bytes, l->start_routine - l->lo),
	};
#if defined(__aarch64__)
	d.tp += l->sz;
#endif
	/* Below 0 it is being freed: it was joined. */
	return tid < 0 ? 0 : add_found(w, &d);
}

/* From the list's head around to it again. */
static int walk_list(struct walk *w, uint64_t head)
{
	uint64_t node, before = head, next;
	int err;

	if (!read_memory(w->tgid, head + w->layout->next, &node, sizeof(node)))
		return -EAGAIN;
	for (size_t left = PTHREADS_MAX; node != head; node = next) {
		if (!left--)
			return -E2BIG;
		err = take_thread(w, node, before, &next);
		if (err)
			return err;
		before = node;
	}
	return 0;
}

static int compare_found(const void *a, const void *b)
{
	const struct lt_descriptor *x = a, *y = b;

	return x->tp < y->tp ? -1 : x->tp > y->tp;
}

static int walk_lists(struct walk *w, uint64_t rtld_global)
{
	int err = -EAGAIN;

	for (int i = 0; i < WALKS && err == -EAGAIN; i++) {
		w->cnt = 0;
		err = 0;
		for (int k = 0; k < LISTS && !err; k++)
			err = walk_list(w, rtld_global + w->layout->head[k]);
	}
	if (!err && w->cnt)
		qsort(w->found, w->cnt, sizeof(w->found[0]), compare_found);
	return err;
}

static const struct mapping *find_library(const struct maps *maps, const char *prefix)
{
	for (size_t i = 0; i < maps->cnt; i++) {
		const char *base = strrchr(maps->map[i].path, '/');

		if (maps->map[i].exec && maps->map[i].ino && base &&
		    !strncmp(base + 1, prefix, strlen(prefix)))
			return &maps->map[i];
	}
	return NULL;
}

int pthreads__read(struct pthreads *p, pid_t tgid, struct lt_descriptor **ret, size_t *ret_cnt)
{
	struct walk w = { .tgid = tgid };
	const struct mapping *libc, *ld;
	const struct loader *loader;
	struct maps *maps;
	int err = maps__read(tgid, &maps);

	if (err)
		return err == -ENOENT ? -ESRCH : err;
	libc = find_library(maps, "libc.so.6");
	ld = find_library(maps, "ld-linux");
	w.layout = libc && ld ? layout_of(p, tgid, libc) : NULL;
	loader = w.layout && w.layout->known ? loader_of(p, tgid, ld) : NULL;
	err = -ENOTSUP;
	if (loader && loader->rtld_global)
		err = walk_lists(&w, ld->start -
					     (loader->text_vaddr + (ld->off - loader->text_off)) +
					     loader->rtld_global);
	maps__free(maps);
	if (err) {
		free(w.found);
		return err;
	}
	*ret = w.found;
	*ret_cnt = w.cnt;
	return 0;
}
