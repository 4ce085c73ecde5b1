// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the benchmark lets a machine do while something watches it. Loads of time start when a line
 * comes on standard input, so that a watcher can attach to a process that is there, and print one
 * line "OPERATIONS NANOSECONDS SLEEPS". Each ends by itself, these with their standard input.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_A_BATCH  2000 /* system calls between two looks at the clock: well below a slice */
#define MAX_BATCHES    100000
#define TURNS_A_LOOK   100 /* rounds of a pair between two looks */
#define THREADS_A_LOOK 100
#define TICK_NS	       1000000	   /* a paced load does its work in bursts, one a tick */
#define STACK_SZ       (64 * 1024) /* 5,000 of them have to fit */
#define FORGOTTEN_S    120	   /* nobody will end a crowd that lives so long */
#define MODULE_WAIT_MS 100 /* of a process that waits in one of its modules after the other */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void ok(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "load: %s: %s\n", what, strerror(err < 0 ? errno : err));
	_exit(1);
}

/* Waits for the line that starts it; without one there is nothing to do. */
static void wait_for_start(void)
{
	char line[16];

	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
}

/* Prints what was done, and stays until nobody listens: some watchers end with the process that they watch. */
static void report(uint64_t ops, uint64_t ns)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("%llu %llu %ld\n", (unsigned long long)ops, (unsigned long long)ns, usage.ru_nvcsw);
	fflush(stdout);
	while (getchar() != EOF)
		;
}

/* ---- getppid: system calls that have nothing to do with waiting */

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The median over batches: those during which the CPU went to somebody else do not count. */
static void run_getppid(uint64_t for_ns)
{
	static uint64_t batch_ns[MAX_BATCHES];
	uint64_t start_ns = now_ns(), last_ns = start_ns;
	int batches = 0;

	while (last_ns - start_ns < for_ns && batches < MAX_BATCHES) {
		uint64_t before_ns = now_ns();

		for (int i = 0; i < CALLS_A_BATCH; i++)
			syscall(SYS_getppid);
		last_ns = now_ns();
		batch_ns[batches++] = last_ns - before_ns;
	}
	qsort(batch_ns, (size_t)batches, sizeof(batch_ns[0]), by_size);
	report(CALLS_A_BATCH, batch_ns[batches / 2]);
}

/*
 * ---- waits: two threads that hand each other a semaphore's count, so that each turn waits once. A
 * thread's waits come from stacks of two depths in turn: nobody can take one for a retry of the one
 * before.
 */

#ifdef OWN_FUTEX

/*
 * The C library is built without frame pointers, and whoever walks by them gets no further than its semaphores. These
 * are here, where they are kept; syscall() leaves them alone.
 */
typedef struct {
	uint32_t count;
} ball_t;

static void ball__init(ball_t *ball)
{
	ball->count = 0;
}

static void ball__take(ball_t *ball)
{
	while (!__atomic_load_n(&ball->count, __ATOMIC_ACQUIRE))
		ok(syscall(SYS_futex, &ball->count, FUTEX_WAIT_PRIVATE, 0, NULL) &&
				   errno != EAGAIN && errno != EINTR
			   ? -1
			   : 0,
		   "futex");
	__atomic_sub_fetch(&ball->count, 1, __ATOMIC_ACQ_REL); /* nobody else takes this one */
}

static void ball__give(ball_t *ball)
{
	__atomic_add_fetch(&ball->count, 1, __ATOMIC_ACQ_REL);
	ok(syscall(SYS_futex, &ball->count, FUTEX_WAKE_PRIVATE, 1) < 0 ? -1 : 0, "futex");
}

#else

typedef sem_t ball_t;

static void ball__init(ball_t *ball)
{
	ok(sem_init(ball, 0, 0), "sem_init");
}

static void ball__take(ball_t *ball)
{
	while (sem_wait(ball))
		ok(errno == EINTR ? 0 : -1, "sem_wait");
}

static void ball__give(ball_t *ball)
{
	ok(sem_post(ball), "sem_post");
}

#endif

static struct pair {
	ball_t ball[2];
} pair;
static uint64_t end_ns, turns_a_tick;
static int depth;
static bool over;

