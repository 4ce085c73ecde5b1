// SPDX-License-Identifier: GPL-2.0-only
/* Which bytes of an ELF file, and of its separate debug file, hold its call frame information. */
#include "user/unwind/cfi.h"

#include <errno.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "user/sym/elf_file.h"
#include "user/unwind/cfi_arch.h"
#include "user/unwind/derive_file.h"

/* Chromium's .eh_frame, the largest we know, has some 20 MiB; -g's .debug_frame twice that. */
#define SECTION_MAX (256u << 20)
#define SPARSE	    8	/* beyond this part of the code without rows a debug file is worth a look */
#define DYNAMIC_MAX 256 /* entries; DT_NEEDED comes first */

/* What is known of the file as a whole. */
struct frame_info {
	struct cfi_section sec[CFI_MAX_SECTIONS]; /* .data is ours to free */
	size_t cnt;
	uint64_t base; /* lowest PT_LOAD vaddr */
	uint64_t text_lo, text_hi;
	uint64_t got; /* address of .got.plt or .got, 0: none */
	uint16_t machine;
	size_t failed;
	int err; /* why the last one failed, or -ENOENT */
};

/* machine 0: any that we know */
static int check_header(const struct elf_file *f, uint16_t machine)
{
	if (!f->is64 || f->ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (machine && f->ehdr.e_machine != machine) || !cfi_arch__of(f->ehdr.e_machine))
		return -ENOEXEC;
	/* in ET_REL nothing has an address yet, and .eh_frame lacks its relocations */
	return f->ehdr.e_type == ET_EXEC || f->ehdr.e_type == ET_DYN ? 0 : -ENOEXEC;
}

static int read_segments(const struct elf_file *f, struct frame_info *info)
{
	info->base = UINT64_MAX;
	info->text_lo = UINT64_MAX;
	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];
		uint64_t end;

		if (ph->p_type != PT_LOAD || __builtin_add_overflow(ph->p_vaddr, ph->p_memsz, &end))
			continue;
		if (ph->p_vaddr < info->base)
			info->base = ph->p_vaddr;
		if (!(ph->p_flags & PF_X))
			continue;
		if (ph->p_vaddr < info->text_lo)
			info->text_lo = ph->p_vaddr;
		if (end > info->text_hi)
			info->text_hi = end;
	}
	return info->text_hi ? 0 : -ENOENT; /* no code */
}

/* A section that can't be had is counted, and the others are as good as before. */
static void add_section(const struct elf_file *f, const char *name, struct frame_info *info)
{
	const Elf64_Shdr *sh = elf_file__section(f, name);
	struct cfi_section *sec = &info->sec[info->cnt];
	uint8_t *data;
	size_t sz;
	int err;

	if (!sh || sh->sh_type == SHT_NOBITS)
		return;
	err = elf_file__section_inflated(f, sh, SECTION_MAX, &data, &sz);
	if (err) {
		info->failed++;
		info->err = err;
		return;
	}
	*sec = (struct cfi_section){ .data = data,
				     .sz = sz,
				     .vaddr = sh->sh_addr,
				     .debug_frame = strcmp(name, ".eh_frame") != 0,
				     .data_base = info->got,
				     .text_lo = info->text_lo,
				     .text_hi = info->text_hi,
				     .machine = info->machine };
	info->cnt++;
}

static int build(const struct frame_info *info, size_t max_rows, struct cfi_table **ret)
{
	struct cfi_table *t;
	int err;

	if (!info->cnt)
		return info->err;
	err = cfi__build(info->sec, info->cnt, info->base, max_rows, &t);
	if (err)
		return err;
	if (!t->cnt) {
		cfi__free(t);
		return info->err;
	}
	t->stats.malformed += info->failed;
	*ret = t;
	return 0;
}

/* The bytes of the file's code that no row speaks of. */
static uint64_t gap_bytes(const struct cfi_table *t, const struct frame_info *info)
{
	uint64_t at = info->text_lo, sum = 0;
	bool in_gap = true;

	for (size_t i = 0; i < t->cnt; i++) {
		uint64_t pc = t->base + t->row[i].pc;

		if (in_gap && pc > at)
			sum += (pc < info->text_hi ? pc : info->text_hi) - at;
		in_gap = HU_ROW_CFA(t->row[i].kind) == HU_CFA_GAP;
		at = pc < info->text_hi ? pc : info->text_hi;
	}
	return in_gap ? sum + (info->text_hi - at) : sum;
}

