// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread starts programs while the others wait for the lock it has: by fork() and exec, and by
 * posix_spawn(). The children get the memory with the lock taken; none of their doings is a wait of ours.
 */
#include "truth.h"
#include <spawn.h>
#include <sys/wait.h>

static pthread_mutex_t forge_lock = PTHREAD_MUTEX_INITIALIZER;
static int work_site, fork_site;

TRUTH_FRAME static void use_forge(void)
{
	TRUTH_WAIT(work_site, truth_ok(pthread_mutex_lock(&forge_lock)));
	truth_took(work_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&forge_lock));
}

/* This program's own other way: says nothing, and starts no thread. */
static pid_t start_program(bool by_fork)
{
	static char *const args[] = { (char *)"forker", (char *)"--how", (char *)"nothing", NULL };
	pid_t pid = -1;

	if (!by_fork) {
		truth_ok(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ));
		return pid;
	}
	pid = fork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(127);
	}
	if (pid < 0)
		truth_die("fork", errno);
	return pid;
}

/* The lock is held meanwhile, so that nobody touches memory that fork() copies, but for the pauses. */
TRUTH_FRAME static void run_program(bool by_fork)
{
	int status;
	pid_t pid;

	TRUTH_WAIT(fork_site, truth_ok(pthread_mutex_lock(&forge_lock)));
	truth_took(fork_site);
	truth_sleep(1000000); /* until they all sleep */
	pid = start_program(by_fork);
	if (waitpid(pid, &status, 0) < 0 || status)
		truth_die("the program", ECHILD);
	truth_ok(pthread_mutex_unlock(&forge_lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		use_forge();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

TRUTH_FRAME static void *forker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		run_program(calls % 2);
		truth_sleep(10000000);
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_start(argc, argv, "forker");
	if (truth_opt.how) /* nothing */
		return 0;
	work_site = truth_lock("forge_lock", &forge_lock, sizeof(forge_lock), "mutex",
			       TRUTH_CONTENTION, "use_forge worker");
	fork_site = truth_lock("forge_lock", &forge_lock, sizeof(forge_lock), "mutex",
			       TRUTH_CONTENTION, "run_program forker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	truth_spawn(forker, NULL);
	return truth_finish();
}
