// SPDX-License-Identifier: GPL-2.0-only
/* Who can be woken: memory made by hand, and mutexes by their shape. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/collect/dead_mutexes.h"
#include "user/collect/reach.h"

#define ROOT	0x10000ULL
#define HEAP	0x20000ULL
#define OTHER	0x30000ULL /* anonymous memory that is no heap */
#define STACKS	0x40000ULL /* of 0x1000 each */
#define SZ	0x1000
#define REGIONS 6
#define THREADS 3

enum {
	R_ROOT,
	R_HEAP,
	R_OTHER,
	R_STACK
};

static struct reach_region region[REGIONS];
static struct reach_thread thread[THREADS];
static uint8_t bytes[REGIONS][SZ];

static void put(int r, uint64_t off, uint64_t value)
{
	memcpy(bytes[r] + off, &value, sizeof(value));
}

/* Chunks of these sizes from the region's offset 0x40 on; the last one reaches to its end. */
static void make_heap(void)
{
	static const uint64_t sizes[] = { 0x40, 0x80, 0x20, 0x100 };
	uint64_t at = 0x40;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put(R_HEAP, at + 8, sizes[i] | 1);
		at += sizes[i];
	}
	put(R_HEAP, at + 8, (SZ - at) | 1);
}

#define BLOCK_A (HEAP + 0x40)  /* 0x40 long */
#define BLOCK_B (HEAP + 0x80)  /* 0x80 long */
#define BLOCK_D (HEAP + 0x120) /* 0x100 long */

static int set_up(void **state)
{
	static const uint64_t start[] = { ROOT, HEAP, OTHER };

	memset(bytes, 0, sizeof(bytes));
	memset(thread, 0, sizeof(thread));
	for (int i = 0; i < REGIONS; i++) {
		uint64_t at = i < R_STACK ? start[i] : STACKS + (uint64_t)(i - R_STACK) * SZ;

		region[i] = (struct reach_region){ .start = at,
						   .end = at + SZ,
						   .use = REACH_STACK,
						   .bytes = bytes[i],
						   .thread = (size_t)(i - R_STACK) };
	}
	region[R_ROOT].use = REACH_ROOT;
	region[R_HEAP].use = region[R_OTHER].use = REACH_HEAP;
	for (int i = 0; i < THREADS; i++) {
		thread[i].tid = 100 + i;
		thread[i].sp = STACKS + (uint64_t)i * SZ + 0x800;
	}
	make_heap();
	return 0;
}

static void mark(const uint64_t *extra, size_t cnt)
{
	assert_int_equal(reach__mark(region, REGIONS, extra, cnt, thread, THREADS), 0);
}

static void nobody_knows(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_STACK + 1, 0x900, BLOCK_B + 0x10); /* its own stack */
	mark(NULL, 0);
	assert_false(thread[0].unreachable);
	assert_true(thread[1].unreachable);
}

static void global_data_knows(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_ROOT, 0x10, BLOCK_B + 0x10);
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

static void another_stack_knows(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_STACK, 0x900, BLOCK_B + 0x10);
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

/* What lies below the stack pointer is left over from calls that have returned. */
static void a_returned_call_knew(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_STACK, 0x700, BLOCK_B + 0x10);
	mark(NULL, 0);
	assert_true(thread[1].unreachable);
}

static void through_a_block(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_ROOT, 0x10, BLOCK_D + 0x10);
	put(R_HEAP, BLOCK_D - HEAP + 0x30, BLOCK_B + 0x70); /* into its middle */
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

/* A block that nobody knows does not count, whatever is in it. */
static void through_a_lost_block(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_HEAP, BLOCK_A - HEAP + 0x10, BLOCK_B + 0x10);
	mark(NULL, 0);
	assert_true(thread[1].unreachable);
}

/* Two wait, and only they know of one another's objects: neither will go on. */
static void in_a_circle(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	thread[2].object = BLOCK_D + 0x20;
	put(R_STACK + 1, 0x900, BLOCK_D + 0x10);
	put(R_STACK + 2, 0x900, BLOCK_B + 0x10);
	mark(NULL, 0);
	assert_true(thread[1].unreachable);
	assert_true(thread[2].unreachable);
}

/* One of them can be woken, and then wakes the other. */
static void in_a_row(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	thread[2].object = BLOCK_D + 0x20;
	put(R_STACK + 2, 0x900, BLOCK_B + 0x10);
	put(R_ROOT, 0, BLOCK_D + 0x10);
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
	assert_false(thread[2].unreachable);
}

static void the_kernel_knows(void **state)
{
	const uint64_t extra[] = { 0xdead, BLOCK_B + 0x18 };

	thread[1].object = BLOCK_B + 0x20;
	mark(extra, 2);
	assert_false(thread[1].unreachable);
}

