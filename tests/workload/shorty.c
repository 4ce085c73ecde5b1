// SPDX-License-Identifier: GPL-2.0-only
/* Processes that are gone before anyone reports on them: 20 of 30 ms each, one after another. */
#include "truth.h"
#include <sys/wait.h>

static pthread_mutex_t brief_lock = PTHREAD_MUTEX_INITIALIZER;
static int brief_site;

TRUTH_FRAME static void contend(void)
{
	TRUTH_WAIT(brief_site, truth_ok(pthread_mutex_lock(&brief_lock)));
	truth_hold();
	truth_ok(pthread_mutex_unlock(&brief_lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		contend();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

static void run_child(void)
{
	int i;

	truth_warm(); /* memory locks are not inherited */
	brief_site = truth_lock("brief_lock", &brief_lock, sizeof(brief_lock), "mutex",
				TRUTH_CONTENTION, "contend worker");
	truth_opt.seconds = 0.03;
	truth_opt.count = 0;
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	truth_collect();
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t children = 0;
	int status;

	truth_opt.threads = 3;
	truth_opt.seconds = 0;
	truth_opt.count = 20; /* children */
	truth_start(argc, argv, "shorty");
	while (!truth_signalled(0, 0) && truth_all->sites < TRUTH_MAX_SITES &&
	       truth_more(&children)) {
		pid_t pid = fork();

		if (pid < 0)
			truth_die("fork", errno);
		if (!pid)
			run_child();
		if (waitpid(pid, &status, 0) < 0)
			truth_die("waitpid", errno);
		if (status) {
			fprintf(stderr, "shorty: a child ended with status 0x%x\n", status);
			return 1;
		}
	}
	return truth_finish();
}
