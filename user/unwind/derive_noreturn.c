// SPDX-License-Identifier: GPL-2.0-only
#include "user/unwind/derive_noreturn.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_MAX (64U << 20)
#define FOUND_MAX   4096

/*
 * By C11 7.22.4 and 7.13.2, POSIX, glibc's and musl's headers (what is declared noreturn there), the Itanium C++ ABI
 * 2.5, libstdc++'s bits/functexcept.h (as a prefix), LLVM's and GCC's runtimes.
 */
static const char *const names[] = {
	"abort",
	"exit",
	"_exit",
	"_Exit",
	"quick_exit",
	"longjmp",
	"_longjmp",
	"siglongjmp",
	"__longjmp_chk",
	"pthread_exit",
	"thrd_exit",
	"__assert_fail",
	"__assert",
	"__assert_perror_fail",
	"__stack_chk_fail",
	"__chk_fail",
	"__fortify_fail",
	"err",
	"errx",
	"verr",
	"verrx",
	"__cxa_throw",
	"__cxa_rethrow",
	"__cxa_bad_cast",
	"__cxa_bad_typeid",
	"__cxa_throw_bad_array_new_length",
	"__cxa_pure_virtual",
	"__cxa_call_unexpected",
	"__cxa_call_terminate",
	"_Unwind_Resume",
	"_ZSt9terminatev",
	"__libc_start_main",
	"g_abort",
	"g_assertion_message",
	"g_assertion_message_expr",
};

struct finder {
	Elf *elf;
	uint64_t file_sz;
	uint64_t *addr;
	size_t cnt, cap;
};

static bool is_noreturn(const char *name)
{
	if (!name)
		return false;
	if (!strncmp(name, "_ZSt", 4) && strstr(name, "__throw_"))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static int add(struct finder *f, uint64_t addr)
{
	if (f->cnt == FOUND_MAX)
		return 0;
	if (f->cnt == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		uint64_t *more = reallocarray(f->addr, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		f->addr = more;
		f->cap = cap;
	}
	f->addr[f->cnt++] = addr;
	return 0;
}

static int compare(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

static Elf_Data *data_of(const struct finder *f, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data;

	if (sh->sh_size > SECTION_MAX || sh->sh_offset > f->file_sz ||
	    sh->sh_size > f->file_sz - sh->sh_offset || (sh->sh_flags & SHF_COMPRESSED))
		return NULL;
	data = elf_getdata(scn, NULL);
	return data && data->d_buf ? data : NULL;
}

static int functions(struct finder *f, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = data_of(f, scn, sh);
	int err = 0;

	for (size_t i = 0; data && !err && i < data->d_size / sizeof(Elf64_Sym); i++) {
		GElf_Sym sym;

		if (gelf_getsym(data, i, &sym) && GELF_ST_TYPE(sym.st_info) == STT_FUNC &&
		    sym.st_shndx != SHN_UNDEF &&
		    is_noreturn(elf_strptr(f->elf, sh->sh_link, sym.st_name)))
			err = add(f, sym.st_value);
	}
	return err;
}

/* Words that the dynamic linker fills with the address of such a function (psABI 1.0, table 4.9). */
static int words(struct finder *f, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Scn *sym_scn = elf_getscn(f->elf, sh->sh_link);
	Elf_Data *rel = data_of(f, scn, sh), *syms;
	GElf_Shdr sym_sh;
	int err = 0;

	if (!rel || !sym_scn || !gelf_getshdr(sym_scn, &sym_sh) || sym_sh.sh_type != SHT_DYNSYM)
		return 0;
	syms = data_of(f, sym_scn, &sym_sh);
	for (size_t i = 0; syms && !err && i < rel->d_size / sizeof(Elf64_Rela); i++) {
		GElf_Rela r;
		GElf_Sym sym;

		if (!gelf_getrela(rel, i, &r))
			break;
		if (GELF_R_TYPE(r.r_info) != R_X86_64_JUMP_SLOT &&
		    GELF_R_TYPE(r.r_info) != R_X86_64_GLOB_DAT)
			continue;
		if (gelf_getsym(syms, GELF_R_SYM(r.r_info), &sym) &&
		    is_noreturn(elf_strptr(f->elf, sym_sh.sh_link, sym.st_name)))
			err = add(f, r.r_offset);
	}
	return err;
}

/* [endbr64;] [bnd] jmp *WORD(%rip): a stub, which begins with the first of these that it has. */
static int stubs(struct finder *f, const uint8_t *code, size_t sz, uint64_t vaddr, size_t word_cnt)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	int err = 0;

	for (size_t i = 0; !err && i + 6 <= sz; i++) {
		size_t start = i;
		uint64_t word;
		int32_t disp;

		if (code[i] != 0xff || code[i + 1] != 0x25)
			continue;
		memcpy(&disp, code + i + 2, sizeof(disp));
		word = vaddr + i + 6 + (int64_t)disp;
		if (!bsearch(&word, f->addr, word_cnt, sizeof(word), compare))
			continue;
		if (start && code[start - 1] == 0xf2)
			start--;
		if (start >= sizeof(endbr64) &&
		    !memcmp(code + start - sizeof(endbr64), endbr64, sizeof(endbr64)))
			start -= sizeof(endbr64);
		err = add(f, vaddr + start);
	}
	return err;
}

static int each_stub(struct finder *f)
{
	size_t names_idx, word_cnt = f->cnt;
	Elf_Scn *scn = NULL;
	int err = 0;

	if (!word_cnt || elf_getshdrstrndx(f->elf, &names_idx))
		return 0;
	qsort(f->addr, f->cnt, sizeof(*f->addr), compare);
	while (!err && (scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr sh;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_PROGBITS)
			continue;
		name = elf_strptr(f->elf, names_idx, sh.sh_name);
		if (!name || strncmp(name, ".plt", 4))
			continue;
		data = data_of(f, scn, &sh);
		if (data)
			err = stubs(f, data->d_buf, data->d_size, sh.sh_addr, word_cnt);
	}
	return err;
}

int derive_noreturn__find(Elf *elf, uint64_t file_sz, uint64_t **ret, size_t *ret_cnt)
{
	struct finder f = { .elf = elf, .file_sz = file_sz };
	Elf_Scn *scn = NULL;
	int err = 0;

	while (!err && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM)
			err = functions(&f, scn, &sh);
		else if (sh.sh_type == SHT_RELA && (sh.sh_flags & SHF_ALLOC))
			err = words(&f, scn, &sh);
	}
	if (!err)
		err = each_stub(&f);
	if (err) {
		free(f.addr);
		return err;
	}
	if (f.cnt)
		qsort(f.addr, f.cnt, sizeof(*f.addr), compare);
	*ret = f.addr;
	*ret_cnt = f.cnt;
	return 0;
}
