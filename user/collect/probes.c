// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/probes.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "user/collect/probe_broker.h"
#include "user/collect/target.h"
#include "user/util/probe_place.h"
#include "user/sym/elf_file.h"
#include "user/sym/maps.h"
#include "user/sym/safe_open.h"
#include "user/sym/symfile.h"
#include "user/sym/symtab.h"
#include "user/util/log.h"
#include "user/util/table.h"

#define VERSIONS_MAX 8	   /* different functions of one name in a file */
#define LINKS_MAX    64	   /* of one file */
#define KNOWN_MAX    16384 /* files that were looked at */
#define CLOSERS	     32
#define SYMBOLS_MAX  (256u << 20)

/* A file that was looked at; most are none of ours. */
struct known {
	uint32_t major, minor;
	uint64_t ino;
	bool attached;
};

struct probes {
	const struct probe_spec *spec;
	size_t spec_cnt;
	struct bpf_program **program; /* of each spec */
	struct probe_broker *broker;
	struct bpf_link **link;
	size_t link_cnt, link_cap;
	struct table known;
	struct probe_stats stats;
};

int probes__new(const struct probe_spec *spec, size_t cnt,
		struct bpf_program *(*find)(void *ctx, const char *name), void *ctx,
		struct probes **ret)
{
	struct probes *p = calloc(1, sizeof(*p));
	int err;

	if (p)
		p->program = calloc(cnt, sizeof(struct bpf_program *));
	if (!p || !p->program) {
		free(p);
		return -ENOMEM;
	}
	err = probe_broker__start(&p->broker);
	if (err) {
		free(p->program);
		free(p);
		return err;
	}
	p->spec = spec;
	p->spec_cnt = cnt;
	for (size_t i = 0; i < cnt; i++)
		p->program[i] = find(ctx, spec[i].program);
	*ret = p;
	return 0;
}

/* The links from `first` on, every CLOSERS-th. */
struct closer {
	struct probes *probes;
	size_t first;
};

static void *close_links(void *arg)
{
	const struct closer *c = arg;

	for (size_t i = c->first; i < c->probes->link_cnt; i += CLOSERS)
		bpf_link__destroy(c->probes->link[i]);
	return NULL;
}

/*
 * Each takes a grace period of RCU or two, tens of milliseconds, in which the kernel makes sure that nobody runs it
 * any more (perf_uprobe_destroy(), kernel/events/core.c): waited for together, they cost as much as one.
 */
static void close_all(struct probes *p)
{
	struct closer closer[CLOSERS];
	pthread_t thread[CLOSERS];
	bool runs[CLOSERS];

	for (size_t i = 0; i < CLOSERS; i++) {
		closer[i] = (struct closer){ p, i };
		runs[i] = i + 1 < p->link_cnt &&
			  !pthread_create(&thread[i], NULL, close_links, &closer[i]);
		if (!runs[i])
			close_links(&closer[i]);
	}
	for (size_t i = 0; i < CLOSERS; i++)
		if (runs[i])
			pthread_join(thread[i], NULL);
}

void probes__free(struct probes *p)
{
	if (!p)
		return;
	close_all(p);
	probe_broker__free(p->broker);
	table__clear(&p->known, free);
	free(p->link);
	free(p->program);
	free(p);
}

void probes__stats(const struct probes *p, struct probe_stats *ret)
{
	*ret = p->stats;
}

/* ---- one file */

struct file {
	const struct elf_file *elf;
	struct symtab *symbols;
	unsigned libc; /* enum probe_libc */
	int fd;
	size_t links;
};

static bool file_offset(const struct elf_file *f, uint64_t vaddr, uint64_t *ret)
{
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || vaddr < ph->p_vaddr ||
		    vaddr - ph->p_vaddr >= ph->p_filesz)
			continue;
		*ret = vaddr - ph->p_vaddr + ph->p_offset;
		return true;
	}
	return false;
}

static int keep_link(struct probes *p, struct bpf_link *link)
{
	struct bpf_link **more;
	size_t cap;

	if (p->link_cnt == p->link_cap) {
		cap = p->link_cap ? p->link_cap * 2 : 32;
		more = reallocarray(p->link, cap, sizeof(struct bpf_link *));
		if (!more)
			return -ENOMEM;
		p->link = more;
		p->link_cap = cap;
	}
	p->link[p->link_cnt++] = link;
	return 0;
}

