/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program that hangs on purpose knows about its hang, and how it says so.
 *
 * hang_start() reads the options, hang_lock() registers a lock, hang_spawn() starts a thread. A thread
 * that takes a lock for good says hang_took(), and right before the call in which it is to sleep for
 * ever hang_will(). hang_ready() waits until as many threads as told have said so, prints one JSON
 * line and stays. The line tells where each thread is about to sleep; whether it does is for the
 * reader to check, in /proc/PID/task/TID/syscall (tests/lib/hang.py). Nothing outlives the process that
 * started it, or --seconds (120). Tables are shared with children, which call hang_child().
 *
 * The line: workload, how, pid, threads[]{role, pid, tid, calls[], lock, functions[]}, locks[]{name, pid,
 * address, size, kind, owner_tid}. Without calls a thread moves; its lock is the one it is to wait for;
 * functions are those between the call and the thread's start, innermost first.
 * This header holds code because each workload is one file that links with nothing else.
 */
#ifndef HANG_H
#define HANG_H

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HANG_START_S	 60 /* to begin to hang */
#define HANG_MAX_THREADS 16384
#define HANG_MAX_LOCKS	 64
#define HANG_MAPPING_SZ	 8192

/* A frame that a test can look for: neither inlined nor cloned under another name. */
#if defined(__GNUC__) && !defined(__clang__)
#define HANG_FRAME __attribute__((noipa))
#else
#define HANG_FRAME __attribute__((noinline))
#endif
/* At the end of such a function: the call before it can't become a jump. */
#define HANG_NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

#define HANG_NO_LOCK (-1)

struct hang_thread {
	int pid, tid, lock;
	char role[16];	       /* its name, as the kernel has it */
	const char *calls;     /* separated by blanks; literals, as those of the next */
	const char *functions; /* separated by blanks */
	bool ready;
};

struct hang_lock {
	char name[40];
	int pid, owner_tid;
	uint64_t addr, size;
	const char *kind;
};

struct hang_shared {
	int threads, ready, locks, arrived;
	struct hang_thread thread[HANG_MAX_THREADS];
	struct hang_lock lock[HANG_MAX_LOCKS];
};

/* What the command line said. Set the defaults before hang_start(). */
struct hang_options {
	const char *how;
	int threads;
	unsigned int seconds; /* of its life */
	size_t stack_sz;
};

static struct hang_options hang_opt = { "", 0, 120, 128 * 1024 };
static const char *hang_workload;
static struct hang_shared *hang_all;
static __thread struct hang_thread *hang_self;

static inline void hang_die(const char *what, int err)
{
	fprintf(stderr, "%s --how %s: %s: %s\n", hang_workload, hang_opt.how, what, strerror(err));
	_exit(1);
}

/* For calls that return 0 or an error number; -1 is taken to have set errno. */
static inline void hang_ok(int rc)
{
	if (rc)
		hang_die("call failed", rc < 0 ? errno : rc);
}

static inline bool hang_is(const char *how)
{
	return !strcmp(hang_opt.how, how);
}

/* The calling thread gets a row and a name. */
static inline void hang_enter(const char *role, const char *functions)
{
	int i = __atomic_fetch_add(&hang_all->threads, 1, __ATOMIC_RELAXED);

	if (i >= HANG_MAX_THREADS)
		hang_die("too many threads", EAGAIN);
	hang_self = &hang_all->thread[i];
	hang_self->pid = getpid();
	hang_self->tid = (int)syscall(SYS_gettid);
	hang_self->lock = HANG_NO_LOCK;
	hang_self->calls = "";
	hang_self->functions = functions;
	snprintf(hang_self->role, sizeof(hang_self->role), "%s", role);
	prctl(PR_SET_NAME, hang_self->role);
}

/* Ends with the thread that forked it; and by itself. After fork(), in the child. */
static inline void hang_child(const char *role, const char *functions)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != hang_all->thread[0].pid)
		_exit(1);
	alarm(hang_opt.seconds);
	hang_enter(role, functions);
}