/* Waits this many calls deep: what a watcher that takes stacks has to walk. */
__attribute__((noinline)) static int wait_deep(int calls, ball_t *ball)
{
	int below = 0;

	if (calls)
		below = wait_deep(calls - 1, ball);
	else
		ball__take(ball);
	__asm__ volatile("" ::: "memory"); /* the call above is no jump */
	return below + 1;
}

static void *answer(void *arg)
{
	for (uint64_t turns = 0;; turns++) {
		wait_deep(depth + (int)(turns % 2), &pair.ball[1]);
		ball__give(&pair.ball[0]);
		if (__atomic_load_n(&over, __ATOMIC_ACQUIRE))
			return arg;
	}
}

/* A paced load sleeps (not on a futex) until the next tick. */
static void pace(uint64_t turns, uint64_t *tick_ns)
{
	struct timespec at;

	if (!turns_a_tick || turns % turns_a_tick)
		return;
	*tick_ns += TICK_NS;
	at.tv_sec = (time_t)(*tick_ns / 1000000000);
	at.tv_nsec = (long)(*tick_ns % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void *serve(void *arg)
{
	uint64_t *turns = arg, tick_ns = now_ns();
	bool last = false;

	while (!last) {
		pace(*turns, &tick_ns);
		if (turns_a_tick || *turns % TURNS_A_LOOK == 0)
			last = now_ns() >= end_ns;
		if (last)
			__atomic_store_n(&over, true, __ATOMIC_RELEASE);
		ball__give(&pair.ball[1]);
		if (last) /* the other may have seen that already, and not answer any more */
			break;
		wait_deep(depth + (int)(*turns % 2), &pair.ball[0]);
		++*turns;
	}
	return NULL;
}

/*
 * Batch scheduling: a woken thread does not take the CPU from its waker, which so gets to its own
 * wait before it is answered. Without it about half of the turns on one CPU would not sleep.
 */
static void run_waits(uint64_t for_ns)
{
	const struct sched_param none = { 0 };
	uint64_t start_ns = now_ns(), turns = 0;
	pthread_t server, answerer;

	ok(sched_setscheduler(0, SCHED_BATCH, &none), "sched_setscheduler");
	end_ns = start_ns + for_ns;
	for (int i = 0; i < 2; i++)
		ball__init(&pair.ball[i]);
	ok(pthread_create(&answerer, NULL, answer, NULL), "pthread_create");
	ok(pthread_create(&server, NULL, serve, &turns), "pthread_create");
	ok(pthread_join(server, NULL), "pthread_join");
	ok(pthread_join(answerer, NULL), "pthread_join");
	report(2 * turns, now_ns() - start_ns);
}

/* ---- crowd: many processes of many threads that wait, each anew every second */

static void *bystander(void *arg)
{
	struct timespec until;
	sem_t never;

	ok(sem_init(&never, 0, 0), "sem_init");
	clock_gettime(CLOCK_REALTIME, &until);
	for (;;) {
		until.tv_sec++;
		while (!sem_timedwait(&never, &until) || errno != ETIMEDOUT)
			;
	}
	return arg;
}

static void be_member(int threads, pid_t parent)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (int i = 1; i < threads; i++)
		ok(pthread_create(&thread, NULL, bystander, NULL), "pthread_create");
	alarm(FORGOTTEN_S);
	bystander(NULL);
}

static void run_crowd(int processes, int threads)
{
	pid_t self = getpid();

	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		ok(pid < 0 ? -1 : 0, "fork");
		if (!pid)
			be_member(threads, self);
	}
	alarm(FORGOTTEN_S);
	wait_for_start(); /* which says that it is over */
}

/* ---- modules: processes that each have a part of many modules, and wait in one after the other */

static int wait_a_while(void)
{
	struct timespec until;
	sem_t never;

	ok(sem_init(&never, 0, 0), "sem_init");
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += MODULE_WAIT_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!sem_timedwait(&never, &until) || errno != ETIMEDOUT)
		;
	return 1;
}

typedef int (*module_wait_fn)(int (*wait)(void));

