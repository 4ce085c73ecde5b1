// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock orders after the classic cases of the literature on lock-order checkers: good ones and bad ones. No run hangs:
 * threads that could meet run one after the other.
 *
 *     order CASE [--wait]
 *
 * --wait: for a line on stdin, so that one can attach first.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define FORKS	 5

static pthread_mutex_t ledger = PTHREAD_MUTEX_INITIALIZER, audit = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t wal = PTHREAD_MUTEX_INITIALIZER, gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t catalog = PTHREAD_RWLOCK_INITIALIZER,
			index_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t shared_gate = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t fork_lock[FORKS];
static pthread_mutex_t nested;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;

static void check(int err)
{
	if (err) {
		fprintf(stderr, "order: %s\n", strerror(err));
		exit(1);
	}
}

static void lock(pthread_mutex_t *m)
{
	check(pthread_mutex_lock(m));
}

static void unlock(pthread_mutex_t *m)
{
	check(pthread_mutex_unlock(m));
}

NOINLINE static void both(pthread_mutex_t *first, pthread_mutex_t *second)
{
	lock(first);
	lock(second);
	unlock(second);
	unlock(first);
}

NOINLINE static void *ledger_then_audit(void *arg)
{
	both(&ledger, &audit);
	return arg;
}

NOINLINE static void *audit_then_ledger(void *arg)
{
	both(&audit, &ledger);
	return arg;
}

NOINLINE static void *audit_then_wal(void *arg)
{
	both(&audit, &wal);
	return arg;
}

NOINLINE static void *wal_then_ledger(void *arg)
{
	both(&wal, &ledger);
	return arg;
}

static void *behind_gate(void *(*start)(void *))
{
	lock(&gate);
	start(NULL);
	unlock(&gate);
	return NULL;
}

static void *ledger_then_audit_gated(void *arg __attribute__((unused)))
{
	return behind_gate(ledger_then_audit);
}

static void *audit_then_ledger_gated(void *arg __attribute__((unused)))
{
	return behind_gate(audit_then_ledger);
}

static void *behind_shared_gate(void *(*start)(void *), int write)
{
	check(write ? pthread_rwlock_wrlock(&shared_gate) : pthread_rwlock_rdlock(&shared_gate));
	start(NULL);
	check(pthread_rwlock_unlock(&shared_gate));
	return NULL;
}

static void *ledger_then_audit_reading(void *arg __attribute__((unused)))
{
	return behind_shared_gate(ledger_then_audit, 0);
}

static void *audit_then_ledger_reading(void *arg __attribute__((unused)))
{
	return behind_shared_gate(audit_then_ledger, 0);
}

static void *audit_then_ledger_writing(void *arg __attribute__((unused)))
{
	return behind_shared_gate(audit_then_ledger, 1);
}

static void *audit_then_try_ledger(void *arg)
{
	lock(&audit);
	check(pthread_mutex_trylock(&ledger));
	unlock(&ledger);
	unlock(&audit);
	return arg;
}

static void *audit_then_timed_ledger(void *arg)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	lock(&audit);
	check(pthread_mutex_timedlock(&ledger, &until));
	unlock(&ledger);
	unlock(&audit);
	return arg;
}

/* Got by trying, it is held like any other: who then waits can wait for ever. */
static void *try_audit_then_ledger(void *arg)
{
	check(pthread_mutex_trylock(&audit));
	lock(&ledger);
	unlock(&ledger);
	unlock(&audit);
	return arg;
}

static void rw(pthread_rwlock_t *first, int first_writes, pthread_rwlock_t *second,
	       int second_writes)
{
	check(first_writes ? pthread_rwlock_wrlock(first) : pthread_rwlock_rdlock(first));
	check(second_writes ? pthread_rwlock_wrlock(second) : pthread_rwlock_rdlock(second));
	check(pthread_rwlock_unlock(second));
	check(pthread_rwlock_unlock(first));
}

static void *read_both(void *arg)
{
	rw(&catalog, 0, &index_lock, 0);
	return arg;
}

