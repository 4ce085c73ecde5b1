// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names from ELF files: helpers that are compiled here (cc, strip and objcopy are build
 * dependencies anyway), this machine's libc and programs with nm as the oracle, and damaged files.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/sym/maps.h"
#include "user/sym/module.h"

static char dir[] = "/tmp/test_module.XXXXXX";

static const char helper_source[] =
	"int public_object[4] = { 1 };\n"
	"static int bss_object[1000];\n"
	"static __thread int tls_object;\n"
	"__attribute__((noinline)) static int hidden_function(int x)\n"
	"{\n"
	"	return bss_object[x] += x + tls_object++;\n" /* line 6 */
	"}\n"
	"__attribute__((noinline)) int __real_name(int x) { return hidden_function(x) * 3; }\n"
	"extern __typeof(__real_name) real_name __attribute__((alias(\"__real_name\")));\n"
	"extern __typeof(__real_name) _real_name __attribute__((alias(\"__real_name\")));\n"
	"extern __typeof(__real_name) real_name_longer __attribute__((alias(\"__real_name\")));\n"
	"__asm__(\".text\\n.globl asm_sizeless\\n.type asm_sizeless, "
	"@function\\nasm_sizeless:\\n\"\n"
	"	\".fill 32, 1, 0x90\\n ret\\n\"\n"
	"	\".globl asm_sized\\n.type asm_sized, @function\\nasm_sized: .fill 8, 1, 0x90\\n "
	"ret\\n\"\n"
	"	\".size asm_sized, 4\\n\"\n"
	"	\".section .text.last, \\\"ax\\\"\\n.type asm_last, @function\\nasm_last: .fill "
	"16, 1, 0x90\\n\"\n"
	"	\".text\\n\");\n"
	"static inline __attribute__((always_inline)) int inlined(int x)\n"
	"{\n"
	"	return real_name(x) + 1;\n" /* line 20 */
	"}\n"
	"__attribute__((noinline)) int inliner(int x)\n"
	"{\n"
	"	return inlined(x) + public_object[x & 3];\n" /* line 24 */
	"}\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	return inliner(argc);\n"
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

static int build_helpers(void **state)
{
	FILE *f;

	if (!mkdtemp(dir))
		return -1;
	f = fopen(in_dir("helper.c"), "w");
	if (!f || fputs(helper_source, f) < 0 || fclose(f) != 0)
		return -1;
	run("cc -O2 -g -fomit-frame-pointer -fPIE -pie -o pie helper.c");
	run("cc -O2 -g -fno-pie -no-pie -o nopie helper.c");
	run("cc -O2 -g -shared -fPIC -o so.so helper.c");
	run("objcopy --only-keep-debug pie pie.debug && strip -o stripped pie");
	return 0;
}

