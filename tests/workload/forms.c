// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each form of futex call that can sleep, on words of the program's own:
 * --how wait, bitset, waitv, wait2: a lock of one word (0 free, 1 taken, 2 with waiters)
 * --how pi2: a PI mutex by pthread_mutex_clocklock(), which is FUTEX_LOCK_PI2 in glibc since 2.34
 * --how requeue, requeue-pi: sleepers are moved to another word before anybody wakes them
 * What the kernel doesn't have ends with status 77 and says so.
 */
#include "truth.h"
#include <linux/futex.h>

/* include/uapi/asm-generic/unistd.h, the same on x86 and i386; futex2's flags, <linux/futex.h> of 6.7 */
#define NR_FUTEX_WAITV	 449
#define NR_FUTEX_WAKE	 454
#define NR_FUTEX_WAIT	 455
#define SIZE_U32_PRIVATE (2 | 128)
#define STATUS_NOT_HERE	 77
#define MOVED_TOGETHER	 64

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

struct word {
	uint32_t value;
	uint32_t unused[7]; /* what glibc's mutex has there, the owner, is never set */
} __attribute__((aligned(32)));

struct waitv {
	uint64_t value, address;
	uint32_t flags, reserved;
};

typedef long (*sleep_on_fn)(struct word *word, uint32_t value);

static struct word form_lock, turnstile, gate;
static pthread_mutex_t pi2_lock;
static sleep_on_fn sleep_on;
static int form_site, turn_site;

static long futex(void *address, int op, uint32_t value, uintptr_t value2, void *address2,
		  uint32_t value3)
{
	return syscall(SYS_futex, address, op | FUTEX_PRIVATE_FLAG, value, value2, address2,
		       value3);
}

static long sleep_wait(struct word *word, uint32_t value)
{
	return futex(&word->value, FUTEX_WAIT, value, 0, NULL, 0);
}

static long sleep_bitset(struct word *word, uint32_t value)
{
	return futex(&word->value, FUTEX_WAIT_BITSET, value, 0, NULL, 4);
}

/* Two words: the lock is the first, nobody ever wakes the second. */
static long sleep_waitv(struct word *word, uint32_t value)
{
	struct waitv both[2] = {
		{ value, (uintptr_t)&word->value, SIZE_U32_PRIVATE, 0 },
		{ 0, (uintptr_t)&gate.value, SIZE_U32_PRIVATE, 0 },
	};

	return syscall(NR_FUTEX_WAITV, both, 2, 0, NULL, 0);
}

static long sleep_wait2(struct word *word, uint32_t value)
{
	return syscall(NR_FUTEX_WAIT, &word->value, (unsigned long)value, 0xffffffffUL,
		       SIZE_U32_PRIVATE, NULL, 0);
}

static void wake_one(struct word *word)
{
	if (sleep_on == sleep_wait2)
		truth_ok(syscall(NR_FUTEX_WAKE, &word->value, 0xffffffffUL, 1, SIZE_U32_PRIVATE) <
			 0);
	else if (sleep_on == sleep_bitset)
		truth_ok(futex(&word->value, FUTEX_WAKE_BITSET, 1, 0, NULL, 4) < 0);
	else
		truth_ok(futex(&word->value, FUTEX_WAKE, 1, 0, NULL, 0) < 0);
}

/* The lock of Ulrich Drepper's "Futexes are tricky", its third one. */
TRUTH_FRAME static void take_word(struct word *word)
{
	uint32_t seen = 0;

	if (__atomic_compare_exchange_n(&word->value, &seen, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&word->value, 2, __ATOMIC_ACQUIRE))
		if (sleep_on(word, 2) < 0 && errno != EAGAIN)
			truth_die("futex", errno);
}

static void give_word(struct word *word)
{
	if (__atomic_exchange_n(&word->value, 0, __ATOMIC_RELEASE) == 2)
		wake_one(word);
}

TRUTH_FRAME static void visit_form(void)
{
	TRUTH_WAIT(form_site, take_word(&form_lock));
	truth_hold();
	give_word(&form_lock);
}

TRUTH_FRAME static void visit_pi2(void)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 3600;
	TRUTH_WAIT(form_site, truth_ok(pthread_mutex_clocklock(&pi2_lock, CLOCK_MONOTONIC, &end)));
	truth_took(form_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&pi2_lock));
}

