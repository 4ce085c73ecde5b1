// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/debugfile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "user/sym/safe_open.h"

#define CRC_FILE_MAX (256ull << 20) /* a larger file is not read through to check it */
#define LINK_SZ_MAX  4096

static bool crc_matches(const struct elf_file *f, uint32_t want)
{
	enum {
		CHUNK = 1 << 16
	};
	uint8_t *buf = f->sz <= CRC_FILE_MAX ? malloc(CHUNK) : NULL;
	uint32_t crc = crc32(0, NULL, 0);
	bool ok = buf;

	for (uint64_t off = 0; ok && off < f->sz; off += CHUNK) {
		size_t sz = f->sz - off < CHUNK ? f->sz - off : CHUNK;

		ok = elf_file__read(f, off, buf, sz) == 0;
		if (ok)
			crc = crc32(crc, buf, sz);
	}
	free(buf);
	return ok && crc == want;
}

/*
 * A candidate counts when both build-ids are there and equal, or, failing that, when the CRC is the
 * one that the module names (crc: NULL when it names none).
 */
static int accept_candidate(const struct elf_file *f, int fd, const uint32_t *crc,
			    struct elf_file **ret)
{
	struct elf_file *debug;
	int err = elf_file__open(fd, &debug);

	if (err)
		return err;
	if (debug->is64 != f->is64 || debug->ehdr.e_machine != f->ehdr.e_machine)
		err = -ENOENT;
	else if (f->build_id[0] && debug->build_id[0])
		err = strcmp(f->build_id, debug->build_id) == 0 ? 0 : -ENOENT;
	else
		err = crc && crc_matches(debug, *crc) ? 0 : -ENOENT;
	if (err) {
		elf_file__close(debug);
		return err;
	}
	*ret = debug;
	return 0;
}

int debugfile__accept(const struct elf_file *f, int fd, struct elf_file **ret)
{
	return accept_candidate(f, fd, NULL, ret);
}

static int try_candidate(const struct elf_file *f, const char *root, const char *path,
			 const uint32_t *crc, struct elf_file **ret)
{
	int fd = safe_open__regular(root, path, false), err;

	if (fd < 0)
		return fd;
	err = accept_candidate(f, fd, crc, ret);
	close(fd);
	return err;
}

static int find_by_build_id(const struct elf_file *f, const char *root, struct elf_file **ret)
{
	char path[PATH_MAX];

	if (strlen(f->build_id) < 4)
		return -ENOENT;
	snprintf(path, sizeof(path), DEBUG_DIR "/.build-id/%.2s/%s.debug", f->build_id,
		 f->build_id + 2);
	return try_candidate(f, root, path, NULL, ret);
}

/* .gnu_debuglink: a file name, its NUL, zeros up to a multiple of 4, the CRC. */
static bool read_link(const struct elf_file *f, char name[static NAME_MAX + 1], uint32_t *ret_crc)
{
	const Elf64_Shdr *sh = elf_file__section(f, ".gnu_debuglink");
	uint8_t *data;
	size_t len, crc_off;
	bool ok;

	if (!sh || sh->sh_size > LINK_SZ_MAX || elf_file__section_data(f, sh, &data))
		return false;
	len = strnlen((char *)data, sh->sh_size);
	crc_off = (len + 4) & ~(size_t)3;
	ok = len > 0 && len <= NAME_MAX && !memchr(data, '/', len) &&
	     crc_off + sizeof(*ret_crc) <= sh->sh_size;
	if (ok) {
		memcpy(name, data, len + 1);
		memcpy(ret_crc, data + crc_off, sizeof(*ret_crc));
	}
	free(data);
	return ok;
}

static int find_by_link(const struct elf_file *f, const char *root, const char *module_path,
			struct elf_file **ret)
{
	static const char *const place[][2] = { { "", "" }, { "", "/.debug" }, { DEBUG_DIR, "" } };
	const char *slash = strrchr(module_path, '/');
	char name[NAME_MAX + 1], path[PATH_MAX];
	uint32_t crc;

	if (module_path[0] != '/' || !read_link(f, name, &crc))
		return -ENOENT;
	for (size_t i = 0; i < sizeof(place) / sizeof(place[0]); i++) {
		int len = snprintf(path, sizeof(path), "%s%.*s%s/%s", place[i][0],
				   (int)(slash - module_path), module_path, place[i][1], name);

		if (len < (int)sizeof(path) && try_candidate(f, root, path, &crc, ret) == 0)
			return 0;
	}
	return -ENOENT;
}

int debugfile__find(const struct elf_file *f, const struct debug_search *where,
		    struct elf_file **ret)
{
	const char *const root[] = { "", where->root };
	size_t roots = where->root[0] ? 2 : 1;

	for (size_t i = 0; i < roots; i++)
		if (find_by_build_id(f, root[i], ret) == 0)
			return 0;
	for (size_t i = 0; i < roots; i++)
		if (find_by_link(f, root[i], where->path, ret) == 0)
			return 0;
	return -ENOENT;
}
