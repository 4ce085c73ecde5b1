// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waits that don't end with the lock, or not at once:
 * --how timeout: pthread_mutex_timedlock() and sem_timedwait() that give up
 * --how restart, eintr: a handler runs while threads wait; the kernel restarts the call, or it fails
 * --how stop: the process is stopped and continued; restart_syscall(2) goes on with the timed wait
 */
#include "truth.h"
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/wait.h>

#define GIVE_UP_NS 4000000
#define EVERY_NS   3000000 /* a signal */
#define STOPPED_NS 20000000

static pthread_mutex_t scarce_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t scarce_slots;
static uint32_t word_lock[8]; /* the lock is the first; glibc's owner would be the third */
static int mutex_site, sem_site, word_site, workers_left;
static uint64_t handled;

static struct timespec from_now(uint64_t ns)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	ns += (uint64_t)end.tv_nsec;
	end.tv_sec += (time_t)(ns / 1000000000);
	end.tv_nsec = (long)(ns % 1000000000);
	return end;
}

/* ---- Timeouts: holds are twice as long as the patience of those who wait. */

TRUTH_FRAME static void try_mutex(void)
{
	struct timespec end = from_now(GIVE_UP_NS);
	int rc;

	TRUTH_WAIT(mutex_site, rc = pthread_mutex_timedlock(&scarce_lock, &end));
	if (rc == ETIMEDOUT) {
		truth_timed_out(mutex_site, 1);
		return;
	}
	truth_ok(rc);
	truth_took(mutex_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&scarce_lock));
}

TRUTH_FRAME static void try_slot(void)
{
	struct timespec end = from_now(GIVE_UP_NS);
	int rc;

	TRUTH_WAIT(sem_site, rc = sem_timedwait(&scarce_slots, &end));
	if (rc && errno == ETIMEDOUT) {
		truth_timed_out(sem_site, 1);
		return;
	}
	truth_ok(rc);
	truth_hold();
	truth_ok(sem_post(&scarce_slots));
}

