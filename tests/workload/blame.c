// SPDX-License-Identifier: GPL-2.0-only
/*
 * What does the holder of a lock do while others wait? Each thread notes when it had the lock and in what state it
 * spent that time, by its own clocks, and when it waited; at the end the two are laid over one another.
 *
 * --how sleep      the holder sleeps
 *       compute    it computes
 *       sync       it writes and waits for the disk
 *       chain      it waits for a second lock, whose holder sleeps
 *       starved    it computes on a CPU that spinning threads share
 *       shares     all of these in turn, by thread
 *       timed      it sleeps, and the waiters look up every few milliseconds
 *       word       it sleeps; the lock is a futex word that names nobody
 *       signal     nobody holds: a semaphore is posted now and then
 */
#include "truth.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>

#define SPANS_MAX 16384
#define LOCKS	  2
#define TIMED_NS  3000000

enum state {
	RUNNING,
	RUNNABLE,
	ASLEEP,
	SYNCING,
	WAITING,
	STATES
};

/* A time in which a thread had a lock, or waited for it. */
struct span {
	uint64_t from_ns, to_ns;
	uint64_t state_ns[STATES];
	bool wait;
	int lock;
};

struct log {
	struct span span[SPANS_MAX];
	int cnt;
	int schedstat; /* the thread's own: /proc/thread-self/schedstat */
};

struct result {
	uint64_t wait_ns, state_ns[STATES];
};

struct word {
	uint32_t value;
	uint32_t unused[7]; /* where glibc's mutex has its owner */
};

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t wal_lock = PTHREAD_MUTEX_INITIALIZER;
static struct word bare_lock;
static sem_t bell;
static struct log *logs[TRUTH_MAX_THREADS];
static int log_cnt;
static int wal_fd = -1;

/* ---- the clocks */

static struct log *log__new(void)
{
	struct log *log = mmap(NULL, sizeof(*log), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (log == MAP_FAILED)
		truth_die("mmap", errno);
	log->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	if (log->schedstat < 0)
		truth_die("/proc/thread-self/schedstat", errno);
	logs[__atomic_fetch_add(&log_cnt, 1, __ATOMIC_RELAXED)] = log;
	return log;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Time in which it was ready to run and had no CPU: the second number of schedstat (proc(5)). */
static uint64_t starved_ns(const struct log *log)
{
	unsigned long long ran, starved;
	char text[80];
	ssize_t n = pread(log->schedstat, text, sizeof(text) - 1, 0);

	if (n <= 0)
		truth_die("schedstat", errno);
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &ran, &starved) != 2)
		truth_die("schedstat", EINVAL);
	return starved;
}

struct mark {
	uint64_t wall_ns, cpu_ns, starved_ns;
};

static struct mark mark__now(const struct log *log)
{
	struct mark m;

	m.starved_ns = starved_ns(log);
	m.cpu_ns = cpu_ns();
	m.wall_ns = truth_now_ns();
	return m;
}

static struct span *log__add(struct log *log, int lock, bool wait, uint64_t from_ns, uint64_t to_ns)
{
	struct span *s;

	if (log->cnt == SPANS_MAX)
		truth_die("log", ENOSPC);
	s = &log->span[log->cnt++];
	*s = (struct span){ .from_ns = from_ns, .to_ns = to_ns, .wait = wait, .lock = lock };
	return s;
}

/* From the mark up to now the lock was held, and what was neither running nor starved was spent in `blocked`. */
static struct mark log__hold(struct log *log, int lock, struct mark from, enum state blocked)
{
	struct mark to = mark__now(log);
	struct span *s = log__add(log, lock, false, from.wall_ns, to.wall_ns);
	uint64_t rest = to.wall_ns - from.wall_ns, ran = to.cpu_ns - from.cpu_ns;
	uint64_t starved = to.starved_ns - from.starved_ns;

	ran = ran < rest ? ran : rest;
	rest -= ran;
	starved = starved < rest ? starved : rest;
	rest -= starved;
	s->state_ns[RUNNING] = ran;
	s->state_ns[RUNNABLE] = starved;
	s->state_ns[blocked] += rest;
	return to;
}

/* ---- locks */

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* 0 free, 1 taken, 2 taken and waited for. */
TRUTH_FRAME static void bare_take(struct word *w)
{
	uint32_t zero = 0;

	if (__atomic_compare_exchange_n(&w->value, &zero, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&w->value, 2, __ATOMIC_ACQUIRE))
		futex(&w->value, FUTEX_WAIT, 2);
}

