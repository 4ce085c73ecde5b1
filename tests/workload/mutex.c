// SPDX-License-Identifier: GPL-2.0-only
/* One mutex that every thread wants all the time, taken three calls deep. */
#include "truth.h"

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_site;
static uint64_t ledger_balance;

TRUTH_FRAME static void update_ledger(uint64_t amount)
{
	TRUTH_WAIT(ledger_site, truth_ok(pthread_mutex_lock(&ledger_lock)));
	ledger_balance += amount;
	truth_hold();
	truth_ok(pthread_mutex_unlock(&ledger_lock));
}

TRUTH_FRAME static void handle_order(uint64_t order)
{
	update_ledger(order % 100);
	TRUTH_NO_TAIL_CALL();
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t orders = 0;

	while (truth_more(&orders)) {
		handle_order(orders);
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_start(argc, argv, "mutex");
	ledger_site = truth_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex",
				 TRUTH_CONTENTION, "update_ledger handle_order worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
