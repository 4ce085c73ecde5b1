// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks whose owner ended without giving them back, and threads that wait for them. --how
 *   exit, cancel: a thread that ended by itself, or was cancelled
 *   process   a process, with a mutex in a file; a thread of another process waits, and a third process
 *   pi        a thread, with a mutex of the priority-inheriting sort
 *   reused    a thread, whose TID then went to another process
 *   robust    a thread, with a robust mutex: the next one got it, told so, and holds it. Nobody is stuck
 */
#include "hang.h"
#include <linux/sched.h>
#include <sys/wait.h>

#define WAITERS 2
#define APART	(1UL << 32) /* between the processes' mappings */

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_id;

struct block {
	char header[4096 + 64]; /* so that neither the page nor the offset in it is 0 */
	pthread_mutex_t lock;
};

HANG_FRAME static void *leave(void *arg)
{
	hang_enter("leaver", "leave");
	hang_ok(pthread_mutex_lock(&ledger_lock));
	hang_took(ledger_id);
	__atomic_store_n((int *)arg, hang_self->tid, __ATOMIC_RELEASE);
	while (hang_is("cancel"))
		pause();
	return NULL;
}

HANG_FRAME static void *wait_for_it(void *arg)
{
	hang_enter("waiter", "wait_for_it");
	hang_will("futex", ledger_id);
	hang_ok(pthread_mutex_lock(&ledger_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *inherit(void *arg)
{
	int rc;

	hang_enter("heir", "hang_sleep inherit");
	rc = pthread_mutex_lock(&ledger_lock);
	if (rc != EOWNERDEAD)
		hang_die("the owner's death", rc);
	hang_ok(pthread_mutex_consistent(&ledger_lock));
	hang_took(ledger_id);
	hang_arrive(1);
	hang_sleep();
	return arg;
}

/* The TID, once nobody has it any more, as that of a process. */
static void reuse(int tid)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid_size = 1 };
	int i, pid = -1;

	args.set_tid = (uint64_t)(uintptr_t)&tid;
	for (i = 0; i < 5000 && pid < 0; i++) {
		pid = (int)syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0 && errno != EEXIST)
			break;
		if (pid < 0)
			usleep(1000);
	}
	if (pid < 0)
		hang_die("clone3", errno);
	if (!pid) {
		hang_child("reuser", "hang_sleep reuse");
		hang_sleep();
	}
}

static void by_thread(void)
{
	bool robust = hang_is("robust");
	static int gone;
	pthread_t thread;
	int i, ready = WAITERS;

	hang_mutex(&ledger_lock, PTHREAD_MUTEX_NORMAL, hang_is("pi") ? PTHREAD_PRIO_INHERIT : 0,
		   robust ? PTHREAD_MUTEX_ROBUST : 0, 0);
	ledger_id = hang_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex");
	thread = hang_spawn(leave, &gone);
	hang_await(&gone, 1);
	if (hang_is("cancel"))
		hang_ok(pthread_cancel(thread));
	hang_ok(pthread_join(thread, NULL));
	if (hang_is("reused")) {
		reuse(gone);
		ready++;
	}
	if (robust) {
		hang_spawn(inherit, NULL);
		hang_await(&hang_all->arrived, 1);
		ready++;
	}
	for (i = 0; i < WAITERS; i++)
		hang_spawn(wait_for_it, NULL);
	hang_ready(ready);
}

HANG_FRAME static void wait_for_shared(struct block *block, int id)
{
	hang_will("futex", id);
	hang_ok(pthread_mutex_lock(&block->lock));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void *wait_in_thread(void *arg)
{
	struct block *block = arg;

	hang_enter("parent's", "wait_for_shared wait_in_thread");
	wait_for_shared(block, ledger_id);
	HANG_NO_TAIL_CALL();
	return arg;
}

static int start_process(void)
{
	int pid = fork();

	if (pid < 0)
		hang_die("fork", errno);
	return pid;
}

static void by_process(void)
{
	int pid, fd = hang_file();
	struct block *block = hang_map(fd, 3 * APART);

	hang_mutex(&block->lock, PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED);
	ledger_id = hang_lock("lock", &block->lock, sizeof(block->lock), "mutex");
	pid = start_process();
	if (!pid) {
		hang_child("leaver", "main");
		hang_ok(pthread_mutex_lock(&block->lock));
		hang_took(ledger_id);
		_exit(0);
	}
	if (waitpid(pid, NULL, 0) != pid)
		hang_die("waitpid", errno);
	if (!start_process()) {
		block = hang_map(fd, 5 * APART);
		hang_child("other", "wait_for_shared main");
		wait_for_shared(block,
				hang_lock("lock", &block->lock, sizeof(block->lock), "mutex"));
		_exit(1);
	}
	hang_spawn(wait_in_thread, block);
	hang_ready(2);
}

int main(int argc, char **argv)
{
	hang_opt.how = "exit";
	hang_start(argc, argv, "orphan", "exit cancel process pi reused robust");
	if (hang_is("process"))
		by_process();
	else
		by_thread();
}
