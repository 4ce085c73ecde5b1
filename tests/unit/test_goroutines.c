// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "user/aggregate/goroutines.h"
#include "user/model/trend.h"

#define SECOND 1000000000ULL

/* So many goroutines of place 0x1000, and always three of 0x2000. */
static void sample(struct go_population *p, unsigned second, size_t cnt)
{
	uint64_t gopc[256] = { 0x2000, 0x2000, 0x2000 };

	for (size_t i = 0; i < cnt; i++)
		gopc[3 + i] = 0x1000;
	assert_int_equal(go_population__sample(p, second * SECOND, gopc, 3 + cnt), 0);
}

static struct trend trend_of(const struct go_population *p, uint64_t gopc)
{
	const struct go_birthplace *place = go_population__at(p, gopc);
	struct trend_point point[HISTORY_MAX];
	struct trend t;

	assert_non_null(place);
	for (size_t i = 0; i < place->history.cnt; i++)
		point[i] = (struct trend_point){ place->history.span[i].began_ns,
						 place->history.span[i].min };
	trend__test(point, place->history.cnt, 5, &t);
	return t;
}

static void test_growing(void **state)
{
	struct go_population p = { 0 };
	struct trend t;

	for (unsigned i = 0; i < 60; i++)
		sample(&p, 1 + i, 10 + 2 * i);
	t = trend_of(&p, 0x1000);
	assert_true(t.grows);
	assert_true(t.per_min > 110 && t.per_min < 130);
	assert_false(trend_of(&p, 0x2000).grows);
	assert_int_equal(go_population__at(&p, 0x1000)->live, 128);
	assert_null(go_population__at(&p, 0x3000));
	go_population__free(&p);
}

/* Requests that come and go: as many as ever at times, but none of them stays. */
static void test_come_and_go(void **state)
{
	struct go_population p = { 0 };

	for (unsigned i = 0; i < 60; i++)
		sample(&p, 1 + i, i % 5 * 20);
	assert_false(trend_of(&p, 0x1000).grows);
	go_population__free(&p);
}

/* A place whose goroutines have all ended counts none. */
static void test_ended(void **state)
{
	struct go_population p = { 0 };

	sample(&p, 1, 7);
	sample(&p, 2, 0);
	assert_int_equal(go_population__at(&p, 0x1000)->live, 0);
	assert_int_equal(go_population__at(&p, 0x2000)->live, 3);
	go_population__free(&p);
}

static void test_bound(void **state)
{
	static uint64_t gopc[GO_PLACES_MAX + 100];
	struct go_population p = { 0 };

	for (size_t i = 0; i < GO_PLACES_MAX + 100; i++)
		gopc[i] = 16 * (i + 1);
	assert_int_equal(go_population__sample(&p, SECOND, gopc, GO_PLACES_MAX + 100), 0);
	assert_int_equal(p.places.cnt, GO_PLACES_MAX);
	assert_int_equal(p.beyond, 100);
	go_population__free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing),
		cmocka_unit_test(test_come_and_go),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
