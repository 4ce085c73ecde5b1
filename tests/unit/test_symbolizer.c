// SPDX-License-Identifier: GPL-2.0-only
/* Addresses to names, with this process as the target, and children that run helpers compiled here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/sym/symbolizer.h"

static char dir[] = "/tmp/test_symbolizer.XXXXXX";

/* Known functions and objects of this program. */
int test_data[8] = { 1, 2 };
static int test_bss[1 << 16]; /* more than a page: some of it lies behind the file's mapping */
const int test_const[4] = { 5 };
int *const test_relro[512] = { test_data, test_bss };
static __thread int test_tls;

enum {
	TEST_FUNCTION_LINE = __LINE__ + 1
};
__attribute__((noinline)) static int test_function(int x)
{
	return test_bss[x & 7] + test_tls + x;
}
enum {
	TEST_FUNCTION_END = __LINE__ - 2
};

static const char library_source[] = "int lib_data = 3;\n"
				     "int lib_bss[100000];\n"
				     "int *const lib_relro[4] = { &lib_data, lib_bss };\n"
				     "__attribute__((noinline)) int lib_function(int x) { return x "
				     "* lib_data + lib_bss[x]; }\n";

static const char program_source[] = "#include <stdio.h>\n"
				     "#include <unistd.h>\n"
				     "int prog_data[4] = { 1 };\n"
				     "static char prog_bss[300000];\n"
				     "__attribute__((noinline)) int prog_function(int x) { return "
				     "prog_bss[x]; }\n"
				     "int main(void)\n"
				     "{\n"
				     "	printf(\"%lx %lx %lx\\n\", (long)prog_function, "
				     "(long)&prog_data[1],\n"
				     "	       (long)&prog_bss[299999]);\n"
				     "	fflush(stdout);\n"
				     "	return read(0, prog_bss, 1) + prog_function(3);\n"
				     "}\n";

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char cmd[2048], full[4096];
	va_list ap;

	va_start(ap, format);
	vsnprintf(cmd, sizeof(cmd), format, ap);
	va_end(ap);
	snprintf(full, sizeof(full), "cd %s && %s", dir, cmd);
	if (system(full) != 0)
		fail_msg("%s", full);
}

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	return !f || fputs(text, f) < 0 || fclose(f) != 0 ? -1 : 0;
}

static int build_helpers(void **state)
{
	if (!mkdtemp(dir) || write_file("lib.c", library_source) ||
	    write_file("prog.c", program_source))
		return -1;
	run("cc -O2 -g -shared -fPIC -o lib.so lib.c && strip -o stripped.so lib.so");
	run("cc -O2 -fPIE -pie -o pie prog.c && cc -O2 -fno-pie -no-pie -o nopie prog.c");
	run("cc -O2 -static -o static prog.c && strip -o stripped pie");
	return 0;
}

