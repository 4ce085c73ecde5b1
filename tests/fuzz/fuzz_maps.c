// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer: the parser of /proc/PID/maps, and merging. The first byte says where the text is cut
 * in two. */
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/sym/maps.h"

static void check(const struct maps *m, size_t text_sz)
{
	size_t path_sz = 0;

	CHECK(m->cnt <= MAPS_MAX);
	for (size_t i = 0; i < m->cnt; i++) {
		const struct mapping *map = &m->map[i];

		CHECK(map->start < map->end);
		CHECK(i == 0 || m->map[i - 1].end <= map->start);
		CHECK(maps__find(m, map->start) == map && maps__find(m, map->end - 1) == map);
		path_sz += strlen(map->path) + 1;
	}
	CHECK(path_sz <= text_sz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	const char *text = (const char *)data + 1;
	struct maps *now, *before, *merged;
	size_t cut;

	if (sz < 1)
		return 0;
	sz--;
	cut = sz * data[0] / 255;
	if (maps__parse(text, cut, &now))
		return 0;
	if (maps__parse(text + cut, sz - cut, &before)) {
		maps__free(now);
		return 0;
	}
	check(now, sz);
	check(before, sz);
	CHECK(maps__merge(now, before, &merged) == 0);
	check(merged, sz);
	CHECK(merged->cnt >= now->cnt && merged->cnt <= now->cnt + before->cnt);
	maps__free(merged);
	maps__free(before);
	maps__free(now);
	return 0;
}