TRUTH_FRAME static void *impatient(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		if (truth_random(2))
			try_mutex();
		else
			try_slot();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

/* ---- Signals */

/* Takes the word's lock; how many signals cut a sleep of it short. */
TRUTH_FRAME static uint64_t take_word(const struct timespec *most)
{
	uint32_t seen = 0;
	uint64_t interrupted = 0;

	if (__atomic_compare_exchange_n(&word_lock[0], &seen, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return 0;
	while (__atomic_exchange_n(&word_lock[0], 2, __ATOMIC_ACQUIRE)) {
		if (!syscall(SYS_futex, word_lock, FUTEX_WAIT_PRIVATE, 2, most, NULL, 0))
			continue;
		if (errno == EINTR)
			interrupted++;
		else if (errno != EAGAIN)
			truth_die("FUTEX_WAIT", errno);
	}
	return interrupted;
}

static void give_word(void)
{
	if (__atomic_exchange_n(&word_lock[0], 0, __ATOMIC_RELEASE) == 2)
		truth_ok(syscall(SYS_futex, word_lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) < 0);
}

TRUTH_FRAME static void visit_word(void)
{
	uint64_t interrupted;

	TRUTH_WAIT(word_site, interrupted = take_word(NULL));
	truth_interrupted(word_site, interrupted);
	truth_hold();
	give_word();
}

TRUTH_FRAME static void *signalled(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		visit_word();
		truth_pause();
	}
	__atomic_fetch_add(&workers_left, 1, __ATOMIC_ACQ_REL);
	truth_worker_ends();
	return arg;
}

static void on_signal(int signo)
{
	(void)signo;
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

/* Signals all threads in turn until they have left; one that holds the lock sleeps on regardless. */
static void *signaller(void *arg)
{
	pthread_t thread;
	int i = 0;

	while (__atomic_load_n(&workers_left, __ATOMIC_ACQUIRE) < truth_opt.threads) {
		truth_sleep(EVERY_NS);
		/* thread 0 is this one; ids stay valid until truth_collect() joins; 0: still to be made */
		thread = __atomic_load_n(&truth_thread[1 + i++ % truth_opt.threads],
					 __ATOMIC_RELAXED);
		if (thread)
			pthread_kill(thread, SIGUSR2);
	}
	truth_worker_ends();
	return arg;
}

static void start_signals(int flags)
{
	struct sigaction action;
	int i;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	action.sa_flags = flags;
	truth_ok(sigaction(SIGUSR2, &action, NULL));
	word_site = truth_lock("word_lock", word_lock, sizeof(word_lock), "futex", TRUTH_CONTENTION,
			       "take_word visit_word signalled");
	/* The signaller reads the others' ids only after its first sleep. */
	truth_spawn(signaller, NULL);
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(signalled, NULL);
}

/* ---- Stops: a child works, its parent stops and continues it. */

static struct stops {
	uint64_t count, ns;
	bool over;
} * stops; /* shared; written while the child is stopped */

TRUTH_FRAME static void visit_stopped(void)
{
	const struct timespec most = { 3600, 0 };
	uint64_t interrupted, count = stops->count, ns = stops->ns;

	TRUTH_WAIT(word_site, interrupted = take_word(&most));
	/* Each stop within the call was one voluntary switch, which is no sleep for the lock. */
	__atomic_fetch_add(&truth_all->site[word_site].stops, stops->count - count,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&truth_all->site[word_site].stopped_ns, stops->ns - ns,
			   __ATOMIC_RELAXED);
	truth_interrupted(word_site, interrupted);
	truth_hold();
	give_word();
}

TRUTH_FRAME static void *stoppable(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		visit_stopped();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

static void stop_for_a_while(pid_t child)
{
	uint64_t start_ns;
	int status;

	truth_ok(kill(child, SIGSTOP));
	if (waitpid(child, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
		truth_die("waitpid", ECHILD);
	start_ns = truth_now_ns();
	truth_sleep(STOPPED_NS);
	stops->count++;
	stops->ns += truth_now_ns() - start_ns;
	truth_ok(kill(child, SIGCONT));
}

static void run_stopped_child(void)
{
	int i;

	truth_warm(); /* memory locks are not inherited */
	word_site = truth_lock("word_lock", word_lock, sizeof(word_lock), "futex", TRUTH_CONTENTION,
			       "take_word visit_stopped stoppable");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(stoppable, NULL);
	truth_collect();
	_exit(0);
}

/* All but the last tenth of the time has stops, so that the child ends by itself. */
static int run_stops(void)
{
	uint64_t end_ns = truth_now_ns() + (uint64_t)(truth_opt.seconds * 0.9e9);
	int status;
	pid_t child;

	stops = (struct stops *)mmap(NULL, sizeof(*stops), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stops == MAP_FAILED)
		truth_die("mmap", errno);
	child = fork();
	if (child < 0)
		truth_die("fork", errno);
	if (!child)
		run_stopped_child();
	do {
		truth_sleep(4 * STOPPED_NS);
		stop_for_a_while(child);
	} while (truth_now_ns() < end_ns && !truth_signalled(0, 0));
	kill(child, SIGTERM); /* with --until-told nothing else ends it */
	if (waitpid(child, &status, 0) < 0 || status) {
		fprintf(stderr, "timed: the child ended with status 0x%x\n", status);
		return 1;
	}
	return truth_print();
}

static void start_timeouts(void)
{
	int i;

	truth_ok(sem_init(&scarce_slots, 0, 1));
	mutex_site = truth_lock("scarce_lock", &scarce_lock, sizeof(scarce_lock), "mutex",
				TRUTH_CONTENTION, "try_mutex impatient");
	sem_site = truth_lock("scarce_slots", &scarce_slots, sizeof(scarce_slots), "semaphore",
			      TRUTH_CONTENTION, "try_slot impatient");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(impatient, NULL);
}

int main(int argc, char **argv)
{
	truth_opt.how = "timeout";
	truth_opt.threads = 6;
	truth_opt.hold_ns = 2 * GIVE_UP_NS;
	truth_opt.pause_ns = 3000000;
	truth_start(argc, argv, "timed");
	if (!strcmp(truth_opt.how, "timeout"))
		start_timeouts();
	else if (!strcmp(truth_opt.how, "restart"))
		start_signals(SA_RESTART);
	else if (!strcmp(truth_opt.how, "eintr"))
		start_signals(0);
	else if (!strcmp(truth_opt.how, "stop"))
		return run_stops();
	else {
		fprintf(stderr, "timed: --how timeout, restart, eintr or stop\n");
		return 2;
	}
	return truth_finish();
}