/* On its first instructions, and a return probe on the first of all: that is where the return address is. */
static int attach_at(struct probes *p, const struct file *f, size_t i, const struct symbol *symbol)
{
	uint8_t code[PROBE_PLACE_SZ];
	size_t sz = sizeof(code), place = 0;
	struct bpf_link *link;
	uint64_t off;
	int event, err;

	if (!file_offset(f->elf, symbol->addr, &off))
		return -ENOEXEC;
	if (symbol->size && symbol->size < sz)
		sz = symbol->size;
	if (!p->spec[i].on_return && !elf_file__read(f->elf, off, code, sz))
		place = probe_place__find(code, sz, p->spec[i].args);
	event = probe_broker__open(p->broker, f->fd, off + place, p->spec[i].on_return);
	if (event < 0)
		return event;
	/* The link closes the event. */
	link = bpf_program__attach_perf_event(p->program[i], event);
	err = libbpf_get_error(link);
	if (err)
		close(event);
	if (!err)
		err = keep_link(p, link);
	return err;
}

static void attach_spec(struct probes *p, struct file *f, size_t i)
{
	struct symbol symbol[VERSIONS_MAX];
	size_t cnt;
	int err;

	if (!(p->spec[i].libcs & f->libc) || !p->program[i])
		return;
	cnt = symtab__all_by_name(f->symbols, p->spec[i].function, symbol, VERSIONS_MAX);
	for (size_t k = 0; k < cnt && f->links < LINKS_MAX; k++) {
		err = attach_at(p, f, i, &symbol[k]);
		if (!err) {
			f->links++;
			p->stats.attached++;
			continue;
		}
		p->stats.failed++;
		if (!p->stats.failed_err)
			p->stats.failed_err = err;
	}
}

/*
 * glibc gives its symbols versions, musl has none; of a static program they are both without, and musl's has a
 * function that glibc's does not (src/env/__init_tls.c).
 */
static unsigned libc_of(const struct elf_file *elf, const struct symtab *symbols)
{
	struct symbol symbol;

	if (elf_file__section_of_type(elf, SHT_GNU_verdef))
		return PROBE_GLIBC;
	if (elf_file__section_of_type(elf, SHT_DYNSYM) &&
	    symtab__all_by_name(symbols, "__stack_chk_fail", &symbol, 1) &&
	    !elf_file__section_of_type(elf, SHT_GNU_verneed))
		return PROBE_MUSL;
	return symtab__all_by_name(symbols, "__init_tp", &symbol, 1) ? PROBE_MUSL : PROBE_GLIBC;
}

