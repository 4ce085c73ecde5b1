// SPDX-License-Identifier: GPL-2.0-only
/* A semaphore with two slots, or with --how one as few as that, for all threads. */
#include "truth.h"
#include <semaphore.h>

static sem_t slots;
static int slots_site;

TRUTH_FRAME static void take_slot(void)
{
	TRUTH_WAIT(slots_site, truth_ok(sem_wait(&slots)));
	truth_hold();
	truth_ok(sem_post(&slots));
}

TRUTH_FRAME static void serve_guest(void)
{
	take_slot();
	TRUTH_NO_TAIL_CALL();
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t guests = 0;

	while (truth_more(&guests)) {
		serve_guest();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_start(argc, argv, "sem");
	truth_ok(sem_init(&slots, 0, truth_opt.how && !strcmp(truth_opt.how, "one") ? 1 : 2));
	slots_site = truth_lock("slots", &slots, sizeof(slots), "semaphore", TRUTH_CONTENTION,
				"take_slot serve_guest worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
