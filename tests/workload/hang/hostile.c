// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that lie, or change under the eyes of who looks at them. --how
 *   words     eight threads wait for mutexes whose words another thread keeps rewriting
 *   stacks    eight threads wait, and another one keeps filling their stacks with anything
 *   comm      a thread that locked a mutex twice is named by terminal escapes, ever new ones
 *   dead, own, foreign: a mutex that nobody took, whose words name a thread that is gone, the thread that
 *             waits, and a thread of another process
 *   deep      a thread waits behind 50,000 calls
 *   churn     --threads N (5000) at a time are started and end, as fast as can be; each locks a mutex
 */
#include "hang.h"
#include <fcntl.h>
#include <limits.h>

#define VICTIMS	  8
#define DEPTH	  50000
#define DEEP_SZ	  (64UL << 20)
#define VICTIM_SZ (64 * 1024)
#define LIFE_US	  500000 /* of a thread of churn, at most */

/* glibc's struct __pthread_mutex_s begins with these (sysdeps/x86/nptl/bits/struct_mutex.h, 2.36). */
struct words {
	uint32_t lock, count, owner, nusers, kind;
};

static pthread_mutex_t hoards[VICTIMS];
static int hoard_id[VICTIMS];
static char *victim_stack[VICTIMS];
static void *victim_sp[VICTIMS];
static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static struct words *words_of(int i)
{
	return (struct words *)&hoards[i];
}

HANG_FRAME static void *fall_victim(void *arg)
{
	int i = (int)(intptr_t)arg;
	char role[16];

	snprintf(role, sizeof(role), "victim-%d", i);
	hang_enter(role, "fall_victim");
	__atomic_store_n(&victim_sp[i], __builtin_frame_address(0), __ATOMIC_RELEASE);
	hang_will("futex", hoard_id[i]);
	hang_ok(pthread_mutex_lock(&hoards[i]));
	for (;;) /* never comes back */
		pause();
	return arg;
}

/* A TID for a lock word: a victim's, the liar's own, nobody's, anything. */
static uint32_t any_tid(void)
{
	uint64_t random = next_random();

	switch (random % 4) {
	case 0:
		return (uint32_t)hang_all->thread[1 + random / 4 % VICTIMS].tid;
	case 1:
		return (uint32_t)hang_self->tid;
	case 2:
		return 0;
	default:
		return (uint32_t)(random >> 32);
	}
}

HANG_FRAME static void *rewrite_words(void *arg)
{
	hang_enter("liar", "rewrite_words");
	hang_moves();
	for (;;) {
		struct words *words = words_of((int)(next_random() % VICTIMS));

		words->owner = any_tid();
		words->lock = next_random() % 2 ? 2 : any_tid();
		words->kind = (uint32_t)next_random() % 256;
		words->count = (uint32_t)next_random();
	}
	return arg;
}

/* From where the victim called pthread_mutex_lock() down to where the kernel has it, and up to the top. */
HANG_FRAME static void *rewrite_stacks(void *arg)
{
	hang_enter("liar", "rewrite_stacks");
	hang_moves();
	for (;;) {
		int i = (int)(next_random() % VICTIMS);
		uint64_t *at = (uint64_t *)victim_stack[i];
		size_t j, words = VICTIM_SZ / sizeof(*at);
		uint64_t near = (uint64_t)(uintptr_t)victim_sp[i];

		for (j = 0; j < words; j++)
			at[j] = next_random() % 2 ? near + next_random() % 4096 : next_random();
	}
	return arg;
}

