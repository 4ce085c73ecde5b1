// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the runtime's semaphores are probed: in code made by hand as Go's compiler makes it, in such code with each
 * thing wrong that is to be refused, and in the programs that were built for the tests with every release there is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/golang/go_points.h"
#include "user/sym/module.h"

#if defined(__x86_64__)

#define CODE   0x401000ull
#define GOPARK 0x402000ull

enum place {
	CHECK = 0x4,
	FRAME = 0x6,
	AFTER = 0x13, /* the call of gopark */
	COMPARE = 0x18,
	BRANCH = 0x1c,
	PADDING = 0x26,
};

/* As from 1.21 on. */
static const uint8_t function[] = {
	0x49, 0x3b, 0x66, 0x10,	      /* cmp 0x10(%r14),%rsp */
	0x76, 0x25,		      /* jbe 2b */
	0x55,			      /* push %rbp */
	0x48, 0x89, 0xe5,	      /* mov %rsp,%rbp */
	0x48, 0x83, 0xec, 0x58,	      /* sub $0x58,%rsp */
	0xe8, 0xed, 0x0f, 0x00, 0x00, /* call gopark */
	0x48, 0x8b, 0x44, 0x24, 0x40, /* mov 0x40(%rsp),%rax */
	0x83, 0x78, 0x38, 0x00,	      /* cmpl $0,0x38(%rax) */
	0x74, 0x02,		      /* je 20 */
	0x90, 0x90,		      /* nop; nop */
	0x48, 0x83, 0xc4, 0x58,	      /* add $0x58,%rsp */
	0x5d, 0xc3,		      /* pop %rbp; ret */
	0x90, 0x90, 0x90, 0x90, 0x90, /* nop … */
	0xe8, 0xd0, 0x1f, 0x00, 0x00, /* call morestack */
	0xeb, 0xce,		      /* jmp 0 */
};

struct copy {
	uint8_t *bytes; /* of the size that it has, for the address sanitizer */
	struct go_code code;
};

static struct copy copy_of(size_t sz)
{
	struct copy c = { .bytes = malloc(sz ? sz : 1) };

	assert_non_null(c.bytes);
	memcpy(c.bytes, function, sz);
	c.code = (struct go_code){ c.bytes, sz, CODE };
	return c;
}

static struct copy changed(size_t at, const void *bytes, size_t sz)
{
	struct copy c = copy_of(sizeof(function));

	memcpy(c.bytes + at, bytes, sz);
	return c;
}

#define CHANGED(at, ...)                                         \
	({                                                       \
		static const uint8_t bytes_[] = { __VA_ARGS__ }; \
		changed(at, bytes_, sizeof(bytes_));             \
	})

static size_t resumes(const struct copy *c, struct go_point ret[GO_RESUMES_MAX], const char **wrong)
{
	const uint64_t callees[] = { GOPARK, 0 };
	size_t cnt;

	*wrong = go_code__resumes(&c->code, callees, 2, ret, &cnt);
	return cnt;
}

static void test_pushed_frame(void **state)
{
	struct copy c = copy_of(sizeof(function));
	struct go_point p;

	assert_null(go_code__entry(&c.code, &p));
	assert_int_equal(p.addr, CODE + FRAME);
	assert_false(p.at_check);
	assert_false(p.stepped);
	free(c.bytes);
}

/* Up to 1.20 the frame is made without a push. */
static void test_made_frame(void **state)
{
	struct copy c = CHANGED(FRAME, 0x48, 0x83, 0xec, 0x58, 0x0f, 0x1f, 0x40, 0x00);
	struct go_point p;

	assert_null(go_code__entry(&c.code, &p));
	assert_int_equal(p.addr, CODE + CHECK);
	assert_true(p.at_check);
	assert_false(p.stepped);
	free(c.bytes);
}

static void refuse_entry(struct copy c)
{
	struct go_point p;

	assert_non_null(go_code__entry(&c.code, &p));
	free(c.bytes);
}

static void test_entries_refused(void **state)
{
	/* Another register than g's, another branch, no frame, no check. */
	refuse_entry(CHANGED(0, 0x49, 0x3b, 0x67, 0x10));
	refuse_entry(CHANGED(CHECK, 0x77));
	refuse_entry(CHANGED(FRAME, 0x53));
	refuse_entry(CHANGED(0, 0x90, 0x90, 0x90, 0x90));
	refuse_entry(CHANGED(0, 0x55, 0x90, 0x90, 0x90));
	/* g is changed before. */
	refuse_entry(CHANGED(0, 0x49, 0x89, 0xc6, 0x90));
	/* Something jumps to the push; something is no instruction. */
	refuse_entry(CHANGED(BRANCH, 0x74, 0xe8));
	refuse_entry(CHANGED(PADDING, 0x06));
	for (size_t sz = 0; sz <= FRAME; sz++)
		refuse_entry(copy_of(sz));
}

static void expect_resume(struct copy c, uint64_t at, bool stepped)
{
	struct go_point p[GO_RESUMES_MAX];
	const char *wrong;

	assert_int_equal(resumes(&c, p, &wrong), 1);
	assert_null(wrong);
	assert_int_equal(p[0].addr, CODE + at);
	assert_int_equal(p[0].stepped, stepped);
	assert_false(p[0].at_check);
	free(c.bytes);
}