static int remove_helpers(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static struct module *open_module(const char *path, const char *root)
{
	struct module *m = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	err = module__open(fd, path, root, &m);
	close(fd);
	if (err)
		fail_msg("%s: %s", path, strerror(-err));
	return m;
}

static uint64_t address_of(struct module *m, const char *name)
{
	struct symbol sym;

	if (!module__by_name(m, name, &sym))
		fail_msg("no symbol %s", name);
	assert_string_equal(sym.name, name);
	return sym.addr;
}

static void assert_func(struct module *m, uint64_t vaddr, const char *want)
{
	struct symbol sym;

	if (!module__func(m, vaddr, &sym))
		fail_msg("0x%lx: no function, not %s", (unsigned long)vaddr, want);
	assert_string_equal(sym.name, want);
	assert_in_range(vaddr, sym.addr, sym.addr + (sym.size ? sym.size - 1 : 64));
}

/* What must hold for the helper in any of its forms that has a full symbol table. */
static void check_helper(const char *path, const char *root)
{
	struct module *m = open_module(path, root);
	uint64_t at = address_of(m, "__real_name");
	struct symbol sym;

	assert_true(module__has_symtab(m));
	assert_int_equal(address_of(m, "real_name"), at);
	assert_func(m, at, "real_name");
	assert_func(m, address_of(m, "hidden_function") + 1, "hidden_function");
	assert_false(module__func(m, address_of(m, "public_object"), &sym));

	assert_true(module__object(m, address_of(m, "public_object") + 15, &sym));
	assert_string_equal(sym.name, "public_object");
	assert_int_equal(sym.size, 16);
	assert_true(module__object(m, address_of(m, "bss_object") + 3999, &sym));
	assert_string_equal(sym.name, "bss_object");
	assert_false(module__object(m, at, &sym));
	module__free(m);
}

static void test_pie(void **state)
{
	check_helper(in_dir("pie"), "");
}

static void test_no_pie(void **state)
{
	struct module *m;
	uint64_t lo, hi, bias;

	check_helper(in_dir("nopie"), "");
	m = open_module(in_dir("nopie"), "");
	module__extent(m, &lo, &hi);
	assert_true(lo >= 0x10000 && hi > lo);
	assert_true(module__bias(m, lo, 0, false, &bias));
	assert_int_equal(bias, 0);
	module__free(m);
}

static void test_sizeless(void **state)
{
	struct module *m = open_module(in_dir("pie"), "");
	uint64_t at = address_of(m, "asm_sizeless"), last = address_of(m, "asm_last");
	struct symbol sym;

	assert_true(module__func(m, at + 32, &sym));
	assert_string_equal(sym.name, "asm_sizeless");
	assert_int_equal(sym.size, 0);
	assert_func(m, at + 33, "asm_sized");
	assert_int_equal(address_of(m, "asm_sized"), at + 33);
	/* Beyond its size, before the next symbol: nobody's. */
	assert_false(module__func(m, at + 33 + 4, &sym));
	assert_func(m, last + 15, "asm_last");
	module__free(m);
}

/* A sizeless symbol ends with its section even if no other symbol follows. */
static void test_sizeless_ends_with_section(void **state)
{
	FILE *f = fopen(in_dir("last.s"), "w");
	struct symbol sym;
	struct module *m;
	uint64_t at;

	assert_non_null(f);
	fputs(".text\n.globl only\n.type only, @function\nonly: .fill 16, 1, 0x90\n"
	      ".data\n.globl datum\n.type datum, @object\ndatum: .fill 8\n",
	      f);
	assert_int_equal(fclose(f), 0);
	run("cc -nostdlib -shared -o last.so last.s");
	m = open_module(in_dir("last.so"), "");
	at = address_of(m, "only");
	assert_true(module__func(m, at + 15, &sym));
	assert_false(module__func(m, at + 16, &sym));
	assert_false(module__func(m, at - 1, &sym));
	at = address_of(m, "datum");
	assert_true(module__object(m, at + 7, &sym));
	assert_false(module__object(m, at + 8, &sym));
	module__free(m);
}

/* An old version lies first in the file; a plain name means the default one. */
static void test_versions(void **state)
{
	FILE *f = fopen(in_dir("ver.c"), "w");
	struct symbol sym;
	struct module *m;
	uint64_t at;

	assert_non_null(f);
	fputs("int f_old(int x) { return x; }\nint f_new(int x) { return x + 1; }\n"
	      "int _q(int x) { return x + 2; }\n"
	      "extern __typeof(_q) long_name_of_q __attribute__((alias(\"_q\")));\n"
	      "__asm__(\".symver f_old, f@V1\\n.symver f_new, f@@V2\\n\");\n",
	      f);
	assert_int_equal(fclose(f), 0);
	run("printf 'V1 { global: f; _q; long_name_of_q; local: *; }; V2 { global: f; } V1;' "
	    ">ver.map");
	run("cc -shared -fPIC -O1 -Wl,--version-script=ver.map -o ver.so ver.c");
	m = open_module(in_dir("ver.so"), "");
	at = address_of(m, "f_new");
	assert_int_equal(address_of(m, "f"), at);
	assert_true(module__func(m, address_of(m, "f_old"), &sym));
	assert_string_equal(sym.name, "f");
	assert_func(m, address_of(m, "_q"), "long_name_of_q");
	module__free(m);
	run("strip ver.so");
	m = open_module(in_dir("ver.so"), "");
	assert_int_equal(address_of(m, "f"), at);
	module__free(m);
}

/* Two names in the same bytes: where the longer one is cut, the shorter one would have nothing left. */
static void test_names_overlap(void **state)
{
	static const char strings[] = "\0fo@v\0";
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr;
		Elf64_Shdr shdr[4];
		Elf64_Sym sym[3];
		char strings[sizeof(strings)];
	} image = {
		.ehdr = { .e_ident = ELFMAG "\2\1\1",
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_phoff = offsetof(typeof(image), phdr),
			  .e_phnum = 1,
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_shoff = offsetof(typeof(image), shdr),
			  .e_shnum = 4,
			  .e_shentsize = sizeof(Elf64_Shdr) },
		.phdr = { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = 4096 },
		.shdr = { [1] = { .sh_type = SHT_NOBITS, .sh_size = 4096 },
			  [2] = { .sh_type = SHT_SYMTAB,
				  .sh_offset = offsetof(typeof(image), sym),
				  .sh_size = sizeof(image.sym),
				  .sh_link = 3 },
			  [3] = { .sh_type = SHT_STRTAB,
				  .sh_offset = offsetof(typeof(image), strings),
				  .sh_size = sizeof(strings) } },
		.sym = { [1] = { .st_name = 3,
				 .st_info = STT_FUNC,
				 .st_shndx = 1,
				 .st_value = 64,
				 .st_size = 64 },
			 [2] = { .st_name = 1,
				 .st_info = STT_FUNC,
				 .st_shndx = 1,
				 .st_value = 256,
				 .st_size = 64 } },
	};
	struct symbol sym;
	struct module *m;

	memcpy(image.strings, strings, sizeof(strings));
	assert_int_equal(module__open_memory(&image, sizeof(image), "overlap", &m), 0);
	assert_true(module__func(m, 256, &sym));
	assert_string_equal(sym.name, "fo");
	assert_false(module__func(m, 64, &sym));
	module__free(m);
}

