// SPDX-License-Identifier: GPL-2.0-only
/* Phases of work, with a barrier after each. The threads take different time for theirs. */
#include "truth.h"

static pthread_barrier_t phase_barrier;
static int phase_site;
static bool last_phase[2]; /* by the phase's parity: a thread can be one phase ahead, not two */

TRUTH_FRAME static void end_phase(void)
{
	int rc;

	TRUTH_WAIT(phase_site, rc = pthread_barrier_wait(&phase_barrier));
	truth_ok(rc == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : rc);
}

TRUTH_FRAME static void *worker(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t phases = 0, asked = 0;
	bool last;

	do {
		truth_sleep(truth_opt.hold_ns * (uint64_t)(1 + i) / 2);
		/* All must leave after the same phase, so one of them decides. */
		if (i == 0)
			last_phase[phases % 2] = !truth_more(&asked);
		end_phase();
		last = last_phase[phases++ % 2];
	} while (!last);
	truth_worker_ends();
	return NULL;
}

int main(int argc, char **argv)
{
	int i;

	truth_start(argc, argv, "barrier");
	truth_ok(pthread_barrier_init(&phase_barrier, NULL, (unsigned int)truth_opt.threads));
	phase_site = truth_lock("phase_barrier", &phase_barrier, sizeof(phase_barrier), "barrier",
				TRUTH_NEITHER, "end_phase worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, (void *)(intptr_t)i);
	return truth_finish();
}
