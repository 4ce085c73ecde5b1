/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an oracle workload knows about its own lock waits, and how it says so.
 *
 * A workload calls truth_start(), registers its locks with truth_lock(), starts threads with
 * truth_spawn() and ends with `return truth_finish()`. In between, every call that can wait for a
 * lock stands in TRUTH_WAIT(). Sums are shared between processes: a child's count after fork().
 *
 * An attempt slept when the thread's own count of voluntary context switches grew during the call:
 * the kernel counts one for each time a task that is no longer runnable gives up the CPU
 * (__schedule() in kernel/sched/core.c), and counts preemption elsewhere. So the count of sleeps is
 * exact as long as nothing else in between can sleep. Page faults could; hence mlockall().
 *
 * Times are CLOCK_MONOTONIC in nanoseconds. README.md describes the printed document.
 * This header holds code because each workload is one file that links with nothing else.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "truth_options.h"

#define TRUTH_MAX_SITES	 4096
#define TRUTH_MAX_TAKERS 64
#define TRUTH_STACK_SZ	 (256 * 1024) /* small, as mlockall() makes all of it resident */

/* A frame that a test can look for: neither inlined nor cloned under another name. */
#if defined(__GNUC__) && !defined(__clang__)
#define TRUTH_FRAME __attribute__((noipa))
#else
#define TRUTH_FRAME __attribute__((noinline))
#endif
/* At the end of such a function: the call before it can't become a jump. */
#define TRUTH_NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

enum truth_idle {
	TRUTH_CONTENTION,
	TRUTH_IDLE,
	TRUTH_NEITHER
};

/* One call chain to one lock. Strings are not owned and must be literals. */
struct truth_site {
	char name[56];
	const void *addr;
	size_t size;
	const char *kind;
	const char *functions; /* separated by blanks, innermost first */
	const char *includes; /* the lock whose sleeps in the same call are counted here, or NULL */
	enum truth_idle idle;
	int pid;
	uint64_t attempts, slept, sleeps, preempted, wait_ns, max_ns;
	/* Of calls that the workload knows more of; printed when they are not zero. */
	uint64_t timeouts, interrupted, stops, stopped_ns;
	const char *object; /* one lock at several addresses or in several processes, or NULL */
	bool owner;	    /* a word of the lock names the thread that has it */
	int taker[TRUTH_MAX_TAKERS]; /* who had it: TIDs in the workload's PID namespace */
};

struct truth_shared {
	int lock;
	int sites;
	uint64_t voluntary; /* voluntary switches of the workers in all, lock waits or not */
	struct truth_site site[TRUTH_MAX_SITES];
};

struct truth_mark {
	uint64_t start_ns;
	long nvcsw, nivcsw;
};

static struct truth_shared *truth_all;
static pthread_t truth_thread[TRUTH_MAX_THREADS];
static int truth_threads;
static int truth_told;

static inline void truth_die(const char *what, int err)
{
	fprintf(stderr, "%s: %s: %s\n", truth_workload, what, strerror(err));
	_exit(1);
}

/* For calls that return 0 or an error number; -1 is taken to have set errno. */
static inline void truth_ok(int rc)
{
	if (rc)
		truth_die("call failed", rc < 0 ? errno : rc);
}