/* Nested and partly overlapping objects: the innermost that covers the address. */
static void test_nested(void **state)
{
	FILE *f = fopen(in_dir("nest.s"), "w");
	struct symbol sym;
	struct module *m;
	uint64_t at;
	static const struct {
		unsigned int off;
		const char *name;
	} want[] = { { 0, "outer" },  { 15, "outer" },	  { 16, "inner" },
		     { 23, "inner" }, { 24, "second" },	  { 39, "second" },
		     { 40, "outer" }, { 60, "crossing" }, { 79, "crossing" } };

	assert_non_null(f);
	fputs(".data\n.globl outer, inner, second, crossing\n"
	      ".type outer, @object\n.type inner, @object\n.type second, @object\n.type crossing, "
	      "@object\n"
	      "outer: .fill 16\ninner: .fill 8\nsecond: .fill 36\ncrossing: .fill 20\n"
	      ".fill 100\n.size outer, 64\n.size inner, 8\n.size second, 16\n.size crossing, 20\n",
	      f);
	assert_int_equal(fclose(f), 0);
	run("cc -nostdlib -shared -o nest.so nest.s");
	m = open_module(in_dir("nest.so"), "");
	at = address_of(m, "outer");
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(module__object(m, at + want[i].off, &sym));
		assert_string_equal(sym.name, want[i].name);
	}
	assert_false(module__object(m, at + 80, &sym));
	module__free(m);
}

/* Without a build-id, so that only the debuglink is left to go by. */
static void make_stripped(const char *name, const char *debug_place)
{
	run("mkdir -p $(dirname %s) $(dirname %s)", name, debug_place);
	run("cc -O2 -g -fPIE -pie -Wl,--build-id=none -o noid helper.c");
	run("objcopy --only-keep-debug noid %s", debug_place);
	run("strip -o %s noid && objcopy --add-gnu-debuglink=%s %s", name, debug_place, name);
}

