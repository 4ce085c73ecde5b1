// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target for Go's table of functions: any bytes may be one. The first two choose a place in the code; the
 * rest is the table, or with an odd second byte what is changed in one that is made by hand (tests/unit/go_image.h):
 * 2 bytes for the place, 4 for what stands there instead.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/check.h"
#include "tests/unit/go_image.h"

#define PIECE_SZ      6
#define FUNCTIONS_MAX 64
#define FRAMES	      8

struct input {
	const uint8_t *bytes;
	size_t sz;
};

static int read_gofunc(void *ctx, uint32_t off, void *buf, size_t sz)
{
	const struct input *in = ctx;

	if (off > in->sz || sz > in->sz - off)
		return -EFAULT;
	memcpy(buf, in->bytes + off, sz);
	return 0;
}

static bool within(const struct input *in, const char *text)
{
	const uint8_t *at = (const uint8_t *)text;

	return !*text || (at >= in->bytes && at < in->bytes + in->sz &&
			  memchr(at, 0, in->bytes + in->sz - at));
}

static void check_place(const struct go_pclntab *t, struct input *in, uint64_t at)
{
	struct go_frame frame[FRAMES];
	size_t cnt = go_pclntab__frames(t, at, read_gofunc, in, frame, FRAMES);

	CHECK(cnt <= FRAMES);
	for (size_t i = 0; i < cnt; i++) {
		CHECK(within(in, frame[i].function) && within(in, frame[i].file));
		CHECK(frame[i].line >= 0 && frame[i].inlined == (i + 1 < cnt));
	}
}

static void check_table(struct input *in, const uint8_t place[2])
{
	struct go_pclntab t;
	struct go_func f;
	int32_t delta;

	if (go_pclntab__parse(in->bytes, in->sz, &t))
		return;
	CHECK(t.funcs <= in->sz / 8);
	for (uint64_t i = 0; i < t.funcs && i < FUNCTIONS_MAX; i++) {
		if (!go_pclntab__func(&t, i, &f))
			continue;
		CHECK(f.entry <= f.end && within(in, f.name));
		if (go_func__sp_delta(&t, &f, f.entry + place[0], &delta))
			CHECK(delta >= 0);
		check_place(&t, in, f.entry);
		check_place(&t, in, f.entry + place[1]);
	}
	check_place(&t, in, (uint64_t)place[0] << 8 | place[1]);
	check_place(&t, in, UINT64_MAX);
}

static void check_changed(const uint8_t *data, size_t sz)
{
	struct go_image *img = img__new(data[0] & 1 ? 19 : 24);
	struct input in;

	if (!img)
		return;
	in = (struct input){ img->ro, sizeof(img->ro) };
	for (size_t at = 2; at + PIECE_SZ <= sz; at += PIECE_SZ) {
		size_t place = data[at] | data[at + 1] << 8;

		memcpy(img->ro + place % (sizeof(img->ro) - 4), data + at + 2, 4);
	}
	check_table(&in, data);
	free(img);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	struct input in = { data + 2, sz - 2 };

	if (sz < 2)
		return 0;
	if (data[1] & 1)
		check_changed(data, sz);
	else
		check_table(&in, data);
	return 0;
}
