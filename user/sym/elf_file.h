/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An ELF file's headers and bytes, for reading only (System V gABI, chapters 4 and 5).
 *
 * In: a file descriptor or an image in memory (hostile). Everything is read with pread into memory
 * of our own: a file that is truncated or rewritten meanwhile gives an error or wrong names, never
 * SIGBUS. The section headers are read here rather than by libelf, so that every count and size is
 * checked against the file's size before anything is allocated.
 *
 * Out: headers in the 64-bit form whatever the class. Only this machine's byte order is accepted.
 * Ownership: elf_file__close() frees all but what elf_file__section_data() handed out; the
 * descriptor is a duplicate. Errors: negative errno; -ENOEXEC for anything that is not usable ELF.
 */
#ifndef HOLDUP_SYM_ELF_FILE_H
#define HOLDUP_SYM_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SECTION_MAX (512u << 20) /* bytes; a larger one is refused (-EFBIG) */

struct elf_file {
	int fd;		/* -1: in memory, or closed */
	uint8_t *image; /* owned; NULL unless in memory */
	uint64_t sz;
	bool is64;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdr;
	size_t phdr_cnt;
	Elf64_Shdr *shdr; /* sh_name is below names_sz */
	size_t shdr_cnt;
	char *names;
	size_t names_sz;
	char build_id[129]; /* hex, "" for none */
};

int elf_file__open(int fd, struct elf_file **ret);
int elf_file__open_memory(const void *image, size_t sz, struct elf_file **ret);
void elf_file__close(struct elf_file *f);
void elf_file__close_fd(struct elf_file *f); /* the headers stay */

/* Exactly sz bytes at off; -EIO when the file has fewer. */
int elf_file__read(const struct elf_file *f, uint64_t off, void *buf, size_t sz);
const char *elf_file__section_name(const struct elf_file *f, const Elf64_Shdr *sh);
const Elf64_Shdr *elf_file__section(const struct elf_file *f, const char *name); /* or NULL */
const Elf64_Shdr *elf_file__section_of_type(const struct elf_file *f, uint32_t type);
/*
 * The section's bytes as they are in the file and a NUL after them, malloc'ed; never for SHT_NOBITS
 * or a compressed one (-ENODATA, -ENOTSUP).
 */
int elf_file__section_data(const struct elf_file *f, const Elf64_Shdr *sh, uint8_t **ret);
/*
 * The same, decompressed where it is compressed by zlib (SHF_COMPRESSED, or the older .zdebug_ form);
 * *ret_sz bytes, at most max (-EFBIG). -EINVAL: damaged; -ENOTSUP: another compression.
 */
int elf_file__section_inflated(const struct elf_file *f, const Elf64_Shdr *sh, size_t max,
			       uint8_t **ret, size_t *ret_sz);

#endif