static inline void hang_usage(const char *ways)
{
	fprintf(stderr, "usage: %s [--how WAY] [--threads N] [--seconds N]\nways: %s\n",
		hang_workload, ways);
	exit(2);
}

static inline bool hang_has_word(const char *words, const char *word)
{
	size_t sz = strlen(word);
	const char *at = words;

	while ((at = strstr(at, word))) {
		if ((at == words || at[-1] == ' ') && (!at[sz] || at[sz] == ' '))
			return sz > 0;
		at += sz ? sz : 1;
	}
	return false;
}

/* ways: what --how can be, separated by blanks; the main thread has the role "main". */
static inline void hang_start(int argc, char **argv, const char *workload, const char *ways)
{
	static const struct option options[] = {
		{ "how", required_argument, NULL, 'w' },
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	hang_workload = workload;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'w')
			hang_opt.how = optarg;
		else if (opt == 't')
			hang_opt.threads = atoi(optarg);
		else if (opt == 's')
			hang_opt.seconds = (unsigned int)atoi(optarg);
		else
			hang_usage(ways);
	}
	if (optind != argc || !hang_has_word(ways, hang_opt.how))
		hang_usage(ways);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(hang_opt.seconds);
	hang_all = (struct hang_shared *)mmap(NULL, sizeof(*hang_all), PROT_READ | PROT_WRITE,
					      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (hang_all == MAP_FAILED)
		hang_die("mmap", errno);
	hang_enter(workload, "main");
}

static inline int hang_lock(const char *name, const void *addr, size_t size, const char *kind)
{
	int i = __atomic_fetch_add(&hang_all->locks, 1, __ATOMIC_RELAXED);
	struct hang_lock *lock;

	if (i >= HANG_MAX_LOCKS)
		hang_die("too many locks", ENOSPC);
	lock = &hang_all->lock[i];
	snprintf(lock->name, sizeof(lock->name), "%s", name);
	lock->pid = getpid();
	lock->addr = (uint64_t)(uintptr_t)addr;
	lock->size = size;
	lock->kind = kind;
	return i;
}

/* An element of an array: "forks", "forks+0x28". */
static inline int hang_lock_of(const char *array, const void *base, int i, size_t size,
			       const char *kind)
{
	char name[40];

	snprintf(name, sizeof(name), i ? "%s+0x%zx" : "%s", array, (size_t)i * size);
	return hang_lock(name, (const char *)base + (size_t)i * size, size, kind);
}

/* The calling thread has it, and will not give it back. */
static inline void hang_took(int lock)
{
	hang_all->lock[lock].owner_tid = hang_self->tid;
}

/* The very next call of this thread is to be one of these, for this lock. */
static inline void hang_will(const char *calls, int lock)
{
	hang_self->calls = calls;
	hang_self->lock = lock;
	__atomic_store_n(&hang_self->ready, true, __ATOMIC_RELEASE);
	__atomic_fetch_add(&hang_all->ready, 1, __ATOMIC_RELEASE);
}

/* A thread that never sleeps for long: ready as it is. */
static inline void hang_moves(void)
{
	hang_will("", HANG_NO_LOCK);
}

/* Waits, by giving up the CPU, until a count of another thread is there. */
static inline void hang_await(const int *count, int least)
{
	time_t end = time(NULL) + HANG_START_S;

	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < least) {
		if (time(NULL) > end)
			hang_die("waiting for the other threads", ETIMEDOUT);
		usleep(200);
	}
}

/* A point that so many threads have to reach before the first goes on. */
static inline void hang_arrive(int threads)
{
	__atomic_fetch_add(&hang_all->arrived, 1, __ATOMIC_RELEASE);
	hang_await(&hang_all->arrived, threads);
}