static bool needs_libraries(const struct elf_file *f)
{
	Elf64_Dyn dyn[DYNAMIC_MAX];
	size_t cnt = 0;

	for (size_t i = 0; i < f->phdr_cnt && !cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];

		if (ph->p_type != PT_DYNAMIC)
			continue;
		cnt = ph->p_filesz / sizeof(dyn[0]);
		if (cnt > DYNAMIC_MAX)
			cnt = DYNAMIC_MAX;
		if (elf_file__read(f, ph->p_offset, dyn, cnt * sizeof(dyn[0])))
			return false;
	}
	for (size_t i = 0; i < cnt && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_NEEDED)
			return true;
	return false;
}

/*
 * Is its entry point one? Programs have an interpreter, or are linked statically, as the dynamic linker
 * is, too. In libraries, which have none, older versions of ld let it point to the start of .text,
 * where any function may lie.
 */
static bool has_entry(const struct elf_file *f)
{
	if (!f->ehdr.e_entry || f->ehdr.e_type == ET_EXEC)
		return f->ehdr.e_entry;
	for (size_t i = 0; i < f->phdr_cnt; i++)
		if (f->phdr[i].p_type == PT_INTERP)
			return true;
	return !needs_libraries(f);
}

static void free_sections(struct frame_info *info)
{
	for (size_t i = 0; i < info->cnt; i++)
		free((void *)info->sec[i].data);
	info->cnt = 0;
}

/* Reads and builds; .eh_frame last: it wins where several speak. */
static int build_from(const struct elf_file *f, const struct elf_file *debug,
		      struct frame_info *info, size_t max_rows, struct cfi_table **ret)
{
	struct cfi_table *t = NULL;
	int err;

	info->err = -ENOENT;
	info->failed = 0;
	if (debug)
		add_section(debug, ".debug_frame", info);
	add_section(f, ".zdebug_frame", info);
	add_section(f, ".debug_frame", info);
	add_section(f, ".eh_frame", info);
	err = build(info, max_rows, &t);
	free_sections(info);
	if (err)
		return err;
	t->code_bytes = info->text_hi - info->text_lo;
	t->gap_bytes = gap_bytes(t, info);
	*ret = t;
	return 0;
}

/* A stripped program that was built without unwind tables has its .debug_frame in the debug file. */
static void add_debug(const struct elf_file *f, const struct cfi_debug *from,
		      struct frame_info *info, size_t max_rows, struct cfi_table **t)
{
	const struct elf_file *debug = from && from->find ? from->find(from->ctx) : NULL;
	struct cfi_table *better;

	if (!debug || !elf_file__section(debug, ".debug_frame") ||
	    build_from(f, debug, info, max_rows, &better))
		return;
	cfi__free(*t);
	*t = better;
}

/* Where there is no CFI, the machine code says what it can; where that fails, it stays a gap. */
static int derive(const struct elf_file *f, size_t max_rows, struct cfi_table *t)
{
	Elf *elf;
	int err;

	if (f->image || f->fd < 0 || f->ehdr.e_machine != CFI_MACHINE)
		return 0;
	elf_version(EV_CURRENT);
	elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (!elf)
		return 0;
	err = derive_file__fill(elf, f->fd, max_rows, t);
	elf_end(elf);
	return err == -ENOMEM ? err : 0;
}

/* In the vdso, which is an image in memory: what handlers return to may be without CFI. */
static int mark_sigreturn(const struct elf_file *f, struct cfi_table *t)
{
	const Elf64_Shdr *sh = f->image ? elf_file__section(f, ".text") : NULL;
	uint8_t *text;
	int err;

	if (!sh || elf_file__section_data(f, sh, &text))
		return 0;
	err = cfi__mark_sigreturn(f->ehdr.e_machine, t, text, sh->sh_size, sh->sh_addr);
	free(text);
	return err;
}

static bool begins_with(const struct elf_file *f, uint64_t vaddr, const uint8_t *code, size_t sz)
{
	uint8_t found[4];

	for (size_t i = 0; i < f->phdr_cnt; i++) {
		const Elf64_Phdr *ph = &f->phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && vaddr >= ph->p_vaddr &&
		    vaddr - ph->p_vaddr < ph->p_filesz)
			return sz <= sizeof(found) &&
			       !elf_file__read(f, vaddr - ph->p_vaddr + ph->p_offset, found, sz) &&
			       !memcmp(found, code, sz);
	}
	return false;
}