static inline uint64_t truth_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void truth_sleep(uint64_t ns)
{
	struct timespec left;

	left.tv_sec = (time_t)(ns / 1000000000);
	left.tv_nsec = (long)(ns % 1000000000);
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* What a thread does while it has the lock: --hold long, asleep or computing. */
static inline void truth_hold(void)
{
	uint64_t end_ns = truth_now_ns() + truth_opt.hold_ns;

	if (!truth_opt.spin)
		truth_sleep(truth_opt.hold_ns);
	else
		while (truth_now_ns() < end_ns)
			;
}

/* A number below @below from the thread's own sequence. */
static inline unsigned int truth_random(unsigned int below)
{
	static __thread unsigned int seed;

	if (!seed)
		seed = (unsigned int)(uintptr_t)&seed >> 6; /* differs between threads */
	return (unsigned int)rand_r(&seed) % below;
}

/*
 * What a thread does before it wants the lock again: from half to one and a half --pause, as
 * equal pauses would make the threads fall into a step in which hardly anyone waits.
 */
static inline void truth_pause(void)
{
	if (truth_opt.pause_ns)
		truth_sleep(truth_opt.pause_ns / 2 +
			    truth_opt.pause_ns * truth_random(1000) / 1000);
}

/* ---- Counting */

static inline void truth_before(struct truth_mark *mark)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	mark->nvcsw = usage.ru_nvcsw;
	mark->nivcsw = usage.ru_nivcsw;
	mark->start_ns = truth_now_ns();
}

