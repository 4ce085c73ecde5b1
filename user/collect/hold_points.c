// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/hold_points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "user/sym/elf_file.h"
#include "user/sym/module.h"

#define VERSYM_HIDDEN 0x8000 /* not the default version (LSB Core 5.0, symbol versioning) */
#define FUNCTION_MAX \
	16384 /* bytes of a lock function that are looked at; glibc's longest has 2 KiB */
#define AROUND	    (64 << 10) /* bytes to both sides in which a function's other parts lie */
#define RETURNS_MAX 16

enum libc {
	GLIBC = 1,
	MUSL = 2,
	BOTH = 3
};

struct function {
	const char *name;
	enum hold_what what;
	uint32_t cookie;
	enum libc libc;
};

#define LOCK(name, mode)                              \
	{                                             \
		name, HOLD_LOCK, HU_HOLD_##mode, BOTH \
	}
#define TRY(name, mode)                                             \
	{                                                           \
		name, HOLD_LOCK, HU_HOLD_##mode | HU_HOLD_TRY, BOTH \
	}
#define TIMED(name, mode)                                             \
	{                                                             \
		name, HOLD_LOCK, HU_HOLD_##mode | HU_HOLD_TIMED, BOTH \
	}
#define UNLOCK(name, mode)                              \
	{                                               \
		name, HOLD_UNLOCK, HU_HOLD_##mode, BOTH \
	}
#define COND(name)                                    \
	{                                             \
		name, HOLD_COND, HU_HOLD_MUTEX, GLIBC \
	}

/*
 * glibc 2.17 to 2.42 (nptl/) and musl 1.2 (src/thread/). glibc's C11 functions call these; musl's have an own way to
 * a free lock. musl's condition variables give the mutex up and take it back by these functions, glibc's inside.
 */
static const struct function functions[] = {
	LOCK("pthread_mutex_lock", MUTEX),
	TRY("pthread_mutex_trylock", MUTEX),
	TIMED("pthread_mutex_timedlock", MUTEX),
	TIMED("pthread_mutex_clocklock", MUTEX),
	UNLOCK("pthread_mutex_unlock", MUTEX),
	{ "mtx_lock", HOLD_LOCK, HU_HOLD_MUTEX, MUSL },
	{ "mtx_trylock", HOLD_LOCK, HU_HOLD_MUTEX | HU_HOLD_TRY, MUSL },
	COND("pthread_cond_wait"),
	COND("pthread_cond_timedwait"),
	COND("pthread_cond_clockwait"),
	LOCK("pthread_rwlock_rdlock", READ),
	TRY("pthread_rwlock_tryrdlock", READ),
	TIMED("pthread_rwlock_timedrdlock", READ),
	TIMED("pthread_rwlock_clockrdlock", READ),
	LOCK("pthread_rwlock_wrlock", WRITE),
	TRY("pthread_rwlock_trywrlock", WRITE),
	TIMED("pthread_rwlock_timedwrlock", WRITE),
	TIMED("pthread_rwlock_clockwrlock", WRITE),
	UNLOCK("pthread_rwlock_unlock", WRITE),
	LOCK("pthread_spin_lock", SPIN),
	TRY("pthread_spin_trylock", SPIN),
	UNLOCK("pthread_spin_unlock", SPIN),
	LOCK("sem_wait", SEM),
	TRY("sem_trywait", SEM),
	TIMED("sem_timedwait", SEM),
	TIMED("sem_clockwait", SEM),
	UNLOCK("sem_post", SEM),
};

struct finding {
	const struct elf_file *elf;
	struct module *module;
	struct hold_point *point;
	size_t cnt;
	enum libc libc;
};

static bool offset_of(const struct elf_file *f, uint64_t vaddr, uint64_t sz, uint64_t *ret)
{
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *p = &f->phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && vaddr >= p->p_vaddr &&
		    vaddr - p->p_vaddr < p->p_filesz && sz <= p->p_filesz - (vaddr - p->p_vaddr)) {
			*ret = p->p_offset + (vaddr - p->p_vaddr);
			return true;
		}
	}
	return false;
}

/*
 * Of several versions of a function the one that programs are linked with now: pthread_cond_wait() has an older one
 * for an older condvar. Leaves *ret where the file has no versions.
 */
static void choose_version(const struct elf_file *f, const char *name, struct symbol *ret)
{
	const Elf64_Shdr *dynsym = elf_file__section_of_type(f, SHT_DYNSYM);
	const Elf64_Shdr *versym = elf_file__section_of_type(f, SHT_GNU_versym);
	uint8_t *symbols = NULL, *versions = NULL, *names = NULL;
	Elf64_Sym sym;
	Elf64_Half version;

	if (!dynsym || !versym || dynsym->sh_link >= f->shdr_cnt ||
	    elf_file__section_data(f, dynsym, &symbols) ||
	    elf_file__section_data(f, versym, &versions) ||
	    elf_file__section_data(f, &f->shdr[dynsym->sh_link], &names))
		goto out;
	for (size_t i = 0;
	     i < dynsym->sh_size / sizeof(sym) && i < versym->sh_size / sizeof(version); i++) {
		memcpy(&sym, symbols + i * sizeof(sym), sizeof(sym));
		memcpy(&version, versions + i * sizeof(version), sizeof(version));
		if (sym.st_shndx == SHN_UNDEF || (version & VERSYM_HIDDEN) ||
		    sym.st_name >= f->shdr[dynsym->sh_link].sh_size ||
		    strcmp((char *)names + sym.st_name, name))
			continue;
		ret->addr = sym.st_value;
		ret->size = sym.st_size;
		break;
	}
out:
	free(symbols);
	free(versions);
	free(names);
}