static void *read_both_back(void *arg)
{
	rw(&index_lock, 0, &catalog, 0);
	return arg;
}

static void *read_then_write(void *arg)
{
	rw(&catalog, 0, &index_lock, 1);
	return arg;
}

static void *read_then_write_back(void *arg)
{
	rw(&index_lock, 0, &catalog, 1);
	return arg;
}

static void *dine(void *arg)
{
	size_t i = (size_t)arg;

	both(&fork_lock[i], &fork_lock[(i + 1) % FORKS]);
	return NULL;
}

/* The last one takes the lower fork first, as all others do. */
static void *dine_in_order(void *arg)
{
	size_t i = (size_t)arg;

	if (i == FORKS - 1)
		both(&fork_lock[0], &fork_lock[i]);
	else
		dine(arg);
	return NULL;
}

static void *nested_and_ledger(void *arg)
{
	lock(&nested);
	lock(&ledger);
	lock(&nested); /* its own again: it can't wait for that */
	unlock(&nested);
	unlock(&ledger);
	unlock(&nested);
	return arg;
}

/* Waits with a timeout that is over at once: the wait takes `ledger` back while `audit` is held. */
static void *wait_with_both(void *arg)
{
	struct timespec over = { 0 };

	lock(&ledger);
	lock(&audit);
	check(pthread_cond_timedwait(&ready, &ledger, &over) == ETIMEDOUT ? 0 : EPROTO);
	unlock(&audit);
	unlock(&ledger);
	return arg;
}

/* One after the other. */
static void run(void *(*start)(void *), size_t arg)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, start, (void *)arg));
	check(pthread_join(thread, NULL));
}

struct lock_case {
	const char *name;
	void *(*start[4])(void *);
};

static const struct lock_case cases[] = {
	{ "ordered", { ledger_then_audit, ledger_then_audit, audit_then_wal } },
	{ "inverted", { ledger_then_audit, audit_then_ledger } },
	{ "three", { ledger_then_audit, audit_then_wal, wal_then_ledger } },
	{ "gate", { ledger_then_audit_gated, audit_then_ledger_gated } },
	{ "half-gate", { ledger_then_audit_gated, audit_then_ledger } },
	{ "reading-gate", { ledger_then_audit_reading, audit_then_ledger_reading } },
	{ "writing-gate", { ledger_then_audit_reading, audit_then_ledger_writing } },
	{ "try", { ledger_then_audit, audit_then_try_ledger } },
	{ "timed", { ledger_then_audit, audit_then_timed_ledger } },
	{ "tried-first", { ledger_then_audit, try_audit_then_ledger } },
	{ "readers", { read_both, read_both_back } },
	{ "writers", { read_then_write, read_then_write_back } },
	{ "recursive", { nested_and_ledger } },
	{ "condvar", { wait_with_both } },
};

static void dinner(void *(*start)(void *))
{
	for (size_t i = 0; i < FORKS; i++)
		check(pthread_mutex_init(&fork_lock[i], NULL));
	for (size_t i = 0; i < FORKS; i++)
		run(start, i);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	pthread_mutexattr_t attr;
	char line[16];

	if (argc > 2 && !strcmp(argv[2], "--wait") && !fgets(line, sizeof(line), stdin))
		return 1;

	check(pthread_mutexattr_init(&attr));
	check(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE));
	check(pthread_mutex_init(&nested, &attr));
	if (!strcmp(name, "philosophers")) {
		dinner(dine);
		return 0;
	}
	if (!strcmp(name, "polite-philosophers")) {
		dinner(dine_in_order);
		return 0;
	}
	if (!strcmp(name, "one-thread")) {
		ledger_then_audit(NULL);
		audit_then_ledger(NULL);
		return 0;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(cases[i].name, name)) {
			for (int k = 0; k < 4 && cases[i].start[k]; k++)
				run(cases[i].start[k], 0);
			return 0;
		}
	fprintf(stderr, "order: unknown case\n");
	return 2;
}
