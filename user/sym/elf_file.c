// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/elf_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define PHDR_CNT_MAX  4096
#define SHDR_CNT_MAX  65536 /* a linked file has under a hundred */
#define NAMES_MAX     (1u << 22)
#define NOTES_MAX     (1u << 16) /* bytes of a section */
#define NOTES_CNT_MAX 64	 /* sections that are looked through for the build-id */

#if __BYTE_ORDER == __LITTLE_ENDIAN
#define OUR_DATA ELFDATA2LSB
#else
#define OUR_DATA ELFDATA2MSB
#endif

int elf_file__read(const struct elf_file *f, uint64_t off, void *buf, size_t sz)
{
	uint8_t *p = buf;

	if (off > f->sz || sz > f->sz - off)
		return -EIO;
	if (f->image) {
		memcpy(buf, f->image + off, sz);
		return 0;
	}
	if (f->fd < 0)
		return -EBADF;
	while (sz) {
		ssize_t n = pread(f->fd, p, sz, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* truncated after we asked for its size */
		p += n;
		off += n;
		sz -= n;
	}
	return 0;
}

/* The members have the same names in both classes, but not the same order or width. */
static void widen_ehdr(const Elf32_Ehdr *from, Elf64_Ehdr *to)
{
	memcpy(to->e_ident, from->e_ident, sizeof(to->e_ident));
	to->e_type = from->e_type;
	to->e_machine = from->e_machine;
	to->e_phoff = from->e_phoff;
	to->e_shoff = from->e_shoff;
	to->e_phentsize = from->e_phentsize;
	to->e_phnum = from->e_phnum;
	to->e_shentsize = from->e_shentsize;
	to->e_shnum = from->e_shnum;
	to->e_shstrndx = from->e_shstrndx;
}

static void widen_phdr(const Elf32_Phdr *from, Elf64_Phdr *to)
{
	to->p_type = from->p_type;
	to->p_flags = from->p_flags;
	to->p_offset = from->p_offset;
	to->p_vaddr = from->p_vaddr;
	to->p_filesz = from->p_filesz;
	to->p_memsz = from->p_memsz;
	to->p_align = from->p_align;
}

static void widen_shdr(const Elf32_Shdr *from, Elf64_Shdr *to)
{
	to->sh_name = from->sh_name;
	to->sh_type = from->sh_type;
	to->sh_flags = from->sh_flags;
	to->sh_addr = from->sh_addr;
	to->sh_offset = from->sh_offset;
	to->sh_size = from->sh_size;
	to->sh_link = from->sh_link;
	to->sh_info = from->sh_info;
	to->sh_addralign = from->sh_addralign;
	to->sh_entsize = from->sh_entsize;
}

static int read_ehdr(struct elf_file *f)
{
	unsigned char ident[EI_NIDENT];
	Elf32_Ehdr ehdr32;
	int err = elf_file__read(f, 0, ident, sizeof(ident));

	if (err)
		return err == -EIO ? -ENOEXEC : err;
	if (memcmp(ident, ELFMAG, SELFMAG) != 0 || ident[EI_DATA] != OUR_DATA ||
	    (ident[EI_CLASS] != ELFCLASS64 && ident[EI_CLASS] != ELFCLASS32))
		return -ENOEXEC;
	f->is64 = ident[EI_CLASS] == ELFCLASS64;
	if (f->is64)
		return elf_file__read(f, 0, &f->ehdr, sizeof(f->ehdr)) ? -ENOEXEC : 0;
	if (elf_file__read(f, 0, &ehdr32, sizeof(ehdr32)))
		return -ENOEXEC;
	widen_ehdr(&ehdr32, &f->ehdr);
	return 0;
}

/* Reads cnt headers of sz bytes each; wide_sz is what one takes in the 64-bit form. */
static int read_table(const struct elf_file *f, uint64_t off, size_t cnt, size_t sz, size_t wide_sz,
		      void **ret_raw, void **ret_wide)
{
	void *raw, *wide;
	int err;

	if (off > f->sz || cnt > (f->sz - off) / sz)
		return -ENOEXEC;
	raw = calloc(cnt + 1, sz);
	wide = calloc(cnt + 1, wide_sz);
	err = raw && wide ? elf_file__read(f, off, raw, cnt * sz) : -ENOMEM;
	if (err) {
		free(raw);
		free(wide);
		return err;
	}
	*ret_raw = raw;
	*ret_wide = wide;
	return 0;
}

static int read_phdrs(struct elf_file *f)
{
	size_t cnt = f->ehdr.e_phnum, sz = f->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	void *raw, *wide;
	int err;

	if (cnt == 0)
		return 0;
	if (f->ehdr.e_phentsize != sz || cnt > PHDR_CNT_MAX)
		return -ENOEXEC;
	err = read_table(f, f->ehdr.e_phoff, cnt, sz, sizeof(Elf64_Phdr), &raw, &wide);
	if (err)
		return err;
	f->phdr = wide;
	f->phdr_cnt = cnt;
	if (f->is64)
		memcpy(f->phdr, raw, cnt * sz);
	for (size_t i = 0; !f->is64 && i < cnt; i++)
		widen_phdr((Elf32_Phdr *)raw + i, &f->phdr[i]);
	free(raw);
	return 0;
}

/* gABI, "Sections": with 0xff00 or more sections, header 0 holds the count and the names' index. */
static int section_count(const struct elf_file *f, size_t sz, size_t *ret_cnt, uint32_t *ret_names)
{
	Elf64_Shdr first = { 0 };
	Elf32_Shdr first32;
	int err;

	*ret_cnt = f->ehdr.e_shnum;
	*ret_names = f->ehdr.e_shstrndx;
	if (f->ehdr.e_shnum != 0 && f->ehdr.e_shstrndx != SHN_XINDEX)
		return 0;
	if (f->is64) {
		err = elf_file__read(f, f->ehdr.e_shoff, &first, sizeof(first));
	} else {
		err = elf_file__read(f, f->ehdr.e_shoff, &first32, sizeof(first32));
		if (!err)
			widen_shdr(&first32, &first);
	}
	if (err)
		return err;
	if (f->ehdr.e_shnum == 0)
		*ret_cnt = first.sh_size < SHDR_CNT_MAX + 1 ? first.sh_size : SHDR_CNT_MAX + 1;
	if (f->ehdr.e_shstrndx == SHN_XINDEX)
		*ret_names = first.sh_link;
	return 0;
}

static int read_shdrs(struct elf_file *f)
{
	size_t cnt, sz = f->is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	uint32_t names;
	void *raw, *wide;
	uint8_t *text;
	int err;

	if (f->ehdr.e_shoff == 0)
		return 0;
	if (f->ehdr.e_shentsize != sz)
		return -ENOEXEC;
	err = section_count(f, sz, &cnt, &names);
	if (err)
		return err;
	if (cnt > SHDR_CNT_MAX || names >= cnt)
		return -ENOEXEC;
	err = read_table(f, f->ehdr.e_shoff, cnt, sz, sizeof(Elf64_Shdr), &raw, &wide);
	if (err)
		return err;
	f->shdr = wide;
	if (f->is64)
		memcpy(f->shdr, raw, cnt * sz);
	for (size_t i = 0; !f->is64 && i < cnt; i++)
		widen_shdr((Elf32_Shdr *)raw + i, &f->shdr[i]);
	free(raw);
	if (f->shdr[names].sh_size > NAMES_MAX)
		return -ENOEXEC;
	err = elf_file__section_data(f, &f->shdr[names], &text);
	if (err)
		return err;
	f->names = (char *)text;
	f->names_sz = f->shdr[names].sh_size;
	f->shdr_cnt = cnt;
	return 0;
}

/* Looks for NT_GNU_BUILD_ID among the notes in [off, off + sz). gABI, "Note Section". */
static void find_build_id(struct elf_file *f, uint64_t off, uint64_t sz)
{
	uint8_t *data;
	uint64_t pos = 0;

	if (sz < sizeof(Elf64_Nhdr) || sz > NOTES_MAX)
		return;
	data = malloc(sz);
	if (!data)
		return;
	if (elf_file__read(f, off, data, sz))
		sz = 0;
	while (sz >= sizeof(Elf64_Nhdr) && pos <= sz - sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t desc;

		memcpy(&nh, data + pos, sizeof(nh));
		desc = pos + sizeof(nh) + (((uint64_t)nh.n_namesz + 3) & ~3ull);
		pos = desc + (((uint64_t)nh.n_descsz + 3) & ~3ull);
		if (desc > sz || nh.n_descsz > sz - desc)
			break;
		if (nh.n_type != NT_GNU_BUILD_ID || nh.n_namesz != 4 || nh.n_descsz < 2 ||
		    nh.n_descsz > (sizeof(f->build_id) - 1) / 2 ||
		    memcmp(data + desc - 4, "GNU", 4) != 0)
			continue;
		for (size_t i = 0; i < nh.n_descsz; i++) {
			f->build_id[2 * i] = "0123456789abcdef"[data[desc + i] >> 4];
			f->build_id[2 * i + 1] = "0123456789abcdef"[data[desc + i] & 15];
		}
		f->build_id[2 * nh.n_descsz] = '\0';
		break;
	}
	free(data);
}

/* A debug file's program headers are those of the stripped file, so sections come first. */
static void read_build_id(struct elf_file *f)
{
	size_t cnt = 0;

	for (size_t i = 0; i < f->shdr_cnt && !f->build_id[0] && cnt < NOTES_CNT_MAX; i++) {
		if (f->shdr[i].sh_type != SHT_NOTE)
			continue;
		find_build_id(f, f->shdr[i].sh_offset, f->shdr[i].sh_size);
		cnt++;
	}
	for (size_t i = 0; i < f->phdr_cnt && !f->shdr_cnt && !f->build_id[0]; i++)
		if (f->phdr[i].p_type == PT_NOTE)
			find_build_id(f, f->phdr[i].p_offset, f->phdr[i].p_filesz);
}

static int read_headers(struct elf_file *f)
{
	int err = read_ehdr(f);

	if (err)
		return err;
	err = read_phdrs(f);
	if (err)
		return err;
	/* Damaged section headers leave the program headers, which is what biases need. */
	err = read_shdrs(f);
	if (err == -ENOMEM)
		return err;
	read_build_id(f);
	return 0;
}

int elf_file__open(int fd, struct elf_file **ret)
{
	struct elf_file *f;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->sz = st.st_size;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = f->fd < 0 ? -errno : read_headers(f);
	if (err) {
		elf_file__close(f);
		return err;
	}
	*ret = f;
	return 0;
}

int elf_file__open_memory(const void *image, size_t sz, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->sz = sz;
	f->image = malloc(sz + 1);
	err = f->image ? 0 : -ENOMEM;
	if (!err) {
		memcpy(f->image, image, sz);
		err = read_headers(f);
	}
	if (err) {
		elf_file__close(f);
		return err;
	}
	*ret = f;
	return 0;
}

void elf_file__close_fd(struct elf_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void elf_file__close(struct elf_file *f)
{
	if (!f)
		return;
	elf_file__close_fd(f);
	free(f->image);
	free(f->phdr);
	free(f->shdr);
	free(f->names);
	free(f);
}

const char *elf_file__section_name(const struct elf_file *f, const Elf64_Shdr *sh)
{
	return sh->sh_name < f->names_sz ? f->names + sh->sh_name : "";
}

const Elf64_Shdr *elf_file__section(const struct elf_file *f, const char *name)
{
	for (size_t i = 1; i < f->shdr_cnt; i++)
		if (strcmp(elf_file__section_name(f, &f->shdr[i]), name) == 0)
			return &f->shdr[i];
	return NULL;
}

const Elf64_Shdr *elf_file__section_of_type(const struct elf_file *f, uint32_t type)
{
	for (size_t i = 1; i < f->shdr_cnt; i++)
		if (f->shdr[i].sh_type == type)
			return &f->shdr[i];
	return NULL;
}

static int raw_data(const struct elf_file *f, const Elf64_Shdr *sh, uint8_t **ret)
{
	uint8_t *data;
	int err;

	if (sh->sh_type == SHT_NOBITS)
		return -ENODATA;
	if (sh->sh_size > ELF_SECTION_MAX)
		return -EFBIG;
	/* Before the allocation: a tiny file must not make us take a gigabyte. */
	if (sh->sh_offset > f->sz || sh->sh_size > f->sz - sh->sh_offset)
		return -EIO;
	data = malloc(sh->sh_size + 1);
	if (!data)
		return -ENOMEM;
	err = elf_file__read(f, sh->sh_offset, data, sh->sh_size);
	if (err) {
		free(data);
		return err;
	}
	data[sh->sh_size] = '\0';
	*ret = data;
	return 0;
}

int elf_file__section_data(const struct elf_file *f, const Elf64_Shdr *sh, uint8_t **ret)
{
	return sh->sh_flags & SHF_COMPRESSED ? -ENOTSUP : raw_data(f, sh, ret);
}

#define GNU_HEADER_SZ 12

/* How long the header in front of the compressed bytes is, and what it promises; 0: none. */
static int parse_header(const struct elf_file *f, const Elf64_Shdr *sh, const uint8_t *data,
			size_t *ret_header_sz, uint64_t *ret_sz)
{
	Elf64_Chdr ch = { 0 };
	Elf32_Chdr ch32;
	uint64_t be;

	*ret_header_sz = 0;
	if (sh->sh_flags & SHF_COMPRESSED) {
		*ret_header_sz = f->is64 ? sizeof(ch) : sizeof(ch32);
		if (sh->sh_size < *ret_header_sz)
			return -EINVAL;
		if (f->is64) {
			memcpy(&ch, data, sizeof(ch));
		} else {
			memcpy(&ch32, data, sizeof(ch32));
			ch.ch_type = ch32.ch_type;
			ch.ch_size = ch32.ch_size;
		}
		*ret_sz = ch.ch_size;
		return ch.ch_type == ELFCOMPRESS_ZLIB ? 0 : -ENOTSUP;
	}
	/* Before SHF_COMPRESSED, still in programs of Go 1.18: "ZLIB", a big-endian size, zlib. */
	if (strncmp(elf_file__section_name(f, sh), ".zdebug_", 8) == 0) {
		*ret_header_sz = GNU_HEADER_SZ;
		if (sh->sh_size < GNU_HEADER_SZ || memcmp(data, "ZLIB", 4) != 0)
			return -EINVAL;
		memcpy(&be, data + 4, sizeof(be));
		*ret_sz = be64toh(be);
	}
	return 0;
}

static int inflate_data(const uint8_t *data, size_t sz, uint64_t out_sz, size_t max, uint8_t **ret)
{
	uLongf len = out_sz;
	uint8_t *out;

	if (out_sz > max)
		return -EFBIG;
	/* zlib, "Maximum Expansion Factor": deflate can't do better than 1032:1 */
	if (out_sz / 1032 > sz)
		return -EINVAL;
	out = malloc(out_sz + 1);
	if (!out)
		return -ENOMEM;
	if (uncompress(out, &len, data, sz) != Z_OK || len != out_sz) {
		free(out);
		return -EINVAL;
	}
	out[out_sz] = '\0';
	*ret = out;
	return 0;
}

int elf_file__section_inflated(const struct elf_file *f, const Elf64_Shdr *sh, size_t max,
			       uint8_t **ret, size_t *ret_sz)
{
	uint64_t out_sz = 0;
	size_t header_sz;
	uint8_t *data;
	int err;

	if (sh->sh_size > max)
		return -EFBIG;
	err = raw_data(f, sh, &data);
	if (err)
		return err;
	err = parse_header(f, sh, data, &header_sz, &out_sz);
	if (!err && !header_sz) {
		*ret = data;
		*ret_sz = sh->sh_size;
		return 0;
	}
	if (!err)
		err = inflate_data(data + header_sz, sh->sh_size - header_sz, out_sz, max, ret);
	free(data);
	if (!err)
		*ret_sz = out_sz;
	return err;
}
