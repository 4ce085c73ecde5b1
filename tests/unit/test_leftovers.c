// SPDX-License-Identifier: GPL-2.0-only
/* What a process leaves behind, of threads and births made by hand; start routines are this program's own functions. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/model/leftovers.h"
#include "user/view/view.h"

#define THREADS 6

static struct symbolizer *symbolizer;
static struct sym_process *names;
static struct snap_process process;
static struct snap_thread snap[THREADS];
static struct blocked_thread thread[THREADS];
static struct stacks_report stacks;
static struct libc_thread libc_thread[THREADS];
static struct libc_threads libc;
static struct left_birth birth[THREADS];
static struct leftovers_input in;
static struct leftovers *left;
static volatile int sink;

__attribute__((noinline)) static void *serve(void *arg)
{
	sink++;
	return arg;
}

__attribute__((noinline)) static void *fetch(void *arg)
{
	sink--;
	return arg;
}

static struct sym_frame created[] = { { .function = "open_shop",
					.raw = "open_shop",
					.module = "shop",
					.file = "/src/shop.c",
					.line = 7 } };
static struct sym_frame waits[] = {
	{ .function = "wait_for_answer", .raw = "wait_for_answer", .module = "shop", .file = "" }
};
static struct snap_stack snap_stack;
static struct named_stack stack = { &snap_stack, waits, 1, true };

static int open_names(void **state)
{
	return symbolizer__new(&symbolizer) ||
	       symbolizer__add_process(symbolizer, getpid(), &names);
}

static int close_names(void **state)
{
	symbolizer__free(symbolizer);
	return 0;
}

static int set_up(void **state)
{
	memset(snap, 0, sizeof(snap));
	memset(thread, 0, sizeof(thread));
	memset(libc_thread, 0, sizeof(libc_thread));
	memset(birth, 0, sizeof(birth));
	stacks = (struct stacks_report){ .thread = thread, .thread_cnt = THREADS };
	libc = (struct libc_threads){ .thread = libc_thread };
	process = (struct snap_process){ .tgid = 100, .comm = "shop" };
	for (int i = 0; i < THREADS; i++) {
		snap[i].process = &process;
		snap[i].rec.tgid = 100;
		snap[i].rec.tid = 100 + i;
		memcpy(snap[i].rec.comm, "shop", 5);
		thread[i] = (struct blocked_thread){
			.thread = &snap[i],
			.stack = &stack,
			.state = BLOCKED_SLEEPING,
			.call = { .kind = CALL_PIPE, .call = "read", .what = "", .object = "" },
			.kernel = ""
		};
		libc_thread[i].tid = 100 + i;
		libc_thread[i].descriptor = 0x1000 * (i + 1);
		libc_thread[i].start = i < 4 ? (uintptr_t)serve : (uintptr_t)fetch;
		libc_thread[i].stack_sz = 8 << 20;
	}
	libc.cnt = THREADS;
	in = (struct leftovers_input){ .stacks = &stacks,
				       .symbolizer = symbolizer,
				       .names = names,
				       .tgid = 100,
				       .last_tid = 101,
				       .comm = "shop",
				       .libc = &libc };
	left = NULL;
	return 0;
}

static int tear_down(void **state)
{
	leftovers__free(left);
	return 0;
}

static void build(void)
{
	leftovers__free(left);
	left = NULL;
	assert_int_equal(leftovers__build(&in, &left), 0);
}

static const struct left_group *group(size_t i, enum left_kind kind, size_t cnt, const char *start)
{
	assert_true(i < left->cnt);
	assert_int_equal(left->group[i].kind, kind);
	assert_int_equal(left->group[i].cnt, cnt);
	assert_string_equal(left->group[i].start.function, start);
	return &left->group[i];
}

/* Neither the first thread nor the one that ends the process; alike ones are one. */
static void blocked(void **state)
{
	build();
	assert_int_equal(left->cnt, 2);
	group(0, LEFT_BLOCKED, 2, "serve");
	group(1, LEFT_BLOCKED, 2, "fetch");
	assert_true(left->unjoined_known);
}