TRUTH_FRAME static void bare_leave(struct word *w)
{
	if (__atomic_exchange_n(&w->value, 0, __ATOMIC_RELEASE) == 2)
		futex(&w->value, FUTEX_WAKE, 1);
}

static void take_timed(pthread_mutex_t *lock)
{
	struct timespec until;
	uint64_t ns;

	do {
		clock_gettime(CLOCK_REALTIME, &until);
		ns = (uint64_t)until.tv_nsec + TIMED_NS;
		until.tv_sec += (time_t)(ns / 1000000000);
		until.tv_nsec = (long)(ns % 1000000000);
	} while (pthread_mutex_timedlock(lock, &until) == ETIMEDOUT);
}

static bool how(const char *name)
{
	return !strcmp(truth_opt.how, name);
}

static void take(pthread_mutex_t *lock)
{
	if (how("word"))
		bare_take(&bare_lock);
	else if (how("timed"))
		take_timed(lock);
	else
		truth_ok(pthread_mutex_lock(lock));
}

static void leave(pthread_mutex_t *lock)
{
	if (how("word"))
		bare_leave(&bare_lock);
	else
		truth_ok(pthread_mutex_unlock(lock));
}

/* Only what slept is a wait to holdup. */
static void take_noted(struct log *log, int id, pthread_mutex_t *lock)
{
	struct rusage before, after;
	uint64_t from_ns;

	getrusage(RUSAGE_THREAD, &before);
	from_ns = truth_now_ns();
	take(lock);
	getrusage(RUSAGE_THREAD, &after);
	if (after.ru_nvcsw != before.ru_nvcsw)
		log__add(log, id, true, from_ns, truth_now_ns());
}

/* ---- what holders do */

/* Two spans, since who comes late waits for the second half alone. */
TRUTH_FRAME static void write_record(struct log *log, struct mark *from)
{
	static const char record[4 << 20];

	if (pwrite(wal_fd, record, sizeof(record), 0) != (ssize_t)sizeof(record))
		truth_die("write-ahead log", errno);
	*from = log__hold(log, 0, *from, SYNCING);
	if (fdatasync(wal_fd))
		truth_die("write-ahead log", errno);
}

static void compute(uint64_t ns)
{
	uint64_t end_ns = cpu_ns() + ns;

	while (cpu_ns() < end_ns)
		;
}

TRUTH_FRAME static void wal_flush(void)
{
	truth_sleep(truth_opt.hold_ns);
	TRUTH_NO_TAIL_CALL();
}

static void hold_second(struct log *log, struct mark *from)
{
	*from = log__hold(log, 0, *from, ASLEEP);
	take_noted(log, 1, &wal_lock);
	*from = log__hold(log, 0, *from, WAITING);
	leave(&wal_lock);
	compute(truth_opt.hold_ns / 20);
}

TRUTH_FRAME static void update_ledger(struct log *log, int self)
{
	const char *what = truth_opt.how;
	enum state blocked = ASLEEP;
	struct mark from;

	if (how("shares"))
		what = self % 4 == 0   ? "sleep"
		       : self % 4 == 1 ? "compute"
		       : self % 4 == 2 ? "sync"
				       : "chain";
	take_noted(log, 0, &ledger_lock);
	from = mark__now(log);
	if (!strcmp(what, "compute") || !strcmp(what, "starved"))
		compute(truth_opt.hold_ns);
	else if (!strcmp(what, "sync"))
		write_record(log, &from), blocked = SYNCING;
	else if (!strcmp(what, "chain"))
		hold_second(log, &from);
	else
		truth_sleep(truth_opt.hold_ns);
	log__hold(log, 0, from, blocked);
	leave(&ledger_lock);
}

static void *worker(void *arg)
{
	struct log *log = log__new();
	uint64_t rounds = 0;

	while (truth_more(&rounds)) {
		update_ledger(log, (int)(intptr_t)arg);
		truth_pause();
	}
	return arg;
}

/* Has the second lock most of the time. */
static void *flusher(void *arg)
{
	struct log *log = log__new();
	uint64_t rounds = 0;
	struct mark from;

	while (truth_more(&rounds)) {
		take_noted(log, 1, &wal_lock);
		from = mark__now(log);
		wal_flush();
		log__hold(log, 1, from, ASLEEP);
		leave(&wal_lock);
		truth_sleep(truth_opt.hold_ns / 8);
	}
	return arg;
}

static void *spinner(void *arg)
{
	while (!truth_stopped())
		;
	return arg;
}

/*
 * Keeps a CPU from being idle, and gives way to everybody. A thread that is woken for an idle CPU of a virtual machine
 * may wait long for that CPU to come back, and is in no run queue meanwhile: schedstat would call that time blocked.
 */
