// SPDX-License-Identifier: GPL-2.0-only
/* Names of generated code: perf maps that are made up, this process's own, and node's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "user/sym/perfmap.h"
#include "user/sym/symbolizer.h"

#define BOUND_S 20 /* for what is waited for */

/* ---- Text */

static struct perfmap *parse(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	struct perfmap *m;

	assert_non_null(copy);
	memcpy(copy, text, len);
	assert_int_equal(perfmap__parse(copy, len, &m), 0);
	return m;
}

static void assert_name(const struct perfmap *m, uint64_t addr, const char *want)
{
	struct symbol sym;

	if (!perfmap__find(m, addr, &sym)) {
		assert_null(want);
		return;
	}
	assert_non_null(want);
	assert_string_equal(sym.name, want);
	assert_in_range(addr, sym.addr, sym.addr + sym.size - 1);
}

static void test_lines(void **state)
{
	static const char text[] = "1000 10 first\n"
				   "0x2000 0X20 with spaces in it  \r\n"
				   "  ABCD0 1\ttab\n"
				   "\n"
				   "no number\n"
				   "3000 name\n"
				   "3100 0 empty\n"
				   "3200 10 \n"
				   "10000000000000000 10 too large\n"
				   "fffffffffffffff0 100 around\n"
				   "4000 10 last, without end of line";
	struct perfmap *m = parse(text, strlen(text));

	assert_int_equal(perfmap__count(m), 4);
	assert_name(m, 0xfff, NULL);
	assert_name(m, 0x1000, "first");
	assert_name(m, 0x100f, "first");
	assert_name(m, 0x1010, NULL);
	assert_name(m, 0x2010, "with spaces in it");
	assert_name(m, 0xabcd0, "tab");
	assert_name(m, 0xabcd1, NULL);
	assert_name(m, 0x3100, NULL);
	assert_name(m, 0x4001, "last, without end of line");
	assert_name(m, 0, NULL);
	assert_name(m, UINT64_MAX, NULL);
	perfmap__free(m);
}

static void test_later_wins(void **state)
{
	static const char text[] = "1000 100 old\n"
				   "1040 20 within\n"
				   "2000 100 left\n"
				   "2080 100 right\n"
				   "3000 10 gone\n"
				   "2ff0 100 over\n"
				   "3000 8 again\n";
	struct perfmap *m = parse(text, strlen(text));

	assert_name(m, 0x103f, "old");
	assert_name(m, 0x1040, "within");
	assert_name(m, 0x105f, "within");
	assert_name(m, 0x1060, "old");
	assert_name(m, 0x207f, "left");
	assert_name(m, 0x2080, "right");
	assert_name(m, 0x217f, "right");
	assert_name(m, 0x2fff, "over");
	assert_name(m, 0x3007, "again");
	assert_name(m, 0x3008, "over");
	perfmap__free(m);
}

/* Beyond the bounds the last lines are kept, and names are cut. */
static void test_bounds(void **state)
{
	size_t lines = PERFMAP_ENTRIES_MAX + 5, len = 0;
	char *text = malloc(lines * 32 + 3 * PERFMAP_NAME_MAX), *p;
	struct perfmap *m;
	struct symbol sym;

	assert_non_null(text);
	for (size_t i = 0; i < lines; i++)
		len += sprintf(text + len, "%zx 10 f%zx\n", (i + 1) * 16, i);
	m = parse(text, len);
	assert_int_equal(perfmap__count(m), PERFMAP_ENTRIES_MAX);
	assert_name(m, 16 * 5, NULL);
	assert_name(m, 16 * 6, "f5");
	assert_false(perfmap__find(m, (lines + 1) * 16, &sym));
	assert_true(perfmap__find(m, lines * 16, &sym));
	perfmap__free(m);

	p = text + sprintf(text, "10 10 ");
	memset(p, 'x', 2 * PERFMAP_NAME_MAX);
	m = parse(text, p - text + 2 * PERFMAP_NAME_MAX);
	assert_true(perfmap__find(m, 0x10, &sym));
	assert_int_equal(strlen(sym.name), PERFMAP_NAME_MAX);
	perfmap__free(m);
	m = parse("10 10 a\0b\n20 10 \0\n", 18);
	assert_name(m, 0x10, "a");
	assert_name(m, 0x20, NULL);
	perfmap__free(m);
	m = parse("", 0);
	assert_name(m, 0, NULL);
	perfmap__free(m);
	free(text);
}

