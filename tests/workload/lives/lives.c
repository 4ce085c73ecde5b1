// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads whose lives are known: lives WAY [--count N] [--wait-for-usr1] [--stay]. Each way creates N threads (20) at
 * a place of its own; what became of them is printed as JSON at the end: function and line of that place, how many
 * were created there and ended, how, and how many nobody has joined. --stay: SIGTERM ends it after all that, so that
 * it can be looked at. Nothing here is timed: what has to have happened is waited for, a minute at most.
 */
#include "lives.h"

/* ---- ways */

FRAME static void make_joined(pthread_t *t)
{
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], NULL, quick, i, "returned");
		ok("pthread_join", pthread_join(t[i], NULL));
		LAST_SITE->exited++;
	}
}

/* Joined long after the end. */
FRAME static void make_joined_late(pthread_t *t)
{
	for (int i = 0; i < count; i++)
		CREATE(&t[i], NULL, quick, i, "returned");
	for (int i = 0; i < count; i++)
		WAIT_FOR(is_gone(i));
	for (int i = 0; i < count; i++, LAST_SITE->exited++)
		ok("pthread_join", pthread_join(t[i], NULL));
}

FRAME static void make_unjoined(pthread_t *t)
{
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], NULL, quick, i, "returned");
		WAIT_FOR(is_gone(i));
		LAST_SITE->exited++;
		LAST_SITE->unjoined++;
	}
}

FRAME static void make_detached_before_end(pthread_t *t)
{
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], NULL, patient, i, "returned");
		ok("pthread_detach", pthread_detach(t[i]));
	}
	told = 1;
	for (int i = 0; i < count; i++, LAST_SITE->exited++)
		WAIT_FOR(is_gone(i));
}

FRAME static void make_detached_after_end(pthread_t *t)
{
	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(&t[i], NULL, quick, i, "returned");
		WAIT_FOR(is_gone(i));
		ok("pthread_detach", pthread_detach(t[i]));
	}
}

/* Detached at once: before the end or after it, as it happens. */
FRAME static void make_detached_anyhow(pthread_t *t)
{
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], NULL, quick, i, "returned");
		ok("pthread_detach", pthread_detach(t[i]));
	}
	for (int i = 0; i < count; i++, LAST_SITE->exited++)
		WAIT_FOR(is_gone(i));
}

FRAME static void make_detached_by_attribute(pthread_t *t)
{
	pthread_attr_t attr;

	ok("pthread_attr_init", pthread_attr_init(&attr));
	ok("setdetachstate", pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	for (int i = 0; i < count; i++)
		CREATE(&t[i], &attr, quick, i, "returned");
	for (int i = 0; i < count; i++, LAST_SITE->exited++)
		WAIT_FOR(is_gone(i));
}

/* The attribute says joinable, and something else. */
FRAME static void make_with_attribute(pthread_t *t)
{
	pthread_attr_t attr;

	ok("pthread_attr_init", pthread_attr_init(&attr));
	ok("setstacksize", pthread_attr_setstacksize(&attr, 256 * 1024));
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], &attr, quick, i, "returned");
		WAIT_FOR(is_gone(i));
		LAST_SITE->exited++;
		LAST_SITE->unjoined++;
	}
}

FRAME static void make_exited(pthread_t *t)
{
	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(&t[i], NULL, quick_exit_thread, i, "exited");
		ok("pthread_join", pthread_join(t[i], NULL));
	}
}

FRAME static void make_cancelled(pthread_t *t)
{
	void *result;

	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(&t[i], NULL, endless, i, "cancelled");
		WAIT_FOR(tids[i]);
		ok("pthread_cancel", pthread_cancel(t[i]));
		ok("pthread_join", pthread_join(t[i], &result));
		if (result != PTHREAD_CANCELED)
			die("it was not cancelled", EINVAL);
	}
}

static struct timespec in_20_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 20000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

