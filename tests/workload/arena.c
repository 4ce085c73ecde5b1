// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that need the lock of glibc's only malloc arena while another one counts a long list of free
 * blocks under it. Runs itself again with MALLOC_ARENA_MAX=1, as only the start of a program reads that.
 */
#include "truth.h"
#include <malloc.h>

#define SMALL	     160   /* more than a fast bin takes, so that each is looked at */
#define SMALL_BLOCKS 40000 /* every second one is free: some hundred microseconds to count */
#define SHELF	     16	   /* blocks that a thread has at a time */
/*
 * What malloc() puts into the first words of a free block that no bin has sorted yet is the address
 * of a member of the arena: its `top`, 96 bytes from the beginning, where the lock is (struct
 * malloc_state, malloc/malloc.c, glibc 2.27 to 2.42, 64 bits).
 */
#define UNSORTED_OFFSET 96

static char *main_arena_lock;
static int take_site, give_site, count_site;
static int started, counted; /* all threads are there; the one that counts is through */

/* The arena serves thread creation and exit as well: what is not counted must not happen meanwhile. */
static void await(const int *flag)
{
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		truth_sleep(1000000);
}

TRUTH_FRAME static void *take_block(size_t size)
{
	void *block;

	TRUTH_WAIT(take_site, block = malloc(size));
	if (!block)
		truth_die("malloc", ENOMEM);
	return block;
}

TRUTH_FRAME static void give_block(void *block)
{
	TRUTH_WAIT(give_site, free(block));
}

TRUTH_FRAME static void count_blocks(void)
{
	struct mallinfo2 info;

	TRUTH_WAIT(count_site, info = mallinfo2());
	if (info.ordblks < SMALL_BLOCKS / 4)
		truth_die("there is another arena", EINVAL);
}

/* Sizes that a thread's own cache does not take. */
TRUTH_FRAME static void *worker(void *arg)
{
	void *shelf[SHELF] = { NULL };
	uint64_t calls = 0;

	await(&started);
	while (truth_more(&calls)) {
		void **place = &shelf[truth_random(SHELF)];

		if (*place)
			give_block(*place), *place = NULL;
		else
			*place = take_block(2000 + truth_random(4000));
		truth_pause();
	}
	await(&counted);
	truth_worker_ends();
	return arg;
}

TRUTH_FRAME static void *counter(void *arg)
{
	uint64_t calls = 0;

	await(&started);
	while (truth_more(&calls)) {
		count_blocks();
		truth_pause();
	}
	__atomic_store_n(&counted, 1, __ATOMIC_RELEASE);
	truth_worker_ends();
	return arg;
}

static void fill_arena(void)
{
	static char *blocks[SMALL_BLOCKS];
	uintptr_t *found, *after;
	void *fence;
	int i;

	/* No system call under the lock later: another could sleep in it, and count as a lock's. */
	mallopt(M_TOP_PAD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_MMAP_THRESHOLD, 1 << 24);
	found = (uintptr_t *)malloc(4000);
	fence = malloc(4000);
	if (!found || !fence)
		truth_die("malloc", ENOMEM);
	after = found;
	__asm__ volatile("" : "+r"(after)); /* the compiler may not see that it is freed memory */
	free(found);
	main_arena_lock = (char *)*after - UNSORTED_OFFSET;
	for (i = 0; i < SMALL_BLOCKS; i++) {
		blocks[i] = (char *)malloc(SMALL);
		if (!blocks[i])
			truth_die("malloc", ENOMEM);
	}
	for (i = 0; i < SMALL_BLOCKS; i += 2)
		free(blocks[i]);
}

static int arena_site(const char *functions)
{
	return truth_lock("main_arena", main_arena_lock, UNSORTED_OFFSET, "mutex", TRUTH_CONTENTION,
			  functions);
}

int main(int argc, char **argv)
{
	int i;

	if (!getenv("MALLOC_ARENA_MAX")) {
		setenv("MALLOC_ARENA_MAX", "1", 1);
		execvp(argv[0], argv); /* not /proc/self/exe, which names the thread "exe" */
	}
	truth_opt.pause_ns = 200000;
	truth_start(argc, argv, "arena");
	fill_arena();
	take_site = arena_site("take_block worker");
	give_site = arena_site("give_block worker");
	count_site = arena_site("count_blocks counter");
	truth_spawn(counter, NULL);
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	return truth_finish();
}