/* ---- Files: this process as one that generates code */

struct fixture {
	struct symbolizer *s;
	struct sym_process *p;
	uint64_t code;
};

static const char *map_path(pid_t pid)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	return path;
}

static void write_map(const char *mode, const char *name, uint64_t addr)
{
	FILE *f = fopen(map_path(getpid()), mode);

	assert_non_null(f);
	fprintf(f, "%llx 100 %s\n", (unsigned long long)addr, name);
	assert_int_equal(fclose(f), 0);
}

static int add_code(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!f || page == MAP_FAILED || symbolizer__new(&f->s) ||
	    symbolizer__add_process(f->s, getpid(), &f->p))
		return -1;
	f->code = (uintptr_t)page;
	*state = f;
	return 0;
}

static int remove_code(void **state)
{
	struct fixture *f = *state;

	symbolizer__free(f->s);
	munmap((void *)f->code, 4096);
	free(f);
	unlink(map_path(getpid()));
	return 0;
}

static struct sym_frame frame_of(const struct fixture *f, uint64_t pc)
{
	struct sym_frame frame;

	assert_int_equal(symbolizer__frames(f->s, f->p, pc, true, true, &frame, 1), 1);
	return frame;
}

static bool becomes(const struct fixture *f, uint64_t pc, const char *want)
{
	struct timespec pause = { .tv_nsec = 50000000 };

	for (int i = 0; i < BOUND_S * 20; i++) {
		if (strcmp(frame_of(f, pc).function, want) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void test_own_map(void **state)
{
	struct fixture *f = *state;
	struct sym_frame frame;

	write_map("w", "gen::first", f->code);
	frame = frame_of(f, f->code + 8);
	assert_string_equal(frame.function, "gen::first");
	assert_string_equal(frame.raw, "gen::first");
	assert_string_equal(frame.module, "[jit]");
	assert_int_equal(frame.offset, 8);
	assert_string_equal(frame_of(f, f->code + 0x100).function, "");
	assert_string_equal(frame_of(f, f->code + 0x100).module, "");
	/* It grows, and is read again; a name that was given is given anew. */
	write_map("a", "gen::second", f->code + 0x100);
	write_map("a", "gen::third", f->code);
	assert_true(becomes(f, f->code + 0x100, "gen::second"));
	assert_string_equal(frame_of(f, f->code + 8).function, "gen::third");
}

static void test_map_appears_later(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(frame_of(f, f->code).function, "");
	write_map("w", "late", f->code);
	assert_true(becomes(f, f->code, "late"));
}

/* Code of files, and what is not code, is not the map's to name. */
static void test_map_says_too_much(void **state)
{
	struct fixture *f = *state;
	uint64_t own = (uintptr_t)test_map_says_too_much;
	static int data;

	write_map("w", "code", f->code);
	write_map("a", "stolen", own);
	write_map("a", "data", (uintptr_t)&data);
	write_map("a", "nowhere", 0x1000);
	assert_string_equal(frame_of(f, f->code).function, "code");
	assert_string_equal(frame_of(f, own).function, "test_map_says_too_much");
	assert_string_equal(frame_of(f, (uintptr_t)&data).function, "");
	assert_string_equal(frame_of(f, 0x1000).function, "");
}

/* A map that is none is looked at, and not opened: asked twice, so that it can't be a matter of time. */
static void assert_refused(const struct fixture *f)
{
	assert_string_equal(frame_of(f, f->code).function, "");
	unlink(map_path(getpid()));
	write_map("w", "good", f->code);
	assert_true(becomes(f, f->code, "good"));
}

static void test_link(void **state)
{
	struct fixture *f = *state;

	scratch__run("echo '%llx 100 linked' >elsewhere", (unsigned long long)f->code);
	assert_int_equal(symlink(scratch__path("elsewhere"), map_path(getpid())), 0);
	assert_refused(f);
}

static void test_fifo(void **state)
{
	assert_int_equal(mkfifo(map_path(getpid()), 0600), 0);
	assert_refused(*state);
}

static void test_directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(map_path(getpid()), 0700), 0);
	assert_string_equal(frame_of(f, f->code).function, "");
	assert_int_equal(rmdir(map_path(getpid())), 0);
	assert_refused(f);
}

static void test_other_owner(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		return; /* only root can give files away */
	write_map("w", "planted", f->code);
	assert_int_equal(chown(map_path(getpid()), 12345, 12345), 0);
	assert_refused(f);
}

/* Sparse and larger than what is read: the end counts, from the first whole line on. */
static void test_huge(void **state)
{
	struct fixture *f = *state;

	write_map("w", "lost", f->code + 0x200);
	assert_int_equal(truncate(map_path(getpid()), 1ll << 40), 0);
	write_map("a", "after the hole", f->code);
	write_map("a", "last", f->code + 0x100);
	assert_string_equal(frame_of(f, f->code + 0x100).function, "last");
	assert_string_equal(frame_of(f, f->code + 0x200).function, "");
}

/* ---- node */

static const char script[] = "function jitted(n) { let s = 0; for (let i = 0; i < n; i++) s += i % "
			     "7; return s; }\n"
			     "process.stdin.on('end', () => process.exit(0)).resume();\n"
			     "for (let i = 0; i < 3000; i++) jitted(1000);\n"
			     "console.log('ready');\n";

static pid_t start_node(int *ret_in, int *ret_out)
{
	int in[2], out[2];
	pid_t pid;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		/* it leaves a log behind where it runs */
		if (chdir(scratch) == 0)
			execl("/usr/bin/node", "node", "--perf-basic-prof", "jit.js", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	*ret_in = in[1];
	*ret_out = out[0];
	return pid;
}

/* The last line with this in its name, by the shell's own means. */
static uint64_t address_in_map(pid_t pid, const char *part)
{
	char cmd[256];
	unsigned long addr = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "grep -F '%s' %s | tail -n 1 | cut -d' ' -f1", part,
		 map_path(pid));
	f = popen(cmd, "r");
	assert_non_null(f);
	if (fscanf(f, "%lx", &addr) != 1)
		addr = 0;
	pclose(f);
	return addr;
}

static void test_node(void **state)
{
	struct fixture f = { 0 };
	struct sym_frame frame;
	char line[16];
	int in, out;
	pid_t pid;

	scratch__write("jit.js", script);
	pid = start_node(&in, &out);
	assert_true(read(out, line, sizeof(line)) > 0);
	f.code = address_in_map(pid, "jitted ");
	assert_true(f.code != 0);
	assert_int_equal(symbolizer__new(&f.s), 0);
	assert_int_equal(symbolizer__add_process(f.s, pid, &f.p), 0);
	/* It may be gone when it is asked about. */
	close(in);
	close(out);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	frame = frame_of(&f, f.code + 4);
	assert_non_null(strstr(frame.function, "jitted "));
	assert_non_null(strstr(frame.function, "jit.js:1:"));
	assert_string_equal(frame.module, "[jit]");
	assert_int_equal(frame.offset, 4);
	symbolizer__free(f.s);
	unlink(map_path(pid));
}

#define WITH_CODE(test) cmocka_unit_test_setup_teardown(test, add_code, remove_code)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_later_wins),
		cmocka_unit_test(test_bounds),
		WITH_CODE(test_own_map),
		WITH_CODE(test_map_appears_later),
		WITH_CODE(test_map_says_too_much),
		WITH_CODE(test_link),
		WITH_CODE(test_fifo),
		WITH_CODE(test_directory),
		WITH_CODE(test_other_owner),
		WITH_CODE(test_huge),
		cmocka_unit_test(test_node),
	};

	return cmocka_run_group_tests(tests, scratch__make, scratch__remove);
}