static int remove_helpers(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

struct fixture {
	struct symbolizer *s;
	struct sym_process *p;
};

static struct fixture setup(pid_t tgid)
{
	struct fixture f = { 0 };

	assert_int_equal(symbolizer__new(&f.s), 0);
	assert_int_equal(symbolizer__add_process(f.s, tgid, &f.p), 0);
	return f;
}

static struct sym_frame frame_of(struct fixture f, uint64_t pc, bool leaf)
{
	struct sym_frame frame;

	assert_int_equal(symbolizer__frames(f.s, f.p, pc, leaf, false, &frame, 1), 1);
	return frame;
}

static struct sym_object object_of(struct fixture f, const void *addr)
{
	struct sym_object obj;

	symbolizer__object(f.s, f.p, (uintptr_t)addr, &obj);
	return obj;
}

static void test_own_functions(void **state)
{
	struct fixture f = setup(getpid());
	uint64_t at = (uintptr_t)test_function;
	struct sym_frame frame = frame_of(f, at, true), again;

	assert_string_equal(frame.function, "test_function");
	assert_string_equal(frame.raw, "test_function");
	assert_string_equal(frame.module, "test_symbolizer");
	assert_string_equal(frame.file, "");
	assert_int_equal(frame.offset, 0);
	assert_false(frame.inlined);
	/* From the cache: the very same strings. */
	again = frame_of(f, at, true);
	assert_ptr_equal(again.function, frame.function);
	/* As a return address it belongs to what is before. */
	again = frame_of(f, at, false);
	assert_string_not_equal(again.function, "test_function");
	frame = frame_of(f, at + 1, false);
	assert_string_equal(frame.function, "test_function");
	assert_int_equal(frame.offset, 1);
	assert_non_null(strstr(sym_process__exe(f.p), "/test_symbolizer"));
	symbolizer__free(f.s);
}

static void test_own_objects(void **state)
{
	struct fixture f = setup(getpid());
	struct sym_object obj = object_of(f, &test_data[3]);
	void *heap = malloc(100);

	assert_string_equal(obj.name, "test_data");
	assert_string_equal(obj.module, "test_symbolizer");
	assert_int_equal(obj.offset, 3 * sizeof(int));
	assert_true(obj.writable);

	obj = object_of(f, (char *)test_bss + sizeof(test_bss) - 1);
	assert_string_equal(obj.name, "test_bss");
	assert_string_equal(obj.module, "test_symbolizer");
	assert_int_equal(obj.offset, sizeof(test_bss) - 1);

	obj = object_of(f, &test_const[1]);
	assert_string_equal(obj.name, "test_const");
	assert_false(obj.writable);

	obj = object_of(f, &test_relro[511]);
	assert_string_equal(obj.name, "test_relro");
	assert_int_equal(obj.offset, 511 * sizeof(test_relro[0]));

	obj = object_of(f, heap);
	assert_string_equal(obj.name, "");
	assert_string_equal(obj.module, "");
	assert_true(obj.writable);
	obj = object_of(f, &f);
	assert_string_equal(obj.name, "");
	assert_string_equal(obj.module, "");
	obj = object_of(f, NULL);
	assert_string_equal(obj.name, "");
	assert_false(obj.writable);
	free(heap);
	symbolizer__free(f.s);
}

/* Anonymous memory right behind a module's bss is not the module's. */
static void test_behind_bss(void **state)
{
	void *handle = dlopen(in_dir("lib.so"), RTLD_NOW), *page;
	uint64_t bias, lo, hi, page_sz = sysconf(_SC_PAGESIZE);
	struct fixture f = setup(getpid());
	struct sym_object obj;
	struct module *m;

	assert_non_null(handle);
	m = sym_process__module(f.s, f.p, (uintptr_t)dlsym(handle, "lib_function"), &bias);
	assert_non_null(m);
	module__extent(m, &lo, &hi);
	hi = (bias + hi + page_sz - 1) & -page_sz;
	page = mmap((void *)hi, page_sz, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	/* Something else may be there already; then that is what is asked about. */
	assert_int_equal(symbolizer__rescan(f.s, f.p), 0);
	obj = object_of(f, (void *)(hi - page_sz));
	assert_string_equal(obj.module, "lib.so");
	obj = object_of(f, (void *)hi);
	assert_string_not_equal(obj.module, "lib.so");
	if (page != MAP_FAILED)
		munmap(page, page_sz);
	dlclose(handle);
	symbolizer__free(f.s);
}

/* A lock in a file that is mapped shared: the file and the offset in it. */
static void test_shared_file(void **state)
{
	int fd = open(in_dir("shared"), O_RDWR | O_CREAT, 0600);
	struct sym_object obj;
	struct fixture f;
	char *map;

	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	assert_true(map != MAP_FAILED);
	f = setup(getpid());
	obj = object_of(f, map + 40);
	assert_string_equal(obj.module, "shared");
	assert_string_equal(obj.name, "");
	assert_int_equal(obj.offset, 4096 + 40);
	assert_true(obj.writable);
	munmap(map, 8192);
	close(fd);
	symbolizer__free(f.s);
}

static void test_lines(void **state)
{
	struct fixture f = setup(getpid());
	struct sym_frame frame[4];
	size_t n = symbolizer__frames(f.s, f.p, (uintptr_t)test_function, true, true, frame, 4);

	assert_int_equal(n, 1);
	assert_string_equal(frame[0].function, "test_function");
	assert_non_null(strstr(frame[0].file, "test_symbolizer.c"));
	assert_in_range(frame[0].line, TEST_FUNCTION_LINE, TEST_FUNCTION_END);
	assert_int_equal(symbolizer__frames(f.s, f.p, 0x10, true, true, frame, 4), 1);
	assert_string_equal(frame[0].module, "");
	symbolizer__free(f.s);
}

static void test_vdso(void **state)
{
	uint64_t base = getauxval(AT_SYSINFO_EHDR), bias, named = 0;
	struct fixture f = setup(getpid());
	struct sym_frame frame;
	struct module *m;
	struct symbol sym;

	m = sym_process__module(f.s, f.p, base, &bias);
	assert_non_null(m);
	assert_int_equal(bias, base);
	for (uint64_t off = 0; off < 8192; off += 16) {
		frame = frame_of(f, base + off, true);
		if (strstr(frame.function, "clock_gettime")) {
			assert_string_equal(frame.module, "[vdso]");
			named++;
		}
	}
	assert_true(named > 0);
	assert_false(module__by_name(m, "malloc", &sym));
	symbolizer__free(f.s);
}

static void test_nowhere(void **state)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fixture f = setup(getpid());
	uint64_t bias = 77;
	static const uint64_t pcs[] = { 0, 1, 0x1000, UINT64_MAX, 1ull << 63, 0xffff800000000000 };

	assert_true(page != MAP_FAILED);
	for (size_t i = 0; i < 2 * sizeof(pcs) / sizeof(pcs[0]); i++) {
		uint64_t pc = pcs[i / 2];
		struct sym_frame frame = frame_of(f, pc, i % 2);

		assert_string_equal(frame.function, "");
		assert_string_equal(frame.module, "");
		assert_int_equal(frame.offset, pc);
	}
	assert_null(sym_process__module(f.s, f.p, (uintptr_t)page, &bias));
	assert_int_equal(bias, 77);
	/* Generated code: a mapping, but no file. */
	assert_string_equal(frame_of(f, (uintptr_t)page + 8, true).module, "");
	munmap(page, 4096);
	symbolizer__free(f.s);
}

/* Code without a symbol: all pcs of one function give one offset, which is the function's. */
static void test_stripped(void **state)
{
	void *handle = dlopen(in_dir("lib.so"), RTLD_NOW),
	     *stripped = dlopen(in_dir("stripped.so"), RTLD_NOW);
	struct fixture f = setup(getpid());
	struct sym_frame a, b;
	uint64_t at, bias;

	assert_non_null(handle);
	assert_non_null(stripped);
	a = frame_of(f, (uintptr_t)dlsym(handle, "lib_function"), true);
	assert_string_equal(a.function, "lib_function");
	assert_string_equal(a.module, "lib.so");
	/* .dynsym names it in the stripped one, too; .init has neither symbol nor FDE. */
	at = (uintptr_t)dlsym(stripped, "lib_function");
	assert_string_equal(frame_of(f, at, true).function, "lib_function");
	assert_non_null(sym_process__module(f.s, f.p, at, &bias));
	a = frame_of(f, bias + 0x1000, true);
	b = frame_of(f, bias + 0x1001, true);
	assert_string_equal(a.function, "");
	assert_string_equal(a.module, "stripped.so");
	assert_int_equal(a.offset, 0x1000);
	assert_int_equal(b.offset, 0x1001);
	dlclose(stripped);
	dlclose(handle);
	symbolizer__free(f.s);
}

/* dlopen after the first sight; names stay after dlclose. */
static void test_rescan(void **state)
{
	struct fixture f = setup(getpid());
	struct sym_stats before, after;
	struct sym_frame frame;
	uint64_t at;
	void *handle;

	assert_string_equal(frame_of(f, (uintptr_t)test_function, true).function, "test_function");
	handle = dlopen(in_dir("lib.so"), RTLD_NOW);
	assert_non_null(handle);
	at = (uintptr_t)dlsym(handle, "lib_function");
	assert_string_equal(frame_of(f, at, true).function, "");
	assert_int_equal(symbolizer__rescan(f.s, f.p), 0);
	frame = frame_of(f, at, true);
	assert_string_equal(frame.function, "lib_function");
	assert_string_equal(object_of(f, (int *)dlsym(handle, "lib_bss") + 99999).name, "lib_bss");
	/* RELRO in so small a file: the same offset and permissions as the read-only segment. */
	assert_string_equal(object_of(f, dlsym(handle, "lib_relro")).name, "lib_relro");
	symbolizer__stats(f.s, &before);
	dlclose(handle);
	assert_int_equal(symbolizer__rescan(f.s, f.p), 0);
	assert_string_equal(frame_of(f, at, true).function, "lib_function");
	assert_string_equal(frame_of(f, (uintptr_t)test_function, true).function, "test_function");
	symbolizer__stats(f.s, &after);
	assert_int_equal(after.modules, before.modules);
	assert_int_equal(after.processes, 1);
	symbolizer__free(f.s);
}

/*
 * A file that is gone from the file system. /proc/PID/map_files needs CAP_CHECKPOINT_RESTORE;
 * without it there is no way to it, but its name remains.
 */
static void test_deleted(void **state)
{
	struct sym_frame frame;
	struct fixture f;
	void *handle;
	uint64_t at;

	run("cp lib.so gone.so");
	handle = dlopen(in_dir("gone.so"), RTLD_NOW);
	assert_non_null(handle);
	assert_int_equal(unlink(in_dir("gone.so")), 0);
	at = (uintptr_t)dlsym(handle, "lib_function");
	f = setup(getpid());
	frame = frame_of(f, at, true);
	assert_string_equal(frame.module, "gone.so");
	assert_string_equal(frame.function, geteuid() == 0 ? "lib_function" : "");
	dlclose(handle);
	symbolizer__free(f.s);
}

/* Another file took the path: its names must not be used. */
static void test_replaced(void **state)
{
	struct sym_frame frame;
	struct fixture f;
	void *handle;
	uint64_t at;

	run("cp lib.so replaced.so");
	handle = dlopen(in_dir("replaced.so"), RTLD_NOW);
	assert_non_null(handle);
	at = (uintptr_t)dlsym(handle, "lib_function");
	run("echo 'void wrong(void) { __asm__(\".fill 4096, 1, 0x90\"); }' >wrong.c");
	run("cc -shared -fPIC -o wrong.so wrong.c && mv wrong.so replaced.so");
	f = setup(getpid());
	frame = frame_of(f, at, true);
	assert_string_equal(frame.function, geteuid() == 0 ? "lib_function" : "");
	dlclose(handle);
	symbolizer__free(f.s);
}

/* Executable mappings of what is no ELF file are counted, and have the file's name. */
static void test_not_elf(void **state)
{
	int fd = open(in_dir("text"), O_RDWR | O_CREAT, 0600);
	struct sym_frame frame;
	struct sym_stats stats;
	struct fixture f;
	char *map;

	assert_int_equal(write(fd, library_source, sizeof(library_source)), sizeof(library_source));
	map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	assert_true(map != MAP_FAILED);
	f = setup(getpid());
	frame = frame_of(f, (uintptr_t)map + 5, true);
	assert_string_equal(frame.module, "text");
	assert_string_equal(frame.function, "");
	assert_int_equal(frame.offset, 5);
	symbolizer__stats(f.s, &stats);
	assert_int_equal(stats.modules_bad, 1);
	munmap(map, 4096);
	close(fd);
	symbolizer__free(f.s);
}

struct child {
	pid_t pid;
	int in, out;
	unsigned long function, data, bss;
};

static struct child start_child(const char *path)
{
	struct child c = { 0 };
	char line[256];
	int in[2], out[2];
	ssize_t n;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(path, path, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c.in = in[1];
	c.out = out[0];
	n = read(c.out, line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_int_equal(sscanf(line, "%lx %lx %lx", &c.function, &c.data, &c.bss), 3);
	return c;
}

static void end_child(struct child *c)
{
	close(c->in);
	close(c->out);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
}

static void check_child(const char *name)
{
	struct child c = start_child(in_dir(name));
	struct fixture f = setup(c.pid);
	struct sym_frame frame;
	struct sym_object obj;

	/* It may be gone before the first question: the files are open. */
	end_child(&c);
	frame = frame_of(f, c.function, true);
	assert_string_equal(frame.function, "prog_function");
	assert_string_equal(frame.module, name);
	obj = object_of(f, (void *)c.data);
	assert_string_equal(obj.name, "prog_data");
	assert_int_equal(obj.offset, sizeof(int));
	obj = object_of(f, (void *)c.bss);
	assert_string_equal(obj.name, "prog_bss");
	assert_int_equal(obj.offset, 299999);
	assert_string_equal(obj.module, name);
	assert_string_equal(sym_process__exe(f.p), in_dir(name));
	assert_int_equal(symbolizer__rescan(f.s, f.p) < 0, 1);
	assert_string_equal(frame_of(f, c.function, true).function, "prog_function");
	symbolizer__free(f.s);
}

static void test_children(void **state)
{
	check_child("pie");
	check_child("nopie");
	check_child("static");
}

/* Main in a stripped program has no symbol, but an FDE. */
static void test_stripped_child(void **state)
{
	struct child c = start_child(in_dir("stripped"));
	struct fixture f = setup(c.pid);
	struct sym_frame a = frame_of(f, c.function, true), b = frame_of(f, c.function + 2, false);
	uint64_t bias = 0;

	assert_non_null(sym_process__module(f.s, f.p, c.function, &bias));
	assert_string_equal(a.function, "");
	assert_string_equal(a.module, "stripped");
	assert_int_equal(a.offset, c.function - bias);
	assert_int_equal(b.offset, a.offset);
	end_child(&c);
	symbolizer__free(f.s);
}

/* Many processes of one program open each file once. */
static void test_sharing(void **state)
{
	struct child c[5];
	struct sym_process *p[5];
	struct sym_stats stats;
	struct fixture f = setup(getpid());
	struct sym_frame frame;
	uint64_t first;

	symbolizer__stats(f.s, &stats);
	first = stats.modules; /* our vdso */
	for (int i = 0; i < 5; i++) {
		c[i] = start_child(in_dir("pie"));
		assert_int_equal(symbolizer__add_process(f.s, c[i].pid, &p[i]), 0);
	}
	for (int i = 0; i < 5; i++) {
		symbolizer__frames(f.s, p[i], c[i].function, true, false, &frame, 1);
		assert_string_equal(frame.function, "prog_function");
		symbolizer__stats(f.s, &stats);
		assert_int_equal(stats.modules, first + 1);
		end_child(&c[i]);
	}
	assert_int_equal(stats.processes, 6);
	symbolizer__free(f.s);
}

static size_t count_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* More files than descriptors: all keep their names, and few stay open. */
static void test_descriptor_limit(void **state)
{
	enum {
		LIBRARIES = 60
	};
	struct rlimit old, tight = { 64, 64 };
	void *handle[LIBRARIES];
	size_t before = count_fds();
	struct fixture f;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (int i = 0; i < LIBRARIES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "many%d.so", i);
		run("cp lib.so %s", name);
		handle[i] = dlopen(in_dir(name), RTLD_NOW);
		assert_non_null(handle[i]);
	}
	tight.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	f = setup(getpid());
	assert_true(count_fds() <= before + 32);
	for (int i = 0; i < LIBRARIES; i++) {
		struct sym_frame frame =
			frame_of(f, (uintptr_t)dlsym(handle[i], "lib_function"), true);

		assert_string_equal(frame.function, "lib_function");
		dlclose(handle[i]);
	}
	symbolizer__free(f.s);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(count_fds(), before);
}

static void test_unreadable(void **state)
{
	struct sym_stats stats;
	struct fixture f = setup(0x7ffffffe);

	assert_int_equal(sym_process__maps(f.p)->cnt, 0);
	assert_string_equal(sym_process__exe(f.p), "");
	assert_string_equal(frame_of(f, 0x1234, true).module, "");
	symbolizer__stats(f.s, &stats);
	assert_int_equal(stats.processes, 1);
	assert_int_equal(stats.unreadable, 1);
	assert_int_equal(stats.modules, 0);
	symbolizer__free(f.s);
}

static void test_intern(void **state)
{
	struct symbolizer *s;
	const char *a, *b;
	char text[32];

	assert_int_equal(symbolizer__new(&s), 0);
	a = symbolizer__intern(s, "one");
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "text %d", i);
		assert_string_equal(symbolizer__intern(s, text), text);
	}
	b = symbolizer__intern(s, "one");
	assert_ptr_equal(a, b);
	assert_string_equal(symbolizer__intern(s, ""), "");
	symbolizer__free(s);
}

