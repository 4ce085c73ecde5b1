// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that wait for each other's locks in a circle. --how
 *   two       two mutexes; --threads N more threads wait behind one of them
 *   pi        the same two, of the priority-inheriting sort
 *   five      five threads at a table, each with the lock to its left
 *   rwlock    one waits for a mutex, whose owner waits to read what the first one writes
 *   processes two processes, with mutexes in a file that each maps elsewhere
 *   self      a mutex locked twice, and a thread that waits behind
 *   recursive, errorcheck: the same with sorts of mutex that allow it or refuse: nobody is stuck
 */
#include "hang.h"

#define DINERS 5
#define APART  (1UL << 32) /* between the processes' mappings */

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t audit_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t forks[DINERS];
static pthread_rwlock_t catalog_lock = PTHREAD_RWLOCK_INITIALIZER;

struct diner {
	char role[16];
	pthread_mutex_t *first, *second;
	int first_id, second_id;
	int diners;
};

HANG_FRAME static void take_second(const struct diner *diner)
{
	hang_will("futex", diner->second_id);
	hang_ok(pthread_mutex_lock(diner->second));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void take_both(const struct diner *diner)
{
	hang_ok(pthread_mutex_lock(diner->first));
	hang_took(diner->first_id);
	hang_arrive(diner->diners);
	take_second(diner);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void *dine(void *arg)
{
	const struct diner *diner = arg;

	hang_enter(diner->role, "take_second take_both dine");
	take_both(diner);
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *wait_behind(void *arg)
{
	hang_enter("behind", "wait_behind");
	hang_will("futex", *(int *)arg);
	hang_ok(pthread_mutex_lock(&ledger_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void two(void)
{
	static struct diner diner[2];
	static int ledger;
	int i, audit;

	if (hang_is("pi")) {
		hang_mutex(&ledger_lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0);
		hang_mutex(&audit_lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0);
	}
	ledger = hang_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex");
	audit = hang_lock("audit_lock", &audit_lock, sizeof(audit_lock), "mutex");
	diner[0] = (struct diner){ "teller", &ledger_lock, &audit_lock, ledger, audit, 2 };
	diner[1] = (struct diner){ "auditor", &audit_lock, &ledger_lock, audit, ledger, 2 };
	for (i = 0; i < 2; i++)
		hang_spawn(dine, &diner[i]);
	hang_await(&hang_all->ready, 2);
	for (i = 0; i < hang_opt.threads; i++)
		hang_spawn(wait_behind, &ledger);
	hang_ready(2 + hang_opt.threads);
}

static void five(void)
{
	static struct diner diner[DINERS];
	int i, id[DINERS];

	for (i = 0; i < DINERS; i++) {
		hang_ok(pthread_mutex_init(&forks[i], NULL));
		id[i] = hang_lock_of("forks", forks, i, sizeof(forks[0]), "mutex");
	}
	for (i = 0; i < DINERS; i++) {
		int next = (i + 1) % DINERS;

		diner[i] = (struct diner){ "", &forks[i], &forks[next], id[i], id[next], DINERS };
		snprintf(diner[i].role, sizeof(diner[i].role), "diner-%d", i);
		hang_spawn(dine, &diner[i]);
	}
	hang_ready(DINERS);
}

static int catalog_id, index_id;
static pthread_mutex_t index_lock = PTHREAD_MUTEX_INITIALIZER;

HANG_FRAME static void *write_catalog(void *arg)
{
	hang_enter("writer", "write_catalog");
	hang_ok(pthread_rwlock_wrlock(&catalog_lock));
	hang_took(catalog_id);
	hang_arrive(2);
	hang_will("futex", index_id);
	hang_ok(pthread_mutex_lock(&index_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *read_catalog(void *arg)
{
	hang_enter("indexer", "read_catalog");
	hang_ok(pthread_mutex_lock(&index_lock));
	hang_took(index_id);
	hang_arrive(2);
	hang_will("futex", catalog_id);
	hang_ok(pthread_rwlock_rdlock(&catalog_lock));
	HANG_NO_TAIL_CALL();
	return arg;
}

static void rwlock(void)
{
	catalog_id = hang_lock("catalog_lock", &catalog_lock, sizeof(catalog_lock), "rwlock");
	index_id = hang_lock("index_lock", &index_lock, sizeof(index_lock), "mutex");
	hang_spawn(write_catalog, NULL);
	hang_spawn(read_catalog, NULL);
	hang_ready(2);
}

struct block {
	char header[4096 + 64]; /* so that neither the page nor the offset in it is 0 */
	pthread_mutex_t left, right;
};

HANG_FRAME static void run_process(int fd, bool is_left)
{
	struct block *block = hang_map(fd, (is_left ? 3 : 5) * APART);
	int left, right;
	struct diner diner;

	hang_child(is_left ? "left" : "right", "take_second take_both run_process");
	left = hang_lock("left", &block->left, sizeof(block->left), "mutex");
	right = hang_lock("right", &block->right, sizeof(block->right), "mutex");
	if (is_left)
		diner = (struct diner){ "", &block->left, &block->right, left, right, 2 };
	else
		diner = (struct diner){ "", &block->right, &block->left, right, left, 2 };
	take_both(&diner);
	_exit(1);
}

static void processes(void)
{
	int i, pid, fd = hang_file();
	struct block *block = hang_map(fd, 7 * APART);

	hang_mutex(&block->left, PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED);
	hang_mutex(&block->right, PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED);
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (pid < 0)
			hang_die("fork", errno);
		if (!pid)
			run_process(fd, i == 0);
	}
	hang_ready(2);
}

HANG_FRAME static void lock_again(int id)
{
	int rc;

	if (hang_is("self"))
		hang_will("futex", id);
	rc = pthread_mutex_lock(&ledger_lock);
	if (hang_is("errorcheck") ? rc != EDEADLK : rc)
		hang_die("locked twice", rc);
}

HANG_FRAME static void *lock_twice(void *arg)
{
	int id = *(int *)arg;

	hang_enter("again", hang_is("self") ? "lock_again lock_twice" : "hang_sleep lock_twice");
	hang_ok(pthread_mutex_lock(&ledger_lock));
	hang_took(id);
	hang_arrive(1);
	lock_again(id);
	hang_sleep();
	return arg;
}

static void self(void)
{
	int type = hang_is("recursive")	   ? PTHREAD_MUTEX_RECURSIVE
		   : hang_is("errorcheck") ? PTHREAD_MUTEX_ERRORCHECK
					   : PTHREAD_MUTEX_NORMAL;
	static int id;

	hang_mutex(&ledger_lock, type, 0, 0, 0);
	id = hang_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex");
	hang_spawn(lock_twice, &id);
	hang_await(&hang_all->arrived, 1);
	hang_spawn(wait_behind, &id);
	hang_ready(2);
}

int main(int argc, char **argv)
{
	hang_opt.how = "two";
	hang_start(argc, argv, "cycle", "two pi five rwlock processes self recursive errorcheck");
	if (hang_is("two") || hang_is("pi"))
		two();
	else if (hang_is("five"))
		five();
	else if (hang_is("rwlock"))
		rwlock();
	else if (hang_is("processes"))
		processes();
	else
		self();
}
