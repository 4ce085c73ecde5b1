// SPDX-License-Identifier: GPL-2.0-only
/* Which bytes of an ELF file hold its call frame information. */
#include "user/unwind/cfi.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>
#include <sys/stat.h>

#include "user/unwind/cfi_arch.h"

/* The largest .eh_frame we know is Chromium's, some 20 MiB; libelf reads a section as a whole. */
#define SECTION_MAX (1ULL << 30)

struct elf_file {
	uint16_t machine;
	Elf *elf;
	uint64_t size; /* of the file */
	uint64_t base; /* lowest PT_LOAD vaddr */
	uint64_t text_lo, text_hi;
	uint64_t got; /* address of .got.plt or .got, 0: none */
	Elf_Scn *eh_frame, *debug_frame, *zdebug_frame;
};

/* machine 0: any that we know; *ret_machine gets the file's */
static int check_header(Elf *elf, uint16_t machine, uint16_t *ret_machine)
{
	GElf_Ehdr eh;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh))
		return -ENOEXEC;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (machine && eh.e_machine != machine) || !cfi_arch__of(eh.e_machine))
		return -ENOEXEC;
	*ret_machine = eh.e_machine;
	/* in ET_REL nothing has an address yet, and .eh_frame lacks its relocations */
	return eh.e_type == ET_EXEC || eh.e_type == ET_DYN ? 0 : -ENOEXEC;
}

static int read_segments(struct elf_file *f)
{
	size_t cnt, i;

	if (elf_getphdrnum(f->elf, &cnt))
		return -ENOEXEC;
	f->base = UINT64_MAX;
	f->text_lo = UINT64_MAX;
	for (i = 0; i < cnt; i++) {
		GElf_Phdr ph;
		uint64_t end;

		if (!gelf_getphdr(f->elf, i, &ph))
			return -ENOEXEC;
		if (ph.p_type != PT_LOAD || __builtin_add_overflow(ph.p_vaddr, ph.p_memsz, &end))
			continue;
		if (ph.p_vaddr < f->base)
			f->base = ph.p_vaddr;
		if (!(ph.p_flags & PF_X))
			continue;
		if (ph.p_vaddr < f->text_lo)
			f->text_lo = ph.p_vaddr;
		if (end > f->text_hi)
			f->text_hi = end;
	}
	return f->text_hi ? 0 : -ENOENT; /* no code */
}

static int read_sections(struct elf_file *f)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(f->elf, &names))
		return -ENOEXEC;
	while ((scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr sh;
		const char *name;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(f->elf, names, sh.sh_name);
		if (!name)
			continue;
		if (!strcmp(name, ".eh_frame"))
			f->eh_frame = scn;
		else if (!strcmp(name, ".debug_frame"))
			f->debug_frame = scn;
		else if (!strcmp(name, ".zdebug_frame"))
			f->zdebug_frame = scn;
		else if (!strcmp(name, ".got.plt") || (!strcmp(name, ".got") && !f->got))
			f->got = sh.sh_addr;
	}
	return 0;
}

/* Decompresses in place what the section header says is compressed (gABI, SHF_COMPRESSED). */
static int inflate(Elf_Scn *scn, const GElf_Shdr *sh)
{
	GElf_Chdr ch;

	if (!(sh->sh_flags & SHF_COMPRESSED))
		return 0;
	if (!gelf_getchdr(scn, &ch))
		return -EINVAL;
	if (ch.ch_size > SECTION_MAX)
		return -EFBIG;
	return elf_compress(scn, 0, 0) < 0 ? -EINVAL : 0;
}

/* The form before SHF_COMPRESSED, still in programs of Go 1.18: "ZLIB", a big-endian size, zlib. */
static int inflate_gnu(Elf_Scn *scn)
{
	Elf_Data *raw = elf_rawdata(scn, NULL);
	uint64_t sz;

	if (!raw || !raw->d_buf || raw->d_size < 12 || memcmp(raw->d_buf, "ZLIB", 4))
		return -EINVAL;
	memcpy(&sz, (const char *)raw->d_buf + 4, sizeof(sz));
	if (be64toh(sz) > SECTION_MAX)
		return -EFBIG;
	return elf_compress_gnu(scn, 0, 0) < 0 ? -EINVAL : 0;
}

/* The section's bytes, decompressed; they belong to the Elf. */
static int load(const struct elf_file *f, Elf_Scn *scn, struct cfi_section *sec)
{
	Elf_Data *data;
	GElf_Shdr sh;
	int err;

	if (!gelf_getshdr(scn, &sh))
		return -ENOEXEC;
	/* before libelf allocates that much */
	if (sh.sh_size > SECTION_MAX)
		return -EFBIG;
	if (sh.sh_offset > f->size || sh.sh_size > f->size - sh.sh_offset)
		return -ENOEXEC;
	err = scn == f->zdebug_frame ? inflate_gnu(scn) : inflate(scn, &sh);
	if (err)
		return err;
	data = elf_getdata(scn, NULL);
	if (!data || !data->d_buf)
		return -ENOENT;
	*sec = (struct cfi_section){ .data = data->d_buf,
				     .sz = data->d_size,
				     .vaddr = sh.sh_addr,
				     .debug_frame = scn != f->eh_frame,
				     .data_base = f->got,
				     .text_lo = f->text_lo,
				     .text_hi = f->text_hi,
				     .machine = f->machine };
	return 0;
}

/* .eh_frame last: it wins where both speak. A section that can't be had counts as malformed. */
static int build_sections(const struct elf_file *f, size_t max_rows, struct cfi_table **ret)
{
	Elf_Scn *const scn[] = { f->zdebug_frame, f->debug_frame, f->eh_frame };
	struct cfi_section sec[CFI_MAX_SECTIONS];
	struct cfi_table *t;
	size_t i, cnt = 0, failed = 0;
	int err = -ENOENT, load_err = -ENOENT;

	for (i = 0; i < sizeof(scn) / sizeof(scn[0]); i++) {
		if (!scn[i])
			continue;
		err = load(f, scn[i], &sec[cnt]);
		if (!err) {
			cnt++;
			continue;
		}
		failed++;
		load_err = err;
	}
	if (!cnt)
		return load_err;
	err = cfi__build(sec, cnt, f->base, max_rows, &t);
	if (err)
		return err;
	if (!t->cnt) {
		cfi__free(t);
		return load_err;
	}
	t->stats.malformed += failed;
	*ret = t;
	return 0;
}

static int build_file(int fd, uint16_t machine, size_t max_rows, struct cfi_table **ret)
{
	struct elf_file f = { 0 };
	struct cfi_table *t;
	struct stat st;
	GElf_Ehdr eh;
	int err;

	if (fstat(fd, &st))
		return -errno;
	f.size = st.st_size;
	elf_version(EV_CURRENT);
	f.elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!f.elf)
		return -ENOEXEC;
	err = check_header(f.elf, machine, &f.machine);
	if (!err)
		err = read_segments(&f);
	if (!err)
		err = read_sections(&f);
	if (!err)
		err = build_sections(&f, max_rows, &t);
	if (!err) {
		err = gelf_getehdr(f.elf, &eh) && eh.e_entry ? cfi__mark_entry(t, eh.e_entry) : 0;
		if (err)
			cfi__free(t);
		else
			*ret = t;
	}
	elf_end(f.elf);
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
