/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Go program's file: its version, its table of functions, and where its symbol table, if it has one, says that the
 * runtime's variables are. Stripped or not, position-independent or not, with cgo or without.
 *
 * In: an open file (hostile; read with pread, never mapped). Addresses are those of the file, without load bias.
 * Ownership: go_binary__free(); frames' names point into it. Errors: -ENOENT: no Go program; -ENOTSUP: one of a version
 * that is not known, *ret is set all the same, with its version; other negative errno.
 */
#ifndef HOLDUP_GOLANG_GO_BINARY_H
#define HOLDUP_GOLANG_GO_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/golang/go_layout.h"
#include "user/golang/go_pclntab.h"
#include "user/sym/elf_file.h"

struct go_binary {
	struct elf_file *elf;
	char version[32]; /* "go1.22.12": untrusted bytes, NUL-terminated; "" when not told */
	int minor;	  /* 22; 0: not told */
	bool known;	  /* everything below is set */
	bool from_dwarf;  /* the layout was checked against the file's own DWARF */
	struct go_layout layout;
	uint8_t *table; /* of table_sz bytes */
	size_t table_sz;
	uint64_t table_addr;
	struct go_pclntab pclntab;
	uint32_t main_entry; /* of runtime.main, in the text */
	/* By the symbol table; 0: not there. */
	uint64_t allgs, allp, sched, wait_reasons, semtable;
};

/* Is it worth asking? Cheap: the section names, or without any the head of the data. */
bool go_binary__recognise(const struct elf_file *elf);
/* fd stays the caller's. */
int go_binary__open(int fd, struct go_binary **ret);
void go_binary__free(struct go_binary *b); /* NULL is fine */

/* sz bytes at an address of the file's PT_LOAD segments, as they are in the file; 0 or -errno. */
int go_binary__read(const struct go_binary *b, uint64_t addr, void *to, size_t sz);

/* "go1.22.3", "go1.24rc1 X:boringcrypto", "devel go1.23-a1b2c3": the minor version; 0: none. */
int go_version__minor(const char *version);

#endif