static void test_resumes(void **state)
{
	struct copy none = CHANGED(AFTER - 4, 0xee);
	struct go_point p[GO_RESUMES_MAX];
	const char *wrong;

	expect_resume(copy_of(sizeof(function)), BRANCH, false);
	/* Something jumps in between, or g is no more in its register there: right behind the call. */
	expect_resume(CHANGED(BRANCH, 0x74, 0xfa), AFTER, true);
	expect_resume(CHANGED(AFTER, 0x4c, 0x8b, 0x74, 0x24, 0x40), AFTER, true);
	/* The call leads elsewhere. */
	assert_int_equal(resumes(&none, p, &wrong), 0);
	assert_null(wrong);
	free(none.bytes);
}

static void refuse_resume(struct copy c)
{
	struct go_point p[GO_RESUMES_MAX];
	const char *wrong;

	resumes(&c, p, &wrong);
	assert_non_null(wrong);
	free(c.bytes);
}

static void test_resumes_refused(void **state)
{
	/* Something jumps to right behind the call; something is no instruction; the call is the last one. */
	refuse_resume(CHANGED(BRANCH, 0x74, 0xf5));
	refuse_resume(CHANGED(PADDING, 0x06));
	refuse_resume(copy_of(AFTER));
}

static void test_too_many_resumes(void **state)
{
	uint8_t *bytes = malloc(6 * (GO_RESUMES_MAX + 1));
	struct copy c = { bytes, { bytes, 6 * (GO_RESUMES_MAX + 1), CODE } };

	assert_non_null(bytes);
	for (size_t i = 0; i <= GO_RESUMES_MAX; i++) {
		int32_t to = (int32_t)(GOPARK - (CODE + 6 * i + 5));

		bytes[6 * i] = 0xe8;
		memcpy(bytes + 6 * i + 1, &to, sizeof(to));
		bytes[6 * i + 5] = 0x90;
	}
	refuse_resume(c);
}

static void test_calls(void **state)
{
	struct copy c = copy_of(sizeof(function));

	assert_true(go_code__calls(&c.code, GOPARK));
	assert_true(go_code__calls(&c.code, 0x403000));
	assert_false(go_code__calls(&c.code, GOPARK + 1));
	assert_false(go_code__calls(&c.code, CODE));
	free(c.bytes);
}

/* ---- programs built for the tests */

/* Without a process only what is linked without C, or has symbols, tells where the text begins. */
static uint64_t text_of(const struct go_binary *b, int fd, const char *path)
{
	struct module *m;
	struct symbol symbol;
	struct go_func f;
	uint64_t text = 0;

	for (uint64_t i = 0; i < b->pclntab.funcs; i++)
		if (go_pclntab__func(&b->pclntab, i, &f) && !strcmp(f.name, "_rt0_amd64_linux"))
			text = b->elf->ehdr.e_entry - f.entry;
	if (!module__open(fd, path, "", &m)) {
		if (module__by_name(m, "runtime.text", &symbol))
			text = symbol.addr;
		module__free(m);
	}
	return text;
}

static void check_byte(int fd, const struct go_point *p)
{
	uint8_t code[2];

	assert_int_equal(pread(fd, code, 2, p->off), 2);
	if (p->at_check)
		assert_true(code[0] == 0x76 || (code[0] == 0x0f && code[1] == 0x86));
	else
		assert_int_equal(code[0], 0x55);
	assert_false(p->stepped);
}

/* Returns whether the file is one to be looked at. */
static int check_program(const char *path)
{
	const char *why = NULL;
	struct go_points p;
	struct go_binary *b;
	uint64_t text;
	uint8_t code;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || go_binary__open(fd, &b)) {
		close(fd);
		return 0;
	}
	text = text_of(b, fd, path);
	if (strstr(path, "-cgopie/")) /* stripped: it is not to be known */
		text = 0;
	if (text) {
		assert_int_equal(go_points__find(b, text, &p, &why), 0);
		check_byte(fd, &p.acquire);
		check_byte(fd, &p.release);
		assert_int_equal(p.acquire.at_check, b->minor <= 20);
		assert_int_equal(p.release.at_check, b->minor <= 20);
		assert_int_equal(p.resumes, 1);
		assert_int_equal(pread(fd, &code, 1, p.resume[0].off), 1);
		assert_int_equal(code & 0xf0, 0x70); /* a conditional branch */
		assert_false(p.resume[0].stepped);
	}
	/* Elsewhere than where the text is there are no such functions. */
	for (uint64_t wrong = text; wrong < text + 4096; wrong += 16)
		if (!text || wrong != text)
			assert_int_equal(go_points__find(b, wrong, &p, &why), -ENOTSUP);
	assert_int_equal(go_points__find(b, UINT64_MAX - 64, &p, &why), -ENOTSUP);
	go_binary__free(b);
	close(fd);
	return text != 0;
}

static void test_programs(void **state)
{
	char self[PATH_MAX] = "", dir[PATH_MAX + 16], path[3 * PATH_MAX];
	struct dirent *entry;
	int checked = 0;
	DIR *d;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	snprintf(dir, sizeof(dir), "%s/go", self);
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s/slow-io", dir, entry->d_name);
		checked += check_program(path);
	}
	if (d)
		closedir(d);
	if (!checked)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pushed_frame),	cmocka_unit_test(test_made_frame),
		cmocka_unit_test(test_entries_refused), cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_resumes_refused), cmocka_unit_test(test_too_many_resumes),
		cmocka_unit_test(test_calls),		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_refused(void **state)
{
	const char *why = NULL;
	struct go_binary b = { 0 };
	struct go_points p;

	assert_int_equal(go_points__find(&b, 0, &p, &why), -EOPNOTSUPP);
	assert_non_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
