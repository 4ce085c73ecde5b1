// SPDX-License-Identifier: GPL-2.0-only
/*
 * All starts and ends cut the address space into cells. The entries are gone through from the last to
 * the first, and each takes those of its cells that nobody has taken yet.
 */
#include "user/sym/perfmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

struct entry {
	uint64_t start, end;
	const char *name;
};

struct perfmap {
	char *text;
	size_t text_sz;
	struct entry *entry; /* the last line first */
	size_t cnt, cap;
	uint64_t *bound; /* where cells begin, sorted; the last one ends the last cell */
	uint32_t *owner; /* of each cell: index into entry, or NOBODY */
	size_t bound_cnt;
};

struct cursor {
	char *p, *end;
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* perf reads any hexadecimal number, with 0x or without. */
static bool take_hex(struct cursor *c, uint64_t *ret)
{
	uint64_t v = 0;
	char *first;

	if (c->end - c->p > 2 && c->p[0] == '0' && (c->p[1] == 'x' || c->p[1] == 'X'))
		c->p += 2;
	for (first = c->p; c->p < c->end && digit_of(*c->p) >= 0; c->p++) {
		if (v >> 60)
			return false;
		v = v << 4 | (unsigned int)digit_of(*c->p);
	}
	*ret = v;
	return c->p > first;
}

static bool take_spaces(struct cursor *c)
{
	char *first = c->p;

	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
	return c->p > first;
}

/* The name is terminated in place: the byte at end is a line's end or the text's. */
static bool parse_line(struct cursor line, struct entry *ret)
{
	uint64_t start, sz;

	take_spaces(&line);
	if (!take_hex(&line, &start) || !take_spaces(&line) || !take_hex(&line, &sz) ||
	    !take_spaces(&line) || sz == 0 || sz > UINT64_MAX - start)
		return false;
	while (line.end > line.p && (line.end[-1] == '\r' || line.end[-1] == ' '))
		line.end--;
	if (line.end - line.p > PERFMAP_NAME_MAX)
		line.end = line.p + PERFMAP_NAME_MAX;
	*line.end = '\0';
	*ret = (struct entry){ start, start + sz, line.p };
	return line.p[0] != '\0';
}

static int append(struct perfmap *m, const struct entry *e)
{
	struct entry *more;

	if (m->cnt == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 256;
		more = reallocarray(m->entry, m->cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->entry = more;
	}
	m->entry[m->cnt++] = *e;
	return 0;
}

/* From the end, so that what is left out beyond the bound is the oldest. */
static int read_lines(struct perfmap *m, size_t len)
{
	char *end = m->text + len;

	while (end > m->text && m->cnt < PERFMAP_ENTRIES_MAX) {
		char *nl = memrchr(m->text, '\n', end - m->text);
		struct cursor line = { nl ? nl + 1 : m->text, end };
		struct entry e;

		if (parse_line(line, &e) && append(m, &e))
			return -ENOMEM;
		end = nl ? nl : m->text;
	}
	return 0;
}

static int compare(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return a < b ? -1 : a > b;
}

/* The first bound that is not below addr. */
static size_t bound_at(const struct perfmap *m, uint64_t addr)
{
	size_t lo = 0, hi = m->bound_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->bound[mid] < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int make_bounds(struct perfmap *m)
{
	size_t cnt = 0;

	m->bound = calloc(2 * m->cnt + 1, sizeof(*m->bound));
	if (!m->bound)
		return -ENOMEM;
	for (size_t i = 0; i < m->cnt; i++) {
		m->bound[2 * i] = m->entry[i].start;
		m->bound[2 * i + 1] = m->entry[i].end;
	}
	qsort(m->bound, 2 * m->cnt, sizeof(*m->bound), compare);
	for (size_t i = 0; i < 2 * m->cnt; i++)
		if (cnt == 0 || m->bound[cnt - 1] != m->bound[i])
			m->bound[cnt++] = m->bound[i];
	m->bound_cnt = cnt;
	return 0;
}

/* next[i]: a cell from i on that may be free; halving the paths keeps them short. */
static uint32_t find_free(uint32_t *next, uint32_t i)
{
	while (next[i] != i) {
		next[i] = next[next[i]];
		i = next[i];
	}
	return i;
}

static int take_cells(struct perfmap *m)
{
	uint32_t *next = calloc(m->bound_cnt + 1, sizeof(*next));

	m->owner = malloc((m->bound_cnt + 1) * sizeof(*m->owner));
	if (!next || !m->owner) {
		free(next);
		return -ENOMEM;
	}
	memset(m->owner, 0xff, (m->bound_cnt + 1) * sizeof(*m->owner));
	for (size_t i = 0; i <= m->bound_cnt; i++)
		next[i] = i;
	for (size_t i = 0; i < m->cnt; i++) {
		uint32_t hi = bound_at(m, m->entry[i].end);
		uint32_t cell = find_free(next, bound_at(m, m->entry[i].start));

		for (; cell < hi; cell = find_free(next, cell)) {
			m->owner[cell] = i;
			next[cell] = cell + 1;
		}
	}
	free(next);
	return 0;
}

int perfmap__parse(char *text, size_t len, struct perfmap **ret)
{
	struct perfmap *m = calloc(1, sizeof(*m));
	int err;

	if (!m) {
		free(text);
		return -ENOMEM;
	}
	m->text = text;
	m->text_sz = len;
	err = read_lines(m, len);
	if (!err)
		err = make_bounds(m);
	if (!err)
		err = take_cells(m);
	if (err) {
		perfmap__free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void perfmap__free(struct perfmap *m)
{
	if (!m)
		return;
	free(m->text);
	free(m->entry);
	free(m->bound);
	free(m->owner);
	free(m);
}

static struct symbol symbol_of(const struct entry *e)
{
	return (struct symbol){ e->name, e->start, e->end - e->start };
}

bool perfmap__find(const struct perfmap *m, uint64_t addr, struct symbol *ret)
{
	size_t at = bound_at(m, addr);

	if (at == m->bound_cnt || m->bound[at] != addr) {
		if (at == 0)
			return false;
		at--;
	}
	if (m->owner[at] == NOBODY)
		return false;
	*ret = symbol_of(&m->entry[m->owner[at]]);
	return true;
}

bool perfmap__last(const struct perfmap *m, struct symbol *ret)
{
	if (m->cnt)
		*ret = symbol_of(&m->entry[0]);
	return m->cnt;
}

size_t perfmap__count(const struct perfmap *m)
{
	return m->cnt;
}

size_t perfmap__bytes(const struct perfmap *m)
{
	return m->text_sz + m->cap * sizeof(*m->entry) +
	       2 * m->cnt * (sizeof(*m->bound) + sizeof(*m->owner));
}
