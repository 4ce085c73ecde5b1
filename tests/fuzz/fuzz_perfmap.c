// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: perf-PID.map. The answers are compared with those of a parser that is as simple as can be:
 * the last line that covers an address names it.
 */
#include <string.h>

#include "tests/fuzz/check.h"
#include "user/sym/perfmap.h"

#define TEXT_MAX 512

static char *copy_of(const uint8_t *data, size_t sz)
{
	char *text = malloc(sz + 1);

	CHECK(text);
	memcpy(text, data, sz);
	text[sz] = '\0';
	return text;
}

/* What one line says, parsed alone: no other line can be in its way. */
struct line {
	struct perfmap *m; /* owns the name */
	struct symbol sym;
};

static bool parse_line(const char *text, size_t len, struct line *ret)
{
	struct perfmap *m;

	CHECK(perfmap__parse(copy_of((const uint8_t *)text, len), len, &m) == 0);
	CHECK(perfmap__count(m) <= 1);
	if (perfmap__count(m) == 0) {
		perfmap__free(m);
		return false;
	}
	CHECK(perfmap__last(m, &ret->sym));
	ret->m = m;
	return true;
}

static size_t parse_lines(const char *text, size_t sz, struct line *ret)
{
	const char *end = text + sz;
	size_t cnt = 0;

	while (text < end) {
		const char *nl = memchr(text, '\n', end - text);

		cnt += parse_line(text, (nl ? nl : end) - text, &ret[cnt]);
		text = nl ? nl + 1 : end;
	}
	return cnt;
}

static void check(const struct perfmap *m, const struct line *line, size_t cnt, uint64_t addr)
{
	const struct symbol *want = NULL;
	struct symbol got;

	for (size_t i = 0; i < cnt; i++)
		if (addr >= line[i].sym.addr && addr - line[i].sym.addr < line[i].sym.size)
			want = &line[i].sym;
	CHECK(perfmap__find(m, addr, &got) == !!want);
	if (!want)
		return;
	CHECK(strlen(got.name) <= PERFMAP_NAME_MAX && !strchr(got.name, '\n') && got.name[0]);
	CHECK(got.addr == want->addr && got.size == want->size);
	CHECK(strcmp(got.name, want->name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	static struct line line[TEXT_MAX];
	struct perfmap *m;
	size_t cnt;

	if (sz > TEXT_MAX)
		return 0;
	CHECK(perfmap__parse(copy_of(data, sz), sz, &m) == 0);
	cnt = parse_lines((const char *)data, sz, line);
	CHECK(perfmap__count(m) == cnt);
	for (size_t i = 0; i < cnt; i++) {
		check(m, line, cnt, line[i].sym.addr);
		check(m, line, cnt, line[i].sym.addr - 1);
		check(m, line, cnt, line[i].sym.addr + line[i].sym.size);
		check(m, line, cnt, line[i].sym.addr + line[i].sym.size - 1);
	}
	for (size_t i = 0; i < cnt; i++)
		perfmap__free(line[i].m);
	perfmap__free(m);
	return 0;
}