static void tags_are_no_part(void **state)
{
	thread[1].object = BLOCK_B + 0x20;
	put(R_ROOT, 0x10, (0xfff8ULL << 48) | (BLOCK_B + 0x10));
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

/* Memory of another allocator is one block: who knows any of it may know the object. */
static void unknown_allocator(void **state)
{
	thread[1].object = OTHER + 0x20;
	put(R_OTHER, 0x100, 0x123456789abcdefULL);
	put(R_ROOT, 0x10, OTHER + 0xf00);
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
	put(R_ROOT, 0x10, 0);
	mark(NULL, 0);
	assert_true(thread[1].unreachable);
}

static void objects_on_stacks(void **state)
{
	thread[1].object = STACKS + SZ + 0x900;
	mark(NULL, 0);
	assert_true(thread[1].unreachable);
	put(R_STACK, 0xa00, thread[1].object - 0x20); /* the creator has its address */
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

static void in_no_known_memory(void **state)
{
	thread[1].object = 0x999000;
	mark(NULL, 0);
	assert_false(thread[1].unreachable);
}

/* ---- mutexes by their shape */

static uint32_t owner_of(const pthread_mutex_t *mutex)
{
	uint32_t word[MUTEX_WORDS];

	memcpy(word, mutex, sizeof(word));
	return dead_mutexes__owner(word);
}

static void mutex_shapes(void **state)
{
	static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
				     PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };
	uint32_t self = (uint32_t)syscall(SYS_gettid);
	pthread_mutexattr_t attr;
	pthread_mutex_t mutex;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(pthread_mutexattr_init(&attr), 0);
		assert_int_equal(pthread_mutexattr_settype(&attr, types[i]), 0);
		assert_int_equal(pthread_mutex_init(&mutex, &attr), 0);
		assert_int_equal(owner_of(&mutex), 0);
		assert_int_equal(pthread_mutex_lock(&mutex), 0);
		assert_int_equal(owner_of(&mutex), self);
		assert_int_equal(pthread_mutex_unlock(&mutex), 0);
		assert_int_equal(owner_of(&mutex), 0);
	}
}

static void robust_ones_are_told(void **state)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t mutex;

	assert_int_equal(pthread_mutexattr_init(&attr), 0);
	assert_int_equal(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), 0);
	assert_int_equal(pthread_mutex_init(&mutex, &attr), 0);
	assert_int_equal(pthread_mutex_lock(&mutex), 0);
	assert_int_equal(owner_of(&mutex), 0);
	assert_int_equal(pthread_mutex_unlock(&mutex), 0);
}

static void what_is_none(void **state)
{
	static const uint32_t others[][MUTEX_WORDS] = {
		{ 3, 0, 4711, 1 },	       /* the word */
		{ 1, 1, 4711, 1 },	       /* a count, but not recursive */
		{ 1, 0, 4711, 2 },	       /* users */
		{ 1, 0, 4711, 1, 4096 },       /* the kind */
		{ 1, 0, 1u << 30, 1 },	       /* no TID */
		{ 1, 0, 4711, 1, 0, 0, 0, 7 }, /* the list */
		{ 0 },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(dead_mutexes__owner(others[i]), 0);
}

static bool is_4711(void *ctx, uint32_t owner)
{
	return owner == 4711;
}

/* In memory of our own, across the border of two chunks. */
static void in_memory(void **state)
{
	const uint32_t shape[MUTEX_WORDS] = { 2, 0, 4711, 1 },
		       living[MUTEX_WORDS] = { 2, 0, 42, 1 };
	size_t sz = 3 << 20;
	uint8_t *memory = calloc(1, sz);
	struct mapping map = { .read = true, .write = true, .path = "" };
	struct maps maps = { .map = &map, .cnt = 1 };
	static struct dead_mutexes found;
	uint64_t page;

	assert_non_null(memory);
	page = ((uintptr_t)memory + 4095) / 4096 * 4096;
	map.start = page;
	map.end = page + (2 << 20);
	memcpy((void *)(uintptr_t)(page + (1 << 20) - 16), shape, sizeof(shape));
	memcpy((void *)(uintptr_t)(page + 64), living, sizeof(living));
	assert_int_equal(dead_mutexes__find(getpid(), &maps, is_4711, NULL, &found), 0);
	assert_int_equal(found.cnt, 1);
	assert_int_equal(found.mutex[0].address, page + (1 << 20) - 16);
	assert_int_equal(found.mutex[0].owner, 4711);
	assert_false(found.partial);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_knows, set_up),
		cmocka_unit_test_setup(global_data_knows, set_up),
		cmocka_unit_test_setup(another_stack_knows, set_up),
		cmocka_unit_test_setup(a_returned_call_knew, set_up),
		cmocka_unit_test_setup(through_a_block, set_up),
		cmocka_unit_test_setup(through_a_lost_block, set_up),
		cmocka_unit_test_setup(in_a_circle, set_up),
		cmocka_unit_test_setup(in_a_row, set_up),
		cmocka_unit_test_setup(the_kernel_knows, set_up),
		cmocka_unit_test_setup(tags_are_no_part, set_up),
		cmocka_unit_test_setup(unknown_allocator, set_up),
		cmocka_unit_test_setup(objects_on_stacks, set_up),
		cmocka_unit_test_setup(in_no_known_memory, set_up),
		cmocka_unit_test(mutex_shapes),
		cmocka_unit_test(robust_ones_are_told),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
