// SPDX-License-Identifier: GPL-2.0-only
/*
 * One blocked call in each surrounding that makes call stacks hard to follow; tests/integration/
 * test_stack_zoo.py knows the chain of each. --how names the case (the table at the end).
 *
 * --in-thread   in a thread of its own instead of the main one
 * --on-usr1     begin on SIGUSR1, so that what watches can be there first
 *
 * A call whose line a test looks for stands on one line with its function's name.
 */
#include "hang/hang.h"
#include <alloca.h>
#include <poll.h>
#include <semaphore.h>
#include <ucontext.h>

#define DEEP	 200 /* frames, more than holdup keeps */
#define STACK_SZ (256 * 1024)

/* --- the calls */

static pthread_mutex_t zoo_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t zoo_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t zoo_gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t zoo_opened = PTHREAD_COND_INITIALIZER;
static sem_t zoo_places;
static int mutex_id, rwlock_id, cond_id, sem_id;
static pthread_t keeper;
static int pipe_fds[2];

HANG_FRAME static void take_mutex(void)
{
	hang_will("futex", mutex_id);
	hang_ok(pthread_mutex_lock(&zoo_mutex));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void read_rwlock(void)
{
	hang_will("futex", rwlock_id);
	hang_ok(pthread_rwlock_rdlock(&zoo_rwlock));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void wait_opened(void)
{
	hang_ok(pthread_mutex_lock(&zoo_gate));
	hang_will("futex", cond_id);
	for (;;)
		pthread_cond_wait(&zoo_opened, &zoo_gate);
}

HANG_FRAME static void take_place(void)
{
	hang_will("futex", sem_id);
	hang_ok(sem_wait(&zoo_places));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void join_keeper(void)
{
	hang_will("futex", HANG_NO_LOCK);
	hang_ok(pthread_join(keeper, NULL));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void read_pipe(void)
{
	char byte;

	hang_will("read", HANG_NO_LOCK);
	while (read(pipe_fds[0], &byte, 1) >= 0)
		HANG_NO_TAIL_CALL();
	hang_die("read", errno);
}

HANG_FRAME static void poll_pipe(void)
{
	struct pollfd poll_fd = { .fd = pipe_fds[0], .events = POLLIN };

	hang_will("poll ppoll", HANG_NO_LOCK);
	while (poll(&poll_fd, 1, -1) >= 0)
		HANG_NO_TAIL_CALL();
	hang_die("poll", errno);
}

HANG_FRAME static void nap(void)
{
	struct timespec long_time = { 3600, 0 };

	hang_will("clock_nanosleep nanosleep", HANG_NO_LOCK);
	while (!nanosleep(&long_time, NULL))
		HANG_NO_TAIL_CALL();
	hang_die("nanosleep", errno);
}

/* The child sleeps on its parent's stack, which it must leave as it is. */
HANG_FRAME static void child_sleeps(void)
{
	for (;;)
		pause();
}

HANG_FRAME static void wait_for_child(void)
{
	volatile int pid;

	hang_will("vfork", HANG_NO_LOCK);
	pid = vfork();
	if (!pid)
		child_sleeps();
	hang_die("vfork", pid < 0 ? errno : ECHILD);
}

/* --- the surroundings; each goes on to take_mutex() */

static inline __attribute__((always_inline)) void inlined_inner(void)
{
	take_mutex();
	HANG_NO_TAIL_CALL();
}

static inline __attribute__((always_inline)) void inlined_outer(void)
{
	inlined_inner();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void call_inlined(void)
{
	inlined_outer();
	HANG_NO_TAIL_CALL();
}

static int spinning; /* how far spin() has come */

HANG_FRAME static void handle(int number)
{
	(void)number;
	take_mutex();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void spin(void)
{
	__atomic_store_n(&spinning, 1, __ATOMIC_RELEASE);
	for (;;)
		HANG_NO_TAIL_CALL(); /* spins here */
}

static void handle_by(int number, int flags)
{
	hang_ok(sigaction(number, &(struct sigaction){ .sa_handler = handle, .sa_flags = flags },
			  NULL));
}

static void *interrupt(void *thread)
{
	hang_await(&spinning, 1);
	hang_ok(pthread_kill((pthread_t)thread, SIGUSR2));
	return NULL;
}

HANG_FRAME static void be_interrupted(void)
{
	handle_by(SIGUSR2, 0);
	hang_spawn(interrupt, (void *)pthread_self());
	spin();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void be_interrupted_on_altstack(void)
{
	stack_t stack = { .ss_sp = malloc(STACK_SZ), .ss_size = STACK_SZ };

	hang_ok(sigaltstack(&stack, NULL));
	handle_by(SIGUSR2, SA_ONSTACK);
	hang_spawn(interrupt, (void *)pthread_self());
	spin();
	HANG_NO_TAIL_CALL();
}

#if defined(__x86_64__)

/* An instruction that faults and is its function's first: the byte before is another function's. */
void zoo_before(void);
void zoo_trap(void);
__asm__(".text\n.balign 16\n"
	".type zoo_before, @function\nzoo_before:\n"
	"	.cfi_startproc\n	push %rbx\n	.cfi_def_cfa_offset 16\n"
	"	call abort@PLT\n	.cfi_endproc\n"
	".size zoo_before, . - zoo_before\n"
	".type zoo_trap, @function\nzoo_trap:\n"
	"	.cfi_startproc\n	ud2\n	.cfi_endproc\n"
	".size zoo_trap, . - zoo_trap\n");

HANG_FRAME static void trap(void)
{
	handle_by(SIGILL, 0);
	zoo_trap();
	HANG_NO_TAIL_CALL();
}

/* Code that no file has: calls the function in its first argument. */
static void *generate(const void *code, size_t sz)
{
	void *at = mmap(NULL, sz, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	if (at == MAP_FAILED)
		hang_die("mmap", errno);
	return memcpy(at, code, sz);
}

/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
static const uint8_t with_frame[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret */
static const uint8_t without_frame[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd7,
					 0x48, 0x83, 0xc4, 0x08, 0xc3 };

HANG_FRAME static void call_generated(void)
{
	void (*generated)(void (*)(void)) = generate(with_frame, sizeof(with_frame));

	generated(take_mutex);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void call_generated_bare(void)
{
	void (*generated)(void (*)(void)) = generate(without_frame, sizeof(without_frame));

	generated(take_mutex);
	HANG_NO_TAIL_CALL();
}

#endif

#ifdef __GLIBC__ /* musl has no makecontext() */

static ucontext_t back;

HANG_FRAME static void coroutine(void)
{
	take_mutex();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void switch_stacks(void)
{
	static ucontext_t there;

	hang_ok(getcontext(&there));
	there.uc_stack.ss_sp = malloc(STACK_SZ);
	there.uc_stack.ss_size = STACK_SZ;
	there.uc_link = &back;
	makecontext(&there, coroutine, 0);
	hang_ok(swapcontext(&back, &there));
	HANG_NO_TAIL_CALL();
}

#endif

HANG_FRAME static int compare(const void *a, const void *b)
{
	take_mutex();
	return *(const int *)a - *(const int *)b;
}

HANG_FRAME static void sort(void)
{
	int number[] = { 3, 1, 2 };

	qsort(number, 3, sizeof(*number), compare);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static int descend(int left)
{
	int sum = left;

	if (left > 1)
		sum ^= 3 * descend(left - 1);
	else
		take_mutex();
	HANG_NO_TAIL_CALL();
	return sum;
}

HANG_FRAME static void dive(void)
{
	descend(DEEP);
	HANG_NO_TAIL_CALL();
}

static volatile int some = 1000; /* not known to the compiler */

HANG_FRAME static void touch(void *bytes, size_t sz)
{
	memset(bytes, 0xa5, sz);
}

HANG_FRAME static void in_alloca(void)
{
	touch(alloca((size_t)some), (size_t)some);
	take_mutex();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void in_array(int count)
{
	long array[count];

	touch(array, sizeof(array));
	take_mutex();
	touch(array, sizeof(array));
}

HANG_FRAME static void call_alloca(void)
{
	in_alloca();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void call_array(void)
{
	in_array(some);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void realigned(void)
{
	__attribute__((aligned(256))) char bytes[256];

	touch(bytes, sizeof(bytes));
	take_mutex();
	touch(bytes, sizeof(bytes));
}

/* The arguments on the stack have to be found again: by a register of their own, kept on the stack. */
HANG_FRAME static long realigned_array(long a, long b, long c, long d, long e, long f, long count)
{
	__attribute__((aligned(256))) char bytes[256];
	char array[count];

	touch(bytes, sizeof(bytes));
	touch(array, sizeof(array));
	take_mutex();
	touch(bytes, sizeof(bytes));
	return a + b + c + d + e + f + count + array[count - 1];
}

HANG_FRAME static void call_realigned(void)
{
	realigned();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void call_realigned_array(void)
{
	realigned_array(some, some, some, some, some, some, some);
	HANG_NO_TAIL_CALL();
}

/* --- the cases */

static const struct zoo_case {
	const char *how;
	void (*run)(void);
} zoo_cases[] = {
	{ "mutex", take_mutex },
	{ "rwlock", read_rwlock },
	{ "condvar", wait_opened },
	{ "semaphore", take_place },
	{ "join", join_keeper },
	{ "read", read_pipe },
	{ "poll", poll_pipe },
	{ "nanosleep", nap },
	{ "vfork", wait_for_child },
	{ "inlined", call_inlined },
	{ "handler", be_interrupted },
	{ "altstack", be_interrupted_on_altstack },
	{ "qsort", sort },
	{ "deep", dive },
	{ "alloca", call_alloca },
	{ "array", call_array },
	{ "realigned", call_realigned },
	{ "realigned-array", call_realigned_array },
#ifdef __GLIBC__
	{ "coroutine", switch_stacks },
#endif
#if defined(__x86_64__)
	{ "trap", trap },
	{ "generated", call_generated },
	{ "generated-bare", call_generated_bare },
#endif
};

#define ZOO_WAYS                                                                                  \
	"mutex rwlock condvar semaphore join read poll nanosleep vfork inlined handler altstack " \
	"qsort deep alloca array realigned realigned-array coroutine trap generated "             \
	"generated-bare"

HANG_FRAME static void visit(const struct zoo_case *animal)
{
	animal->run();
	HANG_NO_TAIL_CALL();
}

static const struct zoo_case *the_case(void)
{
	size_t i;

	for (i = 0; i < sizeof(zoo_cases) / sizeof(*zoo_cases); i++)
		if (hang_is(zoo_cases[i].how))
			return &zoo_cases[i];
	hang_die("not for this machine or C library", ENOSYS);
	return NULL;
}

HANG_FRAME static void *work(void *arg)
{
	hang_enter("visitor", "visit work");
	visit(arg);
	HANG_NO_TAIL_CALL();
	return arg;
}

static bool has_option(int *argc, char **argv, const char *option)
{
	int i;

	for (i = 1; i < *argc; i++) {
		if (strcmp(argv[i], option))
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
		(*argc)--;
		return true;
	}
	return false;
}

/* Waits now and then, too: only a process that has waited before has its stacks walked in the kernel. */
static void await_usr1(void)
{
	struct timespec until, zero = { 0, 0 };
	sigset_t signals;
	sem_t never;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	hang_ok(pthread_sigmask(SIG_BLOCK, &signals, NULL));
	hang_ok(sem_init(&never, 0, 0));
	while (sigtimedwait(&signals, NULL, &zero) < 0) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		sem_timedwait(&never, &until);
	}
}

/* Has what the visitor wants, tells of it, and stays. */
static void *keep(void *arg)
{
	hang_enter("keeper", "keep");
	hang_ok(pthread_mutex_lock(&zoo_mutex));
	hang_took(mutex_id);
	hang_ok(pthread_rwlock_wrlock(&zoo_rwlock));
	hang_took(rwlock_id);
	hang_arrive(1);
	hang_ready(1);
	return arg;
}

int main(int argc, char **argv)
{
	bool in_thread = has_option(&argc, argv, "--in-thread");
	const struct zoo_case *animal;
	bool on_usr1;

	on_usr1 = has_option(&argc, argv, "--on-usr1");
	hang_start(argc, argv, "stackzoo", ZOO_WAYS);
	animal = the_case();
	if (on_usr1)
		await_usr1();
	if (pipe(pipe_fds) || sem_init(&zoo_places, 0, 0))
		hang_die("pipe", errno);
	mutex_id = hang_lock("zoo_mutex", &zoo_mutex, sizeof(zoo_mutex), "mutex");
	rwlock_id = hang_lock("zoo_rwlock", &zoo_rwlock, sizeof(zoo_rwlock), "rwlock");
	cond_id = hang_lock("zoo_opened", &zoo_opened, sizeof(zoo_opened), "condvar");
	sem_id = hang_lock("zoo_places", &zoo_places, sizeof(zoo_places), "semaphore");
	keeper = hang_spawn(keep, NULL);
	hang_await(&hang_all->arrived, 1);
	if (!in_thread)
		visit(animal);
	hang_spawn(work, (void *)animal);
	for (;;)
		pause();
}
