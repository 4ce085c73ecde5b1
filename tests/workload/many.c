// SPDX-License-Identifier: GPL-2.0-only
/* An array of mutexes, the first ones hotter than the last ones. */
#include "truth.h"

#define STRIPES 64

static pthread_mutex_t stripes[STRIPES];
static int stripe_site[STRIPES];

TRUTH_FRAME static void lock_stripe(int i)
{
	TRUTH_WAIT(stripe_site[i], truth_ok(pthread_mutex_lock(&stripes[i])));
	truth_hold();
	truth_ok(pthread_mutex_unlock(&stripes[i]));
}

/* Skewed: the product of two is small more often than not. */
static int choose_stripe(void)
{
	return (int)(truth_random(STRIPES) * truth_random(STRIPES) / STRIPES);
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		lock_stripe(choose_stripe());
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.threads = 12;
	truth_start(argc, argv, "many");
	for (i = 0; i < STRIPES; i++) {
		truth_ok(pthread_mutex_init(&stripes[i], NULL));
		stripe_site[i] = truth_lock_of("stripes", stripes, i, sizeof(stripes[0]), "mutex",
					       TRUTH_CONTENTION, "lock_stripe worker");
	}
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
