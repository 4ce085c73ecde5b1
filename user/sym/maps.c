// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/util/patience.h"

#define MAPS_TEXT_MAX (64u << 20) /* 65536 lines of 1 KiB; more is somebody's trick */
#define DELETED	      " (deleted)"

/* One line, consumed from the front. */
struct cursor {
	const char *p, *end;
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

static bool take_number(struct cursor *c, unsigned int base, uint64_t max, uint64_t *ret)
{
	const char *first = c->p;
	uint64_t v = 0;

	for (; c->p < c->end; c->p++) {
		unsigned int d = digit_of(*c->p);

		if (d >= base)
			break;
		if (v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	*ret = v;
	return c->p > first;
}

static bool take_char(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* One letter of "rwxp": the letter, or its absence '-'. */
static bool take_flag(struct cursor *c, char on, char off, bool *ret)
{
	if (c->p == c->end || (*c->p != on && *c->p != off))
		return false;
	*ret = *c->p++ == on;
	return true;
}

/*
 * fs/proc/task_mmu.c show_map_vma(): "%lx-%lx rwxp %llx %x:%x %lu", spaces to column 73, the path.
 * seq_file_path() escapes '\n', and only that, as \012.
 */
static bool parse_fields(struct cursor *c, struct mapping *ret)
{
	uint64_t major, minor;

	if (!take_number(c, 16, UINT64_MAX, &ret->start) || !take_char(c, '-') ||
	    !take_number(c, 16, UINT64_MAX, &ret->end) || !take_char(c, ' ') ||
	    !take_flag(c, 'r', '-', &ret->read) || !take_flag(c, 'w', '-', &ret->write) ||
	    !take_flag(c, 'x', '-', &ret->exec) || !take_flag(c, 's', 'p', &ret->shared) ||
	    !take_char(c, ' ') || !take_number(c, 16, UINT64_MAX, &ret->off) ||
	    !take_char(c, ' ') || !take_number(c, 16, UINT32_MAX, &major) || !take_char(c, ':') ||
	    !take_number(c, 16, UINT32_MAX, &minor) || !take_char(c, ' ') ||
	    !take_number(c, 10, UINT64_MAX, &ret->ino))
		return false;
	ret->major = major;
	ret->minor = minor;
	return ret->start < ret->end && (c->p == c->end || *c->p == ' ');
}

/* Writes the path, unescaped and terminated, to out; at most the line's length + 1 bytes. */
static size_t take_path(struct cursor *c, char *out, bool *deleted)
{
	size_t len = 0, tail = strlen(DELETED);

	while (c->p < c->end && *c->p == ' ')
		c->p++;
	while (c->p < c->end) {
		if (c->end - c->p >= 4 && memcmp(c->p, "\\012", 4) == 0) {
			out[len++] = '\n';
			c->p += 4;
		} else {
			out[len++] = *c->p++;
		}
	}
	*deleted = len > tail && memcmp(out + len - tail, DELETED, tail) == 0;
	if (*deleted)
		len -= tail;
	out[len] = '\0';
	return len + 1;
}

static bool grow(struct maps *m, size_t *cap)
{
	struct mapping *map;

	if (m->cnt < *cap)
		return true;
	*cap = *cap ? *cap * 2 : 64;
	map = reallocarray(m->map, *cap, sizeof(*map));
	if (!map)
		return false;
	m->map = map;
	return true;
}

/* Parses one line; text_off moves on by what its path takes. Returns -ENOMEM or 0. */
static int parse_line(struct maps *m, size_t *cap, struct cursor line, size_t *text_off)
{
	struct mapping map = { 0 };
	uint64_t floor = m->cnt ? m->map[m->cnt - 1].end : 0;

	if (memchr(line.p, '\0', line.end - line.p) || !parse_fields(&line, &map) ||
	    map.start < floor || m->cnt == MAPS_MAX) {
		m->dropped++;
		return 0;
	}
	if (!grow(m, cap))
		return -ENOMEM;
	map.path = m->text + *text_off;
	*text_off += take_path(&line, m->text + *text_off, &map.deleted);
	m->map[m->cnt++] = map;
	return 0;
}

int maps__parse(const char *text, size_t len, struct maps **ret)
{
	const char *end = text + len;
	size_t cap = 0, text_off = 0;
	struct maps *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	/* A path and its NUL are shorter than the line that it came from. */
	m->text = malloc(len + 1);
	if (!m->text)
		goto no_memory;
	while (text < end) {
		const char *nl = memchr(text, '\n', end - text);
		struct cursor line = { text, nl ? nl : end };

		err = parse_line(m, &cap, line, &text_off);
		if (err)
			goto no_memory;
		text = nl ? nl + 1 : end;
	}
	*ret = m;
	return 0;
no_memory:
	maps__free(m);
	return -ENOMEM;
}

/* Everything up to the end of the file or the limit; the caller frees *ret. */
static int read_all(int fd, char **ret, size_t *ret_len)
{
	size_t cap = 1 << 16, len = 0;
	char *buf = malloc(cap), *more;
	ssize_t n;

	for (;;) {
		if (!buf)
			return -ENOMEM;
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = -errno;

			free(buf);
			return err;
		}
		len += n;
		if (n == 0 || len == MAPS_TEXT_MAX)
			break;
		if (len == cap) {
			cap *= 2;
			more = realloc(buf, cap);
			if (!more)
				free(buf);
			buf = more;
		}
	}
	*ret = buf;
	*ret_len = len;
	return 0;
}

int maps__read(pid_t tgid, struct maps **ret)
{
	char path[32], *text = NULL;
	size_t len = 0;
	int fd, err = patience__begin(tgid);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/maps", tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	patience__end();
	if (err)
		return err;
	err = maps__parse(text, len, ret);
	free(text);
	return err;
}

void maps__free(struct maps *m)
{
	if (!m)
		return;
	free(m->map);
	free(m->text);
	free(m);
}

const struct mapping *maps__find(const struct maps *m, uint64_t addr)
{
	size_t lo = 0, hi = m->cnt;

	/* The last mapping that starts at or below addr. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->map[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || addr >= m->map[lo - 1].end)
		return NULL;
	return &m->map[lo - 1];
}

static bool overlaps(const struct maps *m, const struct mapping *map)
{
	size_t lo = 0, hi = m->cnt;

	/* The first mapping that ends above map's start. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->map[mid].end <= map->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->cnt && m->map[lo].start < map->end;
}

static size_t text_size(const struct maps *m)
{
	size_t sz = 0;

	for (size_t i = 0; i < m->cnt; i++)
		sz += strlen(m->map[i].path) + 1;
	return sz;
}

static void append(struct maps *m, const struct mapping *map, size_t *text_off)
{
	size_t sz = strlen(map->path) + 1;

	m->map[m->cnt] = *map;
	m->map[m->cnt++].path = memcpy(m->text + *text_off, map->path, sz);
	*text_off += sz;
}

int maps__merge(const struct maps *now, const struct maps *before, struct maps **ret)
{
	size_t i = 0, j = 0, text_off = 0;
	struct maps *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->dropped = now->dropped;
	m->map = calloc(now->cnt + before->cnt + 1, sizeof(*m->map));
	m->text = malloc(text_size(now) + text_size(before) + 1);
	if (!m->map || !m->text) {
		maps__free(m);
		return -ENOMEM;
	}
	while (i < now->cnt || j < before->cnt) {
		if (j < before->cnt && overlaps(now, &before->map[j])) {
			j++;
		} else if (j == before->cnt ||
			   (i < now->cnt && now->map[i].start < before->map[j].start)) {
			append(m, &now->map[i++], &text_off);
		} else if (m->cnt + (now->cnt - i) >= MAPS_MAX) {
			m->dropped++;
			j++;
		} else {
			append(m, &before->map[j++], &text_off);
		}
	}
	*ret = m;
	return 0;
}
