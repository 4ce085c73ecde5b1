// SPDX-License-Identifier: GPL-2.0-only
/* A pool of workers that is idle most of the time: a job comes every few milliseconds. */
#include "truth.h"

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_nonempty = PTHREAD_COND_INITIALIZER;
static int queue_jobs; /* guarded by queue_lock, as are the next two */
static bool queue_closed;
static uint64_t queue_finished;
static int idle_site, signal_site, take_site, finish_site, add_site;

/* False: the queue is closed; jobs that are left in it stay there. */
TRUTH_FRAME static bool take_job(void)
{
	bool got;

	TRUTH_WAIT(take_site, truth_ok(pthread_mutex_lock(&queue_lock)));
	while (!queue_jobs && !queue_closed)
		TRUTH_WAIT(idle_site, truth_ok(pthread_cond_wait(&queue_nonempty, &queue_lock)));
	got = !queue_closed;
	queue_jobs -= got;
	truth_ok(pthread_mutex_unlock(&queue_lock));
	return got;
}

TRUTH_FRAME static void finish_job(void)
{
	TRUTH_WAIT(finish_site, truth_ok(pthread_mutex_lock(&queue_lock)));
	queue_finished++;
	truth_ok(pthread_mutex_unlock(&queue_lock));
}

TRUTH_FRAME static void add_jobs(int jobs, bool last)
{
	TRUTH_WAIT(add_site, truth_ok(pthread_mutex_lock(&queue_lock)));
	queue_jobs += jobs;
	queue_closed = last;
	truth_ok(pthread_mutex_unlock(&queue_lock));
	/* Signalled without the lock, so that who wakes up finds it free as a rule. */
	while (jobs--)
		TRUTH_WAIT(signal_site, truth_ok(pthread_cond_signal(&queue_nonempty)));
	if (last)
		TRUTH_WAIT(signal_site, truth_ok(pthread_cond_broadcast(&queue_nonempty)));
}

TRUTH_FRAME static void *worker(void *arg)
{
	while (take_job()) {
		truth_hold();
		finish_job();
	}
	truth_worker_ends();
	return arg;
}

TRUTH_FRAME static void *producer(void *arg)
{
	uint64_t rounds = 0;

	while (truth_more(&rounds)) {
		add_jobs(rounds % 8 ? 1 : 3, false);
		truth_pause();
	}
	add_jobs(0, true);
	truth_worker_ends();
	return arg;
}

static int queue_site(const char *functions)
{
	return truth_lock("queue_lock", &queue_lock, sizeof(queue_lock), "mutex", TRUTH_CONTENTION,
			  functions);
}

static int nonempty_site(const char *functions)
{
	return truth_lock("queue_nonempty", &queue_nonempty, sizeof(queue_nonempty), "condvar",
			  TRUTH_IDLE, functions);
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.pause_ns = 4000000;
	truth_start(argc, argv, "condvar");
	idle_site = nonempty_site("take_job worker");
	truth_includes(idle_site, "queue_lock");
	signal_site = nonempty_site("add_jobs producer");
	take_site = queue_site("take_job worker");
	finish_site = queue_site("finish_job worker");
	add_site = queue_site("add_jobs producer");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	truth_spawn(producer, NULL);
	return truth_finish();
}