static void test_stripped_without_debug(void **state)
{
	struct module *m = open_module(in_dir("stripped"), ""),
		      *full = open_module(in_dir("pie"), "");
	uint64_t at = address_of(full, "hidden_function"), start;
	struct symbol sym;

	assert_false(module__has_symtab(m));
	assert_false(module__func(m, at, &sym));
	/* What the symbol table does not know, .eh_frame does. */
	assert_true(module__func(full, at, &sym));
	assert_true(module__fde_start(m, at + sym.size - 1, &start));
	assert_int_equal(start, at);
	assert_false(module__fde_start(m, address_of(full, "public_object"), &start));
	module__free(full);
	module__free(m);
}

static void test_debuglink(void **state)
{
	static const char *const place[] = { "l1/x.debug", "l2/.debug/x.debug" };

	make_stripped("l1/x", place[0]);
	check_helper(in_dir("l1/x"), "");
	make_stripped("l2/x", place[1]);
	check_helper(in_dir("l2/x"), "");
}

static void test_debuglink_of_other_file(void **state)
{
	struct module *m;

	make_stripped("l3/x", "l3/x.debug");
	run("cp l3/x.debug l3/y && printf x >>l3/y && mv l3/y l3/x.debug"); /* the CRC is wrong
									       now */
	m = open_module(in_dir("l3/x"), "");
	assert_false(module__has_symtab(m));
	module__free(m);
}

/* A FIFO in the debug file's place must not block us, a directory not confuse us. */
static void test_debuglink_to_fifo(void **state)
{
	struct module *m;

	make_stripped("l4/x", "l4/x.debug");
	run("rm l4/x.debug && mkfifo l4/x.debug");
	m = open_module(in_dir("l4/x"), "");
	assert_false(module__has_symtab(m));
	module__free(m);
	run("rm l4/x.debug && mkdir l4/x.debug");
	m = open_module(in_dir("l4/x"), "");
	assert_false(module__has_symtab(m));
	module__free(m);
}

/* By build-id below a root of the target's; its absolute links stay within that root. */
static void test_build_id_below_root(void **state)
{
	struct module *m = open_module(in_dir("stripped"), "");
	char id[129], root[PATH_MAX];

	snprintf(id, sizeof(id), "%s", module__build_id(m));
	module__free(m);
	assert_int_equal(strlen(id), 40);
	run("mkdir -p root/usr/lib/debug/.build-id/%.2s root/elsewhere", id);
	run("cp pie.debug root/elsewhere/d && ln -sf /elsewhere/d "
	    "root/usr/lib/debug/.build-id/%.2s/%s.debug",
	    id, id + 2);
	snprintf(root, sizeof(root), "%s/root", dir);
	check_helper(in_dir("stripped"), root);
	/* Another file under that name does not count. */
	run("cc -O1 -o other helper.c && cp other root/elsewhere/d");
	m = open_module(in_dir("stripped"), root);
	assert_false(module__has_symtab(m));
	module__free(m);
}

static void test_compressed_debug(void **state)
{
	struct module *m;
	struct source_line line;

	run("objcopy --compress-debug-sections=zlib pie compressed");
	m = open_module(in_dir("compressed"), "");
	assert_true(module__line(m, address_of(m, "hidden_function"), &line));
	assert_non_null(strstr(line.file, "helper.c"));
	module__free(m);
}

static void test_mini_debug_info(void **state)
{
	struct module *m, *full = open_module(in_dir("pie"), "");
	struct symbol sym;

	run("strip --strip-debug -o mini pie && xz -kf mini");
	run("objcopy --add-section .gnu_debugdata=mini.xz stripped withmini");
	m = open_module(in_dir("withmini"), "");
	assert_func(m, address_of(full, "hidden_function"), "hidden_function");
	/* Half a stream is none. */
	module__free(m);
	run("head -c 600 mini.xz >half.xz && objcopy --add-section .gnu_debugdata=half.xz stripped "
	    "withhalf");
	m = open_module(in_dir("withhalf"), "");
	assert_false(module__func(m, address_of(full, "hidden_function"), &sym));
	module__free(m);
	module__free(full);
}

