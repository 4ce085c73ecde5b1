// SPDX-License-Identifier: GPL-2.0-only
/*
 * --threads N (3000) threads, blocked in five places: a fifth each waits for pool_lock, for a job, for a
 * datagram, for time to pass, and for a descriptor; and one holds pool_lock. On SIGUSR1 it prints how
 * late a thread was since the last time that wakes up each millisecond, and then maps a page, writes to it and unmaps
 * it: {"late_max_ns": N, "late_p50_ns": N, "late_p999_ns": N, "beats": N}. --how
 *   blocked   (the default)
 *   realtime  that thread has a real-time priority: no other program's work makes it late
 */
#include "hang.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define PLACES	     5
#define BEAT_NS	     1000000
#define LATE_MOST_US 20000

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_ready = PTHREAD_COND_INITIALIZER;
static int pool_id, job_id, sockets[2];
static uint64_t late_max_ns;
static uint32_t late_us[LATE_MOST_US +
			1]; /* beats by how late they were; the last one: so late, or later */

HANG_FRAME static void pool_get(void)
{
	hang_will("futex", pool_id);
	hang_ok(pthread_mutex_lock(&pool_lock));
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void next_job(void)
{
	hang_ok(pthread_mutex_lock(&job_lock));
	hang_will("futex", job_id);
	for (;;)
		hang_ok(pthread_cond_wait(&job_ready, &job_lock));
}

HANG_FRAME static void next_datagram(void)
{
	char byte;

	hang_will("recvfrom", HANG_NO_LOCK);
	if (recv(sockets[0], &byte, 1, 0) < 0)
		hang_die("recv", errno);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void next_event(void)
{
	struct pollfd poll_fd = { .fd = sockets[1], .events = POLLIN };

	hang_will("poll ppoll", HANG_NO_LOCK);
	poll(&poll_fd, 1, -1);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void *work(void *arg)
{
	switch ((uintptr_t)arg) {
	case 0:
		hang_enter("getter", "pool_get work");
		pool_get();
		break;
	case 1:
		hang_enter("idler", "next_job work");
		next_job();
		break;
	case 2:
		hang_enter("receiver", "next_datagram work");
		next_datagram();
		break;
	case 3:
		hang_enter("sleeper", "hang_sleep work");
		hang_sleep();
		break;
	default:
		hang_enter("poller", "next_event work");
		next_event();
	}
	HANG_NO_TAIL_CALL();
	return arg;
}

HANG_FRAME static void *keep_pool(void *arg)
{
	hang_enter("keeper", "hang_sleep keep_pool");
	hang_ok(pthread_mutex_lock(&pool_lock));
	hang_took(pool_id);
	hang_arrive(1);
	hang_sleep();
	return arg;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void touch_new_page(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		hang_die("mmap", errno);
	*(volatile char *)page = 1;
	munmap(page, 4096);
}

/*
 * Late by more than the machine's own jitter: something stopped the process, or, as changing mappings takes its lock,
 * kept that for long.
 */
static void *beat(void *arg)
{
	struct timespec pause_time = { 0, BEAT_NS };
	struct sched_param param = { .sched_priority = 50 };

	if (hang_is("realtime"))
		hang_ok(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param));
	for (;;) {
		uint64_t start_ns = now_ns(), late_ns;

		nanosleep(&pause_time, NULL);
		touch_new_page();
		late_ns = now_ns() - start_ns;
		late_ns = late_ns > BEAT_NS ? late_ns - BEAT_NS : 0;
		if (late_ns > __atomic_load_n(&late_max_ns, __ATOMIC_RELAXED))
			__atomic_store_n(&late_max_ns, late_ns, __ATOMIC_RELAXED);
		late_ns /= 1000;
		late_ns = late_ns < LATE_MOST_US ? late_ns : LATE_MOST_US;
		__atomic_fetch_add(&late_us[late_ns], 1, __ATOMIC_RELAXED);
	}
	return arg;
}

/* The least lateness that this share of the beats did not exceed. */
static uint64_t percentile_ns(const uint32_t *count, uint64_t beats, double share)
{
	uint64_t seen = 0;

	for (uint64_t us = 0; us <= LATE_MOST_US; us++) {
		seen += count[us];
		if (beats && (double)seen >= share * (double)beats)
			return us * 1000;
	}
	return 0;
}

/* In a thread that waits for the signal, as printing is nothing for a handler. */
static void *tell(void *arg)
{
	static uint32_t count[LATE_MOST_US + 1];
	int number;

	while (!sigwait(arg, &number)) {
		uint64_t beats = 0;

		for (int us = 0; us <= LATE_MOST_US; us++) {
			count[us] = __atomic_exchange_n(&late_us[us], 0, __ATOMIC_RELAXED);
			beats += count[us];
		}
		printf("{\"late_max_ns\":%llu,\"late_p50_ns\":%llu,\"late_p999_ns\":%llu,"
		       "\"beats\":%llu}\n",
		       (unsigned long long)__atomic_exchange_n(&late_max_ns, 0, __ATOMIC_RELAXED),
		       (unsigned long long)percentile_ns(count, beats, 0.5),
		       (unsigned long long)percentile_ns(count, beats, 0.999),
		       (unsigned long long)beats);
		fflush(stdout);
	}
	return arg;
}

int main(int argc, char **argv)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	static sigset_t signals;
	uintptr_t i;

	hang_opt.how = "blocked";
	hang_opt.threads = 3000;
	hang_start(argc, argv, "crowd", "blocked realtime");
	hang_opt.stack_sz = 32 * 1024;
	setrlimit(RLIMIT_NPROC, &limit);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
		hang_die("socketpair", errno);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	hang_ok(pthread_sigmask(SIG_BLOCK, &signals, NULL));
	pool_id = hang_lock("pool_lock", &pool_lock, sizeof(pool_lock), "mutex");
	job_id = hang_lock("job_ready", &job_ready, sizeof(job_ready), "condvar");
	hang_spawn(keep_pool, NULL);
	hang_await(&hang_all->arrived, 1);
	for (i = 0; i < (uintptr_t)hang_opt.threads; i++)
		hang_spawn(work, (void *)(i % PLACES));
	hang_spawn(beat, NULL);
	hang_spawn(tell, &signals);
	hang_ready(hang_opt.threads + 1);
}