/* Every pc of this program twice: the cache grows, and answers the same. */
static void test_cache(void **state)
{
	enum {
		PCS = 20000
	};
	struct fixture f = setup(getpid());
	uint64_t base = (uintptr_t)test_function;
	const char **name = calloc(PCS, sizeof(*name));

	assert_non_null(name);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < PCS; i++) {
			struct sym_frame frame = frame_of(f, base + i, true);

			if (round)
				assert_ptr_equal(name[i], frame.function);
			name[i] = frame.function;
		}
	}
	free(name);
	symbolizer__free(f.s);
}

/* Processes that are over leave nothing, and those between them are untouched. */
static void test_drop(void **state)
{
	enum {
		PROCESSES = 8,
		PCS = 3000
	};
	struct fixture f = setup(getpid());
	struct sym_process *p[PROCESSES];
	uint64_t base = (uintptr_t)test_function;
	struct sym_frame frame;

	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(symbolizer__add_process(f.s, getpid(), &p[i]), 0);
	for (int i = 0; i < PROCESSES; i++)
		for (int pc = 0; pc < PCS; pc++)
			symbolizer__frames(f.s, p[i], base + pc, true, false, &frame, 1);
	/* From the middle, the newest, the oldest; rescans move what is cached as well. */
	symbolizer__drop_process(f.s, p[3]);
	symbolizer__drop_process(f.s, p[PROCESSES - 1]);
	symbolizer__drop_process(f.s, p[0]);
	assert_int_equal(symbolizer__rescan(f.s, p[1]), 0);
	for (int i = 4; i < PROCESSES - 1; i++)
		symbolizer__drop_process(f.s, p[i]);
	for (int i = 1; i < 3; i++) {
		symbolizer__frames(f.s, p[i], base, true, false, &frame, 1);
		assert_string_equal(frame.function, "test_function");
	}
	assert_string_equal(frame_of(f, base, true).function, "test_function");
	symbolizer__drop_process(f.s, p[2]);
	symbolizer__drop_process(f.s, p[1]);
	assert_string_equal(frame_of(f, base, true).function, "test_function");
	symbolizer__free(f.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_functions), cmocka_unit_test(test_own_objects),
		cmocka_unit_test(test_behind_bss),    cmocka_unit_test(test_shared_file),
		cmocka_unit_test(test_lines),	      cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_nowhere),	      cmocka_unit_test(test_stripped),
		cmocka_unit_test(test_rescan),	      cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_replaced),      cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_children),      cmocka_unit_test(test_stripped_child),
		cmocka_unit_test(test_sharing),	      cmocka_unit_test(test_descriptor_limit),
		cmocka_unit_test(test_unreadable),    cmocka_unit_test(test_intern),
		cmocka_unit_test(test_cache),	      cmocka_unit_test(test_drop),
	};

	return cmocka_run_group_tests(tests, build_helpers, remove_helpers);
}
