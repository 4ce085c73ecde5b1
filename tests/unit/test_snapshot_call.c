// SPDX-License-Identifier: GPL-2.0-only
/* Calls that wait for a futex word, and the words around it; the memory that is read is this process's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/collect/snapshot_call.c"

static struct hu_wait_record parsed(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
				    uint64_t a4, bool *ret)
{
	struct target_memory memory = { 0 };
	struct hu_thread_record rec = { .nr = nr, .arg = { a0, a1, a2, a3, a4 } };
	struct hu_wait_record call;

	target_memory__set(&memory, getpid());
	*ret = snap_thread__parse_call(&rec, &memory, &call);
	return call;
}

static void test_calls(void **state)
{
	struct {
		uint64_t val, uaddr;
		uint32_t flags, reserved;
	} waitv = { 5, 0x2000, FUTEX2_PRIVATE, 0 };
	struct hu_wait_record c;
	bool is;

	(void)state;
	c = parsed(SYS_futex, 0x1000, HU_OP_WAIT, 2, 0, 0, &is);
	assert_true(is);
	assert_int_equal(c.flags, HU_WAIT_SHARED);
	assert_int_equal(c.uaddr, 0x1000);
	assert_int_equal(c.val, 2);
	c = parsed(SYS_futex, 0x1000, HU_OP_WAIT_BITSET | HU_FUTEX_PRIVATE | HU_FUTEX_REALTIME, 2,
		   1, 0, &is);
	assert_true(is);
	assert_int_equal(c.op, HU_OP_WAIT_BITSET);
	assert_int_equal(c.flags, HU_WAIT_TIMED);
	for (int op = 0; op < 128; op++) {
		parsed(SYS_futex, 0x1000, op, 2, 0, 0, &is);
		assert_int_equal(is, op == HU_OP_WAIT || op == HU_OP_WAIT_BITSET ||
					     op == HU_OP_LOCK_PI || op == HU_OP_LOCK_PI2 ||
					     op == HU_OP_WAIT_REQUEUE_PI);
	}
	c = parsed(NR_FUTEX_WAITV, (uintptr_t)&waitv, 1, 0, 9, 0, &is);
	assert_true(is);
	assert_int_equal(c.op, HU_OP_WAITV);
	assert_int_equal(c.uaddr, 0x2000);
	assert_int_equal(c.val, 5);
	assert_int_equal(c.flags, HU_WAIT_TIMED);
	parsed(NR_FUTEX_WAITV, 8, 1, 0, 0, 0, &is);
	assert_false(is); /* nothing is there */
	c = parsed(NR_FUTEX_WAIT, 0x3000, 6, ~0ULL, FUTEX2_PRIVATE, 0, &is);
	assert_true(is);
	assert_int_equal(c.op, HU_OP_WAIT2);
	assert_int_equal(c.val, 6);
	assert_int_equal(c.flags, 0);
	parsed(SYS_pause, 0x1000, 0, 2, 0, 0, &is);
	assert_false(is);
	parsed(-1, 0x1000, 0, 2, 0, 0, &is);
	assert_false(is);
}

static struct snap_thread words_at(const void *addr)
{
	struct snap_thread t = { .call = { .uaddr = (uintptr_t)addr } };
	struct target_memory memory = { 0 };

	target_memory__set(&memory, getpid());
	snap_thread__read_words(&t, &memory);
	return t;
}

static void test_words(void **state)
{
	static const uint32_t word[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	struct snap_thread t = words_at(&word[4]);
	uint32_t near;

	(void)state;
	assert_int_equal(t.call.word, 5);
	assert_int_equal(t.call.owner_word, 7);
	assert_true(t.call.flags & HU_WAIT_OWNER_READ);
	for (int i = 0; i < 12; i++) {
		assert_true(snap_thread__near(&t, (i - 4) * 4, &near));
		assert_int_equal(near, word[i]);
	}
	assert_false(snap_thread__near(&t, -20, &near));
	assert_false(snap_thread__near(&t, 32, &near));
}

/* A word at the edge of a mapping: what there is of its surroundings is read, and no more is claimed. */
static void test_words_at_edges(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *three =
		mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *first, *last, near;
	struct snap_thread t;

	(void)state;
	assert_ptr_not_equal(three, MAP_FAILED);
	/* Protection alone would not keep them from being read. */
	assert_int_equal(munmap(three, page), 0);
	assert_int_equal(munmap(three + 2 * page, page), 0);
	first = (uint32_t *)(three + page);
	last = (uint32_t *)(three + 2 * page) - 1;
	first[0] = 5;
	first[2] = 7;
	last[0] = 8;
	t = words_at(first);
	assert_int_equal(t.call.word, 5);
	assert_int_equal(t.call.owner_word, 7);
	assert_false(snap_thread__near(&t, -4, &near));
	t = words_at(last);
	assert_int_equal(t.call.word, 8);
	assert_false(t.call.flags & HU_WAIT_OWNER_READ);
	assert_true(snap_thread__near(&t, -4, &near));
	assert_false(snap_thread__near(&t, 4, &near));
	t = words_at(three);
	assert_int_equal(t.call.word, 0);
	assert_false(t.call.flags & HU_WAIT_OWNER_READ);
	assert_false(snap_thread__near(&t, 0, &near));
	munmap(three + page, page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_words_at_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
