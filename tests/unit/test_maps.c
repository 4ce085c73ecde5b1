// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/sym/maps.h"

static struct maps *parse(const char *text)
{
	struct maps *m = NULL;

	assert_int_equal(maps__parse(text, strlen(text), &m), 0);
	assert_non_null(m);
	return m;
}

static void test_fields(void **state)
{
	struct maps *m = parse("55d0c0a00000-55d0c0a21000 r-xp 0002d000 fe:01 1234567      "
			       "              /usr/bin/bash\n"
			       "7f0000000000-7f0000001000 rw-s 00000000 00:00 0 \n"
			       "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          "
			       "[vsyscall]\n");

	assert_int_equal(m->cnt, 3);
	assert_int_equal(m->dropped, 0);
	assert_int_equal(m->map[0].start, 0x55d0c0a00000);
	assert_int_equal(m->map[0].end, 0x55d0c0a21000);
	assert_int_equal(m->map[0].off, 0x2d000);
	assert_int_equal(m->map[0].ino, 1234567);
	assert_int_equal(m->map[0].major, 0xfe);
	assert_int_equal(m->map[0].minor, 1);
	assert_true(m->map[0].read && !m->map[0].write && m->map[0].exec && !m->map[0].shared);
	assert_string_equal(m->map[0].path, "/usr/bin/bash");
	assert_true(m->map[1].read && m->map[1].write && !m->map[1].exec && m->map[1].shared);
	assert_string_equal(m->map[1].path, "");
	assert_false(m->map[2].read);
	assert_int_equal(m->map[2].start, 0xffffffffff600000);
	assert_string_equal(m->map[2].path, "[vsyscall]");
	maps__free(m);
}

static void test_paths(void **state)
{
	static const struct {
		const char *text, *path;
		bool deleted;
	} tc[] = {
		{ "/a b  c", "/a b  c", false },
		{ "/a\\012b\\012", "/a\nb\n", false },
		{ "/a\\01", "/a\\01", false },
		{ "/x (deleted)", "/x", true },
		{ "/x (deleted) (deleted)", "/x (deleted)", true },
		{ "/x (deleted) ", "/x (deleted) ", false },
		{ " (deleted)", "(deleted)", false },
		{ "/memfd:jit (deleted)", "/memfd:jit", true },
		{ "/1000-2000 r-xp 0 00:00 1 /y", "/1000-2000 r-xp 0 00:00 1 /y", false },
		{ "/\xff\xfe\x01", "/\xff\xfe\x01", false },
		{ "[anon:a b]", "[anon:a b]", false },
	};

	for (size_t i = 0; i < sizeof(tc) / sizeof(tc[0]); i++) {
		char line[256];
		struct maps *m;

		snprintf(line, sizeof(line), "1000-2000 r-xp 00000000 08:01 7   %s\n", tc[i].text);
		m = parse(line);
		assert_int_equal(m->cnt, 1);
		assert_string_equal(m->map[0].path, tc[i].path);
		assert_int_equal(m->map[0].deleted, tc[i].deleted);
		maps__free(m);
	}
}

static void test_malformed(void **state)
{
	static const char *const line[] = {
		"",
		"1000-2000",
		"1000-2000 r-xp",
		"2000-1000 r-xp 0 00:00 0",
		"1000-1000 r-xp 0 00:00 0",
		"1000-2000 r-xq 0 00:00 0",
		"1000-2000 rxwp 0 00:00 0",
		"1000-2000 r-xp 0 0000 0",
		"1000-2000 r-xp 0 00:00 x",
		"1000-2000 r-xp 0 100000000:00 0",
		"1000-2000 r-xp 10000000000000000 00:00 0",
		"1000-2000 r-xp 0 00:00 18446744073709551616",
		"1000-2000 r-xp 0 00:00 1/x",
		"-1000-2000 r-xp 0 00:00 1",
		"1000-2000 R-xp 0 00:00 1",
		"0x1000-2000 r-xp 0 00:00 1",
	};

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		char text[256];
		struct maps *m;

		snprintf(text, sizeof(text), "%s\n8000-9000 r--p 0 00:00 0\n", line[i]);
		m = parse(text);
		if (m->cnt != 1 || m->dropped != 1)
			fail_msg("\"%s\": %zu kept, %zu dropped", line[i], m->cnt, m->dropped);
		assert_int_equal(m->map[0].start, 0x8000);
		maps__free(m);
	}
}

/* Mappings that overlap what came before: the kernel walks a tree that changes under it. */
static void test_overlap_is_dropped(void **state)
{
	struct maps *m = parse("1000-3000 r-xp 0 00:00 0\n2000-4000 r-xp 0 00:00 0\n"
			       "3000-4000 r-xp 0 00:00 0\n500-600 r-xp 0 00:00 0\n");

	assert_int_equal(m->cnt, 2);
	assert_int_equal(m->dropped, 2);
	assert_int_equal(m->map[1].start, 0x3000);
	maps__free(m);
}

