// SPDX-License-Identifier: GPL-2.0-only
/* Free runs of an array: none is given away twice, and all of them come together again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/collect/extents.h"

#define ROOM   1000
#define PARTS  60
#define ROUNDS 20000

static void test_join(void **state)
{
	struct extents e = { 0 };
	uint32_t at;

	assert_int_equal(extents__take(&e, 1, &at), -ENOSPC);
	extents__give(&e, 0, 10);
	extents__give(&e, 20, 10);
	assert_int_equal(extents__take(&e, 11, &at), -ENOSPC);
	extents__give(&e, 10, 10); /* between the two */
	assert_int_equal(e.cnt, 1);
	assert_int_equal(extents__take(&e, 30, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(e.cnt, 0);
	extents__free(&e);
}

static void mark(uint8_t used[ROOM], const struct extent *part, uint8_t now)
{
	for (uint32_t i = part->first; i < part->first + part->cnt; i++) {
		assert_in_range(i, 0, ROOM - 1);
		assert_int_equal(used[i], !now);
		used[i] = now;
	}
}

static void test_random(void **state)
{
	struct extent part[PARTS] = { 0 };
	static uint8_t used[ROOM];
	struct extents e = { 0 };
	unsigned int seed = 1;

	memset(used, 0, sizeof(used));
	extents__give(&e, 0, ROOM);
	for (int i = 0; i < ROUNDS; i++) {
		struct extent *p = &part[rand_r(&seed) % PARTS];

		if (p->cnt) {
			mark(used, p, 0);
			extents__give(&e, p->first, p->cnt);
			p->cnt = 0;
		} else {
			p->cnt = 1 + rand_r(&seed) % 50;
			if (extents__take(&e, p->cnt, &p->first))
				p->cnt = 0;
			else
				mark(used, p, 1);
		}
	}
	for (int i = 0; i < PARTS; i++)
		if (part[i].cnt)
			extents__give(&e, part[i].first, part[i].cnt);
	assert_int_equal(e.cnt, 1);
	assert_int_equal(e.gap[0].cnt, ROOM);
	extents__free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_join),
					    cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