static void spawn_victim(int i)
{
	pthread_attr_t attr;
	pthread_t thread;

	victim_stack[i] = mmap(NULL, VICTIM_SZ, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (victim_stack[i] == MAP_FAILED)
		hang_die("mmap", errno);
	hang_ok(pthread_attr_init(&attr));
	hang_ok(pthread_attr_setstack(&attr, victim_stack[i], VICTIM_SZ));
	hang_ok(pthread_create(&thread, &attr, fall_victim, (void *)(intptr_t)i));
	hang_ok(pthread_attr_destroy(&attr));
}

/* Asleep, by the kernel's account: what is rewritten from now on is not read again by the thread. */
static void await_sleep(int tid)
{
	char path[64], line[64];
	time_t end = time(NULL) + HANG_START_S;
	ssize_t sz;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	do {
		if (time(NULL) > end)
			hang_die("a victim to sleep", ETIMEDOUT);
		usleep(200);
		fd = open(path, O_RDONLY);
		sz = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
		if (fd >= 0)
			close(fd);
		line[sz > 0 ? sz : 0] = '\0';
	} while (atol(line) != SYS_futex || line[0] < '0' || line[0] > '9');
}

static void victims(void *(*liar)(void *))
{
	int i;

	for (i = 0; i < VICTIMS; i++) {
		hang_ok(pthread_mutex_init(&hoards[i], NULL));
		hoard_id[i] = hang_lock_of("hoards", hoards, i, sizeof(hoards[0]), "mutex");
		words_of(i)->lock = 2; /* locked, with waiters */
		spawn_victim(i);
	}
	hang_await(&hang_all->ready, VICTIMS);
	for (i = 1; i <= VICTIMS; i++)
		await_sleep(hang_all->thread[i].tid);
	hang_spawn(liar, NULL);
	hang_ready(VICTIMS + 1);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int lock_id;

HANG_FRAME static void *rename_others(void *arg)
{
	static const char *const names[] = { "\x1b[2J\x1b[Hgone",
					     "\x1b]0;title\x07x",
					     "a\nb\tc\rd",
					     "\xff\xfe\x80\xc3(",
					     "%s%n%x\\\"'",
					     ("\x9b"
					      "31mred") };
	char path[64];
	unsigned int i;
	int fd;

	hang_enter("renamer", "rename_others");
	hang_moves();
	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", *(int *)arg);
	for (i = 0;; i++) {
		const char *name = names[i % (sizeof(names) / sizeof(names[0]))];

		fd = open(path, O_WRONLY);
		if (fd < 0 || write(fd, name, strlen(name)) < 0)
			hang_die(path, errno);
		close(fd);
		prctl(PR_SET_NAME, name);
	}
	return arg;
}

HANG_FRAME static void *lock_twice(void *arg)
{
	hang_enter("again", "lock_twice");
	hang_ok(pthread_mutex_lock(&lock));
	hang_took(lock_id);
	*(int *)arg = hang_self->tid;
	hang_will("futex", lock_id);
	hang_ok(pthread_mutex_lock(&lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void named(void)
{
	static int tid, pid;

	lock_id = hang_lock("lock", &lock, sizeof(lock), "mutex");
	pid = getpid(); /* the process's name is its first thread's */
	hang_spawn(lock_twice, &tid);
	hang_await(&hang_all->ready, 1);
	hang_spawn(rename_others, &tid);
	hang_spawn(rename_others, &pid);
	hang_ready(3);
}

HANG_FRAME static void *believe(void *arg)
{
	hang_enter("believer", "believe");
	if (hang_is("own"))
		((struct words *)&lock)->owner = (uint32_t)hang_self->tid;
	hang_all->lock[lock_id].owner_tid = (int)((struct words *)&lock)->owner;
	hang_will("futex", lock_id);
	hang_ok(pthread_mutex_lock(&lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *end_at_once(void *arg)
{
	*(int *)arg = (int)syscall(SYS_gettid);
	return arg;
}

static void lie(void)
{
	struct words *words = (struct words *)&lock;
	int tid = getppid(); /* foreign */

	lock_id = hang_lock("lock", &lock, sizeof(lock), "mutex");
	if (hang_is("dead"))
		hang_ok(pthread_join(hang_spawn(end_at_once, &tid), NULL));
	words->lock = 2;
	words->nusers = 1;
	words->owner = (uint32_t)tid;
	hang_spawn(believe, NULL);
	hang_ready(1);
}

HANG_FRAME static int go_deeper(int depth)
{
	volatile int below = 0;

	if (depth > 1) {
		below = go_deeper(depth - 1);
	} else {
		hang_will("futex", lock_id);
		hang_ok(pthread_mutex_lock(&lock));
	}
	return below + 1;
}

HANG_FRAME static void *dive(void *arg)
{
	hang_enter("diver", "go_deeper");
	go_deeper(DEPTH);
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *keep_it(void *arg)
{
	hang_enter("keeper", "hang_sleep keep_it");
	hang_ok(pthread_mutex_lock(&lock));
	hang_took(lock_id);
	hang_arrive(1);
	hang_sleep();
	return arg;
}

static void deep(void)
{
	lock_id = hang_lock("lock", &lock, sizeof(lock), "mutex");
	hang_spawn(keep_it, NULL);
	hang_await(&hang_all->arrived, 1);
	hang_opt.stack_sz = DEEP_SZ;
	hang_spawn(dive, NULL);
	hang_ready(2);
}

static int alive;

HANG_FRAME static void *live_shortly(void *arg)
{
	usleep((useconds_t)(uintptr_t)arg);
	hang_ok(pthread_mutex_lock(&lock));
	hang_ok(pthread_mutex_unlock(&lock));
	__atomic_fetch_sub(&alive, 1, __ATOMIC_RELAXED);
	return NULL;
}

HANG_FRAME static void *churn(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool told = false;

	hang_enter("starter", "churn");
	hang_ok(pthread_attr_init(&attr));
	hang_ok(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
	hang_ok(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	for (;;) {
		if (__atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED) > hang_opt.threads ||
		    pthread_create(&thread, &attr, live_shortly,
				   (void *)(uintptr_t)(next_random() % LIFE_US))) {
			__atomic_fetch_sub(&alive, 1, __ATOMIC_RELAXED);
			usleep(1000);
			if (!told)
				hang_moves();
			told = true;
		}
	}
	return arg;
}

int main(int argc, char **argv)
{
	hang_opt.how = "words";
	hang_opt.threads = 5000;
	hang_start(argc, argv, "hostile", "words stacks comm dead own foreign deep churn");
	if (hang_is("words"))
		victims(rewrite_words);
	else if (hang_is("stacks"))
		victims(rewrite_stacks);
	else if (hang_is("comm"))
		named();
	else if (hang_is("deep"))
		deep();
	else if (hang_is("churn")) {
		hang_spawn(churn, NULL);
		hang_ready(1);
	} else
		lie();
}
