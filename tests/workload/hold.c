// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every way to hold a lock, counted and timed by the program itself: how often each lock was got, and for how long it
 * was held. A hold lies between two moments that the program sees from inside (got it; about to give it up) and two
 * from outside (asks for it; has given it up). Prints JSON when all is over.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

struct truth {
	const char *name, *kind;
	const void *address;
	unsigned long acquisitions, failed, after_wait;
	uint64_t inside_ns, outside_ns, inside_max_ns, outside_max_ns;
	int alone; /* nobody else wants it: outside bounds are good */
};

enum {
	PLAIN,
	BUSY,
	RECURSIVE,
	CHECKING,
	TRIED,
	TIMED,
	QUEUE,
	CATALOG,
	SPUN,
	SLOT,
	LOCKS
};

static pthread_mutex_t plain_lock = PTHREAD_MUTEX_INITIALIZER,
		       busy_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive_lock, checking_lock, tried_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t timed_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_nonempty = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t catalog_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spun_lock;
static sem_t slot;

static struct truth truths[LOCKS] = {
	[PLAIN] = { .name = "plain_lock", .kind = "mutex", .address = &plain_lock, .alone = 1 },
	[BUSY] = { .name = "busy_lock", .kind = "mutex", .address = &busy_lock },
	[RECURSIVE] = { .name = "recursive_lock",
			.kind = "mutex",
			.address = &recursive_lock,
			.alone = 1 },
	[CHECKING] = { .name = "checking_lock",
		       .kind = "mutex",
		       .address = &checking_lock,
		       .alone = 1 },
	[TRIED] = { .name = "tried_lock", .kind = "mutex", .address = &tried_lock, .alone = 1 },
	[TIMED] = { .name = "timed_lock", .kind = "mutex", .address = &timed_lock, .alone = 1 },
	[QUEUE] = { .name = "queue_lock", .kind = "mutex", .address = &queue_lock },
	[CATALOG] = { .name = "catalog_lock",
		      .kind = "rwlock",
		      .address = &catalog_lock,
		      .alone = 1 },
	[SPUN] = { .name = "spun_lock", .kind = "spinlock", .address = (void *)&spun_lock },
	[SLOT] = { .name = "slot", .kind = "semaphore", .address = &slot },
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void check(int err)
{
	if (err) {
		fprintf(stderr, "hold: %s\n", strerror(err));
		exit(1);
	}
}

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

static void raise_to(uint64_t *to, uint64_t n)
{
	uint64_t old = __atomic_load_n(to, __ATOMIC_RELAXED);

	while (n > old &&
	       !__atomic_compare_exchange_n(to, &old, n, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* asked, got, giving up, given up */
static void note(int lock, const uint64_t t[4])
{
	struct truth *truth = &truths[lock];

	__atomic_fetch_add(&truth->acquisitions, 1, __ATOMIC_RELAXED);
	add(&truth->inside_ns, t[2] - t[1]);
	add(&truth->outside_ns, t[3] - t[0]);
	raise_to(&truth->inside_max_ns, t[2] - t[1]);
	raise_to(&truth->outside_max_ns, t[3] - t[0]);
}

static void compute(uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

#define HOLD(lock, take, body, give) \
	do {                         \
		uint64_t t_[4];      \
		t_[0] = now_ns();    \
		take;                \
		t_[1] = now_ns();    \
		body;                \
		t_[2] = now_ns();    \
		give;                \
		t_[3] = now_ns();    \
		note(lock, t_);      \
	} while (0)

#define MUTEX(lock, mutex, body) \
	HOLD(lock, check(pthread_mutex_lock(mutex)), body, check(pthread_mutex_unlock(mutex)))

NOINLINE static void hold_plain(void)
{
	MUTEX(PLAIN, &plain_lock, compute(20000));
}

/* As long as no other: what the longest hold's holder does inside is known. */
NOINLINE static void hold_plain_asleep(void)
{
	MUTEX(PLAIN, &plain_lock, usleep(30000));
}

NOINLINE static void *be_busy(void *arg)
{
	for (int i = 0; i < 100; i++)
		MUTEX(BUSY, &busy_lock, usleep(1000));
	return arg;
}

NOINLINE static void recurse(int depth)
{
	check(pthread_mutex_lock(&recursive_lock));
	if (depth)
		recurse(depth - 1);
	else
		compute(5000);
	check(pthread_mutex_unlock(&recursive_lock));
}

static void hold_recursive(void)
{
	uint64_t t[4];

	for (int i = 0; i < 100; i++) {
		t[0] = now_ns();
		check(pthread_mutex_lock(&recursive_lock));
		t[1] = now_ns();
		recurse(3);
		t[2] = now_ns();
		check(pthread_mutex_unlock(&recursive_lock));
		t[3] = now_ns();
		note(RECURSIVE, t);
	}
}

static void hold_checking(void)
{
	for (int i = 0; i < 100; i++)
		MUTEX(CHECKING, &checking_lock,
		      check(pthread_mutex_lock(&checking_lock) == EDEADLK ? 0 : EPROTO));
}

/* Tries what another thread holds. */
static void *try_in_vain(void *arg)
{
	for (int i = 0; i < 50; i++)
		check(pthread_mutex_trylock(&tried_lock) == EBUSY ? 0 : EPROTO);
	truths[TRIED].failed += 50;
	return arg;
}

static void run(void *(*start)(void *), int cnt)
{
	pthread_t thread[8];

	for (int i = 0; i < cnt; i++)
		check(pthread_create(&thread[i], NULL, start, NULL));
	for (int i = 0; i < cnt; i++)
		check(pthread_join(thread[i], NULL));
}

static void hold_tried(void)
{
	MUTEX(TRIED, &tried_lock, run(try_in_vain, 1));
	for (int i = 0; i < 50; i++)
		HOLD(TRIED, check(pthread_mutex_trylock(&tried_lock)), compute(1000),
		     check(pthread_mutex_unlock(&tried_lock)));
}

static void in_future(struct timespec *ts, long ms)
{
	clock_gettime(CLOCK_REALTIME, ts);
	ts->tv_nsec += ms * 1000000;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

static void *time_out(void *arg)
{
	struct timespec until;

	for (int i = 0; i < 10; i++) {
		in_future(&until, 5);
		check(pthread_mutex_timedlock(&timed_lock, &until) == ETIMEDOUT ? 0 : EPROTO);
	}
	truths[TIMED].failed += 10;
	return arg;
}

static void hold_timed(void)
{
	struct timespec until;

	MUTEX(TIMED, &timed_lock, run(time_out, 1));
	for (int i = 0; i < 50; i++) {
		in_future(&until, 60000);
		HOLD(TIMED, check(pthread_mutex_timedlock(&timed_lock, &until)), compute(1000),
		     check(pthread_mutex_unlock(&timed_lock)));
	}
}

static int jobs, told;

/* A hold ends where the wait begins, and another begins where it ends. */
static void *consume(void *arg)
{
	uint64_t t[4];

	t[0] = now_ns();
	check(pthread_mutex_lock(&queue_lock));
	t[1] = now_ns();
	while (!told || jobs) {
		if (jobs) {
			jobs--;
			continue;
		}
		t[2] = t[3] = now_ns();
		note(QUEUE, t);
		truths[QUEUE].after_wait++;
		check(pthread_cond_wait(&queue_nonempty, &queue_lock));
		t[0] = t[1] = now_ns();
	}
	t[2] = now_ns();
	check(pthread_mutex_unlock(&queue_lock));
	t[3] = now_ns();
	note(QUEUE, t);
	return arg;
}

static void hold_queue(void)
{
	pthread_t consumer;

	check(pthread_create(&consumer, NULL, consume, NULL));
	for (int i = 0; i < 50; i++) {
		usleep(2000);
		MUTEX(QUEUE, &queue_lock, jobs++; check(pthread_cond_signal(&queue_nonempty)));
	}
	MUTEX(QUEUE, &queue_lock, told = 1; check(pthread_cond_signal(&queue_nonempty)));
	check(pthread_join(consumer, NULL));
}

NOINLINE static void *read_catalog(void *arg)
{
	for (int i = 0; i < 50; i++)
		HOLD(CATALOG, check(pthread_rwlock_rdlock(&catalog_lock)), usleep(500),
		     check(pthread_rwlock_unlock(&catalog_lock)));
	return arg;
}

NOINLINE static void write_catalog(void)
{
	HOLD(CATALOG, check(pthread_rwlock_wrlock(&catalog_lock)), compute(10000),
	     check(pthread_rwlock_unlock(&catalog_lock)));
}

static void *spin(void *arg)
{
	for (int i = 0; i < 200; i++)
		HOLD(SPUN, check(pthread_spin_lock(&spun_lock)), compute(2000),
		     check(pthread_spin_unlock(&spun_lock)));
	return arg;
}

static void *use_slot(void *arg)
{
	for (int i = 0; i < 50; i++)
		HOLD(SLOT, check(sem_wait(&slot) ? errno : 0), usleep(200),
		     check(sem_post(&slot) ? errno : 0));
	return arg;
}

static void make(pthread_mutex_t *mutex, int type)
{
	pthread_mutexattr_t attr;

	check(pthread_mutexattr_init(&attr));
	check(pthread_mutexattr_settype(&attr, type));
	check(pthread_mutex_init(mutex, &attr));
}

static void print(void)
{
	printf("{\"pid\":%d,\"locks\":[", getpid());
	for (int i = 0; i < LOCKS; i++) {
		const struct truth *t = &truths[i];

		printf("%s\n{\"name\":\"%s\",\"kind\":\"%s\",\"address\":\"0x%llx\",", i ? "," : "",
		       t->name, t->kind, (unsigned long long)(uintptr_t)t->address);
		printf("\"acquisitions\":%lu,\"failed\":%lu,\"after_wait\":%lu,\"alone\":%s,",
		       t->acquisitions, t->failed, t->after_wait, t->alone ? "true" : "false");
		printf("\"inside_ns\":%llu,\"outside_ns\":%llu,\"inside_max_ns\":%llu,"
		       "\"outside_max_ns\":%llu}",
		       (unsigned long long)t->inside_ns, (unsigned long long)t->outside_ns,
		       (unsigned long long)t->inside_max_ns, (unsigned long long)t->outside_max_ns);
	}
	printf("]}\n");
}

/* --wait: for a line on stdin, so that one can attach first. */
int main(int argc, char **argv)
{
	char line[16];

	make(&recursive_lock, PTHREAD_MUTEX_RECURSIVE);
	make(&checking_lock, PTHREAD_MUTEX_ERRORCHECK);
	check(pthread_spin_init(&spun_lock, PTHREAD_PROCESS_PRIVATE));
	check(sem_init(&slot, 0, 1) ? errno : 0);
	if (argc > 1 && !strcmp(argv[1], "--wait") && !fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < 500; i++)
		hold_plain();
	hold_plain_asleep();
	run(be_busy, 3);
	hold_recursive();
	hold_checking();
	hold_tried();
	hold_timed();
	hold_queue();
	run(read_catalog, 3);
	for (int i = 0; i < 50; i++)
		write_catalog();
	run(spin, 2);
	run(use_slot, 2);
	print();
	return 0;
}