static void *idler(void *arg)
{
	struct sched_param none = { 0 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((intptr_t)arg, &set);
	truth_ok(sched_setaffinity(0, sizeof(set), &set) ? errno : 0);
	truth_ok(sched_setscheduler(0, SCHED_IDLE, &none) ? errno : 0);
	return spinner(arg);
}

static void keep_cpus_busy(void)
{
	cpu_set_t set;

	truth_ok(sched_getaffinity(0, sizeof(set), &set) ? errno : 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			truth_spawn(idler, (void *)(intptr_t)cpu);
}

static void *listener(void *arg)
{
	struct log *log = log__new();
	uint64_t rounds = 0, from_ns;

	while (truth_more(&rounds)) {
		from_ns = truth_now_ns();
		truth_ok(sem_wait(&bell));
		log__add(log, 0, true, from_ns, truth_now_ns());
	}
	return arg;
}

static void *ringer(void *arg)
{
	uint64_t rounds = 0;

	while (truth_more(&rounds)) {
		truth_sleep(truth_opt.hold_ns);
		truth_ok(sem_post(&bell));
	}
	/* Nobody is left waiting, who might still begin to. */
	for (int i = 0; i < 2 * truth_opt.threads; i++)
		truth_ok(sem_post(&bell));
	return arg;
}

/* ---- the sum */

/* A wait's time that other threads spent with the lock. */
static void lay_over(struct result *r, const struct span *wait, const struct span *hold)
{
	uint64_t from_ns = wait->from_ns > hold->from_ns ? wait->from_ns : hold->from_ns;
	uint64_t to_ns = wait->to_ns < hold->to_ns ? wait->to_ns : hold->to_ns;
	double part;

	if (hold->wait || hold->lock != wait->lock || from_ns >= to_ns)
		return;
	part = (double)(to_ns - from_ns) / (double)(hold->to_ns - hold->from_ns);
	for (int i = 0; i < STATES; i++)
		r->state_ns[i] += (uint64_t)(part * (double)hold->state_ns[i]);
}

static struct result sum_up(int lock)
{
	struct result r = { 0 };

	for (int w = 0; w < log_cnt; w++)
		for (int i = 0; i < logs[w]->cnt; i++) {
			const struct span *wait = &logs[w]->span[i];

			if (!wait->wait || wait->lock != lock)
				continue;
			r.wait_ns += wait->to_ns - wait->from_ns;
			for (int h = 0; h < log_cnt; h++)
				for (int k = 0; k < logs[h]->cnt; k++)
					lay_over(&r, wait, &logs[h]->span[k]);
		}
	return r;
}

static void print_lock(const char *name, int lock, const char *before)
{
	static const char *const names[STATES] = { "running", "runnable", "asleep", "syncing",
						   "waiting" };
	struct result r = sum_up(lock);

	printf("%s{\"name\":\"%s\",\"wait_ns\":%llu", before, name, (unsigned long long)r.wait_ns);
	for (int i = 0; i < STATES; i++)
		printf(",\"%s_ns\":%llu", names[i], (unsigned long long)r.state_ns[i]);
	printf("}");
}

static int print_all(void)
{
	printf("{\"workload\":\"blame\",\"pid\":%d,\"locks\":[", getpid());
	print_lock(how("word") ? "bare_lock" : how("signal") ? "bell" : "ledger_lock", 0, "");
	print_lock("wal_lock", 1, ",");
	printf("]}\n");
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

/* Beside the program: /tmp may be memory, which needs no disk. */
static void open_log(const char *program)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.wal.XXXXXX", program);
	wal_fd = mkstemp(path);
	if (wal_fd < 0)
		truth_die(path, errno);
	unlink(path);
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	truth_ok(sched_setaffinity(0, sizeof(set), &set));
}

int main(int argc, char **argv)
{
	truth_opt.how = "sleep";
	truth_opt.hold_ns = 5000000;
	truth_start(argc, argv, "blame");
	open_log(argv[0]);
	if (how("starved"))
		pin();
	else
		keep_cpus_busy();
	if (how("chain") || how("shares"))
		truth_spawn(flusher, NULL);
	for (int i = 0; how("starved") && i < 3; i++)
		truth_spawn(spinner, NULL);
	if (how("signal"))
		truth_spawn(ringer, NULL);
	for (int i = 0; i < truth_opt.threads; i++)
		truth_spawn(how("signal") ? listener : worker, (void *)(intptr_t)i);
	truth_collect();
	return print_all();
}
