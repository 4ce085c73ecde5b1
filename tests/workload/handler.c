// SPDX-License-Identifier: GPL-2.0-only
/* One mutex that every thread wants inside a signal handler, which interrupts a call into libc. */
#include <signal.h>

#include "truth.h"

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_site;
static uint64_t ledger_balance;

/* The signal is the thread's own, sent in a call that holds nothing: the handler may do what any code may. */
TRUTH_FRAME static void on_order(int signo)
{
	TRUTH_WAIT(ledger_site, truth_ok(pthread_mutex_lock(&ledger_lock)));
	ledger_balance += signo;
	truth_hold();
	truth_ok(pthread_mutex_unlock(&ledger_lock));
}

TRUTH_FRAME static void send_order(void)
{
	truth_ok(raise(SIGUSR2));
	TRUTH_NO_TAIL_CALL();
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t orders = 0;

	while (truth_more(&orders)) {
		send_order();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_order };
	int i;

	truth_start(argc, argv, "handler");
	truth_ok(sigaction(SIGUSR2, &action, NULL));
	ledger_site = truth_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex",
				 TRUTH_CONTENTION, "on_order send_order worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