/* A timed join that fails, and one that succeeds; for every other thread the first was all. */
FRAME static void make_timed(pthread_t *t)
{
	struct timespec late;

	for (int i = 0; i < count; i++) {
		told = 0;
		CREATE(&t[i], NULL, patient, i, "returned");
		late = in_20_ms();
		if (pthread_timedjoin_np(t[i], NULL, &late) != ETIMEDOUT)
			die("pthread_timedjoin_np", EINVAL);
		/* The deadline and the end are not to be one moment. */
		for (int k = 0; k < 500; k++)
			moment();
		told = 1;
		if (i % 2) {
			WAIT_FOR(is_gone(i));
			LAST_SITE->unjoined++;
		} else {
			late = in_20_ms();
			late.tv_sec += 60;
			ok("pthread_timedjoin_np", pthread_timedjoin_np(t[i], NULL, &late));
		}
		LAST_SITE->exited++;
	}
}

FRAME static void make_tried(pthread_t *t)
{
	int err;

	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(&t[i], NULL, quick, i, "returned");
		do
			err = pthread_tryjoin_np(t[i], NULL);
		while (err == EBUSY);
		ok("pthread_tryjoin_np", err);
	}
}

/* Only asked for, while they live. */
FRAME static void make_tried_in_vain(pthread_t *t)
{
	for (int i = 0; i < count; i++) {
		CREATE(&t[i], NULL, patient, i, "returned");
		if (pthread_tryjoin_np(t[i], NULL) != EBUSY)
			die("pthread_tryjoin_np", EINVAL);
	}
	told = 1;
	for (int i = 0; i < count; i++, LAST_SITE->exited++, LAST_SITE->unjoined++)
		WAIT_FOR(is_gone(i));
}

FRAME static void make_c11(pthread_t *unused)
{
	thrd_t t;

	(void)unused;
	for (int i = 0; i < count; i++) {
		site_of(__func__, __LINE__ + 1, "returned")->created++;
		if (thrd_create(&t, quick_c11, (void *)(intptr_t)i) != thrd_success)
			die("thrd_create", EAGAIN);
		if (i % 4 == 0)
			thrd_join(t, NULL);
		else if (i % 4 == 1)
			thrd_detach(t);
		else
			LAST_SITE->unjoined++;
		WAIT_FOR(is_gone(i));
		LAST_SITE->exited++;
	}
	begin();
	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		site_of(__func__, __LINE__ + 1, "exited")->created++;
		if (thrd_create(&t, exit_c11, (void *)(intptr_t)i) != thrd_success)
			die("thrd_create", EAGAIN);
		thrd_join(t, NULL);
	}
}

/* They run when the process ends. */
FRAME static void make_left(pthread_t *t)
{
	for (int i = 0; i < count; i++)
		CREATE(&t[i], NULL, endless, i, "with_process");
	WAIT_FOR(begun == count);
	LAST_SITE->exited = count;
}

/* A child of a process with threads has one, and creates some of its own. */
FRAME static void make_forked(pthread_t *t)
{
	pid_t pid;
	int status;

	for (int i = 0; i < count; i++)
		CREATE(&t[i], NULL, patient, i, "returned");
	WAIT_FOR(begun == count);
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (!pid) {
		for (int i = 0; i < count; i++) {
			ok("pthread_create",
			   pthread_create(&t[i], NULL, quick, (void *)(intptr_t)i));
			ok("pthread_join", pthread_join(t[i], NULL));
		}
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("the child", ECHILD);
	told = 1;
	for (int i = 0; i < count; i++, LAST_SITE->exited++)
		ok("pthread_join", pthread_join(t[i], NULL));
}

static void print(void);

/* Another thread than the first runs a program. */
static void *replace(void *arg)
{
	(void)arg;
	WAIT_FOR(begun == count);
	for (int i = 0; i < site_cnt; i++)
		sites[i].exited = sites[i].created;
	print();
	execv(program[0], program);
	die(program[0], errno);
	return NULL;
}

FRAME static void make_exec(pthread_t *t)
{
	for (int i = 0; i < count; i++)
		CREATE(&t[i], NULL, endless, i, "exec");
	CREATE(&t[count], NULL, replace, count, "exec");
	for (;;)
		pause();
}

/* The first thread ends, the others go on. */
FRAME static void make_orphans(pthread_t *t)
{
	for (int i = 0; i < count; i++)
		CREATE(&t[i], NULL, endless, i, "with_process");
	WAIT_FOR(begun == count);
	LAST_SITE->exited = count;
}

/* As fast as can be. */
FRAME static void make_storm(pthread_t *t)
{
	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(t, NULL, quick, i, "returned");
		ok("pthread_join", pthread_join(*t, NULL));
	}
}