static int read_symbols(const struct elf_file *elf, struct symtab **ret)
{
	uint64_t budget = SYMBOLS_MAX;
	struct symtab *t;
	int err = symtab__new(&budget, &t);

	if (err)
		return err;
	err = symtab__add(t, elf, SHT_DYNSYM);
	if (!err || err == -ENOENT)
		err = symtab__add(t, elf, SHT_SYMTAB);
	if (err && !symtab__count(t)) {
		symtab__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

/* Our machine's code only: a 32-bit library has other registers for its arguments. */
static bool is_native(const struct elf_file *elf)
{
#if defined(__x86_64__)
	return elf->is64 && elf->ehdr.e_machine == EM_X86_64;
#elif defined(__aarch64__)
	return elf->is64 && elf->ehdr.e_machine == EM_AARCH64;
#else
	return false;
#endif
}

/* How many programs are attached to the file behind fd; negative: it can't be read. */
static int attach_file(struct probes *p, int fd)
{
	struct file f = { 0 };
	struct elf_file *elf;
	int err = elf_file__open(fd, &elf);

	if (err)
		return err;
	f.elf = elf;
	if (!is_native(elf))
		err = -ENOEXEC;
	if (!err)
		err = read_symbols(elf, &f.symbols);
	if (!err) {
		f.libc = libc_of(elf, f.symbols);
		f.fd = fd;
		for (size_t i = 0; i < p->spec_cnt; i++)
			attach_spec(p, &f, i);
		symtab__free(f.symbols);
	}
	elf_file__close(elf);
	if (f.links)
		p->stats.files++;
	return err ? err : (int)f.links;
}

/* ---- which files */

static uint64_t file_hash(const struct known *k)
{
	return hash__mix(hash__mix(hash__mix(0, k->major), k->minor), k->ino);
}

static bool known__equal(const void *value, const void *key)
{
	const struct known *a = value, *b = key;

	return a->major == b->major && a->minor == b->minor && a->ino == b->ino;
}

/* Remembers it; NULL: no room, or no memory. */
static struct known *know(struct probes *p, const struct known *key)
{
	struct known *k = p->known.cnt < KNOWN_MAX ? malloc(sizeof(*k)) : NULL;

	if (!k)
		return NULL;
	*k = *key;
	if (table__add(&p->known, file_hash(key), k)) {
		free(k);
		return NULL;
	}
	return k;
}

/* By name: every C library is mapped by one that begins so. */
static bool is_library(const struct mapping *map)
{
	static const char *const names[] = { "libc.so", "libc-", "libpthread", "ld-musl-" };
	const char *base = strrchr(map->path, '/');

	for (size_t i = 0; base && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(base + 1, names[i], strlen(names[i])))
			return true;
	return false;
}

/* Returns whether programs are attached to it. */
static bool look_at(struct probes *p, pid_t tgid, const struct mapping *map)
{
	struct known key = { .major = map->major, .minor = map->minor, .ino = map->ino };
	struct known *known = table__find(&p->known, file_hash(&key), known__equal, &key);
	char root[32];
	int fd, n;

	if (known)
		return known->attached;
	if (p->stats.files >= PROBE_FILES_MAX) {
		p->stats.beyond++;
		return false;
	}
	known = know(p, &key);
	if (!known)
		return false;
	snprintf(root, sizeof(root), "/proc/%d/root", tgid);
	fd = symfile__open_mapped(tgid, map, root);
	n = fd < 0 ? fd : attach_file(p, fd);
	if (fd >= 0)
		close(fd);
	known->attached = n > 0;
	return known->attached;
}

/* A program without a C library beside it may have one within: its own code is what it was started from. */
static const struct mapping *main_program(pid_t tgid, const struct maps *maps)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", tgid);
	if (stat(path, &st))
		return NULL;
	for (size_t i = 0; i < maps->cnt; i++)
		if (maps->map[i].exec && maps->map[i].ino == st.st_ino)
			return &maps->map[i];
	return NULL;
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
	return a->ino == b->ino && a->major == b->major && a->minor == b->minor;
}

int probes__scan(struct probes *p, pid_t tgid, bool *ret_found)
{
	const struct mapping *last = NULL, *program;
	bool found = false, library = false;
	struct maps *maps;
	int err = maps__read(tgid, &maps);

	if (err)
		return err;
	for (size_t i = 0; i < maps->cnt; i++) {
		const struct mapping *map = &maps->map[i];

		if (!map->exec || !map->ino || !is_library(map) || (last && same_file(last, map)))
			continue;
		last = map;
		library = true;
		found = look_at(p, tgid, map) || found;
	}
	if (!library) {
		program = main_program(tgid, maps);
		found = program && look_at(p, tgid, program);
		p->stats.unsuitable += program && !found;
	}
	maps__free(maps);
	if (ret_found)
		*ret_found = found;
	return 0;
}

int probes__scan_all(struct probes *p)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char *end;
	long pid;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		pid = strtol(entry->d_name, &end, 10);
		if (pid > 0 && !*end)
			probes__scan(p, pid, NULL); /* it may be gone, or a kernel thread */
	}
	closedir(dir);
	return 0;
}

/* ---- a program to come */

/* Beside what is in the mappings the device's number may be another (btrfs, overlayfs): then it is found twice. */
static int look_at_file(struct probes *p, int fd)
{
	struct known key = { 0 }, *known;
	struct stat st;

	if (fstat(fd, &st))
		return -EIO;
	key.major = major(st.st_dev);
	key.minor = minor(st.st_dev);
	key.ino = st.st_ino;
	known = table__find(&p->known, file_hash(&key), known__equal, &key);
	if (!known) {
		known = know(p, &key);
		if (known)
			known->attached = attach_file(p, fd) > 0;
	}
	return 0;
}

static int interpreter_of(int fd, char ret[PATH_MAX])
{
	struct elf_file *elf;
	int err = elf_file__open(fd, &elf);

	if (err)
		return err;
	err = -ENOENT;
	for (size_t i = 0; i < elf->phdr_cnt && err; i++) {
		const Elf64_Phdr *ph = &elf->phdr[i];

		if (ph->p_type != PT_INTERP || !ph->p_filesz || ph->p_filesz >= PATH_MAX)
			continue;
		err = elf_file__read(elf, ph->p_offset, ret, ph->p_filesz);
		ret[ph->p_filesz] = '\0';
	}
	elf_file__close(elf);
	return err;
}

int probes__scan_program(struct probes *p, const char *name)
{
	int fd = program__open_file(name), err;
	char interpreter[PATH_MAX];

	if (fd < 0)
		return fd;
	/* Linked dynamically, the functions are not its own, unless musl's loader, which is its library, has them. */
	err = interpreter_of(fd, interpreter);
	if (err == -ENOENT) {
		err = look_at_file(p, fd);
	} else if (!err) {
		close(fd);
		fd = safe_open__regular("", interpreter, false);
		err = fd < 0 ? fd : look_at_file(p, fd);
	}
	if (fd >= 0)
		close(fd);
	return err;
}
