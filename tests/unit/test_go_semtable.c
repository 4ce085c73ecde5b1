// SPDX-License-Identifier: GPL-2.0-only
/* The runtime's table of semaphores, in a program made by hand (go_image.h): found, walked, and torn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/go_image.h"
#include "user/golang/go_semtable.h"

#define SEMA	  (IMG_HEAP + 0x7004) /* goroutine 2 waits for it: index 1, sudog 1 */
#define ALIKE	  (8 * 251)	      /* semaphores so far from each other have the same root */
#define SUDOG(i)  IMG_SUDOG(i)
#define WAITER(i) (IMG_HEAP + 0x9000 + 8 * (i)) /* addresses of more gs */

struct opened {
	struct go_image *img;
	struct go_process p;
	struct go_snapshot *s;
	struct go_semtable t;
	struct go_sema_waiter *waiter;
	size_t cnt;
};

static struct opened open_image(struct go_image *img)
{
	struct opened o = { .img = img };
	struct go_memory memory = img__memory(img);
	const char *why = NULL;

	assert_int_equal(go_process__open(&img->binary, &memory, 0, &o.p, &why), 0);
	assert_int_equal(go_snapshot__take(&o.p, &o.s), 0);
	return o;
}

static struct opened open_version(int minor)
{
	struct go_image *img = img__new(minor);

	assert_non_null(img);
	return open_image(img);
}

static void close_image(struct opened *o)
{
	free(o->waiter);
	go_snapshot__free(o->s);
	go_process__close(&o->p);
	free(o->img);
}

static void look(struct opened *o)
{
	free(o->waiter);
	o->waiter = NULL;
	o->t.addr = IMG_SEMTABLE;
	assert_int_equal(go_semtable__read(&o->p, &o->t, &o->waiter, &o->cnt), 0);
}

/* Who waits in the sudog is no goroutine of the image, but somebody. */
static void put(struct opened *o, int i, uint64_t sema)
{
	img__sudog_at(o->img, SUDOG(i), WAITER(i), sema, 0);
}

static void link_to(struct opened *o, int from, uint16_t field, int to)
{
	img__word(o->img, SUDOG(from) + field, SUDOG(to));
}

/* ---- */

static void test_find(void **state)
{
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct opened o = open_version(minor);

		assert_int_equal(go_semtable__read(&o.p, &o.t, &o.waiter, &o.cnt), -ENOENT);
		assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), 0);
		assert_int_equal(o.t.addr, IMG_SEMTABLE);
		assert_true(o.t.by_proof);
		assert_int_equal(go_semtable__read(&o.p, &o.t, &o.waiter, &o.cnt), 0);
		assert_int_equal(o.cnt, 1);
		assert_int_equal(o.waiter[0].g, IMG_G(1));
		assert_int_equal(o.waiter[0].sema, SEMA);
		assert_int_equal(o.t.missed, 0);
		o.img->binary.semtable = IMG_SEMTABLE - 0x10;
		o.p.bias = 0x10;
		assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), 0);
		assert_int_equal(o.t.addr, IMG_SEMTABLE);
		assert_false(o.t.by_proof);
		close_image(&o);
	}
}

/* On arm64 a root has 128 bytes. */
static void test_find_arm64(void **state)
{
	struct go_image *img = img__new(24);
	struct opened o;

	assert_non_null(img);
	img__treap(img, SEMA, 0, 0);
	img->elf.ehdr.e_machine = EM_AARCH64;
	img__treap(img, SEMA, SUDOG(1), 1);
	o = open_image(img);
	assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), 0);
	assert_int_equal(o.t.addr, IMG_SEMTABLE);
	look(&o);
	assert_int_equal(o.cnt, 1);
	close_image(&o);
}

static void refuse(uint64_t addr, uint64_t value)
{
	struct opened o = open_version(24);

	img__word(o.img, addr, value);
	o.t.addr = 1;
	assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), -ENOENT);
	assert_int_equal(o.t.addr, 1);
	close_image(&o);
}

static void test_not_proven(void **state)
{
	struct go_image *img = img__new(24);
	struct opened o;

	refuse(img__root(img, SEMA) + 8, 0);		     /* nobody waits any more */
	refuse(img__root(img, SEMA) + 8, SUDOG(2));	     /* … or somebody for a channel */
	refuse(SUDOG(1) + img->l.s_g, IMG_G(2));	     /* … or somebody else */
	refuse(SUDOG(1) + img->l.s_elem_kept, SEMA + ALIKE); /* … for something else */
	refuse(IMG_SEMTABLE + 24, 1);			     /* not zero */
	refuse(IMG_SEMTABLE + 250 * 64 + 56, 1ULL << 63);    /* … down to the last byte */
	refuse(IMG_SEMTABLE + 8, 12345);		     /* no pointer */
	free(img);
	/* Pointers to the same record elsewhere are no table. */
	o = open_version(24);
	for (uint64_t at = IMG_BSS + 0x400; at < IMG_SEMTABLE; at += 24)
		img__word(o.img, at, SUDOG(1));
	assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), 0);
	assert_int_equal(o.t.addr, IMG_SEMTABLE);
	close_image(&o);
	/* Nobody waited at the time of the snapshot. */
	o = open_version(24);
	o.s->cnt = 0;
	assert_int_equal(go_semtable__find(&o.p, o.s, &o.t), -ENOENT);
	close_image(&o);
}