static void running(void **state)
{
	thread[2].timed = true;
	thread[3].state = BLOCKED_RUNNING;
	thread[3].stack = NULL;
	thread[4].state = BLOCKED_EXITING;
	build();
	assert_int_equal(left->cnt, 2);
	group(0, LEFT_RUNNING, 2, "serve");
	group(1, LEFT_BLOCKED, 1, "fetch");
}

static void unjoined(void **state)
{
	const struct left_group *g;

	stacks.thread_cnt = 2;
	libc_thread[2].tid = libc_thread[3].tid = 0;
	birth[0] = (struct left_birth){ .tid = 102,
					.tp = libc_thread[2].descriptor,
					.start = (uintptr_t)serve,
					.site = 1,
					.created_by = created,
					.created_cnt = 1,
					.unjoined = true };
	birth[1] = birth[0];
	birth[1].tid = 103;
	birth[1].tp = libc_thread[3].descriptor;
	in.birth = birth;
	in.birth_cnt = 2;
	build();
	assert_int_equal(left->cnt, 1);
	g = group(0, LEFT_UNJOINED, 2, "serve");
	assert_int_equal(g->stack_bytes, 16 << 20);
	assert_string_equal(g->created_by[0].function, "open_shop");
	in.libc = NULL; /* births tell as well */
	build();
	assert_int_equal(left->cnt, 1);
	group(0, LEFT_UNJOINED, 2, "serve");
	in.birth_cnt = 0;
	build();
	assert_int_equal(left->cnt, 0);
	assert_false(left->unjoined_known);
}

static void ignored(void **state)
{
	const char *const patterns[] = { "fet*" }, *where[] = { "wait_for_*" };

	in.ignore = patterns;
	in.ignore_cnt = 1;
	build();
	assert_int_equal(left->cnt, 1);
	group(0, LEFT_BLOCKED, 2, "serve");
	assert_int_equal(left->ignored, 2);
	in.ignore = where;
	build();
	assert_int_equal(left->cnt, 0);
	assert_int_equal(left->ignored, 4);
}

static void helpers(void **state)
{
	for (int i = 2; i < THREADS; i++)
		memcpy(snap[i].rec.comm, "gmain", 6);
	build();
	assert_int_equal(left->cnt, 0);
	assert_int_equal(left->helpers, 4);
}

static pthread_mutex_t ledger_lock;

static void died_holding(void **state)
{
	struct dead_mutexes dead = { .cnt = 2 };

	stacks.thread_cnt = 2;
	dead.mutex[0] = (struct dead_mutex){ (uintptr_t)&ledger_lock, 4711 };
	dead.mutex[1] = (struct dead_mutex){ 0x1000, 4711 };
	in.dead = &dead;
	build();
	assert_int_equal(left->cnt, 1);
	assert_string_equal(group(0, LEFT_DIED_HOLDING, 1, "")->name, "ledger_lock");
	assert_int_equal(left->unsure_locks, 1);
}

static void not_looked_at(void **state)
{
	struct left_end end = { 7, (uintptr_t)serve, 1, created, 1 };

	in.stacks = NULL;
	in.libc = NULL;
	in.end = &end;
	in.end_cnt = 1;
	build();
	assert_int_equal(left->cnt, 1);
	group(0, LEFT_RUNNING, 7, "serve");
}

static void lines(void **state)
{
	char *text = NULL;
	size_t sz;
	FILE *out;

	stacks.thread_cnt = 3;
	snprintf(process.comm, sizeof(process.comm), "%s", "shop");
	in.comm = "sh\033[31mop\n";
	build();
	out = open_memstream(&text, &sz);
	assert_non_null(out);
	assert_int_equal(view__leftovers(out, left), 1);
	fclose(out);
	assert_non_null(strstr(text, "blocked: 100 sh\\x1b[31mop\\x0a: 1 thread (shop 102) started "
				     "in serve "));
	assert_non_null(strstr(text, ", sleeps in read at wait_for_answer"));
	assert_ptr_equal(strchr(text, '\n'), text + sz - 1);
	free(text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(blocked), T(running),	     T(unjoined),      T(ignored),
		T(helpers), T(died_holding), T(not_looked_at), T(lines),
	};

	/* So that they are in the symbol table. */
	sink = serve(NULL) || fetch(NULL);
	return cmocka_run_group_tests(tests, open_names, close_names);
}