static void test_nul_and_no_newline(void **state)
{
	static const char text[] = "1000-2000 r-xp 0 00:00 1 /a\0b\n3000-4000 r-xp 0 00:00 1 /c";
	struct maps *m;

	assert_int_equal(maps__parse(text, sizeof(text) - 1, &m), 0);
	assert_int_equal(m->cnt, 1);
	assert_int_equal(m->dropped, 1);
	assert_string_equal(m->map[0].path, "/c");
	maps__free(m);
	assert_int_equal(maps__parse("", 0, &m), 0);
	assert_int_equal(m->cnt, 0);
	assert_null(maps__find(m, 0));
	maps__free(m);
}

static void test_limit(void **state)
{
	size_t sz = (MAPS_MAX + 10) * 64ul, len = 0;
	char *text = malloc(sz);
	struct maps *m;

	assert_non_null(text);
	for (size_t i = 0; i < MAPS_MAX + 3; i++)
		len += snprintf(text + len, sz - len, "%zx-%zx r-xp 0 00:00 0\n", 2 * i + 1,
				2 * i + 2);
	assert_int_equal(maps__parse(text, len, &m), 0);
	assert_int_equal(m->cnt, MAPS_MAX);
	assert_int_equal(m->dropped, 3);
	maps__free(m);
	free(text);
}

static void test_find(void **state)
{
	struct maps *m = parse("1000-2000 r-xp 0 00:00 0\n2000-3000 r-xp 0 00:00 0\n"
			       "5000-6000 r-xp 0 00:00 0\n");

	assert_null(maps__find(m, 0));
	assert_null(maps__find(m, 0xfff));
	assert_ptr_equal(maps__find(m, 0x1000), &m->map[0]);
	assert_ptr_equal(maps__find(m, 0x1fff), &m->map[0]);
	assert_ptr_equal(maps__find(m, 0x2000), &m->map[1]);
	assert_null(maps__find(m, 0x3000));
	assert_null(maps__find(m, 0x4fff));
	assert_ptr_equal(maps__find(m, 0x5fff), &m->map[2]);
	assert_null(maps__find(m, 0x6000));
	assert_null(maps__find(m, UINT64_MAX));
	maps__free(m);
}

static void test_merge(void **state)
{
	struct maps *before = parse("1000-2000 r-xp 0 00:00 1 /gone\n3000-5000 r-xp 0 00:00 2 "
				    "/old\n"
				    "9000-a000 r-xp 0 00:00 3 /last\n");
	struct maps *now = parse("2000-3000 r-xp 0 00:00 4 /new\n4000-4800 r-xp 0 00:00 5 /over\n");
	static const char *const want[] = { "/gone", "/new", "/over", "/last" };
	struct maps *m;

	assert_int_equal(maps__merge(now, before, &m), 0);
	maps__free(now);
	maps__free(before);
	assert_int_equal(m->cnt, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(m->map[i].path, want[i]);
	assert_int_equal(m->map[2].start, 0x4000);
	maps__free(m);
}

static int code_here(void)
{
	return getpid();
}

static void test_read_self(void **state)
{
	const struct mapping *map;
	struct maps *m;
	int on_stack = code_here();
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(page != MAP_FAILED);
	assert_int_equal(maps__read(getpid(), &m), 0);
	assert_int_equal(m->dropped, 0);
	map = maps__find(m, (uintptr_t)code_here);
	assert_non_null(map);
	assert_true(map->exec && map->ino);
	assert_non_null(strstr(map->path, "test_maps"));
	map = maps__find(m, (uintptr_t)&on_stack);
	assert_non_null(map);
	assert_string_equal(map->path, "[stack]");
	map = maps__find(m, (uintptr_t)page);
	assert_non_null(map);
	assert_true(map->write && !map->exec && !map->ino);
	maps__free(m);
	munmap(page, 4096);
}

/* More text than one read() gives, and than the first buffer holds. */
static void test_read_many(void **state)
{
	enum {
		PAGES = 4000
	};
	size_t page = sysconf(_SC_PAGESIZE), found = 0;
	char *area = mmap(NULL, PAGES * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct maps *m;

	assert_true(area != MAP_FAILED);
	for (size_t i = 0; i < PAGES; i += 2)
		assert_int_equal(mprotect(area + i * page, page, PROT_NONE), 0);
	assert_int_equal(maps__read(getpid(), &m), 0);
	for (size_t i = 0; i < PAGES; i++) {
		const struct mapping *map = maps__find(m, (uintptr_t)area + i * page);

		assert_non_null(map);
		found += map->read == (i % 2 == 1);
	}
	assert_int_equal(found, PAGES);
	maps__free(m);
	munmap(area, PAGES * page);
}

static void test_read_gone(void **state)
{
	struct maps *m = (void *)1;
	int err = maps__read(0x7ffffffe, &m); /* beyond the largest pid_max, 2^22 */

	assert_true(err == -ENOENT || err == -ESRCH);
	assert_ptr_equal(m, (void *)1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_overlap_is_dropped),
		cmocka_unit_test(test_nul_and_no_newline),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_read_self),
		cmocka_unit_test(test_read_many),
		cmocka_unit_test(test_read_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
