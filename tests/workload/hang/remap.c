// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program whose address space is mostly locked by a writer: one thread changes the protection of --threads MiB
 * (256), page by page, back and forth. Two others wait for each other's mutexes meanwhile. In a cgroup with little CPU
 * time it stays locked for seconds.
 */
#include "hang.h"

#define MIB (1UL << 20)

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t audit_lock = PTHREAD_MUTEX_INITIALIZER;

struct diner {
	const char *role;
	pthread_mutex_t *first, *second;
	int first_id, second_id;
};

HANG_FRAME static void *take_both(void *arg)
{
	const struct diner *diner = arg;

	hang_enter(diner->role, "take_both");
	hang_ok(pthread_mutex_lock(diner->first));
	hang_took(diner->first_id);
	hang_arrive(2);
	hang_will("futex", diner->second_id);
	hang_ok(pthread_mutex_lock(diner->second));
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *change(void *arg)
{
	size_t sz = hang_opt.threads * MIB;
	char *region = mmap(NULL, sz, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	hang_enter("writer", "change");
	if (region == MAP_FAILED)
		hang_die("mmap", errno);
	hang_ok(madvise(region, sz, MADV_NOHUGEPAGE)); /* with them there is little to change */
	memset(region, 1, sz);
	hang_moves();
	for (int protection = PROT_READ;; protection ^= PROT_WRITE)
		hang_ok(mprotect(region, sz, protection));
	return arg;
}

int main(int argc, char **argv)
{
	static struct diner diner[2];
	int ledger, audit;

	hang_opt.threads = 256;
	hang_opt.how = "two";
	hang_start(argc, argv, "remap", "two");
	ledger = hang_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex");
	audit = hang_lock("audit_lock", &audit_lock, sizeof(audit_lock), "mutex");
	diner[0] = (struct diner){ "teller", &ledger_lock, &audit_lock, ledger, audit };
	diner[1] = (struct diner){ "auditor", &audit_lock, &ledger_lock, audit, ledger };
	hang_spawn(take_both, &diner[0]);
	hang_spawn(take_both, &diner[1]);
	hang_spawn(change, NULL);
	hang_ready(3);
	return 0;
}