/* @calls lock calls have been made since truth_before(). */
static inline void truth_after(int id, const struct truth_mark *mark, uint64_t calls)
{
	uint64_t wait_ns = truth_now_ns() - mark->start_ns, max_ns;
	struct truth_site *site = &truth_all->site[id];
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	__atomic_fetch_add(&site->attempts, calls, __ATOMIC_RELAXED);
	if (usage.ru_nvcsw == mark->nvcsw)
		return;
	__atomic_fetch_add(&site->slept, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&site->sleeps, (uint64_t)(usage.ru_nvcsw - mark->nvcsw),
			   __ATOMIC_RELAXED);
	if (usage.ru_nivcsw != mark->nivcsw)
		__atomic_fetch_add(&site->preempted, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&site->wait_ns, wait_ns, __ATOMIC_RELAXED);
	max_ns = __atomic_load_n(&site->max_ns, __ATOMIC_RELAXED);
	while (wait_ns > max_ns &&
	       !__atomic_compare_exchange_n(&site->max_ns, &max_ns, wait_ns, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Makes one lock call; @id is evaluated after it. */
#define TRUTH_WAIT(id, call)                      \
	do {                                      \
		struct truth_mark truth_mark_;    \
		truth_before(&truth_mark_);       \
		call;                             \
		truth_after(id, &truth_mark_, 1); \
	} while (0)

/* The id of this call chain to this lock in this process: found, or added. Not before a fork. */
static inline int truth_lock(const char *name, const void *addr, size_t size, const char *kind,
			     enum truth_idle idle, const char *functions)
{
	struct truth_site *site;
	int id, pid = getpid();

	while (__atomic_exchange_n(&truth_all->lock, 1, __ATOMIC_ACQUIRE))
		; /* spins: a lock here must not show in the report */
	for (id = 0; id < truth_all->sites; id++) {
		site = &truth_all->site[id];
		if (site->addr == addr && site->pid == pid && !strcmp(site->functions, functions))
			goto out;
	}
	if (id == TRUTH_MAX_SITES)
		truth_die("locks", ENOSPC);
	site = &truth_all->site[id];
	snprintf(site->name, sizeof(site->name), "%s", name);
	site->addr = addr;
	site->size = size;
	site->kind = kind;
	site->idle = idle;
	site->functions = functions;
	site->pid = pid;
	truth_all->sites++;
out:
	__atomic_store_n(&truth_all->lock, 0, __ATOMIC_RELEASE);
	return id;
}

/* The same for member @i of an array of locks of @size each, named as holdup names it. */
static inline int truth_lock_of(const char *array, const void *base, int i, size_t size,
				const char *kind, enum truth_idle idle, const char *functions)
{
	char name[56];

	if (i)
		snprintf(name, sizeof(name), "%s+0x%zx", array, (size_t)i * size);
	else
		snprintf(name, sizeof(name), "%s", array);
	return truth_lock(name, (const char *)base + (size_t)i * size, size, kind, idle, functions);
}

static inline void truth_includes(int id, const char *lock)
{
	truth_all->site[id].includes = lock;
}

/* The lock is @object, which has other addresses in other processes; a literal. */
static inline void truth_object(int id, const char *object)
{
	truth_all->site[id].object = object;
}

/* The lock that the last TRUTH_WAIT(id, …) was for is this thread's now, and its word says so. */
static inline void truth_took(int id)
{
	static __thread int self;
	struct truth_site *site = &truth_all->site[id];
	int i, none;

	if (!self)
		self = (int)syscall(SYS_gettid);
	__atomic_store_n(&site->owner, true, __ATOMIC_RELAXED);
	for (i = 0; i < TRUTH_MAX_TAKERS; i++) {
		none = 0;
		if (__atomic_load_n(&site->taker[i], __ATOMIC_RELAXED) == self)
			return;
		if (__atomic_compare_exchange_n(&site->taker[i], &none, self, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return;
	}
}

/* The last TRUTH_WAIT(id, …) ended without the lock, by @count timeouts or signals. */
static inline void truth_timed_out(int id, uint64_t count)
{
	__atomic_fetch_add(&truth_all->site[id].timeouts, count, __ATOMIC_RELAXED);
}

static inline void truth_interrupted(int id, uint64_t count)
{
	__atomic_fetch_add(&truth_all->site[id].interrupted, count, __ATOMIC_RELAXED);
}

/* ---- Running */

/* The signal that came within @ns: one that ends a workload, or @signo; 0 for none. */
static inline int truth_signalled(uint64_t ns, int signo)
{
	struct timespec most;
	sigset_t set;

	most.tv_sec = (time_t)(ns / 1000000000);
	most.tv_nsec = (long)(ns % 1000000000);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (signo)
		sigaddset(&set, signo);
	signo = sigtimedwait(&set, NULL, &most);
	return signo > 0 ? signo : 0;
}

/* Makes everything resident, now and later: a page fault can sleep. Once in each process. */
static inline void truth_warm(void)
{
	struct truth_mark mark;

	truth_before(&mark); /* mlockall() leaves out the vdso's data page */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		fprintf(stderr, "%s: mlockall: %s: a page fault could count as a sleep\n",
			truth_workload, strerror(errno));
}

static inline void truth_start(int argc, char **argv, const char *workload)
{
	pthread_attr_t attr;
	sigset_t set;

	truth_workload = workload;
	truth_parse(argc, argv);
	truth_all = (struct truth_shared *)mmap(NULL, sizeof(*truth_all), PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (truth_all == MAP_FAILED)
		truth_die("mmap", errno);
	/* Blocked everywhere and fetched by the main thread: no handler interrupts a wait. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	truth_ok(pthread_sigmask(SIG_BLOCK, &set, NULL));
	truth_ok(pthread_attr_init(&attr));
	truth_ok(pthread_attr_setstacksize(&attr, TRUTH_STACK_SZ));
	truth_ok(pthread_setattr_default_np(&attr));
	truth_ok(pthread_attr_destroy(&attr));
	truth_warm();
	if (truth_opt.wait_for_usr1 &&
	    truth_signalled(TRUTH_FORGOTTEN_S * 1000000000, SIGUSR1) != SIGUSR1)
		truth_told = 1;
}

static inline void truth_spawn(void *(*start)(void *), void *arg)
{
	if (truth_threads == TRUTH_MAX_THREADS)
		truth_die("threads", ENOSPC);
	truth_ok(pthread_create(&truth_thread[truth_threads++], NULL, start, arg));
}

static inline bool truth_stopped(void)
{
	return __atomic_load_n(&truth_told, __ATOMIC_ACQUIRE);
}

/* Whether a worker that has made *@done rounds is to make another; counts it. */
static inline bool truth_more(uint64_t *done)
{
	return !truth_stopped() && (!truth_opt.count || *done < truth_opt.count) && ++*done;
}

/* Last in a worker: adds its voluntary switches since it began to the sum of all. */
static inline void truth_worker_ends(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	__atomic_fetch_add(&truth_all->voluntary, (uint64_t)usage.ru_nvcsw, __ATOMIC_RELAXED);
}

static inline bool truth_alone(void)
{
	struct stat st;

	/* A task directory has a link for itself, for "." and for each thread. */
	if (stat("/proc/self/task", &st))
		truth_die("/proc/self/task", errno);
	return st.st_nlink <= 3;
}

/*
 * Lets the threads run until they end, the time is over or a signal says so, and collects them.
 * Joins only threads that the kernel has no more: the main thread never waits on a futex.
 */
static inline void truth_collect(void)
{
	uint64_t end_ns = truth_now_ns() + (uint64_t)(truth_opt.seconds * 1e9);

	while (!truth_alone()) {
		bool over = truth_opt.seconds > 0 && truth_now_ns() >= end_ns;

		if (truth_signalled(2000000, 0) || over)
			__atomic_store_n(&truth_told, 1, __ATOMIC_RELEASE);
	}
	while (truth_threads)
		truth_ok(pthread_join(truth_thread[--truth_threads], NULL));
}

/* ---- Saying it */

static inline void truth_print_functions(const char *list)
{
	const char *before = "";

	while (*list) {
		int length = (int)strcspn(list, " ");

		printf("%s\"%.*s\"", before, length, list);
		before = ",";
		list += length;
		list += *list == ' ';
	}
}

static inline void truth_print_more(const struct truth_site *site)
{
	const char *before = "";
	int i;

	if (site->includes)
		printf("\"includes\":\"%s\",", site->includes);
	if (site->object)
		printf("\"object\":\"%s\",", site->object);
	if (site->timeouts)
		printf("\"timeouts\":%llu,", (unsigned long long)site->timeouts);
	if (site->interrupted)
		printf("\"interrupted\":%llu,", (unsigned long long)site->interrupted);
	if (site->stops)
		printf("\"stops\":%llu,\"stopped_ns\":%llu,", (unsigned long long)site->stops,
		       (unsigned long long)site->stopped_ns);
	if (!site->owner)
		return;
	printf("\"owner\":true,\"takers\":[");
	for (i = 0; i < TRUTH_MAX_TAKERS && site->taker[i]; i++, before = ",")
		printf("%s%d", before, site->taker[i]);
	printf("],");
}

static inline void truth_print_site(const struct truth_site *site)
{
	static const char *const idle[] = { "false", "true", "null" };

	printf("{\"name\":\"%s\",\"pid\":%d,\"address\":\"0x%llx\",\"size\":%zu,\"kind\":\"%s\",",
	       site->name, site->pid, (unsigned long long)(uintptr_t)site->addr, site->size,
	       site->kind);
	printf("\"attempts\":%llu,\"slept\":%llu,\"sleeps\":%llu,\"preempted\":%llu,",
	       (unsigned long long)site->attempts, (unsigned long long)site->slept,
	       (unsigned long long)site->sleeps, (unsigned long long)site->preempted);
	printf("\"wait_ns\":%llu,\"max_ns\":%llu,\"idle\":%s,", (unsigned long long)site->wait_ns,
	       (unsigned long long)site->max_ns, idle[site->idle]);
	truth_print_more(site);
	printf("\"functions\":[");
	truth_print_functions(site->functions);
	printf("]}");
}

static inline int truth_print(void)
{
	const char *before = "\n";
	int i;

	printf("{\"workload\":\"%s\",\"pid\":%d,\"voluntary\":%llu,\"locks\":[", truth_workload,
	       getpid(), (unsigned long long)truth_all->voluntary);
	for (i = 0; i < truth_all->sites; i++) {
		if (!truth_all->site[i].attempts)
			continue;
		printf("%s", before);
		before = ",\n";
		truth_print_site(&truth_all->site[i]);
	}
	printf("]}\n");
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

/* The workload's exit status. */
static inline int truth_finish(void)
{
	truth_collect();
	return truth_print();
}

#endif