static void test_lines_and_inlines(void **state)
{
	struct module *m = open_module(in_dir("pie"), "");
	struct source_frame frame[4];
	struct source_line line;
	uint64_t at = address_of(m, "inliner"), lo, hi;
	bool found = false;
	struct symbol sym;

	assert_true(module__line(m, address_of(m, "hidden_function"), &line));
	assert_in_range(line.line, 4, 6);
	assert_true(module__func(m, at, &sym));
	for (uint64_t v = at; v < at + sym.size && !found; v++) {
		if (module__inlined(m, v, frame, 4) != 2)
			continue;
		found = true;
		assert_string_equal(frame[0].function, "inlined");
		assert_int_equal(frame[0].line, 20);
		assert_string_equal(frame[1].function, "inliner");
		assert_int_equal(frame[1].line, 24);
		assert_non_null(strstr(frame[1].file, "helper.c"));
		assert_int_equal(module__inlined(m, v, frame, 1), 1);
	}
	assert_true(found);
	module__extent(m, &lo, &hi);
	assert_false(module__line(m, hi + 100, &line));
	module__free(m);
	m = open_module(in_dir("stripped"), "");
	assert_false(module__line(m, at, &line));
	module__free(m);
}

static void test_settle_keeps_names(void **state)
{
	struct module *m = open_module(in_dir("pie"), "");
	struct source_line line;
	uint64_t start;

	module__settle(m);
	assert_func(m, address_of(m, "hidden_function"), "hidden_function");
	assert_true(module__fde_start(m, address_of(m, "hidden_function"), &start));
	assert_false(module__line(m, address_of(m, "hidden_function"), &line));
	module__settle(m);
	module__free(m);
}

static struct module *open_libc(void **ret_handle, struct link_map **ret_map)
{
	*ret_handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	assert_non_null(*ret_handle);
	assert_int_equal(dlinfo(*ret_handle, RTLD_DI_LINKMAP, ret_map), 0);
	return open_module((*ret_map)->l_name, "");
}

/* The handle, not RTLD_DEFAULT: sanitizers put functions of their own before libc's. */
static void check_libc_names(struct module *m, void *handle, uint64_t bias)
{
	static const char *const name[] = { "pthread_mutex_lock", "malloc", "read",
					    "pthread_cond_wait" };

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		uint64_t at = (uintptr_t)dlsym(handle, name[i]) - bias;

		assert_func(m, at, name[i]);
		assert_func(m, at + 5, name[i]);
		/* Of pthread_cond_wait's two versions, the default. */
		assert_int_equal(address_of(m, name[i]), at);
	}
}

static void test_libc(void **state)
{
	struct link_map *map;
	void *handle;
	struct module *m = open_libc(&handle, &map);
	struct symbol sym;
	char cmd[PATH_MAX];

	check_libc_names(m, handle, map->l_addr);
	assert_true(module__object(m, (uintptr_t)stdout - map->l_addr, &sym));
	assert_string_equal(sym.name, "_IO_2_1_stdout_");
	snprintf(cmd, sizeof(cmd), "/usr/lib/debug/.build-id/%.2s/%s.debug", module__build_id(m),
		 module__build_id(m) + 2);
	assert_int_equal(module__has_symtab(m), access(cmd, R_OK) == 0);
	module__free(m);
	/* The same without any debug file: .dynsym has these names, too. */
	snprintf(cmd, sizeof(cmd), "objcopy -R .note.gnu.build-id -R .gnu_debuglink %s libc.so",
		 map->l_name);
	run("%s", cmd);
	m = open_module(in_dir("libc.so"), "");
	assert_false(module__has_symtab(m));
	check_libc_names(m, handle, map->l_addr);
	module__free(m);
}