TRUTH_FRAME static void *worker(void *arg)
{
	void (*visit)(void) = sleep_on ? visit_form : visit_pi2;
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		visit();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

/* ---- Sleepers that are moved: they lie down at the turnstile and are woken at the gate. */

static bool by_pi;
static int gate_site, guests_left;

/* The word is the number of a round; who comes too late for it does not sleep. */
TRUTH_FRAME static void pass_turnstile(void)
{
	uint32_t round = __atomic_load_n(&turnstile.value, __ATOMIC_ACQUIRE);
	long rc;

	if (by_pi)
		rc = futex(&turnstile.value, FUTEX_WAIT_REQUEUE_PI, round, 0, &gate.value, 0);
	else
		rc = futex(&turnstile.value, FUTEX_WAIT, round, 0, NULL, 0);
	if (rc < 0 && errno != EAGAIN)
		truth_die("futex", errno);
	if (by_pi && !rc && futex(&gate.value, FUTEX_UNLOCK_PI, 0, 0, NULL, 0))
		truth_die("FUTEX_UNLOCK_PI", errno);
}

TRUTH_FRAME static void *guest(void *arg)
{
	uint64_t rounds = 0;

	while (truth_more(&rounds))
		TRUTH_WAIT(turn_site, pass_turnstile());
	__atomic_fetch_add(&guests_left, 1, __ATOMIC_ACQ_REL);
	truth_worker_ends();
	return arg;
}

/* Wakes nobody at the turnstile: all that sleep there are moved to the gate. */
static void move_guests(void)
{
	uint32_t round = __atomic_load_n(&turnstile.value, __ATOMIC_ACQUIRE);

	if (futex(&turnstile.value, by_pi ? FUTEX_CMP_REQUEUE_PI : FUTEX_CMP_REQUEUE, by_pi,
		  MOVED_TOGETHER, &gate.value, round) < 0)
		truth_die("requeue", errno);
	/* Who goes to sleep between the two lines is moved in the next round. */
	__atomic_fetch_add(&turnstile.value, 1, __ATOMIC_RELEASE);
}

TRUTH_FRAME static void open_gate(void)
{
	/* The porter has the gate, so that the first one that is moved must wait for it as well. */
	if (by_pi)
		TRUTH_WAIT(gate_site,
			   truth_ok(futex(&gate.value, FUTEX_LOCK_PI, 0, 0, NULL, 0) < 0));
	move_guests();
	truth_hold();
	if (by_pi)
		truth_ok(futex(&gate.value, FUTEX_UNLOCK_PI, 0, 0, NULL, 0) < 0);
	else
		TRUTH_WAIT(gate_site,
			   truth_ok(futex(&gate.value, FUTEX_WAKE, INT32_MAX, 0, NULL, 0) < 0));
}

TRUTH_FRAME static void *porter(void *arg)
{
	while (__atomic_load_n(&guests_left, __ATOMIC_ACQUIRE) < truth_opt.threads) {
		truth_sleep(2000000);
		open_gate();
	}
	truth_worker_ends();
	return arg;
}

/* ---- */

static const struct way {
	const char *name;
	sleep_on_fn sleep_on;
	long probe_nr; /* a system call that older kernels lack */
	const char *since;
} ways[] = {
	{ "wait", sleep_wait, 0, "" },
	{ "bitset", sleep_bitset, 0, "" },
	{ "waitv", sleep_waitv, NR_FUTEX_WAITV, "5.16" },
	{ "wait2", sleep_wait2, NR_FUTEX_WAIT, "6.7" },
	{ "pi2", NULL, 0, "" },
	{ "requeue", NULL, 0, "" },
	{ "requeue-pi", NULL, 0, "" },
};

static const struct way *chosen_way(void)
{
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(truth_opt.how, ways[i].name))
			break;
	if (i == sizeof(ways) / sizeof(ways[0])) {
		fprintf(stderr, "forms: --how wait, bitset, waitv, wait2, pi2, requeue or "
				"requeue-pi\n");
		exit(2);
	}
	/* With these arguments the calls fail, by EINVAL where they exist. */
	if (ways[i].probe_nr && syscall(ways[i].probe_nr, NULL, 0, 0, 0, NULL, 0) < 0 &&
	    errno == ENOSYS) {
		fprintf(stderr, "forms: this kernel has no %s: it came with Linux %s\n",
			ways[i].name, ways[i].since);
		exit(STATUS_NOT_HERE);
	}
	return &ways[i];
}

static void start_guests(void)
{
	int i;

	turn_site = truth_lock("turnstile", &turnstile, sizeof(turnstile),
			       by_pi ? "condvar" : "futex", by_pi ? TRUTH_IDLE : TRUTH_NEITHER,
			       "pass_turnstile guest");
	truth_includes(turn_site, "gate");
	gate_site = truth_lock("gate", &gate, sizeof(gate), by_pi ? "mutex" : "futex",
			       TRUTH_NEITHER, "open_gate porter");
	truth_spawn(porter, NULL);
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(guest, NULL);
}

static void start_workers(const struct way *way)
{
	pthread_mutexattr_t attr;
	int i;

	truth_ok(pthread_mutexattr_init(&attr));
	truth_ok(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
	truth_ok(pthread_mutex_init(&pi2_lock, &attr));
	truth_ok(pthread_mutexattr_destroy(&attr));
	sleep_on = way->sleep_on;
	if (sleep_on)
		form_site = truth_lock("form_lock", &form_lock, sizeof(form_lock), "futex",
				       TRUTH_CONTENTION, "take_word visit_form worker");
	else
		form_site = truth_lock("pi2_lock", &pi2_lock, sizeof(pi2_lock), "mutex",
				       TRUTH_CONTENTION, "visit_pi2 worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
}

int main(int argc, char **argv)
{
	const struct way *way;

	truth_opt.how = "wait";
	truth_start(argc, argv, "forms");
	way = chosen_way();
	by_pi = !strcmp(way->name, "requeue-pi");
	if (by_pi || !strcmp(way->name, "requeue"))
		start_guests();
	else
		start_workers(way);
	return truth_finish();
}
