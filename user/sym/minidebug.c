// SPDX-License-Identifier: GPL-2.0-only
/* MiniDebugInfo: .gnu_debugdata, an xz stream with an ELF file that has little more than .symtab. */
#include "user/sym/debugfile.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>

#define PACKED_MAX   (32u << 20)
#define UNPACKED_MAX (128u << 20) /* a few hundred bytes of xz can ask for gigabytes */
#define LZMA_MEM_MAX (256u << 20) /* xz -9 needs 65 MiB to decompress */

/* Decodes into a growing buffer; *ret is the caller's to free. */
static int decode(lzma_stream *xz, uint8_t **ret, size_t *ret_sz)
{
	size_t cap = 1 << 16;
	uint8_t *buf = malloc(cap), *more;
	lzma_ret status = LZMA_OK;

	while (buf && status == LZMA_OK) {
		xz->next_out = buf + xz->total_out;
		xz->avail_out = cap - xz->total_out;
		status = lzma_code(xz, LZMA_FINISH);
		if (status != LZMA_OK || xz->avail_out)
			continue;
		if (cap >= UNPACKED_MAX)
			break;
		cap *= 2;
		more = realloc(buf, cap);
		if (!more)
			free(buf);
		buf = more;
	}
	if (!buf)
		return -ENOMEM;
	if (status != LZMA_STREAM_END) {
		free(buf);
		return -ENOENT;
	}
	*ret = buf;
	*ret_sz = xz->total_out;
	return 0;
}

int debugfile__unpack_mini(const struct elf_file *f, struct elf_file **ret)
{
	const Elf64_Shdr *sh = elf_file__section(f, ".gnu_debugdata");
	lzma_stream xz = LZMA_STREAM_INIT;
	uint8_t *packed, *image;
	size_t sz;
	int err;

	if (!sh || sh->sh_size > PACKED_MAX)
		return -ENOENT;
	err = elf_file__section_data(f, sh, &packed);
	if (err)
		return err;
	if (lzma_stream_decoder(&xz, LZMA_MEM_MAX, 0) != LZMA_OK) {
		free(packed);
		return -ENOMEM;
	}
	xz.next_in = packed;
	xz.avail_in = sh->sh_size;
	err = decode(&xz, &image, &sz);
	lzma_end(&xz);
	free(packed);
	if (err)
		return err;
	err = elf_file__open_memory(image, sz, ret);
	free(image);
	return err;
}