/* Every function that nm lists must come back, at its start and at its last byte. */
static void check_against_nm(const char *path)
{
	struct module *m = open_module(path, "");
	unsigned long addr, size, checked = 0, differ = 0;
	char cmd[PATH_MAX + 64], line[4096], type, name[2048];
	struct symbol sym;
	FILE *nm;

	snprintf(cmd, sizeof(cmd), "nm -S --defined-only %s", path);
	nm = popen(cmd, "r");
	assert_non_null(nm);
	while (fgets(line, sizeof(line), nm)) {
		if (sscanf(line, "%lx %lx %c %2047s", &addr, &size, &type, name) != 4)
			continue;
		if (!strchr("tTwWi", type) || size == 0)
			continue;
		checked++;
		/* Zig, Go and others may nest functions; C does not. */
		if (!module__func(m, addr, &sym) || sym.addr != addr)
			differ++;
		else if (!module__func(m, addr + size - 1, &sym) ||
			 sym.addr + sym.size < addr + size)
			differ++;
	}
	assert_int_equal(pclose(nm), 0);
	assert_true(checked >= 5);
	assert_int_equal(differ, 0);
	module__free(m);
}

static void test_against_nm(void **state)
{
	char self[PATH_MAX] = "";

	check_against_nm(in_dir("pie"));
	check_against_nm(in_dir("nopie"));
	check_against_nm(in_dir("so.so"));
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	check_against_nm(self);
}

static void test_offsets(void **state)
{
	struct module *m = open_module(in_dir("pie"), "");
	uint64_t at = address_of(m, "public_object"), v, bias, page = sysconf(_SC_PAGESIZE);
	int fd = open(in_dir("pie"), O_RDONLY);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	assert_int_equal(pread(fd, &eh, sizeof(eh), 0), sizeof(eh));
	for (int i = 0; i < eh.e_phnum; i++) {
		assert_int_equal(pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)),
				 sizeof(ph));
		if (ph.p_type != PT_LOAD)
			continue;
		if (at >= ph.p_vaddr && at < ph.p_vaddr + ph.p_filesz) {
			assert_true(module__vaddr_of_offset(m, at - ph.p_vaddr + ph.p_offset, &v));
			assert_int_equal(v, at);
		}
		/* As the kernel maps it: whole pages. */
		assert_true(module__bias_fits(m, 0x555500000000,
					      0x555500000000 + (ph.p_vaddr & -page),
					      ph.p_offset & -page));
		assert_false(module__bias_fits(m, 0x555500000000,
					       0x555500000000 + (ph.p_vaddr & -page) + 0x100000,
					       ph.p_offset & -page));
		if (!(ph.p_flags & PF_X))
			continue;
		assert_true(module__bias(m, 0x555500000000 + (ph.p_vaddr & -page),
					 ph.p_offset & -page, true, &bias));
		assert_int_equal(bias, 0x555500000000);
	}
	close(fd);
	assert_false(module__vaddr_of_offset(m, 1 << 30, &v));
	assert_false(module__bias(m, 0x1000, 1 << 30, true, &bias));
	module__free(m);
}

static void test_vdso(void **state)
{
	uint64_t at = getauxval(AT_SYSINFO_EHDR), sz;
	struct maps *maps;
	struct module *m;
	struct symbol sym;

	assert_true(at);
	assert_int_equal(maps__read(getpid(), &maps), 0);
	assert_non_null(maps__find(maps, at));
	sz = maps__find(maps, at)->end - at;
	maps__free(maps);
	assert_int_equal(module__open_memory((const void *)at, sz, "[vdso]", &m), 0);
#ifdef __x86_64__
	assert_func(m, address_of(m, "__vdso_clock_gettime"), "clock_gettime");
#else
	assert_true(module__by_name(m, "__kernel_clock_gettime", &sym));
#endif
	assert_false(module__by_name(m, "no such symbol", &sym));
	module__free(m);
}