static inline pthread_t hang_spawn(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	hang_ok(pthread_attr_init(&attr));
	hang_ok(pthread_attr_setstacksize(&attr, hang_opt.stack_sz));
	hang_ok(pthread_create(&thread, &attr, run, arg));
	hang_ok(pthread_attr_destroy(&attr));
	return thread;
}

/* The same pages for all processes forked from here, wherever each maps them (hang_map()). */
static inline int hang_file(void)
{
	char path[] = "/tmp/holdup-hang-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || unlink(path) || ftruncate(fd, HANG_MAPPING_SZ))
		hang_die(path, errno);
	return fd;
}

static inline void *hang_map(int fd, uintptr_t hint)
{
	void *at = mmap((void *)hint, HANG_MAPPING_SZ, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		hang_die("mmap", errno);
	return at;
}

static inline void hang_mutex(pthread_mutex_t *mutex, int type, int protocol, int robust,
			      int pshared)
{
	pthread_mutexattr_t attr;

	hang_ok(pthread_mutexattr_init(&attr));
	hang_ok(pthread_mutexattr_settype(&attr, type));
	hang_ok(pthread_mutexattr_setprotocol(&attr, protocol));
	hang_ok(pthread_mutexattr_setrobust(&attr, robust));
	hang_ok(pthread_mutexattr_setpshared(&attr, pshared));
	hang_ok(pthread_mutex_init(mutex, &attr));
	hang_ok(pthread_mutexattr_destroy(&attr));
}

/* Holding whatever it has. */
HANG_FRAME __attribute__((unused)) static void hang_sleep(void)
{
	struct timespec long_time = { 3600, 0 };

	hang_will("clock_nanosleep nanosleep", HANG_NO_LOCK);
	for (;;)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL);
}

static inline void hang_print_words(const char *name, const char *words)
{
	const char *end;

	printf(",\"%s\":[", name);
	for (; *words; words = *end ? end + 1 : end) {
		end = words + strcspn(words, " ");
		printf("\"%.*s\"%s", (int)(end - words), words, *end ? "," : "");
	}
	printf("]");
}

static inline void hang_print_thread(const struct hang_thread *t)
{
	printf("{\"role\":\"%s\",\"pid\":%d,\"tid\":%d", t->role, t->pid, t->tid);
	hang_print_words("calls", t->calls);
	if (t->lock == HANG_NO_LOCK)
		printf(",\"lock\":null");
	else
		printf(",\"lock\":\"%s\"", hang_all->lock[t->lock].name);
	hang_print_words("functions", t->functions);
	printf("}");
}

static inline void hang_print_lock(const struct hang_lock *l)
{
	printf("{\"name\":\"%s\",\"pid\":%d,\"address\":\"0x%llx\",\"size\":%llu,\"kind\":\"%s\","
	       "\"owner_tid\":%d}",
	       l->name, l->pid, (unsigned long long)l->addr, (unsigned long long)l->size, l->kind,
	       l->owner_tid);
}

static inline void hang_print(void)
{
	const char *separator = "";
	int i;

	printf("{\"workload\":\"%s\",\"how\":\"%s\",\"pid\":%d,\"threads\":[", hang_workload,
	       hang_opt.how, getpid());
	for (i = 0; i < hang_all->threads; i++) {
		if (!hang_all->thread[i].ready)
			continue;
		printf("%s", separator);
		hang_print_thread(&hang_all->thread[i]);
		separator = ",";
	}
	printf("],\"locks\":[");
	for (i = 0; i < hang_all->locks; i++) {
		printf("%s", i ? "," : "");
		hang_print_lock(&hang_all->lock[i]);
	}
	printf("]}\n");
	fflush(stdout);
}

/* When so many threads (the calling one not counted) are about to hang: says so, and stays. */
static inline void hang_ready(int threads)
{
	hang_await(&hang_all->ready, threads);
	hang_will("pause", HANG_NO_LOCK);
	hang_print();
	for (;;)
		pause();
}

#endif