#define CLONE_GAP_MAX 24 /* from the system call to where the new thread goes on */

/*
 * glibc's clone() and clone3() end their FDE right before the system call, since what it says would be wrong for
 * the new thread, and begin another one where that goes on (sysdeps/unix/sysv/linux/x86_64/clone3.S and the like).
 * For the caller it stays true: who creates threads has its return address there. No file says so, the machine code does.
 */
static void bridge_clone(const struct elf_file *f, struct cfi_table *t)
{
	static const uint8_t x86_64[] = { 0x0f, 0x05 }, arm64[] = { 0x01, 0x00, 0x00, 0xd4 };
	bool arm = f->ehdr.e_machine == EM_AARCH64;

	for (size_t i = 1; i + 1 < t->cnt; i++) {
		struct hu_row *gap = &t->row[i], *next = gap + 1;
		uint32_t len = next->pc - gap->pc;

		/* Behind padding a function would be aligned: most gaps need no look at the file. */
		if (gap->kind != HU_CFA_GAP || next->kind == HU_CFA_GAP || len > CLONE_GAP_MAX ||
		    len <= sizeof(arm64) || (!arm && !((t->base + next->pc) & 15)))
			continue;
		if (!begins_with(f, t->base + gap->pc, arm ? arm64 : x86_64,
				 arm ? sizeof(arm64) : sizeof(x86_64)))
			continue;
		gap->kind = gap[-1].kind | HU_ROW_DERIVED;
		gap->cfa_off = gap[-1].cfa_off;
		gap->fp_off = gap[-1].fp_off;
	}
}

/* Functions behind padding: where the gap ends is kept in it. */
static void mark_gaps(struct cfi_table *t)
{
	for (size_t i = 0; i + 1 < t->cnt; i++) {
		struct hu_row *gap = &t->row[i], *next = gap + 1;

		if (gap->kind == HU_CFA_GAP && next->kind != HU_CFA_GAP &&
		    !(next->kind & HU_ROW_DERIVED) && next->pc - gap->pc <= HU_GAP_MAX)
			gap->cfa_off = HU_GAP_ENDS(t->base + next->pc);
	}
}

/* What call frame information does not tell; t may be without rows. */
static int complete(const struct elf_file *f, size_t max_rows, struct cfi_table *t)
{
	int err;

	bridge_clone(f, t);
	err = derive(f, max_rows, t);
	if (!err)
		err = mark_sigreturn(f, t);
	mark_gaps(t);
	if (!err && !t->cnt)
		err = -ENOENT;
	return err || !has_entry(f) ? err : cfi__mark_entry(t, f->ehdr.e_entry);
}

static int build_elf(const struct elf_file *f, uint16_t machine, const struct cfi_debug *debug,
		     size_t max_rows, struct cfi_table **ret)
{
	const Elf64_Shdr *got = elf_file__section(f, ".got.plt");
	struct frame_info info = { .machine = f->ehdr.e_machine };
	struct cfi_table *t = NULL;
	int err = check_header(f, machine);

	if (!got)
		got = elf_file__section(f, ".got");
	info.got = got ? got->sh_addr : 0;
	if (!err)
		err = read_segments(f, &info);
	if (err)
		return err;
	err = build_from(f, NULL, &info, max_rows, &t);
	if (err && err != -ENOENT)
		return err;
	if (!t || t->gap_bytes > t->code_bytes / SPARSE)
		add_debug(f, debug, &info, max_rows, &t);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->base = info.base;
	}
	err = complete(f, max_rows, t);
	if (err) {
		cfi__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

int cfi__build_elf(const struct elf_file *f, const struct cfi_debug *debug, size_t max_rows,
		   struct cfi_table **ret)
{
	return build_elf(f, CFI_MACHINE, debug, max_rows, ret);
}

static int build_file(int fd, uint16_t machine, size_t max_rows, struct cfi_table **ret)
{
	struct elf_file *f;
	int err = elf_file__open(fd, &f);

	if (err)
		return err;
	err = build_elf(f, machine, NULL, max_rows, ret);
	elf_file__close(f);
	return err;
}

int cfi__build_file(int fd, size_t max_rows, struct cfi_table **ret)
{
	return build_file(fd, CFI_MACHINE, max_rows, ret);
}

int cfi__build_foreign(int fd, size_t max_rows, struct cfi_table **ret)
{
	return build_file(fd, 0, max_rows, ret);
}
