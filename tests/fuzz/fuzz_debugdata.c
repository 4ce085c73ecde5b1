// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: .gnu_debugdata. The first byte says what the rest is: what the section holds (an xz
 * stream, mostly damaged), or what is in the stream (an ELF file), which is packed here.
 */
#include <elf.h>
#include <lzma.h>
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/sym/module.h"

static const char names[] = "\0.gnu_debugdata\0.shstrtab";

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	Elf64_Shdr shdr[3];
	char names[sizeof(names)];
	uint8_t packed[];
};

#define PACKED_OFF offsetof(struct image, packed)

/* A stripped program that has nothing but the section. */
static struct image *make_image(const uint8_t *packed, size_t sz)
{
	struct image *img = calloc(1, PACKED_OFF + sz);

	CHECK(img);
	memcpy(img->ehdr.e_ident, ELFMAG "\2\1\1", 7);
	img->ehdr.e_type = ET_DYN;
	img->ehdr.e_machine = EM_X86_64;
	img->ehdr.e_phoff = offsetof(struct image, phdr);
	img->ehdr.e_phnum = 1;
	img->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	img->ehdr.e_shoff = offsetof(struct image, shdr);
	img->ehdr.e_shnum = 3;
	img->ehdr.e_shentsize = sizeof(Elf64_Shdr);
	img->ehdr.e_shstrndx = 2;
	img->phdr = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = 1 << 20 };
	img->shdr[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = PACKED_OFF, .sh_size = sz
	};
	img->shdr[2] = (Elf64_Shdr){ .sh_name = 16,
				     .sh_type = SHT_STRTAB,
				     .sh_offset = offsetof(struct image, names),
				     .sh_size = sizeof(names) };
	memcpy(img->names, names, sizeof(names));
	memcpy(img->packed, packed, sz);
	return img;
}

static void ask(const uint8_t *packed, size_t sz)
{
	struct image *img = make_image(packed, sz);
	struct symbol sym, again;
	struct module *m;

	CHECK(module__open_memory(img, PACKED_OFF + sz, "fuzz", &m) == 0);
	free(img);
	for (uint64_t vaddr = 0; vaddr < 0x1000; vaddr += 64) {
		if (!module__func(m, vaddr, &sym))
			continue;
		CHECK(sym.addr <= vaddr && sym.name[0]);
		module__by_name(m, sym.name, &again);
	}
	module__free(m);
}

/*
 * An xz stream of one block that is stored, not compressed: an encoder and its tables would be most of the
 * time of a run, and find nothing.
 */
static uint8_t *store(const uint8_t *data, size_t sz, size_t *ret_sz)
{
	lzma_options_lzma options = { .dict_size = LZMA_DICT_SIZE_MIN };
	lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &options }, { .id = LZMA_VLI_UNKNOWN } };
	lzma_block block = { .check = LZMA_CHECK_NONE, .filters = filters };
	lzma_stream_flags flags = { .check = LZMA_CHECK_NONE };
	lzma_index *index = lzma_index_init(NULL);
	size_t cap = lzma_stream_buffer_bound(sz), at = LZMA_STREAM_HEADER_SIZE;
	uint8_t *packed = malloc(cap);

	CHECK(packed && index);
	CHECK(lzma_stream_header_encode(&flags, packed) == LZMA_OK);
	CHECK(lzma_block_uncomp_encode(&block, data, sz, packed, &at, cap) == LZMA_OK);
	CHECK(lzma_index_append(index, NULL, lzma_block_unpadded_size(&block),
				block.uncompressed_size) == LZMA_OK);
	flags.backward_size = lzma_index_size(index);
	CHECK(lzma_index_buffer_encode(index, packed, &at, cap) == LZMA_OK);
	CHECK(cap - at >= LZMA_STREAM_HEADER_SIZE);
	CHECK(lzma_stream_footer_encode(&flags, packed + at) == LZMA_OK);
	lzma_index_end(index, NULL);
	*ret_sz = at + LZMA_STREAM_HEADER_SIZE;
	return packed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	size_t packed_sz;
	uint8_t *packed;

	if (sz < 1)
		return 0;
	if (data[0] & 1) {
		ask(data + 1, sz - 1);
		return 0;
	}
	packed = store(data + 1, sz - 1, &packed_sz);
	ask(packed, packed_sz);
	free(packed);
	return 0;
}
