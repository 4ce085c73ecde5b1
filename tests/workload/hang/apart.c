// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mutex in memory that two processes share, in the hands of a thread of another PID namespace, where it is number 1:
 * a number that means somebody else to the one who waits. Nothing is stuck for ever: the holder only sleeps.
 */
#include "hang.h"

int main(int argc, char **argv)
{
	pthread_mutex_t *lock;
	int id;

	hang_opt.how = "namespace";
	hang_start(argc, argv, "apart", "namespace");
	lock = hang_map(hang_file(), 0);
	hang_mutex(lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED,
		   PTHREAD_PROCESS_SHARED);
	id = hang_lock("lock", lock, sizeof(*lock), "mutex");
	hang_ok(unshare(CLONE_NEWPID));
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(hang_opt.seconds);
		hang_enter("inside", "main");
		hang_ok(pthread_mutex_lock(lock));
		hang_took(id);
		hang_arrive(1);
		for (;;)
			pause();
	}
	hang_await(&hang_all->arrived, 1);
	hang_will("futex", id);
	hang_print();
	hang_ok(pthread_mutex_lock(lock));
	return 0;
}