static void add(struct finding *f, const struct function *fn, enum hold_what what, uint64_t off,
		uint32_t cookie, bool replaced, bool stepped)
{
	if (f->cnt == HOLD_POINTS_MAX)
		return;
	f->point[f->cnt++] = (struct hold_point){
		.what = what,
		.name = fn->name,
		.off = off,
		.cookie = cookie | (f->libc == MUSL ? HU_HOLD_MUSL : 0),
		.replaced = replaced,
		.stepped = stepped,
	};
}

/* Two functions may end by the same return. */
static bool is_there(const struct finding *f, uint64_t off)
{
	for (size_t i = 0; i < f->cnt; i++)
		if (f->point[i].what == HOLD_RETURN && !f->point[i].replaced &&
		    f->point[i].off == off)
			return true;
	return false;
}

/* The code around `start`, of the same segment; its offset in *ret_off. NULL: it can't be read. */
static uint8_t *read_around(const struct elf_file *f, uint64_t start, uint64_t *ret_off,
			    size_t *ret_sz)
{
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *p = &f->phdr[i];
		uint64_t before, after;
		uint8_t *bytes;

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || start < p->p_offset ||
		    start - p->p_offset >= p->p_filesz)
			continue;
		before = start - p->p_offset < AROUND ? start - p->p_offset : AROUND;
		after = p->p_filesz - (start - p->p_offset);
		after = after < AROUND ? after : AROUND;
		bytes = malloc(before + after);
		*ret_off = start - before;
		*ret_sz = before + after;
		if (bytes && !elf_file__read(f, *ret_off, bytes, *ret_sz))
			return bytes;
		free(bytes);
		return NULL;
	}
	return NULL;
}

static void add_returns(struct finding *f, const struct function *fn, uint64_t start,
			uint64_t entry)
{
	size_t off[RETURNS_MAX], cnt = 0, sz;
	struct hold_code code;
	uint8_t *bytes = NULL;
	uint64_t base;

	/* Functions that never sleep: nobody takes a stack in them, and the other way is cheaper. */
	if (fn->cookie & HU_HOLD_TIMED)
		bytes = read_around(f->elf, start, &base, &sz);
	if (bytes) {
		code = (struct hold_code){ bytes, sz };
		cnt = hold_code__returns(&code, start - base, off, RETURNS_MAX);
	}
	for (size_t i = 0; i < cnt; i++)
		if (!is_there(f, base + off[i]))
			add(f, fn, HOLD_RETURN, base + off[i], fn->cookie, false, true);
	if (!cnt)
		add(f, fn, HOLD_RETURN, entry, fn->cookie, true, false);
	free(bytes);
}

static int add_function(struct finding *f, const struct function *fn)
{
	bool may_fail = fn->cookie & (HU_HOLD_TRY | HU_HOLD_TIMED), stepped, tried;
	unsigned needs = HOLD_NEED_ARG0 | (fn->what == HOLD_COND ? HOLD_NEED_ARG1 : 0) |
			 (may_fail ? HOLD_NEED_SP : 0);
	struct hold_code code;
	struct symbol symbol;
	uint64_t start, entry;
	uint8_t *bytes;
	int err;

	if (!(fn->libc & f->libc) || !module__by_name(f->module, fn->name, &symbol))
		return 0;
	if (fn->what == HOLD_COND)
		choose_version(f->elf, fn->name, &symbol);
	if (symbol.size > FUNCTION_MAX || !offset_of(f->elf, symbol.addr, symbol.size, &start))
		return 0;
	bytes = malloc(symbol.size + 1);
	if (!bytes)
		return -ENOMEM;
	err = elf_file__read(f->elf, start, bytes, symbol.size);
	code = (struct hold_code){ bytes, err ? 0 : symbol.size };
	entry = start + hold_code__entry(&code, needs, &stepped, &tried);
	add(f, fn, fn->what, entry, fn->cookie | (tried ? HU_HOLD_ZERO_GOT : 0), false, stepped);
	if (may_fail)
		add_returns(f, fn, start, entry);
	free(bytes);
	return 0;
}

int hold_points__find(int fd, const char *path, struct hold_point ret[HOLD_POINTS_MAX],
		      size_t *ret_cnt)
{
	struct finding f = { .point = ret, .libc = GLIBC };
	struct elf_file *elf;
	struct symbol symbol;
	int err = elf_file__open(fd, &elf);

	if (err)
		return err;
	f.elf = elf;
	err = elf->is64 ? module__open(fd, path, "", &f.module) : -ENOENT;
	if (!err) {
		/*
		 * musl's functions that wait do so in __timedwait() (src/thread/__timedwait.c), which its
		 * library hides, as it does this other name, that glibc's exports.
		 */
		if (module__by_name(f.module, "__timedwait", &symbol) ||
		    !module__by_name(f.module, "__pthread_mutex_lock", &symbol))
			f.libc = MUSL;
		for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]) && !err; i++)
			err = add_function(&f, &functions[i]);
		module__free(f.module);
	}
	elf_file__close(elf);
	if (!err && !f.cnt)
		err = -ENOENT;
	*ret_cnt = f.cnt;
	return err;
}
