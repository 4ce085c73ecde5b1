// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that wait for a lock when their process ends, so that they never come back from the call:
 * --how kill (SIGKILL from outside), exec (another thread runs a program), exit (another one leaves).
 * The threads say when they began; their parent, which ends them, knows when it was over.
 */
#include "truth.h"
#include <sys/wait.h>

#define WAITERS 3

static struct shared {
	uint64_t start_ns[WAITERS], end_ns;
	pid_t tid[WAITERS]; /* set once start_ns is */
	bool end_yourself;
	int site;
} * shared;

static pthread_mutex_t lasting_lock = PTHREAD_MUTEX_INITIALIZER;

TRUTH_FRAME static void wait_in_vain(int i)
{
	shared->start_ns[i] = truth_now_ns();
	__atomic_store_n(&shared->tid[i], (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	truth_ok(pthread_mutex_lock(&lasting_lock));
}

TRUTH_FRAME static void *waiter(void *arg)
{
	wait_in_vain((int)(intptr_t)arg);
	TRUTH_NO_TAIL_CALL();
	return NULL;
}

/* The lock is this thread's for good. */
static void *keeper(void *arg)
{
	long i;

	truth_ok(pthread_mutex_lock(&lasting_lock));
	truth_took(shared->site);
	for (i = 0; i < WAITERS; i++)
		truth_spawn(waiter, (void *)i);
	while (!__atomic_load_n(&shared->end_yourself, __ATOMIC_ACQUIRE))
		truth_sleep(1000000);
	shared->end_ns = truth_now_ns();
	if (!strcmp(truth_opt.how, "exec"))
		execl("/proc/self/exe", "ended", "--how", "nothing", NULL);
	_exit(0);
	return arg;
}

static void run_child(void)
{
	truth_warm(); /* memory locks are not inherited */
	shared->site = truth_lock("lasting_lock", &lasting_lock, sizeof(lasting_lock), "mutex",
				  TRUTH_CONTENTION, "wait_in_vain waiter");
	truth_spawn(keeper, NULL);
	for (;;)
		truth_sleep(1000000000);
}

/* What the third member of /proc/TID/stat says, after the name, which may hold anything. */
static bool sleeps(pid_t tid)
{
	char path[40], text[512];
	const char *after;
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	file = fopen(path, "re");
	if (!file)
		truth_die(path, errno);
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	after = strrchr(text, ')');
	return after && !strncmp(after, ") S", 3);
}

static void wait_for_sleepers(void)
{
	int i;

	for (i = 0; i < WAITERS; i++) {
		pid_t tid;

		do {
			truth_sleep(1000000);
			tid = __atomic_load_n(&shared->tid[i], __ATOMIC_ACQUIRE);
		} while (!tid || !sleeps(tid));
	}
}

/* Each waiter slept once, until now. */
static void count_waits(void)
{
	struct truth_site *site = &truth_all->site[shared->site];
	int i;

	for (i = 0; i < WAITERS; i++) {
		uint64_t wait_ns = shared->end_ns - shared->start_ns[i];

		site->attempts++;
		site->slept++;
		site->sleeps++;
		site->wait_ns += wait_ns;
		if (wait_ns > site->max_ns)
			site->max_ns = wait_ns;
	}
}

static int run_one(void)
{
	bool from_outside = !strcmp(truth_opt.how, "kill");
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (pid < 0)
		truth_die("fork", errno);
	if (!pid)
		run_child();
	wait_for_sleepers();
	truth_hold();
	shared->end_ns = truth_now_ns();
	if (from_outside)
		truth_ok(kill(pid, SIGKILL));
	else
		__atomic_store_n(&shared->end_yourself, true, __ATOMIC_RELEASE);
	if (waitpid(pid, &status, 0) < 0)
		truth_die("waitpid", errno);
	count_waits();
	if (from_outside ? WIFSIGNALED(status) : !status)
		return 0;
	fprintf(stderr, "ended: a child ended with status 0x%x\n", status);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t children = 0;

	truth_opt.how = "kill";
	truth_opt.seconds = 0;
	truth_opt.count = 10; /* children */
	truth_opt.hold_ns = 50000000;
	truth_start(argc, argv, "ended");
	if (!strcmp(truth_opt.how, "nothing"))
		return 0;
	if (strcmp(truth_opt.how, "kill") && strcmp(truth_opt.how, "exec") &&
	    strcmp(truth_opt.how, "exit")) {
		fprintf(stderr, "ended: --how kill, exec or exit\n");
		return 2;
	}
	shared = (struct shared *)mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		truth_die("mmap", errno);
	while (!truth_signalled(0, 0) && truth_all->sites < TRUTH_MAX_SITES &&
	       truth_more(&children))
		if (run_one())
			return 1;
	return truth_print();
}
