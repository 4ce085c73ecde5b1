// SPDX-License-Identifier: GPL-2.0-only
/*
 * tables ROUNDS FILE…: what it costs to make the unwind rows of each file, as holdup makes them, from
 * opening it to the last row. For each a line "EH_FRAME_BYTES GAP_BYTES ROWS NANOSECONDS FILE", the median of
 * the rounds. GAP_BYTES are mapped executable, but have no call frame information (where they are code, their
 * rows come from it). A file without any has no line. Exit status: 0; 1 a file that can't be read; 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/unwind/cfi.h"

#define MAX_ROWS   (16U << 20)
#define MAX_ROUNDS 100

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t eh_frame_bytes(int fd)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	Elf_Scn *scn = NULL;
	uint64_t bytes = 0;
	size_t names;

	if (!elf || elf_getshdrstrndx(elf, &names))
		names = 0;
	while (names && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name)
							  : NULL;

		if (name && !strcmp(name, ".eh_frame"))
			bytes = sh.sh_size;
	}
	elf_end(elf);
	return bytes;
}

/* 0, or -errno. */
static int build_once(const char *path, uint64_t *ret_ns, size_t *ret_rows, uint64_t *ret_gap)
{
	uint64_t start_ns = now_ns();
	struct cfi_table *t;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = cfi__build_file(fd, MAX_ROWS, &t);
	*ret_ns = now_ns() - start_ns;
	if (!err) {
		*ret_rows = t->cnt;
		*ret_gap = t->gap_bytes;
		cfi__free(t);
	}
	close(fd);
	return err;
}

static int measure(const char *path, int rounds)
{
	uint64_t ns[MAX_ROUNDS], gap = 0;
	size_t rows = 0;
	int fd;

	for (int i = 0; i < rounds; i++) {
		int err = build_once(path, &ns[i], &rows, &gap);

		if (err == -ENOENT)
			return 0;
		if (err) {
			fprintf(stderr, "tables: %s: %s\n", path, strerror(-err));
			return 1;
		}
	}
	qsort(ns, (size_t)rounds, sizeof(ns[0]), by_size);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	printf("%llu %llu %zu %llu %s\n", (unsigned long long)eh_frame_bytes(fd),
	       (unsigned long long)gap, rows, (unsigned long long)ns[rounds / 2], path);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[1]) : 0, status = 0;

	if (rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: tables ROUNDS FILE...\n");
		return 2;
	}
	elf_version(EV_CURRENT);
	for (int i = 2; i < argc && !status; i++)
		status = measure(argv[i], rounds);
	return status;
}