static void test_not_elf(void **state)
{
	struct module *m = (void *)1;
	int fd = open(in_dir("helper.c"), O_RDONLY);

	assert_int_equal(module__open(fd, "x", "", &m), -ENOEXEC);
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	assert_int_equal(module__open(fd, "x", "", &m), -ENOEXEC);
	close(fd);
	assert_int_equal(module__open_memory("", 0, "x", &m), -ENOEXEC);
	assert_int_equal(module__open_memory("\177ELF", 4, "x", &m), -ENOEXEC);
	assert_ptr_equal(m, (void *)1);
}

static uint8_t *read_file(const char *path, size_t *ret_sz)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *data;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc(st.st_size);
	assert_non_null(data);
	assert_int_equal(read(fd, data, st.st_size), st.st_size);
	close(fd);
	*ret_sz = st.st_size;
	return data;
}

/* Asks everything; the answers are whatever they are. */
static void ask_all(struct module *m)
{
	uint64_t lo, hi, start;
	struct symbol sym;

	module__extent(m, &lo, &hi);
	for (uint64_t i = 0; i < 32; i++) {
		uint64_t v = lo + (hi - lo) / 32 * i;

		if (module__func(m, v, &sym))
			assert_true(sym.addr <= v);
		if (module__object(m, v, &sym))
			assert_true(sym.addr <= v);
		if (module__fde_start(m, v, &start))
			assert_true(start <= v);
	}
	module__by_name(m, "main", &sym);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void test_truncated(void **state)
{
	struct module *m;
	size_t sz, opened = 0;
	uint8_t *data = read_file(in_dir("withmini"), &sz);

	for (size_t cut = 0; cut < sz; cut += cut < 1024 ? 1 : 97) {
		if (module__open_memory(data, cut, "cut", &m))
			continue;
		opened++;
		ask_all(m);
		module__free(m);
	}
	assert_true(opened > 10);
	free(data);
}

/* The file shrinks after it was opened: what a mapping would answer with SIGBUS. */
static void test_truncated_while_open(void **state)
{
	struct module *m;
	struct symbol sym;

	run("cp pie shrinking");
	m = open_module(in_dir("shrinking"), "");
	assert_int_equal(truncate(in_dir("shrinking"), 100), 0);
	assert_false(module__func(m, 0x1000, &sym));
	ask_all(m);
	module__free(m);
}

/* Deterministic damage, the same in every run; fuzz_module looks further. */
static void test_bit_flips(void **state)
{
	enum {
		ROUNDS = 6000
	};
	uint64_t rng = 88172645463325252, deadline = now_ns() + 20000000000;
	size_t sz, opened = 0;
	uint8_t *data = read_file(in_dir("withmini"), &sz), *copy = malloc(sz);
	int round;

	assert_non_null(copy);
	for (round = 0; round < ROUNDS && now_ns() < deadline; round++) {
		struct module *m;

		memcpy(copy, data, sz);
		for (int flips = 0; flips < 1 + round % 8; flips++) {
			size_t at;

			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			/* Every other one into the headers at both ends. */
			at = (rng >> 8) % sz;
			if (flips % 2)
				at = rng & 1 ? at % 1024 : sz - 1 - at % 2304;
			copy[at] ^= 1 << (rng >> 3 & 7);
			if (rng & 2)
				copy[at] = 0xff;
		}
		if (module__open_memory(copy, sz, "flipped", &m))
			continue;
		opened++;
		ask_all(m);
		module__free(m);
	}
	assert_true(opened > 500);
	assert_true(round > 500);
	free(copy);
	free(data);
}

/* Damaged debugging information ends a worker at most; and there is none left behind. */
static void test_damaged_dwarf(void **state)
{
	uint64_t rng = 42, lo, hi, deadline = now_ns() + 15000000000;
	size_t sz;
	uint8_t *data = read_file(in_dir("pie"), &sz), *copy = malloc(sz);
	struct source_line line;
	struct module *m;
	int asked = 0;

	assert_non_null(copy);
	for (int round = 0; round < 60 && now_ns() < deadline; round++) {
		int fd = memfd_create("damaged", MFD_CLOEXEC);

		memcpy(copy, data, sz);
		for (int flips = 0; flips < 40; flips++) {
			rng = rng * 6364136223846793005 + 1442695040888963407;
			copy[4096 + (rng >> 24) % (sz - 4096)] ^= rng >> 56;
		}
		assert_int_equal(write(fd, copy, sz), sz);
		if (module__open(fd, "damaged", "", &m) == 0) {
			module__extent(m, &lo, &hi);
			for (uint64_t v = lo; v < hi; v += (hi - lo) / 64 + 1)
				asked += module__line(m, v, &line);
			module__free(m);
		}
		close(fd);
	}
	assert_true(asked > 0);
	free(copy);
	free(data);
}

static void test_demangle(void **state)
{
	static const struct {
		const char *in, *out;
	} tc[] = {
		{ "main", "main" },
		{ "_start", "_start" },
		{ "", "" },
		{ "_Z", "_Z" },
		{ "_R", "_R" },
		{ "_ZN4Pool7acquireEi", "Pool::acquire" },
		{ "_ZNK4Pool7acquireEiPKc", "Pool::acquire" },
		{ "_ZN4PoolIiE7acquireEv", "Pool<int>::acquire" },
		{ "_ZN3foo3bar17h05af221e174051e9E", "foo::bar" },
		{ "_RNvCs1234_7mycrate3foo", "mycrate::foo" },
		{ "_ZN4Pool", "_ZN4Pool" },
	};

	for (size_t i = 0; i < sizeof(tc) / sizeof(tc[0]); i++) {
		char *out = demangle__name(tc[i].in);

		assert_non_null(out);
		assert_string_equal(out, tc[i].out);
		free(out);
	}
}

/* Deep nesting, long names, and substitutions that double with every step. */
static void test_demangle_hostile(void **state)
{
	char name[8192], *out;
	size_t len;
	uint64_t start = now_ns();

	memset(name, 'P', sizeof(name) - 1);
	memcpy(name, "_Z1f", 4);
	name[sizeof(name) - 1] = '\0';
	out = demangle__name(name);
	assert_string_equal(out, name);
	free(out);
	name[4000] = '\0';
	out = demangle__name(name);
	assert_non_null(out);
	free(out);

	len = sprintf(name, "_Z1fI1AIiiES1_IS2_S2_E");
	for (int i = 3; i < 30; i++)
		len += sprintf(name + len, "1AIS%c_S%c_E", i < 10 ? '0' + i : 'A' + i - 10,
			       i < 10 ? '0' + i : 'A' + i - 10);
	strcpy(name + len, "Evv");
	out = demangle__name(name);
	assert_non_null(out);
	assert_true(strlen(out) < 20000);
	free(out);
	assert_true(now_ns() - start < 5000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pie),
		cmocka_unit_test(test_no_pie),
		cmocka_unit_test(test_sizeless),
		cmocka_unit_test(test_sizeless_ends_with_section),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_names_overlap),
		cmocka_unit_test(test_stripped_without_debug),
		cmocka_unit_test(test_debuglink),
		cmocka_unit_test(test_debuglink_of_other_file),
		cmocka_unit_test(test_debuglink_to_fifo),
		cmocka_unit_test(test_build_id_below_root),
		cmocka_unit_test(test_compressed_debug),
		cmocka_unit_test(test_mini_debug_info),
		cmocka_unit_test(test_lines_and_inlines),
		cmocka_unit_test(test_settle_keeps_names),
		cmocka_unit_test(test_libc),
		cmocka_unit_test(test_against_nm),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_truncated_while_open),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_damaged_dwarf),
		cmocka_unit_test(test_demangle),
		cmocka_unit_test(test_demangle_hostile),
	};

	return cmocka_run_group_tests(tests, build_helpers, remove_helpers);
}