static module_wait_fn load_module(const char *dir, int number)
{
	module_wait_fn fn;
	char path[4096];
	void *module;

	snprintf(path, sizeof(path), "%s/m%d.so", dir, number);
	module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	fn = module ? (module_wait_fn)dlsym(module, "module_wait") : NULL;
	if (!fn) {
		fprintf(stderr, "load: %s\n", dlerror());
		_exit(1);
	}
	return fn;
}

static void be_user(const char *dir, int modules, int first, int each, int ready, pid_t parent)
{
	module_wait_fn *wait = calloc((size_t)each, sizeof(wait[0]));

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || !wait)
		_exit(1);
	alarm(FORGOTTEN_S);
	for (int i = 0; i < each; i++)
		wait[i] = load_module(dir, (first + i) % modules);
	ok(write(ready, "", 1) == 1 ? 0 : -1, "write");
	for (int i = 0;; i = (i + 1) % each)
		wait[i](wait_a_while);
}

/* Neighbours share all but a few of their modules; together they have them all. */
static void run_modules(const char *dir, int modules, int processes, int each)
{
	pid_t self = getpid();
	int ready[2];
	char byte;

	ok(pipe(ready), "pipe");
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		ok(pid < 0 ? -1 : 0, "fork");
		if (!pid)
			be_user(dir, modules, i * modules / processes, each, ready[1], self);
	}
	close(ready[1]);
	alarm(FORGOTTEN_S);
	for (int i = 0; i < processes; i++)
		ok(read(ready[0], &byte, 1) == 1 ? 0 : -1, "a process's modules");
	wait_for_start(); /* which says that it is over */
}

/* ---- threads: one after the other is created and joined */

static void *nothing(void *arg)
{
	return arg;
}

static void run_threads(uint64_t for_ns)
{
	uint64_t start_ns = now_ns(), last_ns = start_ns, threads = 0;
	pthread_t thread;

	for (; last_ns - start_ns < for_ns; last_ns = now_ns()) {
		for (int i = 0; i < THREADS_A_LOOK; i++) {
			ok(pthread_create(&thread, NULL, nothing, NULL), "pthread_create");
			ok(pthread_join(thread, NULL), "pthread_join");
		}
		threads += THREADS_A_LOOK;
	}
	report(threads, last_ns - start_ns);
}

/* ---- */

static long number(const char *text, long most)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0 || n > most) {
		fprintf(stderr, "load: '%s' is no number up to %ld\n", text, most);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pthread_attr_t attr;

	ok(pthread_attr_init(&attr), "pthread_attr_init");
	ok(pthread_attr_setstacksize(&attr, STACK_SZ), "pthread_attr_setstacksize");
	ok(pthread_setattr_default_np(&attr), "pthread_setattr_default_np");
	if (!strcmp(what, "getppid") && argc == 3) {
		uint64_t for_ns = (uint64_t)number(argv[2], 60000) * 1000000;

		wait_for_start();
		run_getppid(for_ns);
	} else if (!strcmp(what, "threads") && argc == 3) {
		uint64_t for_ns = (uint64_t)number(argv[2], 60000) * 1000000;

		wait_for_start();
		run_threads(for_ns);
	} else if (!strcmp(what, "waits") && argc == 5) {
		uint64_t for_ns = (uint64_t)number(argv[2], 60000) * 1000000;

		depth = (int)number(argv[3], 100);
		turns_a_tick = (uint64_t)number(argv[4], 1000000) / 2 / (1000000000 / TICK_NS);
		wait_for_start();
		run_waits(for_ns);
	} else if (!strcmp(what, "crowd") && argc == 4) {
		run_crowd((int)number(argv[2], 1000), (int)number(argv[3], 1000));
	} else if (!strcmp(what, "modules") && argc == 6 && number(argv[3], 1000)) {
		run_modules(argv[2], (int)number(argv[3], 1000), (int)number(argv[4], 1000),
			    (int)number(argv[5], 1000));
	} else {
		fprintf(stderr, "usage: load getppid MS | threads MS | crowd PROCESSES THREADS"
				" | waits MS DEPTH WAITS_A_SECOND (0: all it can)"
				" | modules DIRECTORY COUNT PROCESSES EACH\n");
		return 2;
	}
	return 0;
}