/*
 * One root, five semaphores, two of which have more waiters:
 *	     3
 *	   /   \
 *	  1     5, 6, 7
 *	   \
 *	    2, 4
 */
static struct opened open_tree(int minor)
{
	struct opened o = open_version(minor);
	const struct go_layout *l = &o.img->l;
	const uint64_t at = SEMA + 10 * ALIKE;

	put(&o, 3, at);
	put(&o, 1, at - 3 * ALIKE);
	put(&o, 2, at - ALIKE);
	put(&o, 4, at - ALIKE);
	for (int i = 5; i <= 7; i++)
		put(&o, i, at + 2 * ALIKE);
	link_to(&o, 3, l->s_prev, 1);
	link_to(&o, 3, l->s_next, 5);
	link_to(&o, 1, l->s_next, 2);
	link_to(&o, 2, l->s_waitlink, 4);
	link_to(&o, 5, l->s_waitlink, 6);
	link_to(&o, 6, l->s_waitlink, 7);
	img__treap(o.img, at, SUDOG(3), 7);
	return o;
}

/* Bit i: WAITER(i) was found. */
static unsigned found(struct opened *o)
{
	unsigned bits = 0;

	look(o);
	for (size_t i = 0; i < o->cnt; i++) {
		uint64_t at = o->waiter[i].g - WAITER(0);

		assert_true(!i || o->waiter[i - 1].g < o->waiter[i].g);
		assert_true(at < 32 * 8);
		assert_false(bits & 1u << at / 8);
		bits |= 1u << at / 8;
	}
	return bits;
}

static void test_tree(void **state)
{
	for (int minor = GO_MINOR_FIRST; minor <= GO_MINOR_LAST; minor++) {
		struct opened o = open_tree(minor);

		assert_int_equal(found(&o), 0xfe);
		assert_int_equal(o.t.missed, 0);
		for (size_t i = 0; i < o.cnt; i++)
			if (o.waiter[i].g == WAITER(4))
				assert_int_equal(o.waiter[i].sema, SEMA + 9 * ALIKE);
		close_image(&o);
	}
}

/* What changes while it is read. */
static void tear(int sudog, uint16_t field, uint64_t value, unsigned want)
{
	struct opened o = open_tree(24);

	img__word(o.img, SUDOG(sudog) + field, value);
	assert_int_equal(found(&o), want);
	assert_int_equal(o.t.missed, 7 - __builtin_popcount(want));
	close_image(&o);
}

static void test_torn(void **state)
{
	const uint64_t at = SEMA + 10 * ALIKE;
	struct go_layout l;

	assert_int_equal(go_layout__of(24, &l), 0);
	tear(6, l.s_elem_kept, 0, 0x3e);	  /* woken: what follows it is not reached */
	tear(6, l.s_elem_kept, at, 0x3e);	  /* … and waiting elsewhere in this tree */
	tear(1, l.s_elem_kept, at + ALIKE, 0xe8); /* not where it belongs */
	tear(5, l.s_elem_kept, at + 2 * ALIKE + 8, 0x1e); /* of another root */
	tear(3, l.s_elem_kept, at + 1, 0);		  /* no semaphore's address */
	tear(2, l.s_g, 12, 0xea);			  /* nobody's */
	tear(4, l.s_c_kept, IMG_HEAP + 0x7100, 0xee);	  /* waits for a channel */
	tear(4, l.s_waitlink, 0x7fff00000000, 0xfe);	  /* can't be read */
}

static void test_cycles(void **state)
{
	struct go_layout l;

	assert_int_equal(go_layout__of(24, &l), 0);
	tear(7, l.s_waitlink, SUDOG(5), 0xfe);
	tear(7, l.s_waitlink, SUDOG(7), 0xfe);
	tear(2, l.s_prev, SUDOG(3), 0xfe);
	tear(5, l.s_next, SUDOG(5), 0xfe);
}

/* A list that is followed by way of the surroundings of its records, which can't always be read. */
static void test_long_list(void **state)
{
	struct opened o = open_version(26);
	const struct go_layout *l = &o.img->l;
	const uint64_t sema = SEMA + 8;
	unsigned want = 0;

	for (int i = 4; i < 32; i++) {
		uint64_t next = SUDOG(i + 1), stack = IMG_STACKS + 5 * IMG_STACK_SZ;

		put(&o, i, sema);
		want |= 1u << i;
		if (i == 20) { /* one lies where the memory ends soon */
			img__sudog_at(o.img, stack, WAITER(0), sema, 0);
			img__word(o.img, stack + l->s_waitlink, next);
			next = stack;
		}
		img__word(o.img, SUDOG(i) + l->s_waitlink, i < 31 ? next : 0);
	}
	img__treap(o.img, SEMA, 0, 0);
	img__treap(o.img, sema, SUDOG(4), 30);
	assert_int_equal(found(&o), want | 1);
	assert_int_equal(o.t.missed, 1);
	close_image(&o);
}

static void test_unreadable(void **state)
{
	struct opened o = open_version(24);

	o.t.addr = IMG_BSS + IMG_BSS_SZ - 8;
	assert_int_equal(go_semtable__read(&o.p, &o.t, &o.waiter, &o.cnt), -EFAULT);
	close_image(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	   cmocka_unit_test(test_find_arm64),
		cmocka_unit_test(test_not_proven), cmocka_unit_test(test_tree),
		cmocka_unit_test(test_torn),	   cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_long_list),  cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