FRAME static void make_storm_detached(pthread_t *t)
{
	pthread_attr_t attr;

	ok("pthread_attr_init", pthread_attr_init(&attr));
	ok("setdetachstate", pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	ok("setstacksize", pthread_attr_setstacksize(&attr, 64 * 1024));
	for (int i = 0; i < count; i++, LAST_SITE->exited++) {
		CREATE(t, &attr, quick, i, "returned");
		while (begun < i - 8)
			sched_yield();
	}
	for (int i = 0; i < count; i++)
		WAIT_FOR(is_gone(i));
}

/* ---- */

static const struct way {
	const char *name;
	void (*make)(pthread_t *t);
} ways[] = {
	{ "joined", make_joined },
	{ "joined-late", make_joined_late },
	{ "unjoined", make_unjoined },
	{ "detached-before-end", make_detached_before_end },
	{ "detached-after-end", make_detached_after_end },
	{ "detached-anyhow", make_detached_anyhow },
	{ "detached-by-attribute", make_detached_by_attribute },
	{ "attribute", make_with_attribute },
	{ "exited", make_exited },
	{ "cancelled", make_cancelled },
	{ "timed", make_timed },
	{ "tried", make_tried },
	{ "tried-in-vain", make_tried_in_vain },
	{ "c11", make_c11 },
	{ "left", make_left },
	{ "forked", make_forked },
	{ "exec", make_exec },
	{ "orphans", make_orphans },
	{ "storm", make_storm },
	{ "storm-detached", make_storm_detached },
};

static void print(void)
{
	printf("{\"pid\": %d, \"sites\": [", getpid());
	for (int i = 0; i < site_cnt; i++) {
		const struct site *s = &sites[i];

		printf("%s{\"function\": \"%s\", \"line\": %d, \"created\": %d, \"exited\": %d, "
		       "\"unjoined\": %d, \"ended\": \"%s\"}",
		       i ? ", " : "", s->function, s->line, s->created, s->exited, s->unjoined,
		       s->ended);
	}
	printf("]}\n");
	fflush(stdout);
}

static void wait_for(int signal)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, signal);
	sigwait(&set, &got);
}

static const struct way *parse(int argc, char **argv, int *ret_first, int *ret_stay)
{
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--count") && i + 1 < argc)
			count = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--wait-for-usr1"))
			*ret_first = 1;
		else if (!strcmp(argv[i], "--stay"))
			*ret_stay = 1;
		else if (!strcmp(argv[i], "--exec") && i + 1 < argc) {
			program = &argv[i + 1];
			break;
		}
	}
	if (count < 1 || count >= COUNT_MAX)
		die("--count", ERANGE);
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(ways[i].name, argv[1]))
			return &ways[i];
	fprintf(stderr, "usage: lives WAY [--count N] [--wait-for-usr1] [--stay] [--exec "
			"PROGRAM…]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	int first = 0, stay = 0;
	const struct way *way = parse(argc, argv, &first, &stay);
	pthread_t *t = calloc(count + 1, sizeof(*t));
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (first) {
		fputs("ready\n", stdout);
		fflush(stdout);
		wait_for(SIGUSR1);
	}
	begin();
	way->make(t);
	print();
	if (way->make == make_orphans) {
		/* A thread of the process's own ends it: the first one has gone by then. */
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		alarm(2);
		pthread_exit(NULL);
	}
	if (stay)
		wait_for(SIGTERM);
	return 0;
}
